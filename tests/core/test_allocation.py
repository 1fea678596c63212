"""Allocation: projections are the nearest points there are, scaled portfolios keep their volatility, covariances are those of the paper."""

import os
from datetime import timedelta
from math import fsum, sqrt

import numpy as np
import pytest

from daemon.core.allocation import (
    Infeasible,
    bars_a_year,
    inverse_volatility,
    ledoit_wolf,
    portfolio_variance,
    project,
    volatility_factor,
)
from daemon.core.model import Floats

# `make projections` tries 100,000 of each kind; a slice of them runs with the suite.
CASES = int(os.environ.get("REBALANCED_CASES", "2000"))
SEED = int(os.environ.get("REBALANCED_SEED", "1"))


# --- projection ------------------------------------------------------------------------------------------------------


def random_case(rng: np.random.Generator) -> tuple[Floats, float, Floats, Floats]:
    """A wish, a sum and bounds that allow it: of any size, with ties, equal bounds, shorts, and sums at the very edge."""
    count = int(rng.integers(1, 60))
    wanted = rng.normal(0, 10.0 ** rng.integers(-4, 9), count)
    if rng.random() < 0.3:
        wanted = np.round(wanted, 1)
    least = np.full(count, rng.uniform(0, 0.1)) if rng.random() < 0.5 else rng.uniform(-0.5, 0.5, count)
    most = least + rng.uniform(0, 1, count if rng.random() < 0.5 else 1) * (rng.random(count) < 0.9)
    where = rng.choice([0.0, 1.0, rng.random()])
    return wanted, float((1 - where) * least.sum() + where * most.sum()), least, most


def longhand(wanted: Floats, total: float, least: Floats, most: Floats) -> Floats:
    """The projection by halving the multiplier's interval two hundred times in extended precision: nothing clever, nothing shared."""
    wish, low, high = (array.astype(np.longdouble) for array in (wanted, least, most))
    below, above = (wish - high).min() - 1, (wish - low).max() + 1
    for _ in range(200):
        middle = (below + above) / 2
        if np.clip(wish - middle, low, high).sum() > total:
            below = middle
        else:
            above = middle
    weights: Floats = np.clip(wish - (below + above) / 2, low, high).astype(np.float64)
    return weights


def test_projection_is_the_nearest_point() -> None:
    """For any wish, the bounds hold exactly, the sum to 1e-12, and no allowed point is nearer."""
    rng = np.random.default_rng(SEED)
    for case in range(CASES):
        wanted, total, least, most = random_case(rng)
        weights = project(wanted, total, least, most)
        where = f"case {case} of seed {SEED}"
        assert ((least <= weights) & (weights <= most)).all(), where
        assert abs(fsum(weights) - total) <= 1e-12 * max(1.0, abs(total)), where
        np.testing.assert_allclose(weights, longhand(wanted, total, least, most), rtol=0, atol=1e-9, err_msg=where)


