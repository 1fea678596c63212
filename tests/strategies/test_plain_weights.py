"""Fixed and equal weights: what was asked is what is wanted, and what cannot be is refused."""

import re
from typing import Any

import numpy as np
import pytest

from daemon.core.strategy import Universe
from strategies.equal_weight import EqualWeight, EqualWeightParams
from strategies.fixed_weights import FixedWeights, FixedWeightsParams
from tests.strategies.bench import HOUR, decisions, walks

ABCD = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
SPOT, SWAP = Universe(ABCD, HOUR), Universe(ABCD, HOUR, market="swap")


def test_fixed_weights_are_what_was_given() -> None:
    """Every decision wants the configured weights, shorts included where there are any."""
    wanted = {"A/USDT": 0.5, "B/USDT": -0.3}
    assert decisions(FixedWeights(FixedWeightsParams(wanted), SWAP), np.ones((3, 4)))[-1].weights == wanted


def test_a_symbol_without_a_bar_keeps_its_weight() -> None:
    """Where there is no bar, what was wanted last stays, and before the first bar nothing is wanted."""
    for decided in decisions(FixedWeights(FixedWeightsParams({"C/USDT": 0.5}), SPOT), walks(2)):
        assert decided.weights in ({}, {"C/USDT": 0.5})


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"Z/USDT": 0.1}, "weights.Z/USDT is not in universe.symbols"),
        ({"A/USDT": -0.1}, "weights.A/USDT is -0.1, and spot has nothing below 0"),
        ({"A/USDT": 0.6, "B/USDT": 0.6}, "weights sum to 1.2, more than the capital"),
        ({"A/USDT": float("nan")}, "weights.A/USDT must be a finite number, not nan"),
        ({}, "weights must give at least one symbol its share"),
    ],
)
def test_fixed_weights_that_cannot_be(weights: dict[str, float], says: str) -> None:
    """Each mistake is named where it is."""
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        FixedWeights(FixedWeightsParams(weights), SPOT)


def test_ten_tenths_are_the_whole() -> None:
    """Weights that only rounding carries above 1 are not refused."""
    symbols = tuple(f"{i}/USDT" for i in range(10))
    FixedWeights(FixedWeightsParams(dict.fromkeys(symbols, 0.1)), Universe(symbols, HOUR))


@pytest.mark.parametrize(
    ("params", "weights"),
    [
        ({}, dict.fromkeys(ABCD, 0.25)),
        ({"exposure": 0.5, "symbols": ("A/USDT", "C/USDT")}, {"A/USDT": 0.25, "C/USDT": 0.25}),
    ],
)
def test_equal_weight(params: dict[str, Any], weights: dict[str, float]) -> None:
    """Each of N gets exposure / N."""
    assert decisions(EqualWeight(EqualWeightParams(**params), SPOT), np.ones((3, 4)))[-1].weights == weights


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"exposure": 0.0}, "exposure must be above 0 and at most 1, not 0.0"),
        ({"symbols": ()}, "symbols must name at least one symbol"),
        ({"symbols": ("A/USDT", "A/USDT")}, "symbols has a symbol more than once"),
        ({"symbols": ("Z/USDT",)}, "symbols has Z/USDT, which is not in universe.symbols"),
    ],
)
def test_equal_weight_that_cannot_be(params: dict[str, Any], says: str) -> None:
    """Each mistake is named where it is."""
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        EqualWeight(EqualWeightParams(**params), SPOT)
