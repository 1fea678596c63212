"""Averages that forget exponentially: EMA, and Wilder's RSI and ATR.

Rule: one recurrence for all, average + (x - average) x share. The share is 1/k at the k-th of the first `length` rows, which makes the
simple mean of these, and then stays what it is. The average of equal numbers is that number, to the bit.
"""

from math import ceil

import numpy as np

from daemon.core.indicators.base import MEMORY, TOLERANCE, Counts, Indicator, at_least, finite, runs
from daemon.core.model import CLOSE, HIGH, LOW, Bools, Floats


class _Fading(Indicator):
    """Base of averages whose first value is a simple mean of `length` rows. `terms` of them for each symbol side by side."""

    def __init__(self, length: int, share: float, columns: int, *, terms: int = 1) -> None:
        self.shape = (columns,)
        self._length = length
        self._share = share
        self._average = np.zeros(terms * columns)  # 0 where there is none
        self._run = np.zeros(columns, np.int64)  # rows since the last that had no value

    def step(self, row: Floats) -> Floats:
        """The value after one more row."""
        value: Floats = self.block(row[None])[0]
        return value

    def _fade(self, rows: Floats) -> tuple[Floats, Counts]:
        """The averages after each of rows (times, terms x columns), and how many rows each rests on (times, columns)."""
        width = self.shape[0]
        known = np.isfinite(rows)
        run = runs(known[:, :width], self._run)
        # A row without a value counts as a 0 that replaces the average, so that the first known one replaces it again.
        share = np.where(run > self._length, self._share, 1.0 / np.maximum(run, 1))
        shares = np.tile(share, rows.shape[1] // width)
        averages = np.where(known, rows, 0.0)
        average = self._average
        for now, part in zip(averages, shares, strict=True):  # each row is replaced by the averages after it
            np.subtract(now, average, out=now)
            np.multiply(now, part, out=now)
            average = np.add(average, now, out=now)
        if len(rows):
            self._average, self._run = average.copy(), run[-1]
        return averages, run

    def _where_warm(self, run: Counts, value: Floats) -> Floats:
        return np.where(run >= self._length, value, np.nan)


class EMA(_Fading):
    """Exponential mean: average + alpha x (x - average), alpha = 2 / (length + 1), in units of x. Warm at row `length`.

    The first average is the simple mean of the first `length` rows (StockCharts ChartSchool, "Moving Averages"; so does TA-Lib).
    """

    _parts = ("_average", "_run")

    def __init__(self, length: int, columns: int) -> None:
        at_least("length", length, 1)
        self.need = ceil(MEMORY * (length + 1) / 2) + length
        super().__init__(length, 2.0 / (length + 1), columns)

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows."""
        averages, run = self._fade(rows)
        return self._where_warm(run, averages)


class RSI(_Fading):
    """Relative strength index, 0 to 100: 100 x gain / (gain + loss), averages of the up and down changes over `period` rows.

    The first averages are the simple means of the first `period` changes; after that Wilder's, average + (change - average) / period
    (J. Welles Wilder, New Concepts in Technical Trading Systems, 1978). No losses: 100. No change at all: 50. Warm at row period + 1.

    A ratio forgets only by what comes after: while a price stands still, both averages shrink alike and their ratio stays as it was. So
    `need`, 40 periods, is too short after a stretch of some 10 to 20 periods without a change; `short` knows.
    """

    _parts = ("_average", "_run", "_last")

    def __init__(self, period: int, columns: int) -> None:
        at_least("period", period, 1)
        self.need = MEMORY * period
        super().__init__(period, 1.0 / period, columns, terms=2)
        self._last = np.full(columns, np.nan)

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows."""
        prices = finite(rows)
        before, self._last = _shifted(self._last, prices)
        change = prices - before
        averages, run = self._fade(np.concatenate((np.maximum(change, 0.0), np.maximum(-change, 0.0)), axis=1))
        gain, loss = averages[:, : self.shape[0]], averages[:, self.shape[0] :]
        both = gain + loss
        share = np.divide(gain, both, out=np.full_like(both, 0.5), where=both > 0)
        return self._where_warm(run, 100.0 * share)

    def short(self) -> Bools:
        """Where an average change before the rows seen, at most as large as the price itself, could still move the value by 1e-9."""
        width = self.shape[0]
        left = (1.0 - self._share) ** (self._run - self._length) * np.nan_to_num(self._last)
        both = self._average[:width] + self._average[width:]
        short: Bools = (self._run >= self._length) & (100.0 * left > TOLERANCE * both)
        return short


class ATR(_Fading):
    """Average true range: Wilder's average of max(high, close[-1]) - min(low, close[-1]) over `period` rows, in units of the price.

    A row is (3, symbols): high, low, close. The true range of a symbol's first row is high - low, so ATR is warm at row `period`; before
    it stands their simple mean (Wilder 1978; StockCharts ChartSchool, "Average True Range"). TA-Lib leaves the first row out.
    """

    _parts = ("_average", "_run", "_last")

    def __init__(self, period: int, columns: int) -> None:
        at_least("period", period, 1)
        self.need = MEMORY * period
        super().__init__(period, 1.0 / period, columns)
        self._last = np.full(columns, np.nan)  # close

    def rows(self, panel: Floats) -> Floats:
        """High, low and close."""
        prices: Floats = panel[..., (HIGH, LOW, CLOSE), :]
        return prices

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows (times, 3, symbols)."""
        prices = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, np.nan)
        high, low, close = prices[:, 0], prices[:, 1], prices[:, 2]
        before, self._last = _shifted(self._last, close)
        top, bottom = np.fmax(high, before), np.fmin(low, before)  # of one that is not there, the other
        averages, run = self._fade(np.where(np.isnan(close), np.nan, top - bottom))
        return self._where_warm(run, averages)


def _shifted(last: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """The row before each of many, and the last of all."""
    series = np.concatenate((last[None], rows))
    return series[:-1], series[-1].copy()
