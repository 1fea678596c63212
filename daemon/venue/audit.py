"""The books' judge: recomputes the account from what it began with and everything that was booked.

Rule: exact equality, no tolerance; every finding is one sentence.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal

from daemon.venue.exchange import Exchange
from daemon.venue.money import ZERO


def audit(exchange: Exchange) -> list[str]:
    """What is wrong with the books of spot.

    Empty when balances = initial + transfers + trades - fees, no client id was used twice, and no order led away from a declared target.
    """
    return [*_balances(exchange), *_locks(exchange), *common(exchange)]


def common(exchange: Exchange) -> list[str]:
    """What is wrong with the books whatever the kind of market."""
    return [*_orders(exchange), *_client_ids(exchange), *exchange.targets.findings]


def _expected(exchange: Exchange) -> dict[str, Decimal]:
    found: defaultdict[str, Decimal] = defaultdict(Decimal, exchange.account.initial)
    for transfer in exchange.account.transfers:
        found[transfer.asset] += transfer.amount
    for trades in exchange.matching.trades.values():
        for trade in trades:
            sign = 1 if trade.side == "BUY" else -1
            found[trade.market.base] += sign * trade.amount
            found[trade.market.quote] -= sign * trade.quote
            found[trade.fee_asset] -= trade.fee
    return found


def _balances(exchange: Exchange) -> list[str]:
    expected = _expected(exchange)
    findings = []
    for asset in sorted(expected.keys() | exchange.account.balances.keys()):
        balance = exchange.account.of(asset)
        if balance.free < 0 or balance.locked < 0:
            findings.append(f"{asset} is negative: free {balance.free}, locked {balance.locked}")
        if balance.free + balance.locked != expected[asset]:
            findings.append(f"{asset} is {balance.free + balance.locked}, but what was booked makes {expected[asset]}")
    return findings


def _locks(exchange: Exchange) -> list[str]:
    locked: defaultdict[str, Decimal] = defaultdict(Decimal)
    for orders in exchange.matching.open.values():
        for order in orders:
            locked[order.pays] += order.sets_aside
    return [
        f"{asset} has {balance.locked} locked, but its open orders need {locked[asset]}"
        for asset, balance in exchange.account.balances.items()
        if balance.locked != locked[asset]
    ]


def _orders(exchange: Exchange) -> list[str]:
    findings = []
    for symbol, orders in exchange.matching.orders.items():
        for order in orders:
            amount = sum((trade.amount for trade in order.trades), ZERO)
            quote = sum((trade.quote for trade in order.trades), ZERO)
            if amount != order.executed or quote != order.spent or amount > order.amount:
                findings.append(f"order {symbol} {order.id} says {order.executed} for {order.spent}, its trades {amount} for {quote}")
    return findings


def _client_ids(exchange: Exchange) -> list[str]:
    used = Counter(order.client_id for orders in exchange.matching.orders.values() for order in orders if not order.forced)
    return [f"client id {name} was used {count} times" for name, count in used.items() if count > 1]
