"""Allocation: from what is wished to weights that may be held.

Rule: pure functions of float64 arrays over the symbols, without state. Bounds hold exactly, sums to 1e-12. What cannot be is refused with a
sentence, never bent: who calls decides what gives way.
"""

from datetime import timedelta
from math import fsum, sqrt
from typing import Final

import numpy as np

from daemon.core.model import Bools, Floats

YEAR: Final = timedelta(days=365)  # this market never closes

# What rounding may add to a sum of a thousand weights: three times 0.3 is a little less than 0.9, and still enough for it.
SLACK: Final = 1e-12


class Infeasible(ValueError):
    """No weights keep these bounds and this sum."""


def project(wanted: Floats, total: float, least: Floats | float, most: Floats | float) -> Floats:
    """The nearest point to `wanted` (symbols,) of all with sum `total` and `least` <= w <= `most`, bound by bound.

    It is clip(wanted - m, least, most) for the one multiplier m that gives the sum (the conditions of Karush, Kuhn and Tucker; P. Brucker,
    An O(n) algorithm for quadratic knapsack problems, Operations Research Letters 3, 1984). The sum falls along m in straight pieces,
    between the values at which a weight reaches a bound: bisection finds the piece, and on it m is a quotient.

    Raises:
        Infeasible: the bounds allow no such sum.
    """
    low, high = np.broadcast_to(np.asarray(least, np.float64), wanted.shape), np.broadcast_to(np.asarray(most, np.float64), wanted.shape)
    refusal = out_of_reach(total, low, high)
    if refusal:
        raise Infeasible(refusal)
    middle = _piece(wanted, total, low, high)
    weights = _clip(wanted - middle, low, high)
    free: Bools = (low < weights) & (weights < high)
    if free.any():
        multiplier = (fsum(wanted[free].tolist()) + fsum(weights[~free].tolist()) - total) / np.count_nonzero(free)
        weights = _clip(wanted - multiplier, low, high)
    return _settled(weights, total, low, high)


def out_of_reach(total: float, least: Floats, most: Floats) -> str:
    """Why no weights between `least` and `most` have this sum, as a sentence; "" if some do."""
    slack = SLACK * max(1.0, abs(total))
    lowest, highest = fsum(least.tolist()), fsum(most.tolist())
    if (least > most).any():
        return "a least weight is above the most that is allowed"
    if lowest > total + slack:
        return f"the least weights of {len(least)} symbols sum to {lowest:.6g}, more than {total:.6g}"
    if highest < total - slack:
        return f"the largest weights of {len(most)} symbols sum to {highest:.6g}, less than {total:.6g}"
    return ""


def _piece(wanted: Floats, total: float, low: Floats, high: Floats) -> float:
    """A multiplier in the middle of the straight piece on which the sum is `total`."""
    knots = np.sort(np.concatenate((wanted - high, wanted - low)))
    first, last = 0, len(knots) - 1  # at the first knot all weights are at their most, at the last at their least
    while last - first > 1:
        between = (first + last) // 2
        if _clip(wanted - knots[between], low, high).sum() >= total:
            first = between
        else:
            last = between
    return float((knots[first] + knots[last]) / 2)


def _settled(weights: Floats, total: float, low: Floats, high: Floats) -> Floats:
    """The last bits of the sum, shared by the weights that have room for them."""
    for _ in range(4):
        rest = total - fsum(weights.tolist())
        room = weights < high if rest > 0 else weights > low
        inside = room & (low < weights) & (weights < high)
        takers = inside if inside.any() else room
        if not rest or not takers.any():
            break
        weights = np.where(takers, _clip(weights + rest / np.count_nonzero(takers), low, high), weights)
    return weights


def _clip(values: Floats, low: Floats, high: Floats) -> Floats:
    clipped: Floats = np.minimum(np.maximum(values, low), high)
    return clipped


def inverse_volatility(volatility: Floats) -> Floats:
    """Shares (symbols,) that sum to 1, each in inverse proportion to its volatility (at least 0, of any unit).

    A symbol that never moved has no volatility to weigh by and gets 0; if none moved, all get the same.
    """
    moved = volatility > 0
    if not moved.any():
        return np.full(len(volatility), 1.0 / len(volatility))
    # Against the smallest, so that nothing overflows.
    inverse = np.divide(volatility[moved].min(), volatility, out=np.zeros(len(volatility)), where=moved)
    shares: Floats = inverse / fsum(inverse.tolist())
    return shares


def bars_a_year(timeframe: timedelta) -> float:
    """How many bars a year of 365 days has: what turns a variance per bar into one per year."""
    return YEAR / timeframe


def portfolio_variance(weights: Floats, covariance: Floats) -> float:
    """Variance of the portfolio's return, per whatever the covariance (symbols, symbols) is per; never below 0."""
    return max(float(weights @ covariance @ weights), 0.0)


def volatility_factor(weights: Floats, covariance: Floats, target: float, fixed: Floats | None = None) -> float:
    """The largest factor, at most 1, by which `weights` may be held so that the portfolio's volatility is at most `target`.

    `target` is a standard deviation in the unit of the covariance. `fixed` (symbols,) are weights that are held beside them and cannot be
    scaled; if these alone pass the target and nothing among `weights` hedges them, the factor is 0.
    """
    held = np.zeros_like(weights) if fixed is None else fixed
    if portfolio_variance(held + weights, covariance) <= target**2:
        return 1.0
    # variance(held + k x weights) = own k^2 + 2 cross k + theirs: the largest k at which it is the target's.
    own = portfolio_variance(weights, covariance)
    cross = float(held @ covariance @ weights)
    excess = portfolio_variance(held, covariance) - target**2
    inside = cross * cross - own * excess
    if inside < 0 or own <= 0:
        return 0.0
    return min(max((sqrt(inside) - cross) / own, 0.0), 1.0)


def ledoit_wolf(returns: Floats) -> Floats:
    """Covariance (symbols, symbols) of returns (times, symbols), population, shrunk towards the same variance for all and no covariance.

    The amount of shrinkage is the one of O. Ledoit and M. Wolf, A well-conditioned estimator for large-dimensional covariance matrices,
    Journal of Multivariate Analysis 88, 2004. It is never singular, however few times there are, as long as anything moved.
    """
    times, symbols = returns.shape
    centred = returns - returns.mean(axis=0)
    sample: Floats = centred.T @ centred / times
    target: Floats = np.eye(symbols) * (np.trace(sample) / symbols)
    distance = float(((sample - target) ** 2).sum())
    if distance <= 0:
        return target
    lengths = (centred**2).sum(axis=1)
    noise = float((lengths**2).sum() / times - (sample**2).sum()) / times
    shrinkage = min(max(noise / distance, 0.0), 1.0)
    shrunk: Floats = shrinkage * target + (1.0 - shrinkage) * sample
    return shrunk
