"""What is not ours in the account: adopted, kept apart, or a reason to ask a person."""

from datetime import timedelta
from decimal import Decimal

import pytest

from daemon.core.account import Account
from daemon.core.events import AccountPolled, DriftCleared, HoldLifted, HoldPlaced
from daemon.core.ledger import OPENING, RINGFENCED, Ledger
from daemon.core.model import AccountSnapshot, Balance, Flow
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import UNASSIGNED, Portfolio
from daemon.core.reconciler import OTHERS, UNEXPLAINED, Foreign
from daemon.core.sleeves import Sleeves
from daemon.core.states import ACCOUNT, States
from tests.core.builders import after, market, order, report
from tests.core.office import Office

KINDS = {
    (Foreign.ADOPT, "BTC", 1): "unexplained",
    (Foreign.ADOPT, "USDT", 1): "unexplained",
    (Foreign.RINGFENCE, "BTC", 1): RINGFENCED,
    (Foreign.RINGFENCE, "USDT", 1): "unexplained",
    (Foreign.RINGFENCE, "BTC", -1): "unexplained",
}


@pytest.mark.parametrize(("foreign", "currency", "sign"), KINDS)
def test_what_nothing_explains_is_booked_as_the_policy_says(foreign: Foreign, currency: str, sign: int) -> None:
    """Coins that came are kept apart where they are to be; money, and whatever is missing, is a flow in any case; the drift is over."""
    office = Office(foreign=foreign)
    office.balances[currency] += sign * Decimal("0.25")
    office.polls(6)
    assert [(flow.kind, flow.amount) for flow in office.flows()] == [(KINDS[foreign, currency, sign], sign * Decimal("0.25"))]
    assert office.agreed
    assert len(office.of(DriftCleared)) == 1


def test_a_person_is_asked_and_resuming_accepts() -> None:
    """With halt nothing is booked, and trading halts once; after `resume` what stands is a flow, and the next one halts again."""
    office = Office(foreign=Foreign.HALT)
    office.balances["BTC"] += 1
    office.polls(30)
    (halt,) = office.of(HoldPlaced)
    assert isinstance(halt, HoldPlaced)
    assert halt.hold.code == UNEXPLAINED
    assert "1 BTC more" in halt.hold.text
    assert office.flows() == []
    office.take(office.reconciler.on_lifted(HoldLifted(ACCOUNT, UNEXPLAINED, "ann", after(office.at))))
    office.polls(30)
    assert [flow.amount for flow in office.flows()] == [1]
    assert office.agreed
    office.balances["BTC"] += 2
    office.polls(30)
    assert len(office.of(HoldPlaced)) == 2


def test_a_difference_that_is_gone_again_is_no_difference() -> None:
    """What a later quiet poll does not show any more is cleared, and trading was never told otherwise."""
    office = Office(foreign=Foreign.HALT)
    office.poll(BTC="3")
    office.poll(BTC="3")
    office.polls(3)
    assert len(office.of(DriftCleared)) == 1
    assert [*office.flows(), *office.of(HoldPlaced)] == []


@pytest.mark.parametrize(("foreign", "halts"), [(Foreign.HALT, 1), (Foreign.RINGFENCE, 0), (Foreign.ADOPT, 0)])
def test_orders_of_other_hands_halt_where_a_person_wants_to_know(foreign: Foreign, halts: int) -> None:
    """Once for what stands there, and not again for the same after somebody has resumed."""
    office = Office(foreign=foreign)
    listed = (report(order("by-hand")),)
    for moment in (100, 103):
        snapshot = AccountSnapshot({c: Balance(a, Decimal(0)) for c, a in office.balances.items()}, listed, after(moment), after(moment))
        office.take(office.reconciler.on_polled(AccountPolled(snapshot, after(moment))))
        office.take(office.reconciler.on_lifted(HoldLifted(ACCOUNT, OTHERS, "ann", after(moment))))
    assert [event.hold.code for event in office.out if isinstance(event, HoldPlaced)] == [OTHERS] * halts


def test_ringfenced_coins_are_counted_and_not_traded() -> None:
    """They are in ledger and equity, but nothing is sold of them or sized by them; whoever takes some takes these first."""
    ledger, table, states = Ledger(), OrderTable(), States()
    account = Account("USDT", ledger, table, timedelta(seconds=15))
    account.markets = {"BTC/USDT": market("BTC/USDT")}
    portfolio = Portfolio(("momo",), ledger, table)
    Sleeves(portfolio, account, table, states)
    for flow_id, currency, amount, kind in (("1", "USDT", 1000, OPENING), ("2", "BTC", 2, OPENING), ("3", "BTC", 3, RINGFENCED)):
        portfolio.flow(Flow(flow_id, currency, Decimal(amount), kind, after(0)))
    account.mark_at("BTC/USDT", 100.0, after(1))
    book = account.book({"BTC/USDT": 0.0}, {}, after(1))
    assert (account.equity(), book.equity, book.free["BTC/USDT"]) == (Decimal(1500), Decimal(1200), Decimal(2))
    portfolio.flow(Flow("4", "BTC", Decimal(-1), "unexplained", after(2)))
    assert (portfolio.held(UNASSIGNED, "BTC"), account.traded("BTC/USDT")) == (Decimal(4), Decimal(2))
    Sleeves(portfolio, account, table, states, fenced=False)
    assert account.traded("BTC/USDT") == 4
