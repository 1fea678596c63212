"""The runner: when a decision is due, what it rests on, and what happens to the others when one strategy fails."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np
import pytest

from daemon.core.events import BarClosed, SliceClosed, TargetsChosen
from daemon.core.indicators import RSI, SMA, Indicator
from daemon.core.model import CLOSE, VOLUME, Bar, Decision, Slice, TargetWeights, decision_id
from daemon.core.runner import StrategyRunner
from daemon.core.schedule import Schedule
from daemon.core.slices import Aligner
from daemon.core.staff import Sleeve
from daemon.core.strategy import Strategy, Universe, View

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ABC = ("A/USDT", "B/USDT", "C/USDT")
A, B, C = ABC
UNIVERSE = Universe(ABC, HOUR)

Decide = Callable[[View], TargetWeights]


class Scripted(Strategy):
    """Answers what the test says, and remembers what it was shown."""

    def __init__(self, decide: Decide, length: int = 1) -> None:
        super().__init__(None, UNIVERSE)
        self.views: list[View] = []
        self._decide = decide
        self._length = length

    def indicators(self) -> Mapping[str, Indicator]:
        return {"average": SMA(self._length, 3)}

    def decide(self, view: View) -> TargetWeights:
        self.views.append(view)
        return self._decide(view)


def always(weights: Mapping[str, float]) -> Decide:
    return lambda view: TargetWeights(dict(weights))


def slice_at(hour: float, missing: Mapping[str, int] | None = None) -> Slice:
    """The slice that closes `hour` hours after T0; `missing` gives ages."""
    ages = np.array([(missing or {}).get(s, 0) for s in ABC])
    panel = np.full((VOLUME + 1, 3), 100.0 + hour)
    panel[CLOSE] += [1, 2, 3]
    return Slice(T0 + hour * HOUR, ABC, panel, ages > 0, ages)


def sleeve(decide: Decide, every: int = 4, *, name: str = "one", share: float = 1.0, at_start: bool = False, length: int = 1) -> Sleeve:
    return Sleeve(name, Scripted(decide, length), share, Schedule(every * HOUR, at_start))


def runner(*sleeves: Sleeve) -> StrategyRunner:
    return StrategyRunner(ABC, HOUR, sleeves, min_coverage=0.6, synthetic_max=2, decide_within=timedelta(seconds=30))


def close(target: StrategyRunner, hour: float, missing: Mapping[str, int] | None = None, *, late_s: float = 1) -> list[TargetsChosen]:
    closed = slice_at(hour, missing)
    events = target.on_slice(SliceClosed(closed, closed.closes_at + timedelta(seconds=late_s)))
    return [event for event in events if isinstance(event, TargetsChosen)]


def decided(target: StrategyRunner, hours: range) -> list[int]:
    return [hour for hour in hours if close(target, hour)]


def last_decision(hour: float, **targets: Mapping[str, float]) -> Decision:
    by_strategy = {name: TargetWeights(weights) for name, weights in targets.items()}
    return Decision("x", T0 + hour * HOUR, {}, frozenset(), by_strategy, T0 + hour * HOUR)


# --- due times -------------------------------------------------------------------------------------------------------


def test_due_times_hang_on_the_epoch() -> None:
    """Every four bars means close times that are multiples of four bars since 1970, wherever the process started."""
    assert decided(runner(sleeve(always({A: 1.0}))), range(3, 14)) == [4, 8, 12]


def test_a_decision_names_its_time_and_moment() -> None:
    """The decision is as of the slice's close, known at the event's moment, and its id derives from the close time alone."""
    (chosen,) = close(runner(sleeve(always({A: 0.5}))), 4)
    assert chosen.at == chosen.decision.at == T0 + 4 * HOUR + timedelta(seconds=1)
    assert chosen.decision.as_of == T0 + 4 * HOUR
    assert chosen.decision.id == "20260101T040000Z"
    assert chosen.decision.weights == {A: 0.5}


def test_decision_ids() -> None:
    """Milliseconds appear only where there are any, so whole seconds have one spelling."""
    assert decision_id(T0) == "20260101T000000Z"
    assert decision_id(T0 + timedelta(milliseconds=7)) == "20260101T000000007Z"


def test_missed_due_times_make_one_decision() -> None:
    """However many due times fell into a downtime, the next full slice makes up for all of them, once."""
    target = runner(sleeve(always({A: 1.0})))
    target.warm([slice_at(hour) for hour in range(1, 30)])
    target.restore(last_decision(4))
    assert decided(target, range(30, 38)) == [30, 32, 36]


def test_nothing_is_decided_twice() -> None:
    """A restart right after a decision, due or not, owes nothing until the next due time."""
    target = runner(sleeve(always({A: 1.0})))
    target.restore(last_decision(9))
    assert decided(target, range(10, 18)) == [12, 16]
    again = runner(sleeve(always({A: 1.0})))
    again.restore(last_decision(12))
    assert decided(again, range(12, 18)) == [16]


def test_fresh_journal_waits_for_its_first_due_time() -> None:
    """Due times before the start are not owed; one that passes while the streams fill up is."""
    target = runner(sleeve(always({A: 1.0})))
    target.warm([slice_at(hour) for hour in range(1, 6)])
    assert decided(target, range(6, 10)) == [8]
    catching_up = runner(sleeve(always({A: 1.0})))
    catching_up.warm([slice_at(3)])
    assert not close(catching_up, 4, late_s=600)
    assert close(catching_up, 5)


def test_at_start_acts_once_and_on_a_fresh_journal_only() -> None:
    """`at_start` takes the first full slice, not the first of every restart."""
    fresh = runner(sleeve(always({A: 1.0}), at_start=True))
    fresh.restore(None)
    assert decided(fresh, range(5, 10)) == [5, 8]
    restarted = runner(sleeve(always({A: 1.0}), at_start=True))
    restarted.restore(last_decision(5))
    assert decided(restarted, range(6, 10)) == [8]


def test_stale_slice_decides_nothing() -> None:
    """A slice that is handled too long after its close moves the indicators and no money; the next fresh one decides."""
    target = runner(sleeve(always({A: 1.0})))
    assert not close(target, 4, late_s=30.001)
    assert close(target, 5, late_s=30)
    assert decided(target, range(6, 9)) == [8]


def test_thin_slice_decides_nothing() -> None:
    """Below the coverage nothing is decided, and what was due is owed to the next full slice, once."""
    target = runner(sleeve(always({A: 1.0})))
    assert not close(target, 4, {A: 1, B: 1})
    assert not close(target, 5, {A: 2, B: 2})
    assert decided(target, range(6, 9)) == [6, 8]


def test_the_least_coverage_is_enough() -> None:
    """A slice with exactly the configured share of bars carries a decision."""
    strict = StrategyRunner(ABC, HOUR, [sleeve(always({A: 1.0}))], min_coverage=2 / 3, synthetic_max=2, decide_within=timedelta(seconds=30))
    assert close(strict, 4, {A: 1})


def test_schedule_must_fit_the_bars() -> None:
    """Due times between bars could never be met: refused when built."""
    with pytest.raises(ValueError, match="whole number of bars"):
        runner(Sleeve("one", Scripted(always({})), 1.0, Schedule(timedelta(minutes=90))))


# --- what a decision rests on ----------------------------------------------------------------------------------------


def test_view_shows_the_slice_and_the_indicators() -> None:
    """A strategy sees the deciding slice and its indicators at it, warm-up and live together."""
    one = sleeve(always({}), length=3)
    target = runner(one)
    target.warm([slice_at(1), slice_at(2)])
    close(target, 3)
    close(target, 4)
    assert isinstance(one.strategy, Scripted)
    (view,) = one.strategy.views
    assert view.slice.closes_at == T0 + 4 * HOUR
    assert view.rows["average"].tolist() == [104.0, 105.0, 106.0]
    assert view.tradable.all()
    assert view.weights == {}


def test_view_shows_what_the_strategy_holds() -> None:
    """What is held is asked for by the strategy's name when it decides, and by nobody else."""
    seen: list[Mapping[str, float]] = []

    def decide(view: View) -> TargetWeights:
        seen.append(view.held)
        return TargetWeights({A: 0.5})

    target = runner(sleeve(decide, name="one"), sleeve(always({}), name="two"))
    target.holdings = {"one": {A: 0.25}, "two": {B: 1.0}}.__getitem__
    close(target, 4)
    assert seen == [{A: 0.25}]


