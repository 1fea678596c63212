"""Breakers in a whole daemon, in virtual time: each fires, is told everywhere, and does not fire when its cause stays within."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer import Exit

from daemon.app import Daemon
from daemon.cli.shared import mistakes
from daemon.core.breakers.prices import REDENOMINATED
from daemon.core.events import HoldPlaced
from daemon.core.model import Order, Side
from daemon.core.paper import PaperAccount
from daemon.core.states import Hold, Level
from daemon.io.exchange import Reason, Refused, Unknown
from tests.sim.trouble import Closes, Life, Script, TroubledExchange, at_bar, configured, live, nothing, wave
from tests.sim.virtual import SimClock

A, B, C, D = "A/USDT", "B/USDT", "C/USDT", "D/USDT"
WEIGHTS = {A: 0.3, B: 0.3, C: 0.2}


def flat(rows: int) -> dict[str, list[float]]:
    """Four markets without a trend, each a little out of step with the others."""
    return {A: wave(100.0, rows), B: wave(10.0, rows + 1)[1:], C: wave(1.0, rows + 2)[2:], D: wave(5.0, rows + 3)[3:]}


def lived(
    folder: Path,
    closes: Closes,
    breakers: dict[str, Any],
    prepare: Callable[[TroubledExchange], None] = lambda _: None,
    script: Script = nothing,
    symbol: str = A,
    **sections: Any,
) -> Life:
    """The usual life: fixed weights over these closes."""
    config = configured(folder, closes, WEIGHTS, breakers, **sections)
    return live(config, closes, prepare, script, symbol)


def told_everywhere(life: Life, code: str, level: str) -> None:
    """Log, status, readiness, rows and `why` all know the account's hold."""
    assert life.said(f"trading.{level}", code)
    assert ("account", level, code) in life.codes()
    assert life.status["state"] == level
    (hold,) = (hold for hold in life.status["holds"] if hold["code"] == code)
    assert life.status["reason"] == hold["text"]
    assert not life.ready[0]
    assert any(hold["text"] in sentence for sentence in life.ready[1])
    assert life.why["now"]["hold"] == code
    assert f"risk.breakers.{code}" in life.why["now"]["hold_says"] or code == "drift"
    assert {row["hold"] for row in life.positions if row["symbol"] != "USDT"} == {code}


# --- losses ----------------------------------------------------------------------------------------------------------


def crash(rows: int = 20, at: int = 10, to: float = 0.7) -> dict[str, list[float]]:
    """Everything falls to a share of itself at once, and goes on as before from there."""
    return {symbol: [*row[: 60 + at], *(round(close * to, 6) for close in row[60 + at :])] for symbol, row in flat(rows).items()}


@pytest.mark.parametrize(("limit", "fires"), [(0.235, True), (0.255, False)])
def test_drawdown_halts(tmp_path: Path, limit: float, fires: bool) -> None:
    """Eighty percent in coins that fall by thirty are a loss of some 24 percent: a limit below it halts for good, one above it does not."""
    life = lived(tmp_path, crash(), {"drawdown": {"limit": limit}})
    late = [order for at, order in life.sent if at > at_bar(12)]
    if fires:
        told_everywhere(life, "drawdown", "halted")
        assert late == []
    else:
        assert life.codes() == []
        assert late


@pytest.mark.parametrize(("limit", "fires"), [(0.235, True), (0.255, False)])
def test_daily_loss_reduces(tmp_path: Path, limit: float, fires: bool) -> None:
    """The same fall since midnight: nothing is bought that day, and what is too large may still be sold."""
    life = lived(tmp_path, crash(), {"daily_loss": {"limit": limit, "action": "reduce"}})
    late = [order for at, order in life.sent if at > at_bar(12)]
    assert any(order.side is Side.BUY for order in late) is not fires
    if fires:
        told_everywhere(life, "daily_loss", "reducing")
    else:
        assert life.codes() == []


