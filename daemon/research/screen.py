"""Screen: which pairs of a universe move together, how fast their spread comes back, and whether that held where nothing was fitted.

Rule: everything is fitted on the first half of a pair's history and judged on the second; nothing of the second half reaches the fit.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import combinations
from math import inf, isfinite, log, nan, sqrt
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from daemon.config import Config
from daemon.core.model import Floats, epoch_ms
from daemon.core.plain import plain
from daemon.research.bars import UNITS, Bars, DataError, load
from daemon.screens import cells

# Below this, a half-life is a guess whatever it says: its standard error is as large as itself.
HALF_MIN: Final = 100

# The 5 % bound of the Dickey-Fuller test with a constant, many rows (MacKinnon 2010): once in twenty, a random walk's t is below it. It is
# the bound for a given beta, as the second half has it; for a fitted one, as on the first half, it would be -3.34.
T_REVERTS: Final = -2.86

# A half-life of the second half within this factor of the first's counts as the same one.
SAME: Final = 2.0


@dataclass(frozen=True, slots=True)
class Reversion:
    """How a spread comes back: its half-life in bars (inf: it does not), and the t-statistic of that (the more negative, the surer)."""

    half_life: float
    t: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two symbols, best first in a screen.

    `beta`: units of log b in a unit of log a, fitted on the first half. `correlation` is of simple returns, `reversion` of the spread
    ln a - beta ln b, each on both halves with the first half's beta. `shift`: how far the spread's mean moved from the first half to the
    second, in the first half's standard deviations. `held`: the second half reverts too (t below -2.86), within a factor 2 of the speed.
    """

    a: str
    b: str
    bars: int
    beta: float
    correlation_first: float
    correlation_second: float
    half_life_first: float
    half_life_second: float
    t_first: float
    t_second: float
    shift: float
    held: bool


def screen(closes: Floats, symbols: Sequence[str]) -> list[Pair]:
    """Every pair with enough history of prices that move, best first. `closes`: (times, symbols), NaN before a symbol's first bar.

    The order is by the sum of three ranks: correlation over the first half, half-life over the first half (short is better), and how near
    the second half's half-life came to it. Pairs that are equal in that stand in order of symbols.
    """
    found = [pair for i, j in combinations(range(len(symbols)), 2) if (pair := _judge(closes[:, [i, j]], symbols[i], symbols[j]))]
    ranks = [
        _ranks([-pair.correlation_first for pair in found]),
        _ranks([pair.half_life_first for pair in found]),
        _ranks([_off(pair) for pair in found]),
    ]
    order = sorted(range(len(found)), key=lambda k: (sum(rank[k] for rank in ranks), found[k].a, found[k].b))
    return [found[k] for k in order]


def _ranks(values: Sequence[float]) -> list[int]:
    """The place of each value, the smallest first; equal values share one, NaN comes last."""
    ordered = sorted(inf if value != value else value for value in values)
    return [ordered.index(inf if value != value else value) for value in values]


def _off(pair: Pair) -> float:
    """By which factor the second half's half-life differs, as a logarithm; inf where one of the two does not revert."""
    both = isfinite(pair.half_life_first) and isfinite(pair.half_life_second)
    return abs(log(pair.half_life_second / pair.half_life_first)) if both else inf


def _judge(closes: Floats, a: str, b: str) -> Pair | None:
    rows = closes[np.isfinite(closes).all(axis=1)]
    middle = len(rows) // 2
    if middle < HALF_MIN or (rows[:middle] == rows[0]).all(axis=0).any():
        return None  # to a price that stood still throughout the fit nothing can be hedged
    logs = np.log(rows)
    beta = hedge(logs[:middle, 0], logs[:middle, 1])
    spread = logs[:, 0] - beta * logs[:, 1]
    first, second = reversion(spread[:middle]), reversion(spread[middle:])
    moves = rows[1:] / rows[:-1] - 1.0
    deviation = float(spread[:middle].std())
    pair = Pair(
        a=a,
        b=b,
        bars=len(rows),
        beta=beta,
        correlation_first=_correlation(moves[: middle - 1]),
        correlation_second=_correlation(moves[middle:]),
        half_life_first=first.half_life,
        half_life_second=second.half_life,
        t_first=first.t,
        t_second=second.t,
        shift=float(spread[middle:].mean() - spread[:middle].mean()) / deviation if deviation > 0 else nan,
        held=False,
    )
    return Pair(**{**asdict(pair), "held": second.t < T_REVERTS and _off(pair) <= log(SAME)})


def hedge(a: Floats, b: Floats) -> float:
    """The slope of a on b by ordinary least squares with a constant (Engle and Granger 1987, first step); 0 where b does not move."""
    centred = b - b.mean()
    square = float(centred @ centred)
    return float(centred @ (a - a.mean())) / square if square > 0 else 0.0


