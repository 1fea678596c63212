"""Risk parity: every symbol contributes the same part of the portfolio's variance.

Idea: diversify risk, not money (S. Maillard, T. Roncalli and J. Teiletche, The Properties of Equally Weighted Risk Contribution Portfolios,
Journal of Portfolio Management 36, 2010).

    w_i (C w)_i = the same for all i, with sum = exposure and 0 <= w <= weight_max (where the bound binds, as nearly as it allows)

C is the sample covariance of simple returns over `lookback` bars. Solved by skfolio (`rebalanced[optimize]`); where it fails, the last
weights stay and the decision's note says why.

Parameters, with their defaults: `lookback` (240 bars), `exposure` (1.0) and `weight_max` (1.0), shares of the strategy's capital.

It fails when risk is not variance: what moves little until it falls to nothing gets the most.
"""

from collections.abc import Callable

from daemon.core.optimised import Optimised, Optimiser


class RiskParity(Optimised):
    """Equal contributions to the variance over the lookback."""

    def load(self) -> Callable[[float], Optimiser]:
        """Risk budgeting, with equal budgets."""
        from skfolio import RiskMeasure
        from skfolio.optimization import RiskBudgeting

        def optimiser(most: float) -> Optimiser:
            made: Optimiser = RiskBudgeting(risk_measure=RiskMeasure.VARIANCE, max_weights=most)
            return made

        return optimiser
