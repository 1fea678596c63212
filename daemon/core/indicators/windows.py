"""Windowed: what is told of the last `length` rows, without ever subtracting a row again.

Rule: time is cut into stretches of `length` rows. A window is the tail of the last stretch joined with the head of the present one
(van Herk 1992, Gil and Werman 1993), so nothing drifts and what has left the window leaves no trace. Tails are made when a stretch ends,
which costs `length` joins once in `length` rows: O(symbols) a row on average, whatever the length.
"""

from abc import abstractmethod
from typing import ClassVar, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from daemon.core.indicators.base import Counts, Indicator, at_least, runs
from daemon.core.indicators.sums import join
from daemon.core.model import Floats

# Numbers in the rows that a block takes at once: what is made of them stays in a processor's cache.
_ROOM: Final = 1 << 16


class Windowed(Indicator):
    """Base of indicators that fold the last `length` rows into something small. Warm at row `length`.

    A subclass says what a row weighs (`_lift`, relative to an origin that is itself a row of the window: the first of a head, the last of a
    tail), how two parts are joined (`_fold`: sums, unless it says otherwise), and what it tells of a window whose two parts are known.
    """

    _parts = ("_stretch", "_origin", "_tails", "_head", "_run", "_at")
    _nothing: ClassVar[float] = 0.0  # the fold of no rows

    def __init__(self, length: int, columns: int) -> None:
        at_least("length", length, 1)
        self.need = length
        self.shape = (columns,)
        self._length = length
        self._resize(columns)

    def _resize(self, columns: int) -> None:
        """Room for `columns` of what is read of a row."""
        self._stretch = np.zeros((self._length, columns))  # the rows of the present stretch, 0 where there is no value
        self._origin = np.zeros(columns)  # the last row of the last stretch
        self._tails = self._afters(self._lift(self._stretch, self._origin))  # [:, j]: the last stretch's rows after its j-th
        self._head = self._tails[:, -1].copy()  # the present stretch so far
        self._run = np.zeros(columns, np.int64)  # rows since the last that had no value
        self._at = 0

    def _read(self, rows: Floats) -> Floats:
        """What is kept of rows (..., symbols)."""
        return rows

    @abstractmethod
    def _lift(self, rows: Floats, origin: Floats) -> Floats:
        """What each of rows (..., columns) is in a fold: (parts, ..., terms)."""

    def _fold(self, a: Floats, b: Floats) -> Floats:
        return join(a, b)

    @abstractmethod
    def _tell(self, tail: Floats, head: Floats, origins: tuple[Floats, Floats], newest: Floats, rows: Floats) -> Floats:
        """The value of windows: folds and origins of tail and head, the newest row, and how many `rows` of the window are the head's."""

    def step(self, row: Floats) -> Floats:
        """The value after one more row."""
        at = self._at
        read = self._read(row)
        known = np.isfinite(read)
        self._run = np.where(known, self._run + 1, 0)
        self._stretch[at] = np.where(known, read, 0.0)
        newest, first = self._stretch[at], self._stretch[0]
        lifted = self._lift(newest, first)
        self._head = self._fold(self._head, lifted) if at else lifted
        value = self._tell(self._tails[:, at], self._head, (self._origin, first), newest, np.array([at + 1.0]))
        self._at = (at + 1) % self._length
        if not self._at:
            self._origin = newest.copy()
            self._tails = self._afters(self._lift(self._stretch, self._origin))
        return self._where_warm(self._run, value)

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows: whole stretches at once, what is before and after them row by row."""
        lead = min(-self._at % self._length, len(rows))
        first = super().block(rows[:lead])
        stop = len(rows) - (len(rows) - lead) % self._length
        pace = self._length * max(1, _ROOM // self._stretch.size)
        wholes = [self._whole(rows[start : min(start + pace, stop)]) for start in range(lead, stop, pace)]
        return np.concatenate((first, *wholes, super().block(rows[stop:])))

    def _whole(self, rows: Floats) -> Floats:
        """The values of whole stretches: `_at` is 0 before and after."""
        read = self._read(rows)
        known = np.isfinite(read)
        run = runs(known, self._run)
        stretches = np.where(known, read, 0.0).reshape(-1, self._length, read.shape[1])
        first, last = stretches[:, :1], stretches[:, -1:]
        own = self._afters(self._lift(stretches, last))
        tails = np.concatenate((self._tails[:, None], own[:, :-1]), axis=1)
        origin = np.concatenate((self._origin[None, None], last[:-1]))
        heads = self._heads(self._lift(stretches, first))
        count = np.arange(1.0, self._length + 1)[:, None]
        values = self._tell(tails, heads, (origin, first), stretches, count)
        self._run, self._tails, self._head = run[-1], own[:, -1].copy(), heads[:, -1, -1].copy()
        self._stretch, self._origin = stretches[-1].copy(), last[-1, 0].copy()
        return self._where_warm(run, values.reshape(len(rows), -1))

    def _where_warm(self, run: Counts, value: Floats) -> Floats:
        return np.where(run[..., : self.shape[0]] >= self._length, value, np.nan)

    def _heads(self, lifted: Floats) -> Floats:
        """Of (parts, ..., length, terms), at j: the fold of the rows up to and with the j-th. Its argument is used up."""
        for j in range(1, lifted.shape[-2]):
            lifted[..., j, :] = self._fold(lifted[..., j - 1, :], lifted[..., j, :])
        return lifted

    def _afters(self, lifted: Floats) -> Floats:
        """Of (parts, ..., length, terms), at j: the fold of the rows after the j-th, the last one first."""
        folds = np.full_like(lifted, self._nothing)
        for j in range(lifted.shape[-2] - 1, 0, -1):
            folds[..., j - 1, :] = self._fold(folds[..., j, :], lifted[..., j, :])
        return folds


class Window(Indicator):
    """The last `length` rows themselves, the oldest first: value (length, columns), NaN where a row had no value. Warm at row `length`.

    For what is worked out only when a decision is due. O(symbols) a step; the value is a view and must not be written to.
    """

    _parts = ("_buffer", "_at")

    def __init__(self, length: int, columns: int) -> None:
        at_least("length", length, 1)
        self.need = length
        self.shape = (length, columns)
        self._buffer = np.full((2 * length, columns), np.nan)  # a place is written once, so a value given away never changes
        self._at = length  # where the next row goes

    def step(self, row: Floats) -> Floats:
        """The value after one more row."""
        length = self.shape[0]
        if self._at == len(self._buffer):
            self._buffer = np.concatenate((self._buffer[length:], np.full_like(self._buffer[length:], np.nan)))
            self._at = length
        self._buffer[self._at] = row
        self._at += 1
        value = self._buffer[self._at - length : self._at]
        value.flags.writeable = False
        return value

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows: views of one series."""
        length = self.shape[0]
        series = np.concatenate((self._buffer[self._at - length : self._at], rows))
        self._buffer = np.concatenate((series[len(series) - length :], np.full((length, self.shape[1]), np.nan)))
        self._at = length
        return sliding_window_view(series[1:], length, axis=0).swapaxes(1, 2) if len(rows) else np.empty((0, *self.shape))
