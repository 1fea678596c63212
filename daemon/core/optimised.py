"""Optimised: what the strategies share that leave their weights to an optimiser.

Rule: an optimiser is somebody else's code and a hard problem: it may fail. Then the last weights stay, and the decision's note says why;
nothing is put in their place silently.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import fsum
from typing import Protocol

import numpy as np

from daemon.core.allocation import project
from daemon.core.indicators import Indicator, Window
from daemon.core.model import Bools, Floats, TargetWeights
from daemon.core.strategy import BARS_MAX, Columns, Strategy, Universe, View, check_integer, check_share

# What an optimiser's weights may miss their sum or fall below 0 by: its own tolerance, and some. The projection takes it away.
TOLERANCE = 1e-3


class Optimiser(Protocol):
    """What fits weights (symbols,), at least 0 and with sum 1, to returns (times, symbols)."""

    weights_: Floats

    def fit(self, returns: Floats, /) -> object:
        """Find the weights."""


@dataclass(frozen=True, slots=True)
class OptimisedParams:
    """Returns over `lookback` bars; `exposure` and `weight_max` are shares of the strategy's capital. ValueError: a sentence."""

    lookback: int = 240
    exposure: float = 1.0
    weight_max: float = 1.0

    def __post_init__(self) -> None:
        """Check every bound."""
        check_integer("lookback", self.lookback, 10, BARS_MAX - 1)
        check_share("exposure", self.exposure)
        check_share("weight_max", self.weight_max)


class Optimised(Strategy):
    """Weights by an optimiser, over the simple returns of the last `lookback` bars of what can be traded.

    A symbol that never moved in that time gets nothing: there is no risk to measure, and most likely no market. One that cannot be traded
    now keeps its weight, which the others leave room for.
    """

    Params = OptimisedParams

    def __init__(self, params: OptimisedParams, universe: Universe) -> None:
        super().__init__(params, universe)
        self.params: OptimisedParams = params
        count = len(universe.symbols)
        if count * params.weight_max < params.exposure - 1e-12:
            raise ValueError(
                f"weight_max of {params.weight_max:g} makes {count * params.weight_max:g} for the {count} symbols of the universe, less "
                f"than the exposure of {params.exposure:g}; raise it, or lower exposure"
            )
        try:
            self._optimiser = self.load()
        except ImportError as error:
            raise ValueError(
                f"use needs {error.name or 'skfolio'}, which is not installed; run: pip install 'rebalanced[optimize]'"
            ) from None

    @abstractmethod
    def load(self) -> Callable[[float], Optimiser]:
        """What makes an optimiser for a largest weight (a share of 1).

        Raises:
            ImportError: the extra `optimize` is not installed.
        """

    def indicators(self) -> Mapping[str, Indicator]:
        """The closes that the returns are made of."""
        return {"closes": Window(self.params.lookback + 1, len(self.universe.symbols))}

    def warm(self, rows: Mapping[str, Floats]) -> Bools:
        """Where there is a close for every bar of the lookback."""
        return np.asarray(np.isfinite(rows["closes"]).all(axis=0), np.bool_)

    def signals(self, view: View) -> Mapping[str, Mapping[str, float]]:
        """None: what an optimiser decides on is a matrix, and asking it at every bar would take hours."""
        return {}

    def columns(self, closes: Floats, rows: Mapping[str, Floats]) -> Columns:
        """None, at any slice."""
        return Columns((), {})

    def decide(self, view: View) -> TargetWeights:
        """The optimiser's weights; the last ones where it fails."""
        closes = view.rows["closes"]
        columns = [column for column in np.flatnonzero(view.tradable).tolist() if np.ptp(closes[:, column]) > 0]
        spend = self.params.exposure - fsum(view.carried.values())
        if spend <= 0:
            return TargetWeights({})
        if not columns:
            return TargetWeights(view.weights, note="nothing that moves can be traded: the last weights stay")
        try:
            parts = self._solved(closes[1:, columns] / closes[:-1, columns] - 1.0, min(self.params.weight_max / spend, 1.0))
        except Exception as error:  # whatever a solver raises: the last weights are worth more than none
            return TargetWeights(view.weights, note=f"the optimiser failed, the last weights stay: {type(error).__name__}: {error}")
        total = min(spend, fsum([self.params.weight_max] * len(columns)))
        note = f"{len(columns)} symbols at weight_max are {total:.6g} instead of {spend:.6g}" if total < spend - 1e-9 else ""
        weights = project(parts * total, total, 0.0, self.params.weight_max).tolist()
        return TargetWeights({self.universe.symbols[column]: w for column, w in zip(columns, weights, strict=True)}, note=note)

    def _solved(self, returns: Floats, most: float) -> Floats:
        """Parts of 1.

        Raises:
            Exception: whatever the optimiser raised, or ValueError for weights that are none.
        """
        count = returns.shape[1]
        if count * most <= 1:
            return np.full(count, 1.0 / count)  # nothing to choose
        optimiser = self._optimiser(most)
        optimiser.fit(returns)
        weights = np.asarray(optimiser.weights_, np.float64)
        if weights.shape != (count,) or not np.isfinite(weights).all() or weights.min() < -TOLERANCE or abs(weights.sum() - 1) > TOLERANCE:
            raise ValueError(f"its weights are no parts of a whole: {weights}")
        return weights
