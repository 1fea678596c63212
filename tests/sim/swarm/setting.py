"""Setting: what every story has in common: the markets, the configurations, an empty journal."""

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from daemon.config import Config, load
from daemon.core.model import Order
from daemon.io.journal import Journal
from daemon.io.journal.reader import _ORDERS_NEWEST, Reader
from daemon.io.journal.rows import order_from

START: Final = datetime(2026, 1, 5, 6, tzinfo=UTC)
LENGTH: Final = timedelta(seconds=10)
WARM: Final = 60
EVERY: Final = -1  # row, as SQLite counts
SYMBOLS: Final = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
SWAPS: Final = tuple(f"{symbol}:USDT" for symbol in SYMBOLS)
MOMENTUM: Final = {"use": "portfolio_momentum", "schedule": {"every": 2}, "params": {"lookback": 5, "rsi_period": 3, "top": 2}}
HELD: Final = {"use": "fixed_weights", "schedule": {"every": 2}, "params": {"weights": {"A/USDT": 0.3, "B/USDT": 0.3, "C/USDT": 0.3}}}
QUICK: Final = {"passive": "4s", "total": "8s", "min_reprice": "2s", "adverse_bps": 60}
PROFILES: Final[Sequence[Sequence[dict[str, Any]]]] = (
    [{"name": "momo", **MOMENTUM}],
    [{"name": "momo", "share": 0.5, **MOMENTUM}, {"name": "held", "share": 0.5, **HELD}],
    [{"name": "held", **HELD}],
)

PAIR: Final = {"use": "pairs", "schedule": {"every": 2}}
QUICK_PAIR: Final = {"lookback": 4, "entry": 0.7, "exit": 0.0}
SPREAD: Final = {
    "use": "fixed_weights",
    "schedule": {"every": 2},
    "params": {"weights": dict(zip(SWAPS, (0.5, -0.4, 0.3, -0.3), strict=True))},
}
# As near to a liquidation as the limits let it come.
NEAR: Final = {"use": "fixed_weights", "schedule": {"every": 2}, "params": {"weights": {SWAPS[0]: -3.5, SWAPS[1]: 1.5}}}
SWAP_PROFILES: Final[Sequence[Sequence[dict[str, Any]]]] = (
    [{"name": "pair", **PAIR, "params": {**QUICK_PAIR, "pair": SWAPS[:2], "size": 0.4}}],
    [{"name": "two", **PAIR, "params": {**QUICK_PAIR, "pairs": [SWAPS[:2], SWAPS[2:]], "size": 0.3}}],
    [
        {"name": "pair", "share": 0.6, **PAIR, "params": {**QUICK_PAIR, "pair": SWAPS[1:3], "size": 0.6}},
        {"name": "spread", "share": 0.4, **SPREAD},
    ],
    [{"name": "spread", **SPREAD}],
    [{"name": "near", **NEAR}],
)
GROUPED: Final = {0: (SWAPS[:2],), 1: (SWAPS[:2], SWAPS[2:])}  # by profile, where no other strategy trades the legs
SLICE: Final = 0.1  # of the equity: how far one leg of a group may be ahead
WITHIN_S: Final = 20.0
NEAREST: Final = 0.3  # where the profile is near to a liquidation, how near it may come


STYLES: Final[Sequence[dict[str, Any]]] = (
    {"style": "market"},
    {"style": "market"},
    {"style": "limit", "price_cap": 0.01},
    {"style": "maker_then_taker", "maker_then_taker": {**QUICK, "max_slip_bps": 60}},
    {"style": "maker_then_taker", "maker_then_taker": {**QUICK, "max_slip_bps": 60, "improve_ticks": 1, "must_complete": True}},
    {"style": "twap", "twap": {"horizon": "8s", "interval": "2s", "participation": None}},
    {"style": "twap", "twap": {"horizon": "9s", "interval": "3s", "participation": None, "child": "limit"}, "price_cap": 0.01},
)


def of_swaps(seed: int) -> bool:
    """Whether a seed tells of swaps; the others tell of spot what they always told."""
    return Random(f"{seed}/market").random() < 0.5


def near(profile: int) -> bool:
    """Whether a profile of swaps comes near to a liquidation."""
    return bool(SWAP_PROFILES[profile][0]["name"] == "near")


@cache
def configured(folder: Path, profile: int, style: int = 0) -> Config:
    """The configuration of a profile, with a style of execution."""
    return _loaded(folder / f"profile{profile}-{style}.yaml", _content(SYMBOLS, PROFILES[profile], style, adopts=profile == 2))


@cache
def swapping(folder: Path, profile: int, style: int, *, leverage: int, isolated: bool) -> Config:
    """The same for swaps."""
    content = _content(SWAPS, SWAP_PROFILES[profile], style, adopts=profile == 3)
    content["exchange"] |= {"market": "swap", "leverage": leverage, "margin_mode": "isolated" if isolated else "cross"}
    content["execution"]["groups"] = {"size": SLICE, "within": f"{WITHIN_S:g}s", "pause": "40s"}
    content["risk"] = {"gross": 2.0}
    if near(profile):
        content["execution"]["turnover_max"] = 10
        content["risk"] = {"gross": 6.0, "weight_max": 5.0, "liquidation_min": NEAREST, "liquidation_reduce": NEAREST / 2}
    return _loaded(folder / f"swaps{profile}-{style}-{leverage}-{isolated}.yaml", content)


def _content(symbols: Sequence[str], strategies: Sequence[dict[str, Any]], style: int, *, adopts: bool) -> dict[str, Any]:
    return {
        "name": "swarm",
        "mode": "live",
        "live": {"i_understand": True},
        "exchange": {"id": "binance", "credentials": {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}},
        "universe": {"quote": "USDT", "symbols": list(symbols)},
        "timeframe": "10s",
        "bars": {"grace": "4s"},
        "strategies": list(strategies),
        "reconcile": {"foreign": "adopt" if adopts else "ringfence"},
        "execution": {"band": 0.02, **STYLES[style]},
        "api": {"port": 0},
    }


def _loaded(path: Path, content: dict[str, Any]) -> Config:
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

    def stamp_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def intents(path: Path) -> dict[str, Order]:
    """Every intent of a journal, by id."""
    with Reader(path) as reader:
        return {order.id: reader._with_terms(order) for order in reader._all(_ORDERS_NEWEST, order_from, EVERY)}
