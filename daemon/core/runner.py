"""StrategyRunner: keeps the indicators rolling and asks the strategies when they are due.

Rule: one O(symbols) step a slice; a decision rests on a full and fresh slice only, there is at most one for a close time, and however many
due times were missed, one decision makes up for them. A strategy that fails is held at its last targets and takes no other down.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import fsum

import numpy as np

from daemon.core.events import SliceClosed, TargetsChosen
from daemon.core.indicators import Indicator
from daemon.core.model import Bools, Decision, Floats, Slice, TargetWeights, epoch_ms
from daemon.core.schedule import Schedule
from daemon.core.strategy import Strategy, View


@dataclass(frozen=True, slots=True)
class Sleeve:
    """A strategy with its name, its `share` of the capital (above 0, at most 1) and its due times."""

    name: str
    strategy: Strategy
    share: float
    schedule: Schedule

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if not 0 < self.share <= 1:
            raise ValueError(f"{self.name}: share must be above 0 and at most 1, not {self.share}")


class _Desk:
    """A sleeve at work: its indicators, their newest rows, and what it wanted last."""

    def __init__(self, sleeve: Sleeve, width: int) -> None:
        self.sleeve = sleeve
        self.targets: TargetWeights | None = None
        self._indicators: Mapping[str, Indicator] = dict(sleeve.strategy.indicators())
        self._rows: dict[str, Floats] = {name: np.full(width, np.nan) for name in self._indicators}
        self._width = width

    @property
    def need(self) -> int:
        return max((indicator.need for indicator in self._indicators.values()), default=1)

    def warm(self, panels: Floats) -> None:
        for name, indicator in self._indicators.items():
            self._rows[name] = indicator.block(indicator.rows(panels))[-1].copy()

    def step(self, panel: Floats) -> None:
        for name, indicator in self._indicators.items():
            self._rows[name] = indicator.step(indicator.rows(panel))

    @property
    def warm_columns(self) -> Bools:
        """Where every indicator has a value, bool (symbols,)."""
        warm = np.ones(self._width, np.bool_)
        for row in self._rows.values():
            warm &= np.isfinite(row)
        return warm

    def decide(self, cross_section: Slice, synthetic_max: int) -> None:
        """Ask the strategy and keep its answer.

        Raises:
            Exception: whatever the strategy raised, or ValueError for an answer that cannot be used; `targets` is as before.
        """
        view = self._view(cross_section, synthetic_max)
        answer = self.sleeve.strategy.decide(view)
        if not isinstance(answer, TargetWeights):
            raise ValueError(f"decide must return TargetWeights, not {type(answer).__name__}")
        unknown = sorted(answer.weights.keys() - set(cross_section.symbols))
        if unknown:
            raise ValueError(f"a weight for {', '.join(unknown)}, which the universe does not have")
        missing = _missing(cross_section)
        wanted = {symbol: float(weight) for symbol, weight in answer.weights.items() if symbol not in missing}
        self.targets = replace(answer, weights={**wanted, **view.carried})

    def _view(self, cross_section: Slice, synthetic_max: int) -> View:
        tradable = (cross_section.age == 0) & self.warm_columns
        last = self.targets.weights if self.targets else {}
        stay = _named(cross_section, ~tradable & (cross_section.age <= synthetic_max))
        carried = {symbol: weight for symbol, weight in last.items() if symbol in stay}
        return View(cross_section, dict(self._rows), tradable, last, carried)


class StrategyRunner:
    """SliceClosed in, TargetsChosen out.

    A slice is full when its coverage is at least `min_coverage` (0 to 1), and live when it is handled within `decide_within` of its close.
    A symbol without a bar in the deciding slice, or with too little history for every strategy, keeps its present weight (`Decision.keep`):
    no holding is sold for want of data. Its last target is carried along for up to `synthetic_max` slices without a bar, after which it no
    longer counts against what the strategy may spend.

    `problems` says, by sleeve, in one sentence, why its last decision failed; such a sleeve is asked again at its next due time.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        timeframe: timedelta,
        sleeves: Sequence[Sleeve],
        *,
        min_coverage: float,
        synthetic_max: int,
        decide_within: timedelta,
    ) -> None:
        for sleeve in sleeves:
            if sleeve.schedule.every % timeframe:
                raise ValueError(
                    f"{sleeve.name}: schedule.every must be a whole number of bars of {timeframe}, not {sleeve.schedule.every}"
                )
        self.problems: dict[str, str] = {}
        self._symbols = tuple(symbols)
        self._timeframe = timeframe
        self._desks = [_Desk(sleeve, len(self._symbols)) for sleeve in sleeves]
        self._min_coverage = min_coverage
        self._synthetic_max = synthetic_max
        self._decide_within = decide_within
        self._seen: datetime | None = None  # the newest slice's close time
        self._settled: datetime | None = None  # due times up to here are done with
        self._fresh = True  # no decision was ever taken

    @property
    def need(self) -> int:
        """Bars of history that warm every indicator so far that the rest makes no difference."""
        return max((desk.need for desk in self._desks), default=1)

    def warm(self, slices: Sequence[Slice]) -> None:
        """Feed a history through the indicators, without decisions. May be called again with what follows."""
        if not slices:
            return
        self._advance(slices)
        panels = np.stack([cross_section.panel for cross_section in slices])
        for desk in self._desks:
            desk.warm(panels)

    def restore(self, last: Decision | None) -> None:
        """Go on after the journal's last decision; None: there is none, and the first due time is waited for. Before any `on_slice`."""
        if last is None:
            return
        self._fresh = False
        self._settled = last.as_of
        known = set(self._symbols)
        for desk in self._desks:
            targets = last.by_strategy.get(desk.sleeve.name)
            if targets is not None:
                weights = {symbol: weight for symbol, weight in targets.weights.items() if symbol in known}
                desk.targets = replace(targets, weights=weights)

    def overtaken(self, decision: Decision, now: datetime) -> bool:
        """Whether a due time has passed since that decision: the make-up for it will take its place, so it is not worked on any more."""
        return any(desk.sleeve.schedule.missed(decision.as_of, now) for desk in self._desks)

    def on_slice(self, event: SliceClosed) -> Iterable[TargetsChosen]:
        """Step every indicator, then decide if a sleeve is owed a decision and the slice can carry one."""
        closed = event.slice
        before = self._seen or closed.closes_at - self._timeframe
        self._advance((closed,))
        if self._settled is None:
            self._settled = before  # a fresh journal owes nothing for the time before
        for desk in self._desks:
            desk.step(closed.panel)
        if event.at - closed.closes_at > self._decide_within or closed.coverage < self._min_coverage:
            return ()
        owed = [desk for desk in self._desks if self._owes(desk.sleeve.schedule, closed.closes_at, self._settled)]
        return self._decide(owed, event) if owed else ()

    def _advance(self, slices: Sequence[Slice]) -> None:
        """Hold what everything rests on: each slice once, in order, of these symbols."""
        for cross_section in slices:
            if cross_section.symbols != self._symbols or (self._seen is not None and cross_section.closes_at <= self._seen):
                raise ValueError(f"the slice of {cross_section.closes_at} does not follow the one of {self._seen}, or has other symbols")
            self._seen = cross_section.closes_at

    def _owes(self, schedule: Schedule, closes_at: datetime, settled: datetime) -> bool:
        return schedule.missed(settled, closes_at) or (self._fresh and schedule.at_start)

    def _decide(self, owed: Sequence[_Desk], event: SliceClosed) -> Iterable[TargetsChosen]:
        self._settled = event.slice.closes_at
        self._fresh = False
        decided = [desk for desk in owed if self._ask(desk, event.slice)]
        # Were every answer missing, the sum of nothing would sell the whole account.
        return (TargetsChosen(self._sum(event), event.at),) if decided else ()

    def _ask(self, desk: _Desk, cross_section: Slice) -> bool:
        name = desk.sleeve.name
        try:
            desk.decide(cross_section, self._synthetic_max)
        except Exception as error:  # a strategy may be anybody's code, and the others' money does not depend on it
            self.problems[name] = f"{name}: no decision at {cross_section.closes_at}: {type(error).__name__}: {error}"
            return False
        self.problems.pop(name, None)
        return True

    def _sum(self, event: SliceClosed) -> Decision:
        """What all sleeves together want: those that were not asked, or failed, at their last targets."""
        as_of = event.slice.closes_at
        held = [(desk.sleeve, desk.targets) for desk in self._desks if desk.targets is not None]
        weights = {
            symbol: fsum(sleeve.share * targets.weights.get(symbol, 0.0) for sleeve, targets in held)
            for symbol in sorted({symbol for _, targets in held for symbol in targets.weights})
        }
        cold = ~np.any([desk.warm_columns for desk in self._desks], axis=0)
        keep = (_missing(event.slice) | _named(event.slice, cold)).union(*(targets.keep for _, targets in held))
        by_strategy = {sleeve.name: targets for sleeve, targets in held}
        return Decision(decision_id(as_of), as_of, weights, keep, by_strategy, event.at)


def _missing(cross_section: Slice) -> frozenset[str]:
    """The symbols without a real bar in this slice."""
    return _named(cross_section, cross_section.age > 0)


def _named(cross_section: Slice, mask: Bools) -> frozenset[str]:
    return frozenset(cross_section.symbols[column] for column in np.flatnonzero(mask).tolist())


def decision_id(as_of: datetime) -> str:
    """The id of the decision of a close time, from nothing else: `20260101T000000Z`, with milliseconds only where there are any."""
    milliseconds = epoch_ms(as_of) % 1000
    return f"{as_of:%Y%m%dT%H%M%S}{f'{milliseconds:03d}' if milliseconds else ''}Z"
