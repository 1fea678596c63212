"""Replaying: what the journal has recorded goes once more through a fresh core, which must conclude the same.

Rule: nothing is guessed. A plan is made again from the inputs beside it; a decision from the slices that its run was shown, or from stored
bars, and its signals are compared as well as its weights. What differs is named with the place, the first one first; what cannot be
compared is counted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import fsum, isclose
from pathlib import Path
from typing import Final

from daemon.config import Config
from daemon.core.events import Event, RebalanceRequested, SliceClosed, TargetsChosen
from daemon.core.model import Cause, Decision, Order
from daemon.core.ordertable import client_id
from daemon.core.planner import replay
from daemon.core.planner_legs import Leg, Plan
from daemon.io.journal import PlanRecord, Tables, Taped
from daemon.io.journal.errors import READ_ERRORS, known

# A start reads as many bars as make every indicator what the endless one would be, but for so much (daemon/core/indicators).
NEAR: Final = 1e-9

# Between due times, what the account holds decides too; bars alone do not say that.
BY_BARS: Final = frozenset({Cause.DUE})
# Where the journal has the slices, it is known as well on which of them a person has asked for a decision.
BY_SLICES: Final = BY_BARS | {Cause.OPERATOR}


@dataclass(slots=True)
class Outcome:
    """How many plans and decisions are the same once more, what differs (a sentence each), and how many cannot be compared, by reason."""

    plans: int = 0
    decisions: int = 0
    differs: list[str] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str, count: int = 1) -> None:
        """Count what cannot be compared."""
        if count:
            self.passed_over[reason] = self.passed_over.get(reason, 0) + count


def replayed(journal: Path, settings: Config, data: Path | None) -> Outcome:
    """Make every recorded plan again, and every decision: from the slices in the journal, or from the bars of `data`.

    Raises:
        JournalDamaged, JournalFailed: the journal cannot be read.
        DataError: the bars cannot be used.
    """
    outcome = Outcome()
    try:
        with Tables(journal) as tables:
            for decision in tables.every_decision():
                outcome.differs += _added_up(decision)
            for decision_id, record in tables.plans():
                _plan(decision_id, record, tuple(tables.orders_by_id(record.orders)), settings.namespace, outcome)
            recorded = list(tables.every_decision())
            if data is None:
                _as_shown(recorded, settings, tables, outcome)
    except READ_ERRORS as error:
        raise known(journal, error) from error
    if data is not None:
        _decisions(recorded, settings, data, outcome)
    return outcome


# --- plans -----------------------------------------------------------------------------------------------------------


def _added_up(decision: Decision) -> Iterator[str]:
    """The account's weights are the sum of what strategies want, by share."""
    for symbol, weight in decision.weights.items() if decision.shares else ():
        together = fsum(decision.shares.get(name, 0.0) * targets.weights.get(symbol, 0.0) for name, targets in decision.by_strategy.items())
        if together != weight:
            yield f"decision {decision.id}: {symbol} has weight {weight!r}, and its strategies together want {together!r}"


def _plan(decision_id: str, record: PlanRecord, orders: Sequence[Order], namespace: str, outcome: Outcome) -> None:
    where = f"plan {record.attempt} of {decision_id} (inputs {record.fingerprint or 'none'})"
    if not record.inputs:
        outcome.skip("plans of a version that recorded no inputs")
        return
    try:
        made = replay(record.inputs)
    except ValueError as error:
        outcome.skip(f"plans whose inputs this version cannot plan ({error})")
        return
    found = [f"{where}: {text}" for text in (*_told(made, record), *_ordered(made, record, orders, namespace))]
    outcome.differs += found
    outcome.plans += not found


def _told(made: Plan, record: PlanRecord) -> Iterator[str]:
    """What the plan says of symbols; beyond that the record has what limits and money have left."""
    for what, one, other in (("changed", record.changed, made.changed), ("needs", record.needs, made.needs)):
        if dict(one) != dict(other):
            yield f"{what} was {_written(one)} and is {_written(other)}"
    for symbol, reason in made.left.items():
        if record.left.get(symbol, reason) != reason:
            yield f"{symbol} was left because of {record.left[symbol]} and is left because of {reason}"


def _ordered(made: Plan, record: PlanRecord, orders: Sequence[Order], namespace: str) -> Iterator[str]:
    """Each order is one of the plan's legs, no larger than that: limits and money make it smaller, and nothing else."""
    legs: dict[tuple[str, str], Leg] = {(leg.symbol, leg.side.value): leg for leg in made.legs}
    if len(orders) != len(record.orders):
        yield f"{len(record.orders) - len(orders)} of its orders are not in the journal"
    for order in orders:
        leg = legs.get((order.symbol, order.side.value))
        if leg is None:
            yield f"{order.id} was to {order.side} {order.symbol}, and nothing of that is planned"
        elif order.amount > leg.amount or order.price != leg.price or order.reduce_only != leg.reduce_only:
            yield f"{order.id} was {order.amount:f} at {order.price:f}, and {leg.amount:f} at {leg.price:f} is planned"
        elif order.id != client_id(namespace, order.decision_id, order.symbol, order.side, order.attempt):
            yield f"{order.id} is not the id that follows from it"


