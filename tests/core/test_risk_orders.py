"""The limits on orders: they only take away, let nobody be kept in a position, and say why."""

import os
import random
from dataclasses import replace
from decimal import Decimal

import pytest

from daemon.core.model import ZERO, Instrument, Side
from daemon.core.planner_legs import Leg
from daemon.core.risk import Reason, Reduced, Refused
from daemon.core.risk_orders import ORDER, Judged, OrderLimits, Situation, judge, smaller_by

# `make limits` tries many more.
CASES = int(os.environ.get("REBALANCED_CASES", "1000"))

MARKET = Instrument(symbol="A/USDT", base="A", quote="USDT", amount_step=Decimal("0.1"), price_tick=Decimal("0.01"))
HERE = Situation(market=MARKET, position=ZERO, smallest=Decimal("0.5"), equity=Decimal(10000), close=Decimal(10), volume=Decimal(1000))


def leg(amount: object, side: Side = Side.BUY, price: object = 10) -> Leg:
    """A leg of MARKET."""
    return Leg("A/USDT", side, Decimal(str(amount)), Decimal(str(price)), Decimal(str(amount)))


def sell(amount: object) -> Leg:
    """An exit, where so much is held."""
    return leg(amount, Side.SELL)


def holding(amount: object, **more: object) -> Situation:
    """The same situation with a position."""
    return replace(HERE, position=Decimal(str(amount)), **more)  # type: ignore[arg-type]


def bound(**limits: object) -> OrderLimits:
    """One limit."""
    return OrderLimits(**{name: value if isinstance(value, int) else Decimal(str(value)) for name, value in limits.items()})  # type: ignore[arg-type]


IN_DAY = replace(HERE, in_day=Decimal(900))

ONE_LIMIT_EACH = [
    # just allowed, too much, what is left of it, the limit, the situation, the code
    (leg(1, price="10.5"), leg(1, price="10.6"), 0, bound(price_deviation_max="0.05"), HERE, Reason.PRICE_DEVIATION_MAX),
    (leg(1, price="9.5"), leg(1, price="9.4"), 0, bound(price_deviation_max="0.05"), HERE, Reason.PRICE_DEVIATION_MAX),
    (leg(1), leg(1), 0, OrderLimits(), HERE, Reason.SELF_TRADE),
    (leg(1), leg(1), 0, bound(orders_per_minute=3), replace(HERE, in_minute=2), Reason.ORDERS_PER_MINUTE),
    (leg(10), leg("10.1"), 10, bound(order_notional_max="100"), HERE, Reason.ORDER_NOTIONAL_MAX),
    (leg(10), leg("10.1"), 10, bound(volume_share_max="0.01"), HERE, Reason.VOLUME_SHARE_MAX),
    (leg(10), leg("10.1"), 10, bound(day_notional_max="1000"), IN_DAY, Reason.DAY_NOTIONAL_MAX),
    (leg(10), leg("10.1"), 10, bound(turnover_day_max="0.05"), IN_DAY, Reason.TURNOVER_DAY_MAX),
    (leg(10), leg("10.1"), 10, bound(liquidation_min="0.2"), replace(HERE, room=Decimal(10)), Reason.LIQUIDATION_ROOM),
]


def codes(judged: Judged) -> list[Reason]:
    """The codes of what was taken away."""
    return [verdict.reason for verdict in judged.verdicts]


@pytest.mark.parametrize(("enough", "too_much", "left", "limits", "here", "reason"), ONE_LIMIT_EACH)
def test_each_limit_has_its_code(enough: Leg, too_much: Leg, left: int, limits: OrderLimits, here: Situation, reason: Reason) -> None:
    """Each limit leaves exactly what is allowed, under its own code, and does not fire one step below."""
    assert judge(enough, limits, here) == Judged(enough.amount)
    opposing, busier = reason is Reason.SELF_TRADE, here.in_minute + 1
    judged = judge(too_much, limits, replace(here, opposing=opposing, in_minute=busier))
    assert judged.amount == left
    assert codes(judged) == [reason]


def test_worth_is_counted_in_the_accounts_currency() -> None:
    """A symbol that is paid in another currency fills the limits by what that is worth."""
    dear = replace(IN_DAY, rate=Decimal(20))
    assert judge(leg(10), bound(order_notional_max=100), dear).amount == Decimal("0.5")
    assert judge(leg(10), bound(day_notional_max=1000), dear).amount == Decimal("0.5")


def test_no_code_is_untried() -> None:
    """Every code of orders is tried above."""
    tried = {row[-1] for row in ONE_LIMIT_EACH}
    assert tried == set(list(Reason)[list(Reason).index(Reason.PRICE_DEVIATION_MAX) :])
    assert len(ORDER) == len(tried)


def test_a_verdict_tells_what_the_limit_saw() -> None:
    """A cut says how much was asked for where how much is allowed, in the limit's own unit."""
    (verdict,) = judge(leg(100), bound(volume_share_max="0.01"), replace(HERE, in_bar=Decimal(2))).verdicts
    assert isinstance(verdict, Reduced)
    assert verdict.to == 8
    assert verdict.findings[0].found == pytest.approx(0.102)
    assert verdict.findings[0].most == 0.01
    (refused,) = judge(leg(100), bound(turnover_day_max="0.01"), IN_DAY).verdicts
    assert isinstance(refused, Refused)
    assert refused.finding.found == pytest.approx(0.095)
    assert refused.finding.most == 0.01


# --- exits -----------------------------------------------------------------------------------------------------------

