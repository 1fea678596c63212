"""Upkeep: what holding swaps costs and is worth in stored data: their funding rates, and the mark prices that positions are valued at.

Rule: a rate is settled at its own moment, whatever the bars are, on the position as it was before anything was traded at that moment; a
payment is position x mark price x rate, and longs pay it where it is positive.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Final

import numpy as np

from daemon.core.funding import USUAL, FundingRate
from daemon.core.model import CLOSE, OPEN, Floats, epoch_ms, from_epoch_ms
from daemon.research.bars import Bars, DataError, Series, Times, columns_of, found, funding_name, mark_name, read

PRICES: Final = ("open", "high", "low", "close")

# Payments to so many decimals: finer than any venue's, and coarse enough that sums of them are exact.
GRAIN: Final = Decimal("1e-18")
WIDE: Final = Context(prec=60)


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """The funding rates of one swap: `times` int64 (settlements,), UTC ms, increasing; `rates` float64, fractions of the worth."""

    times: Times
    rates: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Upkeep:
    """By symbol, mark price candles and funding rates, where there are files of them."""

    marks: Mapping[str, Series]
    rates: Mapping[str, Rates]

    def settlements(self, after: int, until: int) -> Iterator[tuple[datetime, str, Decimal]]:
        """The settlements later than a moment and not later than another (UTC ms), in order of time and symbol."""
        due: list[tuple[int, str, float]] = []
        for symbol, each in self.rates.items():
            first, end = np.searchsorted(each.times, (after, until), side="right").tolist()
            due += [(at, symbol, rate) for at, rate in zip(each.times[first:end].tolist(), each.rates[first:end].tolist(), strict=True)]
        return ((from_epoch_ms(at), symbol, Decimal(repr(rate))) for at, symbol, rate in sorted(due))


NONE: Final = Upkeep({}, {})


def load(folder: Path, symbols: Sequence[str], timeframe: timedelta) -> Upkeep:
    """What the store has of these swaps; files are `BASE_QUOTE_SETTLE-TIMEFRAME-mark.parquet` and `BASE_QUOTE_SETTLE-funding.parquet`.

    Raises:
        DataError: a file cannot be read, or a row of it is impossible.
    """
    marks = {symbol: found(folder, [mark_name(symbol, timeframe)]) for symbol in symbols}
    funding = {symbol: found(folder, [funding_name(symbol)]) for symbol in symbols}
    return Upkeep(
        {symbol: read(path, timeframe, PRICES) for symbol, path in marks.items() if path is not None},
        {symbol: rates(path) for symbol, path in funding.items() if path is not None},
    )


def rates(path: Path) -> Rates:
    """The settlements of a file.

    Raises:
        DataError: it cannot be read, is out of order, or has a rate that none can be.
    """
    times, values = columns_of(path, ("funding_rate",))
    if not (np.diff(times) > 0).all():
        raise DataError(f"{path}: timestamps must increase")
    if not (np.isfinite(values) & (abs(values) < 1)).all():
        raise DataError(f"{path}: a funding rate must be a fraction between -1 and 1")
    return Rates(times, values[:, 0])


class Dues:
    """What positions pay and are worth in the course of a run over `bars`."""

    def __init__(self, upkeep: Upkeep, bars: Bars) -> None:
        self._upkeep = upkeep
        self._bars = bars
        self._length_ms = bars.timeframe // timedelta(milliseconds=1)
        self._paid_until = 0

    def settlements(self, until: datetime) -> Iterator[tuple[datetime, str, Decimal]]:
        """Those that have become due since they were last asked for."""
        after, self._paid_until = self._paid_until, max(self._paid_until, epoch_ms(until))
        return self._upkeep.settlements(after, self._paid_until)

    def payment(self, symbol: str, held: Decimal, rate: Decimal, at: datetime) -> Decimal:
        """What a position (base units, signed) is paid at a settlement, in quote; below 0: it pays."""
        worth = WIDE.multiply(held, self._price(symbol, epoch_ms(at)))
        return -WIDE.quantize(WIDE.multiply(worth, rate), GRAIN)

    def marks(self, at: datetime) -> Iterator[tuple[str, float]]:
        """The mark prices of a close, of the symbols that have one then."""
        for symbol, series in self._upkeep.marks.items():
            row = int(np.searchsorted(series.closes, epoch_ms(at)))
            if row < len(series.closes) and series.closes[row] == epoch_ms(at):
                yield symbol, float(series.values[row, CLOSE])

    def mark(self, symbol: str, at: datetime) -> Decimal | None:
        """What a position is worth at a close: its mark price, or the last one before it; the traded price where there is no other."""
        moment, newest = epoch_ms(at), (-1, 0.0)
        for series in (self._upkeep.marks.get(symbol), self._bars.series[symbol]):
            row = -1 if series is None else int(np.searchsorted(series.closes, moment, side="right")) - 1
            if series is not None and row >= 0 and int(series.closes[row]) > newest[0]:
                newest = int(series.closes[row]), float(series.values[row, CLOSE])
        return None if newest[0] < 0 else Decimal(repr(newest[1]))

    def expected(self, at: datetime) -> Iterator[tuple[str, FundingRate]]:
        """By symbol, what a moment lets expect: the rate that was settled last, again after as long as it came after the one before.

        Of the rates to come none is looked at; a first one is expected again as usual.
        """
        for symbol, each in self._upkeep.rates.items():
            row = int(np.searchsorted(each.times, epoch_ms(at), side="right")) - 1
            if row >= 0:
                last = from_epoch_ms(int(each.times[row]))
                interval = last - from_epoch_ms(int(each.times[row - 1])) if row else USUAL
                yield symbol, FundingRate(float(each.rates[row]), last + interval, interval)

    def _price(self, symbol: str, at: int) -> Decimal:
        """The mark price of a moment, or the last one before it; the traded price where that is newer, or there is no other."""
        series = [each for each in (self._upkeep.marks.get(symbol), self._bars.series[symbol]) if each is not None]
        known = [self._known(each, at) for each in series]
        return Decimal(repr(max(known, key=lambda each: each[0])[1]))

    def _known(self, series: Series, at: int) -> tuple[int, float]:
        """The newest price of a series that a moment knows, and since when: the open of a bar that begins then, else the last close."""
        row = int(np.searchsorted(series.closes, at, side="right"))
        if row < len(series.closes) and series.closes[row] == at + self._length_ms:
            return at, float(series.values[row, OPEN])
        return (int(series.closes[row - 1]), float(series.values[row - 1, CLOSE])) if row else (-1, 0.0)
