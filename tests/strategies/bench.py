"""A bench for strategies: prices with holes become slices, and a desk as in the daemon decides on each of them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from daemon.core.desk import Desk
from daemon.core.model import Bools, Floats, Slice, TargetWeights
from daemon.core.strategy import Strategy

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SYNTHETIC_MAX = 5


def walks(seed: int, times: int = 400, symbols: int = 4) -> Floats:
    """Prices of very different size that move together and apart, one on a coarse grid; NaN where a symbol has no bar."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 0.01, (times, 1)) + rng.normal(0, 0.006, (times, symbols))
    prices = np.exp(np.cumsum(moves, axis=0)) * np.resize([1.0, 30000.0, 1e-5, 5.0], symbols)
    prices[:, 3:4] = np.round(prices[:, 3:4], 1)
    prices[rng.random(prices.shape) < 0.03] = np.nan
    for symbol in range(1, symbols):
        prices[: 7 * symbol, symbol] = np.nan
    there: Floats = prices[~np.isnan(prices).all(axis=1)]
    return there


def recorded(*, holes: float = 0.0) -> tuple[tuple[str, ...], Floats]:
    """Recorded hourly closes of every market, NaN where there is no bar, and where `holes` (a share) were punched besides."""
    folder = os.environ.get("REBALANCED_DATA")
    if not folder:
        pytest.skip("REBALANCED_DATA does not name a folder with BASE_QUOTE-1h.parquet files: no recorded bars to compare on")
    parquet = pytest.importorskip("pyarrow.parquet")
    files = sorted(Path(folder).glob("*-1h.parquet"))
    assert files, f"no *-1h.parquet in {folder}"
    tables = [parquet.read_table(file, columns=["timestamp", "close"]) for file in files]
    stamps = [table["timestamp"].to_numpy() for table in tables]
    times = np.unique(np.concatenate(stamps))
    closes = np.full((len(times), len(files)), np.nan)
    for symbol, table in enumerate(tables):
        closes[np.searchsorted(times, stamps[symbol]), symbol] = table["close"].to_numpy()
    closes[np.random.default_rng(1).random(closes.shape) < holes] = np.nan
    closes = closes[~np.isnan(closes).all(axis=1)]
    return tuple(file.stem.removesuffix("-1h").replace("_", "/") for file in files), closes


def filled(prices: Floats) -> Floats:
    """Every hole after a symbol's first price filled with the price before it."""
    seen = np.maximum.accumulate(np.where(np.isnan(prices), 0, np.arange(len(prices))[:, None]), axis=0)
    return np.take_along_axis(prices, seen, axis=0)


def slices(symbols: Sequence[str], prices: Floats) -> Iterator[Slice]:
    """One slice a row, an hour apart: holes are flat synthetic bars."""
    closes, age = filled(prices), np.zeros(len(symbols), np.int64)
    for time, row in enumerate(closes):
        real: Bools = ~np.isnan(prices[time])
        age = np.where(real, 0, age + 1)
        panel = np.vstack([row, row, row, row, np.where(np.isnan(row), np.nan, real * 1.0)])
        yield Slice(T0 + time * HOUR, tuple(symbols), panel, ~real & ~np.isnan(row), age)


def decisions(made: Strategy, prices: Floats) -> list[TargetWeights]:
    """What it decides at every row, the last answer being known to it at the next."""
    desk = Desk(made, prices.shape[1])
    decided = []
    for cross_section in slices(made.universe.symbols, prices):
        desk.step(cross_section.panel)
        decided.append(desk.decide(cross_section, SYNTHETIC_MAX))
    return decided


def told(made: Strategy, prices: Floats) -> list[Mapping[str, Mapping[str, float]]]:
    """The signals of every row, without a decision ever being taken."""
    desk = Desk(made, prices.shape[1])
    signals = []
    for cross_section in slices(made.universe.symbols, prices):
        desk.step(cross_section.panel)
        signals.append(desk.signals(cross_section, SYNTHETIC_MAX))
    return signals


def column(signals: Sequence[Mapping[str, Mapping[str, float]]], symbol: str, name: str) -> Floats:
    """One signal over time, NaN where it was not told."""
    return np.array([row.get(symbol, {}).get(name, np.nan) for row in signals])


def assert_equal(got: Floats, expected: Floats, what: str = "") -> None:
    """Told where it should be and nowhere else, and right to 1e-9: relative, absolute below 1."""
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected), err_msg=f"{what}: told at other bars")
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9, err_msg=what)
