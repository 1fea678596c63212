"""Every limit in the whole daemon against an exchange: it fires, under its code in log, API and `why`, and not one step below."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from structlog.testing import capture_logs

from daemon.core import events as e
from daemon.core.model import Cause
from daemon.core.risk import Moments
from daemon.core.risk_weights import volatility
from daemon.venue import Venue, VenueSettings
from daemon.venue.faultscript import read
from tests import ownfiles
from tests.oneprocess import KEYS, Run, at_work, opened, written

BTC, ETH, SOL = "BTC/USDT", "ETH/USDT", "SOL/USDT"
WISH: Final = {BTC: 0.4, ETH: 0.4}
PAIR: Final = [BTC, ETH]

# Each with what is just allowed to the wish, and what is one step less.
WEIGHTS: Final[list[tuple[str, dict[str, Any], dict[str, Any]]]] = [
    ("weight_max", {"weight_max": 0.4}, {"weight_max": 0.39}),
    ("sector_max", {"sector_max": 0.8}, {"sector_max": 0.79}),
    ("group_max", {"groups": {"g": {"symbols": PAIR, "max": 0.8}}}, {"groups": {"g": {"symbols": PAIR, "max": 0.79}}}),
    (
        "correlated_group_max",
        {"correlated_group_max": 0.8, "correlation_limit": 0.01},
        {"correlated_group_max": 0.79, "correlation_limit": 0.01},
    ),
    ("positions_max", {"positions_max": 2}, {"positions_max": 1}),
    ("concentration_max", {"concentration_max": 0.32}, {"concentration_max": 0.31}),
    ("gross", {"gross": 0.8}, {"gross": 0.79}),
    ("net_max", {"net_max": 0.8}, {"net_max": 0.79}),
    ("cash_min", {"cash_min": 0.2}, {"cash_min": 0.21}),
]


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    """Books that agree in the end, and more bars than the correlation watch looks back."""
    async with Venue(VenueSettings(interval="1s", markets=4, history=300)) as running:
        yield running
    assert running.audit() == []


class Desk:
    """A daemon that decides when it is asked to, under limits that change while it runs, and what it says meanwhile."""

    def __init__(self, run: Run, folder: Path, sections: Mapping[str, Any], said: list[Any]) -> None:
        self.run, self.said = run, said
        self._folder, self._sections = folder, sections

    async def limit(self, *, turnover_max: float = 100, **risk: Any) -> None:
        """These limits and no others, by a reload."""
        execution = {**self._sections["execution"], "turnover_max": turnover_max}
        written(self._folder, **{**self._sections, "execution": execution}, risk=risk)
        status, answer = await self.run.post("reload")
        assert status == 200, answer

    async def decide(self, *, minutes: bool = False, **prices: float) -> str:
        """Have a decision worked off, with these prices (factors on the last ones, by base); its id. `minutes`: they pass as it waits."""
        manager, account, daemon = self.run.parts.manager, self.run.parts.account, self.run.daemon
        before, now = manager.last_wave, self.run.parts.clock.now()
        for base, factor in prices.items():
            daemon.traders[0].publish(e.PriceTicked(f"{base}/USDT", float(account.mark(f"{base}/USDT") or 0) * factor, now))
        daemon.traders[0].publish(e.RebalanceRequested("test", now))
        while minutes and manager.wave is not None:
            await asyncio.sleep(0.2)
            manager.guard.gate.traffic._made.clear()
        await self.run.until(lambda: manager.last_wave is not before and manager.wave is None)
        assert manager.last_wave is not None
        return manager.last_wave.decision.id

    async def codes(self, decision_id: str, symbol: str = ETH) -> set[str]:
        """What has cut the symbol: the log, `why` and the status tell the same."""
        self.run.daemon.traders[0].teller.flush()
        cuts = [line for line in self.said if line["event"] in ("risk.limited", "risk.refused") and line["decision_id"] == decision_id]
        logged = {line["reason"] for line in cuts if line["symbol"] == symbol}
        await self.run.daemon.traders[0].recorder.commit()
        (_, why), (_, status) = await self.run.get(f"/api/v1/why/{symbol}?decision={decision_id}"), await self.run.get("/api/v1/status")
        assert {row["reason"] for row in (*why["limits"], *why["order_limits"])} == logged
        newest = self.run.parts.manager.decision
        if newest is not None and newest.id == decision_id:
            assert {reason for reason, symbols in status["limited"].items() if symbol in symbols} == logged
        assert all(row["says"] != row["reason"].replace("_", " ") for row in (*why["limits"], *why["order_limits"]))
        return logged


@asynccontextmanager
async def desk(venue: Venue, folder: Path, own: str = "", **risk: Any) -> AsyncIterator[Desk]:
    """A daemon that wants WISH whenever it is asked, or what a strategy of the user's `own` wants."""
    strategy: dict[str, Any] = {"name": "fixed", "use": "fixed_weights", "schedule": {"every": 100_000}, "params": {"weights": WISH}}
    if own:
        strategy = {"name": "own", "use": own, "schedule": strategy["schedule"]}
    sections: dict[str, Any] = {
        "urls": venue.ccxt_urls(),
        "strategies": [strategy],
        "universe": {"quote": "USDT", "symbols": [BTC, ETH, SOL], "sectors": {"majors": PAIR}},
        "execution": {"band": 0.005, "band_relative": 0, "on_stop": "keep"},
        "api": {"port": 0, "token": {"env": "TOKEN"}},
    }
    with capture_logs() as said:
        async with at_work(await opened(written(folder, **sections, risk=risk)), {**KEYS, "TOKEN": "open-sesame"}) as run:
            await run.until(lambda: run.daemon.views.ready()[0])
            yield Desk(run, folder, sections, said)


