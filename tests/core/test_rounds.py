"""Rounds: a decision that waits for strategies in processes of their own, and what it does without their answers."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from daemon.core.events import AskStrategy, Event, SliceClosed, StrategyAnswered, StrategyDisabled, StrategyStarted, TargetsChosen
from daemon.core.model import Decision, Slice, TargetWeights
from daemon.core.runner import StrategyRunner
from daemon.core.schedule import Schedule
from daemon.core.staff import Sleeve
from daemon.core.strategy import View
from tests.core.test_runner import ABC, HOUR, UNIVERSE, Scripted, always

T0 = datetime(2026, 1, 1, tzinfo=UTC)
A, B, _ = ABC
SECOND = timedelta(seconds=1)


def runner(*, here: bool = True, away: tuple[str, ...] = ("own",)) -> StrategyRunner:
    """One in the loop that wants all of A by 0.4, and others away, every two hours."""
    sleeves = [Sleeve("here", Scripted(always({A: 1.0})), 0.4, Schedule(2 * HOUR))] if here else []
    sleeves += [Sleeve(name, None, 0.6 / len(away), Schedule(2 * HOUR)) for name in away]
    target = StrategyRunner(ABC, HOUR, sleeves, min_coverage=0.6, synthetic_max=2, decide_within=timedelta(seconds=30))
    assert UNIVERSE.symbols == ABC
    return target


def close(target: StrategyRunner, hour: int) -> list[Event]:
    """What follows from the slice of an hour: questions and decisions."""
    closed = Slice(T0 + hour * HOUR, ABC, np.full((5, 3), 100.0), np.zeros(3, np.bool_), np.zeros(3, np.int64))
    events = list(target.on_slice(SliceClosed(closed, closed.closes_at + SECOND)))
    return [event for event in events if isinstance(event, AskStrategy | TargetsChosen)]


def answer(target: StrategyRunner, name: str, hour: int, weights: dict[str, float]) -> list[Decision]:
    """The decisions that follow from an answer."""
    at = T0 + hour * HOUR + 2 * SECOND
    told = StrategyAnswered(name, T0 + hour * HOUR, TargetWeights(weights), frozenset(ABC), at)
    return [event.decision for event in target.on_answered(told)]


def disable(target: StrategyRunner, name: str, hour: int) -> list[Decision]:
    """The decisions that follow from an end."""
    return [event.decision for event in target.on_disabled(StrategyDisabled(name, "it raised", T0 + hour * HOUR + 3 * SECOND))]


def test_a_decision_waits_for_the_answer() -> None:
    """Who is away is asked with what it wanted last, and the decision is made when it has answered, as of the slice it was asked about."""
    target = runner()
    (asked,) = close(target, 2)
    assert isinstance(asked, AskStrategy)
    assert (asked.name, asked.last, asked.slice.closes_at) == ("own", None, T0 + 2 * HOUR)
    (decision,) = answer(target, "own", 2, {B: 0.5})
    assert (decision.as_of, decision.at) == (T0 + 2 * HOUR, T0 + 2 * HOUR + 2 * SECOND)
    assert decision.weights == pytest.approx({A: 0.4, B: 0.3})
    (again,) = close(target, 4)
    assert isinstance(again, AskStrategy)
    assert again.last == TargetWeights({B: 0.5})


def test_who_cannot_say_yet_is_asked_again() -> None:
    """The others decide without it; it is owed at the next slice, due or not, until it has answered."""
    target = runner()
    close(target, 2)
    at = T0 + 2 * HOUR + 2 * SECOND
    (passed,) = target.on_answered(StrategyAnswered("own", T0 + 2 * HOUR, None, frozenset(), at))
    assert passed.decision.weights == pytest.approx({A: 0.4})
    (again,) = close(target, 3)
    assert isinstance(again, AskStrategy)
    (decision,) = answer(target, "own", 3, {B: 0.5})
    assert decision.weights == pytest.approx({A: 0.4, B: 0.3})
    assert close(target, 3 + 1) != []
    answer(target, "own", 4, {B: 0.5})
    assert close(target, 5) == []


def test_the_last_answer_decides() -> None:
    """Several are asked at once; the decision comes with the last of them, once."""
    target = runner(away=("one", "two"))
    assert [type(event) for event in close(target, 2)] == [AskStrategy, AskStrategy]
    assert answer(target, "two", 2, {B: 1.0}) == []
    (decision,) = answer(target, "one", 2, {A: 1.0})
    assert decision.weights == pytest.approx({A: 0.7, B: 0.3})


def test_a_second_answer_changes_nothing() -> None:
    """What a strategy has answered in a round stands, whatever comes after it while others are waited for."""
    target = runner(away=("one", "two"))
    close(target, 2)
    assert answer(target, "two", 2, {B: 1.0}) == answer(target, "two", 2, {A: 1.0}) == []
    (decision,) = answer(target, "one", 2, {})
    assert decision.weights == pytest.approx({A: 0.4, B: 0.3})


def test_one_that_ends_keeps_nobody_waiting() -> None:
    """A strategy that is disabled during a round is left out of it, held at its last targets, and asked no more."""
    target = runner()
    close(target, 2)
    answer(target, "own", 2, {B: 0.5})
    close(target, 4)
    (decision,) = disable(target, "own", 4)
    assert decision.by_strategy["own"].weights == {B: 0.5}
    assert decision.weights == pytest.approx({A: 0.4, B: 0.3})
    (chosen,) = close(target, 6)
    assert isinstance(chosen, TargetsChosen)
    assert chosen.decision.weights == pytest.approx({A: 0.4, B: 0.3})
    assert answer(target, "own", 6, {B: 1.0}) == []


def test_nobody_who_answers_decides_nothing() -> None:
    """Were every answer missing, the sum of nothing would sell the account: there is no decision then."""
    target = runner(here=False)
    close(target, 2)
    assert disable(target, "own", 2) == []
    assert close(target, 4) == []


def test_a_slice_during_a_round_opens_no_other() -> None:
    """While an answer is awaited the indicators go on; what has become due is made up for, once, by the slice after the answer."""
    target = runner()
    close(target, 2)
    assert close(target, 3) == close(target, 4) == []
    (decision,) = answer(target, "own", 2, {B: 0.5})
    assert decision.as_of == T0 + 2 * HOUR
    assert [type(event) for event in close(target, 5)] == [AskStrategy]


def test_one_that_never_started_has_what_the_journal_says() -> None:
    """Its last targets come from the last run, and stand."""
    target = runner()
    target.restore(Decision("x", T0, {}, frozenset(), {"own": TargetWeights({B: 0.5})}, T0))
    assert disable(target, "own", 0) == []
    (chosen,) = close(target, 2)
    assert isinstance(chosen, TargetsChosen)
    assert chosen.decision.weights == pytest.approx({A: 0.4, B: 0.3})


def test_a_failed_one_of_the_users_own_is_asked_no_more_here_either() -> None:
    """In a backtest, where it runs in the loop, it is held at its last targets from its first failure on, as it would be live."""
    asked = []

    def decide(view: View) -> TargetWeights:
        asked.append(view)
        raise ValueError("no")

    sleeves = [
        Sleeve("own", Scripted(decide), 0.5, Schedule(2 * HOUR), own=True),
        Sleeve("here", Scripted(always({A: 1.0})), 0.5, Schedule(2 * HOUR)),
    ]
    target = StrategyRunner(ABC, HOUR, sleeves, min_coverage=0.6, synthetic_max=2, decide_within=timedelta(seconds=30))
    assert [len(close(target, hour)) for hour in range(1, 7)] == [0, 1, 0, 1, 0, 1]
    assert len(asked) == 1
    assert "ValueError: no" in target.disabled["own"]


def test_the_warm_up_is_long_enough_for_all() -> None:
    """How much history it needs is known once it has started."""
    target = runner()
    assert target.need == 1
    assert list(target.on_started(StrategyStarted("own", 77, T0))) == []
    assert target.need == 77
