"""Orders, trades and balances in the protocol's words: REST answers and user stream events.

Rule: field names, types and the eight decimals are Binance's; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from daemon.venue.accounts import Account, Transfer
from daemon.venue.money import ZERO, text
from daemon.venue.orders import Order, Trade

STP = "EXPIRE_MAKER"


def placed(order: Order, detail: str) -> dict[str, Any]:
    """Answer to a new order; `detail` is ACK, RESULT or FULL."""
    answer: dict[str, Any] = {
        "symbol": order.market.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": order.updated,
    }
    if detail == "ACK":
        return answer
    answer |= _amounts(order) | {"workingTime": order.created, "selfTradePreventionMode": STP}
    if detail == "FULL":
        answer["fills"] = [
            {
                "price": text(trade.price),
                "qty": text(trade.amount),
                "commission": text(trade.fee),
                "commissionAsset": trade.fee_asset,
                "tradeId": trade.id,
            }
            for trade in order.trades
        ]
    return answer


def canceled(order: Order) -> dict[str, Any]:
    """Answer to a cancel."""
    return {
        "symbol": order.market.symbol,
        "origClientOrderId": order.client_id,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.cancel_id,
        "transactTime": order.updated,
        **_amounts(order),
        "selfTradePreventionMode": STP,
    }


def queried(order: Order) -> dict[str, Any]:
    """An order as it stands."""
    return {
        "symbol": order.market.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        **_amounts(order),
        "stopPrice": text(ZERO),
        "icebergQty": text(ZERO),
        "time": order.created,
        "updateTime": order.updated,
        "isWorking": True,
        "workingTime": order.created,
        "selfTradePreventionMode": STP,
    }


def _amounts(order: Order) -> dict[str, Any]:
    return {
        "price": text(order.price),
        "origQty": text(order.amount),
        "executedQty": text(order.executed),
        "origQuoteOrderQty": text(order.quote),
        "cummulativeQuoteQty": text(order.spent),
        "status": order.status,
        "timeInForce": order.life,
        "type": order.kind,
        "side": order.side,
    }


def trade(booked: Trade) -> dict[str, Any]:
    """A fill in myTrades."""
    return {
        "symbol": booked.market.symbol,
        "id": booked.id,
        "orderId": booked.order_id,
        "orderListId": -1,
        "price": text(booked.price),
        "qty": text(booked.amount),
        "quoteQty": text(booked.quote),
        "commission": text(booked.fee),
        "commissionAsset": booked.fee_asset,
        "time": booked.at,
        "isBuyer": booked.side == "BUY",
        "isMaker": booked.maker,
        "isBestMatch": True,
    }


def execution(order: Order, what: str, booked: Trade | None = None) -> dict[str, Any]:
    """The user stream's executionReport; `what` is NEW, TRADE, CANCELED or EXPIRED."""
    canceled = what == "CANCELED"
    return {
        "e": "executionReport",
        "E": order.updated,
        "s": order.market.symbol,
        "c": order.cancel_id if canceled else order.client_id,
        "S": order.side,
        "o": order.kind,
        "f": order.life,
        "q": text(order.amount),
        "p": text(order.price),
        "P": text(ZERO),
        "F": text(ZERO),
        "g": -1,
        "C": order.client_id if canceled else "",
        "x": what,
        "X": order.status,
        "r": "NONE",
        "i": order.id,
        "l": text(booked.amount if booked else ZERO),
        "z": text(order.executed),
        "L": text(booked.price if booked else ZERO),
        "n": text(booked.fee) if booked else "0",
        "N": booked.fee_asset if booked else None,
        "T": order.updated,
        "t": booked.id if booked else -1,
        "I": order.id * 2 + len(order.trades),
        "w": order.open,
        "m": booked.maker if booked else False,
        "M": booked is not None,
        "O": order.created,
        "Z": text(order.spent),
        "Y": text(booked.quote if booked else ZERO),
        "Q": text(order.quote),
        "W": order.created,
        "V": STP,
    }


def position(account: Account, assets: Iterable[str], at: int) -> dict[str, Any]:
    """The user stream's outboundAccountPosition: the assets an event may have changed."""
    balances = [{"a": asset, "f": text(account.of(asset).free), "l": text(account.of(asset).locked)} for asset in assets]
    return {"e": "outboundAccountPosition", "E": at, "u": at, "B": balances}


def moved(transfer: Transfer) -> dict[str, Any]:
    """The user stream's balanceUpdate of a deposit or withdrawal."""
    return {"e": "balanceUpdate", "E": transfer.at, "a": transfer.asset, "d": text(transfer.amount), "T": transfer.at}
