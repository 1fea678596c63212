"""Every breaker in the whole daemon against an exchange: it fires, under its code in log, API and `why`, and not one step below.

What ends the process instead (a journal that fails, a clock that was set back), and a halt through SIGKILL, are in
tests/process/test_halts.py and tests/sim/test_breakers.py; the correlation watch is in tests/test_limits.py.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from daemon.core import events as e
from daemon.core.breakers import Code, board, feeds
from daemon.core.breakers.prices import REDENOMINATED
from daemon.core.ordertable import State
from daemon.core.states import ACCOUNT, Scope
from daemon.venue import Venue, VenueSettings
from daemon.venue.faultscript import read
from daemon.venue.rows import Row, Table
from tests.faults.world import QUICK, quick
from tests.test_limits import BTC, ETH, SOL, Desk, desk

LONG: Final = timedelta(minutes=10)
HAIR: Final = 1e-6  # one step: of a share that is measured to twelve digits


class Steered:
    """Rows of an exchange whose prices stand still, until a test moves them or leaves bars out, from the next row on."""

    def __init__(self, venue: Venue) -> None:
        self._tape, self._now, self._rows = venue.exchange.tape, venue.exchange.now, venue.exchange.tape._rows
        self._columns = {market.symbol: column for column, market in enumerate(venue.exchange.markets)}
        self._moves: dict[int, list[tuple[int, float]]] = {}
        self._silent: dict[int, list[int]] = {}
        self._tape._rows = self

    def move(self, factor: float, *symbols: str) -> None:
        """Every price of these is so many times as high from the next bar on."""
        for symbol in symbols:
            self._moves.setdefault(self._column(symbol), []).append((self._next(), factor))

    def silence(self, symbol: str) -> None:
        """No more bars of it, from the next one on; said again, they come again."""
        self._silent.setdefault(self._column(symbol), []).append(self._next())

    def row(self, market: int, index: int) -> Row | None:
        """See `Rows.row`."""
        found = self._rows.row(market, index)
        if found is None or sum(start <= index for start in self._silent.get(market, [])) % 2:
            return None
        factor = float(np.prod([factor for start, factor in self._moves.get(market, []) if start <= index]))
        opened, high, low, close, volume = found
        return Row(opened * factor, high * factor, low * factor, close * factor, volume)

    def table(self, market: int, start: int, stop: int) -> Table:
        """See `Rows.table`."""
        rows = [self.row(market, index) or [np.nan] * 5 for index in range(start, stop)]
        return np.array(rows, dtype=np.float64).reshape(-1, 5)

    def _column(self, symbol: str) -> int:
        return self._columns[symbol.replace("/", "")]

    def _next(self) -> int:
        return self._tape.index(self._now()) + 1


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    """Prices that stand still, books that agree in the end."""
    async with Venue(VenueSettings(interval="1s", markets=3, history=100, volatility=0.0)) as running:
        yield running
    assert running.audit() == []


class Watch:
    """A desk whose breakers are tried one after the other, each below its limit, then at it."""

    def __init__(self, at: Desk, venue: Venue, prices: Steered) -> None:
        self.at, self.run, self.parts, self.said = at, at.run, at.run.parts, at.said
        self.venue, self.prices = venue, prices

    async def ruled(self, **breakers: Any) -> None:
        """These breakers, the others as they are by default; then they have looked."""
        await self.at.limit(breakers={"price_spike": SPIKE, **breakers})
        await self.looked()

    async def looked(self) -> None:
        """Two looks later."""
        breakers = self.parts.breakers
        first = breakers._next_look
        await self.run.until(lambda: breakers._next_look != first)
        second = breakers._next_look
        await self.run.until(lambda: breakers._next_look != second)

    async def closed(self) -> None:
        """A bar later, and two looks."""
        seen = self.status["last_slice"]
        await self.run.until(lambda: self.status["last_slice"] != seen)
        await self.looked()

    async def out_of_band(self) -> None:
        """One of the two is too much from the next bar on, and one too little."""
        before = self.price(ETH)
        self.prices.move(1.04, ETH)
        self.prices.move(0.96, BTC)
        await self.run.until(lambda: self.price(ETH) > before)
        await self.closed()

    def held(self, code: str, scope: Scope = ACCOUNT) -> bool:
        """Whether a hold of this code is in force."""
        return self.parts.manager.states.find(scope, code) is not None

    @property
    def status(self) -> Mapping[str, Any]:
        """What the API says of the account."""
        return self.run.daemon.views.status()

    def price(self, symbol: str) -> float:
        """The last price."""
        return float(self.parts.account.mark(symbol) or 0)

    def lines(self, event: str, **values: Any) -> list[int]:
        """Where in the log the lines stand that say this."""
        return [n for n, line in enumerate(self.said) if line["event"] == event and values.items() <= line.items()]

    def fault(self, **values: Any) -> None:
        """Put a fault into force."""
        self.venue.exchange.faults.add(read(values, "").faults, self.venue.exchange.now())
        self.venue.act()

    async def fires(self, code: str, level: str, scope: Scope = ACCOUNT) -> None:
        """It does, and log, status, readiness, rows and `why` all tell it."""
        await self.run.until(lambda: self.held(code, scope))
        await self.run.until(lambda: bool(self.lines(f"trading.{level}", code=code, scope=str(scope))))
        symbol = scope.symbol or ETH
        (_, status), (ready, failing) = await self.run.get("/api/v1/status"), await self.run.get("/readyz")
        (_, why), (_, rows) = await self.run.get(f"/api/v1/why/{symbol}"), await self.run.get("/api/v1/positions")
        (hold,) = (each for each in status["holds"] if (each["code"], each["scope"]) == (code, str(scope)))
        assert (hold["level"], hold["by"]) == (level, "rebalanced")
        assert why["now"]["hold"] == code
        assert why["now"]["hold_says"] != code.replace("_", " ")
        assert {row["hold"] for row in rows if row["symbol"] in ([scope.symbol] if scope.symbol else [BTC, ETH, SOL])} == {code}
        if scope == ACCOUNT:
            assert (status["state"], status["reason"], ready) == (level, hold["text"], 503)
            assert any(hold["text"] in sentence for sentence in failing["failing"])

    async def resumed(self, code: str, scope: Scope = ACCOUNT) -> None:
        """A person lifts what holds, and it does not fire again for the same cause."""
        assert (await self.run.post("resume", scope.symbol))[0] == 200
        await self.run.until(lambda: not self.held(code, scope))
        await self.looked()
        assert not self.held(code, scope)
        assert self.status["state"] == "running"

    async def calms(self, code: str) -> None:
        """It ends by itself."""
        await self.run.until(lambda: bool(self.lines("trading.resumed", code=code, by="rebalanced")))
        assert not self.held(code)


SPIKE: Final = {"limit": 5, "floor": 0.05, "confirmations": 3}


@asynccontextmanager
async def watch(venue: Venue, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    """A daemon that holds 40 % in each of two, and looks ten times as often as it would."""
    monkeypatch.setattr(board, "LOOK_EVERY", timedelta(milliseconds=100))
    prices = Steered(venue)
    async with desk(venue, folder, breakers={"price_spike": SPIKE}) as at:
        watching = Watch(at, venue, prices)
        quick(at.run.parts)
        await at.decide()
        yield watching


async def test_losses_trip_at_their_limit(venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fall of four percent in all that is held: drawdown halts, or sells all and halts; the daily loss reduces."""
    async with watch(venue, tmp_path, monkeypatch) as w:
        curve = w.parts.analyzer.curves.account
        w.prices.move(0.96, BTC, ETH)
        await w.run.until(lambda: curve.value < 0.975 * curve.high)
        fall = 1 - curve.value / curve.high
        await w.ruled(drawdown={"limit": fall + HAIR})
        await w.closed()
        assert not w.held("drawdown")
        await w.ruled(drawdown={"limit": fall - HAIR})
        await w.fires("drawdown", "halted")
        assert (await w.run.post("rebalance"))[0] == 409
        await w.resumed("drawdown")
        loss = 1 - curve.value / curve.opened
        await w.ruled(daily_loss={"limit": loss + HAIR})
        await w.closed()
        assert not w.held("daily_loss")
        await w.ruled(daily_loss={"limit": loss - HAIR})
        await w.fires("daily_loss", "reducing")
        await w.resumed("daily_loss")
        await w.ruled(drawdown={"limit": 0.02, "action": "flatten"})
        assert not w.held("drawdown"), "the mark is where a person has resumed"
        w.prices.move(0.96, BTC, ETH)
        await w.run.until(lambda: bool(w.lines("trading.flattening", code="drawdown")))
        await w.run.until(lambda: w.status["state"] == "halted")
        await w.fires("drawdown", "halted")
        assert all(w.parts.account.held(symbol) * w.parts.account.worth(symbol) < 1 for symbol in (BTC, ETH)), "dust at most"


