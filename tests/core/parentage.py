"""Parentage: what must hold of planned orders that are worked on over time, by what leaves and what the venue trades.

Rule: it knows a parent from the moment it was begun, in whatever life of the daemon, and every order by its decision, symbol and side.
"""

from collections.abc import Container, Mapping
from decimal import Decimal
from typing import Protocol

from daemon.core.model import ZERO, Order, Status
from daemon.core.styles import Parent, Style


class Booked(Protocol):
    """An order as the venue has it."""

    @property
    def status(self) -> Status:
        """How it stands there."""
        ...

    @property
    def filled(self) -> Decimal:
        """Base units filled so far."""
        ...


class Books(Protocol):
    """What the venue knows: every order that has arrived, by our id."""

    @property
    def orders(self) -> Mapping[str, Booked]:
        """All of them."""
        ...


Key = tuple[str, str, str]


class Parentage:
    """Parents and their children across the daemon's lives."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._parents: dict[Key, list[Parent]] = {}
        self._children: dict[Key, list[Order]] = {}

    def begun(self, parent: Parent) -> None:
        """A parent begins."""
        self._parents.setdefault((parent.decision_id, parent.symbol, parent.side), []).append(parent)

    def leaves(self, order: Order, doubted: Container[str] = ()) -> str:
        """What is wrong with an order that leaves now; "" if nothing is. `doubted`: the orders of which the daemon does not know the end.

        Those keep nobody in a position: what is certain is sold beside one of them, by another parent that leaves its size alone.
        """
        key = (order.decision_id, order.symbol, order.side)
        siblings = self._children.setdefault(key, [])
        parent = self._of(key, order)
        siblings.append(order)
        if parent is None:
            return ""
        for other in siblings[:-1]:
            if not order.spends_quote and other.id in doubted and self._of(key, other) is not parent:
                continue
            booked = self._books.orders.get(other.id)
            if booked is not None and booked.status is Status.OPEN:
                return f"leaves while {other.id} of the same decision, symbol and side is open at the venue"
        mine = [child for child in siblings if self._of(key, child) is parent]
        may_fill = sum((self._filled(child) for child in mine[:-1]), order.amount)
        if may_fill > parent.amount:
            return f"makes the children of its parent {may_fill}, of which {parent.amount} was planned"
        return self._in_its_part(parent, mine)

    @staticmethod
    def _in_its_part(parent: Parent, children: list[Order]) -> str:
        """Of a parent that trades by the clock: one child a part, and none before or after its time."""
        if parent.style is not Style.TWAP:
            return ""
        parts = [parent.slice_at(child.at) for child in children]
        if len(set(parts)) < len(parts) or parts[-1] >= parent.slices:
            return f"is a second order in its part, or one after the last: {parts} of {parent.slices}"
        return ""

    def _filled(self, order: Order) -> Decimal:
        booked = self._books.orders.get(order.id)
        return ZERO if booked is None else booked.filled

    def _of(self, key: Key, order: Order) -> Parent | None:
        return next((parent for parent in reversed(self._parents.get(key, [])) if parent.first <= order.attempt), None)
