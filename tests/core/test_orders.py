"""The order manager, single cases told step by step; the seeded stories are in test_stories.py."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from daemon.core import events as e
from daemon.core.account import Account
from daemon.core.ledger import Ledger
from daemon.core.model import Flow, Instrument, Money, Order, Side, Status
from daemon.core.ordertable import OrderTable, State, Tracked
from daemon.core.trading import Settings, Trading
from tests.core.builders import after, decision, fill, managing, market, report


class Desk:
    """A manager with money, prices and an open day; requests are collected, answers are given by the test."""

    def __init__(
        self, *markets: Instrument, cash: str = "1000", held: str = "0", settings: Settings | None = None, strategies: tuple[str, ...] = ()
    ) -> None:
        listed = markets or (market("BTC/USDT"), market("ETH/USDT"))
        self.ledger, self.table = Ledger(), OrderTable()
        self.account = Account("USDT", self.ledger, self.table, timedelta(seconds=15))
        self.account.markets = {m.symbol: m for m in listed}
        self.manager = managing(settings or Settings(instance="desk", quote="USDT"), self.account, self.ledger, self.table)
        self.at = 0.0
        for currency, amount in (("USDT", cash), ("BTC", held)):
            self.ledger.flow(Flow(f"opening-{currency}", currency, Decimal(amount), "opening", after(-60)))
        self.out: list[e.Event] = []
        self.prices()
        self.take(self.manager.on_reconciled(e.AccountReconciled({}, after(0), after(0))))

    def take(self, events: Iterable[e.Event]) -> None:
        """Keep what a handler asks for, and carry out what the manager asks of itself."""
        for event in list(events):
            self.out.append(event)
            match event:
                case e.PlanWave():
                    self.take(self.manager.on_plan(event))
                case e.HoldPlaced():
                    self.take(self.manager.on_hold(event))
                case e.TargetsChosen():
                    self.take(self.manager.on_targets(event))
                case e.OrderClosed():
                    self.take(self.manager.on_closed(event))
                case _:
                    pass

    def prices(self, price: float = 100.0) -> None:
        for symbol in self.account.markets:
            self.account.on_tick(e.PriceTicked(symbol, price, after(self.at)))

    def want(self, weights: dict[str, float], name: str = "d1") -> None:
        self.take(self.manager.on_targets(e.TargetsChosen(decision(weights, name, after(self.at)), after(self.at))))

    def wait(self, seconds: float, *, priced: bool = True) -> None:
        end = self.at + seconds
        while self.at < end:
            self.at += 0.5
            if priced:
                self.prices()
            self.take(self.manager.on_time(e.TimePassed(after(self.at))))

    def orders(self) -> list[Order]:
        """All orders submitted so far."""
        return [o for event in self.out if isinstance(event, e.SubmitOrders) for o in event.orders]

    def of(self, kind: type) -> list[e.Event]:
        return [event for event in self.out if isinstance(event, kind)]

    def tracked(self, order: Order) -> Tracked:
        found = self.table.get(order.id)
        assert found is not None
        return found

    def sent(self, order: Order) -> None:
        self.take(self.manager.on_order(e.OrderSent(order.id, after(self.at))))

    def filled(self, order: Order, amount: str | None = None, trade_id: str = "t1") -> None:
        """A trade comes, as the routes bring it: ledger first."""
        trade = fill(order, amount, trade_id=f"{trade_id}-{order.id}", at=after(self.at))
        self.ledger.book(trade)
        self.take(self.manager.on_order(e.OrderFilled(trade, after(self.at))))

    def reported(self, order: Order, status: Status, amount: str) -> None:
        self.take(self.manager.on_order(e.OrderReported(report(order, status, amount), "query", after(self.at))))

    def refused(self, order: Order, code: str) -> None:
        self.take(self.manager.on_order(e.OrderRefused(order.id, code, "no", after(self.at))))

    def unknown(self, order: Order) -> None:
        self.take(self.manager.on_order(e.OrderUnknown(order.id, "time-out", after(self.at))))

    def settled(self) -> e.WaveSettled:
        waves = self.of(e.WaveSettled)
        assert waves, f"no wave has settled: {self.manager.wave}"
        newest = waves[-1]
        assert isinstance(newest, e.WaveSettled)
        return newest


def in_doubt() -> tuple[Desk, Order]:
    """A desk whose only order has had no answer."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    desk.unknown(order)
    return desk, order


