"""The breakers that watch what comes from outside: bars, prices, the peg, the clock, and the loop."""

from datetime import timedelta
from decimal import Decimal
from math import inf, nan
from typing import Any

import numpy as np
import pytest

from daemon.core import events as e
from daemon.core.breakers import Action, Breakers, PegRule, Rules, StaleRule
from daemon.core.breakers.prices import AGREED, REDENOMINATED
from daemon.core.model import Slice
from daemon.core.states import Hold, Level, Scope
from tests.core.breakerdesk import BTC, CALM, ETH, MINUTE, SPIKE, SYMBOLS, USDC, Desk, rule, steady
from tests.core.builders import after

# --- feeds -----------------------------------------------------------------------------------------------------------


def stale(**more: Any) -> StaleRule:
    usual: dict[str, Any] = {"limit": 0.5, "action": Action.REDUCE, "cool_down": CALM, "age": 2 * MINUTE}
    return StaleRule(**(usual | more))


def test_too_many_symbols_without_bars() -> None:
    """With one of three silent nothing happens; with two, once their next bar is overdue by the age; and it ends by itself."""
    desk = Desk(stale_data=stale())
    for _ in range(5):
        desk.bar(BTC=1.0, ETH=1.0, USDC=1.0)
    for _ in range(5):
        desk.bar(BTC=1.0, ETH=1.0)
        desk.wait(0.5)
    assert desk.level() is Level.ACTIVE
    desk.bar(seconds=59.5, BTC=1.0)
    desk.bar(BTC=1.0)
    desk.wait(59.5)  # three minutes, less half a second, since the last bar of ETH closed: one bar and the age
    assert desk.level() is Level.ACTIVE
    desk.wait(1)
    assert desk.level() is Level.REDUCING
    assert "2 of 3 symbols have no data: ETH/USDT, USDC/USDT" in desk.states.holds()[0].text
    desk.bar(BTC=1.0, ETH=1.0, USDC=1.0)
    desk.wait(32)
    assert desk.level() is Level.ACTIVE


def test_streams_that_are_lost_for_too_long() -> None:
    """Lost for two minutes is not yet too long, a second later it is; a stream that has caught up is well."""
    desk = Desk(stale_data=stale(limit=1.0))
    desk.wait(1)
    for symbol in SYMBOLS:
        desk.take(desk.breakers.on_lost(e.StreamLost(symbol, "silent", after(desk.at))))
    desk.wait(120)
    assert desk.level() is Level.ACTIVE
    desk.take(desk.breakers.on_lost(e.StreamLost(BTC, "silent", after(desk.at))))  # said again, it renews nothing
    desk.wait(1)
    assert desk.level() is Level.REDUCING
    desk.take(desk.breakers.on_caught_up(e.StreamCaughtUp(BTC, 3, after(desk.at))))
    desk.bar(seconds=1, BTC=1.0)
    desk.wait(32)
    assert desk.level() is Level.ACTIVE


def test_stored_bars_do_not_go_stale() -> None:
    """In a backtest a hole of days in all files reduces nothing."""
    desk = Desk()
    rules = Rules(stale_data=stale())
    desk.breakers = Breakers(rules, desk.states, desk.account, desk.curves, desk.table, SYMBOLS, MINUTE, live=False)
    desk.bar(BTC=1.0)
    desk.wait(100_000)
    assert desk.states.holds() == ()


def peg(**more: Any) -> PegRule:
    usual: dict[str, Any] = {"limit": 0.02, "action": Action.PAUSE, "cool_down": CALM, "symbol": USDC}
    return PegRule(**(usual | more))


@pytest.mark.parametrize(("price", "trips"), [(1.02001, True), (0.97999, True), (1.0199, False), (0.9801, False)])
def test_the_peg(price: float, trips: bool) -> None:
    """Two percent to either side, kept up for ten seconds, pause the account; less never does."""
    desk = Desk(peg=peg())
    for _ in range(10):
        desk.tick(USDC, price)
        desk.wait(1)
    assert desk.level() is Level.ACTIVE
    for _ in range(5):
        desk.tick(USDC, price)
        desk.wait(1)
    assert (desk.level() is Level.PAUSED) is trips


@pytest.mark.parametrize("price", [nan, inf, 0.0, -1.0, 0.5])
def test_one_price_far_from_the_peg_does_nothing(price: float) -> None:
    """A single mistake between good prices trips nothing, nor does any number of impossible ones, nor another symbol's price."""
    desk = Desk(peg=peg())
    for _ in range(60):
        desk.tick(BTC, 0.5)
        desk.tick(USDC, price)
        desk.wait(1)
        desk.tick(USDC, 1.001)
        desk.wait(1)
    assert desk.states.holds() == ()


