"""Mark prices: what positions are worth, whatever the last trade was.

Rule: a recorded mark price is played like a recorded trade. Where there is none, it follows the traded price and halves its wicks, so
that it is steadier, as the real one is. It does not lie on the price grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from daemon.venue.markets import DECIMALS, Market
from daemon.venue.rows import Row, Rows, Table
from daemon.venue.tape import Tape


class MarkRows:
    """Rows of mark prices; the first `count` markets from `recorded`, as far as it has them."""

    def __init__(self, traded: Rows, recorded: Rows | None, count: int) -> None:
        self._traded, self._recorded, self._count = traded, recorded, count

    def row(self, market: int, index: int) -> Row | None:
        """See `Rows.row`."""
        found = self._recorded.row(market, index) if self._recorded is not None and market < self._count else None
        if found is not None:
            return found
        traded = self._traded.row(market, index)
        return None if traded is None else Row(*_calm(np.array([traded]))[0].tolist())

    def table(self, market: int, start: int, stop: int) -> Table:
        """See `Rows.table`."""
        calm = _calm(self._traded.table(market, start, stop))
        if self._recorded is None or market >= self._count:
            return calm
        found = self._recorded.table(market, start, stop)
        return np.where(np.isnan(found), calm, found)


def _calm(table: Table) -> Table:
    """Traded rows with half of their wicks and no volume."""
    body_high, body_low = np.maximum(table[:, 0], table[:, 3]), np.minimum(table[:, 0], table[:, 3])
    high, low = (table[:, 1] + body_high) / 2, (table[:, 2] + body_low) / 2
    return np.column_stack((table[:, 0], high, low, table[:, 3], np.zeros(len(table))))


class Marks:
    """The mark price of every market over time. `skew` says by which fraction a fault has moved one."""

    def __init__(self, rows: MarkRows, markets: Sequence[Market], tape: Tape, skew: Callable[[str], Decimal]) -> None:
        self._markets = [replace(market, price_decimals=DECIMALS) for market in markets]
        self.tape = Tape(rows, self._markets, tape.interval, tape.step, tape.origin)
        self._skew = skew

    def price(self, market: Market, at: int) -> Decimal:
        """The mark price at a time, quote per base, eight decimals."""
        exact = self._markets[market.index].exact(self.tape.last(market.index, at))
        skew = self._skew(market.symbol)
        return exact if not skew else round(exact * (1 + skew), DECIMALS)
