"""The reconciler: agreement, trades, flows and drift told apart; absence is not zero."""

from decimal import Decimal
from itertools import pairwise

import pytest

from daemon.core.events import (
    AccountPolled,
    AccountReconciled,
    BalanceMoved,
    CancelOrder,
    DriftCleared,
    DriftFound,
    HoldPlaced,
    PollAccount,
    QueryTrades,
    TimePassed,
    TradesListed,
)
from daemon.core.ledger import Ledger
from daemon.core.model import AccountSnapshot, Balance
from daemon.core.ordertable import OrderTable, State
from daemon.core.reconciler import PositionReconciler
from tests.core.builders import after, order, report
from tests.core.office import Office


def test_a_difference_that_changes_is_another_one() -> None:
    """What is more or less at each look has not stood: nothing is booked until it does."""
    office = Office()
    for lost in range(1, 20):
        office.poll(USDT=str(1000 - lost))
    assert office.flows() == []
    office.polls(5, USDT="981")
    assert [flow.amount for flow in office.flows()] == [-19]


def test_only_the_trades_that_were_asked_for_answer() -> None:
    """A listing of another market explains nothing and excuses nothing."""
    office = Office()
    office.answers = False
    for _ in range(20):
        office.poll(BTC="2")
        office.take(office.reconciler.on_listed(TradesListed(("ETH/USDT",), after(0), after(office.at))))
    assert office.flows() == []
    office.answers = True
    office.polls(4, BTC="2")
    assert [flow.currency for flow in office.flows()] == ["BTC"]


def test_polls_side_by_side_are_one_look() -> None:
    """What was read twice within a second was read once."""
    office = Office(open_account=False)
    for _ in range(5):
        office.at -= 2.9
        office.poll()
    assert not office.ledger.opened


def test_what_is_in_no_universe_is_ringfenced() -> None:
    """It is known from the first poll on, follows every poll that is believed, and a poll that shows nothing of ours says nothing of it."""
    office = Office()
    assert office.reconciler.ringfenced == {"DOGE": Decimal(7)}
    office.poll(DOGE="9", SHIB="1", PEPE="0")
    assert office.reconciler.ringfenced == {"DOGE": Decimal(9), "SHIB": Decimal(1)}
    office.poll(USDT="0", BTC="0", DOGE="0")
    assert office.reconciler.ringfenced == {"DOGE": Decimal(9), "SHIB": Decimal(1)}
    office.polls(10)
    assert office.flows() == []


@pytest.mark.parametrize("currency", ["USDT", "BTC", "ETH"])
@pytest.mark.parametrize("amount", ["120", "-0.3"])
def test_a_deposit_or_withdrawal_is_booked_once(currency: str, amount: str) -> None:
    """No trade explains it, it stands: drift for a moment, then one flow, and the drift is cleared."""
    office = Office()
    office.balances[currency] += Decimal(amount)
    office.polls(6)
    assert [(f.currency, f.amount) for f in office.flows()] == [(currency, Decimal(amount))]
    assert office.agreed
    assert len(office.of(DriftFound)) == len(office.of(DriftCleared)) == 1


@pytest.mark.parametrize("currency", ["BTC", "USDT"])
def test_a_holding_that_some_answers_leave_out_is_not_booked_as_gone(currency: str) -> None:
    """A currency that is wholly missing from answers for less than half a minute costs nothing but a hold; one that stays away is gone."""
    office = Office()
    office.polls(8, **{currency: "0"})
    assert office.flows() == []
    office.polls(2)
    assert office.agreed
    office.balances[currency] = Decimal(0)
    office.polls(14)
    assert [flow.kind for flow in office.flows()] == ["unexplained"]
    assert office.agreed


def test_a_transfer_that_the_stream_tells_is_booked_at_once() -> None:
    """No suspicion, no drift."""
    office = Office()
    office.balances["USDT"] += 100
    office.take(office.reconciler.on_moved(BalanceMoved("USDT", Decimal(100), "m1", after(office.at))))
    office.polls(5)
    assert len(office.flows()) == 1
    assert office.of(DriftFound) == []


def test_a_trade_nobody_told_of_is_found_and_no_flow() -> None:
    """A manual trade, or a fill that the stream lost: the listing explains the difference in both currencies."""
    office = Office()
    office.trade(told=False)
    office.polls(5)
    assert office.flows() == []
    assert office.of(DriftFound) == []
    assert office.agreed


