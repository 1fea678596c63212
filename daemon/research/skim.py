"""Skim: stretches of slices at which nothing can happen, taken all at once.

Rule: the same as one slice after the other, to the bit and to the last digit of money. Where anything might follow from a slice (an order
is open, a price waits, a loss may be too large, a rule acts between due times), the stretch ends before it; where somebody is due, with it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Final

import numpy as np

from daemon.core.events import SliceClosed, TargetsChosen
from daemon.core.lastprices import Mark
from daemon.core.model import ZERO, Bools, Floats, Slice, from_epoch_ms
from daemon.core.strategy import Columns
from daemon.parts import Core
from daemon.research.panels import Block, Ints, Newest
from daemon.research.record import Record
from daemon.research.ticks import Ticks, Worths, worths
from daemon.research.venue import StoredVenue

# Slices whose prices are looked at together, at least: several stretches, and not a whole block, since a price between two bars
# has them looked at anew. Twice as many each time that none did.
NEAR: Final = 256
NEAR_MAX: Final = 4096

# Tells what follows from a decision, and whether it has left nothing under way.
Follow = Callable[[TargetsChosen, Slice], bool]

# A fall is judged to twelve digits; whatever comes this near to its limit is left to the judge.
MARGIN: Final = 1e-9


class Skim:
    """Takes stretches of a block. `record` is told what it would have heard, `follow` what is decided at the end of one."""

    def __init__(self, core: Core, venue: StoredVenue, record: Record, follow: Follow) -> None:
        self._follow = follow
        self._core = core
        self._venue = venue
        self._record = record
        self._length_ms = core.timeframe // timedelta(milliseconds=1)
        self._signals: Mapping[str, Columns] | None = None  # of the slices from row `_from` of the block on
        self._from = 0
        self._ticks = Ticks(np.zeros((0, len(core.symbols))))
        self._next = 0  # the row after the newest one that was taken
        self._since = 0  # from this row on, all were taken
        self._near = NEAR
        self._looked = 0  # prices were looked at up to this row
        self._calm = False  # nothing else has happened since it was seen that nothing is under way
        self._column = {symbol: column for column, symbol in enumerate(core.symbols)}
        self._of_base: dict[str, list[int]] = {}
        for symbol, market in venue.markets.items():
            self._of_base.setdefault(market.base, []).append(self._column[symbol])

    def begin(self, block: Block, row: int) -> None:
        """What follows are the slices of this block, from this row on."""
        self._core.account.mark_now()
        self._ticks = Ticks(block.closes)
        self._next = self._since = row
        runner = self._core.runner
        told = self._signals = runner.foresee(block.panel[row:])
        self._from = row
        self._record.foretold = told is not None and runner.membership.rule is None and all(each.decided for each in told.values())
        if told is not None and self._record.foretold:
            self._record.signals.extend(block.times[row:] - self._length_ms, told)

    def take(self, block: Block, row: int) -> int:
        """Take as many slices as may be, from this row of the block on; how many that were."""
        stretch, quiet = self._stretch(block, row)
        if stretch is None:
            return 0
        count = len(stretch)
        worths = self._worths(row, count)
        equities = worths[""].floats()
        if self._core.breakers.watches_losses and (harmed := self._unharmed(equities)) < count:
            if not harmed:
                return 0
            count, stretch, equities = harmed, stretch.rows(0, harmed), equities[:harmed]
        if row != self._next:  # slices in between were looked at one by one, with what was not to be believed in them
            self._core.account.mark_now()
            self._since = row
        self._next = row + count
        self._pass(block, stretch, row + count - 1, {owner: each.until(count - 1) for owner, each in worths.items()})
        self._record.skim(stretch, equities, self._held(self._core.ledger.units))
        quiet = min(quiet, count)
        if quiet:
            self._decide_nothing(stretch, quiet, row - self._from)
        if quiet < count:
            self._decide(stretch.slice(quiet))
        return count

    def _decide(self, cross_section: Slice) -> None:
        """Somebody is due at a slice that has been taken: what is decided, and what follows from it."""
        chosen = [
            e for e in self._core.runner.on_slice(SliceClosed(cross_section, cross_section.closes_at)) if isinstance(e, TargetsChosen)
        ]
        for each in chosen:
            self._calm = self._follow(each, cross_section) and self._calm
        self._record.after(cross_section)

    def _decide_nothing(self, stretch: Block, count: int, first: int) -> None:
        """Let the strategies see so many slices, and keep their numbers; `first`: how many slices were foreseen before these."""
        self._record.keep_troubles(count)
        runner = self._core.runner
        if self._signals is not None and not runner.untold:
            runner.skip(count, stretch.slice(count - 1) if count == len(stretch) else None)
            if not self._record.foretold:
                told = {name: _part(columns, first, first + count) for name, columns in self._signals.items()}
                self._record.signals.extend(stretch.times[:count] - self._length_ms, told)
            return
        for row in range(count):
            cross_section = stretch.slice(row)
            runner.rest((cross_section,))
            self._record.keep_signals(cross_section)

    def _stretch(self, block: Block, row: int) -> tuple[Block | None, int]:
        """The slices from here on at which, as far as can be told before, nothing else happens than that somebody is due at the last.

        None: there is none. And at how many of them nobody is due.
        """
        core, short = self._core, self._core.account.may_be_short
        self._calm = (self._calm and row == self._next) or self._is_calm()
        if not self._calm or core.runner.restless:
            return None, 0
        quiet = core.runner.rests(block.times[row:])
        count = quiet + (not short)  # and the slice at which somebody is due; of swaps it brings marks and funding
        calm = core.breakers.ahead
        if not calm:
            self._near = min(2 * self._near, NEAR_MAX) if row == self._looked else NEAR
            near = block.rows(row, row + max(count, self._near))
            self._looked = row + len(near)
            calm = core.breakers.calm(near.times, near.closes, near.age)
        count = min(count, calm, len(block.times) - row)
        return block.rows(row, row + count) if count else None, quiet

    def _is_calm(self) -> bool:
        """Whether nothing is under way, and nothing is judged at every bar."""
        core, account = self._core, self._core.account
        if not (core.manager.rests and core.reconciler.rests) or self._venue.waiting or account.unvalued or account.drift:
            return False
        # The watch judges every bar; and how near a position is to its liquidation is judged at every bar.
        return not core.manager.guard.watches and not account.has_positions

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

    def _worths(self, row: int, count: int) -> dict[str, Worths]:
        """What the account ("") and every sleeve is worth at each of so many closes from a row of the block on."""
        core, units = self._core, self._core.ledger.units
        owned: dict[str, dict[str, Decimal]] = {}
        for (owner, currency), amount in core.portfolio.holdings().items():
            owned.setdefault(owner, {})[currency] = amount
        if len(owned) == 1:  # who holds alone holds what the ledger does
            (owner,) = owned
            whole = self._worth(units, row, count)
            return {"": whole, owner: whole}
        return {"": self._worth(units, row, count), **{owner: self._worth(held, row, count) for owner, held in owned.items()}}

    def _worth(self, units: Mapping[str, Decimal], row: int, count: int) -> Worths:
        """What these units by currency are worth; of what is no part of the equity, nothing."""
        return worths(units.get(self._core.account.quote, ZERO), self._held(units), self._ticks, row, count)

    def _held(self, units: Mapping[str, Decimal]) -> list[tuple[int, Decimal]]:
        """Of these units by currency, those of symbols, each with its column, in their order."""
        quote, columns = self._core.account.quote, self._of_base
        held = [(columns[currency], amount) for currency, amount in units.items() if amount and currency != quote and currency in columns]
        return sorted([(column, amount) for each, amount in held for column in each])

    def _pass(self, block: Block, stretch: Block, last: int, worths: Mapping[str, tuple[Floats, Decimal]]) -> None:
        """Let every part know what it would from the slices up to row `last`."""
        core, newest = self._core, partial(block.newest, self._since, last)
        core.breakers.take(stretch.times)
        core.account.mark_later(partial(_marks, newest), worths[""][1])
        core.manager.guard.gate.learn_later(partial(_bars, newest))
        core.curves.skim(worths, stretch.times)
        core.analyzer.skim(stretch.closes)


def _marks(newest: Callable[[], Newest]) -> Iterator[Mark]:
    """As prices."""
    found = newest()
    each = zip(found.symbols, found.bars[0].tolist(), found.times.tolist(), found.there.tolist(), strict=True)
    return ((symbol, price, from_epoch_ms(moment)) for symbol, price, moment, there in each if there)


def _bars(newest: Callable[[], Newest]) -> tuple[tuple[str, ...], Floats, Ints, Bools]:
    """As what the gate learns."""
    found = newest()
    return found.symbols, found.bars, found.times, found.there


def _part(columns: Columns, first: int, end: int) -> Columns:
    """The same of some of the slices."""
    return replace(columns, numbers={name: rows[first:end] for name, rows in columns.numbers.items()})