def test_the_peg_that_holds_again() -> None:
    """Back within the limit for the cool-down, trading goes on."""
    desk = Desk(peg=peg())
    for price in [0.9] * 12 + [0.999] * 29:
        desk.tick(USDC, price)
        desk.wait(1)
    assert desk.level() is Level.PAUSED
    for _ in range(3):
        desk.tick(USDC, 0.999)
        desk.wait(1)
    assert desk.level() is Level.ACTIVE


@pytest.mark.parametrize(
    ("offset_s", "uncertain_s", "trips"), [(0.999, 0.0, False), (1.0, 0.0, True), (-1.0, 0.0, True), (3.0, 2.1, False), (-3.1, 2.0, True)]
)
def test_clocks_that_differ(offset_s: float, uncertain_s: float, trips: bool) -> None:
    """A second for certain, either way, and no order leaves; the next good comparison ends it, and is asked for often."""
    desk = Desk(clock_skew=rule(1.0, Action.PAUSE, timedelta(0)))
    event = e.ClockMeasured(timedelta(seconds=offset_s), timedelta(seconds=uncertain_s), after(0))
    desk.take(desk.breakers.on_clock(event))
    assert (desk.level() is Level.PAUSED) is trips
    desk.wait(35)
    assert sum(isinstance(event, e.MeasureClock) for event in desk.told) == (4 if trips else 0)
    desk.take(desk.breakers.on_clock(e.ClockMeasured(timedelta(seconds=-0.2), timedelta(0), after(36))))
    assert desk.level() is Level.ACTIVE


def test_a_refusal_for_the_clock_has_it_measured() -> None:
    """The venue found our time wrong: it is looked at at once."""
    desk = Desk(clock_skew=rule(1.0, Action.PAUSE))
    desk.refused(code="clock_skew")
    assert any(isinstance(event, e.MeasureClock) for event in desk.told)


def test_a_loop_that_stood_still() -> None:
    """Five seconds and not less; a minute of turning ends it."""
    desk = Desk(loop_lag=rule(5.0, cool_down=MINUTE))
    desk.take(desk.breakers.on_lag(e.LoopLagged(timedelta(seconds=4.999), after(0))))
    assert desk.level() is Level.ACTIVE
    desk.take(desk.breakers.on_lag(e.LoopLagged(timedelta(seconds=5), after(0))))
    assert desk.level() is Level.REDUCING
    desk.wait(60)
    assert desk.level() is Level.REDUCING
    desk.wait(2)
    assert desk.level() is Level.ACTIVE


# --- prices ----------------------------------------------------------------------------------------------------------


def test_a_bar_ten_times_too_high_waits_alone() -> None:
    """It marks nothing, is real to nobody, and holds its symbol only; the next ordinary bar ends that."""
    desk = Desk(price_spike=SPIKE)
    steady(desk)
    desk.bar(BTC=1000.0, ETH=10.0, USDC=1.0)
    assert desk.account.mark(BTC) == Decimal("101.0")
    assert desk.level(Scope(symbol=BTC)) is Level.PAUSED
    assert "from 101 to 1000" in desk.states.holds()[0].text
    assert (desk.level(), desk.level(Scope(symbol=ETH))) == (Level.ACTIVE, Level.ACTIVE)
    desk.bar(BTC=101.0, ETH=10.0, USDC=1.0)
    assert desk.states.holds() == ()
    assert desk.account.mark(BTC) == Decimal("101.0")


def test_a_price_that_stands_is_taken_in() -> None:
    """The next bar near it confirms it: it marks the account, and its symbol is traded again."""
    desk = Desk(price_spike=SPIKE)
    steady(desk)
    desk.bar(BTC=1000.0, ETH=10.0)
    desk.bar(BTC=1001.0, ETH=10.0)
    assert desk.states.holds() == ()
    assert desk.account.mark(BTC) == Decimal("1001.0")


