"""The reconciler at a first start: what the account holds becomes the opening balance, and an answer that is partial does not."""

from decimal import Decimal

import pytest

from daemon.core.events import (
    AccountReconciled,
    BalanceMoved,
    BookFlows,
)
from daemon.core.model import Side
from tests.core.builders import after, order, report
from tests.core.office import Office


def test_two_polls_that_show_the_same_open_the_ledger_and_agree_with_it() -> None:
    """What the account holds of managed currencies is its opening balance, the rest is ring-fenced, and a third poll is not needed."""
    office = Office(open_account=False)
    office.poll()
    assert not office.ledger.opened
    office.poll()
    assert office.agreed
    assert office.ledger.held("DOGE") == 0
    (reconciled,) = office.of(AccountReconciled)
    assert isinstance(reconciled, AccountReconciled)
    assert reconciled.differences == {}


@pytest.mark.parametrize("hidden", [("USDT",), ("BTC",), ("USDT", "BTC")])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_partial_answer_opens_nothing(hidden: tuple[str, ...], times: int) -> None:
    """Polls that leave out what another has shown, or all there is, are not the account, however often they come within half a minute."""
    office = Office(open_account=False)
    if len(hidden) == 1:
        office.poll()
    office.polls(times, **dict.fromkeys(hidden, "0"))
    assert not office.ledger.opened
    office.polls(2)
    assert office.agreed
    assert office.flows() == []


@pytest.mark.parametrize(("side", "hidden"), [(Side.BUY, ("USDT", "BTC", "ETH")), (Side.SELL, ("BTC",))])
def test_an_open_order_shows_what_it_has_locked(side: Side, hidden: tuple[str, ...]) -> None:
    """An account whose balances leave out what somebody's order has locked is opened as such after five minutes, not after half of one."""
    office = Office(open_account=False)
    office.open_orders = (report(order("web-1", "BTC/USDT", side)),)
    office.polls(60, **dict.fromkeys(hidden, "0"))
    assert not office.ledger.opened
    office.polls(2)
    assert office.agreed


@pytest.mark.parametrize(("shown_first", "minutes"), [(False, 0.5), (True, 5)])
def test_an_account_that_stays_empty_is_opened_empty_after_a_while(shown_first: bool, minutes: float) -> None:
    """Nothing at all is believed after half a minute, and after five where a poll had shown that there is something."""
    office = Office(open_account=False)
    nothing = dict.fromkeys(office.balances, "0")
    if shown_first:
        office.poll()
    office.polls(int(minutes * 60 / 3), **nothing)
    assert not office.ledger.opened
    office.polls(2, **nothing)
    assert office.ledger.opened


def test_what_a_poll_shows_stands_from_its_answer_on() -> None:
    """A poll that waited half a minute for its answer has not shown for half a minute that there is nothing: it opens nothing."""
    office = Office(open_account=False)
    office.poll(31, USDT="0", BTC="0")
    office.polls(2, USDT="0", BTC="0")
    assert not office.ledger.opened


def test_an_account_that_holds_nothing_is_opened_too() -> None:
    """After half a minute of nothing, by one flow of nothing; what comes then is a deposit."""
    office = Office(open_account=False)
    office.balances = {"USDT": Decimal(0)}
    office.polls(10)
    assert office.of(BookFlows) == []
    office.polls(2)
    assert len(office.of(BookFlows)) == 1
    office.balances["USDT"] = Decimal(5)
    office.polls(6)
    assert [flow.amount for flow in office.flows()] == [5]


def test_a_transfer_before_the_opening_is_part_of_it() -> None:
    """The stream tells of a deposit while the first poll is under way: the opening balance contains it, nothing is booked twice."""
    office = Office(open_account=False)
    office.take(office.reconciler.on_moved(BalanceMoved("USDT", Decimal(50), "m1", after(0))))
    office.polls(2)
    assert office.flows() == []
    assert office.agreed
