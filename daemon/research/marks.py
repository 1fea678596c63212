"""Marks: what the account was worth at each close, and how much of that stood in holdings, as columns that grow.

Rule: what is taken in stretches is worked out for many of them at once, once somebody asks, with the same operations in the same order as
of one close after the other.
"""

from array import array
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import Floats
from daemon.research.rows import Rows

Ints = NDArray[np.int64]

# Stretches that wait, at most: they hold on to their block.
WAITING_MAX: Final = 256


class Skimmed(NamedTuple):
    """Closes in a row between which nothing happened: `held` are units by column, and `worths` is what the account is worth at each."""

    times: Ints
    closes: Floats
    worths: Floats
    cash: float
    held: Sequence[tuple[int, Decimal]]


class Marks:
    """`times` (UTC ms); at each, `equity` has equity, cash, gross, net and drawdown, `closes` the last by symbol (NaN: none yet).

    They are whole once `told`.
    """

    def __init__(self, symbols: int) -> None:
        self.times = array("q")
        self.equity = Rows(5)
        self.closes = Rows(symbols)
        self._peak = 0.0
        self._waiting: list[Skimmed] = []

    def add(self, time: int, account: tuple[float, float, Sequence[float]], closes: Sequence[float]) -> None:
        """One close: what the account is worth, its cash, and the weight of each holding."""
        self.told()
        worth, cash, weights = account
        self._peak = max(self._peak, worth)
        below = 1.0 - worth / self._peak if self._peak > 0 else 0.0
        self.times.append(time)
        self.equity.add((worth, cash, sum(map(abs, weights), 0.0), sum(weights, 0.0), below))
        self.closes.add(closes)

    def skim(self, stretch: Skimmed) -> None:
        """Many."""
        self._waiting.append(stretch)
        if len(self._waiting) >= WAITING_MAX:
            self.told()

    def told(self) -> Self:
        """These, with what has waited."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._extend(waiting)
        return self

    def _extend(self, stretches: Sequence[Skimmed]) -> None:
        closes, worths = np.concatenate([each.closes for each in stretches]), np.concatenate([each.worths for each in stretches])
        which = np.repeat(np.arange(len(stretches)), [len(each.times) for each in stretches])
        rows = np.zeros((len(worths), 5))
        rows[:, 0], rows[:, 1] = worths, np.array([each.cash for each in stretches])[which]
        rows[:, 2], rows[:, 3] = _exposures(stretches, which, closes, worths)
        peaks = np.maximum.accumulate(np.maximum(worths, self._peak))
        self._peak = float(peaks[-1])
        np.divide(worths, peaks, out=rows[:, 4], where=peaks > 0)
        np.subtract(1.0, rows[:, 4], out=rows[:, 4], where=peaks > 0)
        self.times.frombytes(np.concatenate([each.times for each in stretches]).tobytes())
        self.equity.extend(rows)
        self.closes.extend(closes)


def _exposures(stretches: Sequence[Skimmed], which: Ints, closes: Floats, worths: Floats) -> tuple[Floats, Floats]:
    """The sizes of all weights together, and their sum, at each close; `which` says of what stretch it is."""
    most = max(len(each.held) for each in stretches)
    if not most:
        return np.zeros(len(worths)), np.zeros(len(worths))
    columns, units = np.zeros((len(stretches), most), np.int64), np.zeros((len(stretches), most))
    for row, each in enumerate(stretches):
        for place, (column, amount) in enumerate(each.held):
            columns[row, place], units[row, place] = column, float(amount)
    columns, units = columns[which], units[which]
    held = np.where(units != 0, units * np.take_along_axis(closes, columns, axis=1), 0.0)
    shares = np.divide(held, worths[:, None], out=np.zeros(held.shape), where=worths[:, None] > 0)
    # Added up one after the other, as a sum of one slice goes.
    return np.add.accumulate(np.abs(shares), axis=1)[:, -1], np.add.accumulate(shares, axis=1)[:, -1]