async def test_each_limit_on_weights_fires_and_not_below(venue: Venue, tmp_path: Path) -> None:
    """One after the other in one daemon, by reloads: at the bound nothing is cut, one step below that limit cuts and no other."""
    async with desk(venue, tmp_path, volatility_max=10) as at:
        assert await at.codes(await at.decide()) == set()
        for code, enough, less in [*WEIGHTS, measured(at)]:
            await at.limit(**enough)
            assert (code, await at.codes(await at.decide())) == (code, set())
            await at.limit(**less)
            decided = await at.decide()
            assert (code, await at.codes(decided)) == (code, {code})
            wave = at.run.parts.manager.last_wave
            assert wave is not None
            assert wave.targets[ETH] < WISH[ETH]
            if code == "correlated_group_max":
                (told,) = (line for line in at.said if line["event"] == "risk.limited" and line["symbol"] == ETH and "together" in line)
                assert (list(told["together"]), told["correlation"] > 0.01) == ([BTC], True)
        at.run.parts.analyzer.moments = lambda _symbols: Moments()  # type: ignore[method-assign, assignment]
        await at.limit(volatility_max=100)
        assert await at.codes(await at.decide()) == {"risk_unknown"}


SHORT: Final = """
    asked = 0
    def decide(self, view):
        self.asked += 1
        return TargetWeights({"BTC/USDT": 0.4, "ETH/USDT": 0.0 if self.asked == 1 else -0.01})
"""


async def test_nothing_is_sold_on_spot_that_is_not_held(venue: Venue, tmp_path: Path) -> None:
    """A strategy that wants nothing of a coin may do so, and one that wants a hundredth less than nothing is told that it cannot."""
    (tmp_path / "own.py").write_text(ownfiles.HEAD + SHORT)
    async with desk(venue, tmp_path, "./own.py:Mine") as at:
        assert await at.codes(await at.decide()) == set()
        decided = await at.decide()
        assert (await at.codes(decided), await at.codes(decided, BTC)) == ({"short_on_spot"}, set())