def test_a_wave_that_fills_settles_at_once() -> None:
    """The trade that fills the last order also settles the wave, with nothing left to explain."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    desk.filled(order)
    wave = desk.settled()
    assert (wave.sent, wave.filled, wave.refused) == (1, 1, {})
    assert abs(wave.off_target["BTC/USDT"]) < 0.01


def test_buys_wait_for_the_money_of_sells() -> None:
    """A buy that free cash does not pay for goes when the sell's trade has brought its money, not before."""
    desk = Desk(cash="100", held="9")
    desk.want({"ETH/USDT": 0.9})
    (sell,) = desk.orders()
    assert sell.side is Side.SELL
    desk.sent(sell)
    desk.reported(sell, Status.OPEN, "0")
    assert len(desk.orders()) == 1
    desk.filled(sell)
    (_, buy) = desk.orders()
    assert (buy.symbol, buy.side) == ("ETH/USDT", Side.BUY)


def test_a_buy_that_waits_reserves_no_more_for_having_waited() -> None:
    """A price that has risen while a buy waits is counted once, however often the clock looks."""
    desk = Desk(cash="500", held="9")
    desk.want({"ETH/USDT": 0.9})
    (sell,) = desk.orders()
    desk.sent(sell)
    desk.reported(sell, Status.OPEN, "0")
    for _ in range(40):
        desk.at += 0.5
        desk.prices(101.0)
        desk.take(desk.manager.on_time(e.TimePassed(after(desk.at))))
    desk.filled(sell)
    (_, buy) = desk.orders()
    planned = buy.amount * buy.price
    assert planned * Decimal("1.01") < buy.reserve < planned * Decimal("1.03"), "slippage, fee and one per cent"


def test_a_newer_decision_drops_the_waiting_buys() -> None:
    """What waits for money when something newer is wanted is never sent; the newer decision follows once the sells have ended."""
    desk = Desk(cash="100", held="9")
    desk.want({"ETH/USDT": 0.9})
    (sell,) = desk.orders()
    desk.sent(sell)
    desk.want({"BTC/USDT": 0.9}, "d2")
    desk.filled(sell)
    later = desk.orders()[1:]
    assert [(o.symbol, o.decision_id) for o in later] == [("BTC/USDT", "d2")]
    assert desk.settled().left["ETH/USDT"] == "superseded"


def test_an_unknown_order_reserves_its_whole_size() -> None:
    """While nobody knows whether an order arrived, its money is not spent again and its symbol does not trade."""
    desk, order = in_doubt()
    assert desk.account.cash_free()["USDT"] == Decimal(1000) - order.reserve
    desk.want({"BTC/USDT": 0.9, "ETH/USDT": 0.1}, "d2")
    assert [o.symbol for o in desk.orders()[1:]] == ["ETH/USDT"]
    assert desk.manager.wave is not None
    assert desk.manager.wave.left["BTC/USDT"] == "order_unknown"


def test_an_order_confirmed_absent_is_planned_again_in_the_same_wave() -> None:
    """The wave waits for the evidence; then the symbol gets its order after all, under a new id."""
    desk, order = in_doubt()
    for _ in range(12):
        desk.wait(2)
        asked = after(desk.at)
        desk.take(desk.manager.on_reconciled(e.AccountReconciled({}, asked, asked)))
        desk.take(desk.manager.on_order(e.OrderNotFound(order.id, asked, asked)))
    assert desk.tracked(order).reason == "confirmed_absent"
    (_, again) = desk.orders()
    assert again.symbol == "BTC/USDT"
    assert (again.attempt, again.id == order.id) == (2, False)


def test_an_order_in_doubt_does_not_hold_a_wave_for_ever() -> None:
    """Look-ups that never succeed end no doubt, but the wave settles and says which order it did not wait for."""
    desk, order = in_doubt()
    desk.wait(100)
    assert desk.settled().left == {"BTC/USDT": "order_unknown"}
    assert desk.tracked(order).state is State.UNKNOWN
    assert len(desk.orders()) == 1