def test_projection_meets_the_conditions_of_optimality() -> None:
    """One multiplier explains every weight: those inside are the wish less it, those at a bound would go further (Karush, Kuhn, Tucker)."""
    rng = np.random.default_rng(SEED + 1)
    for _ in range(CASES // 10):
        wanted, total, least, most = random_case(rng)
        weights = project(wanted, total, least, most)
        pull, near = wanted - weights, 1e-9
        inside = (weights > least + near) & (weights < most - near)
        at_most = pull[(weights >= most - near) & (most - least > 2 * near)]
        at_least = pull[(weights <= least + near) & (most - least > 2 * near)]
        if inside.any():
            assert np.ptp(pull[inside]) <= near
        highest_low = max([*at_least.tolist(), *pull[inside].tolist(), -np.inf])
        lowest_high = min([*at_most.tolist(), *pull[inside].tolist(), np.inf])
        assert highest_low <= lowest_high + near


def test_projection_of_an_allowed_point_is_itself() -> None:
    """What keeps the bounds and the sum is not moved."""
    wanted = np.array([0.1, 0.2, 0.3, 0.3])
    assert project(wanted, 0.9, 0.05, 0.3) == pytest.approx(wanted, abs=1e-15)


def test_projection_by_hand() -> None:
    """A cap of 0.3 on (0.6, 0.2, 0.1): the surplus goes to the others in equal parts, not in proportion."""
    assert project(np.array([0.6, 0.2, 0.1]), 0.9, 0.0, 0.4) == pytest.approx([0.4, 0.3, 0.2])


def test_a_sum_that_only_rounding_forbids_is_allowed() -> None:
    """Three times 0.3 is a hair less than 0.9, and enough for it."""
    assert project(np.array([1.0, 2.0, 3.0]), 0.9, 0.05, 0.3) == pytest.approx([0.3, 0.3, 0.3])


@pytest.mark.parametrize(
    ("total", "least", "most", "says"),
    [
        (0.9, 0.0, 0.3, "the largest weights of 2 symbols sum to 0.6, less than 0.9"),
        (0.9, 0.5, 0.6, "the least weights of 2 symbols sum to 1, more than 0.9"),
        (0.9, 0.5, 0.4, "a least weight is above the most that is allowed"),
    ],
)
def test_impossible_bounds_are_refused(total: float, least: float, most: float, says: str) -> None:
    """Bounds that cannot hold are told, not bent."""
    with pytest.raises(Infeasible, match=says):
        project(np.array([0.5, 0.5]), total, least, most)


# --- volatility ------------------------------------------------------------------------------------------------------


def test_scaled_volatility_never_passes_the_target() -> None:
    """After scaling, the forecast is at most the target, and equal to it where anything was scaled; below it nothing is scaled."""
    rng = np.random.default_rng(SEED + 2)
    for _ in range(CASES):
        count = int(rng.integers(1, 15))
        factors = rng.normal(0, 10.0 ** rng.integers(-4, 1), (count + 2, count))
        covariance = factors.T @ factors / len(factors)
        weights, target = rng.uniform(0, 1, count), 10.0 ** rng.uniform(-5, 1)
        before = sqrt(portfolio_variance(weights, covariance))
        factor = volatility_factor(weights, covariance, target)
        after = sqrt(portfolio_variance(factor * weights, covariance))
        assert after <= target * (1 + 1e-9)
        assert factor == 1.0 if before <= target else after == pytest.approx(target, rel=1e-9)


def test_volatility_with_weights_that_cannot_be_scaled() -> None:
    """What is held beside counts in the forecast: the rest is scaled until both together keep the target, or to nothing."""
    rng = np.random.default_rng(SEED + 3)
    for _ in range(CASES // 10):
        factors = rng.normal(0.2, 1, (8, 4))
        covariance = factors.T @ factors / 8
        weights, fixed, target = rng.uniform(0, 1, 4), rng.uniform(0, 0.5, 4) * (rng.random(4) < 0.5), rng.uniform(0.1, 2)
        factor = volatility_factor(weights, covariance, target, fixed)
        after = sqrt(portfolio_variance(fixed + factor * weights, covariance))
        assert after <= target * (1 + 1e-9) or factor == 0
        if 0 < factor < 1:
            assert after == pytest.approx(target, rel=1e-9)


def test_inverse_volatility() -> None:
    """Twice the volatility is half the share; what never moved gets none, unless nothing did."""
    assert inverse_volatility(np.array([0.01, 0.02, 0.04])) == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert inverse_volatility(np.array([0.01, 0.0, 0.01])).tolist() == [0.5, 0.0, 0.5]
    assert inverse_volatility(np.zeros(4)).tolist() == [0.25] * 4
    assert inverse_volatility(np.array([1e-320, 1.0])).tolist() == [1.0, pytest.approx(0.0)]


def test_a_year_of_bars() -> None:
    """A year has 365 days, and no bar is missing at night."""
    assert bars_a_year(timedelta(hours=1)) == 8760
    assert bars_a_year(timedelta(seconds=1)) == 31_536_000


def test_ledoit_wolf_by_the_paper() -> None:
    """The shrunk covariance is that of the paper's formulas, written out as sums over observations."""
    rng = np.random.default_rng(SEED + 4)
    for times, count in [(240, 12), (30, 12), (5, 12), (100, 1)]:
        returns = rng.normal(0, 0.01, (times, 3)) @ rng.normal(0, 1, (3, count)) + rng.normal(0, 0.005, (times, count))
        centred = returns - returns.mean(axis=0)
        sample = sum(np.outer(x, x) for x in centred) / times
        mean = np.trace(sample) / count
        distance = np.linalg.norm(sample - mean * np.eye(count)) ** 2 / count
        noise = min(sum(np.linalg.norm(np.outer(x, x) - sample) ** 2 for x in centred) / count / times**2, distance)
        shrinkage = noise / distance if distance else 0.0
        expected = shrinkage * mean * np.eye(count) + (1 - shrinkage) * sample
        np.testing.assert_allclose(ledoit_wolf(returns), expected, rtol=1e-9, atol=1e-18)


def test_ledoit_wolf_of_nothing_that_moves() -> None:
    """Prices that stand still have no covariance, and no division by it."""
    assert ledoit_wolf(np.zeros((10, 3))).tolist() == np.zeros((3, 3)).tolist()
