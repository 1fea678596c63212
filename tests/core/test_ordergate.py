"""The gate before the intent: what was ordered lately counts by minute, day and bar, the same after a restart."""

import random
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from daemon.core.account import Account
from daemon.core.ledger import Ledger
from daemon.core.model import ZERO, Order, Side, Slice
from daemon.core.ordergate import OrderGate, Traffic
from daemon.core.ordertable import OrderTable
from daemon.core.planner_legs import Leg
from daemon.core.risk import Reason
from daemon.core.risk_orders import OrderLimits
from tests.core.builders import START, after, market, order

DAY = timedelta(days=1)


def test_a_day_counts_whole_orders_until_they_have_ended() -> None:
    """What may still trade counts like what has traded; what ended without a trade does not count."""
    traffic = Traffic()
    for number in range(3):
        traffic.made(order(f"r{number}", amount="2", at=after(number)))
    assert traffic.in_day(after(5)) == {"USDT": 600}
    traffic.ended("r0", ZERO, ZERO)
    traffic.ended("r1", Decimal(1), Decimal(101))
    assert traffic.in_day(after(5)) == {"USDT": 301}
    assert traffic.since("BTC/USDT", START) == 3
    assert traffic.since("ETH/USDT", START) == 0


def test_a_trade_that_is_known_late_counts_too() -> None:
    """An order that turns out to have traded after its end counts with that, on its day and since its bar, and no trade twice."""
    traffic = Traffic()
    traffic.made(order("r0", amount="2", at=START))
    traffic.ended("r0", ZERO, ZERO)
    for _ in range(2):
        traffic.ended("r0", Decimal(1), Decimal(101))
    traffic.ended("r0", Decimal("1.5"), Decimal(151))
    assert traffic.in_day(after(5)) == {"USDT": 151}
    assert (traffic.since("BTC/USDT", START), traffic.since("BTC/USDT", after(1))) == (Decimal("1.5"), ZERO)
    assert traffic.in_day(START + 3 * DAY) == {}
    traffic.ended("r0", Decimal(2), Decimal(201))
    assert (traffic._told, traffic._symbols) == ({}, {}), "nothing is remembered for ever"


def test_a_day_ends_at_midnight_utc() -> None:
    """An order counts on the day on which it was made, however late it ends."""
    traffic = Traffic()
    traffic.made(order("r0", at=START + DAY - timedelta(seconds=1)))
    assert traffic.in_day(START + DAY - timedelta(seconds=1)) == {"USDT": 100}
    assert traffic.in_day(START + DAY) == {}
    traffic.ended("r0", Decimal(1), Decimal(100))
    assert traffic.in_day(START + DAY) == {}
    traffic.made(order("r1", at=START + DAY))
    assert traffic.in_day(START + DAY) == {"USDT": 100}


def test_money_of_several_currencies_is_kept_apart() -> None:
    """What was traded in each is known in units of its own; what they are worth is for the moment of the question."""
    traffic = Traffic()
    traffic.made(order("r0", "A/USDT", amount="2"))
    traffic.made(order("r1", "A/BTC", amount="3", price="0.1"))
    traffic.ended("r1", Decimal(3), Decimal("0.31"))
    assert traffic.in_day(START) == {"USDT": 200, "BTC": Decimal("0.31")}


def test_a_minute_has_sixty_seconds() -> None:
    """An order counts for 60 s, whatever became of it."""
    traffic = Traffic()
    traffic.made(order("r0", at=after(0)))
    traffic.made(order("r1", at=after(30)))
    traffic.ended("r0", ZERO, ZERO)
    assert [traffic.in_minute(after(second)) for second in (30, 59.9, 60, 89.9, 90)] == [2, 2, 1, 1, 0]


def test_a_restart_changes_nothing() -> None:
    """Told only the orders of the last day and how they ended, the state is the same as that of who lived through it."""
    chance = random.Random(3)
    for _ in range(50):
        lived, told = Traffic(), Traffic()
        orders: list[Order] = []
        ends: dict[str, Decimal] = {}
        at = START
        for number in range(60):
            at += timedelta(seconds=chance.choice([0, 1, 50, 4000]))
            orders.append(order(f"r{number}", chance.choice(["A/USDT", "B/USDT"]), amount=str(chance.randint(1, 9)), at=at))
            lived.made(orders[-1])
            lived.in_day(at)
            if chance.random() < 0.7:
                ended = chance.choice([each for each in orders if each.id not in ends])
                ends[ended.id] = ended.amount * chance.choice([0, 1]) / 2
                lived.ended(ended.id, ends[ended.id], ends[ended.id] * 99)
        for each in orders:
            if each.at > at - DAY or each.id not in ends:
                told.made(each)
                if each.id in ends:
                    told.ended(each.id, ends[each.id], ends[each.id] * 99)
        assert told.in_day(at) == lived.in_day(at)
        assert told.in_minute(at) == lived.in_minute(at)
        for symbol in ("A/USDT", "B/USDT"):
            assert told.since(symbol, at - timedelta(hours=1)) == lived.since(symbol, at - timedelta(hours=1))


# --- the gate --------------------------------------------------------------------------------------------------------


def closed(at: datetime, close: float, volume: float, *, age: int = 0) -> Slice:
    """One symbol's bar; of an age above 0, it stands in for one that did not come."""
    panel = np.array([[close], [close], [close], [close], [volume]])
    return Slice(at, ("BTC/USDT",), panel, np.array([age > 0]), np.array([age]))


def judged(gate: OrderGate, amount: str, at: datetime, price: str = "100") -> tuple[Decimal, list[Reason]]:
    """What the gate leaves of a buy."""
    leg = Leg("BTC/USDT", Side.BUY, Decimal(amount), Decimal(price), Decimal(amount))
    account = Account("USDT", Ledger(), OrderTable(), timedelta(seconds=15))
    account.markets = {"BTC/USDT": market()}
    answer = gate.judge(leg, account, ZERO, Decimal(10000), at, opposing=False)
    return answer.amount, [verdict.reason for verdict in answer.verdicts]


def test_a_share_of_the_volume_is_for_all_orders_until_the_next_bar() -> None:
    """Orders in a symbol share the last real bar's volume; a bar that stands in for a missing one brings nothing new."""
    gate = OrderGate(OrderLimits(volume_share_max=Decimal("0.1")))
    gate.take(closed(START, 100, 20))
    assert judged(gate, "2", START) == (Decimal(2), [])
    made = order("r0", amount="1.5", at=START)
    gate.traffic.made(made)
    assert judged(gate, "2", after(1)) == (Decimal("0.5"), [Reason.VOLUME_SHARE_MAX])
    gate.traffic.ended("r0", Decimal("1.5"), Decimal(150))
    gate.take(closed(after(60), 100, 0, age=1))
    assert judged(gate, "2", after(61)) == (Decimal("0.5"), [Reason.VOLUME_SHARE_MAX])
    gate.take(closed(after(120), 100, 20))
    assert judged(gate, "2", after(121)) == (Decimal(2), [])


def test_history_says_what_a_price_should_be() -> None:
    """A price is believed as far as the last bar goes, one of before the start too; without any bar none is."""
    gate = OrderGate(OrderLimits(price_deviation_max=Decimal("0.05")))
    assert judged(gate, "1", START) == (Decimal(0), [Reason.PRICE_DEVIATION_MAX])
    gate.warm([closed(START, 100, 1)])
    assert judged(gate, "1", START, "105") == (Decimal(1), [])
    assert judged(gate, "1", START, "105.01") == (Decimal(0), [Reason.PRICE_DEVIATION_MAX])
