"""Feeds: whether what comes from outside can be relied on: the bars, the peg of the quote currency, the clock, our own loop.

Rule: judged by what has come and when; what has never come is judged from the first look on.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from math import isfinite
from typing import Final

from daemon.core.breakers.breaker import Breaker, Change
from daemon.core.breakers.rules import Code, PegRule, Rule, StaleRule
from daemon.core.model import Slice
from daemon.core.states import States

NAMED_MAX: Final = 8  # symbols in a sentence about them

# A single price far from the peg may be a mistake; one that is still there so long after is not.
PEG_SURE: Final = timedelta(seconds=10)


class StaleData:
    """Trips when too large a share of `symbols` has no data; which those are may change."""

    def __init__(self, rule: StaleRule, states: States, symbols: Sequence[str], timeframe: timedelta) -> None:
        self.breaker = Breaker(Code.STALE_DATA, rule, states)
        self._age = rule.age
        self._timeframe = timeframe
        self.symbols = tuple(symbols)
        self._lost: dict[str, datetime] = {}
        self._newest: dict[str, datetime] = {}  # close of the newest bar of its own

    def lost(self, symbol: str, at: datetime) -> None:
        """A symbol's bars may be missing from here on."""
        self._lost.setdefault(symbol, at)

    def caught_up(self, symbol: str) -> None:
        """They are complete again."""
        self._lost.pop(symbol, None)

    def on_slice(self, closed: Slice) -> None:
        """Note which symbols have had a bar."""
        for symbol, age in zip(closed.symbols, closed.age.tolist(), strict=True):
            if age == 0:
                self._newest[symbol] = closed.closes_at

    def on_time(self, at: datetime) -> Iterator[Change]:
        """Count the symbols without data."""
        stale = [symbol for symbol in self.symbols if self._is_stale(symbol, at)]
        share = len(stale) / len(self.symbols)
        yield from self.breaker.read(share, at, lambda: f"{len(stale)} of {len(self.symbols)} symbols have no data: {_named(stale)}")

    def _is_stale(self, symbol: str, at: datetime) -> bool:
        # The bar that forms now closes at most a timeframe from here: until then the newest is as new as it can be.
        closed = at - self._newest.setdefault(symbol, at) > self._age + self._timeframe
        return closed or at - self._lost.get(symbol, at) > self._age


class Peg:
    """Trips when the price that should be 1 has been too far from it for some seconds."""

    def __init__(self, rule: PegRule, states: States) -> None:
        self.breaker = Breaker(Code.PEG, rule, states)
        self._rule = rule
        self._beyond_since: datetime | None = None

    def on_price(self, symbol: str, price: float, at: datetime) -> Iterator[Change]:
        """A price of any symbol."""
        if symbol != self._rule.symbol or not (isfinite(price) and price > 0):
            return
        distance = abs(price - 1.0)
        if distance < self._rule.limit:
            self._beyond_since = None
            yield from self.breaker.read(distance, at, str)
            return
        since = self._beyond_since = self._beyond_since or at
        if at - since >= PEG_SURE or self.breaker.held() is not None:
            yield from self.breaker.read(
                distance, at, lambda: f"{symbol} is at {price:g}, and should be at 1: the quote currency is off its peg"
            )


class ClockSkew:
    """Trips when our clock is off by `limit` seconds for certain; the next measurement that is within ends it."""

    def __init__(self, rule: Rule, states: States) -> None:
        self.breaker = Breaker(Code.CLOCK_SKEW, rule, states)

    def measured(self, offset: timedelta, uncertainty: timedelta, at: datetime) -> Iterator[Change]:
        """The venue's clock is ahead of ours by `offset`, give or take `uncertainty`."""
        ahead_s = offset.total_seconds()
        certain_s = max(0.0, abs(ahead_s) - uncertainty.total_seconds())
        way = "behind" if ahead_s > 0 else "ahead of"
        yield from self.breaker.read(
            certain_s, at, lambda: f"the clock of this machine is {abs(ahead_s):.1f} s {way} the exchange's; set it (NTP)"
        )


class LoopLag:
    """Trips when the loop stood still for `limit` seconds."""

    def __init__(self, rule: Rule, states: States) -> None:
        self.breaker = Breaker(Code.LOOP_LAG, rule, states)

    def lagged(self, lag: timedelta, at: datetime) -> Iterator[Change]:
        """The loop woke up so much later than it was asked to."""
        lag_s = lag.total_seconds()
        yield from self.breaker.read(lag_s, at, lambda: f"the program stood still for {lag_s:.1f} s, and saw nothing meanwhile")

    def on_time(self, at: datetime) -> Iterator[Change]:
        """It turns."""
        if self.breaker.held() is not None:
            yield from self.breaker.read(0.0, at, str)


def _named(symbols: Sequence[str]) -> str:
    more = len(symbols) - NAMED_MAX
    return ", ".join(symbols[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
