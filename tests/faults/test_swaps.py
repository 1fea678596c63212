"""Swaps on real sockets: positions turn over, are taken away, are refused; ledger and wallet stay one to the last digit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from daemon.assembly.worlds import door
from daemon.config import load, resolve_secrets
from daemon.core import events as e
from daemon.core.ledger import LIQUIDATION
from daemon.core.model import Decision, TargetWeights, decision_id
from daemon.core.portfolio import UNASSIGNED
from daemon.core.states import ACCOUNT, Level
from daemon.io.clock import SystemClock
from daemon.io.exchange import SetUp
from daemon.io.journal import read
from daemon.parts import Parts
from daemon.venue import Venue, VenueSettings
from daemon.venue.swap import reports
from daemon.venue.swap.exchange import SwapExchange
from tests.faults.world import RECV_WINDOW_MS, World, quick, quickened
from tests.oneprocess import KEYS, at_work, opened, written

pytestmark = pytest.mark.asyncio

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


class Swaps(World):
    """The same world, with another kind of market."""

    def want(self, **weights: float) -> str:
        """Decide that these are wanted, by base currency, below 0 for short, and nothing else."""
        at = self.run.parts.clock.now()
        targets = TargetWeights({f"{base}/USDT:USDT": weights.get(base, 0.0) for base in ("BTC", "ETH")})
        decision = Decision(decision_id(at), at, targets.weights, frozenset(), {"momo": targets}, at, shares={"momo": 1.0})
        self.run.daemon.traders[0].publish(e.TargetsChosen(decision, at))
        return decision.id

    @property
    def account(self) -> SwapExchange:
        """The exchange's own side."""
        return cast("SwapExchange", self.venue.exchange)

    def position(self, base: str) -> Decimal:
        """What the exchange says is held."""
        return self.account.margin.positions[f"{base}USDT"].amount

    def disagreements(self) -> list[str]:
        """Where the ledger, and the one that the journal makes, are not the exchange's account."""
        found = []
        for name, ledger in (("ledger", self.run.parts.ledger), ("journal", read(self.run.path).ledger())):
            wallet = self.account.account.of("USDT").free
            found += [] if ledger.wallet("USDT") == wallet else [f"{name}: a wallet of {ledger.wallet('USDT')}, and {wallet} is there"]
            found += [f"{name}: {ledger.held(b)} {b}, not {self.position(b)}" for b in ("BTC", "ETH") if ledger.held(b) != self.position(b)]
        left_over = self.run.parts.portfolio.left_over()
        return found + ([f"sleeves: {left_over}"] if left_over else [])

    def weights(self) -> dict[str, float]:
        """What is held, in weights of equity."""
        account = self.run.parts.account
        return {symbol: account.weight(symbol, account.equity()) for symbol in (BTC, ETH)}

    def nearest(self) -> float:
        """How far the nearest position is from its liquidation, as the exchange says."""
        margin = self.account.margin
        found = [(margin.liquidation_price(m), margin.mark(m)) for m, _ in margin.held()]
        return min(float(abs(mark - price) / mark) for price, mark in found)

    def somebody_sets(self, market: str, leverage: int, *, told: bool) -> None:
        """Somebody changes the leverage of a market, and the stream tells of it or does not."""
        self.account.margin.setups[market].leverage = leverage
        if told:
            self.account.publish(reports.leverage_changed(market, leverage, self.account.now()))
        self.venue.act()

    def held(self, sleeve: str, base: str) -> Decimal:
        """What a sleeve holds."""
        return self.run.parts.portfolio.held(sleeve, base)


@asynccontextmanager
async def swaps(
    folder: Path,
    *faults: dict[str, Any],
    held: dict[str, str] | None = None,
    execution: dict[str, Any] | None = None,
    countdown_s: float | None = None,
    **risk: Any,
) -> AsyncIterator[Swaps]:
    """A world of swaps, and that it is whole in the end; `faults` are in force before the start."""
    settings = VenueSettings(market="swap", interval="1s", markets=4, history=200, volatility=0.0005, weight_limit=100_000)
    with quickened():
        async with Venue(settings) as venue:
            for fault in faults:
                await _put(venue, fault)
            for symbol, amount in (held or {}).items():
                side = "SELL" if amount.startswith("-") else "BUY"
                await _put(venue, {"do": "order", "symbol": symbol, "side": side, "amount": amount.lstrip("-"), "type": "MARKET"})
            options = {"urls": venue.ccxt_urls(), "timeout": 600, "options": {"recvWindow": RECV_WINDOW_MS}}
            never = {"name": "momo", "use": "portfolio_momentum", "schedule": {"cron": "0 0 29 2 *", "tz": "UTC"}}
            never |= {"params": {"lookback": 5, "rsi_period": 2, "top": 2}}
            keys = {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}
            sections: dict[str, Any] = {
                "strategies": [never],
                "exchange": {"id": "binance", "market": "swap", "leverage": 10, "ccxt": options, "credentials": keys},
                "universe": {"quote": "USDT", "symbols": [BTC, ETH]},
                "risk": {"gross": 4.0, "weight_max": 4.0, **risk},
                "execution": execution or {},
            }

            def change(parts: Parts) -> None:
                quick(parts)
                parts.countdown = None if countdown_s is None else timedelta(seconds=countdown_s)

            config = written(folder, {}, **sections)
            async with at_work(config if held else await opened(config), KEYS, change) as run:
                place = Swaps(venue, run)
                await run.until(lambda: run.daemon.views.ready()[0])
                yield place
                place.mend()
                await place.whole()
        assert venue.audit() == []


