"""Risk adjusted: weights in inverse proportion to volatility, within bounds, and less of all of them when the whole is too volatile.

Idea: let every symbol carry about the same risk (naive risk parity; E. Qian, On the Financial Interpretation of Risk Contribution, Journal
of Investment Management 4, 2006), and hold the risk of the whole near a target (A. Moreira and T. Muir, Volatility-Managed Portfolios,
Journal of Finance 72, 2017).

    volatility = population standard deviation of simple returns over `lookback` bars, per bar
    wish       = exposure x (1 / volatility) / sum(1 / volatility)
    nearest    = the nearest point to the wish with sum = exposure and weight_min <= w <= weight_max
    weight     = nearest x min(1, target_volatility / sqrt(w' C w x bars in a year of 365 days))

C is the covariance of the bars' returns, by `covariance`: ewma about zero with a half-life of `half_life` bars (RiskMetrics Technical
Document, 1996), or ledoit_wolf of the last `covariance_window` returns (Journal of Multivariate Analysis 88, 2004). After the last step a
weight may be below weight_min.

A symbol that cannot be traded now keeps its weight, which the others leave room for. Where too few are left for the sum, each gets
weight_max; where what stays leaves too little for weight_min, the rest share it alike: the decision's note says so.

Parameters, with their defaults: `lookback` (60 bars), `target_volatility` (0.15 a year), `exposure` (0.9, a share of the strategy's
capital), `weight_min` (0.05) and `weight_max` (0.3, shares of the strategy's capital), `covariance` (ewma; or ledoit_wolf), `half_life`
(60 bars), `covariance_window` (240 bars).

It fails when calm precedes the fall: yesterday's volatility is no bound on today's. It holds most of what moves least, which may be what
nobody trades.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from daemon.core.allocation import bars_a_year, inverse_volatility, ledoit_wolf, out_of_reach, project, volatility_factor
from daemon.core.indicators import EwmaCovariance, Indicator, Of, Returns, Volatility, Window
from daemon.core.model import Bools, Floats, TargetWeights
from daemon.core.strategy import BARS_MAX, Columns, Strategy, Universe, View, check_choice, check_integer, check_number, check_share

Places = NDArray[np.intp]

# An exponential mean needs 58 half-lives of history to have forgotten how it began.
HALF_LIFE_MAX = BARS_MAX // 58


@dataclass(frozen=True, slots=True)
class RiskAdjustedParams:
    """See the head of this file. ValueError: a sentence that names the parameter and its bound."""

    lookback: int = 60
    target_volatility: float = 0.15
    exposure: float = 0.9
    weight_min: float = 0.05
    weight_max: float = 0.3
    covariance: Literal["ewma", "ledoit_wolf"] = "ewma"
    half_life: int = 60
    covariance_window: int = 240

    def __post_init__(self) -> None:
        """Check every bound."""
        check_integer("lookback", self.lookback, 2, BARS_MAX - 1)
        check_number("target_volatility", self.target_volatility)
        if self.target_volatility <= 0:
            raise ValueError(f"target_volatility must be above 0, not {self.target_volatility}")
        check_share("exposure", self.exposure)
        check_number("weight_min", self.weight_min)
        check_share("weight_max", self.weight_max)
        if not 0 <= self.weight_min <= self.weight_max:
            raise ValueError(f"weight_min must be at least 0 and at most weight_max, not {self.weight_min}")
        check_choice("covariance", self.covariance, "ewma", "ledoit_wolf")
        check_integer("half_life", self.half_life, 1, HALF_LIFE_MAX)
        check_integer("covariance_window", self.covariance_window, 2, BARS_MAX - 1)


class RiskAdjusted(Strategy):
    """Inverse volatility, projected onto the bounds, scaled to the target volatility."""

    Params = RiskAdjustedParams

    def __init__(self, params: RiskAdjustedParams, universe: Universe) -> None:
        super().__init__(params, universe)
        self.params: RiskAdjustedParams = params
        self._check_bounds(len(universe.symbols))
        self._target = params.target_volatility / sqrt(bars_a_year(universe.timeframe))  # per bar

    def _check_bounds(self, count: int) -> None:
        p = self.params
        if not out_of_reach(p.exposure, np.full(count, p.weight_min), np.full(count, p.weight_max)):
            return
        narrow = count * p.weight_max < p.exposure
        name, bound, side = ("weight_max", p.weight_max, "less") if narrow else ("weight_min", p.weight_min, "more")
        raise ValueError(
            f"{name} of {bound:g} makes {count * bound:g} for the {count} symbols of the universe, {side} than the exposure of "
            f"{p.exposure:g}; change {name}, exposure or the number of symbols"
        )

    def indicators(self) -> Mapping[str, Indicator]:
        """Volatility, and what the covariance is made of: itself, or the closes of its window."""
        width, p = len(self.universe.symbols), self.params
        if p.covariance == "ewma":
            covariance: Indicator = Of(EwmaCovariance(p.half_life, width, warm=p.lookback), Returns(width))
        else:
            covariance = Window(p.covariance_window + 1, width)
        return {"volatility": Volatility(p.lookback, width), "covariance": covariance}

    def warm(self, rows: Mapping[str, Floats]) -> Bools:
        """Where there is a volatility, and history enough for covariances."""
        covariance = rows["covariance"]
        measured = np.isfinite(covariance.diagonal() if self.params.covariance == "ewma" else covariance[0])
        warm: Bools = np.isfinite(rows["volatility"]) & measured
        return warm

    def decide(self, view: View) -> TargetWeights:
        """The weights of what can be traded, beside what stays."""
        symbols = view.slice.symbols
        columns = np.flatnonzero(view.tradable)
        weights, note = self._weights(columns, view) if len(columns) else (np.zeros(0), "")
        wanted = {symbols[column]: weight for column, weight in zip(columns.tolist(), weights.tolist(), strict=True)}
        signals = self.signals(view)
        for symbol, weight in {**wanted, **view.carried}.items():
            signals.setdefault(symbol, {})["weight"] = weight
        return TargetWeights(wanted, signals=signals, note=note)

    def signals(self, view: View) -> dict[str, dict[str, float]]:
        """The volatilities: the weights are what follows from them, and told by the decision that makes them."""
        volatility = view.rows["volatility"].tolist()
        return {symbol: {"volatility": value} for symbol, value in zip(view.slice.symbols, volatility, strict=True) if value == value}

    def columns(self, closes: Floats, rows: Mapping[str, Floats]) -> Columns:
        """The same at every slice."""
        return Columns(self.universe.symbols, {"volatility": rows["volatility"]}, decided=False)

    def _weights(self, columns: Places, view: View) -> tuple[Floats, str]:
        p, count = self.params, len(columns)
        spend = max(p.exposure - fsum(view.carried.values()), 0.0)
        total, least, note = spend, p.weight_min, ""
        if count * p.weight_max < spend:
            total = min(spend, fsum([p.weight_max] * count))
            note = (
                f"{count} symbols can be traded, and at weight_max they are {total:.6g} instead of {spend:.6g}"
                if total < spend - 1e-9
                else ""
            )
        elif count * p.weight_min > spend:
            least = spend / count
            note = (
                f"what stays leaves {spend:.6g} for {count} symbols, less than weight_min for each" if least < p.weight_min - 1e-9 else ""
            )
        wish = spend * inverse_volatility(view.rows["volatility"][columns])
        nearest = project(wish, total, least, p.weight_max)
        return nearest * self._factor(nearest, columns, view), note

    def _factor(self, weights: Floats, columns: Places, view: View) -> float:
        """How much of the weights the target volatility allows, beside what stays."""
        warm = np.flatnonzero(self.warm(view.rows))
        of_all, fixed = np.zeros(len(view.slice.symbols)), np.zeros(len(view.slice.symbols))
        of_all[columns] = weights
        for column, symbol in enumerate(view.slice.symbols if view.carried else ()):
            fixed[column] = view.carried.get(symbol, 0.0)
        return volatility_factor(of_all[warm], self._covariance(warm, view.rows["covariance"]), self._target, fixed[warm])

    def _covariance(self, columns: Places, row: Floats) -> Floats:
        """Covariances of the returns of these columns, per bar."""
        if self.params.covariance == "ewma":
            matrix: Floats = row[np.ix_(columns, columns)]
            return matrix
        closes = row[:, columns]
        return ledoit_wolf(closes[1:] / closes[:-1] - 1.0)
