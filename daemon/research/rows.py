"""Rows: numbers that grow bar by bar, eight bytes each."""

from array import array
from collections.abc import Iterable

import numpy as np

from daemon.core.model import Floats


class Rows:
    """Rows of `width` numbers (float64)."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._numbers = array("d")

    def __len__(self) -> int:
        return len(self._numbers) // self._width if self._width else 0

    def add(self, row: Iterable[float]) -> None:
        """One more."""
        self._numbers.extend(row)

    def extend(self, rows: Floats) -> None:
        """Many more (rows, width)."""
        self._numbers.frombytes(np.ascontiguousarray(rows).tobytes())

    def table(self) -> Floats:
        """All of them (rows, width); none is added after."""
        return np.frombuffer(self._numbers, np.float64).reshape(-1, self._width)
