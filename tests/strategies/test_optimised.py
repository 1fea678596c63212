"""Optimised strategies: an optimiser's weights within bounds, the last weights where it fails; skfolio's own where it is installed."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from daemon.core.desk import Desk
from daemon.core.model import Floats, TargetWeights
from daemon.core.optimised import Optimised, OptimisedParams, Optimiser
from daemon.core.strategy import Universe
from strategies import REGISTRY
from tests.strategies.bench import HOUR, SYNTHETIC_MAX, decisions, filled, slices, walks

ABCD = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
NAMES = ("minimum_variance", "risk_parity", "hierarchical_risk_parity")


class Inverse(Optimised):
    """Inverse variances, or what the test says; remembers how it was asked."""

    answer: Callable[[Floats], Floats] = staticmethod(lambda returns: 1 / returns.var(axis=0) / (1 / returns.var(axis=0)).sum())

    def load(self) -> Callable[[float], Optimiser]:
        """An optimiser of one line."""
        answer = self.answer

        class Fit:
            weights_: Floats

            def __init__(self, most: float) -> None:
                self.most = most

            def fit(self, returns: Floats, /) -> None:
                """Take the answer."""
                self.weights_ = answer(returns)

        return Fit


def made(answer: Callable[[Floats], Floats] | None = None, **params: Any) -> Inverse:
    kind = type("Given", (Inverse,), {"answer": staticmethod(answer)} if answer else {})
    built: Inverse = kind(OptimisedParams(**{"lookback": 20, **params}), Universe(ABCD, HOUR))
    return built


PRICES = filled(walks(3, times=120))[30:]


def test_the_weights_are_the_optimisers() -> None:
    """What it answers for the returns of the lookback is what is wanted, times the exposure."""
    decided = decisions(made(exposure=0.5), PRICES)
    assert [bool(d.weights) for d in decided[:30]] == [t >= 20 for t in range(30)]
    window = PRICES[-21:, :]
    inverse = 1 / (window[1:] / window[:-1] - 1).var(axis=0)
    assert list(decided[-1].weights.values()) == pytest.approx((0.5 * inverse / inverse.sum()).tolist())


def _raises(_: Floats) -> Floats:
    raise RuntimeError("the problem is infeasible")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (_raises, "the optimiser failed, the last weights stay: RuntimeError: the problem is infeasible"),
        (
            lambda returns: np.full(returns.shape[1], np.nan),
            "the optimiser failed, the last weights stay: ValueError: its weights are no parts",
        ),
        (
            lambda returns: np.full(returns.shape[1], 0.3),
            "the optimiser failed, the last weights stay: ValueError: its weights are no parts",
        ),
        (
            lambda returns: np.array([1.5, -0.5, 0.0, 0.0]),
            "the optimiser failed, the last weights stay: ValueError: its weights are no parts",
        ),
    ],
)
def test_a_failure_keeps_the_last_weights(answer: Callable[[Floats], Floats], says: str) -> None:
    """When it raises or answers nonsense, what was wanted stays wanted, and the note says why."""
    calls = iter([True] * 10 + [False] * 1000)
    good = Inverse.answer
    decided = decisions(made(lambda returns: good(returns) if next(calls) else answer(returns)), PRICES)
    assert decided[29].note == ""
    assert all(d.weights == decided[29].weights and d.note.startswith(says) for d in decided[30:])


def test_it_is_asked_within_the_bound() -> None:
    """A weight_max of 0.2 at an exposure of 0.5 is 0.4 of the whole that the optimiser shares out."""
    asked: set[float] = set()
    strategy = made(exposure=0.5, weight_max=0.2)
    load = strategy.load()

    def optimiser(most: float) -> Optimiser:
        asked.add(most)
        return load(most)

    strategy._optimiser = optimiser
    decisions(strategy, PRICES)
    assert asked == {0.4}


def test_nothing_is_left_to_spend() -> None:
    """Where what cannot be traded now takes the whole exposure, nothing is wanted beside it, and that is no failure."""
    desk, history = Desk(made(exposure=0.5), 4), list(slices(ABCD, np.vstack([PRICES, [np.nan, *PRICES[-1, 1:]]])))
    for cross_section in history:
        desk.step(cross_section.panel)
    desk.targets = TargetWeights({"A/USDT": 0.5})
    decided = desk.decide(history[-1], SYNTHETIC_MAX)
    assert (decided.weights, decided.note) == ({"A/USDT": 0.5}, "")


def test_bounds_hold_whatever_it_answers() -> None:
    """Weights keep weight_max and sum to the exposure, even if the optimiser did not care."""
    decided = decisions(made(lambda _: np.array([1.0, 0.0, 0.0, 0.0]), weight_max=0.4), PRICES)[-1]
    assert max(decided.weights.values()) <= 0.4
    assert sum(decided.weights.values()) == pytest.approx(1.0, abs=1e-12)


def test_a_symbol_that_does_not_move_gets_nothing() -> None:
    """A flat price has no risk to measure, and is left out instead of taking all."""
    still = PRICES.copy()
    still[:, 1] = 5.0
    assert set(decisions(made(), still)[-1].weights) == {"A/USDT", "C/USDT", "D/USDT"}
    assert decisions(made(), np.ones((40, 4)))[-1].note == "nothing that moves can be traded: the last weights stay"


def test_holes_never_pass_the_exposure() -> None:
    """With bars missing at random, the sum never passes the exposure and no weight its most."""
    for decided in decisions(made(exposure=0.9, weight_max=0.4), walks(9)):
        assert sum(decided.weights.values()) <= 0.9 + 1e-12
        assert max(decided.weights.values(), default=0.0) <= 0.4 + 1e-12


def test_impossible_bounds_are_refused() -> None:
    """A weight_max that cannot make the exposure is refused at the start."""
    with pytest.raises(
        ValueError, match=re.escape("weight_max of 0.2 makes 0.8 for the 4 symbols of the universe, less than the exposure of 1")
    ):
        made(weight_max=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_without_skfolio(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the start is refused with what to install."""
    monkeypatch.setitem(__import__("sys").modules, "skfolio", None)
    kind = REGISTRY[name]
    with pytest.raises(ValueError, match=re.escape("use needs skfolio, which is not installed; run: pip install 'rebalanced[optimize]'")):
        kind(kind.Params(), Universe(ABCD, HOUR))