EXITS = [
    (bound(orders_per_minute=1), holding(50, in_minute=9), 50),
    (bound(day_notional_max=1), holding(50, in_day=Decimal(999)), 50),
    (bound(turnover_day_max="0.001"), holding(50, in_day=Decimal(999)), 50),
    (bound(order_notional_max=200), holding(50), 20),
    (bound(order_notional_max="498"), holding(50), 25),  # a first slice of 49.8 would leave less than the venue takes
    (bound(volume_share_max="0.01"), holding(50), 10),
    (bound(volume_share_max="0.01"), holding(50, volume=ZERO), Decimal("0.5")),  # nobody trades: a trickle
    (bound(volume_share_max="0.01"), holding(50, volume=ZERO, in_bar=Decimal("0.5")), 0),  # but not all at once
    (bound(volume_share_max="0.01"), holding(50, volume=None, close=None), Decimal("0.5")),
    (bound(price_deviation_max="0.01"), holding(50, close=Decimal(12)), 0),
    (bound(price_deviation_max="0.01"), holding(50, close=None), 0),
    (OrderLimits(), holding(50, opposing=True), 0),
]


@pytest.mark.parametrize(("limits", "here", "sold"), EXITS)
def test_exits_pass_what_bounds_trading(limits: OrderLimits, here: Situation, sold: int) -> None:
    """An exit passes the limits of the minute and the day, is sliced by those of one order, and stopped by a wrong price and by itself."""
    assert judge(sell(50), limits, here).amount == sold
    covered = replace(here, position=-here.position)
    assert judge(leg(50), limits, covered).amount == sold  # a short is an exit's other side


def test_only_the_part_that_makes_smaller_is_an_exit() -> None:
    """What goes through 0 passes the day's bounds up to there."""
    judged = judge(sell(50), bound(day_notional_max=1), holding(20))
    assert judged.amount == 20
    assert codes(judged) == [Reason.DAY_NOTIONAL_MAX]


def test_a_limit_that_leaves_less_than_an_order_refuses() -> None:
    """What grows is not ordered in pieces that the venue does not take."""
    judged = judge(leg(50), bound(order_notional_max=4), HERE)
    assert judged.amount == 0
    assert codes(judged) == [Reason.ORDER_NOTIONAL_MAX]


# --- any leg, any limits ---------------------------------------------------------------------------------------------


def random_limits(chance: random.Random) -> OrderLimits:
    """Each limit is there or not, from nothing to far away."""

    def some(*values: str) -> Decimal | None:
        return Decimal(chance.choice(values)) if chance.random() < 0.4 else None

    return OrderLimits(
        order_notional_max=some("0.5", "3", "40", "1000"),
        day_notional_max=some("0", "10", "500", "10000"),
        turnover_day_max=some("0", "0.001", "0.2"),
        orders_per_minute=chance.choice([None, None, 0, 1, 20]),
        volume_share_max=some("0", "0.001", "0.1"),
        price_deviation_max=some("0.01", "0.2"),
    )


def random_situation(chance: random.Random) -> Situation:
    """Long, short or nothing; a busy or a quiet day."""
    return Situation(
        market=MARKET,
        position=Decimal(chance.randint(-1000, 1000)) / 10 * chance.choice([0, 1]),
        smallest=Decimal(chance.choice(["0.1", "0.5", "7"])),
        equity=Decimal(chance.choice(["0", "100", "10000"])),
        close=chance.choice([None, Decimal(10), Decimal("10.5")]),
        volume=chance.choice([None, ZERO, Decimal(5), Decimal(10000)]),
        in_bar=Decimal(chance.choice(["0", "3"])),
        in_minute=chance.randint(0, 3),
        in_day=Decimal(chance.choice(["0", "50", "600"])),
    )


def test_limits_only_take_away() -> None:
    """Whatever the limits: no order grows, what is cut is on the grid and an order to the venue, and every limit has been kept."""
    chance = random.Random(1)
    for _ in range(5 * CASES):
        limits, here = random_limits(chance), random_situation(chance)
        asked = leg(Decimal(chance.randint(1, 2000)) / 10, chance.choice(list(Side)))
        judged = judge(asked, limits, here)
        amount = judged.amount
        assert ZERO <= amount <= asked.amount
        assert bool(judged.verdicts) == (amount < asked.amount)
        if amount < asked.amount:
            assert amount == 0 or (amount >= here.smallest and amount % MARKET.amount_step == 0)
        grows = max(amount - smaller_by(asked, here), ZERO)
        if grows:
            assert limits.order_notional_max is None or amount * 10 <= limits.order_notional_max
            assert limits.volume_share_max is None or here.in_bar + amount <= (here.volume or 0) * limits.volume_share_max
            assert limits.day_notional_max is None or here.in_day + amount * 10 <= limits.day_notional_max
            assert limits.turnover_day_max is None or here.in_day + amount * 10 <= limits.turnover_day_max * 2 * here.equity
            assert limits.orders_per_minute is None or here.in_minute < limits.orders_per_minute


def test_every_exit_ends() -> None:
    """Whatever the limits, a believable price given: a position is sold slice by slice to the last, each slice an order to the venue."""
    chance = random.Random(2)
    for _ in range(CASES):
        limits, here = random_limits(chance), replace(random_situation(chance), close=Decimal(10))
        position = here.smallest + Decimal(chance.randint(0, 300)) / 10
        slices = 0
        while position:
            judged = judge(sell(position), limits, replace(here, position=position, in_bar=ZERO))  # each time a new bar
            assert judged.amount >= here.smallest
            position, slices = position - judged.amount, slices + 1
        assert slices <= 400
