"""The rules between a decision and its wave: distance from the target, cooldown, turnover; alone, together and over restarts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core import events as e
from daemon.core.account import Account
from daemon.core.model import ZERO, Cause, Decision, Fill, Order, Side, Status
from daemon.core.ordertable import OrderTable
from daemon.core.planner import plan
from daemon.core.planner_inputs import Book, Inputs, Rules
from daemon.core.planner_legs import Plan
from daemon.core.trading import Settings
from tests.core import plans
from tests.core.builders import after, decision, fill, halted, managing, market
from tests.core.test_orders import Desk

BTC, ETH, HOUR = "BTC/USDT", "ETH/USDT", 3600.0
WIDE = Rules(band=Decimal("0.01"), band_relative=Decimal("0.01"))


def rules(off_target: float | None = None, cooldown_h: float = 0, turnover_max: str | None = None, base: Rules = WIDE) -> Settings:
    """Settings with these rules."""
    bounded = replace(base, turnover_max=None if turnover_max is None else Decimal(turnover_max))
    return Settings(instance="desk", quote="USDT", rules=bounded, off_target=off_target, cooldown=timedelta(hours=cooldown_h))


def at_hour(weights: Mapping[str, float], hour: float) -> Decision:
    """What is wanted as of the slice that closes then."""
    return decision(weights, f"h{hour:g}", after(hour * HOUR))


class Hours(Desk):
    """A desk that lives by slices of an hour, where every order is filled at once at the price there is."""

    def at_hour(self, hour: float, **prices: float) -> None:
        """It is that hour, and symbols (by their base) have these prices."""
        self.at = hour * HOUR
        for symbol in self.account.markets:
            price = prices.get(symbol.partition("/")[0], 100.0)
            self.account.on_tick(e.PriceTicked(symbol, price, after(self.at)))

    def choose(self, weights: Mapping[str, float]) -> None:
        """Somebody was due and wants this."""
        self.take(self.manager.on_targets(e.TargetsChosen(at_hour(weights, self.at / HOUR), after(self.at))))

    def unchanged(self, weights: Mapping[str, float]) -> tuple[Decision, ...]:
        """Nobody is due; what becomes of that is worked on and returned."""
        found = list(self.manager.on_unchanged(e.TargetsUnchanged(at_hour(weights, self.at / HOUR), after(self.at))))
        for event in found:
            assert isinstance(event, e.TargetsChosen)
            self.take(self.manager.on_targets(event))
        return tuple(event.decision for event in found if isinstance(event, e.TargetsChosen))

    def fill_all(self) -> list[Order]:
        """Every order that has not been filled is, until no more come; returns them."""
        done: list[Order] = []
        while waiting := [o for o in self.orders() if self.table.get(o.id) and not self.tracked(o).ended]:
            for order in waiting:
                self.sent(order)
                self.filled(order)
            done += waiting
        return done

    def weights(self) -> dict[str, float]:
        equity = self.account.equity()
        return {symbol: self.account.weight(symbol, equity) for symbol in self.account.markets}


def traded(orders: list[Order]) -> dict[tuple[str, Side], Decimal]:
    """Worth of orders by symbol and side, at their reference."""
    return {(o.symbol, o.side): o.amount * o.price for o in orders}


# --- off target ------------------------------------------------------------------------------------------------------


def test_a_holding_too_far_from_its_target_is_brought_back_between_due_times() -> None:
    """Beyond the distance the newest targets are worked on again, under an id of the slice's own; within it nothing happens."""
    desk = Hours(settings=rules(off_target=0.05))
    desk.at_hour(0)
    desk.choose({BTC: 0.5})
    desk.fill_all()
    desk.at_hour(1, BTC=115)  # 0.535 of equity
    assert desk.unchanged({BTC: 0.5}) == ()
    desk.at_hour(2, BTC=130)  # 0.565
    (again,) = desk.unchanged({BTC: 0.5})
    assert (again.id, again.cause) == ("h2", Cause.OFF_TARGET)
    (sell,) = desk.fill_all()
    assert (sell.side, sell.decision_id) == (Side.SELL, "h2")
    assert desk.weights()[BTC] == pytest.approx(0.5, abs=0.002)
    assert desk.unchanged({BTC: 0.5}) == ()