async def test_refusals_in_a_row_trip_at_their_count(venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second refusal of a symbol pauses it, the fifth of anybody pauses the account, and none before."""
    async with watch(venue, tmp_path, monkeypatch) as w:
        await w.out_of_band()
        w.fault(do="reject", code=-1013, message="Filter failure: NOTIONAL")
        for rule, scope, waves, said in (
            ({"limit": 1000, "symbol": 2, "pause": "5m"}, Scope(symbol=ETH), 2, f"2 orders of {ETH} in a row"),
            ({"limit": 5, "symbol": 100}, ACCOUNT, 3, "5 orders in a row"),
        ):
            await w.ruled(rejects=rule)
            for _ in range(waves):  # each of an order of both
                assert not w.held("rejects", scope)
                await w.at.decide()
            await w.fires("rejects", "paused", scope)
            hold = w.parts.manager.states.find(scope, "rejects")
            assert hold is not None
            assert hold.text.startswith(said)
            for hold in w.parts.manager.states.holds():
                assert (await w.run.post("resume", hold.scope.symbol))[0] == 200
            await w.run.until(lambda: not w.parts.manager.states.holds())


async def test_doubts_trip_once_they_have_lasted(venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that nobody knows of, from four seconds on, and money that nothing explains: each reduces until it is cleared up."""
    async with watch(venue, tmp_path, monkeypatch) as w:
        resolver, reconciler = w.parts.manager.follower.resolver, w.parts.reconciler
        resolver._patience = replace(QUICK, fence=LONG)
        await w.out_of_band()
        w.fault(do="lose", symbol="ETHUSDT", count=1)
        await w.ruled(unknown_order={"limit": "4s"})
        w.run.daemon.traders[0].publish(e.RebalanceRequested("test", w.parts.clock.now()))
        await w.run.until(lambda: any(t.state is State.UNKNOWN for t in w.parts.manager.table))
        (doubted,) = (t for t in w.parts.manager.table if t.state is State.UNKNOWN)
        await w.fires("unknown_order", "reducing")
        (hold,) = w.parts.manager.states.holds()
        assert doubted.doubted_at is not None
        assert timedelta(seconds=4) <= hold.since - doubted.doubted_at < timedelta(seconds=8)
        resolver._patience = QUICK
        await w.calms("unknown_order")
        await w.run.until(lambda: w.parts.manager.wave is None)
        reconciler._calm = replace(reconciler._calm, flow=LONG)
        await w.ruled(drift={"limit": "10m"})
        w.fault(do="ws.mute", on=["user"])
        venue.exchange.transfer("USDT", Decimal(-500))
        await w.run.until(lambda: bool(reconciler.differences))
        await w.looked()
        assert not w.held("drift")
        await w.ruled(drift={"limit": "1s", "cool_down": "0s"})
        await w.fires("drift", "reducing")
        reconciler._calm = replace(reconciler._calm, flow=timedelta(seconds=1))
        await w.calms("drift")
        assert w.lines("flow.booked", kind="unexplained")
        w.venue.exchange.faults.clear()


async def test_feeds_trip_at_their_limit(venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars that stay away, a clock that is wrong, a program that stands still: each at its limit, and over when its cause is."""
    async with watch(venue, tmp_path, monkeypatch) as w:
        w.prices.silence(ETH)
        stale = {"age": "1s", "cool_down": "0s"}
        await w.ruled(stale_data={**stale, "limit": 1 / 3 + HAIR})
        closes_at = w.status["last_slice"]
        await w.run.until(lambda: w.status["last_slice"] - closes_at > timedelta(seconds=4))
        assert not w.held("stale_data")
        await w.ruled(stale_data={**stale, "limit": 1 / 3 - HAIR})
        await w.fires("stale_data", "reducing")
        w.prices.silence(ETH)
        await w.calms("stale_data")
        w.fault(do="clock", offset="3s")
        for limit, fires in (("4s", False), ("2s", True)):
            await w.ruled(clock_skew={"limit": limit})
            w.said.clear()
            w.run.daemon.traders[0].publish(e.MeasureClock(w.parts.clock.now()))
            await w.run.until(lambda: bool(w.lines("clock.skewed")))
            assert w.held("clock_skew") is fires
        await w.fires("clock_skew", "paused")
        w.venue.exchange.faults.clear()
        w.run.daemon.traders[0].publish(e.MeasureClock(w.parts.clock.now()))
        await w.calms("clock_skew")
        for limit, fires in (("1h", False), ("1s", True)):
            await w.ruled(loop_lag={"limit": limit, "cool_down": "1m"})
            time.sleep(1.2)  # noqa: ASYNC251 - the loop is to stand still
            await w.looked()
            assert w.held("loop_lag") is fires
        await w.fires("loop_lag", "reducing")
        await w.resumed("loop_lag")


async def test_prices_trip_at_their_limit(venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jump beyond the floor waits for its bars, another coin for a person, and three percent off the peg for a while."""
    monkeypatch.setattr(feeds, "PEG_SURE", timedelta(milliseconds=300))
    async with watch(venue, tmp_path, monkeypatch) as w:
        eth, sol = Scope(symbol=ETH), Scope(symbol=SOL)
        w.prices.move(1.045, ETH)
        before = w.price(ETH)
        await w.run.until(lambda: w.price(ETH) > before)
        await w.closed()
        assert not w.held("price_spike", eth)
        w.prices.move(1.06, ETH)
        await w.fires("price_spike", "paused", eth)
        assert w.status["state"] == "running"
        await w.run.until(lambda: bool(w.lines("trading.resumed", code="price_spike", scope=str(eth), by="rebalanced")))
        w.prices.move(1 / 150, SOL)
        await w.run.until(lambda: w.held(REDENOMINATED, sol))
        await w.fires(REDENOMINATED, "halted", sol)
        await w.resumed(REDENOMINATED, sol)
        w.prices.move(0.97, SOL)
        await w.run.until(lambda: w.price(SOL) < 0.98)
        await w.ruled(peg={"symbol": SOL, "limit": 0.031, "cool_down": "0s"})
        since = w.parts.clock.now()
        await w.run.until(lambda: w.parts.clock.now() - since > timedelta(seconds=1))
        assert not w.held("peg")
        await w.ruled(peg={"symbol": SOL, "limit": 0.029, "cool_down": "0s"})
        await w.fires("peg", "paused")
        w.prices.move(1 / 0.97, SOL)
        await w.calms("peg")


def test_every_breaker_is_tried() -> None:
    """No breaker is missing above."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert [code for code in Code if f'("{code.value}"' not in text] == []
