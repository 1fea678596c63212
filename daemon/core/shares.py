"""Shares: how the capital is divided among the strategies at a decision.

Rule: shares are above 0 and sum to at most 1. What they follow from is in the journal: the configuration, and the curves of the sleeves.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from daemon.core.allocation import inverse_volatility
from daemon.core.curves import HALF_LIFE, Curves

# By strategy, its share of the capital now.
Shares = Callable[[], Mapping[str, float]]


def fixed(shares: Mapping[str, float]) -> Shares:
    """As they are configured."""
    return lambda: shares


def equal(names: Sequence[str]) -> Shares:
    """All alike, together all of the capital."""
    return fixed(dict.fromkeys(names, 1.0 / len(names)))


def ruled(configured: Mapping[str, float], curves: Curves, *, inverse_volatility: bool) -> Shares:
    """Those of a configuration: as it says, or by what each has made."""
    return by_volatility(tuple(configured), curves) if inverse_volatility else fixed(configured)


def by_volatility(names: Sequence[str], curves: Curves) -> Shares:
    """In inverse proportion to the volatility of each sleeve's own returns, together all of the capital.

    A bar's return counts half of a new one's after HALF_LIFE bars. As long as one of them has moved in fewer bars than that, all are alike:
    nobody knows yet how much it moves.
    """
    alike = equal(names)

    def shares() -> Mapping[str, float]:
        found = [curves.of(name) for name in names]
        if any(curve.bars < HALF_LIFE for curve in found):
            return alike()
        volatility = np.array([curve.volatility for curve in found])
        return dict(zip(names, inverse_volatility(volatility).tolist(), strict=True))

    return shares