def test_without_the_rule_nothing_happens_between_due_times() -> None:
    """However far a holding has moved, it waits for the next due time unless somebody has said otherwise."""
    desk = Hours(settings=rules())
    desk.at_hour(0)
    desk.choose({BTC: 0.5})
    desk.fill_all()
    desk.at_hour(1, BTC=500)
    assert desk.unchanged({BTC: 0.5}) == ()


def test_one_too_far_brings_all_to_their_targets() -> None:
    """The rule says when to act; what is traded then is what any rebalance would trade, each symbol by its band."""
    desk = Hours(settings=rules(off_target=0.1))
    desk.at_hour(0)
    desk.choose({BTC: 0.4, ETH: 0.4})
    desk.fill_all()
    desk.at_hour(1, BTC=180, ETH=130)
    assert desk.unchanged({BTC: 0.4, ETH: 0.4})
    assert {o.symbol for o in desk.fill_all()} == {BTC, ETH}


def test_nothing_begins_while_something_is_under_way() -> None:
    """A wave, a decision that waits, a halt: each is finished, not overtaken, by a rule between due times."""
    desk = Hours(settings=rules(off_target=0.05))
    desk.at_hour(0)
    assert desk.unchanged({BTC: 0.5}) == ()  # nothing was ever decided
    desk.choose({BTC: 0.5})
    assert desk.unchanged({BTC: 0.9}) == ()  # its orders are on their way
    assert desk.unchanged({BTC: 0.5, ETH: 0.4}) == ()  # nor does what has no order yet
    desk.fill_all()
    desk.at_hour(1, BTC=200)
    desk.take(desk.manager.on_hold(halted("a person said so", after(desk.at))))
    assert desk.unchanged({BTC: 0.5}) == ()