def measured(at: Desk) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The volatility limit, around what is measured; each second brings another bar."""
    covariance = at.run.parts.analyzer.moments(PAIR).covariance
    assert covariance is not None
    expected = volatility(np.array([0.4, 0.4]), covariance)
    return "volatility_max", {"volatility_max": round(expected * 1.5, 4)}, {"volatility_max": round(expected * 0.5, 4)}


ORDERS: Final = ("order_notional_max", "volume_share_max", "orders_per_minute", "day_notional_max", "turnover_day_max")


def order_bound(at: Desk, code: str, *, enough: bool) -> float:
    """A bound on orders for two buys of 3,000 USDT each: a little above what they need, or below."""
    account, traffic = at.run.parts.account, at.run.parts.manager.guard.gate.traffic
    bought = 3000 * (1.2 if enough else 0.8)
    day = float(traffic.in_day(at.run.parts.clock.now()).get("USDT", 0)) + (2 * 3600 if enough else 2400)
    if enough:
        traffic._made.clear()  # else the buys before fill the minute, and whoever is first waits too
    match code:
        case "order_notional_max":
            return bought
        case "volume_share_max":
            return 1 if enough else 0.00001  # each second brings another volume
        case "orders_per_minute":
            return 2 if enough else 1
        case "day_notional_max":
            return day
        case _:
            return day / 2 / float(account.equity())


async def test_each_limit_on_orders_fires_and_not_below(venue: Venue, tmp_path: Path) -> None:
    """The same for orders: by 3 % of the account twice, 3,000 USDT each; the way back passes, whatever minute and day allow."""
    async with desk(venue, tmp_path, weight_max=0.1) as at:
        await at.decide()
        for code in ORDERS:
            for weight, enough, codes in ((0.13, True, {"weight_max"}), (0.16, False, {"weight_max", code})):
                bound = order_bound(at, code, enough=enough)
                await at.limit(weight_max=weight, **{code: bound})
                decided = await at.decide(minutes=code == "orders_per_minute" and not enough)
                assert (code, await at.codes(decided)) == (code, codes)
            await at.limit(weight_max=0.1, **({} if code in ("volume_share_max", "order_notional_max") else {code: bound}))
            assert (code, await at.codes(await at.decide())) == (code, {"weight_max"})


async def test_the_turnover_of_one_decision_is_bound_and_not_below(venue: Venue, tmp_path: Path) -> None:
    """Two buys of 3 % of the account are a turnover of 3 %: what is above the bound is left, under its code in log, plan and `why`."""
    async with desk(venue, tmp_path, weight_max=0.1) as at:
        await at.decide()
        for weight, most, left in ((0.13, 0.035, set()), (0.16, 0.025, {"turnover_max"})):
            await at.limit(weight_max=weight, turnover_max=most)
            decided = await at.decide()
            at.run.daemon.traders[0].teller.flush()
            told = [line["left"] for line in at.said if line["event"] in ("plan.made", "wave.settled") and line["decision_id"] == decided]
            assert len(told) > 1
            assert {why for each in told for why in each.values()} == left
            _, why = await at.run.get(f"/api/v1/why/{ETH}?decision={decided}")
            assert {why["left"]} - {None} == left
            assert not left or "execution.turnover_max" in why["left_says"]


async def test_a_price_that_is_too_far_away_is_refused(venue: Venue, tmp_path: Path) -> None:
    """A tick far from the last bar trades nothing, in neither direction; one within the bound does."""
    async with desk(venue, tmp_path, price_deviation_max=0.05) as at:
        account = at.run.parts.account
        close = float(account.mark(ETH) or 0)
        assert await at.codes(await at.decide(ETH=1.06)) == {"price_deviation_max"}
        assert [line["symbol"] for line in at.said if line["event"] == "risk.refused"] == [ETH]
        at.said.clear()
        await at.run.until(lambda: float(account.mark(ETH) or 0) < 1.05 * close)  # the next bar marks it again
        assert await at.codes(await at.decide(ETH=1.04)) == set()


async def test_the_watch_scales_the_account_and_gives_it_back(venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it fires the account is halved at the next bar, due or not; when it calms it is made whole, by another process even."""
    async with desk(venue, tmp_path, correlation_scale=0.5) as at:
        watch, manager = at.run.parts.analyzer.market.watch, at.run.parts.manager
        monkeypatch.setattr(watch, "judge", lambda _window: False)
        await at.decide()
        watch.restore(high=True)
        await at.run.until(lambda: manager.targets.get(ETH) == pytest.approx(0.2) and manager.wave is None)
        assert manager.decision is not None
        assert manager.decision.cause is Cause.CORRELATION
        assert await at.codes(manager.decision.id) == {"correlation_high"}
        assert "risk.correlation_high" in [line["event"] for line in at.said]
    async with desk(venue, tmp_path, correlation_scale=0.5) as at:
        watch, manager = at.run.parts.analyzer.market.watch, at.run.parts.manager
        assert "risk.correlation_high" not in [line["event"] for line in at.said]
        await at.run.until(
            lambda: manager.decision is not None and manager.decision.cause is Cause.CORRELATION and manager.targets[ETH] > 0.3
        )
        await at.run.until(lambda: "risk.correlation_calmed" in [line["event"] for line in at.said])


