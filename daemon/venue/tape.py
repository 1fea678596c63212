"""The tape: the last price of every market at any moment, and its candles.

Rule: a pure function of the rows and of the time asked for. Inside a live bar the price runs in straight lines from the open over both
extremes to the close (the low first in a rising bar, the high first in a falling one), so all that was seen agrees with the closed bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daemon.venue.intervals import following, opened, opened_all
from daemon.venue.markets import Market
from daemon.venue.rows import COLUMNS, Row, Rows, Table

LEGS = 3  # straight lines in a bar


class Bar(NamedTuple):
    """A candle. Times in UTC ms, `end` is the next candle's open; prices in quote per base, volume in base units."""

    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def knots(row: Row) -> tuple[float, float, float, float]:
    """The four prices a bar passes, in order."""
    if row.close >= row.open:
        return row.open, row.low, row.high, row.close
    return row.open, row.high, row.low, row.close


def price_at(row: Row, phase: float) -> float:
    """The price at `phase` of the bar, 0 its open and 1 its close; off the grid between the knots."""
    points = knots(row)
    leg = min(int(phase * LEGS), LEGS - 1)
    return points[leg] + (points[leg + 1] - points[leg]) * (phase * LEGS - leg)


def span(row: Row, start: float, stop: float) -> tuple[float, float]:
    """Lowest and highest price between two phases of the bar, both included."""
    seen = [price_at(row, start), price_at(row, stop)]
    seen += [point for leg, point in enumerate(knots(row)) if start * LEGS <= leg <= stop * LEGS]
    return min(seen), max(seen)


class Tape:
    """Prices over time. Row 0 opens at `origin` (UTC ms) and every row lasts `interval`."""

    def __init__(self, rows: Rows, markets: Sequence[Market], interval: str, step: int, origin: int) -> None:
        self._rows = rows
        self._markets = markets
        self.interval = interval
        self.step = step
        self.origin = origin

    def index(self, at: int) -> int:
        """The row that is live at `at`."""
        return (at - self.origin) // self.step

    def opens(self, index: int) -> int:
        """Open time of a row, ms."""
        return self.origin + index * self.step

    def last(self, market: int, at: int) -> float:
        """The last price at `at`, on the market's grid; in a gap the close before it."""
        index = self.index(at)
        row = self._rows.row(market, index)
        if row is not None:
            return self._rounded(market, price_at(row, self._phase(index, at)))
        while index > 0:
            index -= 1
            row = self._rows.row(market, index)
            if row is not None:
                return row.close
        return self._rounded(market, self._markets[market].price)

    def span(self, market: int, start: int, stop: int) -> tuple[float, float] | None:
        """Lowest and highest price between two times; None if there was no bar."""
        lows, highs = [], []
        for index in range(self.index(start), self.index(stop) + 1):
            row = self._rows.row(market, index)
            if row is not None:
                low, high = span(row, self._phase(index, start), self._phase(index, stop))
                lows.append(self._rounded(market, low))
                highs.append(self._rounded(market, high))
        return (min(lows), max(highs)) if lows else None

    def closed(self, market: int, index: int) -> Bar | None:
        """The whole bar of a row, None at a gap."""
        row = self._rows.row(market, index)
        return None if row is None else Bar(self.opens(index), self.opens(index + 1), *row)

    def forming(self, market: int, at: int) -> Bar | None:
        """The live bar as far as it has come at `at`, None at a gap."""
        index = self.index(at)
        row = self._rows.row(market, index)
        if row is None:
            return None
        phase = self._phase(index, at)
        low, high = (self._rounded(market, price) for price in span(row, 0.0, phase))
        close = self._rounded(market, price_at(row, phase))
        volume = round(row.volume * phase, self._markets[market].amount_decimals)
        return Bar(self.opens(index), self.opens(index + 1), row.open, high, low, close, volume)

    def table(self, market: int, start: int, stop: int) -> Table:
        """Whole rows start..stop-1; see `Rows.table`."""
        return self._rows.table(market, max(start, 0), max(stop, 0))

    def columns(self, market: int, now: int) -> dict[str, NDArray[Any]]:
        """The closed bars of a market as the columns of a market data file, gaps left out."""
        live = self.index(now)
        table = self.table(market, 0, live)
        present = ~np.isnan(table[:, 0])
        times = self.origin + np.arange(live, dtype=np.int64) * self.step
        return {"timestamp": times[present]} | {name: table[present, place] for place, name in enumerate(COLUMNS)}

    def bars(self, market: int, interval: str, start: int, stop: int, now: int) -> list[Bar]:
        """Candles of `interval` that open in start..stop (ms, both included), the last one as far as it has come at `now`."""
        first = max(self.index(opened(interval, max(start, self.origin))), 0)
        live = self.index(now)
        until = min(self.index(following(interval, opened(interval, stop)) - 1), live)
        if until < first:
            return []
        whole = self.table(market, first, min(until + 1, live))
        bars = self._resampled(interval, whole, first)
        forming = self.forming(market, now) if until == live else None
        if forming is not None:
            bars = merged(interval, bars, forming)
        return [bar for bar in bars if start <= bar.start <= stop]

    def _resampled(self, interval: str, table: Table, first: int) -> list[Bar]:
        times = self.origin + (first + np.arange(len(table), dtype=np.int64)) * self.step
        present = ~np.isnan(table[:, 0])
        times, table = times[present], table[present]
        if not len(times):
            return []
        opens = opened_all(interval, times)
        edges = np.flatnonzero(np.concatenate(([True], opens[1:] != opens[:-1])))
        ends = np.append(edges[1:], len(times)) - 1
        columns = (
            table[edges, 0],
            np.maximum.reduceat(table[:, 1], edges),
            np.minimum.reduceat(table[:, 2], edges),
            table[ends, 3],
            np.add.reduceat(table[:, 4], edges),
        )
        starts = opens[edges].tolist()
        return [Bar(s, following(interval, s), *v) for s, *v in zip(starts, *(c.tolist() for c in columns), strict=True)]

    def _phase(self, index: int, at: int) -> float:
        """How far row `index` has come at `at`, between 0 and 1."""
        return min(max((at - self.opens(index)) / self.step, 0.0), 1.0)

    def _rounded(self, market: int, price: float) -> float:
        return round(price, self._markets[market].price_decimals)


def extended(bar: Bar, later: Bar) -> Bar:
    """A candle with a later part of itself added."""
    return bar._replace(high=max(bar.high, later.high), low=min(bar.low, later.low), close=later.close, volume=bar.volume + later.volume)


def within(interval: str, bar: Bar) -> Bar:
    """The candle of a longer interval that consists of `bar` so far."""
    start = opened(interval, bar.start)
    return bar._replace(start=start, end=following(interval, start))


def merged(interval: str, bars: list[Bar], later: Bar) -> list[Bar]:
    """Candles of `interval` with a later, shorter bar added."""
    part = within(interval, later)
    if bars and bars[-1].start == part.start:
        return [*bars[:-1], extended(bars[-1], part)]
    return [*bars, part]
