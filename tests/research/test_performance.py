"""Performance: each number by hand, from a curve short enough to see."""

from datetime import timedelta
from math import isnan, sqrt

import pytest

from daemon.research.performance import performance

DAY = timedelta(days=1)


def test_a_curve_by_hand() -> None:
    """Up 10 %, down 20 %, up 25 % in three days: every number is its definition."""
    told = performance([100.0, 110.0, 88.0, 110.0], 3 * DAY, DAY)
    moves = (0.1, -0.2, 0.25)
    mean = sum(moves) / 3
    deviation = sqrt(sum((move - mean) ** 2 for move in moves) / 3)
    losses = sqrt(0.2**2 / 3)
    cagr = 1.1 ** (365 / 3) - 1
    assert (told.final_equity, told.total_return, told.cagr) == pytest.approx((110.0, 0.1, cagr))
    assert told.volatility == pytest.approx(deviation * sqrt(365))
    assert told.sharpe == pytest.approx(mean * 365 / (deviation * sqrt(365)))
    assert told.sortino == pytest.approx(mean * 365 / (losses * sqrt(365)))
    assert (told.max_drawdown, told.calmar) == pytest.approx((0.2, cagr / 0.2))


def test_what_cannot_be_said_is_no_number() -> None:
    """One value has no return a year, a flat curve no ratio, and a lost account no volatility."""
    single = performance([100.0], timedelta(0), DAY)
    assert single.total_return == single.max_drawdown == 0
    assert all(map(isnan, (single.cagr, single.volatility, single.sharpe, single.sortino, single.calmar)))
    flat = performance([100.0, 100.0, 100.0], 2 * DAY, DAY)
    assert (flat.cagr, flat.volatility) == (0, 0)
    assert all(map(isnan, (flat.sharpe, flat.sortino, flat.calmar)))
    lost = performance([100.0, 0.0], DAY, DAY)
    assert (lost.total_return, lost.max_drawdown) == (-1, 1)
    assert all(map(isnan, (lost.cagr, lost.volatility, lost.sharpe)))
