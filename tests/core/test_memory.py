"""Whether the venue still knows us: one that was reset is told from one that lags, fails, or has had a deposit."""

from decimal import Decimal

from daemon.core.events import HoldLifted, HoldPlaced
from daemon.core.memory import FORGOT
from daemon.core.states import ACCOUNT
from tests.core.builders import after, fill, order
from tests.core.office import Office


def known_trade(office: Office) -> None:
    """An order of ours trades, and ends."""
    tracked = office.table.add(order("r-mine", at=after(office.at)))
    made = fill(tracked.order, "0.5", trade_id="t-mine", at=after(office.at))
    office.balances["BTC"] += made.amount
    office.balances["USDT"] -= made.cost
    office.trades.append(made)
    office.filled(made)
    office.table.close(tracked)
    office.polls(15)
    assert office.agreed


def test_a_venue_that_has_forgotten_our_orders_halts_and_nothing_is_booked() -> None:
    """Its account differs, and it denies the newest order that traded, twice, half a minute apart: a person must say what holds."""
    office = Office()
    known_trade(office)
    office.remembers = False
    office.balances = {"USDT": Decimal(500), "BTC": Decimal(9), "ETH": Decimal(0)}
    office.polls(8)
    assert office.of(HoldPlaced) == []
    office.polls(30)
    (halt,) = office.of(HoldPlaced)
    assert isinstance(halt, HoldPlaced)
    assert halt.hold.code == FORGOT
    assert "`rebalanced journal rebase`" in halt.hold.text
    assert office.flows() == []


def test_a_person_who_resumes_without_rebasing_is_told_again() -> None:
    """The exchange has not remembered anything by that."""
    office = Office()
    known_trade(office)
    office.remembers = False
    office.balances["USDT"] += 77
    office.polls(40)
    office.take(office.reconciler.on_lifted(HoldLifted(ACCOUNT, FORGOT, "ann", after(office.at))))
    office.polls(40)
    assert len(office.of(HoldPlaced)) == 2


def test_one_denial_is_no_proof_and_an_answer_that_fails_is_none() -> None:
    """What is different is booked as soon as the venue knows us, and not while it does not say."""
    office = Office()
    known_trade(office)
    office.remembers = False
    office.balances["USDT"] += 77
    office.polls(4)
    office.remembers = None
    office.polls(40)
    assert office.flows() == []
    office.remembers = True
    office.polls(20)
    assert [flow.amount for flow in office.flows()] == [77]
    assert office.of(HoldPlaced) == []
