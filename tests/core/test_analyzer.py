"""The analyzer: profit adds up whatever is traded, each cost is what it says, and a watch's jump becomes one event."""

from collections.abc import Mapping
from dataclasses import astuple, replace
from datetime import timedelta
from decimal import Decimal
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.account import Account
from daemon.core.analyzer import DECISIONS_MAX, PENDING_MAX, Analyzer
from daemon.core.curves import Curves
from daemon.core.events import (
    CorrelationCalmed,
    CorrelationHigh,
    FlowBooked,
    OrderFilled,
    SleevesBooked,
    SliceClosed,
    TargetsChosen,
    TimePassed,
    WaveSettled,
)
from daemon.core.ledger import OPENING, Ledger
from daemon.core.model import Booking, Decision, Entry, Fill, Floats, Flow, Money, Side, Slice, TargetWeights
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import Portfolio
from tests.core.builders import START, market, order

BTC, ETH, BNB = "BTC/USDT", "ETH/USDT", "BNB/USDT"
SYMBOLS = (BTC, ETH, BNB)
HOUR = timedelta(hours=1)


class World:
    """An analyzer beside a real ledger and account; prices, trades and time are the test's hand."""

    def __init__(self, cash: str = "10000", names: tuple[str, ...] = ("momo",), slippage: float | None = None, jump: float = 0.2) -> None:
        self.ledger, self.table = Ledger(), OrderTable()
        self.account = Account("USDT", self.ledger, self.table, timedelta(seconds=15))
        self.account.markets = {symbol: market(symbol) for symbol in SYMBOLS}
        self.portfolio = Portfolio(names, self.ledger, self.table)
        self.curves = Curves(self.account, self.ledger, self.portfolio)
        self.analyzer = Analyzer(SYMBOLS, HOUR, self.account, self.table, self.curves, jump=jump, slippage=slippage)
        self.now = START
        self.told: list[CorrelationHigh | CorrelationCalmed] = []
        self._trades = 0
        self.flow("USDT", cash, OPENING)

    def bar(self, *closes: float, asked: bool = False) -> None:
        """One slice, and the tick after it; `asked`: somebody looks in between."""
        self.now += HOUR
        panel = np.full((5, len(SYMBOLS)), 1.0)
        panel[:4] = closes
        event = SliceClosed(Slice(self.now, SYMBOLS, panel, np.isnan(panel[3]), np.isnan(panel[3]).astype(np.int64)), self.now)
        self.account.on_slice(event)
        list(self.curves.on_slice(event))
        self.told += self.analyzer.on_slice(event)
        if asked:
            self.analyzer.report()
        self.told += self.analyzer.on_time(TimePassed(self.now))

    def fill(
        self,
        symbol: str,
        side: Side,
        amount: str,
        price: str,
        fee: Money | None = None,
        *,
        reference: str | None = None,
        ours: bool = True,
        split: Mapping[str, str] | None = None,
    ) -> None:
        """A trade, as the gateway would tell it."""
        self._trades += 1
        whose = {name: Decimal(part) for name, part in (split or {}).items()}
        intent = replace(order(f"r{self._trades}", symbol, side, amount, reference or price), split=whose)
        if ours:
            self.table.add(intent)
        booked = Fill(
            order_id=intent.id if ours else "",
            venue_id=f"v{self._trades}",
            trade_id=f"t{self._trades}",
            symbol=symbol,
            side=side,
            amount=Decimal(amount),
            price=Decimal(price),
            cost=Decimal(amount) * Decimal(price),
            fees=() if fee is None else (fee,),
            at=self.now + timedelta(seconds=1),
        )
        event = OrderFilled(booked, booked.at)
        self.analyzer.on_fill(event)
        self.portfolio.on_fill(event)

    def flow(self, currency: str, amount: str, kind: str = "deposit") -> None:
        """Money comes or goes."""
        self._trades += 1
        flow = Flow(f"f{self._trades}", currency, Decimal(amount), kind, self.now)
        event = FlowBooked(flow, self.now)
        for hear in (self.analyzer.on_flow, self.portfolio.on_flow, self.curves.on_flow):
            hear(event)

    def book(self, kind: str, *entries: tuple[str, str, str]) -> None:
        """What sleeves give each other."""
        self._trades += 1
        lines = tuple(Entry(sleeve, currency, Decimal(amount)) for sleeve, currency, amount in entries)
        booking = Booking(f"b{self._trades}", kind, lines, self.now)
        self.portfolio.ask(booking)
        event = SleevesBooked(booking, self.now)
        for hear in (self.analyzer.on_booked, self.portfolio.on_booked, self.curves.on_booked):
            hear(event)

    def settle(self, targets: Mapping[str, float], keep: frozenset[str] = frozenset(), **asked: Mapping[str, float]) -> None:
        """A decision of these strategies is in force."""
        by_strategy = {name: TargetWeights(weights) for name, weights in asked.items()}
        decision = Decision("d1", self.now, targets, keep, by_strategy, self.now)
        self.analyzer.on_targets(TargetsChosen(decision, self.now))
        self.analyzer.on_settled(WaveSettled(decision, targets, Decimal(10000), 0, 0, {}, {}, {}, 0.0, 1, self.now))


