"""Netting: what each strategy wants, what meets inside, what the account trades and for whom, case by case."""

# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with the whole numbers that they are.

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from daemon.core import events as e
from daemon.core.account import Account
from daemon.core.bus import Bus
from daemon.core.curves import Curves
from daemon.core.ledger import Ledger
from daemon.core.model import Booking, Cause, Decision, Fill, Flow, Instrument, Order, Side, Status, TargetWeights
from daemon.core.orders import OrderManager
from daemon.core.ordertable import OrderTable
from daemon.core.planner_inputs import Rules
from daemon.core.portfolio import UNASSIGNED, Apart, Portfolio
from daemon.core.risk import Limits
from daemon.core.sleeves import Sleeves
from daemon.core.states import Hold, Level, Scope, States
from daemon.core.trading import Settings
from tests.core.builders import after, fill, market, report

BTC, ETH = "BTC/USDT", "ETH/USDT"
D = Decimal
# Trades go all the way, and are worth exactly what they say.
EXACTLY = Rules(band=D(0), band_relative=D(0), slippage=D(0), raise_max=D(1))


class Shared:
    """An account of strategies at a venue that fills everything at once (`slow`: when told to), at the price, for nothing."""

    slow = False

    def __init__(self, *names: str, keep_removed: bool = False, cash: str = "1000", shortable: bool = False) -> None:
        self.flows: list[Flow] = []
        self.fills: list[Fill] = []
        self.bookings: list[Booking] = []
        self.orders: list[Order] = []
        self.told: list[e.Event] = []
        self.prices = {BTC: 100.0, ETH: 10.0}
        self.markets = {s: self._market(s, shortable=shortable) for s in (BTC, ETH)}
        self.at = 0.0
        self.kept: str | None = None
        self.start(names, keep_removed=keep_removed)
        self.pay("USDT", cash)

    def _market(self, symbol: str, *, shortable: bool) -> Instrument:
        return replace(market(symbol, step="0.1", fee="0", notional_min="0", base_fee=False), shortable=shortable)

    def start(self, names: Sequence[str], *, keep_removed: bool = False) -> None:
        """A process: fold what is known, as daemon/app.py does."""
        self.ledger, self.table, self.states = Ledger(), OrderTable(), States()
        self.account = Account("USDT", self.ledger, self.table, timedelta(days=9))
        self.account.markets = self.markets
        self.portfolio = Portfolio(names, self.ledger, self.table)
        self.sleeves = Sleeves(self.portfolio, self.account, self.table, self.states, keep_removed=keep_removed)
        self.curves = Curves(self.account, self.ledger, self.portfolio)
        settings = Settings(instance="shared", quote="USDT", rules=EXACTLY)
        self.manager = OrderManager(settings, self.account, self.table, self.states, self.sleeves)
        splits = {order.id: order.split for order in self.orders}
        self.portfolio.restore(self.flows, self.fills, self.bookings, splits, {})
        self.curves.restore(self.kept, self.flows, self.bookings)
        self.bus: Bus[e.Event] = Bus(self._routes())
        for event in self.sleeves.hand_over(after(self.at)):
            self.bus.publish(event)
        for symbol in self.markets:
            self.price(symbol, self.prices[symbol])
        self.bus.publish(e.AccountReconciled({}, after(self.at), after(self.at)))

    def _routes(self) -> list[tuple[type, list[Callable[..., Iterable[e.Event]]]]]:
        manager, portfolio, curves = self.manager, self.portfolio, self.curves
        return [
            (e.PriceTicked, [self.account.on_tick]),
            (e.TargetsChosen, [manager.on_targets]),
            (e.PlanWave, [manager.on_plan]),
            (e.BookSleeves, [self._book]),
            (e.SubmitOrders, [self._submit]),
            (e.OrderSent, [manager.on_order]),
            (e.OrderFilled, [portfolio.on_fill, manager.on_order]),
            (e.OrderReported, [portfolio.on_reported, manager.on_order]),
            (e.FlowBooked, [portfolio.on_flow, curves.on_flow]),
            (e.SleevesBooked, [portfolio.on_booked, curves.on_booked]),
            (e.AccountReconciled, [manager.on_reconciled]),
            (e.HoldPlaced, [manager.on_hold]),
            *((kind, [self._hear]) for kind in (e.PlanMade, e.WaveSettled, e.RiskLimited)),
        ]

    def _hear(self, event: e.Event) -> Iterable[e.Event]:
        self.told.append(event)
        return ()

    def _book(self, event: e.BookSleeves) -> Iterable[e.Event]:
        self.bookings.append(event.booking)
        return (e.SleevesBooked(event.booking, event.at),)

    def _submit(self, event: e.SubmitOrders) -> Iterable[e.Event]:
        self.orders += event.orders
        return () if self.slow else self.fill(event.orders)

    def fill(self, orders: Iterable[Order]) -> Iterable[e.Event]:
        """What the venue has to say of orders that are filled whole."""
        for order in orders:
            trade = fill(order, trade_id=f"t{len(self.fills)}", at=after(self.at))
            self.fills.append(trade)
            yield e.OrderSent(order.id, after(self.at))
            yield e.OrderFilled(trade, after(self.at))
            yield e.OrderReported(report(order, Status.FILLED, str(order.amount)), "submit", after(self.at))

    # --- what happens ------------------------------------------------------------------------------------------------

    def price(self, symbol: str, price: float) -> None:
        """A market moves."""
        self.at += 1
        self.prices[symbol] = price
        self.bus.publish(e.PriceTicked(symbol, price, after(self.at)))

    def pay(self, currency: str, amount: str, kind: str = "opening") -> None:
        """Something comes or goes without a trade."""
        self.at += 1
        self.flows.append(Flow(f"f{len(self.flows)}", currency, D(amount), kind, after(self.at)))
        self.bus.publish(e.FlowBooked(self.flows[-1], after(self.at)))

    def decide(
        self, shares: Mapping[str, float], *, keep: Iterable[str] = (), cause: Cause = Cause.DUE, **wishes: Mapping[str, float]
    ) -> list[Order]:
        """The strategies want something else; the orders that follow."""
        self.at += 1
        before = len(self.orders)
        net = {s: sum(shares[name] * wanted.get(s, 0.0) for name, wanted in wishes.items()) for s in self.markets}
        by_strategy = {name: TargetWeights(wanted) for name, wanted in wishes.items()}
        decided = Decision(f"d{self.at}", after(self.at), net, frozenset(keep), by_strategy, after(self.at), cause, shares=shares)
        self.bus.publish(e.TargetsChosen(decided, after(self.at)))
        assert not self.portfolio.left_over()
        assert len({booking.id for booking in self.bookings}) == len(self.bookings)
        return self.orders[before:]

    def hold(self, level: Level, strategy: str) -> None:
        """A strategy is restricted."""
        self.at += 1
        hold = Hold(scope=Scope(strategy=strategy), level=level, code="test", text="for a test", since=after(self.at))
        self.bus.publish(e.HoldPlaced(hold, after(self.at)))

    def restart(self, *names: str, keep_removed: bool = False) -> None:
        """A new process with these strategies."""
        (kept,) = self.curves.on_stop(e.StopRequested(after(self.at)))
        assert isinstance(kept, e.KeepState)
        self.kept = kept.text
        self.start(names, keep_removed=keep_removed)

    def held(self, symbol: str) -> dict[str, Any]:
        """How much of a symbol's base each has."""
        base = self.markets[symbol].base
        return {name: amount for name in self.portfolio.sleeves if (amount := self.portfolio.held(name, base))}

    def equity(self, name: str) -> Any:
        """What a sleeve is worth now."""
        return self.account.worths(self.portfolio.holdings()).get(name, D(0))

    def pnl(self) -> dict[str, Any]:
        """What each has made."""
        self.curves.mark(after(self.at))
        return {name: self.curves.of(name).pnl for name in self.portfolio.sleeves}

    def splits(self, orders: Iterable[Order]) -> list[Any]:
        """Side, symbol and for whom."""
        return [(order.side.value, order.symbol, dict(order.split)) for order in orders]

    def crossed(self) -> list[Booking]:
        """The crosses so far."""
        return [booking for booking in self.bookings if booking.kind == "cross"]


