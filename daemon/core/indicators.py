"""Indicators: one number per symbol from a stream of rows, O(symbols) a row whatever the lookback.

Rule: each is one recurrence with two evaluators, `step` for a row and `block` for many, and they agree to the bit however the rows are cut
into blocks; both therefore do the same additions in the same order. A NaN row is no value: the result is NaN until everything that it
needs is there, counted for each symbol from its own first bar.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import CLOSE, Floats

State = Mapping[str, NDArray[Any]]

# Wilder's average forgets by 1 - 1/period a row: after 40 periods e**-40 = 4e-18 of the start is left, far below the 1e-9 that is promised.
WILDER_MEMORY: Final = 40

# Clears the lower half of a float64's mantissa: what is left times an integer below 2**26 is exact.
_UPPER_HALF: Final = np.int64(-1 << 27)


class Indicator(ABC):
    """A recurrence over rows of float64 (symbols,).

    `need` is how many rows of history make its newest value equal to that of an endless history within 1e-9 (relative, absolute below 1).
    """

    need: int
    _parts: ClassVar[tuple[str, ...]]  # the attributes that are its memory: arrays, or integers

    def rows(self, panel: Floats) -> Floats:
        """What it reads of a panel (..., 5, symbols): the closes, unless it says otherwise."""
        closes: Floats = panel[..., CLOSE, :]
        return closes

    @abstractmethod
    def step(self, row: Floats) -> Floats:
        """The value after one more row: (symbols,) in, (symbols,) out, NaN where not warm."""

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows: (times, symbols) in and out, the same bits as `step` row by row."""
        values = np.empty_like(rows)
        for time, row in enumerate(rows):
            values[time] = self.step(row)
        return values

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of its memory, by name, to be given to `restore` of an indicator made with the same arguments."""
        return {name: np.array(getattr(self, name)) for name in self._parts}

    def restore(self, state: State) -> None:
        """Go on from a memory that `state` gave.

        Raises:
            ValueError: the memory is that of an indicator made with other arguments.
        """
        for name in self._parts:
            mine = getattr(self, name)
            if name not in state or state[name].shape != np.shape(mine):
                raise ValueError(f"this memory is not of a {type(self).__name__} of {self.need} rows: {name} does not fit")
        for name in self._parts:
            setattr(self, name, int(state[name]) if isinstance(getattr(self, name), int) else state[name].copy())


class Momentum(Indicator):
    """Simple return over `lookback` rows: x / x[-lookback] - 1, x[-k] being the row k before the current one. Warm at row lookback + 1."""

    _parts = ("_past", "_at")

    def __init__(self, lookback: int, columns: int) -> None:
        self.need = lookback + 1
        self._past = np.full((lookback, columns), np.nan)
        self._at = 0  # where the oldest row is, and the next one goes

    def step(self, row: Floats) -> Floats:
        """The value after one more row."""
        value: Floats = row / self._past[self._at] - 1.0
        self._past[self._at] = row
        self._at = (self._at + 1) % len(self._past)
        return value

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows."""
        series = np.concatenate((np.roll(self._past, -self._at, axis=0), rows))
        values: Floats = rows / series[: len(rows)] - 1.0
        self._past, self._at = series[len(rows) :].copy(), 0
        return values


