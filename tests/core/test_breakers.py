"""The breakers, the machine and what is ours: each trips at its limit and not below, and is moved by no absurd reading."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core import events as e
from daemon.core.breakers import Action, Code, DriftRule, RejectRule, Rules
from daemon.core.breakers.breaker import Breaker
from daemon.core.model import Side
from daemon.core.ordertable import Saw
from daemon.core.states import ACCOUNT, DAEMON, Hold, Level, Scope, States
from tests.core.breakerdesk import BTC, CALM, ETH, MINUTE, SPIKE, Desk, drifts, rule, steady
from tests.core.builders import after, fill, order, report

# --- the machine -----------------------------------------------------------------------------------------------------


def machine(action: Action = Action.REDUCE) -> tuple[Breaker, States, Callable[[float, float], None]]:
    """A breaker of limit 2, and how a reading is given to it."""
    states = States()
    breaker = Breaker(Code.LOOP_LAG, rule(2.0, action), states)

    def read(value: float, seconds: float) -> None:
        for change in breaker.read(value, after(seconds), lambda: f"{value:g}"):
            if isinstance(change, e.HoldPlaced):
                states.place(change.hold)
            else:
                states.lift(change.scope, change.code)

    return breaker, states, read


@pytest.mark.parametrize(
    ("action", "level"),
    [
        (Action.REDUCE, Level.REDUCING),
        (Action.PAUSE, Level.PAUSED),
        (Action.HALT, Level.HALTED),
        (Action.FLATTEN, Level.FLATTENING),
    ],
)
def test_it_trips_at_its_limit_and_not_below(action: Action, level: Level) -> None:
    """The largest number below the limit does nothing; the limit itself does what the action says, in its own words."""
    _, states, read = machine(action)
    read(np.nextafter(2.0, 0.0), 0)
    assert states.level() is Level.ACTIVE
    read(2.0, 1)
    (hold,) = states.holds()
    assert (hold.level, hold.code, hold.text, hold.since, hold.by, hold.until) == (level, "loop_lag", "2", after(1), DAEMON, None)


def test_it_lets_go_after_the_whole_cool_down_only() -> None:
    """Calm counts from the last reading at the limit: one more such reading begins it anew."""
    _, states, read = machine()
    read(2.0, 0)
    read(1.0, 1)
    read(1.0, 30.9)
    read(2.5, 31)
    read(0.0, 32)
    read(0.0, 61.9)
    assert states.level() is Level.REDUCING
    read(0.0, 62)
    assert states.level() is Level.ACTIVE


@pytest.mark.parametrize("action", [Action.HALT, Action.FLATTEN])
def test_what_halts_is_not_left_by_itself(action: Action) -> None:
    """However calm it is for however long, a halt and what leads to one stay."""
    _, states, read = machine(action)
    read(9.0, 0)
    for hour in range(1, 100):
        read(0.0, 3600.0 * hour)
    assert states.level() is action.level


def test_what_a_person_has_lifted_needs_a_calm_reading_first() -> None:
    """Lifted by hand, it does not trip on the same cause again, and does on the next."""
    breaker, states, read = machine(Action.HALT)
    read(3.0, 0)
    breaker.excuse()
    states.lift(ACCOUNT, "loop_lag")
    read(3.0, 1)
    assert states.level() is Level.ACTIVE
    read(1.0, 2)
    read(3.0, 3)
    assert states.level() is Level.HALTED


@given(readings=st.lists(st.one_of(st.sampled_from([nan, inf, -inf, -1e308, -0.0, 1e-320]), st.floats(max_value=1.9)), max_size=50))
@settings(max_examples=200, deadline=None)
def test_no_absurd_reading_trips_or_calms(readings: list[float]) -> None:
    """What is no number trips nothing, ends no hold, and raises nothing; nor does any number below the limit trip."""
    _, states, read = machine()
    for second, value in enumerate(readings):
        read(value, second)
    assert states.holds() == ()
    _, states, read = machine()
    read(2.0, 0)
    for second in range(1, 100):
        read(nan, second)
    assert states.level() is Level.REDUCING


# --- refusals --------------------------------------------------------------------------------------------------------


def rejects(**more: Any) -> RejectRule:
    usual: dict[str, Any] = {"limit": 5, "symbol": 3, "pause": MINUTE, "pause_max": timedelta(minutes=10), "action": Action.PAUSE}
    return RejectRule(**(usual | {"cool_down": CALM} | more))


def test_refusals_in_a_row_trip_the_account() -> None:
    """Four of five are not enough, whoever's they are; the fifth pauses the account, and calm time ends that."""
    desk = Desk(rejects=rejects(symbol=100))
    for symbol in (BTC, ETH, BTC, ETH):
        desk.refused(symbol)
    assert desk.level() is Level.ACTIVE
    desk.refused(BTC)
    assert desk.level() is Level.PAUSED
    assert "5 orders in a row" in desk.states.holds()[0].text
    desk.wait(29)
    desk.refused(ETH)
    desk.wait(30)
    assert desk.level() is Level.PAUSED, "an order that was on its way has been refused meanwhile"
    desk.wait(2)
    assert desk.level() is Level.ACTIVE
    desk.refused(BTC)
    assert desk.level() is Level.ACTIVE, "the row began anew"


