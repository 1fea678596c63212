"""Shares: how the capital is divided among strategies by what each has made."""

import pytest

from daemon.core.curves import HALF_LIFE
from daemon.core.shares import equal, ruled
from tests.core.builders import after
from tests.core.test_netting import BTC, ETH, Shared

NAMES = {"calm": 0.5, "wild": 0.5}


def bar(shared: Shared, row: int, *, calm: float, wild: float) -> None:
    """A bar in which what each holds moves so far, up and down in turns."""
    up = row % 2 == 0
    for symbol, size in ((BTC, calm), (ETH, wild)):
        shared.price(symbol, shared.prices[symbol] * (1 + size if up else 1 / (1 + size)))
    shared.curves.mark(after(shared.at))
    for curve in shared.curves.sleeves.values():
        curve.close()


def moved(bars: int, *, calm: float = 0.01, wild: float = 0.03) -> Shared:
    """Two strategies, each all in its own coin, after so many bars."""
    shared = Shared(*NAMES)
    shared.decide(NAMES, calm={BTC: 1.0}, wild={ETH: 1.0})
    for row in range(bars):
        bar(shared, row, calm=calm, wild=wild)
    return shared


def shares(shared: Shared) -> dict[str, float]:
    """What they would be given now."""
    return dict(ruled(NAMES, shared.curves, inverse_volatility=True)())


def test_who_moves_three_times_as_much_is_given_a_third() -> None:
    """Shares are in inverse proportion to what each sleeve's own worth has moved, and together all of the capital."""
    found = shares(moved(HALF_LIFE))
    assert found["calm"] / found["wild"] == pytest.approx(3.0, rel=0.02)
    assert sum(found.values()) == pytest.approx(1.0)


def test_nobody_is_judged_by_less_than_its_history() -> None:
    """One bar short of the half-life, and where one has not moved at all, all are alike."""
    assert shares(moved(HALF_LIFE - 1)) == {"calm": 0.5, "wild": 0.5}
    assert shares(moved(2 * HALF_LIFE, calm=0.0)) == {"calm": 0.5, "wild": 0.5}


def test_it_is_the_sleeves_own_curve_that_counts() -> None:
    """Money that is moved between sleeves by another division is no return of anybody, and a restart knows the same."""
    shared = moved(HALF_LIFE)
    before = shares(shared)
    for share in (0.2, 0.8, 0.5):
        shared.decide({"calm": share, "wild": 1 - share}, calm={BTC: 1.0}, wild={ETH: 1.0})
        bar(shared, 0, calm=0.0, wild=0.0)
        assert shares(shared) == pytest.approx(before)
    shared.restart(*NAMES)
    assert shares(shared) == pytest.approx(before)


def test_as_configured_or_alike() -> None:
    """Numbers are taken as they are, whatever each has made; equal parts are all of the capital."""
    assert ruled({"calm": 0.3, "wild": 0.2}, moved(HALF_LIFE).curves, inverse_volatility=False)() == {"calm": 0.3, "wild": 0.2}
    assert equal(("a", "b", "c", "d"))() == dict.fromkeys("abcd", 0.25)