HALVES = {"ada": 0.5, "bob": 0.5}


def test_each_strategy_is_given_its_share() -> None:
    """Capital goes to the sleeves at a decision, what they want is bought for them together, and the rest stays nobody's."""
    shared = Shared("ada", "bob")
    (order,) = shared.decide({"ada": 0.5, "bob": 0.3}, ada={BTC: 1.0}, bob={BTC: 0.5})
    assert (order.amount, dict(order.split)) == (D("6.5"), {"ada": D("5.0"), "bob": D("1.5")})
    assert shared.held(BTC) == {"ada": 5, "bob": D("1.5")}
    assert (shared.equity("ada"), shared.equity("bob"), shared.equity(UNASSIGNED)) == (500, 300, 200)


def test_opposite_wishes_meet_inside() -> None:
    """What one sells the other buys, at the price of the decision and without an order; what is left is traded for who wants it."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 1.0}, bob={})
    shared.price(BTC, 120.0)  # 5 are 600 in an account of 1100: each has 550 of it
    (order,) = shared.decide(HALVES, ada={}, bob={BTC: 0.48})
    (booking,) = shared.crossed()
    assert {(line.sleeve, line.currency): line.amount for line in booking.entries} == {
        ("bob", "BTC"): D("2.2"),
        ("ada", "BTC"): D("-2.2"),
        ("bob", "USDT"): D(-264),
        ("ada", "USDT"): D(264),
    }
    assert (order.side.value, order.amount, dict(order.split)) == ("sell", D("2.8"), {"ada": D("2.8")})
    assert shared.held(BTC) == {"bob": D("2.2")}
    assert shared.portfolio.traded == {"ada": D(500 + 336)}
    assert shared.portfolio.crossed == {"ada": D(264), "bob": D(264)}


def test_what_cancels_needs_no_order() -> None:
    """Wishes that only change hands are no reason to trade, and nobody's profit."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 1.0}, bob={ETH: 1.0})
    assert shared.decide(HALVES, ada={ETH: 1.0}, bob={BTC: 1.0}) == []
    assert (shared.held(BTC), shared.held(ETH)) == ({"bob": 5}, {"ada": 50})
    assert shared.pnl() == {"ada": 0, "bob": 0, UNASSIGNED: 0}


