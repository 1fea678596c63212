"""Rate limits: request weight, new orders, websocket messages and connections.

Rule: windows are Binance's (fixed, aligned to the clock, for weight and orders); who is refused by weight and goes on asking is banned.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from daemon.venue.errors import VenueError

MINUTE: Final = 60_000
PATIENCE: Final = 10  # refused requests in a minute before the ban
BAN: Final = 120_000  # ms, Binance's shortest


@dataclass(slots=True)
class Window:
    """A counter that starts anew at every multiple of `length` ms."""

    length: int
    limit: int
    opened: int = 0
    used: int = 0

    def add(self, amount: int, now: int) -> int:
        """Count and return what is used in the present window."""
        start = now // self.length * self.length
        if start != self.opened:
            self.opened, self.used = start, 0
        self.used += amount
        return self.used

    def wait_s(self, now: int) -> int:
        """Whole seconds until the window starts anew, at least 1."""
        return max(1, -(-(self.opened + self.length - now) // 1000))


class RequestLimits:
    """Weight a minute, orders in ten seconds and a day."""

    def __init__(self, weight: int, orders: int, orders_day: int) -> None:
        self.weight = Window(MINUTE, weight)
        self.orders = Window(10_000, orders)
        self.orders_day = Window(86_400_000, orders_day)
        self.refused = 0  # since the start, for the dump
        self._refused = Window(MINUTE, PATIENCE)
        self._banned_until = 0

    def charge(self, weight: int, now: int) -> None:
        """Count a request's weight; refuse it when too much was used."""
        used = self.weight.add(weight, now)
        if now < self._banned_until:
            raise self._ban(now)
        if used <= self.weight.limit:
            return
        self.refused += 1
        if self._refused.add(1, now) > PATIENCE:
            self._banned_until = now + BAN
            raise self._ban(now)
        message = (
            f"Too much request weight used; current limit is {self.weight.limit} request weight per 1 MINUTE."
            " Please use WebSocket Streams for live updates to avoid polling the API."
        )
        raise VenueError(-1003, message, 429, {"Retry-After": str(self.weight.wait_s(now))})

    def ban(self, until: int) -> None:
        """Refuse everybody until then, UTC ms."""
        self._banned_until = max(self._banned_until, until)

    def charge_order(self, now: int) -> None:
        """Count a new order; refuse it when there were too many."""
        for window, words in ((self.orders, "10 SECOND"), (self.orders_day, "1 DAY")):
            if window.add(1, now) > window.limit:
                message = f"Too many new orders; current limit is {window.limit} orders per {words}."
                raise VenueError(-1015, message, 429, {"Retry-After": str(window.wait_s(now))})

    def _ban(self, now: int) -> VenueError:
        message = (
            f"Way too much request weight used; IP banned until {self._banned_until}."
            " Please use WebSocket Streams for live updates to avoid bans."
        )
        return VenueError(-1003, message, 418, {"Retry-After": str(-(-(self._banned_until - now) // 1000))})

    def headers(self, now: int, *, order: bool) -> dict[str, str]:
        """The counters as response headers."""
        found = {"X-MBX-USED-WEIGHT": str(self.weight.add(0, now)), "X-MBX-USED-WEIGHT-1M": str(self.weight.used)}
        if order:
            found["X-MBX-ORDER-COUNT-10S"] = str(self.orders.add(0, now))
            found["X-MBX-ORDER-COUNT-1D"] = str(self.orders_day.add(0, now))
        return found


class Sliding:
    """At most `limit` happenings in any `length` ms."""

    def __init__(self, length: int, limit: int) -> None:
        self._length, self._limit = length, limit
        self._seen: deque[int] = deque()

    def allow(self, now: int) -> bool:
        """Count one; False when it is one too many."""
        while self._seen and now - self._seen[0] >= self._length:
            self._seen.popleft()
        self._seen.append(now)
        return len(self._seen) <= self._limit