def test_drawdown_flattens(tmp_path: Path) -> None:
    """With flatten everything is sold once, and the account is halted after that, under the same code."""
    life = lived(tmp_path, crash(), {"drawdown": {"limit": 0.2, "action": "flatten"}})
    assert life.said("trading.flattening", "drawdown")
    told_everywhere(life, "drawdown", "halted")
    late = [order for at, order in life.sent if at > at_bar(12)]
    assert {order.side for _, order in life.sent if order in late} <= {Side.SELL}
    assert all(row["value"] < 1 for row in life.positions if row["symbol"] != "USDT"), "dust at most"


@pytest.mark.parametrize("share", [-0.19, 5.0])
def test_money_that_comes_or_goes_trips_nothing(tmp_path: Path, share: float) -> None:
    """A withdrawal of nearly all cash, a deposit of five times the account: booked as flows, sized with, and no loss."""
    amount = Decimal(round(10_000 * share))

    def prepare(exchange: TroubledExchange) -> None:
        async def moved(order: Order) -> None:
            return None

        exchange.before_submit = moved

    async def script(_: Daemon, exchange: TroubledExchange, clock: SimClock) -> None:
        await clock.sleep((at_bar(8) - clock.now()).total_seconds() + 5.0)
        held = exchange.account._balances["USDT"]
        exchange.account._balances["USDT"] = type(held)(max(held.free + amount, Decimal(0)), held.locked)

    breakers = {"drawdown": {"limit": 0.05}, "daily_loss": {"limit": 0.05, "action": "halt"}}
    life = lived(tmp_path, flat(20), breakers, prepare, script)
    flows = [line for line in life.lines if line["event"] == "flow.booked" and line["kind"] == "unexplained"]
    assert len(flows) == 1
    assert life.codes() == []


# --- orders ----------------------------------------------------------------------------------------------------------


def refusing(code: Reason, *symbols: str) -> Callable[[TroubledExchange], None]:
    """A venue that refuses every order of these symbols (none: of all)."""

    async def refused(order: Order) -> None:
        if not symbols or order.symbol in symbols:
            raise Refused("Account has insufficient balance for requested action.", code)

    def prepare(exchange: TroubledExchange) -> None:
        exchange.before_submit = refused

    return prepare


def test_one_symbol_that_is_always_refused(tmp_path: Path) -> None:
    """An hour of -2010 for one symbol is at most twelve orders of it; the others trade as ever (faults A19)."""
    life = lived(tmp_path, flat(360), {}, refusing(Reason.INSUFFICIENT_FUNDS, B), symbol=B, every=6)
    tried = [order for _, order in life.sent if order.symbol == B]
    assert 3 <= len(tried) <= 12
    assert sum(order.symbol == A for _, order in life.sent) > 20
    assert life.said("trading.paused", "rejects")
    assert life.status["state"] == "running"
    assert (f"symbol {B}", "paused", "rejects") in life.codes()
    assert life.why["now"]["hold"] == life.why["left"] == "rejects"
    assert {row["symbol"]: row["hold"] for row in life.positions} == {A: None, B: "rejects", C: None, D: None, "USDT": None}


@pytest.mark.parametrize(("limit", "fires"), [(6, True), (1000, False)])
def test_an_account_that_is_refused_everything(tmp_path: Path, limit: int, fires: bool) -> None:
    """So many refusals in a row, whoever's, pause the account; below that only symbols do."""
    breakers = {"rejects": {"limit": limit, "cool_down": "1h"}}
    life = lived(tmp_path, flat(12), breakers, refusing(Reason.PERMISSION))
    if fires:
        told_everywhere(life, "rejects", "paused")
        assert len(life.sent) == limit
    else:
        assert all(scope.startswith("symbol") for scope, _, _ in life.codes())


