"""Extremes of a window, and the distance from them.

Rule: a maximum has no rounding, so only the windows need care: O(symbols) a row, whatever the length.
"""

import numpy as np

from daemon.core.indicators.base import quotient
from daemon.core.indicators.windows import Windowed
from daemon.core.model import Floats


class Highest(Windowed):
    """Largest of the last `length` rows, in units of x. Warm at row `length`."""

    _nothing = -np.inf

    def _lift(self, rows: Floats, origin: Floats) -> Floats:
        return rows[None].copy()

    def _fold(self, a: Floats, b: Floats) -> Floats:
        values: Floats = np.maximum(a, b)
        return values

    def _tell(self, tail: Floats, head: Floats, origins: tuple[Floats, Floats], newest: Floats, rows: Floats) -> Floats:
        return self._fold(tail[0], head[0])


class Lowest(Windowed):
    """Smallest of the last `length` rows, in units of x. Warm at row `length`."""

    _nothing = np.inf

    def _lift(self, rows: Floats, origin: Floats) -> Floats:
        return rows[None].copy()

    def _fold(self, a: Floats, b: Floats) -> Floats:
        values: Floats = np.minimum(a, b)
        return values

    def _tell(self, tail: Floats, head: Floats, origins: tuple[Floats, Floats], newest: Floats, rows: Floats) -> Floats:
        return self._fold(tail[0], head[0])


class Drawdown(Highest):
    """How far below the highest of the last `length` rows: x / max - 1, from -1 to 0, a fraction. Warm at row `length`."""

    def _tell(self, tail: Floats, head: Floats, origins: tuple[Floats, Floats], newest: Floats, rows: Floats) -> Floats:
        return quotient(newest, self._fold(tail[0], head[0])) - 1.0