def _written(values: Mapping[str, float] | Mapping[str, Decimal]) -> str:
    return ", ".join(f"{symbol} {value}" for symbol, value in values.items()) or "nothing"


# --- decisions -------------------------------------------------------------------------------------------------------


def _as_shown(recorded: Sequence[Decision], settings: Config, tables: Tables, outcome: Outcome) -> None:
    """Every run once more, each in a core of its own that is told what its start was: the history, the last decision before it."""
    began: datetime | None = None
    runs = list(tables.tapes())
    for index, (run_id, started, shown) in enumerate(runs):
        began = began or started
        ends = runs[index + 1][1] if index + 1 < len(runs) else None
        its_own = [each for each in recorded if each.at >= started and (ends is None or each.at < ends)]
        before = [each for each in recorded if each.at < started]
        reloads = [at for at in tables.reloads() if at >= started and (ends is None or at < ends)]
        if shown is None:
            outcome.skip("decisions whose slices the journal does not have (any more)", len(its_own))
        elif shown.symbols != tuple(sorted(settings.universe.symbols)):
            outcome.differs.append(f"run {run_id} was over {', '.join(shown.symbols)}, and the configuration has other symbols")
        else:
            _run(shown, its_own, before[-1] if before else None, began, min(reloads, default=None), settings, outcome)
    if not runs:
        outcome.skip("decisions of a version that recorded no slices", len(recorded))


def _run(
    shown: Taped,
    recorded: Sequence[Decision],
    before: Decision | None,
    began: datetime,
    reloaded: datetime | None,
    settings: Config,
    outcome: Outcome,
) -> None:
    from daemon.assembly.deciding import runner

    wanted: dict[str, Decision] = {}
    thin = {event.slice.closes_at for event in shown.live if event.slice.coverage < settings.bars.min_coverage}
    for decision in recorded:
        if decision.cause is Cause.DUE and decision.as_of in thin:
            outcome.skip("decisions while a market was closed, which the journal does not tell")
        elif decision.universe is not None or decision.cause not in BY_SLICES:
            outcome.skip("decisions that follow from more than slices (another cause than a due time, or a universe that changes)")
        elif reloaded is not None and decision.at >= reloaded:
            outcome.skip("decisions after the configuration was read again")
        else:
            wanted[decision.id] = decision
    core = runner(settings)
    core.warm(shown.history)
    core.restore(before, began)
    asked = [decision for decision in recorded if decision.cause is Cause.OPERATOR]
    for event in shown.live:
        while asked and asked[0].at < event.at:
            _judge(core.on_requested(RebalanceRequested("", asked.pop(0).at)), wanted, outcome)
        _judge(core.on_slice(event), wanted, outcome)
    while asked:
        _judge(core.on_requested(RebalanceRequested("", asked.pop(0).at)), wanted, outcome)
    ends = shown.live[-1].slice.closes_at if shown.live else None
    for decision in wanted.values():
        if ends is not None and decision.as_of <= ends:
            outcome.differs.append(f"decision {decision.id}: it was made, and is not made once more")
        else:
            outcome.skip("decisions whose slice was not written before the end")


def _judge(told: Iterable[Event], wanted: dict[str, Decision], outcome: Outcome) -> None:
    """Compare what a core decides with what is recorded; what was never worked on, since a newer one came, is recorded nowhere."""
    for each in told:
        if isinstance(each, TargetsChosen) and (before := wanted.pop(each.decision.id, None)) is not None:
            found = list(_compared(before, each.decision))
            outcome.differs += found
            outcome.decisions += not found


def _decisions(recorded: Sequence[Decision], settings: Config, data: Path, outcome: Outcome) -> None:
    from daemon.assembly.deciding import runner
    from daemon.research import bars

    wanted: dict[str, Decision] = {}
    for decision in recorded:
        if decision.cause not in BY_BARS or decision.universe is not None:
            outcome.skip("decisions that follow from more than bars (another cause than a due time, or a universe that changes)")
        else:
            wanted[decision.id] = decision
    core = runner(settings)
    stored = bars.load(data, settings.universe.symbols, settings.bar_length)
    for slice_ in stored.slices():
        _judge(core.on_slice(SliceClosed(slice_, slice_.closes_at)), wanted, outcome)
    for _ in wanted:
        outcome.skip(f"decisions that are not due by the bars of {data}")


def _compared(before: Decision, now: Decision) -> Iterable[str]:
    for name, targets in before.by_strategy.items():
        again = now.by_strategy.get(name)
        if again is None:
            yield f"decision {before.id}: {name} is not among the strategies now"
            continue
        for symbol in sorted({*targets.weights, *again.weights} - targets.keep - again.keep):
            was, is_now = targets.weights.get(symbol, 0.0), again.weights.get(symbol, 0.0)
            if not _near(was, is_now):
                yield f"decision {before.id}: {name} wanted {was!r} of {symbol}, and wants {is_now!r}"
        for symbol, signals in targets.signals.items():
            for signal, was in signals.items():
                value = again.signals.get(symbol, {}).get(signal)
                if value is not None and not _near(was, value):
                    yield f"decision {before.id}: {signal} of {symbol} was {was!r}, and is {value!r}"


def _near(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=NEAR, abs_tol=NEAR)