@pytest.mark.parametrize(("limit", "fires"), [("30s", True), ("10m", False)])
def test_an_order_nobody_knows_of(tmp_path: Path, limit: str, fires: bool) -> None:
    """An answer that is lost while look-ups fail too: once that has lasted too long, nothing is bought."""

    def prepare(exchange: TroubledExchange) -> None:
        async def lost(order: Order) -> None:
            if order.symbol == B:
                raise Unknown("timed out")

        def away() -> None:
            raise Unknown("timed out")

        exchange.before_submit, exchange.lost = lost, away

    life = lived(tmp_path, flat(20), {"unknown_order": {"limit": limit}}, prepare)
    if fires:
        told_everywhere(life, "unknown_order", "reducing")
    else:
        assert life.codes() == []


@pytest.mark.parametrize(("limit", "fires"), [("60s", True), ("30m", False)])
def test_a_difference_that_never_stands_still(tmp_path: Path, limit: str, fires: bool) -> None:
    """Cash that shrinks between any two polls cannot be booked as a flow: after a minute the account only reduces."""

    def prepare(exchange: TroubledExchange) -> None:
        exchange.missing = lambda now: Decimal(0) if now < at_bar(3) else Decimal(int((now - at_bar(3)).total_seconds()) + 1) / 100

    life = lived(tmp_path, flat(18), {"drift": {"limit": limit}}, prepare, execution={"band": 0.4})
    if fires:
        told_everywhere(life, "drift", "reducing")
    else:
        assert life.codes() == []


def test_no_order_leaves_after_a_halt(tmp_path: Path) -> None:
    """Halted in the middle of a wave of twenty legs: not one request more (faults A18)."""
    symbols = [f"S{n:02}/USDT" for n in range(20)]
    closes = {symbol: wave(10.0, 10) for symbol in symbols}
    config = configured(tmp_path, closes, dict.fromkeys(symbols, 0.045), {})
    halted: list[datetime] = []

    async def script(daemon: Daemon, exchange: TroubledExchange, clock: SimClock) -> None:
        async def fourth(_: Order) -> None:
            if len(exchange.sent) == 4:
                halted.append(clock.now())
                hold = Hold(level=Level.HALTED, code="drawdown", text="halted in the middle", since=clock.now())
                daemon.traders[0].publish(HoldPlaced(hold, clock.now()))

        exchange.before_submit = fourth

    life = live(config, closes, lambda _: None, script, symbols[0])
    assert len(halted) == 1
    assert len(life.sent) < 20
    assert [order for at, order in life.sent if at > halted[0]] == []
    rejected = [line for line in life.lines if line["event"] == "order.not_sent"]
    assert len(rejected) == 20 - len(life.sent)


# --- what comes from outside -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("silent", "fires"), [((B, C), True), ((B,), False)])
def test_symbols_that_fall_silent(tmp_path: Path, silent: tuple[str, ...], fires: bool) -> None:
    """Half of four symbols without bars for longer than a minute: nothing is bought; a quarter of them changes nothing."""

    def prepare(exchange: TroubledExchange) -> None:
        exchange.silent = lambda symbol, closes_at: symbol in silent and closes_at > at_bar(4)

    life = lived(tmp_path, flat(16), {}, prepare, bars={"min_coverage": 0.1})
    if fires:
        told_everywhere(life, "stale_data", "reducing")
    else:
        assert life.codes() == []


def test_symbols_that_speak_again(tmp_path: Path) -> None:
    """Once the bars come again the account goes on by itself."""

    def prepare(exchange: TroubledExchange) -> None:
        exchange.silent = lambda symbol, closes_at: symbol in (B, C) and at_bar(4) < closes_at < at_bar(15)

    life = lived(tmp_path, flat(24), {"stale_data": {"cool_down": "30s"}}, prepare, bars={"min_coverage": 0.1})
    assert life.said("trading.reducing", "stale_data")
    assert life.said("trading.resumed", "stale_data")
    assert life.status["state"] == "running"
    assert life.ready == (True, [])


def spiked(rows: int, *factors: float) -> dict[str, list[float]]:
    """Market A has, from its 9th bar of the run on, these multiples of its price."""
    closes = flat(rows)
    for n, factor in enumerate(factors):
        closes[A][60 + 8 + n] *= factor
    return closes


