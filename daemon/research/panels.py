"""Panels: stored bars as blocks of rows, each row the cross-section that an Aligner would have made of its close time.

Rule: a symbol without a bar has a flat one at its last close, and the last close is carried from block to block; memory is one block's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import CLOSE, VOLUME, Bools, Floats, Slice, from_epoch_ms

# Rows of a block: 4 MB of prices at 12 symbols, enough that what is done once a block costs nothing.
ROWS: Final = 8192

FIELDS: Final = VOLUME + 1  # of a bar: open, high, low, close, volume

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Newest:
    """The newest bars of symbols: close and volume (2, symbols), their close times (ms), and where there are any."""

    symbols: tuple[str, ...]
    bars: Floats
    times: Ints
    there: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The slices of some close times in a row, as arrays: what `Slice` is of one of them.

    `times` int64 (times,), UTC ms; `panel` float64 (times, 5, symbols); `synthetic` bool and `age` int64, both (times, symbols).
    """

    symbols: tuple[str, ...]
    times: Ints
    panel: Floats
    synthetic: Bools
    age: Ints

    def __len__(self) -> int:
        return len(self.times)

    @property
    def closes(self) -> Floats:
        """Closing prices (times, symbols), NaN where a symbol has had no bar yet."""
        prices: Floats = self.panel[:, CLOSE]
        return prices

    def slice(self, row: int) -> Slice:
        """One of them."""
        return Slice(from_epoch_ms(int(self.times[row])), self.symbols, self.panel[row], self.synthetic[row], self.age[row])

    def rows(self, first: int, end: int) -> "Block":
        """Those from `first` on, before `end`."""
        part = slice(first, end)
        return Block(self.symbols, self.times[part], self.panel[part], self.synthetic[part], self.age[part])

    def newest(self, since: int, last: int) -> Newest:
        """Of each symbol, its last bar from row `since` on, up to row `last`."""
        newest = last - self.age[last]
        rows, columns = np.maximum(newest, 0), np.arange(len(self.symbols))
        return Newest(self.symbols, self.panel[rows, :, columns][:, [CLOSE, VOLUME]].T, self.times[rows], newest >= since)


def blocks(closes: Sequence[Ints], values: Sequence[Floats], symbols: Sequence[str], rows: int = ROWS) -> Iterator[Block]:
    """The slices of bars in columns: by symbol its close times (ms, increasing) and its values, float64 (bars, 5)."""
    times = np.sort(np.concatenate(list(closes)))
    times = times[np.append(True, times[1:] != times[:-1])]  # np.unique would load np.ma
    width = len(symbols)
    last, age = np.full(width, np.nan), np.zeros(width, np.int64)
    for first in range(0, len(times), rows):
        here = times[first : first + rows]
        panel, real = np.full((len(here), FIELDS, width), np.nan), np.zeros((len(here), width), np.bool_)
        for column, moments in enumerate(closes):
            begin, end = moments.searchsorted((here[0], here[-1] + 1))
            # A whole column goes without a list of its rows.
            at = slice(None) if end - begin == len(here) else here.searchsorted(moments[begin:end])
            panel[at, :, column], real[at, column] = values[column][begin:end], True
        block = _completed(tuple(symbols), here, panel, real, last, age)
        last, age = block.closes[-1], block.age[-1]
        yield block


def _completed(symbols: tuple[str, ...], times: Ints, panel: Floats, real: Bools, last: Floats, age: Ints) -> Block:
    """The block of a panel of which the cells in `real` are written; `last` and `age` are those of the row before it."""
    if real.all():
        synthetic, ages = np.zeros(real.shape, np.bool_), np.zeros(real.shape, np.int64)
        return _frozen(symbols, times, panel, synthetic, ages)
    row = np.arange(len(times))[:, None]
    newest = np.maximum.accumulate(np.where(real, row, -1), axis=0)  # the row of each symbol's newest bar, -1 before the first
    known = np.take_along_axis(panel[:, CLOSE], np.maximum(newest, 0), axis=0)
    close = np.where(newest >= 0, known, last)
    synthetic = ~real & (close == close)
    for field in range(VOLUME):
        panel[:, field][synthetic] = close[synthetic]
    panel[:, VOLUME][synthetic] = 0.0
    return _frozen(symbols, times, panel, synthetic, np.where(newest >= 0, row - newest, age + row + 1))


def _frozen(symbols: tuple[str, ...], times: Ints, panel: Floats, synthetic: Bools, ages: Ints) -> Block:
    for array in (panel, synthetic, ages):
        array.setflags(write=False)
    return Block(symbols, times, panel, synthetic, ages)