@pytest.mark.parametrize("lag_s", [3, 6, 12, 24])
@pytest.mark.parametrize("stale", [("BTC",), ("USDT",), ("BTC", "USDT")])
def test_balances_that_lag_behind_our_trades_are_no_flow(lag_s: int, stale: tuple[str, ...]) -> None:
    """For as long as venues lag, all or part of the balances, an old balance after a trade is not a withdrawal."""
    office = Office()
    office.polls(20)
    before = {c: str(office.balances[c]) for c in stale}
    office.trade()
    office.polls(lag_s // 3, **before)
    office.polls(5)
    assert office.flows() == []
    assert office.of(DriftFound) == []
    assert office.agreed


def test_a_balance_from_before_our_own_trade_is_old_and_no_flow() -> None:
    """A venue that shows for minutes what was held before a trade, to the digit, has not caught up; after five minutes it is believed."""
    office = Office()
    before = str(office.balances["BTC"])
    office.trade()
    office.polls(5)
    assert office.agreed
    office.polls(90, BTC=before)
    assert office.flows() == []
    assert len(office.of(DriftFound)) == 1
    office.polls(10, BTC=before)
    assert [(flow.currency, flow.amount) for flow in office.flows()] == [("BTC", Decimal("-0.5"))]


def test_a_deposit_on_a_busy_account_is_booked_too() -> None:
    """Trades every twelve seconds for ever leave no calm half minute; a difference that never changes is believed all the same."""
    office = Office()
    office.balances["USDT"] += 500
    for _ in range(6):
        office.trade(amount="0.01")
        office.polls(4)
    assert [f.amount for f in office.flows()] == [Decimal(500)]
    assert office.agreed


def test_nothing_is_concluded_while_orders_move() -> None:
    """A difference with an order of ours under way is its trade, most likely: no listing, no drift, no flow."""
    office = Office()
    office.table.add(order(at=after(office.at))).state = State.SENT
    office.polls(20, BTC="1.5")
    assert [*office.of(QueryTrades), *office.of(DriftFound), *office.flows()] == []


def test_a_deposit_while_an_order_is_in_doubt_is_booked() -> None:
    """Base agrees, so the order has not filled: the quote that came is a flow, and the doubt can end."""
    office = Office()
    tracked = office.table.add(order(at=after(office.at)))
    tracked.state, tracked.absences = State.UNKNOWN, [after(1), after(2), after(3)]
    office.balances["USDT"] += 100
    office.polls(20)
    assert [f.amount for f in office.flows()] == [Decimal(100)]


def test_what_an_order_in_doubt_may_have_done_is_never_booked_as_a_flow() -> None:
    """More base and less quote, an unknown buy, and trades that cannot be read: drift for a person to see, but no flow, however long."""
    office = Office()
    tracked = office.table.add(order(at=after(office.at)))
    tracked.state, tracked.absences = State.UNKNOWN, [after(1), after(2), after(3)]
    made = office.trade(told=False)
    office.trades.clear()
    office.polls(100)
    assert office.flows() == []
    assert {(event.currency, event.order_id) for event in office.out if isinstance(event, DriftFound)} == {("BTC", "r0"), ("USDT", "r0")}
    (*_, last) = [event for event in office.out if isinstance(event, AccountReconciled)]
    assert last.differences.keys() == last.held  # nothing else need wait
    office.trades.append(made)
    office.filled(made)
    office.polls(2)
    assert len(office.of(DriftCleared)) == 2


def test_a_difference_is_held_up_by_an_order_in_doubt_only_once_it_has_run_its_course() -> None:
    """While trades are being read, and for what no order in doubt can have made, agreement is waited for."""
    office = Office()
    tracked = office.table.add(order(at=after(office.at)))
    tracked.state, tracked.absences = State.UNKNOWN, [after(1), after(2), after(3)]
    office.trade(told=False)
    office.trades.clear()
    office.polls(1)
    office.balances["ETH"] += 1
    office.polls(10)
    held = [event.held for event in office.out if isinstance(event, AccountReconciled) and event.differences]
    assert held[0] == frozenset()
    assert held[-1] == {"BTC", "USDT"}
    assert [flow.currency for flow in office.flows()] == ["ETH"]


def test_trades_that_cannot_be_read_prove_nothing() -> None:
    """While listings fail, a difference stays a suspicion; once they answer, it takes its course."""
    office = Office()
    office.answers = False
    office.balances["BTC"] += 1
    office.polls(20)
    assert [*office.of(DriftFound), *office.flows()] == []
    office.answers = True
    office.polls(5)
    assert len(office.flows()) == 1


def test_a_poll_that_began_before_the_trades_were_read_says_nothing() -> None:
    """A slow poll is not a second opinion."""
    office = Office()
    office.balances["BTC"] += 1
    office.poll()
    suspicion = office.reconciler._suspicions["BTC"]
    suspicion.read_at = after(office.at + 60)
    office.polls(10)
    assert office.of(DriftFound) == []


def test_an_account_that_shows_nothing_at_all_is_not_believed() -> None:
    """All zero, or nothing listed: no flow, no drift; a person is called if it stays so, and all is well if it does not."""
    office = Office()
    for shown in ({"USDT": "0", "BTC": "0"}, {}):
        held, office.balances = office.balances, dict.fromkeys(office.balances, Decimal(0)) if not shown else office.balances
        office.polls(5, **shown)
        office.balances = held
        office.poll()
    assert [*office.flows(), *office.of(DriftFound), *office.of(HoldPlaced)] == []
    office.polls(30, USDT="0", BTC="0")
    assert len(office.of(HoldPlaced)) == 1
    assert office.flows() == []


def test_a_difference_is_polled_again_soon_and_ever_more_calmly() -> None:
    """Three seconds after the first sight; a drift that stays does not poll for ever at that pace."""
    office = Office()
    office.answers = False
    office.balances["BTC"] += 1
    moments = []
    office.poll()
    for n in range(1200):
        office.at += 0.5
        asked = list(office.reconciler.on_time(TimePassed(after(office.at))))
        if any(isinstance(event, PollAccount) for event in asked):
            moments.append(n / 2)
            office.at -= 3
            office.poll()
    gaps = [b - a for a, b in pairwise(moments)]
    assert moments[0] <= 3.5
    assert max(gaps) <= 31
    assert len(moments) < 40


def test_a_difference_on_a_busy_account_is_looked_at_between_its_orders() -> None:
    """Orders every ten seconds, each followed by a poll: that one finds the account busy, and must not put off the one that would not."""
    office = Office()
    office.answers = False
    office.balances["BTC"] += 1
    office.polls(20)
    office.answers = True
    for n in range(120):
        office.at += 0.5
        if n % 20 == 0:
            office.table.touch(after(office.at))
        asked = any(isinstance(event, PollAccount) for event in office.reconciler.on_time(TimePassed(after(office.at))))
        if asked or n % 20 == 1:
            office.at -= 3
            office.poll()
    assert office.agreed


def test_trades_are_read_from_before_the_last_agreement() -> None:
    """What was missed happened after the account last agreed; some minutes more allow for clocks."""
    office = Office()
    agreed_at = office.at
    office.balances["BTC"] += 1
    office.poll()
    (asked,) = office.of(QueryTrades)
    assert isinstance(asked, QueryTrades)
    assert asked.symbols == ("BTC/USDT",)
    assert asked.since < after(agreed_at)


def test_an_open_order_of_ours_that_nobody_knows_is_cancelled() -> None:
    """An id of this instance that the table does not know is asked to be cancelled at every poll; a known one and others' never."""
    table = OrderTable()
    table.add(order("rmine-known"))
    reconciler = PositionReconciler(("BTC/USDT",), Ledger(), table, ours="rmine")
    listed = tuple(report(order(name)) for name in ("rmine-known", "rmine-lost", "rother-1", "by-hand"))
    snapshot = AccountSnapshot({"USDT": Balance(Decimal(1), Decimal(0))}, listed, after(1), after(1))
    for _ in range(2):
        told = list(reconciler.on_polled(AccountPolled(snapshot, after(1))))
        assert [event.order_id for event in told if isinstance(event, CancelOrder)] == ["rmine-lost"]
    nameless = PositionReconciler(("BTC/USDT",), Ledger(), table)
    assert not any(isinstance(event, CancelOrder) for event in nameless.on_polled(AccountPolled(snapshot, after(1))))
