"""Routing: one strategy over several accounts: it sees the bars of all of them, and each account trades its part of what it wants.

Rule: there is one answer for a close time, whichever account asks first. Nobody waits for an account that is away: at the deadline its
symbols have no bar, and what they are wanted at stays as it is. Its weights are frozen, and not given to others.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from daemon.core.desk import Desk, named
from daemon.core.events import BarClosed, Event, TimePassed
from daemon.core.model import Decision, Slice, TargetWeights
from daemon.core.slices import Aligner
from daemon.core.strategy import Strategy

# A symbol whose account is away keeps its weight for as long as that takes.
FOR_EVER: Final = 1 << 62

# Bars that are kept while the history is being read: of twenty symbols, an hour of seconds. It takes seconds where every exchange is there.
EARLY_MAX: Final = 72_000


@dataclass(frozen=True, slots=True)
class Routing:
    """A strategy that trades on several accounts: by symbol, the name of the account that trades it."""

    name: str
    strategy: Strategy
    route: Mapping[str, str]
    timeframe: timedelta
    grace: timedelta

    @property
    def symbols(self) -> tuple[str, ...]:
        """In the order of every row."""
        return tuple(sorted(self.route))

    def of(self, account: str) -> frozenset[str]:
        """What an account trades of it."""
        return frozenset(symbol for symbol, where in self.route.items() if where == account)


class RoutedDesk:
    """Bars in, weights of the strategy's capital over all accounts out. Before `begin` it only keeps what it hears."""

    def __init__(self, routing: Routing) -> None:
        """Take its indicators; raises as a Desk does."""
        self.ready = False
        self._symbols = routing.symbols
        self._desk = Desk(routing.strategy, len(self._symbols))
        self._aligner = Aligner(self._symbols, routing.timeframe, routing.grace)
        self._newest: Slice | None = None
        self._decided: datetime | None = None
        self._early = deque[BarClosed](maxlen=EARLY_MAX)  # heard before the history has been read

    @property
    def need(self) -> int:
        """Bars of history that warm its indicators."""
        return self._desk.need

    @property
    def short(self) -> frozenset[str]:
        """Symbols for which a longer history may make another value."""
        return frozenset(self._symbols[column] for column in np.flatnonzero(self._desk.short).tolist())

    def recall(self, decisions: Iterable[Decision], name: str) -> None:
        """Go on from what it wanted last, as the journals of its accounts have it."""
        newest = max((d for d in decisions if name in d.by_strategy), key=lambda decision: decision.as_of, default=None)
        if newest is not None:
            targets = newest.by_strategy[name]
            whole = targets.weights if targets.whole is None else targets.whole
            weights = {symbol: weight for symbol, weight in whole.items() if symbol in self._symbols}
            self._desk.targets = replace(targets, weights=weights, whole=None)

    def warm(self, slices: Sequence[Slice]) -> None:
        """Take a history in, from its beginning."""
        self._desk.renew()
        if slices:
            self._desk.warm(np.stack([cross_section.panel for cross_section in slices]))
            self._newest = slices[-1]

    def begin(self) -> None:
        """Go on from the history with what was heard since."""
        if self._newest is not None:
            self._aligner.resume(self._newest)
        self.ready = True
        while self._early:
            self.hear(self._early.popleft())

    def hear(self, event: Event) -> bool:
        """Take a bar of its symbols, or the time; whether there is a new slice. A stream that is lost is not waited for."""
        if not self.ready:
            if isinstance(event, BarClosed):
                self._early.append(event)
            return False
        closed = self._aligner.on_bar(event) if isinstance(event, BarClosed) else ()
        if isinstance(event, TimePassed):
            closed = self._aligner.on_time(event)
        for each in closed:
            self._desk.step(each.slice.panel)
            self._newest = each.slice
        return bool(closed)

    def wanted(self, as_of: datetime, held: Mapping[str, float]) -> TargetWeights | None:
        """What it wants at the slice of a close time, or at a newer one; None: that slice is not there yet.

        Raises:
            Exception: whatever the strategy raised; what it wanted before stands.
        """
        if self._newest is None or self._newest.closes_at < as_of:
            return None
        if self._decided != self._newest.closes_at:
            self._desk.held = held
            self._desk.decide(self._newest, FOR_EVER)
            self._decided = self._newest.closes_at
        return self._desk.targets

    @property
    def warmed(self) -> frozenset[str]:
        """The symbols with history enough."""
        return frozenset() if self._newest is None else named(self._newest, self._desk.warm_columns)


def part(targets: TargetWeights, symbols: Collection[str], scale: float) -> TargetWeights:
    """What of it an account trades: in weights of what the strategy has there, `scale` times less than it has in all."""
    weights = {symbol: scale * weight for symbol, weight in targets.weights.items() if symbol in symbols}
    # Legs in several accounts cannot be kept in step: each account knows its own orders only.
    groups = tuple(group for group in targets.groups if set(group) <= set(symbols))
    return replace(targets, weights=weights, keep=targets.keep.intersection(symbols), groups=groups, whole=dict(targets.weights))
