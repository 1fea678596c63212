"""Skim: stretches of slices at which nothing can happen, taken all at once.

Rule: the same as one slice after the other, to the bit and to the last digit of money. Where anything might follow from a slice (somebody
is due, an order is open, a price waits, a loss may be too large, a rule acts between due times), the stretch ends before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import repeat
from operator import mul
from typing import Final

import numpy as np

from daemon.core.model import CLOSE, EXACT, VOLUME, ZERO, Floats, from_epoch_ms
from daemon.core.strategy import Columns
from daemon.parts import Core
from daemon.research.panels import Block
from daemon.research.record import Record
from daemon.research.venue import StoredVenue

# Slices whose prices are looked at together, at least: several stretches, and not a whole block, since a price between two bars
# has them looked at anew.
NEAR: Final = 256

# A fall is judged to twelve digits; whatever comes this near to its limit is left to the judge.
MARGIN: Final = 1e-9


class Skim:
    """Takes stretches of a block. `record` is told what it would have heard."""

    def __init__(self, core: Core, venue: StoredVenue, record: Record) -> None:
        self._core = core
        self._venue = venue
        self._record = record
        self._length_ms = core.timeframe // timedelta(milliseconds=1)
        self._signals: Mapping[str, Columns] | None = None  # of the slices from row `_from` of the block on
        self._from = 0
        self._column = {symbol: column for column, symbol in enumerate(core.symbols)}

    def begin(self, block: Block, row: int) -> None:
        """What follows are the slices of this block, from this row on."""
        runner = self._core.runner
        told = self._signals = runner.foresee(block.panel[row:])
        self._from = row
        self._record.foretold = told is not None and runner.membership.rule is None and all(each.decided for each in told.values())
        if told is not None and self._record.foretold:
            self._record.signals.extend(block.times[row:] - self._length_ms, told)

    def take(self, block: Block, row: int) -> int:
        """Take as many slices as may be, from this row of the block on; how many that were."""
        stretch = self._stretch(block, row)
        if stretch is None:
            return 0
        prices = self._prices(stretch)
        worths = self._worths(prices, len(stretch))
        equities = np.array(list(map(float, worths[""])))
        count = len(stretch) if not self._core.breakers.watches_losses else self._unharmed(equities)
        if not count:
            return 0
        stretch = stretch.rows(0, count)
        shares = self._shares(prices, worths[""][:count])
        self._pass(stretch, {owner: (np.array(each[:count], np.float64), each[count - 1]) for owner, each in worths.items()})
        self._record.skim(stretch, equities[:count], shares)
        self._decide_nothing(stretch, row - self._from)
        return count

    def _decide_nothing(self, stretch: Block, first: int) -> None:
        """Let the strategies see the slices, and keep their numbers; `first`: how many slices were foreseen before these."""
        runner, count = self._core.runner, len(stretch)
        if self._signals is not None and not runner.untold:
            runner.skip(count, stretch.slice(count - 1))
            if not self._record.foretold:
                told = {name: _part(columns, first, first + count) for name, columns in self._signals.items()}
                self._record.signals.extend(stretch.times - self._length_ms, told)
            return
        for row in range(count):
            cross_section = stretch.slice(row)
            runner.rest((cross_section,))
            self._record.keep_signals(cross_section)

    def _stretch(self, block: Block, row: int) -> Block | None:
        """The slices from here on at which, as far as can be told before, nothing happens; None: there is none."""
        core = self._core
        if not (core.manager.rests and core.reconciler.rests) or self._venue.waiting or core.account.unvalued or core.account.drift:
            return None
        if core.manager.guard.watches:
            return None  # the watch judges every bar
        if core.account.has_positions:
            return None  # how near a position is to its liquidation is judged at every bar
        count = core.runner.rests(block.times[row:])
        if count and not core.breakers.ahead:
            near = block.rows(row, row + max(count, NEAR))
            core.breakers.calm(near.times, near.closes, near.age)
        count = min(count, core.breakers.ahead)
        return block.rows(row, row + count) if count else None

    def _unharmed(self, equities: Floats) -> int:
        """How many slices pass before a loss might be too large: judged against the highest value of all, which is never too mild."""
        rules, curve = self._core.breakers.rules, self._core.curves.account
        if curve.units <= 0:
            return len(equities)
        limit = min(rule.limit for rule in (rules.drawdown, rules.daily_loss) if rule is not None)
        values = equities / curve.units
        highs = np.maximum.accumulate(np.maximum(values, max(curve.high, curve.opened)))
        harmed = 1.0 - values / highs >= limit - MARGIN
        return int(harmed.argmax()) if harmed.any() else len(equities)

    def _prices(self, stretch: Block) -> dict[str, list[Decimal]]:
        """By currency that somebody holds, what a unit is worth at each of the closes."""
        account, closes = self._core.account, stretch.closes
        held = {currency for currency, amount in self._core.ledger.units.items() if amount}
        held.update(currency for _, currency in self._core.portfolio.holdings())
        rate = account.rate(account.quote) or ZERO
        found: dict[str, list[Decimal]] = {}
        for symbol, market in account.markets.items():
            if market.base in held:
                told = map(Decimal, map(repr, closes[:, self._column[symbol]].tolist()))
                found[market.base] = list(map(mul, told, repeat(rate)))
        return found

    def _worths(self, prices: Mapping[str, Sequence[Decimal]], count: int) -> dict[str, Sequence[Decimal]]:
        """What the account ("") and every sleeve is worth at each of so many closes."""
        core = self._core
        rate = core.account.rate(core.account.quote) or ZERO
        holdings = [("", currency, amount) for currency, amount in core.ledger.holdings().items()]
        holdings += [(owner, currency, amount) for (owner, currency), amount in core.portfolio.holdings().items()]
        worths: dict[str, Sequence[Decimal]] = {"": [ZERO] * count}
        for owner, currency, amount in holdings:
            before = worths.get(owner) or [ZERO] * count
            if currency == core.account.quote:
                worths[owner] = list(map(EXACT.add, repeat(amount * rate), before))
            elif currency in prices:
                worths[owner] = list(map(EXACT.fma, repeat(amount), prices[currency], before))
        return worths

    def _shares(self, prices: Mapping[str, Sequence[Decimal]], equities: Sequence[Decimal]) -> list[list[float]]:
        """Of each holding, its weight at each of the closes."""
        account = self._core.account
        found: list[list[float]] = []
        for symbol in self._core.symbols:
            if held := account.held(symbol):
                worths = map(mul, repeat(held), prices[account.markets[symbol].base])
                found.append([float(worth / equity) if equity > 0 else 0.0 for worth, equity in zip(worths, equities, strict=False)])
        return found

    def _pass(self, stretch: Block, worths: Mapping[str, tuple[Floats, Decimal]]) -> None:
        """Let every part know what it would from the slices."""
        core, last = self._core, len(stretch) - 1
        core.breakers.take(stretch.times)
        newest = last - stretch.age[last]  # the row of each symbol's last bar, negative where it has had none here
        seen, rows = newest >= 0, np.maximum(newest, 0)
        columns = np.arange(len(core.symbols))
        prices, times = stretch.closes[rows, columns].tolist(), stretch.times[rows]
        moments = {moment: from_epoch_ms(moment) for moment in set(times.tolist())}
        core.account.mark_all((core.symbols[n], prices[n], moments[int(times[n])]) for n in np.flatnonzero(seen).tolist())
        bars = stretch.panel[rows, :, columns][:, [CLOSE, VOLUME]].T
        core.manager.guard.gate.learn(core.symbols, bars, times, seen)
        core.curves.skim(worths, stretch.times)
        core.analyzer.skim(stretch.closes)


def _part(columns: Columns, first: int, end: int) -> Columns:
    """The same of some of the slices."""
    return replace(columns, numbers={name: rows[first:end] for name, rows in columns.numbers.items()})
