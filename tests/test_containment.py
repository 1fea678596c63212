"""Containment: on a real exchange, with real processes, the others trade on whatever a user's own strategy does."""

import gc
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.core.model import Decision
from daemon.io.journal import read
from daemon.parts import StartRefused
from daemon.venue import Venue
from tests import ownfiles
from tests.oneprocess import KEYS, SYMBOLS, Run, at_work, exchange, written


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with exchange() as running:
        yield running
    gc.collect()  # what was left open warns now, and a warning is an error


def strategy(name: str, use: str, params: Mapping[str, object], share: float) -> dict[str, object]:
    """One that decides at every bar."""
    return {"name": name, "use": use, "params": params, "share": share, "schedule": {"every": 1, "at_start": True}}


def configured(folder: Path, venue: Venue, *kinds: str, after: int = 2) -> Path:
    """Momentum and, beside it, a strategy of each kind, which behaves at first."""
    momo = strategy("momo", "portfolio_momentum", {"lookback": 5, "rsi_period": 2, "top": 2}, 0.4)
    own = [strategy(kind, f"./{ownfiles.written(folder, kind, after).name}:Mine", {}, 0.6 / len(kinds)) for kind in kinds]
    return written(folder, venue.ccxt_urls(), strategies=[momo, *own])


async def decided(run: Run, after: str = "") -> Decision:
    """The newest settled decision, later than `after`."""
    return (await run.settled(sent=0, after=after)).decision


async def test_own_strategies_trade_beside_the_shipped_ones(venue: Venue, tmp_path: Path) -> None:
    """A decision waits for the answers of the processes and holds everybody's targets; a restart goes on with them."""
    config = configured(tmp_path, venue, "behaves")
    async with at_work(config) as run:
        first = await decided(run)
        assert first.by_strategy["behaves"].weights == {SYMBOLS[0]: 0.5}
        assert first.weights[SYMBOLS[0]] >= 0.3
        assert set(first.by_strategy) == {"momo", "behaves"}
    async with at_work(config) as again:
        later = await decided(again, first.id)
        assert later.by_strategy["behaves"].weights == {SYMBOLS[0]: 0.5}
    assert read(run.path).open_orders == ()


async def test_the_rest_trades_on(venue: Venue, tmp_path: Path) -> None:
    """One raises, one says NaN, one sleeps, one ends its process: each is told once and held at its last targets, and momentum goes on."""
    kinds = ("raises", "nan", "sleeps", "exits", "imports", "unknown")
    config = configured(tmp_path, venue, *kinds)
    with capture_logs() as lines:
        async with at_work(config) as run:
            await run.until(lambda: sum(line["event"] == "strategy.disabled" for line in lines) == len(kinds))
            after = await decided(run, (await decided(run)).id)
            later = await decided(run, after.id)
            assert {name: later.by_strategy[name].weights for name in kinds} == {name: {SYMBOLS[0]: 0.5} for name in kinds}
            assert sum(later.by_strategy["momo"].weights.values()) > 0
            assert run.daemon.views.ready()[0]
    told = {line["strategy"]: line["problem"] for line in lines if line["event"] == "strategy.disabled"}
    assert set(told) == set(kinds)
    assert "ZeroDivisionError" in told["raises"]
    assert "budget of 1 s" in told["sleeps"]
    assert "exit code 7" in told["exits"]
    assert {line["log_level"] for line in lines if line["event"] == "strategy.disabled"} == {"error"}
    assert [line["lag_ms"] for line in lines if line["event"] == "loop.lag" and line["lag_ms"] > 2000] == []


async def test_a_file_that_cannot_be_loaded_keeps_nobody_from_starting(venue: Venue, tmp_path: Path) -> None:
    """The daemon starts, says what is wrong, and trades the rest."""
    config = configured(tmp_path, venue, "behaves")
    (tmp_path / "behaves.py").write_text("import no_such_module\n" + ownfiles.text_of("behaves"))
    with capture_logs() as lines:
        async with at_work(config) as run:
            first = await decided(run)
            assert set(first.by_strategy) == {"momo"}
    (told,) = [line for line in lines if line["event"] == "strategy.disabled"]
    assert "No module named 'no_such_module' (behaves.py line 1" in told["problem"]


async def test_a_wrong_parameter_refuses_the_start(venue: Venue, tmp_path: Path) -> None:
    """A mistake of the configuration is told at the start, with its place, and nothing is traded."""
    own = strategy("own", f"./{ownfiles.written(tmp_path, 'behaves').name}:Mine", {"lenght": 3}, 1)
    config = written(tmp_path, venue.ccxt_urls(), strategies=[own])
    run = Run(config, KEYS, lambda _: None)
    with run.journal:
        error = await run.end()
    assert isinstance(error, StartRefused)
    assert (error.exit_code, "strategies[0].params.lenght is not a parameter of" in str(error)) == (78, True)