def test_profit_and_return_of_a_holding() -> None:
    """Ten at 100 that rise to 110 in an account of 10,000: 100 of profit, 1 % of return, all of it from the one symbol."""
    world = World()
    world.bar(100.0, 10.0, 1.0)
    world.fill(BTC, Side.BUY, "10", "100")
    world.bar(110.0, 10.0, 1.0)
    told = world.analyzer.report()
    assert told.account.profit == pytest.approx(100.0)
    assert told.account.total_return == pytest.approx(0.01)
    assert [row.contribution for row in told.symbols] == pytest.approx([0.01, 0.0, 0.0])
    assert told.symbols[0].weight == pytest.approx(1100 / 10100)
    assert (told.account.traded, told.account.turnover) == pytest.approx((1000.0, 0.1))
    assert told.since == START + HOUR


def test_nothing_is_said_before_there_is_an_account() -> None:
    """While nobody knows what the account holds, only the market is measured."""
    world = World(cash="0")
    world.bar(100.0, 10.0, 1.0)
    world.bar(110.0, 10.0, 1.0)
    told = world.analyzer.report()
    assert (told.since, told.account_bars, told.bars) == (None, 0, 2)
    assert told.symbols[0].total_return == pytest.approx(0.1)
    assert isnan(told.account.volatility)
    assert isnan(told.account.tracking_error)


@st.composite
def happenings(draw: st.DrawFn) -> list[tuple[str, int, float, float]]:
    """Bars, trades with fees in every currency, deposits and withdrawals, in any order."""
    kinds = st.sampled_from(["bar", "bar", "buy", "sell", "deposit", "withdraw", "foreign"])
    step = st.tuples(kinds, st.integers(0, 2), st.floats(0.5, 2.0), st.floats(0.1, 3.0))
    return draw(st.lists(step, max_size=40))


@given(happenings())
def test_profit_adds_up_whatever_happens(steps: list[tuple[str, int, float, float]]) -> None:
    """The symbols' profits are the change of equity less what was paid in, and the contributions the time-weighted return, to the cent."""
    world = World()
    prices = [100.0, 50.0, 10.0]
    world.bar(*prices)
    started, paid_in = float(world.account.equity()), 0.0
    for kind, column, factor, amount in steps:
        symbol, size = SYMBOLS[column], f"{amount:.3f}"
        price = f"{prices[column] * (0.9 + factor / 10):.4f}"
        fee = Money(Decimal("0.002"), ["BTC", "USDT", "BNB"][int(factor * 10) % 3])
        match kind:
            case "bar":
                prices[column] *= factor
                world.bar(*prices)
            case "buy" | "sell" | "foreign":
                side = Side.BUY if kind == "buy" or factor > 1 else Side.SELL
                world.fill(symbol, side, size, price, fee, ours=kind != "foreign")
            case _:
                units = size if kind == "deposit" else f"-{size}"
                currency = symbol.split("/")[0] if factor > 1 else "USDT"
                paid_in += float(units) * (float(world.account.mark(symbol) or 0) if factor > 1 else 1.0)
                world.flow(currency, units)
    world.bar(*prices)
    told = world.analyzer.report()
    assert told.account.profit == pytest.approx(float(world.account.equity()) - started - paid_in, abs=1e-6)
    assert sum(row.profit for row in told.symbols) == pytest.approx(told.account.profit, abs=1e-6)
    assert sum(row.contribution for row in told.symbols) == pytest.approx(told.account.total_return, abs=1e-9)