def test_a_price_of_another_coin_waits_for_a_person() -> None:
    """A thousand times the price, for however long, marks nothing and halts its symbol alone; a person's word makes it the price."""
    desk = Desk(price_spike=SPIKE)
    steady(desk)
    for _ in range(5):
        desk.bar(BTC=100_000.0, ETH=10.0, USDC=1.0)
    assert desk.account.mark(BTC) == Decimal("101.0")
    assert (desk.level(Scope(symbol=BTC)), desk.level(Scope(symbol=ETH)), desk.level()) == (Level.HALTED, Level.ACTIVE, Level.ACTIVE)
    (hold,) = (hold for hold in desk.states.holds() if hold.code == REDENOMINATED)
    assert "100000 after 101" in hold.text
    assert "`rebalanced resume BTC/USDT`" in hold.text
    for code in ("price_spike", REDENOMINATED):
        desk.lift(code, Scope(symbol=BTC))
    desk.bar(BTC=100_100.0, ETH=10.0, USDC=1.0)
    assert desk.account.mark(BTC) == Decimal("100100.0")
    assert desk.states.holds() == ()


def test_what_a_person_has_agreed_to_is_not_asked_again_after_a_restart() -> None:
    """Fed the same bars, another process believes them from the close on at which the first was told to; without that word it does not."""
    first = Desk(price_spike=SPIKE)
    steady(first)
    for _ in range(3):
        first.bar(BTC=100_000.0, ETH=10.0, USDC=1.0)
    first.lift(REDENOMINATED, Scope(symbol=BTC))
    (kept,) = (event for event in first.told if isinstance(event, e.KeepState) and event.key == AGREED)
    for value, holds in ((kept.text, []), (None, ["redenominated", "price_spike"])):
        again = Desk(price_spike=SPIKE)
        again.breakers.restore(value)
        again.breakers.warm(first.slices)
        again.at = first.at
        again.bar(BTC=100_000.0, ETH=10.0, USDC=1.0)
        assert [hold.code for hold in again.states.holds()] == holds


def test_a_halt_for_another_coin_outlasts_a_price_that_comes_back() -> None:
    """Somebody must look, even where it seems to have been a mistake."""
    desk = Desk(price_spike=SPIKE)
    steady(desk)
    for close in (100_000.0, 100_000.0, 101.0, 101.0):
        desk.bar(BTC=close, ETH=10.0, USDC=1.0)
    assert [hold.code for hold in desk.states.holds()] == [REDENOMINATED]


def test_a_tick_ten_times_too_high_marks_nothing() -> None:
    """A single tick holds its symbol until a good one comes; what is within reach marks as ever."""
    desk = Desk(price_spike=SPIKE)
    steady(desk)
    desk.tick(BTC, 110.0)
    assert desk.account.mark(BTC) == Decimal("110.0")
    desk.tick(BTC, 1000.0)
    assert desk.account.mark(BTC) == Decimal("110.0")
    assert desk.level(Scope(symbol=BTC)) is Level.PAUSED
    desk.tick(BTC, 108.0)
    assert desk.account.mark(BTC) == Decimal("108.0")
    assert desk.states.holds() == ()


def test_a_person_confirms_a_price() -> None:
    """Resumed by hand, the price that waited is the truth from then on."""
    desk = Desk(price_spike=SPIKE)
    steady(desk)
    desk.bar(BTC=1000.0, ETH=10.0, USDC=1.0)
    desk.lift("price_spike", Scope(symbol=BTC))
    desk.tick(BTC, 990.0)
    assert desk.account.mark(BTC) == Decimal("990.0")
    assert desk.states.holds() == ()


def test_a_hold_of_an_earlier_process_ends_with_its_cause() -> None:
    """After a restart the history says that nothing waits, and the first slice lifts what the journal had."""
    desk = Desk(price_spike=SPIKE)
    steady(desk)
    desk.states.place(Hold(scope=Scope(symbol=ETH), level=Level.PAUSED, code="price_spike", text="old", since=after(0)))
    desk.bar(BTC=100.0, ETH=10.0, USDC=1.0)
    assert desk.states.holds() == ()


def test_a_symbol_that_waits_is_missing_to_the_strategies() -> None:
    """A slice says which of its bars are real; coverage counts those alone."""
    desk = Desk(price_spike=SPIKE)
    steady(desk)
    row = np.array([1000.0, 10.0, 1.0])
    closed = desk.breakers.judged(Slice(after(desk.at + 60), SYMBOLS, np.tile(row, (5, 1)), np.zeros(3, bool), np.zeros(3, np.int64)))
    assert closed.real.tolist() == [False, True, True]
    assert closed.coverage == pytest.approx(2 / 3)
    assert closed.close.tolist() == row.tolist(), "indicators see what came"
