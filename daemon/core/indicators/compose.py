"""Composition: an indicator of an indicator, of a field of the bars, of a basket; and the order within a row.

Rule: a row of the inner one's values is a row like any other: NaN is no value, so the outer one begins to count when the inner one is warm.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.core.indicators.base import Indicator, State, finite
from daemon.core.model import Bools, Floats


class Of(Indicator):
    """`outer` of `inner`: `Of(ZScore(30, 1), Ratio([(0, 1)]))` is the z-score of a ratio. Made for the width of what the inner one gives.

    Warm, and in need of history, for as long as both one after the other.
    """

    _parts = ()

    def __init__(self, outer: Indicator, inner: Indicator) -> None:
        self.need = inner.need + outer.need - 1
        self.shape = outer.shape
        self._outer = outer
        self._inner = inner

    def rows(self, panel: Floats) -> Floats:
        """What the inner one reads."""
        return self._inner.rows(panel)

    def step(self, row: Floats) -> Floats:
        """The value after one more row."""
        return self._outer.step(self._inner.step(row))

    def block(self, rows: Floats) -> Floats:
        """The values after each of many rows."""
        return self._outer.block(self._inner.block(rows))

    def last(self, rows: Floats) -> Floats:
        """The value after the last of many rows."""
        return self._outer.last(self._inner.block(rows))

    def short(self) -> Bools:
        """Where one of them is; everywhere, if what the inner one gives is not what the outer one gives, column by column."""
        inner, outer = self._inner.short(), self._outer.short()
        return outer | (inner if inner.shape == outer.shape else inner.any())

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of both memories."""
        parts = (("outer", self._outer), ("inner", self._inner))
        return {f"{part}.{name}": value for part, indicator in parts for name, value in indicator.state().items()}

    def restore(self, state: State) -> None:
        """Go on from a memory that `state` gave; ValueError: it does not fit, and nothing of it is taken over."""
        self.check(state)
        self._outer.restore(_part(state, "outer."))
        self._inner.restore(_part(state, "inner."))

    def check(self, state: State) -> None:
        """Raise ValueError, as a sentence, unless `restore` would take this memory."""
        self._outer.check(_part(state, "outer."))
        self._inner.check(_part(state, "inner."))


def _part(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


class _Rowwise(Indicator):
    """Base of what is told of one row alone: no memory. Warm at row 1."""

    _parts = ()

    def __init__(self, columns: int) -> None:
        self.need = 1
        self.shape = (columns,)

    def step(self, row: Floats) -> Floats:
        """The value of one row."""
        value: Floats = self.block(row[None])[0]
        return value


class Field(_Rowwise):
    """A field of the bars as it is (OPEN, HIGH, LOW, CLOSE, VOLUME of model.py): `Of(Highest(20, n), Field(HIGH, n))`."""

    def __init__(self, field: int, columns: int) -> None:
        super().__init__(columns)
        self._field = field

    def rows(self, panel: Floats) -> Floats:
        """The field."""
        field: Floats = panel[..., self._field, :]
        return field

    def block(self, rows: Floats) -> Floats:
        """The rows themselves."""
        return rows.copy()


class Basket(_Rowwise):
    """Weighted sums of columns: sum(w x) for each basket, {column: w}, in units of x. Value (baskets,), NaN where a member has no value."""

    def __init__(self, baskets: Sequence[Mapping[int, float]]) -> None:
        super().__init__(len(baskets))
        self._members = [list(basket) for basket in baskets]
        self._weights = [np.array(list(basket.values()), np.float64) for basket in baskets]
        if not all(self._members):
            raise ValueError("a basket must have at least one member")

    def block(self, rows: Floats) -> Floats:
        """The values of each of many rows."""
        values = np.empty((len(rows), *self.shape))
        for basket, (members, weights) in enumerate(zip(self._members, self._weights, strict=True)):
            # Accumulated, because `sum` adds in another order when the shape is another.
            values[:, basket] = np.add.accumulate(finite(rows[:, members]) * weights, axis=1)[:, -1]
        return values


class Rank(_Rowwise):
    """Place of each symbol within the row: 1 for the largest. Of equal values the earlier column comes first; NaN has no place."""

    def block(self, rows: Floats) -> Floats:
        """The values of each of many rows."""
        rows = finite(rows)
        order = np.argsort(-rows, axis=1, kind="stable")
        places = np.empty_like(rows)
        np.put_along_axis(places, order, np.arange(1.0, rows.shape[1] + 1)[None], axis=1)
        return np.where(np.isnan(rows), np.nan, places)
