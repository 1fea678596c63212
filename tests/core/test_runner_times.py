"""The runner and time: crons, missed due times, restarts, and the slices at which nobody is due."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from daemon.core.cron import Cron
from daemon.core.events import SliceClosed, TargetsChosen, TargetsUnchanged
from daemon.core.model import Decision, Slice, TargetWeights
from daemon.core.runner import StrategyRunner
from daemon.core.schedule import Schedule
from daemon.core.staff import Sleeve
from daemon.core.strategy import View
from tests.core.test_runner import ABC, HOUR, T0, A, B, C, Decide, Scripted, always, slice_at

NEW_YORK = ZoneInfo("America/New_York")


def sleeve(decide: Decide, schedule: Schedule, *, name: str = "one", share: float = 1.0, length: int = 1) -> Sleeve:
    return Sleeve(name, Scripted(decide, length), share, schedule)


def runner(*sleeves: Sleeve, restate: bool = False) -> StrategyRunner:
    within = timedelta(seconds=30)
    return StrategyRunner(ABC, HOUR, sleeves, min_coverage=0.6, synthetic_max=2, decide_within=within, restate=restate)


def closed(hour: float, missing: Sequence[str] = (), *, late_s: float = 1) -> SliceClosed:
    """A slice, on its way to the runner."""
    cross_section = slice_at(hour, dict.fromkeys(missing, 1))
    return SliceClosed(cross_section, cross_section.closes_at + timedelta(seconds=late_s))


def decisions(target: StrategyRunner, event: SliceClosed) -> list[Decision]:
    return [each.decision for each in target.on_slice(event) if isinstance(each, TargetsChosen)]


def decided(target: StrategyRunner, hours: range) -> list[int]:
    return [hour for hour in hours if decisions(target, closed(hour))]


# --- crons -----------------------------------------------------------------------------------------------------------


def test_a_daily_cron_decides_once_a_day() -> None:
    """Every day at the slice that closes at its time, and at no other."""
    assert decided(runner(sleeve(always({A: 1.0}), Schedule(Cron("0 6 * * *")))), range(1, 80)) == [6, 30, 54, 78]


def test_a_due_time_between_two_slices_is_met_by_the_next() -> None:
    """A cron need not fit the bars: what came due since the last slice is decided at this one."""
    assert decided(runner(sleeve(always({A: 1.0}), Schedule(Cron("10,40 6 * * *")))), range(1, 40)) == [7, 31]


def test_missed_crons_make_one_decision_at_the_next_full_live_slice() -> None:
    """Three days without a slice that could carry a decision: one rebalance makes up for all, then the next due time counts."""
    target = runner(sleeve(always({A: 1.0}), Schedule(Cron("0 6 * * *"))))
    assert decided(target, range(1, 8)) == [6]
    for hour in range(8, 60):
        assert not decisions(target, closed(hour, (A, B)))  # too thin
    for hour in range(60, 84):
        assert not decisions(target, closed(hour, late_s=31))  # too late
    assert decided(target, range(84, 110)) == [84, 102]


def test_a_daily_cron_across_daylight_saving() -> None:
    """Half past two in New York is not there on 8 March 2026: the decision comes with the slice of the gap's end, once that day."""
    target = runner(sleeve(always({A: 1.0}), Schedule(Cron("30 2 * * *", NEW_YORK))))
    first = (datetime(2026, 3, 7, tzinfo=UTC) - T0) // HOUR
    hours = decided(target, range(first, first + 72))
    local = [(T0 + hour * HOUR).astimezone(NEW_YORK).strftime("%d %H:%M") for hour in hours]
    assert local == ["07 03:00", "08 03:00", "09 03:00"]


# --- restarts --------------------------------------------------------------------------------------------------------

SCHEDULES = {
    "every 5": Schedule(5 * HOUR),
    "every 24": Schedule(24 * HOUR),
    "daily": Schedule(Cron("30 2 * * *", NEW_YORK)),
    "half-hours": Schedule(Cron("30 */7 * * *")),
}


