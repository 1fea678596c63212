"""Setting: what every story has in common: the markets, the configurations, an empty journal."""

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from daemon.config import Config, load
from daemon.core.model import Order
from daemon.io.journal import Journal
from daemon.io.journal.reader import Reader

START: Final = datetime(2026, 1, 5, 6, tzinfo=UTC)
LENGTH: Final = timedelta(seconds=10)
WARM: Final = 60
SYMBOLS: Final = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
MOMENTUM: Final = {"use": "portfolio_momentum", "schedule": {"every": 2}, "params": {"lookback": 5, "rsi_period": 3, "top": 2}}
HELD: Final = {"use": "fixed_weights", "schedule": {"every": 2}, "params": {"weights": {"A/USDT": 0.3, "B/USDT": 0.3, "C/USDT": 0.3}}}
QUICK: Final = {"passive": "4s", "total": "8s", "min_reprice": "2s", "adverse_bps": 60}
PROFILES: Final[Sequence[Sequence[dict[str, Any]]]] = (
    [{"name": "momo", **MOMENTUM}],
    [{"name": "momo", "share": 0.5, **MOMENTUM}, {"name": "held", "share": 0.5, **HELD}],
    [{"name": "held", **HELD}],
)


STYLES: Final[Sequence[dict[str, Any]]] = (
    {"style": "market"},
    {"style": "market"},
    {"style": "limit", "price_cap": 0.01},
    {"style": "maker_then_taker", "maker_then_taker": {**QUICK, "max_slip_bps": 60}},
    {"style": "maker_then_taker", "maker_then_taker": {**QUICK, "max_slip_bps": 60, "improve_ticks": 1, "must_complete": True}},
    {"style": "twap", "twap": {"horizon": "8s", "interval": "2s", "participation": None}},
    {"style": "twap", "twap": {"horizon": "9s", "interval": "3s", "participation": None, "child": "limit"}, "price_cap": 0.01},
)


@cache
def configured(folder: Path, profile: int, style: int = 0) -> Config:
    """The configuration of a profile, with a style of execution."""
    content: dict[str, Any] = {
        "name": "swarm",
        "mode": "live",
        "live": {"i_understand": True},
        "exchange": {"id": "binance", "credentials": {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}},
        "universe": {"quote": "USDT", "symbols": list(SYMBOLS)},
        "timeframe": "10s",
        "bars": {"grace": "4s"},
        "strategies": list(PROFILES[profile]),
        "reconcile": {"foreign": "adopt" if profile == 2 else "ringfence"},
        "execution": {"band": 0.02, **STYLES[style]},
        "api": {"port": 0},
    }
    path = folder / f"profile{profile}-{style}.yaml"
    path.write_text(json.dumps(content))  # JSON is YAML
    return load(path, {})


@cache
def blank(folder: Path) -> Path:
    """A journal without a row."""
    path = folder / "blank.sqlite"
    with Journal.open(path, instance="swarm", mode="live", clock=_Frozen()) as journal:
        assert journal.run_id == 1
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM runs")
    connection.close()
    return path


class _Frozen:
    def now(self) -> datetime:
        return START

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def intents(path: Path) -> dict[str, Order]:
    """Every intent of a journal, by id."""
    with Reader(path) as reader:
        return {record.order.id: record.order for record in reader.orders(1000)}