def test_a_band_is_about_the_account() -> None:
    """What is small for the account is not traded, even if it is much for a sleeve; what meets inside is crossed, however small."""
    shared = Shared("ada", "bob")
    shared.manager.renew(Settings(instance="shared", quote="USDT", rules=replace(EXACTLY, band=D("0.05"))))
    shared.decide(HALVES, ada={BTC: 1.0}, bob={})
    assert shared.decide(HALVES, ada={BTC: 0.98}, bob={BTC: 0.06}) == []
    assert shared.held(BTC) == {"ada": D("4.9"), "bob": D("0.1")}


def test_whoever_leaves_does_so_to_the_last_digit() -> None:
    """What fees or deposits have left off the market's grid changes hands inside, where no order could sell it."""
    shared = Shared("ada", "bob")
    shared.pay("BTC", "0.0123")
    shared.decide(HALVES, ada={BTC: 1.0}, bob={})
    assert shared.held(BTC) == {"ada": D("4.9123")}
    shared.decide(HALVES, ada={}, bob={BTC: 1.0})
    assert shared.held(BTC) == {"bob": D("4.9123")}
    shared.hold(Level.PAUSED, "bob")
    shared.decide(HALVES, ada={BTC: 0.4}, bob={})
    assert shared.held(BTC) == {"ada": 2, "bob": D("4.9123")}