def test_an_order_that_is_taken_ends_the_row() -> None:
    """As long as one in five is taken, nothing trips, however many are refused."""
    desk = Desk(rejects=rejects(symbol=100))
    for _ in range(20):
        for _ in range(4):
            desk.refused()
        desk.table.add(taken := order(f"ok{desk.at}", ETH))
        desk.take(desk.breakers.on_order(e.OrderReported(report(taken), "submit", after(desk.at))))
    assert desk.states.holds() == ()


@pytest.mark.parametrize("code", ["rate_limited", "maintenance", "clock_skew", "not_sent"])
def test_a_venue_that_is_busy_has_refused_nothing(code: str) -> None:
    """What says nothing of the order does not count."""
    desk = Desk(rejects=rejects())
    for _ in range(50):
        desk.refused(code=code)
    assert desk.states.holds() == ()


def test_a_symbol_pauses_for_ever_longer_times() -> None:
    """Three refusals pause it for a minute, each further one for twice as long up to the most; another symbol goes on."""
    desk = Desk(rejects=rejects(limit=100))
    desk.refused()
    desk.refused()
    assert desk.level(Scope(symbol=BTC)) is Level.ACTIVE
    lengths = []
    for _ in range(6):
        desk.refused()
        hold = desk.states.find(Scope(symbol=BTC), "rejects")
        assert hold is not None
        assert hold.until is not None
        assert hold.level is Level.PAUSED
        lengths.append((hold.until - hold.since) / MINUTE)
        desk.lift("rejects", Scope(symbol=BTC), by=DAEMON)  # its time is over
    assert lengths == [1, 2, 4, 8, 10, 10]
    assert desk.level(Scope(symbol=ETH)) is Level.ACTIVE
    desk.lift("rejects", Scope(symbol=BTC))
    desk.refused()
    assert desk.level(Scope(symbol=BTC)) is Level.ACTIVE, "a person has said that it is mended"


def test_an_order_that_is_taken_ends_a_symbols_row() -> None:
    """Two refusals, an order that is taken, and two more are no three in a row."""
    desk = Desk(rejects=rejects())
    for _ in range(2):
        desk.refused()
        desk.refused()
        desk.table.add(taken := order(f"ok{desk.at}"))
        desk.take(desk.breakers.on_order(e.OrderFilled(fill(taken), after(desk.at))))
    assert desk.states.holds() == ()


def test_refusals_of_other_hands_are_none_of_ours() -> None:
    """A refusal of an order that the table does not know counts for nobody."""
    desk = Desk(rejects=rejects(limit=1, symbol=1))
    desk.take(desk.breakers.on_order(e.OrderRefused("stranger", "venue_filter", "no", after(0))))
    desk.take(desk.breakers.on_order(e.OrderFilled(fill(order("stranger")), after(0))))
    assert desk.states.holds() == ()


# --- doubts ----------------------------------------------------------------------------------------------------------


def test_an_order_in_doubt_for_too_long() -> None:
    """At five minutes of doubt, not a second earlier, and gone as soon as it is known what became of it."""
    desk = Desk(unknown_order=rule(300, cool_down=timedelta(0)))
    desk.wait(10)
    tracked = desk.table.add(order("r1", BTC, Side.BUY, at=after(10)))
    tracked.learn(Saw.SENDING)
    tracked.learn(Saw.AMBIGUITY)
    tracked.doubted_at = after(desk.at)
    desk.wait(299)
    assert desk.level() is Level.ACTIVE
    desk.wait(1)
    assert desk.level() is Level.REDUCING
    assert "r1" in desk.states.holds()[0].text
    tracked.learn(Saw.OPEN)
    desk.wait(1)
    assert desk.level() is Level.ACTIVE


def drift(**more: Any) -> DriftRule:
    usual: dict[str, Any] = {"limit": 600, "action": Action.REDUCE, "cool_down": CALM, "currencies": 1, "share": 0.1}
    return DriftRule(**(usual | more))


