"""Signals: the numbers that decisions rest on, of every bar, as columns that grow.

Rule: rows stand in the order of their slices, within a slice of their strategies, and within a strategy as it tells them.
"""

from array import array
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import Floats

Ints = NDArray[np.int64]
Told = Mapping[str, Mapping[str, Mapping[str, float]]]


class Signals:
    """Numbers by the open time of a bar (UTC ms), strategy, symbol and name."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str, str], int] = {}  # strategy, symbol, name
        self._opened, self._key, self._value = array("q"), array("q"), array("d")

    def add(self, opened: int, told: Told) -> None:
        """The numbers of one slice, by strategy, symbol and name."""
        for strategy, symbols in told.items():
            for symbol, numbers in symbols.items():
                for name, value in numbers.items():
                    self._opened.append(opened)
                    self._key.append(self._number(strategy, symbol, name))
                    self._value.append(value)

    def extend(self, opened: Ints, symbols: Sequence[str], told: Mapping[str, Mapping[str, Floats]]) -> None:
        """Those of many slices, by strategy and name (times, symbols); what is not finite is no number."""
        rows = {strategy: numbers for strategy, numbers in told.items() if numbers}
        if not rows:
            return
        keys = [self._number(strategy, s, name) for strategy, numbers in rows.items() for s in symbols for name in numbers]
        values = np.concatenate([np.stack(list(n.values()), axis=2).reshape(len(opened), -1) for n in rows.values()], axis=1)
        there = np.isfinite(values)
        self._opened.frombytes(np.broadcast_to(opened[:, None], values.shape)[there].astype(np.int64).tobytes())
        self._key.frombytes(np.broadcast_to(np.array(keys, np.int64), values.shape)[there].tobytes())
        self._value.frombytes(values[there].tobytes())

    def columns(self) -> dict[str, Sequence[object]]:
        """All of them, as the columns of a table."""
        keys = np.frombuffer(self._key, np.int64)
        labels = np.array([*self._keys, ("", "", "")], object)  # one more, so that none is a table too
        strategy, symbol, name = (labels[keys, part] for part in range(3))
        return {"bar_open": self._opened, "strategy": strategy, "symbol": symbol, "name": name, "value": self._value}

    def _number(self, strategy: str, symbol: str, name: str) -> int:
        return self._keys.setdefault((strategy, symbol, name), len(self._keys))
