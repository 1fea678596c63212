"""Returns and ratios: what a price is beside an earlier one, or beside another symbol's.

Rule: a quotient is one division of two prices as they came, so it is the same wherever the history begins.
"""

from collections.abc import Sequence

import numpy as np

from daemon.core.indicators.base import Indicator, at_least, quotient
from daemon.core.model import Floats


class Momentum(Indicator):
    """Simple return over `lookback` rows: x / x[-lookback] - 1, x[-k] being the row k before the current one; a fraction, 0.01 is 1 %.

    Warm at row lookback + 1.
    """

    _parts = ("_past", "_at")

    def __init__(self, lookback: int, columns: int) -> None:
        at_least("lookback", lookback, 1)
        self.need = lookback + 1
        self.shape = (columns,)
        self._past = np.full((lookback, columns), np.nan)
        self._at = 0  # where the oldest row is, and the next one goes

    def step(self, row: Floats) -> Floats:
        """The value after one more row."""
        value: Floats = quotient(row, self._past[self._at]) - 1.0
        self._past[self._at] = row
        self._at = (self._at + 1) % len(self._past)
        return value

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows."""
        series = np.concatenate((np.roll(self._past, -self._at, axis=0), rows))
        values: Floats = quotient(rows, series[: len(rows)]) - 1.0
        self._past, self._at = series[len(rows) :].copy(), 0
        return values


class Returns(Momentum):
    """Simple return over one row: x / x[-1] - 1, a fraction. Warm at row 2."""

    def __init__(self, columns: int) -> None:
        super().__init__(1, columns)


class Ratio(Indicator):
    """x[a] / x[b] for each pair of columns (a, b): value (pairs,), NaN where either has no value or x[b] is 0. Warm at row 1."""

    _parts = ()

    def __init__(self, pairs: Sequence[tuple[int, int]]) -> None:
        self.need = 1
        self.shape = (len(pairs),)
        self._above = [above for above, _ in pairs]
        self._below = [below for _, below in pairs]

    def step(self, row: Floats) -> Floats:
        """The value of one row."""
        return self.block(row)

    def block(self, rows: Floats) -> Floats:
        """The values of each of many rows."""
        return quotient(rows[..., self._above], rows[..., self._below])
