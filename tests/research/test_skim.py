"""Stretches at which nothing happens, taken at once: the same run as slice by slice, whatever is configured and whatever is missing."""

import json
import os
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from daemon.config import load
from daemon.core.breakers.prices import Prices
from daemon.core.breakers.rules import SpikeRule
from daemon.core.slices import align_columns
from daemon.core.spikes import SpikeGuard
from daemon.core.states import States
from daemon.research import bars as stored_bars
from daemon.research import runs
from daemon.research.backtest import Backtest
from daemon.research.panels import Block, blocks
from daemon.research.skim import Skim
from daemon.routes import routes
from tests.research.files import HOUR, START, configured, opens, read, store, walk

SYMBOLS = ("A/USDT", "B/USDT", "C/USDT", "D/USDT", "E/USDT")
FILES = ("equity", "targets", "signals", "orders", "fills", "returns", "correlations")
CASES = int(os.environ.get("REBALANCED_SKIMS", "6"))
FIRST = int(os.environ.get("REBALANCED_SEED", "0"))


def market(folder: Path, chance: Random, rows: int) -> Path:
    """Bars with gaps, late beginnings, early ends and jumps."""
    for seed, symbol in enumerate(SYMBOLS):
        values = walk(rows, chance.randrange(10**6), 10.0 ** (seed - 1), chance.choice([0.002, 0.01, 0.05]))
        first = chance.choice([0, 0, chance.randrange(rows // 2)])
        last = chance.choice([rows, rows, rows - chance.randrange(rows // 3)])
        gone = set(chance.sample(range(rows), chance.choice([0, 3, 40])))
        for _ in range(chance.choice([0, 0, 2])):
            at = chance.randrange(rows - 2)
            values[at : at + chance.choice([1, 2, rows]), :4] *= chance.choice([0.3, 1.5, 3.0])
        kept = [row for row in range(first, last) if row not in gone]
        store(folder, symbol, [opens(rows)[row] for row in kept], values[kept])
    return folder


def sections(chance: Random) -> dict[str, Any]:
    """What may be configured that has a say between two decisions."""
    momentum = {"use": "portfolio_momentum", "params": {"lookback": chance.choice([3, 20]), "top": chance.randint(1, 3)}}
    fixed = {"use": "fixed_weights", "params": {"weights": {"A/USDT": 0.3, "C/USDT": 0.2}}}
    equal = {"use": "equal_weight", "params": {"symbols": ["B/USDT", "D/USDT"]}}
    adjusted = {"use": "risk_adjusted", "params": {"lookback": 10}}
    sectors = {"one": ["A/USDT", "B/USDT"], "other": ["C/USDT", "D/USDT", "E/USDT"]}
    rotation = {"use": "sector_rotation", "params": {"lookback": 8, "sectors": sectors}}
    reversion = {
        "use": "pairs",
        "params": {"pairs": [["A/USDT", "B/USDT"]], "lookback": 12, "entry": 1.0, "mode": "long_only", "size": 0.3},
    }
    chosen = chance.sample([momentum, momentum, fixed, equal, adjusted, rotation, reversion], chance.choice([1, 1, 2]))
    schedules: list[dict[str, Any]] = [{"every": chance.choice([1, 3, 24])}, {"every": 24, "at_start": True}, {"cron": "30 8 * * mon-fri"}]
    strategies: list[dict[str, Any]] = [
        {"name": f"s{n}", "share": 0.4, "schedule": chance.choice(schedules) | chance.choice([{}, {}, {"off_target": 0.05}]), **each}
        for n, each in enumerate(chosen)
    ]
    for each in strategies[1:]:
        each["schedule"].pop("off_target", None)
    breakers = {"drawdown": {"limit": chance.choice([0.02, 0.1])}, "daily_loss": {"limit": chance.choice([0.01, 0.05])}}
    chosen_breakers = {
        name: rule | {"action": chance.choice(["reduce", "halt"])} for name, rule in breakers.items() if chance.random() < 0.3
    }
    limits: dict[str, Any] = chance.choice([{}, {}, {"correlation_scale": 0.5}, {"volume_share_max": 0.5}, {"volatility_max": 0.3}])
    return {
        "strategies": strategies,
        "risk": limits | ({"breakers": chosen_breakers} if chosen_breakers else {}),
        "execution": {"band": chance.choice([0.0, 0.005])} | chance.choice([{}, {}, {"cooldown": "10h"}]),
        "backtest": chance.choice([{}, {"fills": "twap", "impact": 0.05}, {"volume_max": 0.5}]),
    }


def files(config: Path, data: Path, out: Path, *, skims: bool, start: datetime | None = None) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Every file of a run, and its summary without the times that it took."""
    plain = Backtest.run
    with patch.object(Backtest, "run", lambda self, bars, start=None: plain(self, bars, start, skims=skims)):
        summary = runs.backtest(load(config, {}), data, out, start, None, routes)
    measured = {key: value for key, value in summary.items() if key not in ("wall_s", "symbol_bars_per_s")}
    return {name: (out / f"{name}.parquet").read_bytes() for name in FILES}, measured


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CASES))
def test_a_run_is_the_same_slice_by_slice(seed: int, tmp_path: Path) -> None:
    """Orders, fills, equity, signals and all there is to a run are the same bytes, with and without stretches."""
    chance = Random(seed)
    data = market(tmp_path / "data", chance, 160)
    config = configured(tmp_path, SYMBOLS, **sections(chance))
    start = chance.choice([None, None, START + chance.randint(1, 120) * HOUR])
    at_once, one_by_one = (files(config, data, tmp_path / str(skims), skims=skims, start=start) for skims in (True, False))
    assert json.dumps(at_once[1], sort_keys=True) == json.dumps(one_by_one[1], sort_keys=True)
    assert at_once[0] == one_by_one[0]


@pytest.mark.parametrize("neutral", ["dollar", "beta"])
def test_long_and_short_is_the_same_slice_by_slice(neutral: str, tmp_path: Path) -> None:
    """The same of swaps, bought and sold short."""
    data = market(tmp_path / "data", Random(3), 160)
    swaps = [f"{symbol}:USDT" for symbol in SYMBOLS]
    for path in data.glob("*_USDT-1h.parquet"):
        path.rename(path.with_name(path.name.replace("_USDT-", "_USDT_USDT-")))
    params = {"lookback": 8, "top": 2, "bottom": 2, "neutral": neutral, "beta_window": 30}
    book = {"name": "book", "use": "long_short_momentum", "params": params, "schedule": {"every": 6}}
    config = configured(tmp_path, swaps, exchange={"id": "binance", "market": "swap"}, strategies=[book])
    at_once, one_by_one = (files(config, data, tmp_path / str(skims), skims=skims) for skims in (True, False))
    assert at_once == one_by_one
    assert at_once[1]["trades"] > 20


def in_stretches(tmp_path: Path, rows: int, **risk: object) -> list[int]:
    """How many slices the momentum strategy's run took at once, each time that it tried."""
    data = market(tmp_path / "data", Random(5), rows)
    taken: list[int] = []
    take = Skim.take

    def counted(self: Skim, block: Block, row: int) -> int:
        taken.append(take(self, block, row))
        return taken[-1]

    with patch.object(Skim, "take", counted):
        momentum = {"name": "m", "use": "portfolio_momentum", "schedule": {"every": 24}}
        config = configured(tmp_path, SYMBOLS, strategies=[momentum], risk=risk)
        runs.backtest(load(config, {}), data, tmp_path / "out", None, None, routes)
    return taken


def test_most_slices_of_a_run_are_taken_in_stretches(tmp_path: Path) -> None:
    """Where strategies decide once a day, few slices are looked at one by one: those at which something is due, or not known yet."""
    assert sum(in_stretches(tmp_path, 300)) > 0.65 * 300


def test_a_run_whose_limits_ask_the_correlation_watch_looks_at_every_slice(tmp_path: Path) -> None:
    """The watch judges every bar, before the first decision too: where it may scale what is wanted, no stretch is taken."""
    assert set(in_stretches(tmp_path, 100, correlation_scale=0.5)) == {0}


@pytest.mark.parametrize("rows", [1, 7, 8192])
def test_blocks_are_the_slices_of_the_same_bars(rows: int, tmp_path: Path) -> None:
    """However long a block is, its rows are what an Aligner would have made of their bars."""
    bars = stored_bars.load(market(tmp_path, Random(3), 60), SYMBOLS, HOUR)
    closes, values = [bars.series[s].closes for s in SYMBOLS], [bars.series[s].values for s in SYMBOLS]
    made = [block.slice(row) for block in blocks(closes, values, SYMBOLS, rows) for row in range(len(block))]
    expected = list(align_columns(closes, values, SYMBOLS))
    assert [each.closes_at for each in made] == [each.closes_at for each in expected]
    for mine, theirs in zip(made, expected, strict=True):
        assert np.array_equal(mine.panel, theirs.panel, equal_nan=True)
        assert np.array_equal(mine.synthetic, theirs.synthetic)
        assert np.array_equal(mine.age, theirs.age)


@pytest.mark.parametrize("seed", range(5))
def test_calm_rows_leave_a_guard_as_steps_do(seed: int) -> None:
    """Rows taken at once and rows taken one by one leave the same memory behind, and the first that is not calm is found."""
    chance = np.random.default_rng(seed)
    closes = 100.0 * np.exp(np.cumsum(chance.normal(0.0, 0.01, (200, 4)), axis=0))
    closes[150:, 2] *= 2.0
    real, passed = chance.random((200, 4)) < 0.8, chance.integers(1, 4, 200)
    at_once, one_by_one = SpikeGuard(4), SpikeGuard(4)
    for first, end in ((0, 7), (7, 120), (120, 140)):
        part = slice(first, end)
        assert at_once.calm(closes[part], real[part], passed[part]) == end - first
        at_once.take(end - first)
        for row in range(first, end):
            one_by_one.step(closes[row], real[row], int(passed[row]))
        assert np.array_equal(at_once.trusted, one_by_one.trusted, equal_nan=True)  # only who asks has what has passed worked out
        for name, mine in vars(at_once).items():
            theirs = vars(one_by_one)[name]
            assert name == "_calm" or mine is theirs or np.array_equal(np.asarray(mine), np.asarray(theirs), equal_nan=True)
    jump = 150 - 140 + int(real[150:, 2].argmax())
    assert at_once.calm(closes[140:], real[140:], passed[140:]) == jump


@pytest.mark.parametrize("seed", range(4))
def test_a_history_is_judged_as_slice_by_slice(seed: int, tmp_path: Path) -> None:
    """The guard of prices is the same after a history that it took at once, and so are the slices, those that had to wait included."""
    bars = stored_bars.load(market(tmp_path, Random(seed), 120), SYMBOLS, HOUR)
    history = list(bars.slices())

    def prices() -> Prices:
        return Prices(SpikeRule(factor=20.0, floor=0.1, confirmations=1), States(), SYMBOLS, HOUR)

    at_once, one_by_one, past = prices(), prices(), 60
    made = at_once.warm(history, past)
    expected = [one_by_one.judged(each, past=row < past) for row, each in enumerate(history)]
    assert [each.real.tolist() for each in made] == [each.real.tolist() for each in expected]
    for name in ("trusted", "suspect", "waiting", "split", "_moves", "_elapsed"):
        assert np.array_equal(getattr(at_once._guard, name), getattr(one_by_one._guard, name), equal_nan=True)


def test_a_margin_decision_between_due_bars_is_the_same_slice_by_slice(tmp_path: Path) -> None:
    """A position in a swap that falls towards its liquidation is made smaller at once, though nobody is due, with stretches and without."""
    symbol, rows = "A/USDT:USDT", 120
    closes = np.concatenate([np.full(60, 100.0), 100.0 * 0.985 ** np.arange(1, 61)])
    opened = np.concatenate([closes[:1], closes[:-1]])
    values = np.column_stack([opened, np.maximum(opened, closes), np.minimum(opened, closes), closes, np.ones(rows)])
    store(tmp_path / "data" / "swap", symbol, opens(rows), values)
    fixed = {"name": "f", "use": "fixed_weights", "schedule": {"every": 50}, "params": {"weights": {symbol: 3.0}}}
    config = configured(
        tmp_path,
        [symbol],
        strategies=[fixed],
        exchange={"id": "binance", "market": "swap", "leverage": 10},
        risk={"gross": 4.0, "weight_max": 4.0, "liquidation_min": 0.25, "liquidation_reduce": 0.2},
    )
    at_once, one_by_one = (files(config, tmp_path / "data", tmp_path / str(skims), skims=skims) for skims in (True, False))
    assert at_once == one_by_one
    reduced = [order for order in read(tmp_path / "True", "orders") if order["decision_id"].endswith("-margin")]
    assert reduced, read(tmp_path / "True", "orders")
    assert {order["side"] for order in reduced} == {"sell"}
