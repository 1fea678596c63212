"""The table of futures' end points; see spot's.

Rule: as there. Weights are about those of Binance's documentation of USD-M futures.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from daemon.venue import market_data as shared
from daemon.venue import trading as orders
from daemon.venue.endpoints import Endpoint, Interface, by_symbol, depth_weight, private, public
from daemon.venue.swap import account, market_data, trading

NEW_ORDER: Final = (
    *("symbol", "side", "positionSide", "type", "timeInForce", "quantity", "reduceOnly", "price"),
    *("newClientOrderId", "newOrderRespType"),
)
CANDLES: Final = ("symbol", "interval", "startTime", "endTime", "limit")
PERIOD: Final = ("startTime", "endTime", "limit")
ORDER: Final = ("symbol", "orderId", "origClientOrderId")


def _keyed(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, signed=False, keyed=True)


# Method, path below /fapi, what a fault calls it, and the end point.
TABLE: Final[list[tuple[str, str, str, Endpoint]]] = [
    ("GET", "v1/ping", "ping", public(shared.ping, 1)),
    ("GET", "v1/time", "time", public(shared.time, 1)),
    ("GET", "v1/exchangeInfo", "exchangeInfo", public(market_data.exchange_info, 1)),
    ("GET", "v1/klines", "klines", public(shared.klines, 5, *CANDLES)),
    ("GET", "v1/markPriceKlines", "markPriceKlines", public(market_data.mark_klines, 5, *CANDLES)),
    ("GET", "v1/premiumIndex", "premiumIndex", public(market_data.premium_index, by_symbol(1, 10), "symbol")),
    ("GET", "v1/fundingRate", "fundingRate", public(market_data.funding_rates, 1, "symbol", *PERIOD)),
    ("GET", "v1/fundingInfo", "fundingInfo", public(market_data.funding_info, 1)),
    ("GET", "v1/ticker/price", "ticker.price", public(market_data.ticker_price, by_symbol(1, 2), "symbol")),
    ("GET", "v2/ticker/price", "ticker.price", public(market_data.ticker_price, by_symbol(1, 2), "symbol")),
    ("GET", "v1/ticker/bookTicker", "ticker.book", public(market_data.book_ticker, by_symbol(2, 5), "symbol")),
    ("GET", "v1/ticker/24hr", "ticker.24hr", public(market_data.ticker_day, by_symbol(1, 40), "symbol")),
    ("GET", "v1/depth", "depth", public(shared.depth, depth_weight, "symbol", "limit")),
    ("GET", "v3/account", "account.status", private(account.account, 5)),
    ("GET", "v2/account", "account.status", private(account.account_v2, 5)),
    ("GET", "v3/balance", "account.balance", private(account.balance, 5)),
    ("GET", "v2/balance", "account.balance", private(account.balance, 5)),
    ("GET", "v3/positionRisk", "account.position", private(account.positions, 5, "symbol")),
    ("GET", "v2/positionRisk", "account.position", private(account.positions_v2, 5, "symbol")),
    ("GET", "v1/accountConfig", "accountConfig", private(account.account_config, 5)),
    ("GET", "v1/symbolConfig", "symbolConfig", private(account.symbol_config, 5, "symbol")),
    ("GET", "v1/leverageBracket", "leverageBracket", private(account.brackets, 1, "symbol")),
    ("GET", "v1/commissionRate", "account.commission", private(account.commission, 20, "symbol")),
    ("POST", "v1/leverage", "leverage", private(account.set_leverage, 1, "symbol", "leverage")),
    ("POST", "v1/marginType", "marginType", private(account.set_margin_type, 1, "symbol", "marginType")),
    ("GET", "v1/positionSide/dual", "positionMode.status", private(account.position_mode, 30)),
    ("POST", "v1/positionSide/dual", "positionMode", private(account.set_position_mode, 1, "dualSidePosition")),
    ("GET", "v1/multiAssetsMargin", "multiAssetsMargin", private(account.assets_mode, 30)),
    ("GET", "v1/income", "income", private(account.incomes, 30, "symbol", "incomeType", "page", *PERIOD)),
    ("POST", "v1/order", "order.place", private(trading.place, 1, *NEW_ORDER, order=True)),
    ("POST", "v1/order/test", "order.test", private(trading.test, 1, *NEW_ORDER)),
    ("GET", "v1/order", "order.status", private(orders.query, 1, *ORDER)),
    ("DELETE", "v1/order", "order.cancel", private(orders.cancel, 1, *ORDER)),
    ("GET", "v1/openOrder", "openOrder.status", private(trading.open_order, 1, *ORDER)),
    ("GET", "v1/openOrders", "openOrders.status", private(orders.open_orders, by_symbol(1, 40), "symbol")),
    ("DELETE", "v1/allOpenOrders", "openOrders.cancelAll", private(trading.cancel_all, 1, "symbol")),
    ("POST", "v1/countdownCancelAll", "openOrders.countdown", private(trading.countdown, 10, "symbol", "countdownTime")),
    ("GET", "v1/allOrders", "allOrders", private(orders.all_orders, 5, "symbol", "orderId", *PERIOD)),
    ("GET", "v1/userTrades", "myTrades", private(orders.my_trades, 5, "symbol", "orderId", "fromId", *PERIOD)),
    ("GET", "v1/forceOrders", "forceOrders", private(trading.force_orders, by_symbol(20, 50), "symbol", "autoCloseType", *PERIOD)),
    ("GET", "v1/rateLimit/order", "account.rateLimits.orders", private(orders.order_counts, 1)),
    ("POST", "v1/listenKey", "listenKey.open", _keyed(private(account.open_key, 1))),
    ("PUT", "v1/listenKey", "listenKey.keep", _keyed(private(account.prolong_key, 1, "listenKey"))),
    ("DELETE", "v1/listenKey", "listenKey.close", _keyed(private(account.close_key, 1))),
]

SWAP: Final = Interface(
    rest={(method, f"/fapi/{path}"): endpoint for method, path, _, endpoint in TABLE},
    calls={},
    name_of={(method, f"/fapi/{path}"): name for method, path, name, _ in TABLE},
)
