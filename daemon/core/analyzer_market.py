"""Market measures, streaming: returns, volatility, drawdown and correlation of every symbol, and the correlation watch.

Rule: memory does not grow with time: one window of returns, and for the whole period one set of co-moments a pair of symbols.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.analyzer_measures import correlations, covariances, mean_correlation
from daemon.core.model import Bools, Floats
from daemon.core.risk import Moments

Ints = NDArray[np.int64]

# Bars of the rolling measures: ten days of hours, four hours of minutes. At 500 symbols the window takes 1 MB.
WINDOW: Final = 240

# Bars of the watch's short window: the fewest over which a dozen symbols' mean correlation is more than noise (a deviation of 0.1 against
# the long window on two years of hourly bars).
SHORT: Final = 24


class Comoments:
    """Means and co-moments of every two columns over all rows in which both have a value, one update a row.

    Welford's update (1962) in its form for a pair: C += (x - mean of x before) (y - mean of y after). Nothing is subtracted from a growing
    sum, so nothing drifts. O(symbols^2) a row; while all columns have the same rows their means are one row, and a step costs a tenth.
    """

    def __init__(self, columns: int) -> None:
        self._count: Floats = np.zeros((1, 1))
        self._mean: Floats = np.zeros(
            (columns, 1)
        )  # [i, j]: of column i over the rows that count for (i, j); one j while they are the same
        self._cross = np.zeros((columns, columns))
        self._square: Floats | None = None  # [i, j]: squared deviations of column i over those rows; the diagonal of `_cross` meanwhile

    def step(self, row: Floats) -> None:
        """Take one more row (symbols,)."""
        known = np.isfinite(row)
        if not known.any():
            return
        if self._square is None and known.all():
            self._count += 1.0
            before = row[:, None] - self._mean
            self._mean += before / self._count
            self._cross += before * (row - self._mean[:, 0])
        else:
            self._pairwise(row, known)

    def _pairwise(self, row: Floats, known: Bools) -> None:
        """The same where every pair has rows, and so means, of its own."""
        if self._square is None:
            shape = self._cross.shape
            self._square = np.tile(np.diag(self._cross)[:, None], shape[1])
            self._count, self._mean = np.full(shape, self._count[0, 0]), np.tile(self._mean, shape[1])
        both = np.outer(known, known)
        self._count += both
        x = np.where(known, row, 0.0)[:, None]
        before = np.where(both, x - self._mean, 0.0)
        self._mean += before / np.maximum(self._count, 1.0)
        after = np.where(both, x - self._mean, 0.0)
        self._square += before * after
        self._cross += before * after.T

    def correlations(self) -> Floats:
        """Pearson's correlation of every pair (symbols, symbols); NaN below two common rows, or where one of the two did not move."""
        square = np.diag(self._cross)[:, None] if self._square is None else self._square
        scale = np.sqrt(square * square.T)
        matrix = np.divide(self._cross, scale, out=np.full_like(self._cross, np.nan), where=(scale > 0) & (self._count > 1))
        # The two halves differ in their last digit only; which of them is told must not depend on the order of the symbols.
        symmetric: Floats = np.clip((matrix + matrix.T) / 2, -1.0, 1.0)
        return symmetric


@dataclass(frozen=True, slots=True)
class WatchState:
    """Mean pairwise correlation over the short and the long window, NaN before they are full; `high` since it jumped."""

    short: float = float("nan")
    long: float = float("nan")
    high: bool = False


class CorrelationWatch:
    """Says when the mean pairwise correlation of the short window has come `jump` above that of the long one.

    It says so once, and again only after the difference has been down to half of that: on real bars the difference hovers around any line
    for hours.
    """

    def __init__(self, jump: float, short: int = SHORT) -> None:
        self.jump = jump
        self._short = short
        self.state = WatchState()

    def restore(self, *, high: bool) -> None:
        """Go on after a restart: whether it had fired and not calmed."""
        self.state = WatchState(high=high)

    def judge(self, window: Floats) -> bool:
        """Take the newest long window of returns (times, symbols); whether it has jumped just now."""
        complete = window[:, np.isfinite(window).all(axis=0)]
        short, long = mean_correlation(complete[-self._short :]), mean_correlation(complete)
        before = self.state.high
        # NaN compares false: too few symbols, or none that moves, leaves things as they are.
        high = (before and not short - long <= self.jump / 2) or short - long >= self.jump
        self.state = WatchState(short, long, high)
        return high and not before