def test_what_cannot_be_traded_begins_no_wave() -> None:
    """Kept, refused for good, below the minimum or without money: off target it stays, and not every bar writes a wave about it."""
    desk = Hours(settings=rules(off_target=0.05))
    desk.at_hour(0)
    desk.choose({BTC: 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    desk.refused(order, "market_closed")
    assert desk.unchanged({BTC: 0.5}) == ()
    assert desk.settled().refused == {BTC: "market_closed"}
    kept = e.TargetsUnchanged(replace(at_hour({ETH: 0.5}, 1), keep=frozenset({ETH})), after(HOUR))
    desk.at_hour(1)
    assert list(desk.manager.on_unchanged(kept)) == []
    small = Hours(market(BTC, notional_min="2000"), market(ETH), settings=rules(off_target=0.05))
    small.at_hour(0)
    small.choose({})
    assert small.unchanged({BTC: 0.9}) == ()
    poor = Hours(settings=rules(off_target=0.05), cash="4", held="10")
    poor.at_hour(0)
    poor.choose({BTC: 0.99})
    poor.at_hour(1)
    assert poor.unchanged({BTC: 0.94, ETH: 0.06})  # a sale pays for it
    assert poor.unchanged({BTC: 0.996, ETH: 0.06}) == ()


def test_a_band_that_is_wider_has_the_last_word() -> None:
    """The distance says when to look, the band what is worth a trade: nothing begins that would trade nothing."""
    desk = Hours(settings=rules(off_target=0.05, base=Rules(band=Decimal("0.02"), band_relative=Decimal("0.2"))))
    desk.at_hour(0)
    desk.choose({BTC: 0.5})
    desk.fill_all()
    desk.at_hour(1, BTC=135)  # 0.574: beyond 0.05, within 0.1
    assert desk.unchanged({BTC: 0.5}) == ()


def test_a_refusal_that_may_pass_is_tried_again() -> None:
    """Money that was not there in three rounds is no reason to stay away from the target until tomorrow."""
    desk = Hours(settings=rules(off_target=0.05))
    desk.at_hour(0)
    desk.choose({BTC: 0.5})
    for n in range(3):
        order = desk.orders()[n]
        desk.sent(order)
        desk.take(desk.manager.on_order(e.OrderRefused(order.id, "insufficient_funds", "not enough", after(desk.at))))
        desk.wait(20)
    assert desk.settled().refused == {BTC: "insufficient_funds"}
    desk.at_hour(1)
    assert desk.unchanged({BTC: 0.5})


# --- cooldown --------------------------------------------------------------------------------------------------------


def test_in_the_cooldown_only_exits_trade_and_the_rest_waits() -> None:
    """For so long after a rebalance what is wanted at 0 is sold at once; the rest follows at the first slice after it, once."""
    desk = Hours(settings=rules(cooldown_h=6))
    desk.at_hour(0)
    desk.choose({BTC: 0.4})
    assert len(desk.fill_all()) == 1
    desk.at_hour(2)
    desk.choose({ETH: 0.8})
    assert [(o.symbol, o.side) for o in desk.fill_all()] == [(BTC, Side.SELL)]
    assert desk.settled().left == {ETH: "cooldown"}
    for hour in (3, 4, 5):
        desk.at_hour(hour)
        assert desk.unchanged({ETH: 0.8}) == ()
    desk.at_hour(6)
    (held_up,) = desk.unchanged({ETH: 0.8})
    assert (held_up.cause, held_up.exits_until) == (Cause.COOLDOWN_OVER, None)
    assert [(o.symbol, o.side) for o in desk.fill_all()] == [(ETH, Side.BUY)]
    desk.at_hour(7)
    assert desk.unchanged({ETH: 0.8}) == ()


def test_the_cooldown_counts_from_close_to_close() -> None:
    """A daily rebalance with a cooldown of a day is not a day late every day, although its orders filled a little after the close."""
    desk = Hours(settings=rules(cooldown_h=24))
    for day, weight in enumerate((0.3, 0.6, 0.1)):
        desk.at_hour(24 * day)
        desk.at += 7
        desk.take(desk.manager.on_targets(e.TargetsChosen(at_hour({BTC: weight}, 24 * day), after(desk.at))))
        assert len(desk.fill_all()) == 1, day


def test_a_decision_that_traded_nothing_cools_nothing_down() -> None:
    """Only orders begin a cooldown: a due time at which all was well does not put off the next."""
    desk = Hours(settings=rules(cooldown_h=6))
    desk.at_hour(0)
    desk.choose({BTC: 0.4})
    desk.fill_all()
    desk.at_hour(8)
    desk.choose({BTC: 0.4})
    assert desk.fill_all() == []
    desk.at_hour(9)
    desk.choose({BTC: 0.8})
    assert len(desk.fill_all()) == 1


def test_exits_do_not_make_the_cooldown_longer() -> None:
    """Whoever sells out in the cooldown buys again when it would have ended anyway."""
    desk = Hours(settings=rules(cooldown_h=6))
    desk.at_hour(0)
    desk.choose({BTC: 0.4, ETH: 0.4})
    desk.fill_all()
    desk.at_hour(5)
    desk.choose({BTC: 0.4})
    assert [o.symbol for o in desk.fill_all()] == [ETH]
    desk.at_hour(6)
    desk.choose({BTC: 0.8})
    assert [o.symbol for o in desk.fill_all()] == [BTC]


def test_distance_waits_for_the_cooldown() -> None:
    """However far a holding moves after a rebalance, the next one does not begin before the cooldown is over."""
    desk = Hours(settings=rules(off_target=0.05, cooldown_h=6))
    desk.at_hour(0)
    desk.choose({BTC: 0.5})
    desk.fill_all()
    for hour in (1, 5):
        desk.at_hour(hour, BTC=200)
        assert desk.unchanged({BTC: 0.5}) == ()
    desk.at_hour(6, BTC=200)
    (again,) = desk.unchanged({BTC: 0.5})
    assert again.cause is Cause.OFF_TARGET


# --- turnover --------------------------------------------------------------------------------------------------------

MARKETS = {f"{c}/USDT": market(f"{c}/USDT", step="0.0001", notional_min="1") for c in "ABCDE"}


def book(held: list[float], cash: float, spent: float = 0.0) -> Book:
    amounts = {symbol: Decimal(repr(amount)) for symbol, amount in zip(MARKETS, held, strict=True)}
    return plans.book(amounts, dict.fromkeys(MARKETS, Decimal(10)), Decimal(repr(cash)), traded=Decimal(repr(spent)))


def worth(made: Plan) -> Decimal:
    return sum((leg.notional for leg in (*made.reduces, *made.grows)), ZERO)


amounts = st.lists(st.floats(0, 50), min_size=5, max_size=5)


@settings(max_examples=150, deadline=None)
@given(held=amounts, wanted=amounts, cash=st.floats(0, 1000), cap=st.floats(0.001, 1.2), spent=st.floats(0, 500))
def test_no_plan_trades_more_than_its_turnover(held: list[float], wanted: list[float], cash: float, cap: float, spent: float) -> None:
    """Half of all trades stays within the bound, exits included; each leg is the unbounded one made smaller, all of them alike."""
    account = book(held, cash, spent)
    total = max(sum(wanted), 1e-9)
    weights = {symbol: share / total for symbol, share in zip(MARKETS, wanted, strict=True)}
    wanted_all = Inputs(weights=weights, book=account, markets=MARKETS, rules=WIDE)
    free = plan(wanted_all)
    made = plan(replace(wanted_all, rules=replace(WIDE, turnover_max=Decimal(repr(cap)))))
    most = 2 * Decimal(repr(cap)) * account.equity - account.traded
    if worth(free) <= most:
        assert made.legs == free.legs
        return
    assert worth(made) <= max(most, ZERO)
    whole = {leg.symbol: leg for leg in (*free.reduces, *free.grows)}
    assert all(made.left[symbol] == "turnover_max" for symbol in whole)
    shares = []
    for leg in (*made.reduces, *made.grows):
        assert leg.side is whole[leg.symbol].side
        assert leg.amount <= whole[leg.symbol].amount
        assert leg.amount % MARKETS[leg.symbol].amount_step == 0
        shares.append((leg.amount / whole[leg.symbol].amount, MARKETS[leg.symbol].amount_step / whole[leg.symbol].amount))
    assert all(abs(a - b) <= ea + eb for (a, ea), (b, eb) in pairwise(shares))


def test_the_bands_are_judged_before_the_turnover() -> None:
    """A bound that makes every step smaller than the band still lets the account move, step by step, to its targets."""
    desk = Hours(settings=rules(off_target=0.05, turnover_max="0.01"))
    desk.at_hour(0)
    desk.choose({BTC: 0.3})
    steps = [desk.fill_all()]
    for hour in range(1, 40):
        desk.at_hour(hour)
        desk.unchanged({BTC: 0.3})
        steps.append(desk.fill_all())
    moved = [sum(traded(orders).values(), ZERO) / 1000 for orders in steps if orders]
    assert all(step <= Decimal("0.02") for step in moved)
    assert len(moved) == 13  # each 0.02 of equity, until it is no longer 0.05 away
    assert desk.weights()[BTC] > 0.25


def test_exits_count_towards_the_turnover() -> None:
    """Selling out is turnover too: what the bound leaves goes with the next rebalance."""
    desk = Hours(settings=rules(turnover_max="0.2"), cash="0", held="10")
    desk.at_hour(0)
    desk.choose({})
    (first,) = desk.fill_all()
    assert first.amount == Decimal("4.000") - Decimal("0.001")  # a hair below the bound
    assert desk.settled().left == {BTC: "turnover_max"}
    desk.at_hour(1)
    desk.choose({})
    (second,) = desk.fill_all()
    assert second.amount == Decimal("3.999")


def test_further_rounds_share_the_turnover_of_their_wave() -> None:
    """An order that ends short is made up for, but not with more than the rebalance had left."""
    desk = Hours(settings=rules(turnover_max="0.1"))
    desk.at_hour(0)
    desk.choose({BTC: 0.4, ETH: 0.4})
    first = desk.orders()
    assert sum(traded(first).values(), ZERO) <= 200
    desk.sent(first[0])
    desk.filled(first[0], "0.4")
    desk.reported(first[0], Status.EXPIRED, "0.4")
    desk.sent(first[1])
    desk.filled(first[1])
    second = desk.orders()[2:]
    assert second
    desk.fill_all()
    booked = sum((desk.tracked(o).booked_cost for o in desk.orders() if desk.table.get(o.id)), ZERO)
    assert Decimal(190) < booked <= 200


class Journal:
    """What a restart knows: the newest decision, its orders and every trade."""

    def __init__(self, desk: Desk) -> None:
        self.decision = desk.manager.decision
        self.orders = [o for o in desk.orders() if self.decision and o.decision_id == self.decision.id]
        self.fills: list[Fill] = []
        for order in desk.orders():
            tracked = desk.table.get(order.id)
            if tracked is not None and tracked.booked:
                self.fills.append(fill(order, str(tracked.booked), trade_id=f"t1-{order.id}"))

    def restart(self, desk: Desk, wanted: Settings, *, unfinished: bool) -> None:
        """A new process takes the desk over; ledger and prices stay."""
        prices = desk.account._last
        desk.table = OrderTable()
        markets = desk.account.markets
        desk.account = Account("USDT", desk.ledger, desk.table, timedelta(seconds=15))
        desk.account.markets, desk.account._last = markets, prices
        desk.manager = managing(wanted, desk.account, desk.ledger, desk.table)
        attempts: dict[str, int] = {}
        for order in self.orders:
            attempts[order.symbol] = max(order.attempt, attempts.get(order.symbol, 0))
        if self.decision is not None:
            desk.manager.restore(self.decision, attempts, unfinished=unfinished, fills=self.fills)
        desk.take(desk.manager.on_reconciled(e.AccountReconciled({}, after(desk.at), after(desk.at))))


def test_a_restart_in_the_middle_of_a_wave_keeps_its_turnover() -> None:
    """What the process before had traded for the decision counts, or every crash would be worth another rebalance."""
    wanted = rules(turnover_max="0.1")
    desk = Hours(settings=wanted)
    desk.at_hour(0)
    desk.choose({BTC: 0.4, ETH: 0.4})
    first = desk.orders()[0]
    desk.sent(first)
    desk.filled(first)
    before = sum(traded([first]).values(), ZERO)
    other = desk.orders()[1]
    Journal(desk).restart(desk, wanted, unfinished=True)
    desk.wait(1)
    orders = [o for o in desk.orders() if o not in (first, other)]
    assert orders
    assert before + sum(traded(orders).values(), ZERO) <= 200


@pytest.mark.parametrize("seed", range(20))
def test_restarts_change_no_rebalance(seed: int) -> None:
    """With distance, cooldown and turnover together, a process that is restarted between slices sends the orders of one that is not."""

    def orders(restarts: float) -> list[tuple[datetime, str, Side, Decimal]]:
        rng, chance = Random(seed), Random(seed + 1)
        wanted = rules(off_target=0.04, cooldown_h=rng.choice([0, 3, 7]), turnover_max=rng.choice(["0.05", "0.3", "2"]))
        desk = Hours(settings=wanted)
        targets: dict[str, float] = {}
        prices = {"BTC": 100.0, "ETH": 100.0}
        for hour in range(60):
            prices = {base: price * rng.uniform(0.93, 1.08) for base, price in prices.items()}
            desk.at_hour(hour, **prices)
            if hour % 5 == 0:
                targets = {BTC: rng.choice([0.0, 0.2, 0.5]), ETH: rng.choice([0.0, 0.3, 0.45])}
                desk.choose(targets)
            else:
                desk.unchanged(targets)
            desk.fill_all()
            if chance.random() < restarts:
                Journal(desk).restart(desk, wanted, unfinished=False)
        return [(o.at, o.symbol, o.side, o.amount) for o in desk.orders()]

    undisturbed = orders(0.0)
    assert undisturbed
    for restarts in (0.2, 1.0):
        assert orders(restarts) == undisturbed


def test_noise_inside_the_band_trades_nothing_and_beyond_it_little() -> None:
    """A day of prices that shake a holding within the band costs no fee; shaken a tenth beyond, the cooldown bounds the trades."""

    def trades(width: float) -> int:
        desk = Hours(settings=rules(off_target=0.0201, cooldown_h=6, base=Rules(band_relative=ZERO)))
        desk.at_hour(0)
        desk.choose({BTC: 0.5})
        count = -len(desk.fill_all())
        for n in range(1, 24 * 4):
            swing = width if n % 2 else -width
            weight = 0.5 + swing
            desk.at_hour(n / 4, BTC=100 * weight / (1 - weight))  # the holding has exactly this weight, as long as nobody trades
            desk.unchanged({BTC: 0.5})
            desk.fill_all()
        return count + len(desk.orders())

    assert trades(0.0195) == 0
    assert 0 < trades(0.022) <= 4
