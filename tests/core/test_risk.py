"""The limits: they only take away, say why, and do it in a fixed order."""

from math import fsum, isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.risk import Limits, Reason, apply

SYMBOLS = frozenset({"A", "B", "C"})

weights = st.dictionaries(st.sampled_from(["A", "B", "C", "X"]), st.floats(), max_size=4)
bounds = st.floats(0, 10, allow_subnormal=False)  # below, no product is exact
limits = st.builds(Limits, gross=bounds, weight_max=bounds, short=st.booleans())


@given(weights, limits)
def test_limits_hold_and_only_take_away(wanted: dict[str, float], bounds: Limits) -> None:
    """Whatever is wished for: each weight and their sum are within bounds, none has grown, and every change has its reason."""
    allowed, cuts = apply(wanted, bounds, SYMBOLS)
    assert all(isfinite(w) and abs(w) <= bounds.weight_max and (w >= 0 or bounds.short) for w in allowed.values())
    assert fsum(map(abs, allowed.values())) <= bounds.gross * (1 + 1e-9)
    assert allowed.keys() == wanted.keys() & SYMBOLS
    named = {cut.symbol for cut in cuts}
    for symbol, weight in wanted.items():
        if symbol in allowed and isfinite(weight):
            assert min(weight, 0.0) <= allowed[symbol] <= max(weight, 0.0)
        if allowed.get(symbol) != weight:
            assert symbol in named


@given(weights, limits)
def test_limits_are_applied_once(wanted: dict[str, float], bounds: Limits) -> None:
    """What has passed the limits passes them again unchanged."""
    allowed, _ = apply(wanted, bounds, SYMBOLS)
    again, cuts = apply(allowed, bounds, SYMBOLS)
    assert again == pytest.approx(allowed)
    assert not [cut for cut in cuts if abs(cut.allowed) < abs(cut.wanted) * (1 - 1e-9)]


@pytest.mark.parametrize(
    ("symbol", "weight", "reason"),
    [
        ("X", 0.1, Reason.UNKNOWN_SYMBOL),
        ("A", nan, Reason.NOT_FINITE),
        ("A", -0.1, Reason.SHORT_ON_SPOT),
        ("A", 0.5, Reason.WEIGHT_MAX),
    ],
)
def test_each_limit_has_its_code(symbol: str, weight: float, reason: Reason) -> None:
    """One wish, one limit, one code."""
    _, (cut,) = apply({symbol: weight}, Limits(weight_max=0.3), SYMBOLS)
    assert cut.reason is reason


def test_one_step_below_no_limit_fires() -> None:
    """At the bound nothing is cut."""
    allowed, cuts = apply({"A": 0.3, "B": 0.3, "C": 0.4}, Limits(gross=1.0, weight_max=0.4), SYMBOLS)
    assert (allowed, cuts) == ({"A": 0.3, "B": 0.3, "C": 0.4}, ())


def test_gross_scales_all_alike() -> None:
    """Beyond the gross limit the proportions stay."""
    allowed, cuts = apply({"A": 1.0, "B": 0.5}, Limits(gross=0.75, weight_max=1.0), SYMBOLS)
    assert allowed == pytest.approx({"A": 0.5, "B": 0.25})
    assert {cut.reason for cut in cuts} == {Reason.GROSS}