async def _put(venue: Venue, fault: dict[str, Any]) -> None:
    place = Swaps.__new__(Swaps)
    place.venue = venue
    place.fault(**fault)


async def test_positions_turn_over(tmp_path: Path) -> None:
    """Long and short, turned over, made smaller and closed: what reduces says so, and the second half of a turn follows the first."""
    async with swaps(tmp_path) as place:
        for btc, eth in ((0.8, -0.8), (-0.6, 0.6), (-0.2, 0.2), (0.0, 0.0)):
            settled = await place.wave(BTC=btc, ETH=eth)
            assert settled.refused == {}
            assert {s: round(w, 1) for s, w in place.weights().items()} == {BTC: btc, ETH: eth}
            await place.until(lambda: place.disagreements() == [])
            assert place.run.daemon.views.status()["cash"] == place.account.account.of("USDT").free, "the wallet, as people know it"
        orders = {order.client_id: order for listed in place.account.matching.orders.values() for order in listed}
        flags = [orders[name].reduce_only for name in place.booked]
        assert flags == [False, False, True, True, False, False, *[True] * 4]


@pytest.mark.parametrize("streamed", [True, False])
async def test_positions_are_valued_at_the_mark(streamed: bool, tmp_path: Path) -> None:
    """What the exchange says a position is worth is what it counts here, by the stream of marks, and by REST while that is away."""
    async with swaps(tmp_path) as place:
        if not streamed:
            place.fault("ws.refuse")
            await place.run.parts.exchange.reset_streams()
        await place.wave(BTC=1.0)
        last, account = place.run.parts.account.fresh_prices(place.run.parts.clock.now())[BTC], place.run.parts.account
        place.fault("mark", symbol="BTC/USDT", by=0.1)
        await place.until(lambda: (account.mark(BTC) or last) > last * Decimal("1.08"))
        assert account.equity() > account.wallet("USDT") + account.held(BTC) * last * Decimal("0.07")
        assert account.unmarked(place.run.parts.clock.now()) == ()
        place.mend()


@pytest.mark.parametrize("told", [True, False])
async def test_a_liquidation_is_booked_and_told(told: bool, tmp_path: Path) -> None:
    """The exchange takes a position over, told on the stream or not: its trade and fee are booked to who held it, and it only reduces."""
    async with swaps(tmp_path) as place:
        await place.wave(BTC=3.0)
        if not told:
            place.fault("ws.lose", on="user")
        place.fault("mark", symbol="BTC/USDT", by=-0.328)
        await place.until(lambda: place.position("BTC") == 0)
        place.mend()
        await place.until(lambda: place.disagreements() == [])
        assert {flow.kind for flow in read(place.run.path).flows if flow.symbol == BTC} == {LIQUIDATION}
        (hold,) = [hold for hold in place.holds() if hold.scope.symbol == BTC]
        assert (hold.level, hold.code) == (Level.REDUCING, "liquidated")
        place.fault("deposit", asset="USDT", amount=50_000)
        await place.until(lambda: place.run.parts.ledger.wallet("USDT") == 50_000)
        settled = await place.wave(BTC=0.5)
        assert settled.left[BTC] == "liquidated"
        assert place.held("momo", "BTC") == 0 == place.held(UNASSIGNED, "BTC")
        await place.lift(hold)


