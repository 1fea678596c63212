"""Prices: a close or a tick far outside its symbol's own range waits for confirmation.

Rule: what waits marks nothing, is decided on by nobody, and its symbol is not traded; bars in its neighbourhood, or a person, confirm it.
Indicators see every bar as it came: history, a restart and a backtest would bring it to them in any case.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from daemon.core.breakers.breaker import Change
from daemon.core.breakers.rules import Code, SpikeRule
from daemon.core.model import Floats, Slice, epoch_ms, from_epoch_ms
from daemon.core.spikes import Ints, SpikeGuard
from daemon.core.states import DAEMON, Hold, Level, Scope, States
from daemon.core.steering import HoldLifted, HoldPlaced


class Prices:
    """The guard of all symbols' prices, and the holds of those that wait."""

    def __init__(self, rule: SpikeRule, states: States, symbols: Sequence[str], timeframe: timedelta) -> None:
        self._guard = SpikeGuard(len(symbols), factor=rule.factor, floor=rule.floor, confirmations=rule.confirmations)
        self._states = states
        self._timeframe = timeframe
        self._symbols = tuple(symbols)
        self._columns = {symbol: column for column, symbol in enumerate(symbols)}
        self._seen: datetime | None = None
        self._told: dict[str, float] = {}  # by symbol that waits, the price that raised the doubt

    def judged(self, cross_section: Slice) -> Slice:
        """The slice with its bars that wait for confirmation, before anybody acts on it. Each slice once, in order."""
        passed = 1 if self._seen is None else max(1, (cross_section.closes_at - self._seen) // self._timeframe)
        self._seen = cross_section.closes_at
        self._guard.step(cross_section.close, cross_section.age == 0, passed)
        waiting = self._guard.waiting
        if not waiting.any():
            return cross_section
        for column in np.flatnonzero(waiting & (cross_section.age == 0)).tolist():
            self._told[self._symbols[column]] = float(cross_section.close[column])
        waiting.setflags(write=False)
        return replace(cross_section, suspect=waiting)

    def calm(self, closes_ms: Ints, closes: Floats, age: Ints) -> int:
        """How many slices, from the first of these on, hold nothing that would have to wait, as of SpikeGuard."""
        return self._guard.calm(closes, age == 0, self._passed(closes_ms))

    def take(self, closes_ms: Ints, closes: Floats, age: Ints) -> None:
        """Judge calm slices, as `judged` does one after the other."""
        self._guard.take(closes, age == 0, self._passed(closes_ms))
        self._seen = from_epoch_ms(int(closes_ms[-1]))

    def _passed(self, closes_ms: Ints) -> Ints:
        """How many bars each of these slices is after the one before it, at least one."""
        length_ms = self._timeframe // timedelta(milliseconds=1)
        before = int(closes_ms[0]) - length_ms if self._seen is None else epoch_ms(self._seen)
        passed: Ints = np.maximum(np.diff(closes_ms, prepend=before) // length_ms, 1)
        return passed

    def believes(self, symbol: str, price: float) -> bool:
        """Whether a price between two bars may mark the account; that of a symbol which is not traded is nobody's business here."""
        column = self._columns.get(symbol)
        if column is None or self._guard.tick(column, price):
            return True
        self._told[symbol] = price
        return False

    def confirm(self, symbol: str) -> None:
        """A person says that the price is right."""
        if symbol in self._columns:
            self._guard.confirm(self._columns[symbol])

    def on_price(self, symbol: str, at: datetime) -> Iterator[Change]:
        """After a tick: hold its symbol, or let it go."""
        column = self._columns.get(symbol)
        if column is not None:
            yield from self._hold(symbol, waits=bool(self._guard.waiting[column]), at=at)

    def on_slice(self, at: datetime) -> Iterator[Change]:
        """After a slice: hold what waits, let go what does not; also what a process before this one held."""
        waiting = {self._symbols[column] for column in np.flatnonzero(self._guard.waiting).tolist()}
        held = {hold.scope.symbol for hold in self._states.holds() if hold.code == Code.PRICE_SPIKE.value}
        for symbol in sorted(waiting ^ held):
            yield from self._hold(symbol, waits=symbol in waiting, at=at)

    def _hold(self, symbol: str, *, waits: bool, at: datetime) -> Iterator[Change]:
        scope, code = Scope(symbol=symbol), Code.PRICE_SPIKE.value
        held = self._states.find(scope, code) is not None
        if waits and not held:
            trusted, told = float(self._guard.trusted[self._columns[symbol]]), self._told.get(symbol, float("nan"))
            text = f"{symbol} has jumped from {trusted:g} to {told:g}, and waits for the next bar to confirm that"
            yield HoldPlaced(Hold(scope=scope, level=Level.PAUSED, code=code, text=text, since=at), at)
        elif held and not waits:
            yield HoldLifted(scope, code, DAEMON, at)
