"""Signals: the numbers that decisions rest on, of every bar, as columns that grow.

Rule: rows stand in the order of their slices, within a slice of their strategies, and within a strategy as it tells them.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import Floats

Ints = NDArray[np.int64]
Told = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A column of texts, of which there are few: `rows` (int64) says which of the `names` stands where."""

    names: Sequence[str]
    rows: Ints


class Signals:
    """Numbers by the open time of a bar (UTC ms), strategy, symbol and name."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str, str], int] = {}  # strategy, symbol, name
        self._kind: tuple[tuple[str, ...], ...] = ()  # by strategy its numbers, as they were told last, and the keys of a row of them
        self._row: Ints = np.zeros(0, np.int64)
        self._opened, self._key, self._value = array("q"), array("q"), array("d")

    def add(self, opened: int, told: Told) -> None:
        """The numbers of one slice, by strategy, symbol and name."""
        keys, values = self._keys, self._value
        for strategy, symbols in told.items():
            for symbol, numbers in symbols.items():
                for name, value in numbers.items():
                    key = keys.get((strategy, symbol, name))
                    self._opened.append(opened)
                    self._key.append(self._number(strategy, symbol, name) if key is None else key)
                    values.append(value)

    def extend(self, opened: Ints, symbols: Sequence[str], told: Mapping[str, Mapping[str, Floats]]) -> None:
        """Those of many slices, by strategy and name (times, symbols); what is not finite is no number."""
        rows = {strategy: numbers for strategy, numbers in told.items() if numbers}
        if not rows:
            return
        kind = tuple((strategy, *numbers) for strategy, numbers in rows.items())
        if kind != self._kind:  # hardly ever: who tells what stays the same
            found = [self._number(strategy, s, name) for strategy, numbers in rows.items() for s in symbols for name in numbers]
            self._kind, self._row = kind, np.array(found, np.int64)
        values = np.concatenate([np.stack(list(n.values()), axis=2).reshape(len(opened), -1) for n in rows.values()], axis=1)
        there = np.isfinite(values)
        row, column = there.nonzero()
        self._opened.frombytes(opened[row].tobytes())
        self._key.frombytes(self._row[column].tobytes())
        self._value.frombytes(values[there].tobytes())

    def columns(self) -> dict[str, object]:
        """All of them, as the columns of a table."""
        keys = np.frombuffer(self._key, np.int64)
        strategy, symbol, name = (Labels([key[part] for key in self._keys], keys) for part in range(3))
        opened, value = np.frombuffer(self._opened, np.int64), np.frombuffer(self._value, np.float64)
        return {"bar_open": opened, "strategy": strategy, "symbol": symbol, "name": name, "value": value}

    def _number(self, strategy: str, symbol: str, name: str) -> int:
        return self._keys.setdefault((strategy, symbol, name), len(self._keys))
