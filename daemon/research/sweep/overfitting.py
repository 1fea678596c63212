"""Overfitting: how far the best of many backtests can be believed, given how many there were.

Rule: formulas alone, each with its source. Ratios are of one return, not a year, unless it is said; a matrix of returns has a column a run.
"""

from collections.abc import Iterator
from itertools import combinations
from math import e, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np

from daemon.core.model import Bools, Floats
from daemon.research.panels import Ints

# Bailey et al. use 16: its 12,870 halves tell the probability to a hundredth, and each block is still a sixteenth of the period.
BLOCKS: Final = 16
EULER: Final = 0.5772156649015329  # Euler and Mascheroni's constant
HALVES_AT_ONCE: Final = 256
NORMAL: Final = NormalDist()


def sharpes(returns: Floats) -> Floats:
    """The Sharpe ratio of each column (rows: stretches), 0 where nothing has moved; the free rate is 0."""
    return _ratio(returns.mean(axis=0), returns.std(axis=0))


def _ratio(means: Floats, deviations: Floats) -> Floats:
    ratio: Floats = np.divide(means, deviations, out=np.zeros_like(means), where=deviations > 1e-15)
    return ratio


def different(returns: Floats) -> Ints:
    """The columns without those that are the same as one before them: a key that changes nothing makes no trial of its own."""
    _, first = np.unique(returns, axis=1, return_index=True)
    return np.sort(first)


def moments(returns: Floats) -> tuple[float, float]:
    """Skewness and kurtosis (3 of the normal distribution) of some returns; NaN where nothing has moved."""
    deviation = float(returns.std()) if len(returns) else 0.0
    if not deviation > 0:
        return float("nan"), float("nan")
    scaled = (returns - returns.mean()) / deviation
    return float((scaled**3).mean()), float((scaled**4).mean())


def independent(returns: Floats) -> float:
    """How many independent trials so many columns come to: r + (1 - r) N, of their mean correlation r, at least 1.

    Source: Bailey and López de Prado, The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (2014), appendix 3.
    """
    count = returns.shape[1]
    deviations = returns.std(axis=0)
    if count < 2 or not (deviations > 0).all():
        return float(count)
    scaled = (returns - returns.mean(axis=0)) / deviations
    # The mean over all pairs follows from the variance of the sum: var(sum) = N + N (N - 1) r.
    mean = (float((scaled.sum(axis=1) ** 2).mean()) - count) / (count * (count - 1))
    return float(max(1.0, mean + (1.0 - mean) * count))


def expected_best(variance: float, trials: float) -> float:
    """The Sharpe ratio that the best of so many independent trials without skill is expected to have; 0 of a single one.

    sqrt(V) ((1 - g) Z[1 - 1/N] + g Z[1 - 1/(N e)]), V the variance of the trials' ratios, g Euler's constant, Z the normal quantile.
    Source: Bailey and López de Prado (2014), equation 1 (the false strategy theorem).
    """
    if trials <= 1:
        return 0.0
    low, high = NORMAL.inv_cdf(1 - 1 / trials), NORMAL.inv_cdf(1 - 1 / (trials * e))
    return sqrt(variance) * ((1 - EULER) * low + EULER * high)


def probability_above(sharpe: float, benchmark: float, length: int, skewness: float, kurtosis: float) -> float:
    """The probabilistic Sharpe ratio: how probably the true ratio of `length` returns that showed `sharpe` is above `benchmark`.

    Against `expected_best` of all trials it is the deflated Sharpe ratio of the best of them. NaN where it cannot be said.

    Z[(s - b) sqrt(T - 1) / sqrt(1 - skewness s + (kurtosis - 1) / 4 s²)]; ratios of one return, kurtosis 3 for the normal distribution.
    Source: Bailey and López de Prado, The Sharpe Ratio Efficient Frontier, Journal of Risk 15 (2012); (2014), equation 2.
    """
    spread = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return NORMAL.cdf((sharpe - benchmark) * sqrt((length - 1) / spread)) if spread > 0 and length > 1 else float("nan")


def logits(returns: Floats, blocks: int = BLOCKS) -> Floats:
    """For every half of the blocks: how the column that was best in it did in the other half, as the logit of its rank there.

    ln(w / (1 - w)), w its rank from the worst over N + 1; 0 is the middle, below it the choice did worse than most. By Sharpe ratio; those
    that are alike share their rank. Empty of fewer than two columns, or fewer rows than blocks.
    Source: combinatorially symmetric cross-validation: Bailey, Borwein, López de Prado and Zhu, The Probability of Backtest Overfitting,
    Journal of Computational Finance 20 (2017), section 3.
    """
    length, count = returns.shape
    if count < 2 or length < blocks:
        return np.empty(0)
    # A half's Sharpe ratio follows from the sums and the sums of squares of its blocks.
    edges = np.linspace(0, length, blocks + 1).round().astype(np.int64)[:-1]
    sums, squares = np.add.reduceat(returns, edges), np.add.reduceat(returns**2, edges)
    sizes = np.diff(np.append(edges, length)).astype(np.float64)
    return np.concatenate([_logits(half, sums, squares, sizes) for half in _halves(blocks)])


def _halves(blocks: int) -> Iterator[Bools]:
    """Every half of the blocks, a row each, some at once."""
    chosen = np.array(list(combinations(range(blocks), blocks // 2)))
    for first in range(0, len(chosen), HALVES_AT_ONCE):
        part = chosen[first : first + HALVES_AT_ONCE]
        half = np.zeros((len(part), blocks), np.bool_)
        half[np.arange(len(part))[:, None], part] = True
        yield half


def _logits(half: Bools, sums: Floats, squares: Floats, sizes: Floats) -> Floats:
    inside, outside = (_ratios(part.astype(np.float64), sums, squares, sizes) for part in (half, ~half))
    best = inside.argmax(axis=1)
    own = outside[np.arange(len(half)), best][:, None]
    rank = (outside < own).sum(axis=1) + ((outside == own).sum(axis=1) + 1) / 2
    share = rank / (outside.shape[1] + 1)
    logit: Floats = np.log(share / (1 - share))
    return logit


def _ratios(part: Floats, sums: Floats, squares: Floats, sizes: Floats) -> Floats:
    count = (part @ sizes)[:, None]
    means = part @ sums / count
    return _ratio(means, np.sqrt(np.maximum(part @ squares / count - means**2, 0.0)))


def probability_of_overfitting(found: Floats) -> float:
    """How often what was best in one half did no better than the middle in the other, of `logits`; NaN of none."""
    return float((found <= 0).mean()) if len(found) else float("nan")
