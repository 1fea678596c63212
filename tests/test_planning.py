"""`rebalanced plan`: one whole decision over the account as it is, with nothing sent and nothing written."""

import io
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from daemon.app import routes, together
from daemon.config import load, resolve_secrets
from daemon.core.events import HoldPlaced
from daemon.core.plain import plain
from daemon.core.states import ACCOUNT, Hold, Level, Scope
from daemon.io.clock import SystemClock
from daemon.io.journal import Journal, read
from daemon.parts import StartRefused
from daemon.screens.planscreen import mapping, screen
from daemon.tools.planning import Planned, planned
from daemon.venue import Venue
from tests.oneprocess import KEYS, NOWHERE, SYMBOLS, at_work, exchange, written


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with exchange() as running:
        yield running


async def made(config: Path, keys: dict[str, str] | None = None) -> Planned:
    settings = load(config, {})
    journal = config.with_name("momo.sqlite")
    secrets = resolve_secrets(settings, KEYS if keys is None else keys)
    return await planned(settings, secrets, read(journal) if journal.exists() else None, routes, together)


async def test_a_plan_shows_every_step_and_sends_nothing(venue: Venue, tmp_path: Path) -> None:
    """Wish, limit, target and order of each symbol hang together, on a screen and for scripts; the venue hears of no order."""
    config = written(tmp_path, venue.ccxt_urls(), risk={"weight_max": 0.2})
    plan = await made(config)
    assert (plan.equity, plan.cash) == (Decimal(100_000), Decimal(100_000))
    bought = [row for row in plan.rows if row.order]
    assert len(bought) == 2
    for row in bought:
        assert (row.wanted, row.stages, row.target) == (0.4, (("weight_max", 0.2),), 0.2)
        assert row.order is not None
        assert row.order.amount * row.order.price == pytest.approx(20_000, rel=0.01)
        assert row.cost > 0
    assert not (tmp_path / "momo.sqlite").exists()
    assert venue.state()["orders"] == []
    told = json.loads(json.dumps(plain(mapping(plan))))
    assert [row["symbol"] for row in told["symbols"]] == list(SYMBOLS)
    shown = io.StringIO()
    Console(file=shown, width=80).print(screen(plan, "USDT"))
    text = shown.getvalue()
    assert "weight_max leaves 20.00%" in text
    assert all(symbol in text for symbol in SYMBOLS)


@pytest.mark.parametrize("mode", ["sandbox", "paper"])
async def test_a_plan_beside_a_daemon_sees_what_it_holds(venue: Venue, tmp_path: Path, mode: str) -> None:
    """Over a running instance's journal and account, whatever was bought is there, and what is at its target is left alone."""
    config = written(
        tmp_path,
        venue.ccxt_urls(),
        mode=mode,
        strategies=[{"name": "eq", "use": "equal_weight", "schedule": {"every": "24h", "at_start": True}}],
    )
    async with at_work(config, KEYS if mode == "sandbox" else {}) as run:
        await run.settled(sent=3)
        plan = await made(config, KEYS if mode == "sandbox" else {})
    assert all(row.weight == pytest.approx(1 / 3, abs=0.02) for row in plan.rows)
    assert [row.order for row in plan.rows] == [None, None, None]
    assert {row.left for row in plan.rows} <= {"in_band", "kept"}


PAUSED, HALTED, FLAT = Level.PAUSED, Level.HALTED, Level.FLATTENING


@pytest.mark.parametrize(
    ("scope", "level", "code", "stages", "left"),
    [
        (ACCOUNT, HALTED, "drawdown", {}, dict.fromkeys(SYMBOLS, "drawdown")),
        (ACCOUNT, FLAT, "flatten", {}, dict.fromkeys(SYMBOLS, "")),
        (Scope(symbol=SYMBOLS[0]), HALTED, "exclude", {}, {SYMBOLS[0]: "exclude"}),
        (Scope(strategy="one"), PAUSED, "pause", {SYMBOLS[0]: (("pause", pytest.approx(1 / 6)),)}, {}),
    ],
)
async def test_a_plan_tells_what_is_held_back(
    venue: Venue, tmp_path: Path, scope: Scope, level: Level, code: str, stages: dict[str, Any], left: dict[str, str]
) -> None:
    """A hold of the instance's journal stands above the table, and its code at each symbol that it keeps from what is wanted."""
    strategies = [
        {"name": "even", "use": "equal_weight", "share": 0.5},
        {"name": "one", "use": "fixed_weights", "share": 0.5, "params": {"weights": {SYMBOLS[0]: 0.4}}},
    ]
    config, now = written(tmp_path, venue.ccxt_urls(), strategies=strategies), SystemClock().now()
    placed = Hold(scope=scope, level=level, code=code, text="somebody said so", since=now, by="ann")
    with Journal.open(tmp_path / "momo.sqlite", instance="momo", mode="sandbox", clock=SystemClock()) as journal:
        await journal.commit(HoldPlaced(placed, now))
    plan = await made(config)
    assert {row.symbol: row.stages for row in plan.rows if row.stages} == stages
    assert {row.symbol: row.left for row in plan.rows if row.order is None} == left
    told = mapping(plan)
    assert [(hold["scope"], hold["level"], hold["code"]) for hold in told["holds"]] == [(str(scope), level.told, code)]  # type: ignore[attr-defined]
    shown = io.StringIO()
    Console(file=shown, width=80).print(screen(plan, "USDT"))
    assert f"{scope} {level.told}, {code}: somebody said so" in shown.getvalue()


async def test_a_venue_that_is_away_is_said_so(tmp_path: Path) -> None:
    """Nobody waits for an exchange that does not answer."""
    away = {side: {"public": f"{NOWHERE}/api/v3", "private": f"{NOWHERE}/api/v3"} for side in ("api", "test")}
    with pytest.raises(StartRefused, match="does not answer"):
        await made(written(tmp_path, away))