@pytest.mark.parametrize("told", [True, False])
async def test_a_deleveraging_is_booked_and_told(told: bool, tmp_path: Path) -> None:
    """The exchange closes half of a short: that is booked, its sleeve has the rest, and nothing is opened there until a person says so."""
    async with swaps(tmp_path) as place:
        await place.wave(ETH=-1.0)
        before = place.position("ETH")
        if not told:
            place.fault("ws.lose", on="user")
        place.fault("adl", symbol="ETH/USDT", share=0.5)
        await place.until(lambda: place.position("ETH") > before)
        await place.until(lambda: place.disagreements() == [] and place.held(UNASSIGNED, "ETH") == 0)
        place.mend()
        assert place.held("momo", "ETH") == place.position("ETH")
        (hold,) = place.holds()
        assert hold.code == "deleveraged"
        settled = await place.wave(ETH=-1.0)
        assert settled.left[ETH] == "deleveraged"
        await place.lift(hold)
        settled = await place.wave(ETH=-1.0)
        assert settled.left == {}


async def test_a_refused_reduction_is_tried_again(tmp_path: Path) -> None:
    """What the exchange refuses as no reduction is looked at afresh, and closed by the next round."""
    async with swaps(tmp_path) as place:
        await place.wave(BTC=0.5)
        place.fault("reject", on="order.place", code=-2022, count=1)
        settled = await place.wave()
        assert settled.refused == {}
        assert place.position("BTC") == 0


async def test_leverage_that_cannot_be_set_quarantines(tmp_path: Path) -> None:
    """A market whose leverage the exchange does not set only reduces, and the reason says what it has."""
    async with swaps(tmp_path, {"do": "reject", "on": "leverage", "symbol": "BTC/USDT", "code": -4028}) as place:
        (hold,) = place.holds()
        assert (hold.scope.symbol, hold.level, hold.code) == (BTC, Level.REDUCING, "unlike_configured")
        assert f"{BTC} has leverage 20 and margin mode cross, where the configuration says 10 and cross" in hold.text
        settled = await place.wave(BTC=0.5, ETH=-0.5)
        assert settled.left == {BTC: "unlike_configured"}
        await place.lift(hold)


@pytest.mark.parametrize(("mode", "set_to"), [("live", 10), ("shadow", 20)])
async def test_only_a_daemon_that_trades_sets_leverage(mode: str, set_to: int, tmp_path: Path) -> None:
    """A check leaves the account as it is; mode shadow leaves it too, and plans as if it were set."""
    async with Venue(VenueSettings(market="swap", interval="1s", markets=2, history=200)) as venue:
        exchange = {"id": "binance", "market": "swap", "leverage": 10, "ccxt": {"urls": venue.ccxt_urls()}}
        exchange["credentials"] = {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}
        config = written(tmp_path, {}, mode=mode, exchange=exchange, universe={"quote": "USDT", "symbols": [BTC, ETH]})
        setups = cast("SwapExchange", venue.exchange).margin.setups
        settings = load(config, {})
        looks = door(settings, resolve_secrets(settings, KEYS), SystemClock())
        assert {symbol: market.leverage for symbol, market in (await looks.connect()).items()} == {BTC: 10, ETH: 10}
        await looks.close()
        assert isinstance(looks, SetUp)
        assert "has leverage 20 and margin mode cross, where the configuration says 10 and cross" in looks.unlike[BTC]
        assert {setup.leverage for setup in setups.values()} == {20}
        async with at_work(config) as run:
            await run.until(lambda: bool(run.parts.account.markets))
            assert {market.leverage for market in run.parts.account.markets.values()} == {10}
            await run.until(lambda: run.daemon.views.ready()[0])
            assert not run.parts.manager.states.holds()
        assert {setup.leverage for setup in setups.values()} == {set_to}


async def test_a_first_start_takes_positions_for_what_they_were_opened_for(tmp_path: Path) -> None:
    """An account that holds a long and a short opens with its wallet and their profit so far as capital, and goes on from there."""
    async with swaps(tmp_path, held={"BTC/USDT": "1.5", "ETH/USDT": "-20"}) as place:
        parts = place.run.parts
        figures = place.account.margin.figures("USDT")
        assert parts.ledger.wallet("USDT") == figures.wallet
        assert abs(parts.account.equity() - figures.balance) < 200  # the last prices, where the exchange goes by its mark
        assert parts.curves.account.pnl < 200
        settled = await place.wave(BTC=-0.5)
        assert settled.refused == {}
        assert place.position("ETH") == 0


async def test_nothing_comes_too_near_its_liquidation(tmp_path: Path) -> None:
    """Weights beyond the distance are cut to it, and the account ends with no position nearer."""
    async with swaps(tmp_path, gross=8.0, weight_max=8.0, liquidation_min=0.3, liquidation_reduce=0.2) as place:
        await place.wave(BTC=6.0, ETH=-1.0)
        nearest = place.nearest()
        assert 0.28 < nearest < 0.33
        await place.wave()