def test_need_is_the_longest() -> None:
    """The warm-up must serve the indicator that asks for most."""
    assert runner(sleeve(always({}), length=7), sleeve(always({}), name="two", length=31)).need == 31


def test_cold_symbol_is_not_tradable() -> None:
    """Before every indicator is warm nothing rests on a symbol."""
    one = sleeve(always({}), length=5)
    close(runner(one), 4)
    assert isinstance(one.strategy, Scripted)
    assert not one.strategy.views[0].tradable.any()


def test_nothing_is_sold_for_want_of_history() -> None:
    """A symbol that is cold for every strategy keeps its weight; one that is warm for some strategy is that one's to decide."""
    (chosen,) = close(runner(sleeve(always({}), length=5)), 4)
    assert chosen.decision.keep == set(ABC)
    (chosen,) = close(runner(sleeve(always({}), length=5, share=0.5), sleeve(always({}), name="two", share=0.5)), 4)
    assert chosen.decision.keep == set()


def test_symbol_without_a_bar_keeps_its_weight() -> None:
    """In the deciding slice it is neither newly chosen nor sold: its last target is carried and the planner is told to keep it."""
    answers = iter([{A: 0.4, B: 0.4}, {B: 0.4, C: 0.4}, {C: 0.4}])
    one = sleeve(lambda view: TargetWeights(next(answers)))
    target = runner(one)
    close(target, 4)
    (chosen,) = close(target, 8, {A: 1})
    assert chosen.decision.weights == {A: 0.4, B: 0.4, C: 0.4}
    assert chosen.decision.keep == {A}
    assert isinstance(one.strategy, Scripted)
    assert one.strategy.views[1].carried == {A: 0.4}
    assert one.strategy.views[1].tradable.tolist() == [False, True, True]
    (chosen,) = close(target, 12, {B: 1})
    assert chosen.decision.weights == {B: 0.4, C: 0.4}
    assert chosen.decision.keep == {B}