def by_average(view: View) -> TargetWeights:
    """Weights that depend on history, on what may be traded and on what was wanted before."""
    averages = zip(view.slice.symbols, view.rows["average"].tolist(), view.tradable.tolist(), strict=True)
    held = sum(view.weights.values()) / 100
    return TargetWeights({symbol: average / 1e6 + held for symbol, average, may in averages if may})


def sleeves(names: Sequence[str]) -> list[Sleeve]:
    return [sleeve(by_average, SCHEDULES[name], name=name.replace(" ", "-"), share=0.5, length=3) for name in names]


def weather(rng: Random, first: int, hours: int) -> list[SliceClosed]:
    """Slices, some of them thin, late or without a symbol, and some hours without any."""
    events = []
    for hour in range(first, first + hours):
        if rng.random() < 0.9:
            missing = rng.choice([(), (), (), (A,), (B,), (A, B), ABC[:2]])
            events.append(closed(hour, missing, late_s=rng.choice([1, 1, 1, 60])))
    return events


def lived_through(rng: Random, names: Sequence[str], past: list[Slice], events: list[SliceClosed], restarts: float) -> list[Decision]:
    """What is decided by a process that is killed and started again between any two slices, with the journal between its lives."""
    began = past[-1].closes_at
    journal: list[Decision] = []
    history = list(past)
    target = runner(*sleeves(names))
    target.warm(history)
    target.restore(None, began)
    for event in events:
        if rng.random() < restarts:
            target = runner(*sleeves(names))
            target.warm(history)
            target.restore(journal[-1] if journal else None, began)
        journal += decisions(target, event)
        history.append(event.slice)
    return journal


@pytest.mark.parametrize("names", [["every 5"], ["daily"], ["every 24", "half-hours"], ["every 5", "daily"]], ids="+".join)
def test_restarts_change_nothing(names: list[str]) -> None:
    """Killed and restarted between any two slices, the same due times are acted on, at the same slices, with the same weights."""
    for seed in range(12):
        rng = Random(seed)
        first = rng.randrange(1000, 3000)
        past = [slice_at(hour) for hour in range(first - 5, first)]
        events = weather(rng, first, 100)
        undisturbed = lived_through(rng, names, past, events, 0.0)
        assert undisturbed
        for restarts in (0.1, 0.5, 1.0):
            assert lived_through(rng, names, past, events, restarts) == undisturbed, seed


def test_a_due_time_before_the_first_decision_is_owed_to_the_journal() -> None:
    """A journal that began before a due time which nobody was there to meet makes up for it; a fresh one owes nothing for the past."""
    late = runner(sleeve(always({A: 1.0}), Schedule(4 * HOUR)))
    late.restore(None, T0 + 3 * HOUR)
    assert decided(late, range(5, 10)) == [5, 8]
    fresh = runner(sleeve(always({A: 1.0}), Schedule(4 * HOUR)))
    fresh.restore(None, T0 + 4 * HOUR + timedelta(seconds=2))
    assert decided(fresh, range(5, 10)) == [8]


# --- between due times -----------------------------------------------------------------------------------------------


def test_a_slice_at_which_nobody_is_due_says_so() -> None:
    """What was wanted is wanted still, as of this slice, with today's missing symbols kept; not before there is a decision."""
    target = runner(sleeve(always({A: 0.5, B: 0.2}), Schedule(4 * HOUR)), restate=True)
    assert list(target.on_slice(closed(3))) == []
    (chosen,) = decisions(target, closed(4))
    (unchanged,) = target.on_slice(closed(5, (B,)))
    assert isinstance(unchanged, TargetsUnchanged)
    assert unchanged.decision.as_of == T0 + 5 * HOUR
    assert unchanged.decision.id == "20260101T050000Z"
    assert (unchanged.decision.weights, unchanged.decision.by_strategy) == (chosen.weights, chosen.by_strategy)
    assert unchanged.decision.keep == {B}


