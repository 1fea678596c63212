"""Board: all breakers of an account, each fed with the events that it reads.

Rule: it places and lifts holds, and asks for measurements; nothing else follows from it. Everything is judged on the time of events.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from daemon.core import forced
from daemon.core.account import Account
from daemon.core.breakers.breaker import PASSING, Change
from daemon.core.breakers.doubts import Drifts, UnknownOrders
from daemon.core.breakers.feeds import ClockSkew, LoopLag, Peg, StaleData
from daemon.core.breakers.losses import Losses
from daemon.core.breakers.prices import REDENOMINATED, Prices
from daemon.core.breakers.refusals import Refusals
from daemon.core.breakers.rules import Code, Rules
from daemon.core.curves import Curves
from daemon.core.events import (
    AccountReconciled,
    Awoken,
    ClockMeasured,
    Event,
    HoldLifted,
    LoopLagged,
    MeasureClock,
    OrderFilled,
    OrderRefused,
    OrderReported,
    PriceTicked,
    SliceClosed,
    StreamCaughtUp,
    StreamLost,
    TimePassed,
    UniverseChosen,
)
from daemon.core.model import Floats, Slice
from daemon.core.ordertable import OrderTable
from daemon.core.spikes import Ints
from daemon.core.states import DAEMON, States

# What only time brings about is looked for once a second: ten times a second would find it no sooner than a person could.
LOOK_EVERY: Final = timedelta(seconds=1)

# While the clock is known to be wrong it is measured so often.
MEASURE_AGAIN: Final = timedelta(seconds=10)


class Breakers:
    """The board. `rules` says which breakers there are. `live`: bars come as time passes; stored ones do not go stale."""

    def __init__(
        self,
        rules: Rules,
        states: States,
        account: Account,
        curves: Curves,
        table: OrderTable,
        symbols: Sequence[str],
        timeframe: timedelta,
        *,
        live: bool = True,
    ) -> None:
        self.rules = rules
        self._states = states
        self._account = account
        self._curves = curves
        self._table = table
        self._followed = tuple(symbols)
        self._timeframe = timeframe
        self._live = live
        self._next_look: datetime | None = None
        self._next_measure: datetime | None = None
        self._prices = Prices(rules.price_spike, states, symbols, timeframe) if rules.price_spike else None
        self._arm(rules)

    def _arm(self, rules: Rules) -> None:
        """Every judge of these rules but the one that history makes."""
        states = self._states
        self._losses = Losses(rules, states, self._account, self._curves)
        self._refusals = Refusals(rules.rejects, states) if rules.rejects else None
        self._unknown = UnknownOrders(rules.unknown_order, states, self._table) if rules.unknown_order else None
        self._drifts = Drifts(rules.drift, states, self._account) if rules.drift else None
        self._stale = StaleData(rules.stale_data, states, self._followed, self._timeframe) if rules.stale_data and self._live else None
        self._peg = Peg(rules.peg, states) if rules.peg else None
        self._clock = ClockSkew(rules.clock_skew, states) if rules.clock_skew else None
        self._lag = LoopLag(rules.loop_lag, states) if rules.loop_lag else None

    # --- start -------------------------------------------------------------------------------------------------------

    def renew(self, rules: Rules, at: datetime) -> Iterator[Change]:
        """Take up changed rules, except that of prices; what the judges had counted begins anew."""
        if rules != self.rules:
            self.rules = replace(rules, price_spike=self.rules.price_spike)
            self._arm(self.rules)
            yield from self.begin(at)

    def follow(self, symbols: Sequence[str]) -> None:
        """Judge the data of these symbols from here on."""
        self._followed = tuple(symbols)
        if self._stale:
            self._stale.symbols = self._followed

    def on_universe(self, event: UniverseChosen) -> Iterable[Event]:
        """Only those who are in it matter."""
        self.follow(sorted(event.members))
        return ()

    @property
    def need(self) -> int:
        """Bars of history that the breakers want before they judge."""
        return self.rules.need

    def warm(self, history: Sequence[Slice]) -> list[Slice]:
        """Judge the prices of a history; the same slices, with their bars that had to wait."""
        return list(history) if self._prices is None else self._prices.warm(history, len(history) - self.need)

    def restore(self, kept: str | None) -> None:
        """Go on after a stop, with what the journal has under AGREED, before any history."""
        if self._prices:
            self._prices.restore(kept)

    def begin(self, at: datetime) -> Iterator[Change]:
        """Go on after a stop: the hold of a breaker that is no more is lifted, since nobody else would."""
        gone = set(Code) - self.rules.codes
        for hold in self._states.holds():
            if hold.code in gone and hold.level in PASSING:
                yield HoldLifted(hold.scope, hold.code, DAEMON, at)

    # --- prices ------------------------------------------------------------------------------------------------------

    def judged(self, cross_section: Slice) -> Slice:
        """The slice with its bars that wait for confirmation, before it is told to anybody."""
        return self._prices.judged(cross_section) if self._prices else cross_section

    def doubted(self) -> Iterable[tuple[str, float]]:
        """The symbols whose price waits for confirmation, each with the last one that was believed."""
        return self._prices.doubted() if self._prices else ()

    def calm(self, closes_ms: Ints, closes: Floats, age: Ints) -> int:
        """How many slices, from the first of these on, have no price that would have to wait. Columns are symbols."""
        return self._prices.calm(closes_ms, closes, age) if self._prices else len(closes_ms)

    @property
    def ahead(self) -> int:
        """How many of them are to come; without a guard of prices, all."""
        return self._prices.ahead if self._prices else sys.maxsize

    def take(self, closes_ms: Ints) -> None:
        """Judge the next of the slices that `calm` has looked at, all at once."""
        if self._prices:
            self._prices.take(closes_ms)

    @property
    def at_ease(self) -> bool:
        """Whether no refused order is counted, so that one which is taken changes nothing."""
        return self._refusals is None or not self._refusals.counted

    @property
    def watches_losses(self) -> bool:
        """Whether what the account is worth may stop trading."""
        return self.rules.drawdown is not None or self.rules.daily_loss is not None

    def believes(self, symbol: str, price: float) -> bool:
        """Whether a price between two bars may mark the account."""
        return self._prices is None or self._prices.believes(symbol, price)

    def on_tick(self, event: PriceTicked) -> Iterable[Event]:
        """After the account has taken the price in, or has not."""
        self._losses.moved = True
        if self._prices:
            yield from self._prices.on_price(event.symbol, event.at)
        if self._peg:
            yield from self._peg.on_price(event.symbol, event.price, event.at)

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """After the account is marked, before anybody decides."""
        if self._stale:
            self._stale.on_slice(event.slice)
        if self._prices:
            yield from self._prices.on_slice(event.at)
        yield from self._losses.on_slice(event.at)

    def on_lost(self, event: StreamLost) -> Iterable[Event]:
        """A symbol's bars may be missing."""
        if self._stale:
            self._stale.lost(event.symbol, event.at)
        return ()

    def on_caught_up(self, event: StreamCaughtUp) -> Iterable[Event]:
        """They are complete again."""
        if self._stale:
            self._stale.caught_up(event.symbol)
        return ()

    # --- orders and the account --------------------------------------------------------------------------------------

    def on_order(self, event: OrderRefused | OrderReported | OrderFilled) -> Iterable[Event]:
        """What the venue says of an order: of ours, or of its own, by which it has taken a position."""
        match event:
            case OrderRefused(order_id=order_id, code=code, at=at):
                tracked = self._table.get(order_id)
                if code == "clock_skew" and self._clock:
                    yield MeasureClock(at)
                if tracked is not None and self._refusals:
                    yield from self._refusals.refused(tracked.order.symbol, code, at)
            case OrderReported(report=told) | OrderFilled(fill=told):
                if self._refusals and self._table.get(told.order_id, told.symbol, told.venue_id) is not None:
                    self._refusals.taken(told.symbol)
        if isinstance(event, OrderReported):
            yield from forced.on_reported(event)

    def on_reconciled(self, event: AccountReconciled) -> Iterable[Event]:
        """Ledger and account were compared."""
        if self._drifts:
            self._drifts.compared(event.differences, event.at, quiet=event.quiet)
        return ()

    # --- time --------------------------------------------------------------------------------------------------------

    def on_time(self, event: TimePassed) -> Iterable[Event]:
        """What only time brings about."""
        if self._next_look is not None and event.at < self._next_look:
            return ()
        self._next_look = event.at + LOOK_EVERY
        judges = (self._losses, self._refusals, self._unknown, self._drifts, self._stale, self._lag)
        return chain(chain.from_iterable(judge.on_time(event.at) for judge in judges if judge), self._measure(event.at))

    def _measure(self, at: datetime) -> Iterator[Event]:
        """While the clock is known to be wrong, it is looked at often."""
        if self._clock is None or self._clock.breaker.held() is None:
            return
        if self._next_measure is None or at >= self._next_measure:
            self._next_measure = at + MEASURE_AGAIN
            yield MeasureClock(at)

    def on_clock(self, event: ClockMeasured) -> Iterable[Event]:
        """The clocks were compared."""
        return self._clock.measured(event.offset, event.uncertainty, event.at) if self._clock else ()

    def on_awoken(self, event: Awoken) -> Iterable[Event]:
        """The clock has jumped, or seems to have."""
        return (MeasureClock(event.at),) if self._clock else ()

    def on_lag(self, event: LoopLagged) -> Iterable[Event]:
        """The loop stood still."""
        return self._lag.lagged(event.lag, event.at) if self._lag else ()

    # --- a person ----------------------------------------------------------------------------------------------------

    def on_lifted(self, event: HoldLifted) -> Iterable[Event]:
        """A hold is gone. If a person has lifted it, what caused it is known: it is judged from here on."""
        if event.by == DAEMON:
            return ()
        code, scope = event.code, event.scope
        if code == Code.REJECTS and self._refusals:
            self._refusals.excuse(scope)
        elif code in (Code.PRICE_SPIKE, REDENOMINATED) and self._prices:
            return self._prices.confirm(scope.symbol, event.at)
        elif code in (Code.DRAWDOWN, Code.DAILY_LOSS):
            return self._losses.excuse(code, event.at)
        else:
            judges = (self._unknown, self._drifts, self._stale, self._peg, self._clock, self._lag)
            for judge in judges:
                if judge and judge.breaker.code == code:
                    judge.breaker.excuse(scope)
        return ()