def test_an_order_that_stays_open_is_cancelled_and_the_wave_settles() -> None:
    """Acknowledged and never filled: a few cancels, then only reading; the wave ends with a reason, the order stays reserved."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    desk.reported(order, Status.OPEN, "0")
    desk.wait(200)
    assert 1 <= len(desk.of(e.CancelOrder)) <= 5
    assert desk.settled().left == {"BTC/USDT": "order_open"}
    assert desk.account.cash_free()["USDT"] < 600


def test_a_sell_that_stays_open_does_not_keep_the_buys_waiting_for_ever() -> None:
    """Buys whose money a stuck sell should bring share what there is, once the sell has been given up on."""
    desk = Desk(cash="300", held="7")
    desk.want({"ETH/USDT": 0.9})
    (sell,) = desk.orders()
    desk.sent(sell)
    desk.reported(sell, Status.OPEN, "0")
    desk.wait(100)
    (_, buy) = desk.orders()
    assert buy.reserve <= 300
    desk.sent(buy)
    desk.filled(buy)
    assert desk.settled().left == {"BTC/USDT": "order_open", "ETH/USDT": "unfunded"}


def test_a_venue_that_cannot_be_reached_is_tried_calmly_for_as_long_as_it_takes() -> None:
    """Not sent, again and again: the waits double up to a minute, each try has an id of its own, and the decision stays owed."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    moments = []
    for _ in range(600):
        for order in desk.orders():
            if desk.tracked(order).state is State.NEW:
                moments.append(desk.at)
                desk.sent(order)
                desk.take(desk.manager.on_order(e.OrderNotSent(order.id, "refused connection", after(desk.at))))
        desk.wait(0.5)
    assert [b - a for a, b in pairwise(moments)] == [5, 10, 20, 40, 60, 60, 60]
    assert len({o.id for o in desk.orders()}) == len(moments)
    assert desk.manager.wave is not None, "what was due is still worked on"


def test_a_lasting_refusal_is_not_tried_again() -> None:
    """What the venue's rules forbid is asked for once in a wave, and named."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.3, "ETH/USDT": 0.3})
    btc, eth = sorted(desk.orders(), key=lambda o: o.symbol)
    for order in (btc, eth):
        desk.sent(order)
    desk.refused(btc, "market_closed")
    desk.filled(eth)
    desk.wait(60)
    assert desk.settled().refused == {"BTC/USDT": "market_closed"}
    assert len(desk.orders()) == 2


def test_an_order_that_ends_short_is_completed_at_the_old_target() -> None:
    """What a thin book has left over is ordered again at once, by holdings, without chasing the price."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    desk.filled(order, "2")
    desk.reported(order, Status.EXPIRED, "2")
    (_, rest) = desk.orders()
    assert rest.price == order.price
    assert rest.amount <= order.amount - 2 + Decimal("0.01")


def test_rounds_are_bounded_and_what_is_left_is_named() -> None:
    """A book that never fills gets three orders, not three hundred, and the wave says so."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    for n in range(10):
        if n < len(desk.orders()):
            desk.sent(desk.orders()[n])
            desk.reported(desk.orders()[n], Status.EXPIRED, "0")
        desk.wait(0.5)
    assert len(desk.orders()) == 3
    assert desk.settled().left == {"BTC/USDT": "unfilled"}


def test_credentials_that_are_refused_halt_trading() -> None:
    """One refused key ends all sending; the wave settles, nothing is tried again."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.3, "ETH/USDT": 0.3})
    first, second = desk.orders()
    desk.sent(first)
    desk.refused(first, "credentials")
    assert desk.manager.state == "halted"
    assert not desk.manager.may_send(second.id)


def test_stale_prices_move_no_money() -> None:
    """A decision waits for fresh prices, and is worked on when they come."""
    desk = Desk()
    desk.wait(20, priced=False)
    desk.want({"BTC/USDT": 0.5})
    desk.wait(30, priced=False)
    assert desk.orders() == []
    desk.wait(1)
    assert len(desk.orders()) == 1


def test_a_holding_without_any_price_stops_planning() -> None:
    """Equity is not known while something held has never had a price: what is known would look overweight and be sold."""
    desk = Desk(market("BTC/USDT"), market("ETH/USDT"), market("XRP/USDT"), held="5")
    desk.ledger.flow(Flow("x", "XRP", Decimal(1000), "transfer", after(0)))
    desk.account._prices.pop("XRP/USDT")
    desk.want({"BTC/USDT": 0.5})
    assert desk.orders() == []


def test_a_trade_that_is_listed_before_its_order_is_known_counts_once() -> None:
    """A listing names the venue's id alone; once a report ties that id to the order, the trade is the order's, and no longer pending."""
    desk, order = in_doubt()
    listed = fill(order, at=after(1))
    nameless = e.OrderFilled(replace(listed, order_id=""), after(1))
    desk.ledger.book(nameless.fill)
    desk.take(desk.manager.on_order(nameless))
    assert desk.tracked(order).booked == 0
    desk.reported(order, Status.FILLED, str(order.amount))
    assert desk.tracked(order).settled
    assert desk.table.spending(desk.account.markets) == 0