def test_only_slices_that_could_carry_a_decision_are_told() -> None:
    """Neither a thin slice nor a late one begins anything between due times, and nothing is told where no rule asks for it."""
    target = runner(sleeve(always({A: 0.5}), Schedule(4 * HOUR)), restate=True)
    assert decided(target, range(4, 5)) == [4]
    assert list(target.on_slice(closed(5, (A, B)))) == []
    assert list(target.on_slice(closed(6, late_s=60))) == []
    silent = runner(sleeve(always({A: 0.5}), Schedule(4 * HOUR)))
    assert decided(silent, range(4, 5)) == [4]
    assert list(silent.on_slice(closed(5))) == []


def test_acting_between_due_times_moves_no_due_time() -> None:
    """A restart after a rebalance between two due times owes the next one as if that had not been."""
    target = runner(sleeve(always({A: 0.5}), Schedule(4 * HOUR)), restate=True)
    decided(target, range(4, 6))
    (unchanged,) = target.on_slice(closed(6))
    assert isinstance(unchanged, TargetsUnchanged)
    restarted = runner(sleeve(always({A: 0.5}), Schedule(4 * HOUR)), restate=True)
    restarted.restore(unchanged.decision)
    assert decided(restarted, range(7, 13)) == [8, 12]


# --- several strategies ----------------------------------------------------------------------------------------------


def fails(view: View) -> TargetWeights:
    raise RuntimeError("no idea")


def test_one_fails_one_is_held_and_the_sum_is_theirs() -> None:
    """Over two days with one strategy that fails on the second, one that is rarely due and one that always answers: share times weight."""
    moody = sleeve(
        lambda view: always({A: 1.0})(view) if view.slice.closes_at < T0 + 24 * HOUR else fails(view), Schedule(2 * HOUR), share=0.5
    )
    rare = sleeve(always({B: 0.8}), Schedule(Cron("0 9 * * *")), name="rare", share=0.25)
    steady = sleeve(lambda view: TargetWeights({C: view.slice.closes_at.hour / 100}), Schedule(6 * HOUR), name="steady", share=0.2)
    target = runner(moody, rare, steady)
    journal = {each.as_of: each for hour in range(1, 49) for each in decisions(target, closed(hour))}
    for as_of, decision in journal.items():
        hour = (as_of - T0) // HOUR
        steady_weight = (hour // 6 * 6 % 24) / 100
        expected = {A: 0.5 if hour >= 2 else 0.0, B: 0.2 if hour >= 9 else 0.0, C: 0.2 * steady_weight if hour >= 6 else 0.0}
        assert {symbol: decision.weights.get(symbol, 0.0) for symbol in ABC} == pytest.approx(expected), hour
    assert target.problems.keys() == {"one"}
    second_day = sorted((as_of - T0) // HOUR for as_of in journal if as_of >= T0 + 24 * HOUR)
    assert second_day == [24, 30, 33, 36, 42, 48]  # those of the two that answer; who fails alone decides nothing
    assert all(set(decision.by_strategy) == {"one", "rare", "steady"} for as_of, decision in journal.items() if as_of >= T0 + 9 * HOUR)


def test_a_restart_holds_who_failed() -> None:
    """The targets of a strategy that fails come back from the journal, weights and all."""
    one = sleeve(always({A: 1.0}), Schedule(2 * HOUR), share=0.5)
    two = sleeve(always({B: 1.0}), Schedule(2 * HOUR), name="two", share=0.5)
    (before,) = decisions(runner(one, two), closed(2))
    restarted = runner(replace(one, strategy=Scripted(fails)), two)
    restarted.restore(before)
    (after,) = decisions(restarted, closed(4))
    assert after.weights == before.weights
