"""Risk adjusted: its signals equal an independent reference, its weights keep their bounds, their sum and the target volatility."""

import re
from math import sqrt
from typing import Any

import numpy as np
import pytest

from daemon.core.model import Floats
from daemon.core.strategy import Universe
from strategies.risk_adjusted import RiskAdjusted, RiskAdjustedParams
from tests.strategies.bench import HOUR, assert_equal, column, decisions, filled, recorded, told, walks

ABCD = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
SIX = (*ABCD, "E/USDT", "F/USDT")


def strategy(symbols: tuple[str, ...] = ABCD, **params: Any) -> RiskAdjusted:
    return RiskAdjusted(RiskAdjustedParams(**params), Universe(symbols, HOUR))


def volatility(prices: Floats, lookback: int) -> Floats:
    """Two passes over the returns of every window of forward-filled closes."""
    closes = filled(prices)
    returns = np.full_like(closes, np.nan)
    returns[1:] = closes[1:] / closes[:-1] - 1
    out = np.full_like(closes, np.nan)
    for t in range(lookback, len(closes)):
        window = returns[t - lookback + 1 : t + 1]
        out[t] = np.sqrt(((window - window.mean(axis=0)) ** 2).mean(axis=0))
    return out


def nearest(wish: Floats, total: float, least: float, most: float) -> Floats:
    """The projection by plain halving of the multiplier."""
    below, above = wish.min() - most - 1, wish.max() - least + 1
    for _ in range(200):
        middle = (below + above) / 2
        below, above = (middle, above) if np.clip(wish - middle, least, most).sum() > total else (below, middle)
    weights: Floats = np.clip(wish - below, least, most)
    return weights


def ewma(returns: Floats, half_life: int) -> Floats:
    """Weighted sums of products over the whole history, written out."""
    weights = 0.5 ** (np.arange(len(returns))[::-1] / half_life)
    matrix: Floats = (returns * weights[:, None]).T @ returns / weights.sum()
    return matrix


def expected(closes: Floats, params: RiskAdjustedParams) -> Floats:
    """The weights after the last of these closes, all of them real."""
    returns = closes[1:] / closes[:-1] - 1
    inverse = 1 / np.sqrt(((returns[-params.lookback :] - returns[-params.lookback :].mean(axis=0)) ** 2).mean(axis=0))
    weights = nearest(params.exposure * inverse / inverse.sum(), params.exposure, params.weight_min, params.weight_max)
    forecast = sqrt(weights @ ewma(returns, params.half_life) @ weights * 8760)
    return weights * min(1.0, params.target_volatility / forecast)


@pytest.mark.parametrize("lookback", [2, 60])
def test_volatility_on_random_walks(lookback: int) -> None:
    """On seeded walks with holes and late listings every bar agrees, whether or not anything is decided."""
    prices = walks(lookback)
    made, reference = strategy(lookback=lookback), volatility(prices, lookback)
    for signals in (told(made, prices), [decided.signals for decided in decisions(made, prices)]):
        for index, symbol in enumerate(ABCD):
            assert_equal(column(signals, symbol, "volatility"), reference[:, index], symbol)


@pytest.mark.slow
def test_volatility_on_real_bars() -> None:
    """On recorded bars, with more holes than they have, every bar agrees, from the end of warm-up to the last."""
    symbols, prices = recorded(holes=0.01)
    reference = volatility(prices, 60)
    signals = told(strategy(symbols, weight_min=0.0), prices[:6000])
    for index, symbol in enumerate(symbols):
        assert_equal(column(signals, symbol, "volatility"), reference[:6000, index], symbol)


@pytest.mark.parametrize("target", [0.15, 100.0])
def test_weights_by_the_formula(target: float) -> None:
    """Every weight of every bar is the projection of the inverse volatilities, scaled to the target where the forecast passes it."""
    closes = filled(walks(5, times=250))[30:]
    made = strategy(target_volatility=target, lookback=20, half_life=15)
    decided = decisions(made, closes)
    for t in range(20, len(closes), 7):
        weights = decided[t].weights
        assert list(weights.values()) == pytest.approx(expected(closes[: t + 1], made.params).tolist(), abs=1e-9)
        assert {symbol: decided[t].signals[symbol]["weight"] for symbol in ABCD} == weights
        assert decided[t].note == ""


def test_the_target_is_of_a_year_of_these_bars() -> None:
    """The same prices as bars of a day have a 24th of the variance a year that they have as bars of an hour."""
    closes = filled(walks(5, times=120))[30:]
    by_hour, by_day = (
        RiskAdjusted(RiskAdjustedParams(lookback=20, target_volatility=0.02), Universe(ABCD, length)) for length in (HOUR, 24 * HOUR)
    )
    hours, days = (decisions(made, closes)[-1].weights["A/USDT"] for made in (by_hour, by_day))
    assert days == pytest.approx(hours * sqrt(24))


