"""What a source of prices offers, and how several are joined.

Rule: row `i` of a market is the same whenever and by whomever it is asked; a row that does not exist is a gap, not an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

COLUMNS = ["open", "high", "low", "close", "volume"]
Table = NDArray[np.float64]  # (rows, 5), in the order of COLUMNS, NaN where there is no row


class Row(NamedTuple):
    """One bar of a market. Prices in quote per base, volume in base units."""

    open: float
    high: float
    low: float
    close: float
    volume: float


class Rows(Protocol):
    """An endless run of rows for every market, counted from 0."""

    def row(self, market: int, index: int) -> Row | None:
        """Row `index` of the market, None at a gap."""
        ...

    def table(self, market: int, start: int, stop: int) -> Table:
        """Rows start..stop-1 as float64 (stop - start, 5), NaN at gaps."""
        ...


class JoinedRows:
    """The first markets from one source, the rest from another."""

    def __init__(self, first: Rows, count: int, rest: Rows) -> None:
        self._first, self._count, self._rest = first, count, rest

    def row(self, market: int, index: int) -> Row | None:
        """See `Rows.row`."""
        return (self._first if market < self._count else self._rest).row(market, index)

    def table(self, market: int, start: int, stop: int) -> Table:
        """See `Rows.table`."""
        return (self._first if market < self._count else self._rest).table(market, start, stop)


def as_row(values: Sequence[float]) -> Row | None:
    """Five floats as a row; NaN means that there is none."""
    return None if values[0] != values[0] else Row(*values)
