"""Fixed weights: hold what the configuration says, and trade back to it.

Idea: the classic rebalanced portfolio; each rebalance sells what has risen and buys what has fallen (A. Perold and W. Sharpe, Dynamic
Strategies for Asset Allocation, Financial Analysts Journal 44, 1988). The weight of a symbol is the number given; what the numbers leave of
the capital stays in cash.

Parameters: `weights` ({SYMBOL: share of the strategy's capital}; on spot at least 0, and together at most 1).

It fails when one symbol falls for good: every rebalance buys more of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import fsum

from daemon.core.indicators import Indicator
from daemon.core.model import Floats, TargetWeights
from daemon.core.strategy import Columns, Strategy, Universe, View, check_number


@dataclass(frozen=True, slots=True)
class FixedWeightsParams:
    """See the head of this file. ValueError: a sentence that names the parameter and its bound."""

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that there are weights, and that they are numbers."""
        if not self.weights:
            raise ValueError("weights must give at least one symbol its share; write them as {BTC/USDT: 0.5, ETH/USDT: 0.3}")
        for symbol, weight in self.weights.items():
            check_number(f"weights.{symbol}", weight)


class FixedWeights(Strategy):
    """The weights of the configuration, always."""

    Params = FixedWeightsParams

    def __init__(self, params: FixedWeightsParams, universe: Universe) -> None:
        super().__init__(params, universe)
        self.params: FixedWeightsParams = params
        for symbol, weight in params.weights.items():
            if symbol not in universe.symbols:
                raise ValueError(f"weights.{symbol} is not in universe.symbols; add the symbol there, or leave it out here")
            if weight < 0 and universe.market == "spot":
                raise ValueError(f"weights.{symbol} is {weight}, and spot has nothing below 0; give it at least 0")
        total = fsum(params.weights.values())
        if total > 1 + 1e-12 and universe.market == "spot":
            raise ValueError(f"weights sum to {total:.6g}, more than the capital; lower some of them")

    def indicators(self) -> Mapping[str, Indicator]:
        """None: the weights rest on no number."""
        return {}

    def decide(self, view: View) -> TargetWeights:
        """What was given."""
        return TargetWeights(dict(self.params.weights))

    def columns(self, closes: Floats, rows: Mapping[str, Floats]) -> Columns:
        """None, at any slice."""
        return Columns((), {})
