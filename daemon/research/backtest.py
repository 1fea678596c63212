"""Backtest: the daemon's own parts and its own route table over stored bars, with edges that answer at once instead of waiting.

Rule: nothing is decided, limited, planned, tracked or booked here. A slice is published at its bars' close; what follows from it, down to
the fills at the next bar's open, has happened before the next one. Time passes from slice to slice; where no symbol has a bar, it stands.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Inexact, InvalidOperation
from itertools import chain
from typing import Any, Final

import numpy as np

from daemon.core import events as e
from daemon.core.bus import Bus, Handler
from daemon.core.ledger import Ledger
from daemon.core.model import Slice, epoch_ms, from_epoch_ms
from daemon.core.orders import OrderManager
from daemon.core.plain import rfc3339
from daemon.core.slices import Aligner
from daemon.core.suspicion import Calm
from daemon.parts import Core, Joined
from daemon.research.bars import Bars
from daemon.research.brisk import Brisk
from daemon.research.panels import FIELDS, ROWS
from daemon.research.record import Record
from daemon.research.skim import Skim
from daemon.research.venue import StoredVenue

# Numbers of the slices that are worked out at once: 8 MB of them.
NUMBERS: Final = 2**20
ROWS_LEAST: Final = 64

Routes = Callable[[Joined], Sequence[tuple[type, Sequence[Handler[e.Event]]]]]


class AtOnce:
    """The gateway of a backtest: every request is answered before the next event is handled."""

    def __init__(self, venue: StoredVenue, manager: OrderManager, ledger: Ledger) -> None:
        self._venue = venue
        self._manager = manager
        self._ledger = ledger

    def accept(
        self,
        request: e.SubmitOrders
        | e.CancelOrder
        | e.QueryOrder
        | e.QueryTrades
        | e.BookFlows
        | e.BookSleeves
        | e.PollAccount
        | e.MeasureClock
        | e.ReadMarkets
        | e.ReadSettings
        | e.ReadTouch
        | e.RecallOrder,
    ) -> Iterable[e.Event]:
        """What is known after a request."""
        at = request.at
        match request:
            case e.SubmitOrders():
                sent = (order for order in request.orders if self._manager.may_send(order.id))
                return chain.from_iterable(self._venue.submit(order, at) for order in sent)
            case e.CancelOrder():
                return self._venue.cancel(request.order_id, request.symbol, at)
            case e.QueryOrder():
                return self._venue.query(request.order_id, at)
            case e.QueryTrades():
                return [*self._trades(request), e.TradesListed(request.symbols, request.since, at)]
            case e.BookFlows():
                return [e.FlowBooked(flow, at) for flow in request.flows]
            case e.BookSleeves():
                return (e.SleevesBooked(request.booking, at),)
            case e.PollAccount():
                return (e.AccountPolled(self._venue.snapshot(at), at),)
            case e.MeasureClock() | e.ReadMarkets() | e.ReadSettings() | e.ReadTouch() | e.RecallOrder():
                return ()  # stored bars have no clock but their own, rules that never change, no book, and an account that forgets nothing

    def _trades(self, request: e.QueryTrades) -> Iterable[e.Event]:
        found = chain.from_iterable(self._venue.trades(symbol, request.since, request.at) for symbol in request.symbols)
        return (told for told in found if not self._booked(told))

    def _booked(self, told: e.Event) -> bool:
        return isinstance(told, e.OrderFilled) and self._ledger.has_trade(told.fill.symbol, told.fill.trade_id)


class Overgrown(Exception):  # named by what is known
    """An amount of the account has more digits than any real one, and what follows could not be exact any more."""


class Backtest:
    """One run. `routes` is the route table of the daemon; `record` hears of everything."""

    def __init__(self, core: Core, venue: StoredVenue, record: Record, routes: Routes) -> None:
        self.parts = core
        core.account.markets = venue.markets
        core.curves.kept = False  # nothing goes on after a backtest
        # Not fed: the slices of stored bars are made whole by the same rules before they are published.
        self.aligner = Aligner(core.symbols, core.timeframe, core.timeframe)
        self.gateway = self.poller = self.timekeeper = self.rulebook = self.settings = AtOnce(venue, core.manager, core.ledger)
        self.recorder = self.views = record
        self.tell = record.tell
        self._venue = venue
        self._brisk = Brisk(core, venue, record, core.manager.settings)
        self._skim = Skim(core, venue, record, self._follow)
        # Everything is told, most of it in vain: the record hears of what it keeps.
        table = [(kind, [each for each in heard if each != self.tell or kind in record.kinds]) for kind, heard in routes(self)]
        self._bus: Bus[e.Event] = Bus(table)

    def paper_on(self, _kind: type) -> list[Any]:
        """The venue knows its bars already."""
        return []

    def away_on(self, _kind: type) -> list[Any]:
        """Every strategy runs in this process."""
        return []

    def run(self, bars: Bars, start: datetime | None = None, *, skims: bool = True) -> None:
        """Warm up on what closes before `start`, then trade every slice from there on; without it, from the first bar on.

        `skims`: stretches at which nothing can happen are taken at once. Without that the same comes of it, later.

        Raises:
            Overgrown: prices or gains are so absurd that the account cannot be kept exactly.
        """
        history: list[Slice] = []
        if skims and not self.parts.manager.guard.watches:
            self.parts.analyzer.spare(measured=self.parts.manager.guard.need > 0)
        for block in bars.blocks(self._rows(len(bars.symbols))):
            row = 0 if start is None else int(np.searchsorted(block.times, epoch_ms(start)))
            history += self.parts.breakers.warm([block.slice(before) for before in range(row)])
            if row < len(block) and not self.parts.ledger.opened:
                self._begin(history, from_epoch_ms(int(block.times[row])) - bars.timeframe)
            if row < len(block) and skims:
                self._skim.begin(block, row)
            while row < len(block):
                try:
                    row += (self._skim.take(block, row) if skims else 0) or self._step(block.slice(row))
                except (Inexact, InvalidOperation) as error:
                    moment = rfc3339(from_epoch_ms(int(block.times[row])))
                    raise Overgrown(f"at {moment} an amount needs more digits than can be kept exactly") from error

    def _rows(self, symbols: int) -> int:
        """How many slices are worked out at once: fewer, where each has many numbers."""
        return min(ROWS, max(ROWS_LEAST, NUMBERS // (self.parts.runner.breadth + FIELDS * symbols)))

    def _begin(self, history: Sequence[Slice], at: datetime) -> None:
        """What a start does: history into the indicators, the opening balance into the ledger, and trading once both agree."""
        self.parts.runner.warm(history)
        self.parts.analyzer.warm(history)
        self.parts.manager.guard.gate.warm(history)
        self.parts.membership.warm_up(history)
        if history:
            self.parts.account.on_slice(e.SliceClosed(history[-1], at))
        for moment in (at - Calm().opens, at):  # two looks at the account, as of a start
            self._bus.publish(e.PollAccount(moment))
        self._bus.publish(e.TimePassed(at))

    def _step(self, closed: Slice) -> int:
        """Trade one slice; how many that is."""
        cross_section = self.parts.breakers.judged(closed)
        closes_at = cross_section.closes_at
        opens_at = closes_at - self.parts.timeframe
        self._publish(self._venue.settled(opens_at))
        self._publish(self._venue.opened(opens_at))
        self._publish(self._venue.settled(closes_at))
        self._disturb(e.TimePassed(closes_at))
        self._publish(self._venue.marked(closes_at))
        self._publish(self._venue.liquidated(closes_at))
        self._bus.publish(e.SliceClosed(cross_section, closes_at))
        self.recorder.after(cross_section)
        return 1

    def _follow(self, chosen: e.TargetsChosen, closed: Slice) -> bool:
        """What follows from a decision that rests on a slice; whether that was worked off in one go."""
        if self._brisk.take(chosen, closed):
            return True
        self._disturb(chosen)
        return False

    def _disturb(self, event: e.Event) -> None:
        """Have the parts hear of something, of which anything may follow."""
        self._brisk.calm = False
        self._bus.publish(event)

    def _publish(self, events: Iterable[e.Event]) -> None:
        for event in events:
            self._disturb(event)
