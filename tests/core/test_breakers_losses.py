"""Drawdown and daily loss: over marked equity, whatever is paid in or out, through restarts, and anew once a person has resumed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core import events as e
from daemon.core.breakers import Action
from daemon.core.curves import KEY
from daemon.core.model import Flow
from daemon.core.states import ACCOUNT, Hold, Level
from tests.core.breakerdesk import BTC, SPIKE, Desk, rule
from tests.core.builders import START, after

HALT = rule(0.25, Action.HALT)


class Fund(Desk):
    """A desk that holds 10 BTC at 100, and no cash to speak of."""

    def __init__(self, **rules: Any) -> None:
        super().__init__(**rules)
        self.flow("USDT", "-1000")
        self.flow("BTC", "10", "coins")
        self.bar(BTC=100.0, ETH=10.0)

    def price(self, price: float) -> None:
        self.bar(BTC=price, ETH=10.0)

    def kept(self) -> str:
        """What the journal has of the curve after a kill: the last that was told."""
        return [event.text for event in self.told if isinstance(event, e.KeepState) and event.key == KEY][-1]


def test_a_fall_from_the_highest_value() -> None:
    """Marked, not in cash: a quarter below the highest close halts, and a hair less does not."""
    fund = Fund(drawdown=HALT)
    fund.price(200.0)
    fund.price(150.01)
    assert fund.level() is Level.ACTIVE
    fund.price(150.0)
    assert fund.level() is Level.HALTED
    (hold,) = fund.states.holds()
    assert (hold.code, hold.text) == ("drawdown", "the account is 25.00% below its highest value; the limit is 25.00%")


def test_a_fall_between_two_bars_counts() -> None:
    """Bars may be a day long: a price in between trips within a second, and raises no high-water mark."""
    fund = Fund(drawdown=HALT)
    fund.tick(BTC, 130.0)
    fund.wait(1)
    fund.tick(BTC, 80.0)
    fund.wait(1)
    assert fund.level() is Level.ACTIVE, "a fifth below the close, whatever was told between"
    fund.tick(BTC, 75.0)
    fund.wait(1)
    assert fund.level() is Level.HALTED


def test_a_restart_knows_the_high_water_mark() -> None:
    """Killed after the fall began, the next process judges by the same mark."""
    fund = Fund(drawdown=HALT)
    fund.price(200.0)
    again = Fund(drawdown=HALT)
    again.curves.restore(fund.kept(), flows(again), ())
    again.price(151.0)
    assert again.level() is Level.ACTIVE
    again.price(149.0)
    assert again.level() is Level.HALTED


def flows(desk: Desk) -> list[Flow]:
    """As many flows as the ledger has."""
    return [Flow(f"f{n}", "USDT", Decimal(0), "transfer", START) for n in range(desk.ledger.flows)]


def test_a_flow_that_was_booked_before_the_kill_and_not_kept() -> None:
    """A withdrawal of nine tenths that the journal has and the kept curve has not is no loss after the restart, and no gain hides one."""
    fund = Fund(drawdown=HALT)
    fund.price(200.0)
    kept, known = fund.kept(), flows(fund)
    again = Fund(drawdown=HALT)
    taken = Flow("taken", "BTC", Decimal(-9), "transfer", after(again.at))
    again.ledger.flow(taken)
    again.curves.restore(kept, [*known, taken], ())
    again.price(199.0)
    assert again.level() is Level.ACTIVE
    again.price(150.0)
    assert again.level() is Level.HALTED


@given(
    steps=st.lists(
        st.tuples(st.floats(0.76, 1.3), st.sampled_from(["USDT", "BTC", ""]), st.decimals("0.001", 1_000_000, places=3), st.booleans()),
        max_size=30,
    )
)
@settings(max_examples=100, deadline=None)
def test_no_deposit_and_no_withdrawal_trips_anything(steps: list[tuple[float, str, Decimal, bool]]) -> None:
    """Money of any size that comes and goes, in coin or quote, while prices only rise, is neither a drawdown nor a daily loss."""
    fund = Fund(drawdown=rule(0.0001, Action.HALT), daily_loss=rule(0.0001, Action.HALT))
    price = 100.0
    for move, currency, amount, leaves in steps:
        if currency:
            signed = max(-amount, -fund.ledger.held(currency)) if leaves else amount
            fund.flow(currency, str(signed))
            fund.wait(1)
        price *= max(move, 1.0)
        fund.price(price)
        fund.tick(BTC, price)
        fund.wait(1)
        price = min(price, 1e9)
    assert fund.states.holds() == ()


@given(before=st.decimals("0.1", 1_000_000, places=1), coins=st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_deposit_hides_no_loss(before: Decimal, coins: bool) -> None:
    """Whatever was paid in on the way down, the fall of a quarter trips at the same price, where all of it is in coins."""
    fund = Fund(drawdown=HALT)
    fund.price(80.0)
    fund.flow("BTC", str(before if coins else Decimal(0)))
    fund.price(75.1)
    assert fund.level() is Level.ACTIVE
    fund.price(74.9)
    assert fund.level() is Level.HALTED


def test_a_person_who_resumes_sets_a_new_mark() -> None:
    """After the halt is lifted the same prices do not halt again, and a quarter below where it was resumed does."""
    fund = Fund(drawdown=HALT)
    fund.price(70.0)
    assert fund.level() is Level.HALTED
    fund.lift("drawdown")
    fund.price(70.0)
    fund.price(53.0)
    assert fund.level() is Level.ACTIVE
    again = Fund(drawdown=HALT)
    again.curves.restore(fund.kept(), flows(again), ())
    again.price(52.4)
    assert again.level() is Level.HALTED, "the new mark survives a kill too"


def test_what_was_kept_at_the_resume_is_the_new_mark() -> None:
    """The new mark is told to the journal at once: a kill right after the resume does not bring the old one back."""
    fund = Fund(drawdown=HALT)
    fund.price(70.0)
    fund.lift("drawdown")
    again = Fund(drawdown=HALT)
    again.curves.restore(fund.kept(), flows(again), ())
    again.price(70.0)
    assert again.level() is Level.ACTIVE


@pytest.mark.parametrize("action", [Action.REDUCE, Action.PAUSE])
def test_a_fall_that_is_made_good_ends_what_it_reduced(action: Action) -> None:
    """Recovered for the whole cool-down, trading goes on by itself."""
    fund = Fund(drawdown=rule(0.25, action, timedelta(minutes=3)))
    fund.price(75.0)
    assert fund.level() is action.level
    for _ in range(3):
        fund.price(80.0)
        assert fund.level() is action.level
    fund.price(80.0)
    assert fund.level() is Level.ACTIVE


# --- the day ---------------------------------------------------------------------------------------------------------


def at_hour(fund: Fund, hour: float, price: float) -> None:
    """The bar that closes so many hours after the first midnight."""
    fund.bar(seconds=hour * 3600.0 - fund.at, BTC=price, ETH=10.0)


def test_the_day_begins_at_midnight_utc() -> None:
    """What closes at midnight is the day's last value; the next day is judged from there, whatever yesterday's peak was."""
    fund = Fund(daily_loss=rule(0.10, Action.HALT))
    at_hour(fund, 20, 200.0)
    at_hour(fund, 24, 110.0)
    at_hour(fund, 25, 99.1)
    assert fund.level() is Level.ACTIVE
    at_hour(fund, 26, 99.0)
    assert fund.level() is Level.HALTED
    assert "10.00% since the day began, UTC" in fund.states.holds()[0].text


def test_before_the_first_bar_of_a_day_yesterday_counts() -> None:
    """On daily bars a price after midnight is judged against the close at midnight, not against the day before."""
    fund = Fund(daily_loss=rule(0.10, Action.HALT))
    at_hour(fund, 24, 200.0)
    fund.at += 60
    fund.tick(BTC, 181.0)
    fund.wait(1)
    assert fund.level() is Level.ACTIVE
    fund.tick(BTC, 179.9)
    fund.wait(1)
    assert fund.level() is Level.HALTED


def test_a_new_day_ends_the_reduction() -> None:
    """What was lost yesterday reduces nothing today, once it has been calm for the cool-down."""
    fund = Fund(daily_loss=rule(0.10))
    at_hour(fund, 12, 80.0)
    assert fund.level() is Level.REDUCING
    at_hour(fund, 24, 80.0)
    assert fund.level() is Level.REDUCING
    at_hour(fund, 25, 80.0)
    at_hour(fund, 26, 80.0)
    assert fund.level() is Level.ACTIVE


def test_a_daily_loss_that_a_person_has_accepted() -> None:
    """Resumed by hand it trips on the same day only after another tenth, also where the next bar is the first of the day."""
    fund = Fund(daily_loss=rule(0.10, Action.HALT))
    at_hour(fund, 12, 90.0)
    assert fund.level() is Level.HALTED
    fund.lift("daily_loss")
    at_hour(fund, 13, 82.0)
    assert fund.level() is Level.ACTIVE
    at_hour(fund, 14, 80.9)
    assert fund.level() is Level.HALTED


def test_both_at_once_are_two_holds() -> None:
    """A fall that is too deep for the day and for the account has two codes, and one lifted leaves the other."""
    fund = Fund(drawdown=HALT, daily_loss=rule(0.10, Action.HALT))
    fund.price(50.0)
    assert {hold.code for hold in fund.states.holds()} == {"drawdown", "daily_loss"}
    fund.lift("daily_loss")
    assert fund.level() is Level.HALTED


# --- what is not known -----------------------------------------------------------------------------------------------


def test_what_has_no_price_is_not_judged() -> None:
    """While something that is held has never had a price nobody knows the equity: it is neither lost nor made."""
    fund = Fund(drawdown=HALT, daily_loss=rule(0.1, Action.HALT))
    fund.flow("USDC", "1000000")
    fund.price(1.0)
    fund.tick(BTC, 1.0)
    fund.wait(2)
    assert fund.states.holds() == ()


def test_an_empty_account_is_not_judged() -> None:
    """Without money there is no loss, at the start and after all of it has been withdrawn."""
    fund = Fund(drawdown=HALT)
    fund.flow("BTC", "-10")
    fund.price(1.0)
    fund.tick(BTC, 0.5)
    fund.wait(2)
    fund.flow("USDT", "500")
    fund.price(1.0)
    assert fund.states.holds() == ()


def test_a_price_that_waits_is_no_loss() -> None:
    """A bar of a tenth of the price does not halt an account that would be worth a tenth of itself, unless the next confirms it."""
    fund = Fund(drawdown=HALT, price_spike=SPIKE)
    for _ in range(20):
        fund.price(100.0)
    fund.price(10.0)
    assert fund.level() is Level.ACTIVE
    fund.price(10.0)
    assert fund.level() is Level.HALTED


def test_the_hold_of_a_drawdown_survives_what_is_made_good() -> None:
    """A halt in the journal is in force after a restart whatever the curve says now."""
    fund = Fund(drawdown=HALT)
    fund.states.place(Hold(level=Level.HALTED, code="drawdown", text="x", since=datetime(2026, 1, 1, tzinfo=UTC)))
    fund.price(500.0)
    assert fund.states.level(ACCOUNT) is Level.HALTED
