"""Funding: at which times, and at which rates.

Rule: a pure function of the recording, or of the seed. A recorded rate comes with the row that opens at its time, however long a live bar
is, and again on the way back; without a recording it is settled at multiples of the interval since the epoch.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from daemon.venue.tape import Tape

USUAL: Final = 0.0001  # the rate that Binance's falls back to where premium and interest cancel out
SPREAD: Final = 0.00015  # standard deviation of generated rates
HOUR_MS: Final = 3_600_000
GLANCE: Final = 16  # rows to look ahead at first; twice as many each time nothing is there


class Settlement(NamedTuple):
    """A moment at which longs pay shorts, or get paid where the rate is below 0."""

    at: int  # UTC ms
    rate: Decimal  # fraction of the position's worth at the mark price


class Series(NamedTuple):
    """Recorded rates of a market by the rows at which they are settled."""

    rows: Sequence[int]  # places in the recording, ascending
    rates: Sequence[Decimal]

    @property
    def apart(self) -> int:
        """How many rows are between two settlements: the median."""
        return int(median(after - before for before, after in pairwise(self.rows))) if len(self.rows) > 1 else 1


class Funding:
    """The settlements of all markets. `length`: rows of the recording; `interval` in ms where there is none."""

    def __init__(self, tape: Tape, series: Mapping[int, Series], length: int, interval: int, seed: int) -> None:
        self._tape, self._series, self._length = tape, series, length
        self.interval, self._seed = interval, seed

    def between(self, market: int, start: int, stop: int) -> list[Settlement]:
        """The settlements after `start` up to `stop`, ms, oldest first."""
        start = max(start, self._tape.origin - 1)
        series = self._series.get(market)
        if series is None:
            return [self._generated(market, number) for number in range(start // self.interval + 1, stop // self.interval + 1)]
        first, last = self._tape.index(start), self._tape.index(stop)
        found = [
            each for lap in range(max(first, 0) // self._length, last // self._length + 1) for each in self._lap(series, lap, first, last)
        ]
        return [each for each in found if start < each.at <= stop]

    def next(self, market: int, now: int) -> Settlement:
        """The first settlement after `now`."""
        ahead = self.interval if market not in self._series else GLANCE * self._tape.step
        while not (found := self.between(market, now, now + ahead)):
            ahead *= 2
        return found[0]

    def hours(self, market: int) -> int:
        """How far settlements usually are apart, whole hours, at least 1: the protocol knows no shorter ones."""
        series = self._series.get(market)
        apart = self.interval if series is None else series.apart * self._tape.step
        return max(1, round(apart / HOUR_MS))

    def _generated(self, market: int, number: int) -> Settlement:
        rate = random.Random(f"{self._seed} funding {market} {number}").gauss(USUAL, SPREAD)
        return Settlement(number * self.interval, Decimal(round(rate * 10**8)).scaleb(-8))

    def _lap(self, series: Series, lap: int, first: int, last: int) -> list[Settlement]:
        """The settlements of one run through the recording, forwards or back, about rows `first` to `last`."""
        opened = lap * self._length
        low, high = first - opened, last - opened
        if lap % 2:
            low, high = self._length - 1 - high, self._length - 1 - low
        places = range(bisect_left(series.rows, low), bisect_right(series.rows, high))
        found = [
            Settlement(
                self._tape.opens(opened + (self._length - 1 - series.rows[place] if lap % 2 else series.rows[place])), series.rates[place]
            )
            for place in places
        ]
        return sorted(found)
