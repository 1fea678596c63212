"""Private end points: orders and the account.

Rule: parameters are checked first, then the market's filters, then the matching engine decides; the first refusal is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from daemon.venue import lagging
from daemon.venue.accounts import Balance
from daemon.venue.book import Side
from daemon.venue.errors import VenueError, cancel_rejected, mandatory, no_such_order, not_required, rejected
from daemon.venue.exchange import Exchange
from daemon.venue.filters import check
from daemon.venue.intervals import HOUR
from daemon.venue.markets import Market
from daemon.venue.money import text
from daemon.venue.orders import Kind, Life, NewOrder, Order
from daemon.venue.params import SYMBOL, Params

LIST_MAX: Final = 1000
SIDES: Final[tuple[Side, ...]] = ("BUY", "SELL")
KINDS: Final[tuple[Kind, ...]] = ("LIMIT", "MARKET", "LIMIT_MAKER")
LIVES: Final[tuple[Life, ...]] = ("GTC", "IOC", "FOK")


def account(exchange: Exchange, params: Params) -> Any:
    """Balances and rates."""
    exchange.advance(exchange.now())
    seen_at = lagging.seen_at(exchange, "account.status")
    return {
        "makerCommission": int(exchange.fees.maker * 10_000),
        "takerCommission": int(exchange.fees.taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": _rates(exchange),
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": exchange.account.updated if seen_at is None else min(exchange.account.updated, seen_at),
        "accountType": "SPOT",
        "balances": _balances(exchange, lagging.balances(exchange, seen_at), omit_zero=params.flag("omitZeroBalances")),
        "permissions": ["SPOT"],
        "uid": 1,
    }


def key_rights(exchange: Exchange, _params: Params) -> Any:
    """What the key may do; withdrawing only where the settings say so."""
    allowed = exchange.settings.key_withdraws
    return {
        "ipRestrict": False,
        "createTime": 1_600_000_000_000,
        "enableReading": True,
        "enableSpotAndMarginTrading": True,
        "enableWithdrawals": allowed,
        "enableInternalTransfer": False,
        "permitsUniversalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
        "enableVanillaOptions": False,
    }


def _balances(exchange: Exchange, held: Mapping[str, Balance], *, omit_zero: bool) -> list[dict[str, str]]:
    found = [
        {"asset": asset, "free": text(balance.free), "locked": text(balance.locked)}
        for asset, balance in held.items()
        if not omit_zero or balance.free or balance.locked
    ]
    if omit_zero:
        return found
    rest = dict.fromkeys(asset for market in exchange.markets for asset in (market.base, market.quote) if asset not in held)
    return found + [{"asset": asset, "free": "0.00000000", "locked": "0.00000000"} for asset in rest]


def _rates(exchange: Exchange) -> dict[str, str]:
    return {"maker": text(exchange.fees.maker), "taker": text(exchange.fees.taker), "buyer": "0.00000000", "seller": "0.00000000"}


def commission(exchange: Exchange, params: Params) -> Any:
    """A market's fee rates."""
    market = exchange.market(params.text("symbol", SYMBOL))
    none = {"maker": "0.00000000", "taker": "0.00000000", "buyer": "0.00000000", "seller": "0.00000000"}
    discount = {"enabledForAccount": False, "enabledForSymbol": False, "discountAsset": "BNB", "discount": "0.00000000"}
    return {"symbol": market.symbol, "standardCommission": _rates(exchange), "taxCommission": none, "discount": discount}


def place(exchange: Exchange, params: Params) -> Any:
    """A new order."""
    new = _new_order(exchange, params)
    detail = params.choice("newOrderRespType", ("ACK", "RESULT", "FULL"), VenueError(-1136, "Invalid newOrderRespType."), _detail(new.kind))
    order = exchange.matching.place(new, exchange.now())
    return exchange.words.placed(order, detail)


def test(exchange: Exchange, params: Params) -> Any:
    """Everything a new order goes through short of the matching engine."""
    _new_order(exchange, params)
    return {}


def _detail(kind: Kind) -> Any:
    return "ACK" if kind == "LIMIT_MAKER" else "FULL"


def _new_order(exchange: Exchange, params: Params) -> NewOrder:
    """The order the parameters describe, within the market's filters."""
    market = exchange.market(params.text("symbol", SYMBOL))
    side = params.choice("side", SIDES, VenueError(-1117, "Invalid side."))
    kind = params.choice("type", KINDS, VenueError(-1116, "Invalid orderType."))
    life = _life(params, kind)
    amount, quote, price = params.amount("quantity"), params.amount("quoteOrderQty"), params.amount("price")
    _combination(kind, amount is not None, quote is not None, price is not None)
    new = NewOrder(
        market=market,
        side=side,
        kind=kind,
        life=life,
        price=price,
        amount=amount,
        quote=quote,
        client_id=params.maybe("newClientOrderId", exchange.client_id) or exchange.make_id(),
    )
    if exchange.is_closed(market.symbol):
        raise rejected("Market is closed.")
    check(new, exchange.last(market), exchange.notional_min(market.symbol))
    return new


def _life(params: Params, kind: Kind) -> Life:
    if kind != "LIMIT":
        if "timeInForce" in params:
            raise not_required("timeInForce")
        return "GTC"
    return params.choice("timeInForce", LIVES, VenueError(-1115, "Invalid timeInForce."))


