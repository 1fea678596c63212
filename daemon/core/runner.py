"""StrategyRunner: keeps the indicators rolling and asks the strategies when they are due.

Rule: one O(symbols) step a slice; a decision rests on a full and fresh slice only, there is at most one for a close time, and however many
due times were missed, one decision makes up for them. A strategy that fails is held at its last targets and takes no other down; the
user's own is then disabled: not asked again before it is made anew.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from math import fsum

import numpy as np
from numpy.typing import NDArray

from daemon.core.desk import NONE, Later, missing, named, reason
from daemon.core.events import (
    AskStrategy,
    ReadMarkets,
    RebalanceRequested,
    SliceClosed,
    StrategyAnswered,
    StrategyDisabled,
    StrategyStarted,
    TargetsChosen,
    TargetsUnchanged,
)
from daemon.core.membership import Membership
from daemon.core.model import Bools, Cause, Decision, Floats, Slice, decision_id, epoch_ms
from daemon.core.plain import rfc3339
from daemon.core.schedule import DueTimes
from daemon.core.shares import Shares, fixed
from daemon.core.staff import AwayDesk, LoopDesk, Sleeve, Staff
from daemon.core.strategy import Columns

Ints = NDArray[np.int64]

# By the name of a strategy, what it holds by symbol.
Holdings = Callable[[str], Mapping[str, float]]


@dataclass(slots=True)
class _Round:
    """A decision that waits for the answers of strategies in processes of their own. `decided`: somebody has answered."""

    event: SliceClosed
    waits: set[str]
    decided: bool
    cause: Cause


class StrategyRunner:
    """SliceClosed in, TargetsChosen out.

    A slice is full when its coverage is at least `min_coverage` (0 to 1), that of the markets which are open counted alone, and live when
    it is handled within `decide_within` of its close. Where one is not full because somebody has been silent for long, the listing is read.
    A symbol without a bar in the deciding slice, or with too little history for every strategy, keeps its present weight (`Decision.keep`):
    no holding is sold for want of data. Its last target is carried along for up to `synthetic_max` slices without a bar, after which it no
    longer counts against what the strategy may spend.

    `restate`: full and live slices at which nobody is due say so (TargetsUnchanged), for rules that act between due times.

    `membership` says who is in the universe: nobody is decided on who is not. While that is to be gone over and cannot be, nothing is
    decided; what has left and no decision has sold is sold by one for that alone.

    `shares` says what share of the capital each has, `holdings` what each holds, in weights of its own; both are asked at a decision.

    `problems` says, by sleeve, in one sentence, why its last decision failed; it is asked again at its next due time. `disabled` says why
    one of the user's own is asked no more.
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
        restate: bool = False,
    ) -> None:
        self.problems: dict[str, str] = {}
        self.untold: dict[str, str] = {}
        self.holdings: Holdings = lambda _: {}
        self.shares: Shares = fixed({sleeve.name: sleeve.share for sleeve in sleeves})
        self.membership = Membership(symbols, timeframe, None, silent_max=synthetic_max, coverage_min=min_coverage)
        self.restate = restate
        self._symbols = tuple(symbols)
        self._timeframe = timeframe
        self._due = self._due_times(sleeves)
        self._staff = Staff(sleeves, symbols)
        self._round: _Round | None = None
        self._synthetic_max = synthetic_max
        self._decide_within = decide_within
        self._seen: datetime | None = None  # the newest slice's close time
        self._newest: SliceClosed | None = None  # the newest live slice, for whoever asks between two
        self._late: set[str] = set()  # strategies that could not answer when they were due
        self._requested = False  # a person wants a decision, and no slice has been there to rest it on
        self._settled: datetime | None = None  # due times up to here are done with
        self._fresh = True  # no decision was ever taken

    def _due_times(self, sleeves: Sequence[Sleeve]) -> dict[str, DueTimes]:
        for sleeve in sleeves:
            if not sleeve.schedule.fits(self._timeframe):
                raise ValueError(
                    f"{sleeve.name}: schedule.every must be a whole number of bars of {self._timeframe}, not {sleeve.schedule.times}"
                )
        return {sleeve.name: DueTimes(sleeve.schedule) for sleeve in sleeves}

    @property
    def disabled(self) -> Mapping[str, str]:
        """By name of the user's own strategies that are asked no more, the reason, as it is at any time."""
        return self._staff.disabled

    @property
    def newest(self) -> SliceClosed | None:
        """The newest slice that it was given."""
        return self._newest

    @property
    def asking(self) -> bool:
        """Whether a decision waits for an answer."""
        return self._round is not None

    @property
    def need(self) -> int:
        """Bars of history that a start fetches for the strategies."""
        return self._staff.need

    @property
    def warm_columns(self) -> Bools:
        """Where there is history enough for a decision, as of the Staff."""
        return self._staff.warm_columns

    @property
    def short(self) -> frozenset[str]:
        """Symbols whose history was too short, as of the Staff."""
        return self._staff.short

    def renew(self) -> None:
        """Forget the history, to be fed a longer one."""
        self._seen = None
        self._staff.renew()

    def warm(self, slices: Sequence[Slice]) -> None:
        """Feed a history through the indicators, without decisions. May be called again with what follows."""
        if not slices:
            return
        self._advance(slices)
        self._newest = SliceClosed(slices[-1], slices[-1].closes_at)
        self._staff.warm(slices)

    def restore(self, last: Decision | None, began: datetime | None = None) -> None:
        """Go on after the journal's last decision; None: there is none, and the first due time is waited for. Before any `on_slice`.

        `began`: when the journal did. Due times since then are owed even if another process was to meet them; None: those of this one.
        """
        self._settled = began
        if last is None:
            return
        self._fresh = False
        self._settled = last.as_of
        self._staff.recall(last)

    def change(self, sleeves: Sequence[Sleeve], newcomers: Staff, shares: Shares, last: Decision | None) -> None:
        """Have these strategies at work from here on, as a start after the newest decision would; not while a decision waits (`asking`).

        The newcomers have been fed every slice so far. They stand by what strategies of their names wanted at `last`; whoever is new to
        it owes what fell due since.
        """
        if self._round is not None:
            raise RuntimeError("strategies change while a decision waits for some of them")
        self._due = self._due_times(sleeves)
        if last is not None:
            newcomers.recall(last)
        self._staff.change(sleeves, newcomers)
        self.shares = shares
        stay = {sleeve.name for sleeve in sleeves} - {desk.sleeve.name for desk in newcomers.desks}
        for told in (self.problems, self.untold):
            for name in told.keys() - stay:
                del told[name]

    def overtaken(self, decision: Decision, now: datetime) -> bool:
        """Whether a due time has passed since that decision: the make-up for it will take its place, so it is not worked on any more."""
        return any(desk.sleeve.schedule.missed(decision.as_of, now) for desk in self._staff.desks)

    def on_slice(self, event: SliceClosed) -> Iterable[AskStrategy | TargetsChosen | TargetsUnchanged | ReadMarkets]:
        """Step every indicator, then decide if a sleeve is owed a decision and the slice can carry one."""
        event = self._stamped(event)
        closed = event.slice
        before = self._seen or closed.closes_at - self._timeframe
        self._advance((closed,))
        self._newest = event
        if self._settled is None:
            self._settled = before  # a fresh journal owes nothing for the time before
        self._staff.step(closed)
        if self._round is not None:
            return ()  # the answers end it within their budgets; what has become due meanwhile is made up for by the next slice
        if self.membership.waits:
            return ()  # likewise: the wave that is under way ends, and then the universe is gone over
        if event.at - closed.closes_at > self._decide_within:
            return ()
        if not self.membership.covers(closed):
            # A market that has closed would be waited for in vain; only the venue's listing tells it from one that nobody hears.
            return (ReadMarkets(event.at),) if self.membership.silent(closed) else ()
        if self._requested:
            return self._decide(self._staff.able, event, Cause.OPERATOR, event.at)
        owed = [desk for desk in self._staff.able if self._owes(desk.sleeve, closed.closes_at, self._settled)]
        return self._decide(owed, event, Cause.DUE, event.at) if owed else self._undecided(event)

    @property
    def restless(self) -> bool:
        """Whether it has a word to say at any slice, due or not."""
        speaks = self.restate and any(desk.targets is not None for desk in self._staff.desks)
        return speaks or self._round is not None or self._requested or self.membership.rule is not None

    def rests(self, closes_ms: Ints) -> int:
        """How many slices in a row, which close at these moments, pass without a decision, and without a word that all stands."""
        if self._settled is None or self.restless or (self._fresh and any(desk.sleeve.schedule.at_start for desk in self._staff.able)):
            return 0
        due = [epoch_ms(desk.sleeve.schedule.after(self._settled)) for desk in self._staff.able]
        return int(closes_ms.searchsorted(min(due))) if due else len(closes_ms)

    def foresee(self, panels: Floats) -> Mapping[str, Columns] | None:
        """Prepare for slices that are known before they come, as of the Staff."""
        return self._staff.foresee(panels)

    @property
    def breadth(self) -> int:
        """How many numbers are worked out at one slice."""
        return self._staff.breadth

    def rest(self, slices: Sequence[Slice]) -> None:
        """Take slices at which nobody is owed a decision."""
        self._advance(slices)
        self._newest = SliceClosed(slices[-1], slices[-1].closes_at)
        for cross_section in slices:
            self._staff.step(cross_section)

    def skip(self, count: int, last: Slice | None) -> None:
        """The same of so many slices that were foreseen; `last` is the last of them, or None where another is decided on next."""
        if last is not None:
            self._advance((last,))
            self._newest = SliceClosed(last, last.closes_at)
        self._staff.skip(count)

    def on_requested(self, event: RebalanceRequested) -> Iterable[AskStrategy | TargetsChosen]:
        """Have every strategy decide now, on the newest slice; where none can be decided on yet, on the next one."""
        if self._newest is None or self._round is not None:
            self._requested = True
            return ()
        return self._decide(self._staff.able, self._stamped(self._newest), Cause.OPERATOR, event.at)

    def _stamped(self, event: SliceClosed) -> SliceClosed:
        """The slice with who is in the universe now; what somebody wanted of others is forgotten."""
        stamped = self.membership.stamped(event.slice)
        if stamped is event.slice:
            return event
        if stamped.members is not None:
            self._staff.confine(named(stamped, ~stamped.members))
        return replace(event, slice=stamped)

    def _advance(self, slices: Sequence[Slice]) -> None:
        """Hold what everything rests on: each slice once, in order, of these symbols."""
        for cross_section in slices:
            if cross_section.symbols != self._symbols or (self._seen is not None and cross_section.closes_at <= self._seen):
                raise ValueError(f"the slice of {cross_section.closes_at} does not follow the one of {self._seen}, or has other symbols")
            self._seen = cross_section.closes_at

    def _owes(self, sleeve: Sleeve, closes_at: datetime, settled: datetime) -> bool:
        late = sleeve.name in self._late
        return late or self._due[sleeve.name].missed(settled, closes_at) or (self._fresh and sleeve.schedule.at_start)

    def _undecided(self, event: SliceClosed) -> Iterable[TargetsChosen | TargetsUnchanged]:
        """Nobody is due: sell what must be, or say that all stands."""
        out = self.membership.overdue(event.slice)
        if not out:
            return self._unchanged(event)
        stands = self._sum(event, event.at, Cause.DUE)
        return (TargetsChosen(replace(stands, keep=frozenset(self._symbols) - out, cause=Cause.UNIVERSE), event.at),)

    def _unchanged(self, event: SliceClosed) -> Iterable[TargetsUnchanged]:
        wanted = self.restate and any(desk.targets is not None for desk in self._staff.desks)
        return (TargetsUnchanged(self._sum(event, event.at, Cause.DUE), event.at),) if wanted else ()

    def _decide(
        self, owed: Sequence[LoopDesk | AwayDesk], event: SliceClosed, cause: Cause, at: datetime
    ) -> Iterable[AskStrategy | TargetsChosen]:
        self._settled = event.slice.closes_at
        self._fresh = self._requested = False
        decided = [desk for desk in owed if isinstance(desk, LoopDesk) and self._ask(desk, event.slice)]
        away = [desk for desk in owed if isinstance(desk, AwayDesk)]
        self._late.difference_update(desk.sleeve.name for desk in owed)
        if away:
            self._round = _Round(event, {desk.sleeve.name for desk in away}, bool(decided), cause)
            return [AskStrategy(name := desk.sleeve.name, event.slice, desk.targets, at, self.holdings(name)) for desk in away]
        # Were every answer missing, the sum of nothing would sell the whole account.
        return (TargetsChosen(self._sum(event, at, cause), at),) if decided else ()

    def _ask(self, desk: LoopDesk, cross_section: Slice) -> bool:
        name = desk.sleeve.name
        desk.held = Later(partial(self.holdings, name))
        try:
            desk.decide(cross_section, self._synthetic_max)
        except Exception as error:  # a strategy may be anybody's code, and the others' money does not depend on it
            when = f"no decision at {rfc3339(cross_section.closes_at)}: "
            if desk.sleeve.own:
                self._staff.disable(desk.sleeve, when, error)
            else:
                self.problems[name] = f"{when}{reason(error)}"
            return False
        self.problems.pop(name, None)
        return True

    def signals(self, cross_section: Slice) -> dict[str, Mapping[str, Mapping[str, float]]]:
        """By strategy in the loop, the numbers of the slice that was handled last: what its decision rests on, or would if it were due."""
        cross_section = self.membership.stamped(cross_section)
        told: dict[str, Mapping[str, Mapping[str, float]]] = {}
        for desk in self._staff.desks:
            name = desk.sleeve.name
            if name in self.untold or name in self.disabled:
                continue
            try:
                told[name] = {} if isinstance(desk, AwayDesk) else desk.signals(cross_section, self._synthetic_max)
            except Exception as error:  # where it is not due it need not answer: it trades on, and its numbers are left out from here on
                self.untold[name] = f"{name}: no signals from {rfc3339(cross_section.closes_at)} on: {reason(error)}"
        return told

    # --- strategies in processes of their own ------------------------------------------------------------------------

    def on_started(self, event: StrategyStarted) -> Iterable[TargetsChosen]:
        """Learn how much history it needs."""
        self._staff.started(event.name, event.need)
        return ()

    def on_answered(self, event: StrategyAnswered) -> Iterable[TargetsChosen]:
        """Take the answer in; the last one of a round makes the decision."""
        desk = self._staff.away[event.name]
        if self._round is None or event.name not in self._round.waits or event.name in self.disabled:
            return ()
        if event.targets is None:
            self._late.add(event.name)
            return self._heard(event.name, event.at)
        desk.targets = event.targets
        desk.warm_columns = np.array([symbol in event.warm for symbol in self._symbols], np.bool_)
        self._round.decided = True
        return self._heard(event.name, event.at)

    def on_disabled(self, event: StrategyDisabled) -> Iterable[TargetsChosen]:
        """Hold its last targets from here on; the others are not kept waiting."""
        self._staff.disabled[event.name] = event.problem
        return self._heard(event.name, event.at)

    def _heard(self, name: str, at: datetime) -> Iterable[TargetsChosen]:
        asked = self._round
        if asked is None:
            return ()
        asked.waits.discard(name)
        if asked.waits:
            return ()
        self._round = None
        return (TargetsChosen(self._sum(asked.event, at, asked.cause), at),) if asked.decided else ()

    def _sum(self, event: SliceClosed, at: datetime, cause: Cause) -> Decision:
        """What all sleeves together want: those that were not asked, or failed, at their last targets."""
        as_of = event.slice.closes_at
        held = [(desk.sleeve, desk.targets) for desk in self._staff.desks if desk.targets is not None]
        given = self.shares()
        shares = {sleeve.name: given[sleeve.name] for sleeve, _ in held}
        wishes = [(shares[sleeve.name], targets.weights) for sleeve, targets in held]
        weights = {
            symbol: fsum([share * wished.get(symbol, 0.0) for share, wished in wishes])
            for symbol in sorted({symbol for _, wished in wishes for symbol in wished})
        }
        cold = named(event.slice, ~self._staff.warm_somewhere)
        outside = NONE if event.slice.members is None else named(event.slice, ~event.slice.members)
        keep = (missing(event.slice) | cold).union(*[targets.keep for _, targets in held]) - outside
        by_strategy = {sleeve.name: targets for sleeve, targets in held}
        # A slice has one decision of its own; what a person asks for comes beside it, at its own moment.
        own_id = decision_id(as_of) if cause is Cause.DUE else decision_id(at, cause)
        universe = None if event.slice.members is None else frozenset(self._symbols) - outside
        return Decision(own_id, as_of, weights, keep, by_strategy, at, cause, shares=shares, universe=universe)
