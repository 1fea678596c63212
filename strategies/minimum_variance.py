"""Minimum variance: the portfolio that moved least.

Idea: the one efficient portfolio that needs no forecast of returns (H. Markowitz, Portfolio Selection, Journal of Finance 7, 1952), and out
of sample less volatile than most (R. Clarke, H. de Silva and S. Thorley, Minimum-Variance Portfolios in the U.S. Equity Market, Journal of
Portfolio Management 33, 2006).

    weights = argmin w' C w with sum = exposure and 0 <= w <= weight_max

C is the sample covariance of simple returns over `lookback` bars. Solved by skfolio (`rebalanced[optimize]`); where it fails, the last
weights stay and the decision's note says why.

Parameters, with their defaults: `lookback` (240 bars), `exposure` (1.0) and `weight_max` (1.0), shares of the strategy's capital.

It fails by trusting its estimate: it crowds into the few symbols whose measured covariances are lowest by luck. `weight_max` bounds that.
"""

from collections.abc import Callable

from daemon.core.optimised import Optimised, Optimiser


class MinimumVariance(Optimised):
    """The weights with the least variance over the lookback."""

    def load(self) -> Callable[[float], Optimiser]:
        """The mean-risk optimiser, for risk alone."""
        from skfolio import RiskMeasure
        from skfolio.optimization import MeanRisk, ObjectiveFunction

        def optimiser(most: float) -> Optimiser:
            made: Optimiser = MeanRisk(
                objective_function=ObjectiveFunction.MINIMIZE_RISK, risk_measure=RiskMeasure.VARIANCE, max_weights=most
            )
            return made

        return optimiser