RESTING: dict[str, Any] = {
    "style": "maker_then_taker",
    "maker_then_taker": {"passive": "60s", "total": "120s", "min_reprice": "60s", "adverse_bps": 1000},
}


async def test_what_the_exchange_counts_down_is_known_by_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's orders rest as long as it beats; once it cannot, they are cancelled, and it goes on with what is left of them."""
    monkeypatch.setattr("daemon.io.deadman.LOOK_EVERY_S", 0.05)
    async with swaps(tmp_path, {"do": "fill", "side": "BUY"}, execution=RESTING, countdown_s=0.9) as place:
        due = place.account.countdowns.due
        decision = place.want(BTC=0.5)
        await place.until(lambda: "BTCUSDT" in due)
        began = due["BTCUSDT"]
        await place.until(lambda: due["BTCUSDT"] > began + 1500)
        (resting,) = place.waiting["BTCUSDT"]
        place.fault("lose", on="openOrders.countdown")
        place.fault("ws.mute", on="user")
        await place.until(lambda: "BTCUSDT" not in place.waiting)
        (cancelled,) = (order for order in place.account.matching.orders["BTCUSDT"] if order.client_id == resting)
        assert cancelled.status == "CANCELED"
        await place.until(lambda: place.told("order.closed"))
        assert place.asked("DELETE /fapi/v1/order") == 0
        place.mend()
        settled = await place.settled(decision)
        assert settled.left == {} or set(settled.left.values()) == {"unfilled"}
        await place.until(lambda: not due, 5)


@pytest.mark.parametrize("told", [True, False])
async def test_a_leverage_that_somebody_changes_is_held_and_set_back(told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leverage that is changed while the daemon runs is known by the stream or by the next look, held under one code, and set back."""
    monkeypatch.setattr("daemon.io.settings.EVERY_S", 60.0 if told else 0.5)
    monkeypatch.setattr("daemon.io.settings.SPACING_S", 0.2)
    async with swaps(tmp_path) as place:
        await place.streaming()
        await place.wave(BTC=0.5)
        since = len(place.lines)
        setup = place.account.margin.setups["BTCUSDT"]
        place.somebody_sets("BTCUSDT", 7, told=told)
        await place.until(lambda: place.told("trading.resumed", since))
        (hold,) = place.told("trading.reducing", since)
        assert hold.fields["code"] == "unlike_configured"
        assert f"{BTC} has leverage 7 and margin mode cross, where the configuration says 10 and cross" in str(hold.fields["reason"])
        assert setup.leverage == 10
        assert place.holds() == []
        settled = await place.wave(BTC=-0.5)
        assert settled.left == {}


async def test_a_setting_that_does_not_come_back_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the exchange does not set a changed leverage back, its symbol only reduces until it does, and then grows again."""
    monkeypatch.setattr("daemon.io.settings.EVERY_S", 0.5)
    monkeypatch.setattr("daemon.io.settings.SPACING_S", 0.2)
    async with swaps(tmp_path) as place:
        await place.streaming()
        await place.wave(BTC=0.5)
        place.fault("reject", on="leverage", code=-2027)
        place.somebody_sets("BTCUSDT", 7, told=True)
        await place.until(place.holds)
        (hold,) = place.holds()
        assert "the exchange does not set it" in hold.text
        _, status = await place.run.get("/api/v1/status")
        assert (hold.code, hold.text) in [(each["code"], each["text"]) for each in status["holds"]]
        assert (await place.wave(BTC=0.8)).left == {BTC: "unlike_configured"}
        settled = await place.wave(BTC=0.2)
        assert settled.left == {}
        assert round(place.weights()[BTC], 1) == 0.2
        place.mend()
        await place.until(lambda: not place.holds())
        assert (await place.wave(BTC=0.5)).left == {}


async def test_hedge_mode_holds_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that somebody has put into hedge mode grows nowhere until it has been taken out of it."""
    monkeypatch.setattr("daemon.io.settings.EVERY_S", 0.5)
    monkeypatch.setattr("daemon.io.settings.SPACING_S", 0.2)
    async with swaps(tmp_path) as place:
        place.fault("reject", on="positionMode", code=-4067)
        place.account.margin.hedged = True
        await place.until(place.holds)
        (hold,) = place.holds()
        assert (hold.scope, hold.level, hold.code) == (ACCOUNT, Level.REDUCING, "unlike_configured")
        assert "hedge mode" in hold.text
        assert (await place.wave(BTC=0.5)).left == {BTC: "unlike_configured"}
        place.mend()
        await place.until(lambda: not place.holds())
        assert not place.account.margin.hedged