def test_what_is_being_sold_is_not_sold_again() -> None:
    """While an order that sells for one of them is in doubt, all leave with what is certain: he with less, the others with all."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 1.0}, bob={BTC: 0.6})
    doubtful = replace(shared.orders[0], id="r-doubtful", side=Side.SELL, amount=D(3), split={"ada": D("3.0")}, at=after(shared.at))
    shared.table.add(doubtful)
    orders = shared.decide(HALVES, ada={}, bob={})
    assert shared.splits(orders) == [("sell", BTC, {"ada": 2, "bob": 3})]


@pytest.mark.parametrize("why", ["kept", "stale", "moving"])
def test_what_must_not_trade_is_not_crossed(why: str) -> None:
    """A symbol that stays as it is stays as it is inside, too: kept ones, and those without a price of now."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 1.0}, bob={})
    if why == "stale":
        shared.account._fresh = timedelta(seconds=1)
        shared.price(ETH, 10.0)
    if why == "moving":
        shared.table.add(replace(shared.orders[0], id="r-other", at=after(shared.at), amount=D(1)))
    shared.decide(HALVES, ada={}, bob={BTC: 0.5}, keep=[BTC] if why == "kept" else [])
    assert shared.crossed() == []


def test_coins_of_nobody_are_crossed_before_anything_is_bought() -> None:
    """Deposited coins go to those who want them at the price of now, what nobody wants is sold, and nobody gains by it."""
    shared = Shared("ada", "bob")
    shared.pay("BTC", "3")
    shared.pay("ETH", "10")
    orders = shared.decide(HALVES, ada={BTC: 1.0}, bob={})  # of 1400
    assert shared.splits(orders) == [("sell", ETH, {UNASSIGNED: 10}), ("buy", BTC, {"ada": 4})]
    assert (shared.held(BTC), shared.equity(UNASSIGNED)) == ({"ada": 7}, 0)
    assert set(shared.pnl().values()) == {0}


def test_what_another_hand_sold_is_nobodys_loss_of_a_strategy() -> None:
    """A foreign trade goes to `unassigned`, which buys back what it has sold of what the strategies hold."""
    shared = Shared("ada")
    shared.decide({"ada": 1.0}, ada={BTC: 0.5})
    hand = replace(fill(shared.orders[0], "2", trade_id="hand", at=after(shared.at)), order_id="", venue_id="hand")
    shared.bus.publish(e.OrderFilled(replace(hand, side=Side.SELL), after(shared.at)))
    assert shared.held(BTC) == {"ada": 5, UNASSIGNED: -2}
    (order,) = shared.decide({"ada": 1.0}, ada={BTC: 0.5})
    assert shared.splits([order]) == [("buy", BTC, {UNASSIGNED: 2})]
    assert shared.held(BTC) == {"ada": 5}


def test_a_limit_cuts_everybody_alike() -> None:
    """What the account may not hold is taken from each wish in proportion."""
    shared = Shared("ada", "bob")
    shared.manager.renew(Settings(instance="shared", quote="USDT", rules=EXACTLY, limits=Limits(weight_max=0.3)))
    (order,) = shared.decide(HALVES, ada={BTC: 0.8}, bob={BTC: 0.4})
    assert dict(order.split) == {"ada": D("2.0"), "bob": D("1.0")}


def test_on_spot_a_wish_to_be_short_is_none() -> None:
    """It lowers what the account holds, as the sum says, at the expense of who is long; nobody owes coins."""
    shared = Shared("ada", "bob")
    (order,) = shared.decide(HALVES, ada={BTC: 1.0}, bob={BTC: -0.4})
    assert shared.splits([order]) == [("buy", BTC, {"ada": 3})]


