"""The past: what a venue whose look-ups lag behind shows of orders, trades and balances.

Rule: derived from what was booked since, never stored; the matching engine itself is never late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from daemon.venue.accounts import Balance
from daemon.venue.exchange import Exchange
from daemon.venue.faults import Lag
from daemon.venue.money import ZERO
from daemon.venue.orders import Order, Trade


def seen_at(exchange: Exchange, endpoint: str, symbol: str = "") -> int | None:
    """The moment (ms) as of which a look-up answers now; None where nothing lags."""
    now = exchange.now()
    lag = exchange.faults.strike(Lag, now, endpoint, symbol)
    return None if lag is None else now - lag.ms


def orders(found: Iterable[Order], at: int | None) -> list[Order]:
    """These orders as they stood at a moment; those that were not there yet are left out."""
    return list(found) if at is None else [_then(order, at) for order in found if order.created <= at]


def trades(found: Sequence[Trade], at: int | None) -> Sequence[Trade]:
    """The trades that were booked by then."""
    return found if at is None else [trade for trade in found if trade.at <= at]


def _then(order: Order, at: int) -> Order:
    if order.updated <= at:
        return order
    done = [trade for trade in order.trades if trade.at <= at]
    executed = sum((trade.amount for trade in done), ZERO)
    return replace(
        order,
        status="PARTIALLY_FILLED" if done else "NEW",
        executed=executed,
        spent=sum((trade.quote for trade in done), ZERO),
        updated=max((trade.at for trade in done), default=order.created),
        trades=done,
    )


def balances(exchange: Exchange, at: int | None) -> dict[str, Balance]:
    """What the account held at a moment, free and locked."""
    account = exchange.account
    if at is None:
        return account.balances
    totals: defaultdict[str, Decimal] = defaultdict(Decimal, {asset: b.free + b.locked for asset, b in account.balances.items()})
    for transfer in account.transfers:
        if transfer.at > at:
            totals[transfer.asset] -= transfer.amount
    for trade in (trade for booked in exchange.matching.trades.values() for trade in booked if trade.at > at):
        sign = 1 if trade.side == "BUY" else -1
        totals[trade.market.base] -= sign * trade.amount
        totals[trade.market.quote] += sign * trade.quote
        totals[trade.fee_asset] += trade.fee
    locked = _locked(exchange, at)
    return {asset: Balance(total - locked[asset], locked[asset]) for asset, total in totals.items()}


def _locked(exchange: Exchange, at: int) -> defaultdict[str, Decimal]:
    """What the orders that rested then had set aside."""
    locked: defaultdict[str, Decimal] = defaultdict(Decimal)
    booked = (order for listed in exchange.matching.orders.values() for order in listed)
    for order in orders(booked, at):
        if order.open:
            locked[order.pays] += order.sets_aside
    return locked
