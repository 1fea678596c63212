"""Orders, trades, positions and wallets in the words of the futures protocol: REST answers and user stream events.

Rule: field names and types are Binance's; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from daemon.venue.markets import Market
from daemon.venue.money import ZERO, text
from daemon.venue.orders import Order, Trade
from daemon.venue.swap.margin import Income, Margin
from daemon.venue.swap.positions import maintenance, notional_cap

STP = "EXPIRE_MAKER"
FORCED = "LIQUIDATION"
ACCOUNT_POSITION = (
    *("symbol", "positionSide", "positionAmt", "isolatedMargin", "notional"),
    *("isolatedWallet", "initialMargin", "maintMargin", "updateTime"),
)


def average(order: Order) -> Decimal:
    """Mean price of what is filled, eight decimals, 0 if nothing is."""
    return round(order.spent / order.executed, 8) if order.executed else ZERO


def queried(order: Order) -> dict[str, Any]:
    """An order as it stands."""
    return {
        "orderId": order.id,
        "symbol": order.market.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": text(order.price),
        "avgPrice": text(average(order)),
        "origQty": text(order.amount),
        "executedQty": text(order.executed),
        "cumQty": text(order.executed),
        "cumQuote": text(order.spent),
        "timeInForce": order.life,
        "type": order.kind,
        "origType": order.kind,
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": text(ZERO),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "priceMatch": "NONE",
        "selfTradePreventionMode": STP,
        "goodTillDate": 0,
        "time": order.created,
        "updateTime": order.updated,
    }


def placed(order: Order, detail: str) -> dict[str, Any]:
    """Answer to a new order; ACK says what was taken, RESULT what has become of it."""
    answer = queried(order)
    if detail == "ACK":
        nothing = text(ZERO)
        answer |= {"status": "NEW", "executedQty": nothing, "cumQty": nothing, "cumQuote": nothing, "avgPrice": nothing}
    del answer["time"]
    return answer


def canceled(order: Order) -> dict[str, Any]:
    """Answer to a cancel."""
    answer = queried(order)
    del answer["time"]
    return answer


def trade(booked: Trade) -> dict[str, Any]:
    """A fill in userTrades."""
    return {
        "symbol": booked.market.symbol,
        "id": booked.id,
        "orderId": booked.order_id,
        "side": booked.side,
        "positionSide": "BOTH",
        "price": text(booked.price),
        "qty": text(booked.amount),
        "quoteQty": text(booked.quote),
        "realizedPnl": text(booked.realized),
        "marginAsset": booked.market.quote,
        "commission": text(booked.fee),
        "commissionAsset": booked.fee_asset,
        "time": booked.at,
        "buyer": booked.side == "BUY",
        "maker": booked.maker,
    }


def income(booked: Income) -> dict[str, Any]:
    """A line of the income history."""
    return {
        "symbol": booked.symbol,
        "incomeType": booked.kind,
        "income": text(booked.amount),
        "asset": booked.asset,
        "info": booked.info or booked.kind,
        "time": booked.at,
        "tranId": booked.id,
        "tradeId": "" if booked.trade_id is None else str(booked.trade_id),
    }


def execution(order: Order, what: str, booked: Trade | None = None) -> dict[str, Any]:
    """The user stream's ORDER_TRADE_UPDATE; `what` is NEW, TRADE, CANCELED or EXPIRED, and a fill of a liquidation is CALCULATED."""
    liquidated = order.forced and order.life == "IOC"
    body: dict[str, Any] = {
        "s": order.market.symbol,
        "c": order.client_id,
        "S": order.side,
        "o": FORCED if liquidated else order.kind,
        "f": order.life,
        "q": text(order.amount),
        "p": text(order.price),
        "ap": text(average(order)),
        "sp": text(ZERO),
        "x": "CALCULATED" if liquidated and what == "TRADE" else what,
        "X": "NEW" if what == "NEW" else order.status,
        "i": order.id,
        "l": text(booked.amount if booked else ZERO),
        "z": text(ZERO if what == "NEW" else order.executed),
        "L": text(booked.price if booked else ZERO),
        "T": order.updated,
        "t": booked.id if booked else 0,
        "b": text(ZERO),
        "a": text(ZERO),
        "m": booked.maker if booked else False,
        "R": order.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": FORCED if liquidated else order.kind,
        "ps": "BOTH",
        "cp": False,
        "rp": text(booked.realized if booked else ZERO),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": STP,
        "pm": "NONE",
        "gtd": 0,
    }
    if booked is not None:
        body |= {"N": booked.fee_asset, "n": text(booked.fee)}
    return {"e": "ORDER_TRADE_UPDATE", "E": order.updated, "T": order.updated, "o": body}


def account_update(
    margin: Margin, reason: str, assets: Iterable[str], markets: Iterable[Market], at: int, change: Decimal = ZERO
) -> dict[str, Any]:
    """The user stream's ACCOUNT_UPDATE; `change` is what moved a wallet besides profit and commission."""
    balances = []
    for asset in assets:
        figures = margin.figures(asset)
        balances.append({"a": asset, "wb": text(figures.wallet), "cw": text(figures.cross_wallet), "bc": text(change)})
    positions = [_position(margin, market) for market in markets]
    return {"e": "ACCOUNT_UPDATE", "E": at, "T": at, "a": {"m": reason, "B": balances, "P": positions}}


