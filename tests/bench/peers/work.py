"""The work that every engine is given: the momentum strategy of 20 and 14 bars over the same prices, decided at the same closes.

Rule: this file needs numpy alone, since every engine runs it in an environment of its own. What a decision rests on is worked out here once
more, by the plainest of loops, and whoever did other work is not compared.
"""

import json
import resource
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

LOOKBACK: Final = 20
RSI: Final = 14
TOP: Final = 3
EXPOSURE: Final = 0.8
BAND: Final = 0.1  # of a target: nearer to it nothing is traded, but what is to go always goes
CASH: Final = 1_000_000.0
FEE: Final = 0.001
HOUR_MS: Final = 3_600_000
COLUMNS: Final = ("open", "high", "low", "close", "volume")
NUMBERS: Final = ("price_momentum", "rsi", "trend", "score")

Signals = tuple[float, float, float, float]


@dataclass
class Work:
    """Bars (bar, column, symbol) that open at `times` (UTC ms), decided at every close that is a multiple of `every` hours."""

    times: Any
    bars: Any
    every: int
    top: int = field(init=False)

    def __post_init__(self) -> None:
        """Two symbols cannot hold three."""
        self.top = min(TOP, self.bars.shape[2] - 1)

    @property
    def symbols(self) -> list[str]:
        """In the order in which ties break."""
        return [f"C{n:03}" for n in range(self.bars.shape[2])]

    def column(self, name: str) -> Any:
        """(bar, symbol) of one column."""
        return self.bars[:, COLUMNS.index(name), :]

    def due(self, bar: int) -> bool:
        """Whether the close of this bar is decided at."""
        return bar >= LOOKBACK and bool((int(self.times[bar]) + HOUR_MS) % (self.every * HOUR_MS) == 0)

    @property
    def decisions(self) -> list[int]:
        """The bars that are."""
        return [bar for bar in range(len(self.times)) if self.due(bar)]

    def best(self, scores: Sequence[float]) -> list[int]:
        """The columns that are held."""
        return sorted(range(len(scores)), key=lambda place: (-scores[place], place))[: self.top]

    def targets(self, scores: Sequence[float]) -> list[float]:
        """The weight of each symbol."""
        held = set(self.best(scores))
        return [EXPOSURE / self.top if place in held else 0.0 for place in range(len(scores))]


def moves(weight: float, target: float) -> bool:
    """Whether a holding is far enough from its target to be traded."""
    return abs(weight - target) > BAND * abs(target)


class Momentum:
    """The four numbers of one symbol, bar by bar: one step costs the same whatever the lookback."""

    def __init__(self) -> None:
        self._closes: deque[float] = deque(maxlen=LOOKBACK + 1)
        self._gain = self._loss = 0.0
        self._changes = 0

    def update(self, close: float) -> Signals | None:
        """What is known after this close; None until all of it is."""
        if self._closes:
            self._change(close - self._closes[-1])
        self._closes.append(close)
        if len(self._closes) <= LOOKBACK:
            return None
        past = list(self._closes)
        momentum = close / past[0] - 1
        trend = 1.0 if close > sum(past[1:]) / LOOKBACK else -1.0
        rsi = 100.0 - 100.0 / (1.0 + self._gain / self._loss) if self._loss else (100.0 if self._gain else 50.0)
        return momentum, rsi, trend, 0.5 * momentum + 0.003 * (50.0 - rsi) + 0.1 * trend

    def _change(self, change: float) -> None:
        gain, loss = max(change, 0.0), max(-change, 0.0)
        self._changes += 1
        if self._changes <= RSI:  # Wilder: the first value is the mean of the first changes
            self._gain += gain / RSI
            self._loss += loss / RSI
        else:
            self._gain += (gain - self._gain) / RSI
            self._loss += (loss - self._loss) / RSI


def score(momentum: Any, rsi: Any, trend: Any) -> Any:
    """Of numbers or of arrays."""
    return 0.5 * momentum + 0.003 * (50.0 - rsi) + 0.1 * trend


def reference(work: Work) -> Any:
    """What every decision rests on: (decision, symbol, number)."""
    each = [Momentum() for _ in work.symbols]
    closes, rows = work.column("close").tolist(), []
    for bar, row in enumerate(closes):
        numbers = [symbol.update(close) for symbol, close in zip(each, row, strict=True)]
        if work.due(bar):
            rows.append(numbers)
    return np.array(rows, np.float64)


def save(path: Path, work: Work) -> Path:
    """Keep it for a process to come."""
    np.savez(path, times=work.times, bars=work.bars, every=work.every)
    return path


def given() -> Work:
    """The work that this process was started for."""
    with np.load(sys.argv[1]) as kept:
        return Work(kept["times"], kept["bars"], int(kept["every"]))


def told(seconds: float, signals: Iterable[Any], orders: int, **versions: str) -> None:
    """What it took and what it rested on: a line of JSON, and the signals (decision, symbol, number) in the file that was named."""
    kept = np.array(list(signals), np.float64)
    np.save(sys.argv[2], kept)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "decisions": len(kept), "orders": orders, "rss_mb": peak, "versions": versions}))  # noqa: T201


def same(signals: Any, expected: Any) -> str:
    """What is different about the work that was done: a sentence, or nothing."""
    if len(signals) != len(expected):
        return f"{len(signals)} decisions instead of {len(expected)}"
    if signals.shape != expected.shape:
        return f"signals of shape {signals.shape} instead of {expected.shape}"
    apart = float(np.max(np.abs(signals - expected)))
    return "" if apart <= 1e-9 else f"signals differ by {apart:.3g}"


def version(*names: str) -> Mapping[str, str]:
    """Of installed packages."""
    from importlib import metadata

    return {name: metadata.version(name) for name in names}