def test_a_difference_that_stands_too_long() -> None:
    """At ten minutes, not before, also if it never stands still; once the account agrees, the cool-down ends it."""
    desk = Desk(drift=drift())
    for n in range(599):
        drifts(desk, USDT=f"-{n + 1}e-3")
        desk.wait(1)
    assert desk.level() is Level.ACTIVE
    desk.wait(2)
    assert desk.level() is Level.REDUCING
    drifts(desk)
    desk.wait(32)
    assert desk.level() is Level.ACTIVE


def test_a_difference_on_an_account_that_moves_is_none() -> None:
    """What is seen while orders are under way says nothing, however long; agreement always does."""
    desk = Desk(drift=drift())
    for _ in range(20):
        drifts(desk, quiet=False, USDT="-500")
        desk.wait(60)
    assert desk.states.holds() == ()
    drifts(desk, USDT="-1")
    desk.wait(300)
    drifts(desk, quiet=False)
    desk.wait(500)
    assert desk.states.holds() == ()


@pytest.mark.parametrize(
    ("amounts", "trips"),
    [
        ({"USDT": "-99.99"}, False),
        ({"USDT": "-100"}, True),
        ({"USDT": "100"}, True),
        ({"BTC": "0.9"}, False),
        ({"BTC": "1.0"}, True),
        ({"USDT": "-1", "BTC": "0.001"}, True),
    ],
)
def test_differences_that_are_too_large_or_too_many(amounts: dict[str, str], trips: bool) -> None:
    """A tenth of equity or a second currency, once five minutes have passed in which a deposit would have explained itself."""
    desk = Desk(drift=drift())
    desk.bar(BTC=100.0, ETH=10.0)
    drifts(desk, quiet=True, **amounts)
    desk.wait(299)
    assert desk.level() is Level.ACTIVE
    desk.wait(2)
    assert (desk.level() is Level.REDUCING) is trips


@given(worth=st.decimals(min_value=-1, max_value=1000, places=2))
@settings(max_examples=50, deadline=None)
def test_a_deposit_that_is_booked_in_time_never_drifts(worth: Decimal) -> None:
    """Any amount that is explained within five minutes trips nothing."""
    desk = Desk(drift=drift())
    drifts(desk, USDT=str(worth * 1000))
    desk.wait(298)
    drifts(desk)
    desk.wait(120)
    assert desk.states.holds() == ()


# --- the board -------------------------------------------------------------------------------------------------------


def test_the_hold_of_a_breaker_that_is_no_more_is_lifted() -> None:
    """At the start, and after a reload, nobody would lift it; a halt stays for a person, and what a person placed is theirs."""
    desk = Desk(loop_lag=rule(5.0))
    kept = [
        Hold(level=Level.REDUCING, code="loop_lag", text="x", since=after(0)),
        Hold(level=Level.HALTED, code="drawdown", text="x", since=after(0)),
        Hold(level=Level.PAUSED, code="pause", text="x", since=after(0), by="me"),
    ]
    gone = Hold(level=Level.REDUCING, code="stale_data", text="x", since=after(0))
    for hold in (*kept, gone):
        desk.states.place(hold)
    desk.take(desk.breakers.begin(after(0)))
    assert set(desk.states.holds()) == set(kept)
    desk.take(desk.breakers.renew(Rules(), after(1)))
    assert set(desk.states.holds()) == set(kept[1:])


def test_changed_rules_count_from_then_on() -> None:
    """A reload changes a limit under way; prices keep the rule that their history was judged by."""
    desk = Desk(loop_lag=rule(5.0), price_spike=SPIKE)
    desk.take(desk.breakers.renew(Rules(loop_lag=rule(1.0), price_spike=None), after(0)))
    desk.take(desk.breakers.on_lag(e.LoopLagged(timedelta(seconds=2), after(0))))
    assert desk.level() is Level.REDUCING
    assert desk.breakers.rules.price_spike is SPIKE


def test_without_rules_there_is_nothing() -> None:
    """A board without breakers takes every event and does nothing."""
    desk = Desk()
    steady(desk)
    desk.tick(BTC, 1e9)
    for _ in range(50):
        desk.refused()
    desk.take(desk.breakers.on_clock(e.ClockMeasured(timedelta(hours=1), timedelta(0), after(0))))
    desk.take(desk.breakers.on_lag(e.LoopLagged(timedelta(hours=1), after(0))))
    drifts(desk, USDT="-999")
    desk.wait(10_000)
    desk.bar(BTC=1e-9, ETH=1e9)
    assert desk.states.holds() == ()
