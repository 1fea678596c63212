"""The breakers of a configuration: which are on, the short form, and each on real sockets where the venue itself is the cause."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.assembly import riskrules
from daemon.config import ConfigError, load
from daemon.core.breakers import Action, Code, Rules
from daemon.io.clock import SystemClock
from daemon.parts import Parts
from daemon.venue import Venue
from tests.oneprocess import NOWHERE, at_work, exchange, written

URLS = {"api": {"public": f"{NOWHERE}/api/v3", "private": f"{NOWHERE}/api/v3"}}


def rules(folder: Path, risk: dict[str, Any], **sections: Any) -> Rules:
    """The rules of a configuration with this section risk."""
    return riskrules.breakers(load(written(folder, URLS, mode="paper", risk=risk, **sections), {}))


# --- the configuration -----------------------------------------------------------------------------------------------


def test_what_is_on_without_a_word(tmp_path: Path) -> None:
    """What only ever waits for better times is on; what gives up on a strategy is a person's decision."""
    found = rules(tmp_path, {})
    assert found.codes == frozenset(Code) - {Code.DRAWDOWN, Code.DAILY_LOSS, Code.PEG}
    actions = {code: getattr(found, code.value).action for code in found.codes - {Code.PRICE_SPIKE}}
    assert set(actions.values()) <= {Action.REDUCE, Action.PAUSE}


def test_the_short_form(tmp_path: Path) -> None:
    """risk.drawdown_halt is the drawdown breaker with this limit and the action halt."""
    short = rules(tmp_path, {"drawdown_halt": 0.25}).drawdown
    assert short is not None
    assert (short.limit, short.action) == (0.25, Action.HALT)


def test_none_is_off(tmp_path: Path) -> None:
    """Each breaker can be switched off by its action."""
    off = {code.value: {"action": "none"} for code in Code}
    assert rules(tmp_path, {"breakers": off}).codes == frozenset()


def test_a_bar_is_never_late_within_two(tmp_path: Path) -> None:
    """The age of stale data follows the bars where they are longer."""
    found = rules(tmp_path, {}, timeframe="1h", strategies=[{"name": "momo", "use": "portfolio_momentum"}])
    assert found.stale_data is not None
    assert found.stale_data.age == timedelta(hours=2)


@pytest.mark.parametrize(
    ("risk", "sentence"),
    [
        (
            {"drawdown_halt": 0.25, "breakers": {"drawdown": {"limit": 0.3}}},
            "risk.drawdown_halt stands beside risk.breakers.drawdown, for which it is short; leave one of them out",
        ),
        (
            {"breakers": {"drawdown": {"action": "flatten"}}},
            "risk.breakers.drawdown.limit is missing, and without it this breaker is off; add it, or leave drawdown out",
        ),
        (
            {"breakers": {"peg": {"limit": 0.01}}},
            "risk.breakers.peg.symbol is missing, and without it this breaker is off; add it, or leave peg out",
        ),
        ({"breakers": {"peg": {"symbol": "USDC/USDT"}}}, "risk.breakers.peg.symbol has no price here; add it to universe.watch"),
        (
            {"breakers": {"peg": {"symbol": "USDC/EUR"}}},
            "risk.breakers.peg.symbol says nothing of universe.quote; name a market of USDT against a currency of the same worth",
        ),
        ({"breakers": {"rejects": {"pause": "2h"}}}, "risk.breakers.rejects.pause is longer than pause_max; lower it, or raise pause_max"),
        ({"breakers": {"drift": {"action": "stop"}}}, "risk.breakers.drift.action is not none, reduce, pause, halt or flatten"),
        ({"breakers": {"clock_skew": {"action": "reduce"}}}, "risk.breakers.clock_skew.action is not none, pause or halt"),
        ({"breakers": {"daily_loss": {"limit": 1.5}}}, "risk.breakers.daily_loss.limit is 1.5; give a number above 0 and at most 1"),
        ({"breakers": {"drawdawn": {}}}, "risk.breakers.drawdawn is not a known key; did you mean drawdown?"),
    ],
)
def test_mistakes_are_sentences(tmp_path: Path, risk: dict[str, Any], sentence: str) -> None:
    """What contradicts itself, or cannot work, is one sentence with the key and the remedy."""
    with pytest.raises(ConfigError) as refused:
        rules(tmp_path, risk)
    assert [problem for problem in refused.value.problems if sentence in problem], refused.value.problems


def test_a_watched_market_is_a_peg(tmp_path: Path) -> None:
    """The price of a market that is watched and not traded is enough."""
    universe = {"quote": "USDT", "symbols": ["BTC/USDT", "ETH/USDT", "SOL/USDT"], "watch": ["USDC/USDT"]}
    assert rules(tmp_path, {"breakers": {"peg": {"symbol": "USDC/USDT"}}}, universe=universe).peg is not None


# --- on real sockets -------------------------------------------------------------------------------------------------


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with exchange() as running:
        yield running


class Wrong(SystemClock):
    """A clock that is behind by so much, until it is set."""

    behind = timedelta(0)

    def now(self) -> datetime:
        return super().now() - self.behind


@pytest.mark.parametrize(("behind_s", "fires"), [(1.5, True), (0.5, False)])
async def test_a_clock_that_is_wrong(venue: Venue, tmp_path: Path, behind_s: float, fires: bool) -> None:
    """A second and a half behind the venue no order leaves, and once it is set trading goes on; half a second is nothing."""
    wrong = Wrong()
    wrong.behind = timedelta(seconds=behind_s)

    def change(parts: Parts) -> None:
        parts.clock = wrong

    async with at_work(written(tmp_path, venue.ccxt_urls()), change=change) as run:
        if fires:
            await run.until(lambda: run.daemon.views.status()["state"] == "paused")
            (hold,) = (await run.get("/api/v1/status"))[1]["holds"]
            assert (hold["code"], hold["level"], hold["scope"]) == ("clock_skew", "paused", "account")
            assert venue.state()["orders"] == []
            wrong.behind = timedelta(0)
            await run.until(lambda: run.daemon.views.status()["state"] == "running")
        await run.settled()


async def test_a_venue_that_refuses_one_symbol(venue: Venue, tmp_path: Path) -> None:
    """Refusals that the rules do not explain pause a symbol after three; the log, rows and `why` have its code, and the rest trades."""
    async with at_work(written(tmp_path, venue.ccxt_urls(), risk={"breakers": {"rejects": {"pause": "10m"}}})) as run:
        await run.settled()
        held = [str(row["symbol"]) for row in run.daemon.views.positions() if row["amount"] and row["symbol"] != "USDT"]
        async with httpx.AsyncClient(trust_env=False) as client:
            faults = [{"do": "reject", "on": "order.place", "symbol": each, "code": -1013} for each in held]
            (await client.post(f"{venue.url}/venue/faults", json=faults)).raise_for_status()
        await run.until(lambda: any(hold.code == "rejects" for hold in run.parts.manager.states.holds()))
        hold = next(hold for hold in run.parts.manager.states.holds() if hold.code == "rejects")
        assert hold.scope.symbol in held
        rows = {row["symbol"]: row["hold"] for row in (await run.get("/api/v1/targets"))[1]}
        assert rows[hold.scope.symbol] == "rejects"
        told = (await run.get(f"/api/v1/why/{hold.scope.symbol.replace('/', '-')}"))[1]
        assert told["now"]["hold"] == "rejects"
        assert "risk.breakers.rejects" in told["now"]["hold_says"]
        assert run.daemon.views.status()["state"] == "running"