def test_newly_chosen_without_a_bar_is_dropped() -> None:
    """A weight for a symbol without a bar does not come to be, whatever the strategy says."""
    (chosen,) = close(runner(sleeve(always({A: 0.5, B: 0.5}))), 4, {A: 1})
    assert chosen.decision.weights == {B: 0.5}
    assert chosen.decision.keep == {A}


def test_long_missing_symbol_counts_no_longer() -> None:
    """Beyond `synthetic_max` slices the last target is not carried; it still cannot be traded."""
    target = runner(sleeve(always({A: 0.5})))
    close(target, 4)
    (chosen,) = close(target, 8, {A: 3})
    assert chosen.decision.weights == {}
    assert chosen.decision.keep == {A}


# --- several strategies ----------------------------------------------------------------------------------------------


def test_weights_add_up_by_share() -> None:
    """The account's target is the sum over strategies of share times weight, whatever the order of the configuration."""
    one = sleeve(always({A: 0.5, B: 0.25}), share=0.6)
    two = sleeve(always({B: -0.5, C: 0.1}), name="two", share=0.3)
    for order in ((one, two), (two, one)):
        (chosen,) = close(runner(*order), 4)
        assert chosen.decision.weights == {A: 0.3, B: pytest.approx(0.0, abs=1e-17), C: 0.03}
        assert set(chosen.decision.by_strategy) == {"one", "two"}


def test_who_is_not_due_keeps_its_targets() -> None:
    """A strategy between its due times stands by what it wanted, also after a restart."""
    one = sleeve(always({A: 1.0}), every=2, share=0.5)
    two = sleeve(always({B: 1.0}), every=4, name="two", share=0.5)
    target = runner(one, two)
    (first,) = close(target, 4)
    close(target, 5)
    (second,) = close(target, 6)
    assert first.decision.weights == second.decision.weights == {A: 0.5, B: 0.5}
    assert isinstance(two.strategy, Scripted)
    assert len(two.strategy.views) == 1

    restarted = runner(one, two)
    restarted.restore(replace(second.decision))
    close(restarted, 7)
    assert decided(restarted, range(8, 9)) == [8]
    another = runner(one, two)
    another.restore(last_decision(5, two={B: 0.7, "GONE/USDT": 0.3}))
    (third,) = close(another, 6)
    assert third.decision.weights == {A: 0.5, B: 0.35}


def raises(view: View) -> TargetWeights:
    raise RuntimeError("no idea")


FAULTS: dict[str, tuple[Decide, str]] = {
    "raises": (raises, "RuntimeError: no idea"),
    "nan": (always({A: float("nan")}), "not a finite number"),
    "unknown": (always({"DOGE/USDT": 1.0}), "DOGE/USDT, which the universe does not have"),
    "nothing": (cast("Decide", lambda view: None), "must return TargetWeights"),
}


@pytest.mark.parametrize(("fault", "says"), FAULTS.values(), ids=FAULTS.keys())
def test_failing_strategy_is_held_and_the_others_go_on(fault: Decide, says: str) -> None:
    """A strategy that fails stays at its last targets with a sentence about it; the other one's decision is as without it."""
    answers = iter([always({A: 1.0}), fault, always({C: 1.0})])

    def in_turn(view: View) -> TargetWeights:
        return next(answers)(view)

    bad = sleeve(in_turn, name="bad", share=0.5)
    good = sleeve(always({B: 1.0}), name="good", share=0.5)
    target = runner(bad, good)
    close(target, 4)
    (chosen,) = close(target, 8)
    assert chosen.decision.weights == {A: 0.5, B: 0.5}
    assert says in target.problems["bad"]
    assert "20" in target.problems["bad"]
    (chosen,) = close(target, 12)
    assert chosen.decision.weights == {B: 0.5, C: 0.5}
    assert not target.problems


