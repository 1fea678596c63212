"""Prices: a close or a tick far outside its symbol's own range waits for confirmation.

Rule: what waits marks nothing, is decided on by nobody, and its symbol is not traded; bars in its neighbourhood, or a person, confirm it.
A price that stands more than twenty times higher or lower is another coin, or another unit of it: its symbol halts until a person agrees.
Indicators see every bar as it came: history, a restart and a backtest would bring it to them in any case.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from daemon.core.breakers.breaker import Change
from daemon.core.breakers.rules import Code, SpikeRule
from daemon.core.model import Floats, Slice, epoch_ms, from_epoch_ms
from daemon.core.spikes import Ints, SpikeGuard
from daemon.core.states import DAEMON, Hold, Level, Scope, States
from daemon.core.steering import HoldLifted, HoldPlaced, KeepState

# Slices of a history that are looked at together.
NEAR: Final = 1024

# Why a symbol is left alone whose price is that of another coin.
REDENOMINATED: Final = "redenominated"

# The key under which the journal keeps up to which close people have called the prices of symbols right.
AGREED: Final = "prices_agreed"


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
        self._agreed: dict[str, datetime] = {}
        self._to_come: dict[str, datetime] = {}  # of these, what the bars have not come to yet

    def restore(self, kept: str | None) -> None:
        """Go on after a stop, before any slice: the journal has what people have agreed to."""
        self._agreed = {symbol: datetime.fromisoformat(at) for symbol, at in json.loads(kept or "{}").items()}
        self._to_come = dict(self._agreed)

    def judged(self, cross_section: Slice, *, past: bool = False) -> Slice:
        """The slice with its bars that wait for confirmation, before anybody acts on it. Each slice once, in order.

        `past`: it is so long ago that whatever stood then is the price.
        """
        if self._guard.ahead and not self._to_come:
            self._guard.take(1)
            self._seen = cross_section.closes_at
            return cross_section
        passed = 1 if self._seen is None else max(1, (cross_section.closes_at - self._seen) // self._timeframe)
        self._seen = cross_section.closes_at
        self._guard.step(cross_section.close, cross_section.age == 0, passed)
        columns = np.flatnonzero(self._guard.split).tolist() if past else []
        for column in (*columns, *self._agreed_at(cross_section.closes_at)):
            self._guard.confirm(column)
        waiting = self._guard.waiting
        if not waiting.any():
            return cross_section
        for column in np.flatnonzero(waiting & (cross_section.age == 0)).tolist():
            self._told[self._symbols[column]] = float(cross_section.close[column])
        waiting.setflags(write=False)
        return replace(cross_section, suspect=waiting)

    def warm(self, history: Sequence[Slice], past: int) -> list[Slice]:
        """Judge the slices of a history, the first of them as of the `past`: the same as one after the other, most of them at once."""
        made: list[Slice] = []
        while len(made) < len(history):
            row = len(made)
            near = history[row : row + NEAR] if not self._to_come else ()
            if near:
                times = np.array([epoch_ms(cross_section.closes_at) for cross_section in near])
                closes, ages = np.array([each.close for each in near]), np.array([each.age for each in near])
                calm = self.calm(times, closes, ages)
                if calm:
                    self.take(times[:calm])
                made += near[:calm]
            if len(made) < min(row + NEAR, len(history)):
                made.append(self.judged(history[len(made)], past=len(made) < past))
        return made

    def _agreed_at(self, closes_at: datetime) -> list[int]:
        """The columns whose close at this moment a person has called right, in a process before this one."""
        symbols = [symbol for symbol, moment in self._to_come.items() if closes_at >= moment]
        for symbol in symbols:
            del self._to_come[symbol]
        return [self._columns[symbol] for symbol in symbols if symbol in self._columns]

    def calm(self, closes_ms: Ints, closes: Floats, age: Ints) -> int:
        """How many slices, from the first of these on, hold nothing that would have to wait, as of SpikeGuard."""
        return self._guard.calm(closes, age == 0, self._passed(closes_ms))

    @property
    def ahead(self) -> int:
        """How many of them are to come."""
        return self._guard.ahead

    def take(self, closes_ms: Ints) -> None:
        """Judge the next of the slices that `calm` has looked at, as `judged` does one after the other."""
        self._guard.take(len(closes_ms))
        self._seen = from_epoch_ms(int(closes_ms[-1]))

    def _passed(self, closes_ms: Ints) -> Ints:
        """How many bars each of these slices is after the one before it, at least one."""
        length_ms = self._timeframe // timedelta(milliseconds=1)
        passed = np.empty_like(closes_ms)
        passed[0] = length_ms if self._seen is None else closes_ms[0] - epoch_ms(self._seen)
        np.subtract(closes_ms[1:], closes_ms[:-1], out=passed[1:])
        return np.maximum(passed // length_ms, 1)

    def doubted(self) -> Iterator[tuple[str, float]]:
        """The symbols that wait, each with its last trusted price, where it has one."""
        trusted = self._guard.trusted
        for column in np.flatnonzero(self._guard.waiting & np.isfinite(trusted)).tolist():
            yield self._symbols[column], float(trusted[column])

    def believes(self, symbol: str, price: float) -> bool:
        """Whether a price between two bars may mark the account; that of a symbol which is not traded is nobody's business here."""
        column = self._columns.get(symbol)
        if column is None or self._guard.tick(column, price):
            return True
        self._told[symbol] = price
        return False

    def confirm(self, symbol: str, at: datetime) -> Iterator[KeepState]:
        """A person says that the price is right; that is kept, since the next start reads the same bars."""
        if symbol in self._columns and self._guard.confirm(self._columns[symbol]) and self._seen is not None:
            self._agreed[symbol] = self._seen
            kept = {each: until.isoformat() for each, until in sorted(self._agreed.items())}
            yield KeepState(AGREED, json.dumps(kept), at)

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
        for column in np.flatnonzero(self._guard.split).tolist():
            yield from self._set_apart(self._symbols[column], at)

    def _set_apart(self, symbol: str, at: datetime) -> Iterator[Change]:
        """Leave a symbol alone whose coin may be another one now."""
        scope = Scope(symbol=symbol)
        if self._states.find(scope, REDENOMINATED) is None:
            column = self._columns[symbol]
            before, after = float(self._guard.trusted[column]), float(self._guard.suspect[column])
            text = (
                f"{symbol} stands at {after:g} after {before:g}, as when a coin is split, renamed or replaced; nothing of it is traded "
                f"until `rebalanced resume {symbol}` accepts its price and what is held of it"
            )
            yield HoldPlaced(Hold(scope=scope, level=Level.HALTED, code=REDENOMINATED, text=text, since=at), at)

    def _hold(self, symbol: str, *, waits: bool, at: datetime) -> Iterator[Change]:
        scope, code = Scope(symbol=symbol), Code.PRICE_SPIKE.value
        held = self._states.find(scope, code) is not None
        if waits and not held:
            trusted, told = float(self._guard.trusted[self._columns[symbol]]), self._told.get(symbol, float("nan"))
            text = f"{symbol} has jumped from {trusted:g} to {told:g}, and waits for the next bar to confirm that"
            yield HoldPlaced(Hold(scope=scope, level=Level.PAUSED, code=code, text=text, since=at), at)
        elif held and not waits:
            yield HoldLifted(scope, code, DAEMON, at)