# --- with skfolio ----------------------------------------------------------------------------------------------------


def solved(name: str, **params: Any) -> tuple[Floats, Floats]:
    """The weights after the last bar, and the sample covariance of the returns that they rest on."""
    pytest.importorskip("skfolio", reason="the extra `optimize` is not installed", exc_type=ImportError)
    kind = REGISTRY[name]
    strategy = kind(kind.Params(**{"lookback": 80, **params}), Universe(ABCD, HOUR))
    decided = decisions(strategy, PRICES)[-1]
    assert decided.note == ""
    window = PRICES[-81:]
    return np.array([decided.weights[symbol] for symbol in ABCD]), np.cov(window[1:] / window[:-1] - 1, rowvar=False)


def test_minimum_variance_is_minimal() -> None:
    """No exchange of weight between two symbols, within bounds, lowers the variance."""
    weights, covariance = solved("minimum_variance", weight_max=0.4)
    variance = weights @ covariance @ weights
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    for give in range(4):
        for take in range(4):
            other = weights.copy()
            step = min(0.01, weights[give], 0.4 - weights[take])
            other[give], other[take] = other[give] - step, other[take] + step
            assert other @ covariance @ other >= variance * (1 - 1e-4)


def test_risk_parity_is_equal() -> None:
    """Every symbol contributes the same part of the variance."""
    weights, covariance = solved("risk_parity")
    parts = weights * (covariance @ weights) / (weights @ covariance @ weights)
    assert parts == pytest.approx([0.25] * 4, abs=1e-3)


def test_hierarchical_risk_parity_is_a_portfolio() -> None:
    """Weights are above 0, sum to the exposure, and keep their most."""
    weights, _ = solved("hierarchical_risk_parity", exposure=0.8, weight_max=0.3)
    assert weights.min() > 0
    assert weights.max() <= 0.3
    assert weights.sum() == pytest.approx(0.8, abs=1e-12)