class Market:
    """Every symbol's measures from closes, slice by slice. A symbol begins at its first close; before it everything of it is NaN."""

    def __init__(self, columns: int, watch: CorrelationWatch, window: int = WINDOW) -> None:
        self.watch = watch
        self.bars = 0
        self.last = np.full(columns, np.nan)
        self.drawdown_max = np.zeros(columns)
        self._first = np.full(columns, np.nan)
        self._peak = np.full(columns, np.nan)
        self._ring = np.full((window, columns), np.nan)
        self._whole = Comoments(columns)

    def extend(self, rows: Iterable[Floats]) -> None:
        """Take closes of a time before the daemon ran: history raises no alarm of its own."""
        for closes in rows:
            self.step(closes)
        if self.full:
            self.watch.judge(self.window())

    def step(self, closes: Floats) -> Floats:
        """Take the closes of one more slice (symbols,); returns the simple returns, NaN where there is none."""
        moves: Floats = closes / self.last - 1.0
        self._ring[self.bars % len(self._ring)] = moves
        self._whole.step(moves)
        self._first = np.where(np.isnan(self._first), closes, self._first)
        self._peak = np.fmax(self._peak, closes)
        self.drawdown_max = np.fmax(self.drawdown_max, self.drawdown(closes))
        self.last = closes.copy()
        self.bars += 1
        return moves

    def skim(self, closes: Floats) -> None:
        """Take many slices (times, symbols) for the window alone: what is told of the whole time is not known any more."""
        moves = closes / np.vstack((self.last[None], closes[:-1])) - 1.0
        newest = moves[-len(self._ring) :]
        self.bars += len(closes)
        self._ring[(self.bars - len(newest) + np.arange(len(newest))) % len(self._ring)] = newest
        self.last = closes[-1].copy()

    @property
    def full(self) -> bool:
        """Whether the window holds nothing but returns; the first slice has none."""
        return self.bars > len(self._ring)

    def window(self) -> Floats:
        """The newest returns, oldest first (times, symbols): at most the window's length."""
        at = self.bars % len(self._ring)
        ordered: Floats = np.concatenate((self._ring[at:], self._ring[:at]))
        return ordered[len(ordered) - min(self.bars, len(ordered)) :]

    def total_return(self) -> Floats:
        """Return of each symbol since its first close."""
        total: Floats = self.last / self._first - 1.0
        return total

    def deviation(self) -> Floats:
        """Population standard deviation of each symbol's returns over the window, a bar; NaN before it has two."""
        moves = self.window()
        known = np.isfinite(moves)
        count = known.sum(axis=0)
        centred = np.where(known, moves - np.where(known, moves, 0.0).sum(axis=0) / np.maximum(count, 1), 0.0)
        deviation: Floats = np.where(count > 1, np.sqrt((centred * centred).sum(axis=0) / np.maximum(count, 1)), np.nan)
        return deviation

    def drawdown(self, closes: Floats | None = None) -> Floats:
        """How far each close is below the symbol's highest so far, as a share of it."""
        newest = self.last if closes is None else closes
        below: Floats = 1.0 - newest / self._peak
        return below

    def moments(self, columns: Ints, per_year: float) -> Moments:
        """A year's covariance and the correlation of these columns over the window, with NaN for those that have not been there all along.

        Nothing, while the window has fewer returns than the short one.
        """
        moves = self.window()[:, columns]
        moves = moves[np.isfinite(moves).any(axis=1)]  # the first slice has no returns
        known = np.isfinite(moves).all(axis=0)
        if len(moves) < SHORT or not known.any():
            return Moments()
        covariance: Floats = np.full((len(columns), len(columns)), np.nan)
        covariance[np.ix_(known, known)] = covariances(moves[:, known]) * per_year
        deviation = np.sqrt(np.diag(covariance))
        scale = np.outer(deviation, deviation)
        correlation = np.divide(covariance, scale, out=np.full_like(scale, np.nan), where=scale > 0)
        return Moments(covariance, np.clip(correlation, -1.0, 1.0))

    def correlations(self, columns: Ints) -> tuple[Floats, Floats]:
        """Of these columns with one another, over the window and over everything seen."""
        whole: Floats = self._whole.correlations()[np.ix_(columns, columns)]
        return correlations(self.window()[:, columns]), whole
