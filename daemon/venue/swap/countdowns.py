"""Countdowns: the timers by which the exchange cancels everything in a market, unless its client asks for another in time.

Rule: a market has one at most, and a newer one takes its place; all orders there are cancelled, whoever sent them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from daemon.venue.errors import VenueError
from daemon.venue.markets import Market
from daemon.venue.matching import Matching


@dataclass(slots=True)
class Countdowns:
    """Of one account. Times in UTC ms."""

    matching: Matching
    make_id: Callable[[], str]
    due: dict[str, int] = field(default_factory=dict)  # by market, when it is over

    def set(self, market: Market, length: int, now: int) -> None:
        """Begin one of `length` ms, or end the one there is by 0."""
        if length:
            self.due[market.symbol] = now + length
        else:
            self.due.pop(market.symbol, None)

    def over(self, now: int) -> list[tuple[int, str]]:
        """Those that are over by then, with their moments."""
        return sorted((at, symbol) for symbol, at in self.due.items() if at <= now)

    def strike(self, symbol: str) -> None:
        """Cancel what is open there; what has happened up to its moment has been matched already."""
        at = self.due.pop(symbol)
        for order in list(self.matching.open.get(symbol, ())):
            with suppress(VenueError):  # a fault has it filled first
                self.matching.cancel(order, self.make_id(), at)