class SMA(Indicator):
    """Simple mean of the last `length` rows, the current one included. Warm at row `length`.

    Time is cut into stretches of `length` rows. A window is the tail of the last stretch joined with the head of the present one (van Herk
    1992, Gil and Werman 1993): nothing is ever subtracted, so nothing drifts. Tails are made when a stretch ends, which costs `length`
    additions once in `length` rows: O(symbols) a row on average. Sums carry their rounding error along (Neumaier 1974) and so does the
    division: the mean of equal prices is that price, to the bit, or `close > SMA` would be decided by rounding.
    """

    _parts = ("_stretch", "_tails", "_head", "_run", "_at")

    def __init__(self, length: int, columns: int) -> None:
        self.need = length
        self._length = length
        self._stretch = np.zeros((length, columns))  # the rows of the present stretch, 0 where NaN
        self._tails = np.zeros((2, length, columns))  # [:, j]: sum and error of the last stretch's rows after its j-th
        self._head = np.zeros((2, columns))  # sum and error of the present stretch so far
        self._run = np.zeros(columns, np.int64)  # rows since the last NaN
        self._at = 0

    def step(self, row: Floats) -> Floats:
        """The value after one more row."""
        known = row == row
        self._run = np.where(known, self._run + 1, 0)
        self._stretch[self._at] = np.where(known, row, 0.0)
        self._head = _plus(self._head, self._stretch[self._at])
        value = np.where(self._run >= self._length, _mean(_join(self._tails[:, self._at], self._head), self._length), np.nan)
        self._at += 1
        if self._at == self._length:
            self._tails = _afters(self._stretch)
            self._head = np.zeros_like(self._head)
            self._at = 0
        return value

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows: whole stretches at once, what is before and after them row by row."""
        lead = min(-self._at % self._length, len(rows))
        stop = len(rows) - (len(rows) - lead) % self._length
        return np.concatenate((super().block(rows[:lead]), self._whole(rows[lead:stop]), super().block(rows[stop:])))

    def _whole(self, rows: Floats) -> Floats:
        """The values of whole stretches: `_at` is 0 before and after."""
        if not len(rows):
            return rows
        known = rows == rows
        runs = _runs(known, self._run)
        stretches = np.where(known, rows, 0.0).reshape(-1, self._length, rows.shape[1])
        own = _afters(stretches)
        tails = np.concatenate((self._tails[:, None], own[:, :-1]), axis=1)
        means = _mean(_join(tails, _heads(stretches)), self._length).reshape(rows.shape)
        self._run, self._tails, self._stretch = runs[-1], own[:, -1].copy(), stretches[-1].copy()
        values: Floats = np.where(runs >= self._length, means, np.nan)
        return values


class RSI(Indicator):
    """Relative strength index, 0 to 100: 100 x gain / (gain + loss), averages of the up and down changes over `period` rows.

    The first averages are the simple means of the first `period` changes; after that Wilder's, average + (change - average) / period
    (J. Welles Wilder, New Concepts in Technical Trading Systems, 1978). No losses: 100. No change at all: 50. Warm at row period + 1.
    """

    _parts = ("_last", "_average", "_changes")

    def __init__(self, period: int, columns: int) -> None:
        self.need = WILDER_MEMORY * period
        self._period = period
        self._last = np.full(columns, np.nan)
        self._average = np.zeros((2, columns))  # of gains and of losses; their sums until there are `period` of them
        self._changes = np.zeros(columns, np.int64)

    def step(self, row: Floats) -> Floats:
        """The value after one more row."""
        moves = _moves(row - self._last)
        self._last = row.copy()
        self._changes = np.where(moves[0] == moves[0], self._changes + 1, 0)
        sums = np.where(self._changes == 1, moves, self._average + moves)
        seeds = np.where(self._changes == self._period, sums / self._period, sums)
        smooth = (self._average * (self._period - 1) + moves) / self._period
        self._average = np.where(self._changes > self._period, smooth, seeds)
        return np.where(self._changes >= self._period, _strength(self._average), np.nan)

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows: row by row until every symbol is warm, then only Wilder's three operations a row."""
        holes = np.flatnonzero(np.isnan(rows).any(axis=1))
        start = holes[-1] + 1 if len(holes) else 0
        values = np.empty_like(rows)
        values[:start] = super().block(rows[:start])
        while start < len(rows) and not (self._changes >= self._period).all():
            values[start] = self.step(rows[start])
            start += 1
        values[start:] = self._warm(rows[start:])
        return values

    def _warm(self, rows: Floats) -> Floats:
        """The values of rows without a NaN, every symbol being warm."""
        if not len(rows):
            return rows
        averages = np.moveaxis(_moves(np.diff(rows, axis=0, prepend=self._last[None])), 0, 1)
        average = self._average
        for moves in averages:  # each row of moves is replaced by the averages after it
            average = np.divide(average * (self._period - 1) + moves, self._period, out=moves)
        self._average, self._last = average.copy(), rows[-1].copy()
        self._changes = self._changes + len(rows)
        return _strength(np.moveaxis(averages, 1, 0))


def _moves(change: Floats) -> Floats:
    """How far up and how far down: (2, ...), both at least 0, NaN where the change is."""
    return np.stack((np.maximum(change, 0.0), np.maximum(-change, 0.0)))


def _strength(average: Floats) -> Floats:
    """RSI of average gains and losses (2, ...)."""
    both = average[0] + average[1]
    share: Floats = np.divide(average[0], both, out=np.full_like(both, 0.5), where=both > 0)
    return 100.0 * share


def _runs(known: NDArray[np.bool_], before: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many rows in a row are known, at each row of (times, symbols), `before` of them having come before."""
    count = np.arange(1, len(known) + 1)[:, None]
    last_hole = np.maximum.accumulate(np.where(known, 0, count), axis=0)
    runs: NDArray[np.int64] = count - last_hole + np.where(last_hole == 0, before, 0)
    return runs


# Sums that carry their rounding error: arrays (2, ...) of the sum and of what is to be added to it.


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Sum of two numbers and its rounding error, exactly (Knuth 1969, theorem B)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _plus(a: Floats, value: Floats) -> Floats:
    """One more value in a sum."""
    total, error = _two_sum(a[0], value)
    return np.stack((total, a[1] + error))


def _join(a: Floats, b: Floats) -> Floats:
    """Two sums as one."""
    total, error = _two_sum(a[0], b[0])
    return np.stack((total, (a[1] + b[1]) + error))


def _heads(rows: Floats) -> Floats:
    """Sums over (..., length, symbols): at j, of the rows up to and with the j-th."""
    sums = np.zeros((2, *rows.shape))
    sums[0, ..., 0, :] = rows[..., 0, :]
    for j in range(1, rows.shape[-2]):
        sums[..., j, :] = _plus(sums[..., j - 1, :], rows[..., j, :])
    return sums


def _afters(rows: Floats) -> Floats:
    """Sums over (..., length, symbols): at j, of the rows after the j-th, the last added first."""
    sums = np.zeros((2, *rows.shape))
    for j in range(rows.shape[-2] - 1, 0, -1):
        sums[..., j - 1, :] = _plus(sums[..., j, :], rows[..., j, :])
    return sums


def _mean(total: Floats, count: int) -> Floats:
    """A sum over `count`, with the remainder of the division added back."""
    mean = total[0] / count
    upper = (mean.view(np.int64) & _UPPER_HALF).view(np.float64)
    remainder = (total[0] - upper * count) - (mean - upper) * count
    corrected: Floats = mean + (remainder + total[1]) / count
    return corrected