def test_no_answer_at_all_is_no_decision() -> None:
    """When every strategy fails nothing is decided, rather than nothing being wanted; it is asked again at its next due time."""
    one = sleeve(raises)
    target = runner(one)
    assert decided(target, range(4, 9)) == []
    assert isinstance(one.strategy, Scripted)
    assert len(one.strategy.views) == 2


def test_share_has_bounds() -> None:
    """A share is part of the capital."""
    with pytest.raises(ValueError, match=r"share must be above 0 and at most 1, not 1\.5"):
        sleeve(always({}), share=1.5)


# --- order of slices -------------------------------------------------------------------------------------------------


def test_slices_come_once_and_in_order() -> None:
    """A slice fed twice would move the indicators twice: refused at once."""
    target = runner(sleeve(always({})))
    target.warm([slice_at(1), slice_at(2)])
    with pytest.raises(ValueError, match="does not follow"):
        close(target, 2)
    with pytest.raises(ValueError, match="does not follow"):
        target.warm([slice_at(1)])
    target.warm([])


def test_a_history_that_stood_still_is_too_short() -> None:
    """The symbol is named whose indicator cannot be known from `need` bars, and the runner begins anew on a longer history."""
    one = sleeve(always({}))
    one.strategy.indicators = lambda: {"rsi": RSI(2, 3)}  # type: ignore[method-assign, union-attr]
    still = [replace(slice_at(hour), panel=np.array([[100.0 + hour, 5.0, 100.0 - hour / 2]] * 5)) for hour in range(1, 101)]
    target = runner(one)
    target.warm(still)
    assert target.short == {B}
    target.renew()
    target.warm([slice_at(hour) for hour in range(1, 101)])
    assert target.short == frozenset()


def test_repeated_and_reordered_bars_change_no_decision() -> None:
    """Bars that come twice or out of their symbol's order lead to the decisions of a clean run (faults B13)."""

    def bar(symbol: str, hour: int) -> Bar:
        price = 100.0 + hour + ord(symbol[0])
        return Bar(symbol, T0 + hour * HOUR, price, price, price, price, 1.0)

    clean = [(s, hour) for hour in range(1, 13) for s in ABC]
    noisy = [pair for i, pair in enumerate(clean) for pair in (pair, clean[max(i - 3, 0)], pair)]

    def decisions(order: list[tuple[str, int]]) -> list[Decision]:
        target = runner(sleeve(lambda view: TargetWeights({A: float(view.rows["average"][0]) / 1000}), length=3))
        aligner = Aligner(ABC, HOUR, timedelta(seconds=3))
        found = []
        for symbol, hour in order:
            event = BarClosed(bar(symbol, hour), T0 + hour * HOUR)
            chosen = [each for closed in aligner.on_bar(event) for each in target.on_slice(closed)]
            found += [each.decision for each in chosen if isinstance(each, TargetsChosen)]
        return found

    assert decisions(noisy) == decisions(clean)
    assert len(decisions(clean)) == 3


def own(decide: Decide, every: int = 4) -> Sleeve:
    return replace(sleeve(decide, every, name="own"), own=True)


def test_numbers_that_are_not_owed_disable_nobody() -> None:
    """A backtest asks for signals on every bar; a strategy that has none off schedule trades on, and is asked for them no more."""

    def only_when_due(view: View) -> TargetWeights:
        if int((view.slice.closes_at - T0) / HOUR) % 4:
            raise RuntimeError("not due")
        return TargetWeights({A: 0.5})

    target = runner(own(only_when_due))
    decided = []
    for hour in range(1, 13):
        decided += close(target, hour)
        target.signals(slice_at(hour))
    assert len(decided) == 3
    assert (target.problems, target.disabled) == ({}, {})
    assert list(target.untold) == ["own"]


def test_an_own_indicator_that_raises_disables_its_strategy_alone() -> None:
    """A user's indicator that fails ends the answers of its strategy; the other one trades on, and the reason is kept."""
    broken = own(always({A: 0.5}))
    target = runner(broken, sleeve(always({B: 0.3}), 4))

    def fails(panel: object) -> object:
        raise RuntimeError("boom")

    target._staff.desks[0].step = fails  # type: ignore[method-assign, assignment]
    decided = [chosen for hour in range(1, 9) for chosen in close(target, hour)]
    assert [dict(chosen.decision.weights) for chosen in decided] == [{B: 0.3}, {B: 0.3}]
    assert "boom" in target.disabled["own"]


def test_a_decision_is_overtaken_once_another_was_due() -> None:
    """After a restart an unfinished decision goes on until the next due time has passed; from then on the make-up takes its place."""
    target = runner(sleeve(always({A: 0.5}), 4))
    (chosen,) = [chosen for hour in range(1, 5) for chosen in close(target, hour)]
    as_of = chosen.decision.as_of
    assert not target.overtaken(chosen.decision, as_of + 3.9 * HOUR)
    assert target.overtaken(chosen.decision, as_of + 4 * HOUR)
