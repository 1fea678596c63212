"""Momentum score: what has risen and stands above its average, with a term against or for what has just moved hard.

    score = price x (close / close[-lookback] - 1) + rsi x (50 - RSI) + trend x (+1 if close > SMA(lookback) else -1)

close[-lookback] is the close `lookback` bars before the current one; RSI is Wilder's, 0 to 100 (New Concepts in Technical Trading Systems,
1978). With `rsi_sign: momentum` the middle term is rsi x (RSI - 50).

Rule: the strategies that rank by it have it from here, so that one configuration means the same numbers to all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, Literal

import numpy as np

from daemon.core.indicators import RSI, SMA, Indicator, Momentum
from daemon.core.model import Floats
from daemon.core.strategy import BARS_MAX, check_choice, check_integer, check_number

# Half an ulp each for the decimals of the close, those of the average's terms, and the division: what is nearer than this is a tie. On any
# grid of prices the next possible difference is a tick / lookback, more than a thousand times as far.
TIE: Final = 2.0**-51

WEIGHTS: Final = {"price": 0.5, "rsi": 0.003, "trend": 0.1}


@dataclass(frozen=True, slots=True)
class ScoreParams:
    """What the score is made of: `weights` per unit of return, per point of RSI and for the trend; what is not named keeps its default.

    ValueError: a sentence that names the parameter and its bound.
    """

    lookback: int = 20
    rsi_period: int = 14
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    rsi_sign: Literal["contrarian", "momentum"] = "contrarian"

    def __post_init__(self) -> None:
        """Check every bound and complete `weights`."""
        check_integer("lookback", self.lookback, 2, BARS_MAX)
        check_integer("rsi_period", self.rsi_period, 2, BARS_MAX // 40)
        check_choice("rsi_sign", self.rsi_sign, "contrarian", "momentum")
        if not isinstance(self.weights, Mapping):
            raise ValueError(f"weights must name price, rsi and trend, not be {self.weights!r}")
        for name, value in self.weights.items():
            if name not in WEIGHTS:
                raise ValueError(f"weights.{name} is not one of {', '.join(WEIGHTS)}")
            check_number(f"weights.{name}", value)
        object.__setattr__(self, "weights", WEIGHTS | dict(self.weights))


def indicators(params: ScoreParams, width: int) -> dict[str, Indicator]:
    """Return over the lookback, RSI and moving average of the closes."""
    return {
        "price_momentum": Momentum(params.lookback, width),
        "rsi": RSI(params.rsi_period, width),
        "average": SMA(params.lookback, width),
    }


def numbers(params: ScoreParams, close: Floats, rows: Mapping[str, Floats]) -> dict[str, Floats]:
    """Every number that the score rests on, and it, by name; of one row (symbols,) or of many. NaN where a symbol is not warm."""
    factor = params.weights
    momentum, rsi = rows["price_momentum"], rows["rsi"]
    average = rows["average"]
    trend = np.where(np.isnan(average), np.nan, np.where(close - average > TIE * average, 1.0, -1.0))
    strength = 50.0 - rsi if params.rsi_sign == "contrarian" else rsi - 50.0
    score = factor["price"] * momentum + factor["rsi"] * strength + factor["trend"] * trend
    return {"price_momentum": momentum, "rsi": rsi, "trend": trend, "score": score}


def by_symbol(symbols: Sequence[str], signals: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
    """Numbers of one row by symbol and name, those that there are."""
    rows = zip(symbols, *(row.tolist() for row in signals.values()), strict=True)
    told = {symbol: {name: value for name, value in zip(signals, each, strict=True) if isfinite(value)} for symbol, *each in rows}
    return {symbol: each for symbol, each in told.items() if each}