def test_a_bar_ten_times_too_high(tmp_path: Path) -> None:
    """One bad bar: no order of its symbol, no equity made of it, and the next bar ends it (faults D11)."""
    life = lived(tmp_path, spiked(16, 10.0), {"drawdown": {"limit": 0.1}})
    assert [line["scope"] for line in life.said("trading.paused", "price_spike")] == [f"symbol {A}"]
    assert life.said("trading.resumed", "price_spike")
    assert life.codes() == []
    assert [order for at, order in life.sent if order.symbol == A and at_bar(9) <= at < at_bar(10)] == []
    worth = [Decimal(line["equity"]) for line in life.lines if line["event"] == "wave.settled"]
    assert max(worth) < 11_000


@pytest.mark.parametrize(("factor", "fires"), [(1.35, True), (1.25, False)])
def test_a_jump_waits_from_the_floor_on(tmp_path: Path, factor: float, fires: bool) -> None:
    """A third at once waits for the next bar, and everybody is told; a quarter, within the floor, does not."""
    life = lived(tmp_path, spiked(9, factor), {"price_spike": {"limit": 5, "floor": 0.25}})
    assert life.status["state"] == "running"
    assert life.codes() == ([(f"symbol {A}", "paused", "price_spike")] if fires else [])
    assert len(life.said("trading.paused", "price_spike")) == fires
    assert life.why["now"]["hold"] == ("price_spike" if fires else None)
    assert {row["symbol"]: row["hold"] for row in life.positions}[A] == ("price_spike" if fires else None)
    assert bool([order for at, order in life.sent if order.symbol == A and at >= at_bar(9)]) is not fires


def test_without_the_breaker_it_would_be_believed(tmp_path: Path) -> None:
    """The same bar with every price believed makes an equity that never was, whose end is a drawdown."""
    life = lived(tmp_path, spiked(16, 10.0), {"price_spike": {"action": "none"}, "drawdown": {"limit": 0.1}})
    assert ("account", "halted", "drawdown") in life.codes()


def test_a_price_that_stands_is_traded_on(tmp_path: Path) -> None:
    """Ten times the price for two bars is the price: confirmed, and then what is too large is sold."""
    life = lived(tmp_path, spiked(12, 10.0, 10.0, 10.0), {})
    assert life.said("trading.resumed", "price_spike")
    sold = [(at, order) for at, order in life.sent if order.symbol == A and order.side is Side.SELL and at >= at_bar(9)]
    assert sold
    assert sold[0][0] >= at_bar(10)


def test_d12_a_coin_that_is_split_is_left_alone_until_a_person_agrees(tmp_path: Path) -> None:
    """A thousandth of the coins at a thousand times the price: not an order of it, in this life and the next, until it is resumed."""
    accounts: list[PaperAccount] = []

    async def split(_: Daemon, exchange: TroubledExchange, clock: SimClock) -> None:
        accounts.append(exchange.account)
        await clock.sleep((at_bar(9) - clock.now()).total_seconds() - 2.0)
        held = exchange.account._balances["A"]
        exchange.account._balances["A"] = type(held)(held.free / 1000, held.locked)

    def goes_on(exchange: TroubledExchange) -> None:
        exchange.account = accounts[0]

    async def agreed(daemon: Daemon, _: TroubledExchange, clock: SimClock) -> None:
        await clock.sleep((at_bar(44) - clock.now()).total_seconds() - 2.0)
        await daemon.commands.command("resume", A, "ann")

    def of_it(life: Life, since: int) -> list[Order]:
        return [order for at, order in life.sent if order.symbol == A and at >= at_bar(since)]

    closes = spiked(52, *[1000.0] * 36, *[1100.0] * 8)
    config = configured(tmp_path, closes, WEIGHTS, {}, reconcile={"every": "2s"}, bars={"min_coverage": 0.7})
    first = live(config, {s: row[: 60 + 30] for s, row in closes.items()}, lambda _: None, split, A)
    assert [line["scope"] for line in first.said("trading.halted", REDENOMINATED)] == [f"symbol {A}"]
    assert [line["currency"] for line in first.lines if line["event"] == "drift.found"] == ["A"]
    assert of_it(first, 9) == []
    assert [order for at, order in first.sent if order.symbol == B and at >= at_bar(12)], "the rest trades on"
    second = live(config, closes, goes_on, agreed, A, begins=31)
    assert second.said("trading.halted", REDENOMINATED) == []
    assert second.said("trading.resumed", REDENOMINATED)
    assert [order for at, order in second.sent if order.symbol == B and at < at_bar(44)], "the rest trades on in this life too"
    first_sold = min(at for at, order in second.sent if order.symbol == A)
    assert first_sold >= at_bar(44)
    assert all(order.amount < Decimal("0.01") for order in of_it(second, 44)), "a thirtieth of a coin is held, of thirty"
    assert second.codes() == []