def _combination(kind: Kind, amount: bool, quote: bool, price: bool) -> None:  # noqa: FBT001 - presence of three parameters
    if kind == "MARKET":
        if price:
            raise not_required("price")
        if amount and quote:
            raise VenueError(-1128, "Combination of optional parameters invalid.")
        if not amount and not quote:
            raise VenueError(-1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!")
        return
    if not amount:
        raise mandatory("quantity")
    if not price:
        raise mandatory("price")
    if quote:
        raise not_required("quoteOrderQty")


def find(exchange: Exchange, params: Params, missing: VenueError) -> Order:
    """The order named by id or by client id: of several with the same client id the newest."""
    market = exchange.market(params.text("symbol", SYMBOL))
    exchange.advance(exchange.now())
    number, name = params.integer("orderId"), params.maybe("origClientOrderId")
    if number is None and name is None:
        raise VenueError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    for order in reversed(exchange.matching.orders.get(market.symbol, [])):
        if number in (None, order.id) and name in (None, order.client_id):
            return order
    raise missing


def query(exchange: Exchange, params: Params) -> Any:
    """One order."""
    order = find(exchange, params, no_such_order())
    seen = lagging.orders([order], lagging.seen_at(exchange, "order.status", order.market.symbol))
    if not seen:
        raise no_such_order()
    return exchange.words.queried(seen[0])


def cancel(exchange: Exchange, params: Params) -> Any:
    """End one order."""
    order = find(exchange, params, cancel_rejected())
    cancel_id = params.maybe("newClientOrderId", exchange.client_id) or exchange.make_id()
    return exchange.words.canceled(exchange.matching.cancel(order, cancel_id, exchange.moment))


def cancel_all(exchange: Exchange, params: Params) -> Any:
    """End all open orders of a market."""
    market = exchange.market(params.text("symbol", SYMBOL))
    exchange.advance(exchange.now())
    waiting = list(exchange.matching.open.get(market.symbol, []))
    if not waiting:
        raise cancel_rejected()
    return [exchange.words.canceled(exchange.matching.cancel(order, exchange.make_id(), exchange.moment)) for order in waiting]


def open_orders(exchange: Exchange, params: Params) -> Any:
    """Open orders of a market or of all."""
    symbol = params.maybe("symbol", SYMBOL)
    markets = exchange.markets if symbol is None else [exchange.market(symbol)]
    exchange.advance(exchange.now())
    seen_at = lagging.seen_at(exchange, "openOrders.status", symbol or "")
    waiting = exchange.matching.open if seen_at is None else exchange.matching.orders  # what has ended since was open then
    listed = [order for market in markets if market.symbol in waiting for order in waiting[market.symbol]]
    return [exchange.words.queried(order) for order in lagging.orders(listed, seen_at) if order.open]


def all_orders(exchange: Exchange, params: Params) -> Any:
    """Orders of a market, oldest first: the latest ones, or from an id or a time on."""
    market = _advanced(exchange, params)
    start, stop = period(exchange, params)
    first, limit = params.integer("orderId"), params.limit(500, LIST_MAX)
    booked = lagging.orders(exchange.matching.orders.get(market.symbol, []), lagging.seen_at(exchange, "allOrders", market.symbol))
    found = [o for o in booked if start <= o.created <= stop and o.id >= (first or 0)]
    forwards = first is not None or "startTime" in params
    return [exchange.words.queried(order) for order in (found[:limit] if forwards else found[-limit:])]


def my_trades(exchange: Exchange, params: Params) -> Any:
    """Trades of a market, oldest first: the latest ones, or from an id or a time on, or those of an order."""
    market = _advanced(exchange, params)
    start, stop = period(exchange, params)
    order, first, limit = params.integer("orderId"), params.integer("fromId"), params.limit(500, LIST_MAX)
    if first is not None and ("startTime" in params or "endTime" in params):
        raise VenueError(-1128, "Combination of optional parameters invalid.")
    booked = lagging.trades(exchange.matching.trades.get(market.symbol, []), lagging.seen_at(exchange, "myTrades", market.symbol))
    found = [t for t in booked if start <= t.at <= stop and t.id >= (first or 0)]
    found = [t for t in found if order in (None, t.order_id)]
    forwards = first is not None or "startTime" in params
    return [exchange.words.trade(trade) for trade in (found[:limit] if forwards else found[-limit:])]


def _advanced(exchange: Exchange, params: Params) -> Market:
    market = exchange.market(params.text("symbol", SYMBOL))
    exchange.advance(exchange.now())
    return market


def period(exchange: Exchange, params: Params) -> tuple[int, int]:
    """Bounds of a list, startTime and endTime in ms, and not too far apart."""
    start, stop = params.integer("startTime"), params.integer("endTime")
    if start is not None and stop is not None:
        if stop < start:
            raise VenueError(-1023, "Start time is greater than end time.")
        if stop - start > exchange.list_ms_max:
            raise VenueError(-1127, f"More than {exchange.list_ms_max // HOUR} hours between startTime and endTime.")
    return start or 0, (1 << 62) if stop is None else stop


def order_counts(exchange: Exchange, _params: Params) -> Any:
    """How many orders count against the limits now."""
    limits, now = exchange.limits, exchange.now()
    return [
        {"rateLimitType": "ORDERS", "interval": name, "intervalNum": number, "limit": window.limit, "count": window.add(0, now)}
        for name, number, window in (("SECOND", 10, limits.orders), ("DAY", 1, limits.orders_day))
    ]
