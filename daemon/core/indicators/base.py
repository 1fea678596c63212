"""What an indicator is: a recurrence over rows with two evaluators, a memory that can be kept, and how much history it needs.

Rule: `step` and `block` agree to the bit however the rows are cut into blocks; both therefore do the same operations in the same order.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import CLOSE, Bools, Floats

State = Mapping[str, NDArray[Any]]
Counts = NDArray[np.int64]

# An average that forgets by 1 - 1/period a row has e**-40 = 4e-18 of its start left after 40 periods, far below the 1e-9 that is promised.
MEMORY: Final = 40

# What two evaluations of one value may differ by: relative, absolute below 1.
TOLERANCE: Final = 1e-9


class Indicator(ABC):
    """A recurrence over rows of float64 (symbols,). What is not finite is no value.

    `need` is how many rows of history make its newest value equal to that of an endless history within 1e-9 (relative, absolute below 1),
    unless `short` says that with these rows it was not enough.
    `shape` is that of one value: (symbols,) where there is one number a symbol, in the order of the row.
    """

    need: int
    shape: tuple[int, ...]
    _parts: ClassVar[tuple[str, ...]]  # the attributes that are its memory: arrays, or integers

    def rows(self, panel: Floats) -> Floats:
        """What it reads of a panel (..., 5, symbols): the closes, unless it says otherwise."""
        closes: Floats = panel[..., CLOSE, :]
        return closes

    @abstractmethod
    def step(self, row: Floats) -> Floats:
        """The value after one more row, of `shape`: a fresh array, NaN where not warm."""

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows: (times, ...) in, (times, *shape) out, the same bits as `step` row by row."""
        values = np.empty((len(rows), *self.shape))
        for time, row in enumerate(rows):
            values[time] = checked(self.step(row), self.shape)
        return values

    def last(self, rows: Floats) -> Floats:
        """The value after the last of many rows, at least one: what a warm-up wants, without room for all the others."""
        value: Floats = self.block(rows)[-1].copy()
        return value

    def short(self) -> Bools:
        """Where it is warm and rows before those it has seen may matter: bool (columns,). Only where `need` cannot promise enough."""
        return np.zeros(self.shape[-1:], np.bool_)

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of its memory, by name, to be given to `restore` of an indicator made with the same arguments."""
        return {name: np.array(getattr(self, name)) for name in self._parts}

    def restore(self, state: State) -> None:
        """Go on from a memory that `state` gave.

        Raises:
            ValueError: the memory is that of an indicator made with other arguments; nothing of it is taken over.
        """
        self.check(state)
        for name in self._parts:
            setattr(self, name, int(state[name]) if isinstance(getattr(self, name), int) else state[name].copy())

    def check(self, state: State) -> None:
        """Raise ValueError, as a sentence, unless `restore` would take this memory."""
        for name in self._parts:
            if name not in state or state[name].shape != np.shape(getattr(self, name)):
                raise ValueError(f"this memory is not of a {type(self).__name__} of {self.need} rows: {name} does not fit")


def checked(value: object, shape: tuple[int, ...]) -> Floats:
    """What an indicator gave, which may be anybody's code.

    Raises:
        ValueError: it is no array of numbers, or has another shape than it should.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise ValueError(f"its value must be a numpy array of numbers, not {type(value).__name__}")
    if value.shape != shape:
        raise ValueError(f"its value has the shape {value.shape}, where its `shape` promises {shape}")
    return value


def at_least(name: str, value: int, least: int) -> None:
    """Raise ValueError, as a sentence, unless `value` is `least` or more."""
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def finite(rows: Floats) -> Floats:
    """Rows with NaN for all that is no value."""
    return np.where(np.isfinite(rows), rows, np.nan)


def quotient(a: Floats, b: Floats) -> Floats:
    """One divided by the other; no value where either is none, or the divisor is 0."""
    there = np.isfinite(a) & np.isfinite(b) & (b != 0)
    values: Floats = np.divide(a, b, out=np.full(there.shape, np.nan), where=there)
    return values


def runs(known: NDArray[np.bool_], before: Counts) -> Counts:
    """How many rows in a row are known, at each row of (times, symbols), `before` of them having come before."""
    count = np.arange(1, len(known) + 1)[:, None]
    last_hole = np.maximum.accumulate(np.where(known, 0, count), axis=0)
    run: Counts = count - last_hole + np.where(last_hole == 0, before, 0)
    return run
