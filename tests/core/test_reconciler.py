"""The reconciler: agreement, trades, flows and drift told apart; absence is not zero."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise

import pytest

from daemon.core.events import (
    AccountPolled,
    AccountReconciled,
    BalanceMoved,
    BookFlows,
    CancelOrder,
    DriftCleared,
    DriftFound,
    Event,
    FlowBooked,
    HoldPlaced,
    OrderFilled,
    OrderRecalled,
    PollAccount,
    QueryTrades,
    RecallOrder,
    TimePassed,
    TradesListed,
)
from daemon.core.ledger import Ledger
from daemon.core.model import AccountSnapshot, Balance, Fill, Flow, OrderReport, Side, currencies
from daemon.core.ordertable import OrderTable, State
from daemon.core.reconciler import Foreign, PositionReconciler
from tests.core.builders import after, fill, order, report


class Office:
    """A reconciler whose questions are answered: trades are listed, flows are booked, polls come every three seconds."""

    symbols: tuple[str, ...] = ("BTC/USDT", "ETH/USDT")
    open_orders: tuple[OrderReport, ...] = ()

    def __init__(self, *, open_account: bool = True, foreign: Foreign = Foreign.RINGFENCE) -> None:
        self.ledger, self.table = Ledger(), OrderTable()
        self.reconciler = PositionReconciler(self.symbols, self.ledger, self.table, foreign=foreign)
        self.at = 0.0
        self.balances = {"USDT": Decimal(1000), "BTC": Decimal(1), "ETH": Decimal(0), "DOGE": Decimal(7)}
        self.trades: list[Fill] = []
        self.answers = True
        self.remembers: bool | None = True  # whether the venue still knows our orders; None: it does not answer
        self.out: list[Event] = []
        if open_account:
            self.poll()
            self.poll()

    def take(self, events: Iterable[Event]) -> None:
        for event in list(events):
            self.out.append(event)
            match event:
                case BookFlows():
                    for flow in event.flows:
                        self.ledger.flow(flow)
                        self.take(self.reconciler.on_flow(FlowBooked(flow, after(self.at))))
                case QueryTrades() if self.answers:
                    for trade in self.trades:
                        if trade.symbol in event.symbols and not self.ledger.has_trade(trade.symbol, trade.trade_id):
                            self.filled(trade)
                    self.take(self.reconciler.on_listed(TradesListed(event.symbols, event.since, after(self.at))))
                case RecallOrder() if self.remembers is not None:
                    asked = after(self.at)
                    self.take(self.reconciler.on_recalled(OrderRecalled(event.fill.order_id, self.remembers, asked, asked)))
                case _:
                    pass

    def filled(self, trade: Fill) -> None:
        self.ledger.book(trade, ours=bool(trade.order_id))
        self.take(self.reconciler.on_fill(OrderFilled(trade, after(self.at))))

    def poll(self, took: float = 0.0, /, **shown: str) -> None:
        """A poll that took so many seconds, with some balances shown otherwise than they are."""
        self.at += 3
        asked_at, self.at = self.at, self.at + took
        balances = {c: Balance(amount, Decimal(0)) for c, amount in self.balances.items()}
        balances.update({c: Balance(Decimal(amount), Decimal(0)) for c, amount in shown.items()})
        snapshot = AccountSnapshot(balances, self.open_orders, after(asked_at), after(self.at))
        self.take(self.reconciler.on_polled(AccountPolled(snapshot, after(self.at))))

    def polls(self, count: int, **shown: str) -> None:
        for _ in range(count):
            self.poll(**shown)

    def trade(self, symbol: str = "BTC/USDT", side: Side = Side.BUY, amount: str = "0.5", *, told: bool = True) -> Fill:
        """A trade happens at the venue; `told`: we hear of it."""
        made = fill(order(f"r{self.at}", symbol, side, amount), trade_id=f"t{self.at}", at=after(self.at))
        base, quote = currencies(symbol)
        self.balances[base] += side.sign * made.amount
        self.balances[quote] -= side.sign * made.cost
        self.trades.append(made)
        if told:
            self.filled(made)
        return made

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.out if isinstance(event, kind)]

    def flows(self) -> list[Flow]:
        return [flow for event in self.out if isinstance(event, BookFlows) for flow in event.flows if flow.kind != "opening"]

    @property
    def agreed(self) -> bool:
        return all(self.ledger.held(c) == self.balances.get(c, 0) for c in ("USDT", "BTC", "ETH"))


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


def test_a_transfer_before_the_opening_is_part_of_it() -> None:
    """The stream tells of a deposit while the first poll is under way: the opening balance contains it, nothing is booked twice."""
    office = Office(open_account=False)
    office.take(office.reconciler.on_moved(BalanceMoved("USDT", Decimal(50), "m1", after(0))))
    office.polls(2)
    assert office.flows() == []
    assert office.agreed


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