def test_where_shorts_are_allowed_opposite_positions_stand_inside() -> None:
    """One is long and one is short, the account holds the difference."""
    shared = Shared("ada", "bob", shortable=True)
    (order,) = shared.decide(HALVES, ada={BTC: 1.0}, bob={BTC: -0.4})
    assert order.amount == 3
    assert shared.held(BTC) == {"ada": 5, "bob": -2}
    assert shared.portfolio.crossed == {"ada": D(200), "bob": D(200)}


# --- holds on one strategy -------------------------------------------------------------------------------------------


def test_a_reducing_strategy_only_shrinks() -> None:
    """It sells what it wants less of, and gets nothing that it wants more of."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 0.8}, bob={BTC: 0.2})
    shared.hold(Level.REDUCING, "ada")
    shared.decide(HALVES, ada={BTC: 0.4, ETH: 0.6}, bob={BTC: 0.2})
    assert (shared.held(BTC), shared.held(ETH)) == ({"ada": 2, "bob": 1}, {})
    shared.decide(HALVES, ada={BTC: 1.0}, bob={BTC: 0.4})
    assert shared.held(BTC) == {"ada": 2, "bob": 2}


@pytest.mark.parametrize(("others", "split"), [(0.9, {"ada": D("45.0")}), (0.0, {})])
def test_what_waits_for_money_is_not_bought_for_a_paused_strategy(others: float, split: Mapping[str, Any]) -> None:
    """Its part of the buys is gone, under the hold's code, and does not come again in another round; the others' is bought."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 1.0}, bob={BTC: 1.0})
    shared.slow = True
    sales = shared.decide(HALVES, ada={ETH: others}, bob={ETH: 0.9})
    assert shared.splits(sales) == [("sell", BTC, {"ada": 5, "bob": 5})]
    shared.hold(Level.PAUSED, "bob")
    shared.slow = False
    for event in shared.fill(sales):
        shared.bus.publish(event)
    assert shared.splits(shared.orders[2:]) == ([("buy", ETH, split)] if split else [])
    settled = shared.told[-1]
    assert isinstance(settled, e.WaveSettled)
    assert settled.left == {ETH: "test"}
    assert settled.targets[ETH] == pytest.approx(others / 2)


@pytest.mark.parametrize("level", [Level.PAUSED, Level.HALTED])
def test_a_paused_strategy_stays_as_it_is(level: Level) -> None:
    """Its holdings neither grow nor shrink, by an order or inside, while the others go on."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 0.8}, bob={BTC: 0.2})
    shared.hold(level, "ada")
    shared.decide(HALVES, ada={ETH: 1.0}, bob={BTC: 0.6})
    assert (shared.held(BTC), shared.held(ETH)) == ({"ada": 4, "bob": 3}, {})


def test_a_flattened_strategy_is_sold_and_halted() -> None:
    """Only what it holds is sold, for it alone, at once; then it is halted, and its next wish is not heard."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 0.4, ETH: 0.2}, bob={BTC: 0.2})
    shared.price(BTC, 110.0)  # what the others hold has moved, and is left alone
    before = len(shared.orders)
    shared.hold(Level.FLATTENING, "ada")
    assert shared.splits(shared.orders[before:]) == [("sell", BTC, {"ada": 2}), ("sell", ETH, {"ada": 10})]
    assert shared.held(BTC) == {"bob": 1}
    assert shared.states.level(Scope(strategy="ada")) is Level.HALTED
    shared.decide(HALVES, ada={BTC: 1.0}, bob={})
    assert shared.held(BTC) == {}


# --- other strategies at the next start ------------------------------------------------------------------------------


