"""Signals: the numbers that decisions rest on, of every bar, as blocks that grow.

Rule: rows stand in the order of their slices, within a slice of their strategies, and within a strategy as it tells them.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import Floats
from daemon.core.strategy import Columns

Ints = NDArray[np.int64]
Keys = NDArray[np.int32]
Told = Mapping[str, Mapping[str, Mapping[str, float]]]

# Rows of a part of the table: texts are made for so many at once, and no more.
PART: Final = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A column of texts, of which there are few: `rows` (integers) says which of the `names` stands where."""

    names: Sequence[str]
    rows: Ints | Keys


@dataclass(frozen=True, slots=True, eq=False)
class _Many:
    """Numbers of many slices: `values` (times, numbers), of which those that are not finite are none; `keys` says which they are."""

    opened: Ints
    keys: Keys
    values: Floats

    def rows(self) -> Iterator[tuple[Ints, Keys, Floats]]:
        """Those that there are, as three columns."""
        step = max(1, PART // max(1, len(self.keys)))
        for first in range(0, len(self.opened), step):
            values = self.values[first : first + step]
            there = np.isfinite(values)
            row, column = there.nonzero()
            yield self.opened[first : first + step][row], self.keys[column], values[there]


class _Some:
    """Numbers of slices that were told one by one."""

    def __init__(self) -> None:
        self.opened, self.keys, self.values = array("q"), array("i"), array("d")

    def rows(self) -> Iterator[tuple[Ints, Keys, Floats]]:
        """All of them."""
        yield np.frombuffer(self.opened, np.int64), np.frombuffer(self.keys, np.int32), np.frombuffer(self.values, np.float64)


class Signals:
    """Numbers by the open time of a bar (UTC ms), strategy, symbol and name."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str, str], int] = {}  # strategy, symbol, name
        self._kept: list[_Many | _Some] = []

    def add(self, opened: int, told: Told) -> None:
        """The numbers of one slice, by strategy, symbol and name."""
        newest = self._kept[-1] if self._kept else None
        some = newest if isinstance(newest, _Some) else _Some()
        if some is not newest:
            self._kept.append(some)
        for strategy, symbols in told.items():
            for symbol, numbers in symbols.items():
                some.opened.extend([opened] * len(numbers))
                some.keys.extend([self._number(strategy, symbol, name) for name in numbers])
                some.values.extend(numbers.values())

    def extend(self, opened: Ints, told: Mapping[str, Columns]) -> None:
        """Those of many slices, by strategy."""
        rows = {strategy: each for strategy, each in told.items() if each.numbers}
        if rows and len(opened):
            keys = [self._number(strategy, s, name) for strategy, each in rows.items() for s in each.subjects for name in each.numbers]
            values = [np.stack(list(each.numbers.values()), axis=2).reshape(len(opened), -1) for each in rows.values()]
            self._kept.append(_Many(opened, np.array(keys, np.int32), values[0] if len(values) == 1 else np.concatenate(values, axis=1)))

    def parts(self) -> Iterator[dict[str, object]]:
        """All of them, as the columns of a table, so many rows at a time; however they were told, the parts are the same."""
        waiting, count = [(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0))], 0
        for more in (rows for kept in self._kept for rows in kept.rows()):
            waiting.append(more)
            count += len(more[0])
            if count >= PART:
                opened, keys, values = (np.concatenate(each) for each in zip(*waiting, strict=True))
                whole = count // PART * PART
                for first in range(0, whole, PART):
                    yield self._part(opened[first : first + PART], keys[first : first + PART], values[first : first + PART])
                waiting, count = [(opened[whole:], keys[whole:], values[whole:])], count - whole
        yield self._part(*(np.concatenate(each) for each in zip(*waiting, strict=True)))

    def _part(self, opened: Ints, keys: Keys, values: Floats) -> dict[str, object]:
        strategy, symbol, name = (Labels([key[part] for key in self._keys], keys) for part in range(3))
        return {"bar_open": opened, "strategy": strategy, "symbol": symbol, "name": name, "value": values}

    def _number(self, strategy: str, symbol: str, name: str) -> int:
        return self._keys.setdefault((strategy, symbol, name), len(self._keys))