def test_a_refused_order_that_shows_up_after_all_is_followed_again() -> None:
    """The table takes a closed order back when the venue shows it open: it counts, it is asked about, it is cancelled in time."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    desk.refused(order, "market_closed")
    assert desk.account.cash_free()["USDT"] == 1000
    desk.reported(order, Status.OPEN, "0")
    assert desk.account.cash_free()["USDT"] == 1000 - order.reserve
    desk.wait(120)
    assert desk.of(e.QueryOrder)
    assert desk.of(e.CancelOrder)


def test_the_stream_may_be_faster_than_the_lost_answer() -> None:
    """A submit that times out after the stream has told of the order is no surprise and no doubt."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    desk.reported(order, Status.OPEN, "0")
    desk.unknown(order)
    assert desk.tracked(order).state is State.ACKED
    assert desk.manager.follower.surprises == []


def test_what_cannot_happen_is_recorded_and_changes_nothing() -> None:
    """A refusal of an order that has filled leaves it filled, and is told."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    desk.filled(order)
    desk.refused(order, "venue_filter")
    assert desk.tracked(order).state is State.FILLED
    assert desk.manager.follower.surprises == [f"{order.id}: refusal while filled"]


def test_trading_starts_only_when_every_old_order_was_looked_up() -> None:
    """After a restart, agreement of the account alone is not enough: what was open or in doubt must have been asked about, with success."""
    old = Desk()
    old.want({"BTC/USDT": 0.5})
    (order,) = old.orders()
    new = Desk()
    new.manager._readiness.trading = Trading.STARTING
    new.out.clear()
    new.manager.follower.replay(order, [])
    new.manager.follower.doubt(after(10))
    agreed = e.AccountReconciled({}, after(11), after(11))
    new.take(new.manager.on_reconciled(agreed))
    assert not new.of(e.TradingStarted)
    new.out.clear()
    new.take(new.manager.on_order(e.OrderNotFound(order.id, after(11), after(12))))
    assert isinstance(new.out[-1], e.PollAccount)
    new.take(new.manager.on_reconciled(agreed))
    assert new.of(e.TradingStarted)


@pytest.mark.parametrize(("held", "opens"), [(("BTC", "USDT"), 1), (("BTC",), 0), ((), 0)])
def test_what_an_order_in_doubt_may_have_done_keeps_nobody_else_from_trading(held: tuple[str, ...], opens: int) -> None:
    """Trading opens where every difference is held as that; one that may be anything else is waited for."""
    desk = Desk()
    desk.manager._readiness.trading = Trading.STARTING
    desk.out.clear()
    differences = {"BTC": Decimal(1), "USDT": Decimal(-100)}
    desk.take(desk.manager.on_reconciled(e.AccountReconciled(differences, after(11), after(11), held=frozenset(held))))
    assert len(desk.of(e.TradingStarted)) == opens


def test_replay_tells_only_ends() -> None:
    """Taking up an order from the journal asks for nothing: it answers with the end that was known but not written."""
    old = Desk()
    old.want({"BTC/USDT": 0.5})
    (order,) = old.orders()
    new = Desk()
    facts: list[e.Event] = [e.OrderRefused(order.id, "market_closed", "no", after(1))]
    (closed,) = new.manager.follower.replay(order, facts)
    assert isinstance(closed, e.OrderClosed)
    assert closed.state == State.REJECTED.value


def test_ids_go_on_after_a_restart() -> None:
    """A restored decision continues with the next attempt, on both sides."""
    desk = Desk()
    desk.manager.restore(decision({"BTC/USDT": 0.5}), {"BTC/USDT": 2}, unfinished=True)
    desk.wait(0.5)
    assert [o.attempt for o in desk.orders()] == [3]


def test_the_largest_order_of_a_venue_is_followed_by_another() -> None:
    """What exceeds the venue's maximum is traded in as many rounds as are allowed."""
    desk = Desk(market("BTC/USDT", amount_max="2.0005"), cash="1000")
    desk.want({"BTC/USDT": 0.5})
    for n in range(3):
        desk.sent(desk.orders()[n])
        desk.filled(desk.orders()[n])
    assert [o.amount for o in desk.orders()][:2] == [Decimal("2.000"), Decimal("2.000")]
    assert abs(desk.settled().off_target["BTC/USDT"]) < 0.01


def test_cost_counts_fees_and_slippage() -> None:
    """A buy at the reference with a fee of 0.1 % in base costs 10 basis points."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    trade = fill(order, fee=Money(order.amount / 1000, "BTC"), at=after(1))
    desk.ledger.book(trade)
    desk.take(desk.manager.on_order(e.OrderFilled(trade, after(1))))
    assert desk.settled().cost_bps == pytest.approx(10)
    assert desk.settled().cost_parts == pytest.approx({"fee": 10, "spread": 0})