def test_a_removed_strategy_is_unwound() -> None:
    """At the next decision, what it has left is crossed to those who want it, and what nobody wants is sold for it."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 1.0}, bob={})
    shared.restart("bob")
    assert shared.held(BTC) == {"ada": 5}
    (order,) = shared.decide({"bob": 0.5}, bob={BTC: 0.4})
    assert shared.splits([order]) == [("sell", BTC, {"ada": 3})]
    assert shared.held(BTC) == {"bob": 2}
    assert (shared.equity("ada"), shared.equity("bob"), shared.equity(UNASSIGNED)) == (0, 500, 500)
    assert shared.portfolio.sleeves == ("bob", UNASSIGNED)


def test_a_removed_strategy_may_leave_its_holdings() -> None:
    """Kept, they are counted, neither sold nor crossed nor put to work, through restarts, until the file says otherwise."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 1.0}, bob={})
    shared.restart("bob", keep_removed=True)
    handover = shared.bookings[-1]
    assert handover.kind == "handover"
    for _ in range(2):
        assert shared.sleeves.apart("BTC") == (Apart(D(5), "ada", handover.at),)
        assert shared.sleeves.apart("ETH") == ()
        shared.decide({"bob": 1.0}, bob={ETH: 1.0, BTC: 0.0})
        assert (shared.held(BTC), shared.held(ETH)) == ({UNASSIGNED: 5}, {"bob": 50})
        assert [shared.account.equity(), shared.account.capital(), shared.equity("bob")] == [D(1000), D(500), D(500)]
        shared.restart("bob", keep_removed=True)
    assert sum(booking.kind == "handover" for booking in shared.bookings) == 1
    shared.restart("bob")
    assert shared.sleeves.apart("BTC") == ()
    shared.decide({"bob": 1.0}, bob={ETH: 0.5})
    assert shared.held(BTC) == {}


def test_a_new_strategy_starts_with_nothing_and_only_the_change_is_traded() -> None:
    """It is given its share at its first decision; what is already held changes hands inside."""
    shared = Shared("ada")
    shared.decide({"ada": 1.0}, ada={BTC: 1.0})
    shared.restart("ada", "bob")
    assert shared.portfolio.sleeves == ("ada", "bob", UNASSIGNED)
    assert shared.decide(HALVES, ada={BTC: 1.0}, bob={BTC: 1.0}) == []
    assert shared.held(BTC) == {"ada": 5, "bob": 5}
    assert (shared.equity("ada"), shared.equity("bob")) == (500, 500)
    assert set(shared.pnl().values()) == {0}


def test_other_shares_move_only_the_difference() -> None:
    """A strategy with less capital gives up in proportion to those with more."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 0.8}, bob={BTC: 0.8})
    assert shared.decide({"ada": 0.25, "bob": 0.75}, ada={BTC: 0.8}, bob={BTC: 0.8}) == []
    assert shared.held(BTC) == {"ada": 2, "bob": 6}


def test_a_journal_without_sleeves_is_taken_over_without_a_trade() -> None:
    """Orders of an earlier version have no split: what they bought is nobody's, and is crossed to who wants it."""
    shared = Shared("ada")
    shared.decide({"ada": 1.0}, ada={BTC: 0.5})
    shared.orders, shared.bookings = [], []
    shared.restart("ada")
    assert shared.held(BTC) == {UNASSIGNED: 5}
    assert shared.decide({"ada": 1.0}, ada={BTC: 0.5}) == []
    assert shared.held(BTC) == {"ada": 5}


def test_profit_is_whose_holding_rose() -> None:
    """Each sleeve's own, exactly, and a deposit or a new share is none of it."""
    shared = Shared("ada", "bob")
    shared.decide(HALVES, ada={BTC: 1.0}, bob={ETH: 1.0})
    shared.price(BTC, 130.0)
    shared.price(ETH, 9.0)
    shared.pay("USDT", "5000")
    shared.decide({"ada": 0.9, "bob": 0.1}, ada={}, bob={})
    assert shared.pnl() == {"ada": 150, "bob": -50, UNASSIGNED: 0}
    assert shared.curves.account.pnl == 100
    assert shared.curves.of("ada").total_return == pytest.approx(0.3)