def test_what_stays_counts_in_the_forecast() -> None:
    """With a symbol that cannot be traded now, the others are scaled until all together keep the target."""
    closes = filled(walks(6, times=200))[30:]
    holed = closes.copy()
    holed[-1, 0] = np.nan
    made = strategy(lookback=20, half_life=15, target_volatility=0.3)
    whole, torn = decisions(made, closes[:-1])[-1].weights, decisions(made, holed)[-1].weights
    assert torn["A/USDT"] == whole["A/USDT"] > 0
    weights, stood = np.array([torn[symbol] for symbol in ABCD]), filled(holed)
    forecast = sqrt(weights @ ewma(stood[1:] / stood[:-1] - 1, 15) @ weights * 8760)
    assert forecast == pytest.approx(0.3, rel=1e-9)


@pytest.mark.parametrize("covariance", ["ewma", "ledoit_wolf"])
def test_forecast_keeps_the_target(covariance: str) -> None:
    """A lower target scales all weights alike, in proportion; one that is never reached leaves them at the bounds' sum."""
    closes = filled(walks(6, times=300))[30:]
    free, bound = (
        [d.weights for d in decisions(strategy(covariance=covariance, covariance_window=100, target_volatility=t), closes)]
        for t in (1e6, 0.1)
    )
    assert sum(free[-1].values()) == pytest.approx(0.9, abs=1e-12)
    scale = [bound[-1][symbol] / free[-1][symbol] for symbol in ABCD]
    assert max(scale) < 1
    assert scale == pytest.approx([scale[0]] * 4)


def test_no_weight_before_the_covariance_is_warm() -> None:
    """Ledoit and Wolf's estimate waits for its window; until then there is a volatility and no weight."""
    closes = filled(walks(6, times=160))[30:]
    decided = decisions(strategy(covariance="ledoit_wolf", covariance_window=100, lookback=20), closes)
    assert [bool(d.weights) for d in decided] == [t >= 100 for t in range(len(closes))]
    assert set(decided[50].signals["A/USDT"]) == {"volatility"}


def test_what_stays_leaves_room() -> None:
    """With bars missing at random, the sum never passes the exposure, no weight its most, and a symbol without a bar keeps its own."""
    prices = walks(9, symbols=6)
    made = strategy(SIX, lookback=20, target_volatility=1e6)
    before: dict[str, float] = {}
    for t, decided in enumerate(decisions(made, prices)):
        assert sum(decided.weights.values()) <= 0.9 + 1e-12
        assert max(decided.weights.values(), default=0.0) <= 0.3 + 1e-12
        for symbol in (symbol for symbol, price in zip(SIX, prices[t], strict=True) if np.isnan(price)):
            assert decided.weights.get(symbol, 0.0) == before.get(symbol, 0.0)
        before = dict(decided.weights)


def test_bounds_that_hold_only_for_more_symbols() -> None:
    """While only two of four can be traded, each gets its most, and the note says what is missing."""
    closes = filled(walks(6, times=120))[30:]
    closes[:, 2:] = np.nan
    decided = decisions(strategy(lookback=20, target_volatility=1e6), closes)[-1]
    assert decided.weights == pytest.approx({"A/USDT": 0.3, "B/USDT": 0.3})
    assert decided.note == "2 symbols can be traded, and at weight_max they are 0.6 instead of 0.9"


def test_a_symbol_that_does_not_move() -> None:
    """A flat price breaks nothing: it gets the least weight there is, not all of it."""
    closes = filled(walks(6, times=120))[30:]
    closes[:, 0] = 1.0
    assert decisions(strategy(lookback=20, target_volatility=1e6), closes)[-1].weights["A/USDT"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"weight_max": 0.2}, "weight_max of 0.2 makes 0.8 for the 4 symbols of the universe, less than the exposure of 0.9"),
        (
            {"weight_min": 0.25, "weight_max": 0.5},
            "weight_min of 0.25 makes 1 for the 4 symbols of the universe, more than the exposure of 0.9",
        ),
    ],
)
def test_bounds_that_cannot_hold(params: dict[str, Any], says: str) -> None:
    """Bounds that no weights of the configured symbols keep are refused at the start, with the numbers."""
    with pytest.raises(ValueError, match=re.escape(says)):
        strategy(**params)


def test_bounds_at_the_very_edge() -> None:
    """Three times 0.3 are enough for 0.9, whatever floating point says."""
    strategy(ABCD[:3])


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"lookback": 1}, "lookback must be at least 2, not 1"),
        ({"target_volatility": 0.0}, "target_volatility must be above 0, not 0.0"),
        ({"exposure": 2}, "exposure must be above 0 and at most 1, not 2"),
        ({"weight_min": 0.4}, "weight_min must be at least 0 and at most weight_max, not 0.4"),
        ({"covariance": "garch"}, "covariance must be ewma or ledoit_wolf, not 'garch'"),
        ({"half_life": 1000}, "half_life must be at most 172, not 1000"),
        ({"covariance_window": 1}, "covariance_window must be at least 2, not 1"),
    ],
)
def test_mistakes_are_told_in_a_sentence(params: dict[str, Any], says: str) -> None:
    """Each wrong parameter is named with its bound."""
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        RiskAdjustedParams(**params)
