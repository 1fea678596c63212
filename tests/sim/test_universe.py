"""A universe that changes by itself: the daemon and the backtest choose the same, trade the same, and a restart changes nothing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from daemon.app import routes
from daemon.assembly.deciding import deciding
from daemon.config import load
from daemon.core.model import Cause
from daemon.io.journal.reader import Reader
from daemon.research import runs
from tests.research import files
from tests.sim.test_same_orders import LENGTH, RULES, by_backtest, by_daemon, momentum
from tests.sim.test_same_orders import quiet as quiet

SYMBOLS: Final = ("A/USDT", "B/USDT", "C/USDT", "D/USDT", "E/USDT", "F/USDT")
SELECT: Final = {"top": 3, "margin": 1, "window": 12, "every": 6, "min_age": 40}


def configured(folder: Path, select: Mapping[str, object], *strategies: Mapping[str, Any], symbols: Sequence[str] = SYMBOLS) -> Path:
    """Strategies over a universe of ten-second bars that changes by itself."""
    return files.configured(
        folder,
        symbols,
        universe={"quote": "USDT", "symbols": list(symbols), "select": dict(select)},
        timeframe="10s",
        bars={"grace": "1s"},  # less than until the first price of the next bar, which would be another to plan with
        strategies=list(strategies),
        execution={"band": 0.005},
        api={"port": 0},
        logging={"level": "error"},
    )


def stored(folder: Path, rows: int, ends: Mapping[str, int] | None = None, begins: Mapping[str, int] | None = None) -> Path:
    """Bars whose volumes wander, so that ranks change; `ends` and `begins` are rows at which a symbol's file does."""
    times = files.opens(rows, files.START, LENGTH)
    for seed, symbol in enumerate(SYMBOLS):
        values = files.walk(rows, seed)
        values[:, 4] = np.exp(2.0 * np.sin(2.0 * np.pi * (np.arange(rows) / 97 + seed / 6)))
        first, last = (begins or {}).get(symbol, 0), (ends or {}).get(symbol, rows)
        files.store(folder, symbol, times[first:last], values[first:last], name="10s")
    (folder / "markets.json").write_text(json.dumps(dict.fromkeys(SYMBOLS, RULES)))
    return folder


START: Final = 129  # bars before the run: more than a start reads, and neither strategy is due before trading has begun


@pytest.mark.parametrize("wind_down", ["0s", "1d"])
def test_daemon_and_backtest_trade_the_same_universe(tmp_path: Path, wind_down: str) -> None:
    """The same orders, to the id, with strategies that are due at other times than the universe, and symbols that come and go."""
    shares = [momentum() | {"share": 0.5}, momentum() | {"name": "slow", "share": 0.5, "schedule": {"every": 7}}]
    config = configured(tmp_path, {**SELECT, "wind_down": wind_down}, *shares)
    assert deciding(load(config, {})).need < START
    folder = stored(tmp_path / "data", START + 185, ends={"B/USDT": START + 155}, begins={"F/USDT": START - 10})
    live, _ = by_daemon(config, folder, START, SYMBOLS)
    back = by_backtest(config, folder, tmp_path / "out", START)
    assert len(back) > 50
    assert sorted(live) == sorted(back)
    with Reader(config.with_name("sim.sqlite")) as reader:
        decisions = reader.decisions(1000)
    causes = {decision.cause for decision in decisions}
    assert (Cause.UNIVERSE in causes) == (wind_down == "0s"), "sold by a decision for that, or by the next of a strategy"
    known = {symbol for decision in decisions for symbol in decision.universe or ()}
    assert known == set(SYMBOLS), "each has been in it"
    ended = files.START + (START + 155) * LENGTH
    assert all("B/USDT" not in (decision.universe or ()) for decision in decisions if decision.as_of > ended + 2 * 6 * LENGTH)
    assert all(decision.weights.keys() <= (decision.universe or set()) for decision in decisions)


def test_a_backtest_tells_what_it_could_not_sell(tmp_path: Path) -> None:
    """A file that ends while its symbol is held leaves a holding that counts, cannot be sold, and is named."""
    even = {"name": "even", "use": "equal_weight", "schedule": {"every": 4}}
    config = configured(tmp_path, {**SELECT, "top": 6}, even)
    folder = stored(tmp_path / "data", START + 130, ends={"B/USDT": START + 100})
    summary = runs.backtest(load(config, {}), folder, tmp_path / "out", files.START + (START + 1) * LENGTH, None, routes)
    (note,) = [warned["text"] for warned in summary["warnings"] if warned["code"] == "unsold"]
    assert note.endswith("had no bar to be sold at, and counts at its last price")
    assert {row["symbol"] for row in files.read(tmp_path / "out", "orders")} == set(SYMBOLS)
