"""Curves: money that comes and goes is no profit, exactly and through restarts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest

from daemon.core.account import Account
from daemon.core.curves import HALF_LIFE, Curve, Curves
from daemon.core.events import FlowBooked, KeepState, PriceTicked, SleevesBooked, StopRequested
from daemon.core.ledger import Ledger
from daemon.core.model import Booking, Entry, Flow
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import UNASSIGNED, Portfolio
from tests.core.builders import after, market

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 2, tzinfo=UTC)


def funded(amount: str = "1000", at: datetime = NOON) -> Curve:
    """A curve with its first money in it."""
    curve = Curve()
    curve.pay(Decimal(amount), Decimal(amount), at)
    return curve


def test_a_deposit_is_no_profit_and_a_withdrawal_no_loss() -> None:
    """Whatever comes and goes between two marks leaves the worth of a unit, its drawdown and the profit where they were."""
    curve = funded()
    curve.mark(Decimal(900), NOON)
    for worth in (Decimal(5000), Decimal(-5899), Decimal("0.001"), Decimal(10**9)):
        curve.pay(worth, curve.equity + worth, NOON)
        assert curve.value == pytest.approx(0.9)
        assert curve.drawdown == pytest.approx(0.1)
        assert curve.pnl == Decimal(-100)


def test_all_money_may_leave_and_come_back() -> None:
    """While nothing is in it the worth of a unit stands, and the next money buys at it."""
    curve = funded()
    curve.mark(Decimal(1500), NOON)
    curve.pay(Decimal(-1500), Decimal(0), NOON)
    curve.mark(Decimal(0), NOON)
    curve.pay(Decimal(10), Decimal(10), NOON)
    curve.mark(Decimal(9), NOON)
    assert curve.value == pytest.approx(1.35)
    assert curve.drawdown == pytest.approx(0.1)
    assert curve.pnl == Decimal(499)


def test_what_is_lost_is_lost_until_somebody_begins_anew() -> None:
    """A debt is a drawdown of everything, not of more; money that comes then begins another history, and the loss in money stays."""
    curve = funded()
    curve.mark(Decimal(-5), NOON)
    assert (curve.value, curve.drawdown) == (0.0, 1.0)
    curve.pay(Decimal(100), Decimal(95), NOON)
    assert (curve.value, curve.drawdown, curve.pnl) == (1.0, 0.0, Decimal(-1005))


@pytest.mark.parametrize(
    ("last", "first", "opened"),
    [
        (MIDNIGHT, MIDNIGHT + timedelta(seconds=1), 1100),  # what closes at midnight is the end of the day before
        (MIDNIGHT - timedelta(hours=1), MIDNIGHT + timedelta(hours=5), 1100),
        (MIDNIGHT - timedelta(days=2), MIDNIGHT + timedelta(hours=5), 990),  # nobody knows where this day began
    ],
)
def test_a_day_begins_where_the_one_before_ended(last: datetime, first: datetime, opened: int) -> None:
    """The return of the day starts from the last mark before midnight UTC, unless that is more than a day old."""
    curve = funded(at=last - timedelta(hours=2))
    curve.mark(Decimal(1100), last)
    curve.mark(Decimal(990), first)
    curve.mark(Decimal(1100), last)  # what is told late does not turn the day back
    curve.mark(Decimal(880), first + timedelta(minutes=1))
    assert curve.today == pytest.approx(880 / opened - 1)


def test_the_text_of_a_curve_is_the_curve() -> None:
    """What is kept is what is found again, to the last bit."""
    curve = funded("1000.000000000000000000000000000001")
    curve.mark(Decimal("1234.56789"), NOON)
    assert Curve.of(curve.told()) == curve


class Desk:
    """An account with its curve; a restart folds the same flows."""

    def __init__(self, flows: list[Flow], text: str | None = None, prices: dict[str, float] | None = None) -> None:
        self.ledger, self.flows, self.now = Ledger(), list(flows), 0
        table = OrderTable()
        self.account = Account("USDT", self.ledger, table, timedelta(days=1))
        self.account.markets = {s: market(s) for s in ("A/USDT", "B/USDT")}
        self.portfolio = Portfolio((), self.ledger, table)
        self.curves = Curves(self.account, self.ledger, self.portfolio)
        self.portfolio.restore(flows, (), (), {}, {})
        self.curves.restore(text, flows, ())
        for symbol, price in (prices or {}).items():
            self.tick(symbol, price)

    def tick(self, symbol: str, price: float) -> None:
        """A price, and a mark at it."""
        self.now += 1
        self.account.on_tick(PriceTicked(symbol, price, after(self.now)))
        self.curves.mark(after(self.now))

    def pay(self, currency: str, amount: str) -> None:
        """A flow; the venue tells some of them twice."""
        self.now += 1
        flow = Flow(f"f{len(self.flows)}", currency, Decimal(amount), "transfer", after(self.now))
        self.flows.append(flow)
        for _ in range(2):
            self.portfolio.on_flow(FlowBooked(flow, after(self.now)))
            list(self.curves.on_flow(FlowBooked(flow, after(self.now))))

    @property
    def money(self) -> tuple[Decimal, Decimal]:
        """What was contributed, and what was made."""
        return self.curves.account.contributed, self.curves.account.pnl

    def kept(self) -> str:
        """What a stop leaves in the journal."""
        (kept,) = self.curves.on_stop(StopRequested(after(self.now)))
        assert isinstance(kept, KeepState)
        return kept.text


def test_coins_count_at_their_price_when_they_came() -> None:
    """A coin that is paid in is worth what it costs then; one that has no price yet waits for its first, and is no profit either."""
    desk = Desk([])
    desk.pay("USDT", "1000")
    desk.pay("A", "2")
    assert desk.curves.account.contributed == 1000
    desk.tick("A/USDT", 50)
    assert desk.money == (Decimal(1100), Decimal(0))
    desk.tick("A/USDT", 60)
    desk.pay("A", "-1")
    assert desk.money == (Decimal(1040), Decimal(20))
    assert desk.curves.account.value == pytest.approx(1120 / 1100)


def test_what_is_in_no_market_counts_nowhere() -> None:
    """A coin outside of the universe is no equity, and its coming no contribution."""
    desk = Desk([])
    desk.pay("USDT", "1000")
    desk.pay("ELSEWHERE", "7")
    assert desk.money == (Decimal(1000), Decimal(0))


@pytest.mark.parametrize("seed", range(20))
def test_a_restart_changes_nothing(seed: int) -> None:
    """Through any number of restarts the curve is that of a process which never ended, also of what came after it was kept last."""
    rng, prices = Random(seed), {"A/USDT": 10.0, "B/USDT": 0.001}
    lasting, desk = Desk([], prices=prices), Desk([], prices=prices)

    def pay() -> None:
        currency = rng.choice(["A", "B", "USDT"])
        amount = str(round(rng.uniform(-0.2, 1.0) * 10 ** rng.randint(0, 3), 6))
        for each in (lasting, desk):
            each.pay(currency, amount)

    for _ in range(40):
        symbol = rng.choice(list(prices))
        match rng.choice(["tick", "pay", "restart"]):
            case "tick":
                prices[symbol] *= rng.uniform(0.8, 1.25)
                for each in (lasting, desk):
                    each.tick(symbol, prices[symbol])
            case "pay":
                pay()
            case "restart":
                text = desk.kept()
                for _ in range(rng.randrange(3)):
                    pay()
                desk = Desk(desk.flows, text, prices)
    mine, theirs = desk.curves.account, lasting.curves.account
    assert (mine.pnl, mine.equity, mine.contributed) == (theirs.pnl, theirs.equity, theirs.contributed)
    assert (mine.value, mine.high, mine.units) == pytest.approx((theirs.value, theirs.high, theirs.units))


def test_a_cross_at_another_price_than_now_has_a_winner() -> None:
    """It is a trade, not a payment: who bought below what it is worth now has made that, and the other has lost it."""
    desk = Desk([], prices={"A/USDT": 100.0})
    desk.pay("A", "1")
    entries = (
        Entry("ada", "A", Decimal(1)),
        Entry(UNASSIGNED, "A", Decimal(-1)),
        Entry("ada", "USDT", Decimal(-90)),
        Entry(UNASSIGNED, "USDT", Decimal(90)),
    )
    booking = Booking("b", "cross", entries, after(9))
    desk.portfolio.ask(booking)
    for hear in (desk.portfolio.on_booked, desk.curves.on_booked):
        list(hear(SleevesBooked(booking, after(9))))
    assert [desk.curves.of(name).pnl for name in ("ada", UNASSIGNED)] == [Decimal(10), Decimal(-10)]
    assert desk.curves.account.pnl == Decimal(0)


def test_the_volatility_of_a_curve_is_that_of_its_bars() -> None:
    """Around zero, of bars that moved, the newest counting most once there are more than the half-life."""
    curve = funded()
    for n in range(HALF_LIFE):
        curve.mark(curve.equity * (Decimal("1.1") if n % 2 else 1 / Decimal("1.1")), NOON + timedelta(minutes=n))
        curve.close()
        curve.close()  # nothing has moved
    assert curve.bars == HALF_LIFE
    assert curve.volatility == pytest.approx(0.0958, abs=5e-4)
    for n in range(3 * HALF_LIFE):
        curve.mark(curve.equity * (Decimal("1.01") if n % 2 else 1 / Decimal("1.01")), NOON + timedelta(hours=2, minutes=n))
        curve.close()
    assert curve.volatility**2 == pytest.approx(0.0958**2 / 8 + 0.00995**2 * 7 / 8, rel=0.1)