async def test_a_day_is_not_over_because_of_a_restart(venue: Venue, tmp_path: Path) -> None:
    """What was traded before the stop counts after it."""
    async with desk(venue, tmp_path, day_notional_max=85_000) as at:
        assert await at.codes(await at.decide()) == set()
    async with desk(venue, tmp_path, day_notional_max=85_000, weight_max=0.1) as at:
        assert await at.codes(await at.decide()) == {"weight_max"}  # exits pass
        await at.limit(day_notional_max=85_000)
        assert await at.codes(await at.decide()) == {"day_notional_max"}


def goes_wrong(venue: Venue, **fault: str) -> None:
    """Put a fault into force."""
    venue.exchange.faults.add(read(fault, "").faults, venue.exchange.now())


async def test_nobody_trades_with_an_order_of_his_own(venue: Venue, tmp_path: Path) -> None:
    """A buy that a stop has left open keeps back the sale of its symbol and of no other; once its cancel is confirmed the sale goes out."""
    matching = venue.exchange.matching
    async with desk(venue, tmp_path, weight_max=0.1) as at:
        await at.decide()
        goes_wrong(venue, do="fill", symbol="ETHUSDT", side="BUY")
        goes_wrong(venue, do="lose", on="order.cancel")
        await at.limit(weight_max=0.13)
        at.run.daemon.traders[0].publish(e.RebalanceRequested("test", at.run.parts.clock.now()))
        await at.run.until(lambda: "ETHUSDT" in matching.open)
    async with desk(venue, tmp_path, weight_max=0.13) as at:
        manager = at.run.parts.manager
        assert (await at.run.post("flatten"))[0] == 200
        await at.run.until(lambda: "risk.refused" in [line["event"] for line in at.said])
        assert manager.wave is not None
        decided = manager.wave.decision.id
        assert (await at.codes(decided), await at.codes(decided, BTC)) == ({"self_trade"}, set())
        await at.run.until(lambda: [line["symbol"] for line in at.said if line["event"] == "order.submitted"] == [BTC])
        venue.exchange.faults.clear()
        await at.run.until(lambda: manager.wave is None)
        assert [line["symbol"] for line in at.said if line["event"] == "order.submitted"] == [BTC, ETH]
        assert manager.last_wave is not None
        assert "self_trade" not in manager.last_wave.left.values()
        assert matching.orders["ETHUSDT"][-1].status == "FILLED"
