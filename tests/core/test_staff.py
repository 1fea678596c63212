"""Strategies that come, go and change at a runner at work: what a restart would have given them, and nothing for those who stay."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from daemon.core.events import StrategyAnswered, StrategyDisabled
from daemon.core.model import Decision, TargetWeights
from daemon.core.runner import StrategyRunner
from daemon.core.schedule import Schedule
from daemon.core.shares import fixed
from daemon.core.staff import Sleeve, Staff
from tests.core.test_rounds import answer
from tests.core.test_rounds import close as ask
from tests.core.test_runner import ABC, HOUR, T0, A, B, C, Scripted, always, close, decided, runner, sleeve, slice_at


def newcomers(*sleeves: Sleeve, until: int = 0) -> Staff:
    """Ready to begin after the slice of hour `until`."""
    staff = Staff(sleeves, ABC)
    staff.warm([slice_at(hour) for hour in range(1, until + 1)])
    return staff


def change(target: StrategyRunner, sleeves: Sequence[Sleeve], new: Staff, decision: Decision | None) -> None:
    target.change(sleeves, new, fixed({each.name: each.share for each in sleeves}), decision)


def views(of: Sleeve) -> list[float]:
    """The value of its indicator for the first symbol at each of its decisions."""
    assert isinstance(of.strategy, Scripted)
    return [float(view.rows["average"][0]) for view in of.strategy.views]


def last(target: StrategyRunner, hour: int) -> Decision:
    (chosen,) = close(target, hour)
    return chosen.decision


def test_whoever_stays_is_not_disturbed() -> None:
    """Its indicators, its last targets and its due times are as they were; only its share is another."""
    stays, goes = sleeve(always({A: 1.0}), name="stays", share=0.5, length=3), sleeve(always({B: 1.0}), name="goes", share=0.5)
    target = runner(stays, goes)
    decision = [close(target, hour) for hour in range(1, 5)][-1][0].decision
    change(target, [replace(stays, strategy=None, share=0.25)], newcomers(), decision)
    assert decided(target, range(5, 8)) == []
    after = last(target, 8)
    assert (after.weights, set(after.by_strategy)) == ({A: 0.25}, {"stays"})
    assert views(stays) == [104.0, 108.0]


def test_a_newcomer_decides_on_all_of_the_history() -> None:
    """It was fed beside the others, and at its first due time it sees what it would have seen from the beginning."""
    old, new = sleeve(always({A: 1.0}), name="old", share=0.5), sleeve(always({B: 1.0}), name="new", share=0.5, length=3)
    target = runner(old)
    for hour in range(1, 6):
        close(target, hour)
    change(target, [old, new], newcomers(new, until=5), None)
    assert decided(target, range(6, 8)) == []
    assert last(target, 8).weights == {A: 0.5, B: 0.5}
    assert views(new) == [108.0]


def test_a_newcomer_owes_what_fell_due_since_the_last_decision() -> None:
    """As after a restart: a due time of its own that lies between the newest decision and now is made up for, once."""
    old, new = sleeve(always({A: 1.0}), name="old", share=0.5), sleeve(always({B: 1.0}), 3, name="new", share=0.5)
    target = runner(old)
    for hour in range(1, 8):
        close(target, hour)
    change(target, [old, new], newcomers(new, until=7), None)
    assert last(target, 8).as_of == T0 + 8 * HOUR  # every four hours the old one, and since six o'clock the new one
    assert len(views(new)) == 1


def test_one_that_is_made_anew_stands_by_its_last_targets() -> None:
    """Its name in the newest decision says what it wants until it is due again; the strategy that it was is asked no more."""
    was, stays = sleeve(always({A: 1.0}), 4, share=0.5), sleeve(always({B: 1.0}), 2, name="two", share=0.5)
    target = runner(was, stays)
    decision = [close(target, hour) for hour in range(1, 5)][-1][0].decision
    now = sleeve(always({C: 1.0}), 4, share=0.5)
    change(target, [now, stays], newcomers(now, until=4), decision)
    assert [last(target, hour).weights for hour in (6, 8)] == [{A: 0.5, B: 0.5}, {B: 0.5, C: 0.5}]
    assert len(views(was)) == 1


def test_a_changed_schedule_counts_from_the_last_decision() -> None:
    """Due times hang on the epoch, so the new ones are met where they lie, and none is met twice."""
    one = sleeve(always({A: 1.0}))
    target = runner(one)
    assert decided(target, range(1, 6)) == [4]
    change(target, [replace(one, schedule=Schedule(3 * HOUR))], newcomers(), None)
    assert decided(target, range(6, 11)) == [6, 9]


def test_a_schedule_that_fits_no_bar_is_refused() -> None:
    """What could never be met changes nothing."""
    one = sleeve(always({A: 1.0}))
    target = runner(one)
    with pytest.raises(ValueError, match="whole number of bars"):
        change(target, [replace(one, schedule=Schedule(timedelta(minutes=90)))], newcomers(), None)
    assert decided(target, range(1, 5)) == [4]


def test_what_was_wrong_with_one_goes_with_it() -> None:
    """A strategy that is disabled stays so while it is unchanged, and is asked again once it is made anew."""
    own = Sleeve("own", None, 0.5, Schedule(2 * HOUR), own=True)
    other = sleeve(always({A: 1.0}), 2, name="other", share=0.5)
    target = runner(other, own)
    target.on_disabled(StrategyDisabled("own", "it raised", T0))
    change(target, [other, own], newcomers(), None)
    assert target.disabled == {"own": "it raised"}
    change(target, [other, own], newcomers(own), None)
    assert target.disabled == {}
    assert len(ask(target, 2)) == 1
    assert answer(target, "own", 2, {B: 1.0})[0].weights == pytest.approx({A: 0.5, B: 0.5})
    target.on_disabled(StrategyDisabled("own", "it raised", T0))
    change(target, [other], newcomers(), None)
    assert target.disabled == {}


def test_nobody_comes_or_goes_while_a_decision_waits() -> None:
    """An answer that is awaited must find the desk that it was asked at."""
    own = Sleeve("own", None, 1.0, Schedule(2 * HOUR), own=True)
    target = runner(own)
    ask(target, 2)
    with pytest.raises(RuntimeError, match="waits"):
        change(target, [own], newcomers(own), None)
    answered = list(target.on_answered(StrategyAnswered("own", T0 + 2 * HOUR, TargetWeights({A: 1.0}), frozenset(ABC), T0)))
    assert len(answered) == 1
    change(target, [own], newcomers(own), None)


def test_the_newest_slice_is_told() -> None:
    """Whoever gets ready beside the others begins behind it."""
    target = runner(sleeve(always({})))
    told = [target.newest]
    target.warm([slice_at(1), slice_at(2)])
    told.append(target.newest)
    close(target, 3)
    told.append(target.newest)
    assert [each and each.slice.closes_at for each in told] == [None, T0 + 2 * HOUR, T0 + 3 * HOUR]