def reversion(spread: Floats) -> Reversion:
    """How a spread comes back, from an AR(1) by ordinary least squares: s(t) - s(t-1) = c + k s(t-1) + e.

    The half-life is ln 2 / -ln(1 + k) bars: after it, half of a deviation is left (the exact form of Chan 2013, Algorithmic Trading,
    chapter 2, whose -ln 2 / k holds for small k). inf where k >= 0: what is away stays away; 0 where it is back within the bar.
    t is k over its standard error: the Dickey-Fuller statistic, whose bounds are not those of a normal distribution.
    """
    past, change = spread[:-1], np.diff(spread)
    centred = past - past.mean()
    square = float(centred @ centred)
    if square <= 0:
        return Reversion(inf, nan)
    slope = float(centred @ change) / square
    rest = change - change.mean() - slope * centred
    variance = float(rest @ rest) / (len(change) - 2)
    t = slope / sqrt(variance / square) if variance > 0 else (-inf if slope < 0 else nan)
    if slope >= 0:
        return Reversion(inf, t)
    return Reversion(log(2) / -log(1.0 + slope) if slope > -1 else 0.0, t)


def _correlation(moves: Floats) -> float:
    x, y = (moves - moves.mean(axis=0)).T
    scale = sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else nan


# --- of a configuration ----------------------------------------------------------------------------------------------


def screened(config: Config, data: Path) -> list[Pair]:
    """The pairs of a configuration's universe over all stored bars.

    Raises:
        DataError: the bars cannot be used, or no two symbols have enough of them together.
    """
    if len(config.universe.symbols) < 2:
        raise DataError(f"{config.source}: universe.symbols has one symbol, and a pair has two; add others")
    bars = load(data, config.universe.symbols, config.bar_length)
    closes = _lived(bars)
    pairs = screen(closes, bars.symbols)
    if not pairs:
        most, a, b = max(
            (_common(closes[:, [i, j]]), bars.symbols[i], bars.symbols[j]) for i, j in combinations(range(len(bars.symbols)), 2)
        )
        if most >= 2 * HALF_MIN:
            raise DataError(f"{data}: of no two symbols of {config.source} do both prices move; take others, or look at the files")
        raise DataError(
            f"{data}: no two symbols of {config.source} have the {2 * HALF_MIN} bars in common that a screen needs: "
            f"{a} and {b} have {most}, the others no more; store longer histories, or take a shorter timeframe"
        )
    return pairs


def _lived(bars: Bars) -> Floats:
    """The closes (times, symbols), from each symbol's first bar to its last; NaN before and after, where it was not traded."""
    slices = list(bars.slices())
    closes = np.stack([cross_section.close for cross_section in slices])
    times = np.array([epoch_ms(cross_section.closes_at) for cross_section in slices])
    for column, symbol in enumerate(bars.symbols):
        ended = bars.series[symbol].closes
        closes[times > (ended[-1] if len(ended) else 0), column] = np.nan
    return closes


def _common(closes: Floats) -> int:
    return int(np.isfinite(closes).all(axis=1).sum())


def as_json(pairs: Sequence[Pair]) -> str:
    """All of it, for machines; what is infinite or no number is null."""
    return json.dumps([plain(asdict(pair)) for pair in pairs], indent=2)


def as_table(pairs: Sequence[Pair], symbols: int, timeframe: timedelta, top: int) -> RenderableType:
    """The best pairs of so many symbols, and what the columns say."""
    table = cells.Listing(("", "pair", "beta", "correlation", "half-life", "t", "shift", "held"), spare=("shift", "beta"))
    for place, pair in enumerate(pairs[:top], 1):
        table.add(
            str(place),
            f"{pair.a} {pair.b}",
            f"{pair.beta:.2f}",
            _both(pair.correlation_first, pair.correlation_second, ".2f"),
            f"{_bars(pair.half_life_first)} > {_bars(pair.half_life_second)}",
            _both(pair.t_first, pair.t_second, ".1f"),
            f"{pair.shift:+.1f}" if isfinite(pair.shift) else "-",
            "yes" if pair.held else "no",
        )
    few, many = min(pair.bars for pair in pairs), max(pair.bars for pair in pairs)
    left_out = symbols * (symbols - 1) // 2 - len(pairs)
    of = f"{few if few == many else f'{few} to {many}'} bars of {_length(timeframe)}"
    lines = [
        *([f"{len(pairs) - top} more pairs with --json or --top"] if len(pairs) > top else []),
        *([f"left out, with fewer than {2 * HALF_MIN} bars in common or a price that stands still: {left_out} pairs"] if left_out else []),
        f"first half > second half of {of}; fitted on the first half only",
        f"held: the second half reverts too (t below {T_REVERTS}), within a factor {SAME:g} of the first half's speed",
    ]
    return Group(table, *(Text(line) for line in lines))


def _both(first: float, second: float, digits: str) -> str:
    return " > ".join(format(value, digits) if isfinite(value) else "-" for value in (first, second))


def _length(timeframe: timedelta) -> str:
    seconds = timeframe // timedelta(seconds=1)
    unit, length = next((unit, length) for unit, length in UNITS if seconds % length == 0)
    return f"{seconds // length}{unit}"


def _bars(half_life: float) -> str:
    return f"{half_life:,.0f}" if half_life < 1e6 else "never"
