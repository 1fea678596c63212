"""What a backtest costs, counted in calls of Python functions, which no busy machine changes: a bound that holds, or somebody decides."""

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from daemon.config import load
from daemon.research.runs import Assembled, assembled
from daemon.routes import routes
from tests.research.files import configured, opens, store, walk

SYMBOLS = tuple(f"C{n:02}/USDT" for n in range(12))


def market(folder: Path, rows: int, symbols: tuple[str, ...]) -> Path:
    """Bars of that many symbols."""
    data = folder / f"{rows}x{len(symbols)}"
    for seed, symbol in enumerate(symbols if not data.exists() else ()):
        store(data, symbol, opens(rows), walk(rows, seed))
    return data


def calls(run: Callable[[], object]) -> int:
    """How many Python functions are entered, generators entered again included."""
    count = 0

    def noted(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(noted)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def ready(tmp_path: Path, rows: int, every: int, symbols: tuple[str, ...] = SYMBOLS, lookback: int = 20) -> Assembled:
    """A run of the momentum strategy."""
    data = market(tmp_path, rows, symbols)
    params = {"lookback": lookback, "rsi_period": 14, "top": 3}
    strategy = {"name": "m", "use": "portfolio_momentum", "schedule": {"every": every}, "params": params}
    path = configured(tmp_path, symbols, strategies=[strategy], execution={"band": 0.0, "band_relative": 0.1})
    return assembled(load(path, {}), data, None, routes)


def cost(made: Assembled) -> int:
    """Calls of its run."""
    return calls(lambda: made.run.run(made.bars))


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is imported where it is used, and what is compiled once, is no cost of a run."""
    made = ready(tmp_path_factory.mktemp("first"), 80, 4)
    made.run.run(made.bars)


def test_a_quiet_slice_costs_no_call_of_its_own(tmp_path: Path) -> None:
    """Between two decisions, a stretch of two thousand slices costs what one of a thousand does."""
    costs = [cost(ready(tmp_path, rows, 10_000)) for rows in (1_100, 2_100)]
    assert abs(costs[1] - costs[0]) < 200


def test_a_wave_costs_so_many_calls(tmp_path: Path) -> None:
    """A decision with its four or five orders, down to the last fill, and the stretch before it, costs at most 450 calls."""
    made = ready(tmp_path, 24 * 40, 24)
    spent = cost(made)
    waves = len({order.decision_id for order in made.record.orders})
    assert waves > 30
    assert spent / waves < 450


def test_a_decision_on_every_bar_costs_so_many_calls(tmp_path: Path) -> None:
    """Where somebody decides at every bar, two orders at most of them, a decision costs at most 340 calls."""
    made = ready(tmp_path, 240, 1)
    spent = cost(made)
    assert len({at for at, *_ in made.record.targets}) == 240
    assert spent / 240 < 340


def test_an_order_keeps_so_many_blocks_of_memory(tmp_path: Path) -> None:
    """What is left of an order when its run is over, its fills, its decision and what was told of it, is at most 80 objects."""
    made = ready(tmp_path, 24 * 40, 24)
    gc.collect()
    before = sys.getallocatedblocks()
    made.run.run(made.bars)
    gc.collect()
    assert (sys.getallocatedblocks() - before) / len(made.record.orders) < 80


def test_a_longer_lookback_costs_no_more(tmp_path: Path) -> None:
    """What a run costs does not grow with the history that its indicators look at."""
    short, long = ready(tmp_path, 24 * 40, 24), ready(tmp_path, 24 * 40, 24, lookback=300)
    assert cost(long) < 1.05 * cost(short)


def test_news_of_an_order_costs_the_same_in_a_large_wave(tmp_path: Path) -> None:
    """What follows from an order's fill does not grow with the number of orders under way, so that a wave grows in proportion."""

    def of(count: int) -> float:
        symbols = tuple(f"C{n:03}/USDT" for n in range(count))
        data = market(tmp_path, 6, symbols)
        strategy = {"name": "e", "use": "equal_weight", "schedule": {"every": 4}, "params": {"exposure": 0.9}}
        paper = {"balances": {"USDT": 1_000_000}}
        path = configured(tmp_path, symbols, strategies=[strategy], execution={"band": 0.0}, paper=paper)
        made = assembled(load(path, {}), data, None, routes)
        spent = cost(made)
        assert len(made.record.orders) >= count
        return spent / len(made.record.orders)

    assert of(100) < 1.3 * of(25)


def test_a_backtest_loads_nothing_that_speaks_to_an_exchange() -> None:
    """What the verb needs is loaded without the edges of the daemon, which take longer than a year of hourly bars."""
    needed = "import sys, daemon.cli, daemon.routes, daemon.research.runs, daemon.research.report.making, pyarrow.parquet"
    told = "print(*{'ccxt', 'aiohttp', 'httpx', 'plotly', 'structlog', 'uvloop', 'pandas', 'pyarrow.dataset'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", f"{needed}; {told}"], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
