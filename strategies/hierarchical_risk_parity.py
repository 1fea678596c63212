"""Hierarchical risk parity: share risk between groups that move together, then inside them.

Idea: a tree of correlations is estimated better than the inverse of a covariance matrix (M. López de Prado, Building Diversified Portfolios
that Outperform Out of Sample, Journal of Portfolio Management 42, 2016). Symbols are clustered by their correlations over `lookback` bars;
from the top of the tree down, each split shares the weight in inverse proportion to the variances of its two branches; then the weights are
scaled to sum = exposure with 0 <= w <= weight_max. Done by skfolio (`rebalanced[optimize]`); where it fails, the last weights stay and the
decision's note says why.

Parameters, with their defaults: `lookback` (240 bars), `exposure` (1.0) and `weight_max` (1.0), shares of the strategy's capital.

It fails when the tree changes between rebalances: near ties between clusters turn weights over without any change of risk.
"""

from collections.abc import Callable

from daemon.core.optimised import Optimised, Optimiser


class HierarchicalRiskParity(Optimised):
    """Weights down a tree of correlations."""

    def load(self) -> Callable[[float], Optimiser]:
        """The optimiser of the same name, by variance."""
        from skfolio import RiskMeasure
        from skfolio import optimization as skfolio

        def optimiser(most: float) -> Optimiser:
            made: Optimiser = skfolio.HierarchicalRiskParity(risk_measure=RiskMeasure.VARIANCE, max_weights=most)
            return made

        return optimiser
