"""Measures: what can be said of returns, weights and equity, as plain functions of arrays.

Rule: every one is a closed formula over its arguments, computed in two passes; the streaming analyzer must agree with them. A NaN is no
value: a pair is judged over the rows in which both have one.
"""

from math import exp, sqrt
from typing import Final

import numpy as np

from daemon.core.model import Floats

# A column whose variance is below this share of its largest move's square does not move: what is left is rounding.
_STILL: Final = 1e-24


def returns(closes: Floats) -> Floats:
    """Simple returns per bar: float64 (times, symbols) of closes in and out.

    The first row is NaN, and so is every other that has no close at its time or the one before.
    """
    moves = np.full(closes.shape, np.nan)
    moves[1:] = closes[1:] / closes[:-1] - 1.0
    return moves


def correlations(moves: Floats) -> Floats:
    """Pearson's correlation of every two columns of (times, symbols), each over the rows in which both have a value: (symbols, symbols).

    NaN where there are fewer than two such rows, or where one of the two does not move in them.
    """
    known = np.isfinite(moves)
    counts = known.sum(axis=0)
    centred = np.where(known, moves - np.where(known, moves, 0.0).sum(axis=0) / np.maximum(counts, 1), 0.0)
    present = known.astype(np.float64)
    rows = present.T @ present
    # [i, j]: mean and variance of column i over the rows of the pair. Columns are centred before, so little cancels here.
    mean = centred.T @ present / np.maximum(rows, 1.0)
    variance = (centred * centred).T @ present / np.maximum(rows, 1.0) - mean * mean
    variance = np.where(variance > _STILL * _largest(moves)[:, None] ** 2, variance, 0.0)
    covariance = centred.T @ centred / np.maximum(rows, 1.0) - mean * mean.T
    scale = np.sqrt(variance * variance.T)
    matrix = np.divide(covariance, scale, out=np.full_like(scale, np.nan), where=(scale > 0) & (rows > 1))
    return np.clip(matrix, -1.0, 1.0)


def _largest(moves: Floats) -> Floats:
    """The largest move of each column, whatever its direction; 0 where there is none."""
    largest: Floats = np.fmax.reduce(np.abs(moves), axis=0, initial=0.0)
    return largest


def covariances(moves: Floats) -> Floats:
    """Population covariance of every two columns over the rows in which all columns have a value; NaN without two such rows."""
    whole = moves[np.isfinite(moves).all(axis=1)]
    return _covariance(whole) if len(whole) > 1 else np.full((moves.shape[1],) * 2, np.nan)


def _covariance(moves: Floats) -> Floats:
    centred = moves - moves.mean(axis=0)
    matrix: Floats = centred.T @ centred / len(moves)
    return matrix


def mean_correlation(moves: Floats) -> float:
    """Mean of the pairwise correlations of the columns that are complete and move; NaN for fewer than two of those.

    The sum of N standardised columns has the variance N + (sum of all correlations), so no matrix is needed: O(times x symbols).
    """
    columns = moves[:, np.isfinite(moves).all(axis=0)]
    if len(columns) < 2:
        return float("nan")
    centred = columns - columns.mean(axis=0)
    variance = (centred * centred).mean(axis=0)
    moving = variance > _STILL * _largest(columns) ** 2
    count = int(np.count_nonzero(moving))
    if count < 2:
        return float("nan")
    together = (centred[:, moving] / np.sqrt(variance[moving])).sum(axis=1)
    return float(((together * together).mean() - count) / (count * (count - 1)))


def drawdowns(equity: Floats) -> Floats:
    """How far each value is below the highest so far, as a share of it: 0 at a peak, 0.25 a quarter below."""
    return 1.0 - equity / np.maximum.accumulate(equity)


def volatility_of(weights: Floats, covariance: Floats) -> float:
    """Standard deviation of a portfolio's return, in the time unit of the covariance; 0 without holdings, NaN where that is unknown."""
    variance = float(weights @ covariance @ weights)
    return sqrt(max(variance, 0.0)) if variance == variance else variance


def risk_shares(parts: Floats, weights: Floats, covariance: Floats) -> Floats:
    """Which share of the portfolio's variance each part of it carries; a part that hedges is below 0.

    `parts`: weights (parts, symbols), which add up to `weights` (or leave some of it to nobody); shares then add up to 1. Euler's
    decomposition of the volatility, which is homogeneous of degree one: part' C w / w' C w (Litterman 1996, Hot Spots and Hedges). NaN
    where the portfolio has no variance.
    """
    marginal = covariance @ weights
    variance = float(weights @ marginal)
    shares: Floats = parts @ marginal / variance if variance > 0 else np.full(len(parts), np.nan)
    return shares


def effective_bets(weights: Floats, covariance: Floats) -> float:
    """Effective number of bets: exp of the entropy of the variance that each principal portfolio carries.

    Principal portfolios are uncorrelated, so p_n = (e_n' w)^2 lambda_n / (w' C w) is a distribution (Meucci 2009, Managing
    Diversification). 1: everything hangs on one factor; as many as symbols: it is spread evenly over all. Twelve coins that rise and fall
    together are about one bet. NaN without variance.
    """
    if not np.isfinite(covariance).all():
        return float("nan")
    values, vectors = np.linalg.eigh(covariance)
    carried = (vectors.T @ weights) ** 2 * np.maximum(values, 0.0)
    total = float(carried.sum())
    if not total > 0:
        return float("nan")
    shares = carried[carried > 0] / total
    return exp(float(-(shares * np.log(shares)).sum()))


def effective_positions(weights: Floats) -> float:
    """How many equal positions would be as concentrated: (sum |w|)^2 / sum w^2 (inverse Herfindahl index). 0 without positions."""
    squares = float((weights * weights).sum())
    return float(np.abs(weights).sum()) ** 2 / squares if squares > 0 else 0.0
