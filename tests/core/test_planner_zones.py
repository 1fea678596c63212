"""No-trade zones: the widest rule counts, and the width that costs are worth is the one of the theory."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from daemon.core.model import ZERO
from daemon.core.planner_inputs import ONE, Rules
from daemon.core.planner_zones import Zones, worthwhile
from tests.core.builders import dec, market

NONE = Rules(band=ZERO, band_relative=ZERO, slippage=dec("0.001"))
WEIGHTS = [dec("0.4"), dec("0.2"), ZERO, dec("-0.3")]


def width(rules: Rules, weight: str, equity: Decimal = ONE) -> Decimal:
    return Zones.of(rules, equity, WEIGHTS).width(dec(weight) * equity, market())


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (NONE, "1E-12"),  # no rule
        (replace(NONE, band=dec("0.02")), "0.02"),
        (replace(NONE, band=dec("0.02"), band_relative=dec("0.1")), "0.04"),
        (replace(NONE, band=dec("0.02"), band_relative=dec("0.1"), band_average=dec("0.2")), "0.06"),
        (replace(NONE, band=dec("0.07"), band_relative=dec("0.1"), band_average=dec("0.2")), "0.07"),
    ],
)
def test_the_widest_rule_counts(rules: Rules, expected: str) -> None:
    """Absolute, of the target, of the mean of all targets that are not 0: for a target of 0.4, and the same in money."""
    assert width(rules, "0.4") == dec(expected)
    assert width(rules, "0.4", dec(5000)) == dec(expected) * 5000


def test_the_average_does_not_shrink_with_the_target() -> None:
    """A target near 0 keeps the zone of a usual one."""
    assert width(replace(NONE, band_average=dec("0.1")), "0.001") == dec("0.03")


def test_costs_widen_the_zone_as_the_theory_says() -> None:
    """One weight by hand: (3/(2 x 3) x 0.002 x 0.4^2 x 0.6^2)^(1/3), with a fee of 0.001 and as much slippage."""
    rules = replace(NONE, risk_aversion=dec(3))
    assert float(width(rules, "0.4")) == pytest.approx((0.5 * 0.002 * 0.16 * 0.36) ** (1 / 3), rel=1e-8)
    assert float(width(rules, "0.4", dec(5000))) == pytest.approx(5000 * (0.5 * 0.002 * 0.16 * 0.36) ** (1 / 3), rel=1e-8)
    assert width(replace(rules, band=dec("0.2")), "0.4") == dec("0.2")
    assert width(rules, "0") == width(rules, "1") == dec("1E-12")


def test_the_worthwhile_width_is_near_the_best_there_is() -> None:
    """Of all widths, the theory's costs little more than the best in a long simulation of its own model: risk against turnover."""
    rng = np.random.default_rng(1)
    weight, cost, aversion, sigma = 0.5, 0.002, 4.0, 0.02
    moves = rng.normal(0, sigma, 400_000)
    drift = moves * weight * (1 - weight)

    def loss(half: float) -> float:
        """What a zone costs a step: half the aversion x variance of what is off target, and trading to the edge."""
        off, paid, risk = 0.0, 0.0, 0.0
        for move in drift.tolist():
            off += move
            over = abs(off) - half
            if over > 0:
                paid += over
                off = half if off > 0 else -half
            risk += off * off
        return (cost * paid + aversion / 2 * sigma**2 * risk) / len(drift)

    theory = float(worthwhile(dec(weight), dec(cost), dec(aversion)))
    losses = {factor: loss(theory * factor) for factor in (0.4, 0.7, 1.0, 1.4, 2.5)}
    assert losses[1.0] < 1.03 * min(losses.values())
    assert losses[0.4] > 1.1 * losses[1.0]
    assert losses[2.5] > 1.1 * losses[1.0]
