"""Portfolio momentum: hold the N symbols with the best score, in equal weights.

Idea: what has risen goes on rising for a while (N. Jegadeesh and S. Titman, Returns to Buying Winners and Selling Losers, Journal of
Finance 48, 1993). The score adds a trend filter and, against the first, a term for symbols that have just fallen hard:

    score = price x (close / close[-lookback] - 1) + rsi x (50 - RSI) + trend x (+1 if close > SMA(lookback) else -1)

close[-lookback] is the close `lookback` bars before the current one; RSI is Wilder's, 0 to 100 (New Concepts in Technical Trading Systems,
1978). With `rsi_sign: momentum` the middle term is rsi x (RSI - 50): strength counts for a symbol instead of against it. The `top` symbols
get exposure / top each; where fewer can be traded, each of these still gets no more. Ties break by symbol.

With a `floor`, a symbol whose score is below it is not held, however it ranks, and its part stays in cash: momentum that is absolute as
well as relative (G. Antonacci, Risk Premia Harvesting Through Dual Momentum, Journal of Management and Entrepreneurship 2, 2017).

Parameters, with their defaults: `lookback` (20 bars), `rsi_period` (14 bars), `top` (3 symbols), `exposure` (0.8, a share of the
strategy's capital), `weights` (price 0.5 per unit of return, rsi 0.003 per point, trend 0.1; what is not named keeps its default),
`rsi_sign` (contrarian; or momentum), `floor` (none; in units of the score).

It fails when leaders change faster than `lookback`, and pays fees for every change of rank in a market without direction. Without a floor
it holds the least bad symbols through a general fall, since a score need not be positive to be among the best.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Final, Literal

import numpy as np

from daemon.core.indicators import RSI, SMA, Indicator, Momentum
from daemon.core.model import Floats, TargetWeights
from daemon.core.strategy import BARS_MAX, Strategy, Universe, View, check_choice, check_integer, check_number, check_share

# Half an ulp each for the decimals of the close, those of the average's terms, and the division: what is nearer than this is a tie. On any
# grid of prices the next possible difference is a tick / lookback, more than a thousand times as far.
TIE: Final = 2.0**-51

WEIGHTS: Final = {"price": 0.5, "rsi": 0.003, "trend": 0.1}


@dataclass(frozen=True, slots=True)
class MomentumParams:
    """See the head of this file. ValueError: a sentence that names the parameter and its bound."""

    lookback: int = 20
    rsi_period: int = 14
    top: int = 3
    exposure: float = 0.8
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    rsi_sign: Literal["contrarian", "momentum"] = "contrarian"
    floor: float | None = None

    def __post_init__(self) -> None:
        """Check every bound and complete `weights`."""
        check_integer("lookback", self.lookback, 2, BARS_MAX)
        check_integer("rsi_period", self.rsi_period, 2, BARS_MAX // 40)
        check_integer("top", self.top, 1, 10_000)
        check_share("exposure", self.exposure)
        check_choice("rsi_sign", self.rsi_sign, "contrarian", "momentum")
        if self.floor is not None:
            check_number("floor", self.floor)
        if not isinstance(self.weights, Mapping):
            raise ValueError(f"weights must name price, rsi and trend, not be {self.weights!r}")
        for name, value in self.weights.items():
            if name not in WEIGHTS:
                raise ValueError(f"weights.{name} is not one of {', '.join(WEIGHTS)}")
            check_number(f"weights.{name}", value)
        object.__setattr__(self, "weights", WEIGHTS | dict(self.weights))


class PortfolioMomentum(Strategy):
    """The top N by score, equally weighted."""

    Params = MomentumParams

    def __init__(self, params: MomentumParams, universe: Universe) -> None:
        super().__init__(params, universe)
        self.params: MomentumParams = params

    def indicators(self) -> Mapping[str, Indicator]:
        """Return over the lookback, RSI and moving average of the closes."""
        width = len(self.universe.symbols)
        return {
            "price_momentum": Momentum(self.params.lookback, width),
            "rsi": RSI(self.params.rsi_period, width),
            "average": SMA(self.params.lookback, width),
        }

    def decide(self, view: View) -> TargetWeights:
        """The best tradable symbols. One that was chosen before and cannot be traded now keeps its place among them."""
        each = self.params.exposure / self.params.top
        places = self.params.top - round(sum(view.carried.values()) / each)
        signals = self.signals(view)
        symbols = [symbol for symbol, may in zip(view.slice.symbols, view.tradable.tolist(), strict=True) if may]
        ranked = sorted(symbols, key=lambda symbol: (-signals[symbol]["score"], symbol))
        floor = -inf if self.params.floor is None else self.params.floor
        best = [symbol for symbol in ranked[: max(places, 0)] if signals[symbol]["score"] >= floor]
        return TargetWeights(dict.fromkeys(best, each), signals=signals)

    def signals(self, view: View) -> dict[str, dict[str, float]]:
        """The four numbers of every symbol, each from the bar on at which everything it needs is there."""
        return _by_symbol(view.slice.symbols, self.numbers(view.slice.close, view.rows))

    def columns(self, closes: Floats, rows: Mapping[str, Floats]) -> dict[str, Floats]:
        """The four numbers of every symbol at every slice."""
        return self.numbers(closes, rows)

    def numbers(self, close: Floats, rows: Mapping[str, Floats]) -> dict[str, Floats]:
        """Every number that the decision rests on, by name; of one row (symbols,) or of many. NaN where a symbol is not warm."""
        factor = self.params.weights
        momentum, rsi = rows["price_momentum"], rows["rsi"]
        average = rows["average"]
        trend = np.where(np.isnan(average), np.nan, np.where(close - average > TIE * average, 1.0, -1.0))
        strength = 50.0 - rsi if self.params.rsi_sign == "contrarian" else rsi - 50.0
        score = factor["price"] * momentum + factor["rsi"] * strength + factor["trend"] * trend
        return {"price_momentum": momentum, "rsi": rsi, "trend": trend, "score": score}


def _by_symbol(symbols: tuple[str, ...], signals: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
    """The signals by symbol and name, those that there are."""
    rows = zip(symbols, *(row.tolist() for row in signals.values()), strict=True)
    told = {symbol: {name: value for name, value in zip(signals, numbers, strict=True) if isfinite(value)} for symbol, *numbers in rows}
    return {symbol: numbers for symbol, numbers in told.items() if numbers}