@pytest.mark.parametrize(("price", "fires"), [(0.97, True), (0.985, False)])
def test_a_quote_off_its_peg(tmp_path: Path, price: float, fires: bool) -> None:
    """The dollar coin at three percent off pauses trading; at one and a half it does not (faults D21)."""
    closes: dict[str, list[float]] = flat(12) | {"USDC/USDT": [1.0] * 66 + [price] * 6}
    life = lived(tmp_path, closes, {"peg": {"symbol": "USDC/USDT"}})
    if fires:
        told_everywhere(life, "peg", "paused")
    else:
        assert life.codes() == []


@pytest.mark.parametrize(("ahead_s", "fires"), [(1.5, True), (-1.5, True), (0.9, False)])
def test_a_clock_that_is_wrong(tmp_path: Path, ahead_s: float, fires: bool) -> None:
    """A second and a half to either side at the start: no order at all; nine tenths: as ever (faults C4)."""

    def prepare(exchange: TroubledExchange) -> None:
        exchange.ahead = lambda _: timedelta(seconds=ahead_s)

    life = lived(tmp_path, flat(12), {}, prepare)
    if fires:
        told_everywhere(life, "clock_skew", "paused")
        assert life.sent == []
    else:
        assert life.codes() == []
        assert life.sent


def test_a_clock_that_is_set_right(tmp_path: Path) -> None:
    """Once the clocks agree again, which is looked at every ten seconds, trading goes on by itself."""

    def prepare(exchange: TroubledExchange) -> None:
        exchange.ahead = lambda now: timedelta(seconds=2 if now < at_bar(10) else 0)

    life = lived(tmp_path, flat(20), {}, prepare)
    assert life.said("trading.paused", "clock_skew")
    assert life.said("trading.resumed", "clock_skew")
    assert life.sent
    assert life.sent[0][0] >= at_bar(10)
    assert life.codes() == []


def test_a_clock_that_is_set_back_ends_the_process(tmp_path: Path) -> None:
    """An hour back, and all that is waited for would come an hour late: it ends with a sentence, and code 1 has it started anew."""

    async def script(_daemon: Daemon, _: TroubledExchange, clock: SimClock) -> None:
        await clock.sleep((at_bar(9) - clock.now()).total_seconds())
        clock._start -= timedelta(hours=1)

    with pytest.raises(Exit) as ended, mistakes():
        lived(tmp_path, flat(10), {}, script=script)
    assert ended.value.exit_code == 1


@pytest.mark.parametrize(("lag_s", "fires"), [(5.0, True), (4.9, False)])
def test_a_loop_that_stands_still(tmp_path: Path, lag_s: float, fires: bool) -> None:
    """A loop that wakes up five seconds late reduces for a minute."""

    async def script(daemon: Daemon, _: TroubledExchange, clock: SimClock) -> None:
        await clock.sleep((at_bar(9) - clock.now()).total_seconds())
        daemon.traders[0].pulse.lagged(lag_s)

    life = lived(tmp_path, flat(10), {}, script=script)
    if fires:
        told_everywhere(life, "loop_lag", "reducing")
    else:
        assert life.codes() == []
