"""Stored bars for tests, written as a download would have left them."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from daemon.core.model import Floats, epoch_ms
from daemon.research.arrow import pa, parquet

HOUR = timedelta(hours=1)
START = datetime(2024, 1, 1, tzinfo=UTC)


def walk(rows: int, seed: int, start: float = 100.0, move: float = 0.01) -> Floats:
    """Made-up bars (rows, 5), each opening a little away from the last close, as real ones do."""
    chance = np.random.default_rng(seed)
    close = np.round(start * np.exp(np.cumsum(chance.normal(0.0, move, rows))), 4)
    opened = np.round(np.concatenate([[start], close[:-1]]) * np.exp(chance.normal(0.0, move / 10, rows)), 4)
    high = np.maximum(opened, close) * 1.001
    low = np.minimum(opened, close) * 0.999
    return np.column_stack([opened, high, low, close, chance.uniform(1.0, 9.0, rows)])


def opens(rows: int, start: datetime = START, timeframe: timedelta = HOUR) -> list[int]:
    """The open times of so many bars in a row, in UTC ms."""
    return [epoch_ms(start) + i * (timeframe // timedelta(milliseconds=1)) for i in range(rows)]


def store(folder: Path, symbol: str, times: Sequence[int], values: Floats, name: str = "1h") -> Path:
    """Write the bars of a symbol."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{symbol.replace('/', '_').replace(':', '_')}-{name}.parquet"
    columns: dict[str, Any] = {"timestamp": pa.array(times, pa.int64())}
    columns |= {column: pa.array(values[:, i]) for i, column in enumerate(("open", "high", "low", "close", "volume"))}
    parquet.write_table(pa.table(columns), path)
    return path


def stored(folder: Path, rows: int, symbols: Sequence[str], holes: Mapping[str, Sequence[int]] | None = None, **where: Any) -> Path:
    """A directory with bars of some symbols; `holes` are rows that a symbol's file does not have."""
    for seed, symbol in enumerate(symbols):
        kept = [i for i in range(rows) if i not in (holes or {}).get(symbol, ())]
        times = opens(rows, where.get("start", START), where.get("timeframe", HOUR))
        store(folder, symbol, [times[i] for i in kept], walk(rows, seed, 10.0 ** (seed + 1))[kept], where.get("name", "1h"))
    return folder


def configured(folder: Path, symbols: Sequence[str], **sections: object) -> Path:
    """A configuration that can be backtested; `sections` replace whole ones."""
    content: dict[str, object] = {
        "name": "stored",
        "mode": "paper",
        "exchange": {"id": "binance"},
        "universe": {"quote": "USDT", "symbols": list(symbols)},
        "timeframe": "1h",
        "strategies": [
            {
                "name": "momo",
                "use": "portfolio_momentum",
                "schedule": {"every": 4},
                "params": {"lookback": 5, "rsi_period": 3, "top": 2},
            }
        ],
    }
    path = folder / "stored.yaml"
    path.write_text(json.dumps(content | sections))  # JSON is YAML
    return path


def read(out: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a file of results."""
    rows: list[dict[str, Any]] = parquet.read_table(out / f"{name}.parquet").to_pylist()
    return rows