def test_costs_are_split() -> None:
    """Decided at 100, ordered at 101, paid 102, fee 0.2: delay 1, spread 1, fee 0.2 a unit; and a sale's costs have the same sign."""
    world = World()
    world.bar(100.0, 10.0, 1.0)
    world.settle({BTC: 0.1})
    world.fill(BTC, Side.BUY, "10", "102", Money(Decimal(2), "USDT"), reference="101")
    world.fill(BTC, Side.SELL, "5", "98", Money(Decimal(1), "USDT"), reference="99")
    costs = world.analyzer.report().account.costs
    assert (costs.fee, costs.spread, costs.delay) == pytest.approx((3.0, 15.0, 15.0))
    assert world.analyzer.report().account.cost_bps == pytest.approx(33.0 / (1020 + 490) * 10_000)


def test_a_simulated_venue_says_what_slippage_is() -> None:
    """Where fills come at the next bar's open plus 10 bps, the gap from close to open is delay, and the 10 bps are spread."""
    world = World(slippage=0.001)
    world.bar(100.0, 10.0, 1.0)
    world.settle({BTC: 0.1})
    world.fill(BTC, Side.BUY, "10", "105.105", reference="100")
    costs = world.analyzer.report().account.costs
    assert (costs.spread, costs.delay) == pytest.approx((1.05, 50.0))


def test_fees_in_any_currency_count_against_what_was_traded() -> None:
    """In the coin bought, in quote, or in a third coin of the universe: always of the symbol traded; one without a price is told apart."""
    for fee in (Money(Decimal("0.1"), "BTC"), Money(Decimal(10), "USDT"), Money(Decimal(10), "BNB")):
        world = World()
        world.flow("BNB", "50")
        world.bar(100.0, 10.0, 1.0)
        world.fill(BTC, Side.BUY, "10", "100", fee)
        world.bar(100.0, 10.0, 1.0)
        told = world.analyzer.report()
        assert told.account.costs.fee == pytest.approx(10.0)
        assert [row.profit for row in told.symbols] == pytest.approx([-10.0, 0.0, 0.0])
    world.fill(BTC, Side.BUY, "1", "100", Money(Decimal("0.5"), "GAS"))
    assert world.analyzer.report().account.fees_elsewhere == {"GAS": 0.5}


def test_strategies_answer_for_what_they_hold() -> None:
    """Two strategies for whom a symbol was bought 2 to 1 share its profit and risk 2 to 1; together that is the account's."""
    world = World(names=("a", "b"))
    world.bar(100.0, 10.0, 1.0)
    world.fill(BTC, Side.BUY, "30", "100", split={"a": "20", "b": "10"})
    world.fill(ETH, Side.BUY, "100", "10", split={"b": "100"})
    for k in range(5):
        world.bar(100.0 + 3 * (k % 2), 10.0 + k / 10, 1.0)
    told = world.analyzer.report()
    a, b, nobody = told.strategies
    btc, eth, _ = told.symbols
    assert (a.profit, b.profit) == pytest.approx((btc.profit * 2 / 3, btc.profit / 3 + eth.profit))
    assert a.contribution + b.contribution == pytest.approx(told.account.total_return)
    assert (a.risk, a.risk + b.risk) == pytest.approx((btc.risk * 2 / 3, 1.0))
    assert (nobody.strategy, nobody.profit, nobody.traded) == ("unassigned", 0.0, 0.0)


