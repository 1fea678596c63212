"""Generated prices: many correlated markets, any row at any time, paid for only when asked.

Rule: a block of rows depends on the seed, the market and the block's number alone, so no order of asking changes a price.
The log price of a market follows beta x (a factor common to all) + (a factor of its group) + noise of its own, pulled back to
where it started: prices wander for ever but stay in sight. A row opens at the close of the row before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.venue.markets import Market
from daemon.venue.rows import Row, Table, as_row

BLOCK: Final = 256  # rows made at a time
BLOCKS_KEPT: Final = 8192  # about 80 MB; enough for 3,500 markets' present and past block
GROUPS: Final = 6
PULL: Final = 0.9998  # a row's remembrance of the last one: half of a deviation is gone after about 3,500 rows
FACTOR_KEY: Final = 1 << 40  # keys of the factors lie beyond every market's


class GeneratedRows:
    """Seeded prices of the given markets. `volatility` is the standard deviation of a row's return, a fraction."""

    def __init__(self, markets: Sequence[Market], seed: int, volatility: float, gaps: float = 0.0) -> None:
        self._markets = markets
        self._seed = seed
        self._volatility = volatility
        self._gaps = gaps
        self._decay = PULL ** np.arange(1, BLOCK + 1)
        self._levels: dict[int, list[float]] = {}  # market -> log deviation at the start of each block reached so far
        self._blocks: OrderedDict[tuple[int, int], Table] = OrderedDict()
        self._factors: dict[tuple[int, int], NDArray[np.float64]] = {}

    def row(self, market: int, index: int) -> Row | None:
        """See `Rows.row`."""
        block, offset = divmod(index, BLOCK)
        return as_row(self._block(market, block)[offset].tolist())

    def table(self, market: int, start: int, stop: int) -> Table:
        """See `Rows.table`."""
        if stop <= start:
            return np.empty((0, 5))
        first, last = start // BLOCK, (stop - 1) // BLOCK
        joined = np.concatenate([self._block(market, number) for number in range(first, last + 1)])
        return joined[start - first * BLOCK : stop - first * BLOCK]

    def _chance(self, key: int, block: int) -> np.random.Generator:
        place = np.array([0, block, 0, 0], np.uint64)
        return np.random.Generator(np.random.Philox(key=np.array([self._seed, key], np.uint64), counter=place))

    def _factor(self, number: int, block: int) -> NDArray[np.float64]:
        """A factor's shocks in a block; number 0 is common to all markets."""
        if (number, block) not in self._factors:
            if len(self._factors) > 64 * GROUPS:
                self._factors.clear()
            self._factors[number, block] = self._chance(FACTOR_KEY + number, block).standard_normal(BLOCK)
        return self._factors[number, block]

    def _shocks(self, market: int, block: int, own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log returns of the block's rows; `own` is the market's own noise."""
        beta = 0.55 + 0.25 * ((market * 7919) % 10) / 10
        group = self._factor(1 + market % GROUPS, block)
        return self._volatility * (beta * self._factor(0, block) + 0.35 * group + 0.55 * own)

    def _path(self, market: int, block: int) -> tuple[NDArray[np.float64], np.random.Generator]:
        """Log deviations at the end of each row of the block; the levels before it must be known."""
        chance = self._chance(market, block)
        shocks = self._shocks(market, block, chance.standard_normal(BLOCK))
        start = self._levels[market][block]
        return self._decay * (start + np.cumsum(shocks / self._decay)), chance

    def _reach(self, market: int, block: int) -> None:
        """Know the levels at the start of every block up to `block`."""
        levels = self._levels.setdefault(market, [0.0])
        while len(levels) <= block:
            levels.append(float(self._path(market, len(levels) - 1)[0][-1]))

    def _block(self, market: int, block: int) -> Table:
        key = (market, block)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        self._reach(market, block)
        made = self._make(market, block)
        self._blocks[key] = made
        if len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return made

    def _make(self, market: int, block: int) -> Table:
        """The block's rows on the market's grid."""
        rules = self._markets[market]
        path, chance = self._path(market, block)
        grid = 10.0**rules.price_decimals
        closes = np.maximum(np.round(rules.price * np.exp(path) * grid), 1)
        start = max(round(rules.price * float(np.exp(self._levels[market][block])) * grid), 1)
        opens = np.concatenate(([start], closes[:-1]))
        reach = np.exp(np.abs(chance.standard_normal((2, BLOCK))) * self._volatility * 0.4)
        highs = np.round(np.maximum(opens, closes) * reach[0])
        lows = np.maximum(np.round(np.minimum(opens, closes) / reach[1]), 1)
        lot = 10.0**rules.amount_decimals
        volumes = np.round(150_000 * np.exp(chance.standard_normal(BLOCK) * 0.6) / (closes / grid) * lot) / lot
        made = np.column_stack((opens / grid, highs / grid, lows / grid, closes / grid, volumes))
        if self._gaps:
            made[chance.random(BLOCK) < self._gaps] = np.nan
        return made
