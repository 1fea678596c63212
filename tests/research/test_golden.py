"""Recorded sessions: another version of Python or of a library decides what this one decided, to the id and the digit.

`REBALANCED_RECORD=1 pytest tests/research/test_golden.py` records them anew, which only a wanted change of the decisions may ask for.
"""

import hashlib
import json
import os
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import pytest

from daemon.app import routes
from daemon.config import load
from daemon.core.model import Floats
from daemon.research import runs
from tests.research.files import configured, opens, read, store

GOLDEN: Final = Path(__file__).with_name("golden.json")
SYMBOLS: Final = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
ROWS: Final = 100
MOMENTUM: Final = {"use": "portfolio_momentum", "params": {"lookback": 6, "rsi_period": 3, "top": 2}}
FIXED: Final = {"use": "fixed_weights", "params": {"weights": {"A/USDT": 0.3, "C/USDT": 0.25}}}
KINDS: Final[dict[str, list[dict[str, Any]]]] = {
    "momentum": [MOMENTUM],
    "fixed": [FIXED],
    "adjusted": [{"use": "risk_adjusted", "params": {"lookback": 12}}],
    "equal": [{"use": "equal_weight"}],
    "sleeves": [{**MOMENTUM, "share": 0.5}, {**FIXED, "share": 0.4}],
}
SEEDS: Final = range(10)


def tape(seed: int) -> Floats:
    """Bars (rows, 5) of a walk in steps of a 64th, by a generator whose numbers Python promises to keep: nothing is rounded on the way."""
    chance = Random(seed)
    close, rows = 6400 * (1 + seed % 7), []
    for _ in range(ROWS):
        opened = close
        close = max(640, close + int((chance.random() - 0.5) * close / 16))
        rows.append([opened, max(opened, close), min(opened, close), close, 64 * (1 + int(chance.random() * 9))])
    return np.array(rows) / 64


def session(kind: str, seed: int, folder: Path) -> list[str]:
    """The intents of a session, oldest first."""
    for number, symbol in enumerate(SYMBOLS):
        store(folder / "data", symbol, opens(ROWS), tape(1000 * seed + number))
    strategies = [{"name": f"s{at}", "schedule": {"every": 3 + seed % 5 + at}, **given} for at, given in enumerate(KINDS[kind])]
    config = configured(folder, SYMBOLS, strategies=strategies, execution={"band": 0.01})
    runs.backtest(load(config, {}), folder / "data", folder / "out", None, None, routes)
    keys = ("timestamp", "order_id", "symbol", "side", "amount", "price")
    return [" ".join(str(row[key]) for key in keys) for row in read(folder / "out", "orders")]


def told(intents: list[str]) -> dict[str, Any]:
    """What is kept of a session: how much there was, where it began and ended, and a digest of all of it."""
    return {
        "intents": len(intents),
        "first": intents[0],
        "last": intents[-1],
        "sha256": hashlib.sha256("\n".join(intents).encode()).hexdigest(),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_e16_recorded_sessions_are_decided_as_they_were(kind: str, tmp_path: Path) -> None:
    """Ten recorded markets through a fresh core lead to the very intents that are on record."""
    found = {f"{kind} {seed}": told(session(kind, seed, tmp_path / str(seed))) for seed in SEEDS}
    if os.environ.get("REBALANCED_RECORD"):
        before = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        GOLDEN.write_text(json.dumps(before | found, indent=1, sort_keys=True) + "\n")
    assert found == {name: kept for name, kept in json.loads(GOLDEN.read_text()).items() if name.startswith(f"{kind} ")}