def test_what_sleeves_give_each_other_is_nobodys_profit() -> None:
    """Capital that is moved is no profit, a cross changes who holds and not what was made, and both sides of it count as crossed."""
    world = World(names=("a", "b"))
    world.bar(100.0, 10.0, 1.0)
    world.book("capital", ("a", "USDT", "6000"), ("b", "USDT", "4000"), ("unassigned", "USDT", "-10000"))
    world.fill(BTC, Side.BUY, "30", "100", split={"a": "20", "b": "10"})
    world.bar(110.0, 10.0, 1.0)
    world.book("cross", ("b", "BTC", "20"), ("a", "BTC", "-20"), ("b", "USDT", "-2200"), ("a", "USDT", "2200"))
    world.book("capital", ("a", "USDT", "-1000"), ("b", "USDT", "1000"))
    world.bar(120.0, 10.0, 1.0)
    told = world.analyzer.report()
    a, b = told.strategies
    assert (a.profit, b.profit) == pytest.approx((200.0, 400.0))
    assert a.contribution + b.contribution == pytest.approx(told.account.total_return)
    assert (a.traded, b.traded, told.account.traded) == pytest.approx((2000.0, 1000.0, 3000.0))
    assert (a.crossed, b.crossed, told.account.crossed) == pytest.approx((2200.0, 2200.0, 4400.0))
    assert (a.pnl, b.pnl) == (Decimal(200), Decimal(400))
    assert (a.equity, b.equity) == (Decimal(5200), Decimal(5400))


def test_a_symbol_without_history_hides_no_risk() -> None:
    """The risk of what is held is known, whatever is not known of what is not."""
    world = World()
    world.bar(100.0, 10.0, float("nan"))
    world.fill(BTC, Side.BUY, "50", "100")
    for k in range(5):
        world.bar(100.0 + k % 2, 10.0 + k % 3, float("nan"))
    told = world.analyzer.report()
    assert told.account.volatility_expected > 0
    assert [row.risk for row in told.symbols] == pytest.approx([1.0, 0.0, 0.0])


def test_tracking_error_is_the_deviation_of_active_returns() -> None:
    """On target there is none; off by 10 % of equity it is 10 % of the symbol's own; a symbol whose weight is kept is on target."""
    for held, keep, expected in (("0", frozenset[str](), 0.1), ("0", frozenset({BTC}), 0.0)):
        world = World()
        world.bar(100.0, 10.0, 1.0)
        world.settle({BTC: 0.1}, keep, momo={BTC: 0.1})
        moves = [0.1, -0.1, 0.2, -0.05]
        price = 100.0
        for move in moves:
            price *= 1 + move
            world.bar(price, 10.0, 1.0)
        assert held == "0"
        told = world.analyzer.report().account
        assert told.tracking_error == pytest.approx(expected * float(np.std(moves)) * np.sqrt(365 * 24), abs=1e-12)
        assert told.off_target == pytest.approx(0.05 if expected else 0.0)


def test_a_portfolio_that_goes_where_it_should_has_no_tracking_error() -> None:
    """What is bought and sold right after a close is held from there on: only what is still off target tracks."""
    world = World()
    price = 100.0
    world.bar(price, 10.0, 1.0)
    for wanted, move in ((0.5, 0.1), (0.0, -0.2), (1.0, 0.3), (0.25, 0.1)):
        world.settle({BTC: wanted}, momo={BTC: wanted})
        equity, held = world.account.equity(), world.ledger.held("BTC")
        amount = Decimal(repr(wanted)) * equity / Decimal(repr(price)) - held
        world.fill(BTC, Side.BUY if amount > 0 else Side.SELL, f"{abs(amount):.12f}", repr(price))
        price = round(price * (1 + move), 6)
        world.bar(price, 10.0, 1.0)
    assert world.analyzer.report().account.tracking_error == pytest.approx(0.0, abs=1e-9)


def test_a_jump_of_correlation_is_one_event() -> None:
    """The watch speaks through the bus, once, with both means, also where a report has measured the slice before the clock did."""
    world = World(jump=0.5)
    rng = np.random.default_rng(1)
    closes = np.array([100.0, 50.0, 10.0])
    for bar in range(330):
        common = rng.standard_normal()
        own = rng.standard_normal(3)
        closes = closes * (1 + 0.01 * (common + 0.1 * own if bar > 300 else own))
        world.bar(*closes.tolist(), asked=True)
    (event,) = world.told
    assert event.short > 0.5 > event.long
    assert world.analyzer.report().correlation.high


def bars_of(world: World, count: int, rng: np.random.Generator, closes: Floats, *, own: float) -> Floats:
    """So many bars, in whose moves all symbols have this part of their own; the rest is common to them."""
    for _ in range(count):
        closes = closes * (1 + 0.01 * ((1 - own) * rng.standard_normal() + own * rng.standard_normal(3)))
        world.bar(*closes.tolist())
    return closes


