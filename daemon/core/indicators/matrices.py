"""Covariance and correlation matrices: of a window, and exponentially forgetting. O(symbols^2) a step, whatever the length.

Rule: a pair has a value when both symbols have had one in every row that counts; other pairs do not wait for it.
"""

from math import ceil, isqrt, log

import numpy as np

from daemon.core.indicators.base import MEMORY, Indicator, at_least
from daemon.core.model import Bools, Floats


def correlation(covariance: Floats) -> Floats:
    """Correlations of a covariance matrix (..., n, n), -1 to 1, 1 on the diagonal; NaN where a variance is 0 or not there."""
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    deviation = np.sqrt(np.where(variance > 0, variance, np.nan))
    values: Floats = np.clip(covariance / deviation[..., :, None] / deviation[..., None, :], -1.0, 1.0)
    n = covariance.shape[-1]
    values[..., range(n), range(n)] = np.where(np.isnan(deviation), np.nan, 1.0)
    return values


def _outer(row: Floats) -> Floats:
    return row[:, None] * row


class Covariance(Indicator):
    """Covariance matrix of the last `length` rows: sum((x - mean x)(y - mean y)) / (length - ddof). Feed it returns, not prices.

    Value (columns, columns), symmetric, in units of x squared. ddof 0 is the population's, ddof 1 the sample's. Warm at row `length`.

    Windows are tails and heads, and products are summed of distances to a row of the window, as for deviations (moments.py, windows.py).
    Of the last stretch's tails only every sqrt(length)-th is kept, and the ones between are made when their turn comes: 2 sqrt(length)
    matrices instead of `length`.
    """

    _parts = ("_past", "_stretch", "_marks", "_tails", "_head", "_run", "_at")

    def __init__(self, length: int, columns: int, *, ddof: int = 0) -> None:
        at_least("length", length, 1 + ddof)
        self.need = length
        self.shape = (columns, columns)
        self._length = length
        self._ddof = ddof
        self._pace = isqrt(length - 1) + 1  # rows between two marks
        self._past = np.zeros((length, columns))  # the rows of the last stretch
        self._stretch = np.zeros((length, columns))  # the rows of the present one, 0 where there is no value
        # Sums of distances, below them those of their products: (columns + 1, columns).
        self._marks = np.zeros(
            (-(-length // self._pace), columns + 1, columns)
        )  # [s]: of the rows from (s + 1) x pace on; the last stays 0
        self._tails = np.zeros((self._pace, columns + 1, columns))  # [i]: of the rows after the i-th since the last mark
        self._head = np.zeros((columns + 1, columns))
        self._run = np.zeros(columns, np.int64)
        self._at = 0

    def step(self, row: Floats) -> Floats:
        """The value after one more row."""
        at = self._at
        known = np.isfinite(row)
        self._run = np.where(known, self._run + 1, 0)
        self._stretch[at] = np.where(known, row, 0.0)
        if at % self._pace == 0:
            self._refine(at // self._pace)
        products = _products(self._stretch[at] - self._stretch[0])
        self._head = self._head + products if at else products  # never times 0: what has overflowed would stay for ever
        value = self._tell(self._tails[at % self._pace], at + 1)
        self._at = (at + 1) % self._length
        if not self._at:
            self._mark()
        warm = self._run >= self._length
        return self._finish(np.where(warm[:, None] & warm, value, np.nan))

    def last(self, rows: Floats) -> Floats:
        """The value after the last of many rows."""
        for row in rows[:-1]:
            self.step(row)
        return self.step(rows[-1])

    def _finish(self, covariance: Floats) -> Floats:
        return covariance

    def _tell(self, tail: Floats, new: int) -> Floats:
        """The covariances of a window of which `new` rows are the head's."""
        old = self._length - new
        far, near = tail[0] / max(old, 1), self._head[0] / new  # an empty tail has sums of 0
        between = (self._past[-1] - self._stretch[0]) + (far - near)
        within = (tail[1:] - _outer(far) * old) + (self._head[1:] - _outer(near) * new)
        covariance: Floats = (within + _outer(between) * (old * new / self._length)) / (self._length - self._ddof)
        return covariance

    def _mark(self) -> None:
        """A stretch is full: walk back through it and keep the tails at the marks."""
        self._past, self._stretch = self._stretch, np.zeros_like(self._stretch)
        tail = np.zeros_like(self._head)
        for j in range(self._length - 1, -1, -1):
            if (j + 1) % self._pace == 0:
                self._marks[j // self._pace] = tail
            tail += _products(self._past[j] - self._past[-1])

    def _refine(self, mark: int) -> None:
        """The tails of the rows that follow, from the next mark back to this one."""
        start = mark * self._pace
        tail = self._marks[mark].copy()
        for j in range(min(start + self._pace, self._length) - 1, start - 1, -1):
            self._tails[j - start] = tail
            tail += _products(self._past[j] - self._past[-1])


class Correlation(Covariance):
    """Pearson's correlation matrix of the last `length` rows: value (columns, columns), -1 to 1; NaN where a deviation is 0.

    Feed it returns, not prices. Warm at row `length`.
    """

    def __init__(self, length: int, columns: int) -> None:
        at_least("length", length, 2)
        super().__init__(length, columns)

    def _finish(self, covariance: Floats) -> Floats:
        return correlation(covariance)


class EwmaCovariance(Indicator):
    """Exponentially weighted covariance matrix about zero: sum(k^i x[-i] y[-i]) / sum(k^i), k = 2^(-1 / half_life). Feed it returns.

    Value (columns, columns), symmetric, in units of x squared. The mean of returns is taken as zero (J.P. Morgan and Reuters, RiskMetrics
    Technical Document, 1996, section 5.2); weights are of the rows that are there, so that no start value is needed. Warm at row `warm`
    (default: `half_life`).
    """

    _parts = ("_sums", "_run")

    def __init__(self, half_life: int, columns: int, *, warm: int | None = None) -> None:
        at_least("half_life", half_life, 1)
        self.shape = (columns, columns)
        self._keep = 2.0 ** (-1.0 / half_life)
        self._warm = half_life if warm is None else warm
        at_least("warm", self._warm, 1)
        self.need = max(ceil(MEMORY * half_life / log(2)), self._warm)
        self._sums = np.zeros((columns, columns))
        self._run = np.zeros(columns, np.int64)

    def step(self, row: Floats) -> Floats:
        """The value after one more row."""
        known = np.isfinite(row)
        self._run = np.where(known, self._run + 1, 0)
        self._sums = np.where(_both(known), self._sums * self._keep + _outer(np.where(known, row, 0.0)), 0.0)
        weights = (1.0 - self._keep**self._run) / (1.0 - self._keep)
        shared = np.minimum(weights[:, None], weights)  # the shorter of two histories
        warm = _both(self._run >= self._warm)
        return self._finish(np.divide(self._sums, shared, out=np.full(self.shape, np.nan), where=warm))

    def last(self, rows: Floats) -> Floats:
        """The value after the last of many rows."""
        for row in rows[:-1]:
            self.step(row)
        return self.step(rows[-1])

    def _finish(self, covariance: Floats) -> Floats:
        return covariance


class EwmaCorrelation(EwmaCovariance):
    """Correlations of the exponentially weighted covariances: value (columns, columns), -1 to 1; NaN where a deviation is 0."""

    def _finish(self, covariance: Floats) -> Floats:
        return correlation(covariance)


def _both(mask: Bools) -> Bools:
    both: Bools = mask[:, None] & mask
    return both


def _products(distance: Floats) -> Floats:
    """A row of distances, and below it their products: (columns + 1, columns)."""
    return np.concatenate((distance[None], _outer(distance)))
