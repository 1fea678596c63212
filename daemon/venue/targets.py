"""Declared targets: what a client has said it wants to hold, and the orders that led away from it.

Rule: an order is judged as it is booked, by its whole size: the holding that it and the open orders lead to must not be further from the
target than without it. Orders that the venue has planted itself are not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from daemon.venue.orders import Order


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of a market's base, base units; a distance of at most `tolerance` is none."""

    amount: Decimal
    tolerance: Decimal


class Targets:
    """The targets in force by symbol, and what was found against them."""

    def __init__(self) -> None:
        self.declared: dict[str, Target] = {}
        self.findings: list[str] = []

    def declare(self, symbol: str, target: Target | None) -> None:
        """From here on this is wanted; None: nothing in particular."""
        if target is None:
            self.declared.pop(symbol, None)
        else:
            self.declared[symbol] = target

    def judge(self, order: Order, before: Decimal) -> None:
        """An order is booked; `before` is what the account would hold once all other orders have ended, base units."""
        target = self.declared.get(order.market.symbol)
        if target is None:
            return
        after = before + (order.amount if order.side == "BUY" else -order.amount)
        near, far = abs(before - target.amount), abs(after - target.amount)
        if far > max(near, target.tolerance):
            self.findings.append(
                f"order {order.market.symbol} {order.id} ({order.client_id}) leads from {before} to {after}, away from {target.amount}"
            )