def test_the_watch_says_when_it_calms_and_goes_on_after_a_restart() -> None:
    """One word when it fires and one when it calms, whoever has looked in between; a restart in the middle repeats neither."""
    world, rng = World(jump=0.5), np.random.default_rng(1)
    closes = bars_of(world, 300, rng, np.array([100.0, 50.0, 10.0]), own=1.0)
    closes = bars_of(world, 30, rng, closes, own=0.1)
    assert world.analyzer.high
    again = World(jump=0.5)
    again.analyzer.restore(high=True)
    closes = bars_of(again, 10, rng, closes, own=0.1)  # too few bars to judge by: what was said stands
    assert (again.analyzer.high, again.told) == (True, [])
    bars_of(again, 300, rng, closes, own=1.0)
    assert not again.analyzer.high
    assert [type(event) for event in (*world.told, *again.told)] == [CorrelationHigh, CorrelationCalmed]


def test_moments_are_those_of_the_window() -> None:
    """A year's covariance and the correlations of the newest returns, in the order asked for, the waiting slice included."""
    world, rng = World(), np.random.default_rng(2)
    assert world.analyzer.moments([BTC]).covariance is None
    bars_of(world, 260, rng, np.array([100.0, 50.0, 10.0]), own=0.5)
    moments, window = world.analyzer.moments([ETH, BTC]), world.analyzer.market.window()[:, [1, 0]]
    assert moments.covariance is not None
    assert moments.correlation is not None
    np.testing.assert_allclose(moments.covariance, np.cov(window.T, bias=True) * 8760)
    np.testing.assert_allclose(moments.correlation, np.array(np.corrcoef(window.T)))


def test_moments_know_nothing_of_newcomers() -> None:
    """A symbol without returns all through the window is unknown, and takes nothing from what is known of the others."""
    world, rng = World(), np.random.default_rng(3)
    closes = np.array([100.0, 50.0, nan])
    bars_of(world, 100, rng, closes, own=0.5)
    bars_of(world, 20, rng, np.array([100.0, 50.0, 10.0]), own=0.5)
    moments = world.analyzer.moments(SYMBOLS)
    assert moments.covariance is not None
    assert np.isnan(np.diag(moments.covariance)).tolist() == [False, False, True]
    assert np.isnan(moments.covariance[2]).all()


def test_waiting_slices_are_bounded() -> None:
    """Without a tick, the slices are measured when there are too many, and a report never misses one."""
    world = World()
    for _ in range(PENDING_MAX + 3):
        world.now += HOUR
        panel = np.full((5, 3), 100.0)
        event = SliceClosed(Slice(world.now, SYMBOLS, panel, np.zeros(3, bool), np.zeros(3, np.int64)), world.now)
        world.account.on_slice(event)
        assert not list(world.analyzer.on_slice(event))
    assert world.analyzer.market.bars == PENDING_MAX
    assert world.analyzer.report().bars == PENDING_MAX + 3


def test_prices_of_old_decisions_are_forgotten() -> None:
    """Memory does not grow with decisions."""
    world = World()
    world.bar(100.0, 10.0, 1.0)
    for number in range(DECISIONS_MAX + 5):
        world.analyzer.on_targets(TargetsChosen(Decision(f"d{number}", world.now, {}, frozenset(), {}, world.now), world.now))
    assert len(world.analyzer._decided) == DECISIONS_MAX


def test_history_is_no_account() -> None:
    """The warm-up teaches the market, from its first bar; the account begins when the daemon does."""
    world = World()
    history = [
        Slice(START - (8 - k) * HOUR, SYMBOLS, np.full((5, 3), 100.0 + k), np.zeros(3, bool), np.zeros(3, np.int64)) for k in range(9)
    ]
    world.analyzer.warm(history)
    world.bar(110.0, 10.0, 1.0)
    told = world.analyzer.report()
    assert (told.history_since, told.bars, told.since) == (history[0].closes_at, 10, START + HOUR)


def test_a_report_is_values() -> None:
    """Everything in it can be written down: no arrays, and nothing that changes later."""
    world = World()
    world.bar(100.0, 10.0, 1.0)
    before = world.analyzer.report()
    text = str(astuple(before))
    world.fill(BTC, Side.BUY, "10", "100")
    world.bar(110.0, 10.0, 1.0)
    assert "array" not in text
    assert str(astuple(before)) == text