def _position(margin: Margin, market: Market) -> dict[str, Any]:
    position, isolated = margin.positions[market.symbol], margin.setups[market.symbol].isolated
    return {
        "s": market.symbol,
        "pa": text(position.amount),
        "ep": text(position.entry),
        "bep": text(position.entry),
        "cr": text(position.realized),
        "up": text(position.unrealized(margin.mark(market))),
        "mt": "isolated" if isolated else "cross",
        "iw": text(position.margin),
        "ps": "BOTH",
    }


def margin_call(margin: Margin, markets: Iterable[Market], cross_wallet: Decimal, at: int) -> dict[str, Any]:
    """The user stream's MARGIN_CALL."""
    positions = []
    for market in markets:
        position, mark = margin.positions[market.symbol], margin.mark(market)
        positions.append(
            {
                "s": market.symbol,
                "ps": "BOTH",
                "pa": text(position.amount),
                "mt": "ISOLATED" if margin.setups[market.symbol].isolated else "CROSSED",
                "iw": text(position.margin),
                "mp": text(mark),
                "up": text(position.unrealized(mark)),
                "mm": text(maintenance(position.notional(mark))),
            }
        )
    return {"e": "MARGIN_CALL", "E": at, "cw": text(cross_wallet), "p": positions}


def leverage_changed(symbol: str, leverage: int, at: int) -> dict[str, Any]:
    """The user stream's ACCOUNT_CONFIG_UPDATE."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": at, "T": at, "ac": {"s": symbol, "l": leverage}}


def risk(margin: Margin, market: Market) -> dict[str, Any]:
    """A market in positionRisk, third version."""
    position, mark = margin.positions[market.symbol], margin.mark(market)
    notional, initial = position.notional(mark), margin.initial(market, position.amount)
    needed = margin.needed(market)
    isolated = margin.setups[market.symbol].isolated and bool(position.amount)
    return {
        "symbol": market.symbol,
        "positionSide": "BOTH",
        "positionAmt": text(position.amount),
        "entryPrice": text(position.entry),
        "breakEvenPrice": text(position.entry),
        "markPrice": text(mark),
        "unRealizedProfit": text(position.unrealized(mark)),
        "liquidationPrice": text(margin.liquidation_price(market)),
        "isolatedMargin": text(position.margin + position.unrealized(mark) if isolated else ZERO),
        "notional": text(notional),
        "marginAsset": market.quote,
        "isolatedWallet": text(position.margin),
        "initialMargin": text(max(needed, initial)),
        "maintMargin": text(maintenance(notional)),
        "positionInitialMargin": text(initial),
        "openOrderInitialMargin": text(max(needed - initial, ZERO)),
        "adl": 0,
        "bidNotional": text(ZERO),
        "askNotional": text(ZERO),
        "updateTime": position.updated,
    }


def risk_v2(margin: Margin, market: Market) -> dict[str, Any]:
    """The same, second version: with the market's settings."""
    setup = margin.setups[market.symbol]
    return risk(margin, market) | {
        "leverage": str(setup.leverage),
        "maxNotionalValue": text(notional_cap(setup.leverage)),
        "marginType": "isolated" if setup.isolated else "cross",
        "isAutoAddMargin": "false",
    }


def account_position(margin: Margin, market: Market) -> dict[str, Any]:
    """A market in the account, third version."""
    found = risk(margin, market)
    return {name: found[name] for name in ACCOUNT_POSITION} | {"unrealizedProfit": found["unRealizedProfit"]}


def account_position_v2(margin: Margin, market: Market) -> dict[str, Any]:
    """The same, second version."""
    found, setup = risk(margin, market), margin.setups[market.symbol]
    names = ("entryPrice", "breakEvenPrice", "positionInitialMargin", "openOrderInitialMargin", "bidNotional", "askNotional")
    own = {"leverage": str(setup.leverage), "isolated": setup.isolated, "maxNotional": text(notional_cap(setup.leverage))}
    return account_position(margin, market) | {name: found[name] for name in names} | own


def account_asset(margin: Margin, asset: str) -> dict[str, Any]:
    """A wallet in the account."""
    found = margin.figures(asset)
    return {
        "asset": asset,
        "walletBalance": text(found.wallet),
        "unrealizedProfit": text(found.unrealized),
        "marginBalance": text(found.balance),
        "maintMargin": text(found.maintenance),
        "initialMargin": text(found.position_margin + found.order_margin),
        "positionInitialMargin": text(found.position_margin),
        "openOrderInitialMargin": text(found.order_margin),
        "crossWalletBalance": text(found.cross_wallet),
        "crossUnPnl": text(found.cross_unrealized),
        "availableBalance": text(max(found.available, ZERO)),
        "maxWithdrawAmount": text(margin.withdrawable(asset)),
        "marginAvailable": True,
        "updateTime": margin.account.updated,
    }
