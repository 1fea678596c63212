"""Long/short momentum: both sides by an independent reference, neutral by dollars or by beta, with bars or symbols missing."""

import re
from collections.abc import Mapping
from datetime import timedelta
from math import fsum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.desk import Desk
from daemon.core.model import Floats, TargetWeights
from daemon.core.strategy import Universe
from strategies.long_short_momentum import LongShortMomentum, LongShortParams, Side, balanced, parted
from strategies.portfolio_momentum import MomentumParams, PortfolioMomentum
from tests.strategies.bench import HOUR, SYNTHETIC_MAX, assert_equal, column, decisions, filled, recorded, slices, told, walks

SPOT = "sells what it does not own, which exchange.market spot cannot; write market: swap, or use: portfolio_momentum"
SEVEN = tuple(f"{letter}/USDT:USDT" for letter in "ABCDEFG")


def strategy(symbols: tuple[str, ...] = SEVEN, market: str = "swap", **params: Any) -> LongShortMomentum:
    return LongShortMomentum(
        LongShortParams(**{"lookback": 6, "rsi_period": 4, "beta_window": 30} | params), Universe(symbols, HOUR, {}, market)
    )


def whole(seed: int, times: int = 160, symbols: int = 7) -> Floats:
    """Walks without holes."""
    return filled(walks(seed, times=times, symbols=symbols))[7 * symbols :]


def beta(closes: Floats, window: int) -> Floats:
    """Betas against the mean of all, of the last `window` returns: two passes, one symbol after the other."""
    returns = (closes[1:] / closes[:-1] - 1)[-window:]
    market = [fsum(row) / len(row) for row in returns.tolist()]
    middle = fsum(market) / window
    spread = fsum((value - middle) ** 2 for value in market)
    means = [fsum(each) / window for each in returns.T.tolist()]
    shared = [
        fsum((r - mean) * (m - middle) for r, m in zip(each, market, strict=True))
        for each, mean in zip(returns.T.tolist(), means, strict=True)
    ]
    return np.array(shared) / spread


def reference(scores: Mapping[str, float], betas: Mapping[str, float], made: LongShortMomentum) -> dict[str, float]:
    """The formulas of the strategy's head, nothing being missing."""
    p = made.params
    ranked = sorted(scores, key=lambda symbol: (-scores[symbol], symbol))
    longs, shorts = ranked[: p.top], ranked[-p.bottom :]
    if p.neutral == "dollar":
        return dict.fromkeys(longs, p.exposure / (2 * p.top)) | dict.fromkeys(shorts, -p.exposure / (2 * p.bottom))
    b_long, b_short = (fsum(betas[s] for s in side) / len(side) for side in (longs, shorts))
    if min(b_long, b_short) <= 0:
        return {}
    bought = p.exposure * b_short / (b_long + b_short)
    return dict.fromkeys(longs, bought / p.top) | dict.fromkeys(shorts, -(p.exposure - bought) / p.bottom)


def scores(made: TargetWeights) -> dict[str, float]:
    return {symbol: numbers["score"] for symbol, numbers in made.signals.items() if "score" in numbers}


# --- whole panels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neutral", ["dollar", "beta"])
@pytest.mark.parametrize(("top", "bottom", "exposure"), [(3, 3, 0.8), (1, 4, 2.0), (2, 1, 0.3)])
def test_weights_by_the_formula(neutral: str, top: int, bottom: int, exposure: float) -> None:
    """On random walks every weight of every bar is the formula's, from the end of the windows on, and every beta that of plain sums."""
    made, cases = strategy(neutral=neutral, top=top, bottom=bottom, exposure=exposure), 0
    first = 30 if neutral == "beta" else 6
    for seed in range(4):
        closes = whole(seed)
        for time, decided in enumerate(decisions(made, closes)):
            if time < first:
                assert decided.weights == {}
                continue
            known = dict(zip(SEVEN, beta(closes[: time + 1], 30).tolist(), strict=True)) if neutral == "beta" else {}
            assert decided.weights == pytest.approx(reference(scores(decided), known, made), abs=1e-12)
            assert all(decided.signals[symbol]["beta"] == pytest.approx(value, rel=1e-9) for symbol, value in known.items())
            cases += bool(decided.weights)
    assert cases > 200


def test_the_score_is_that_of_portfolio_momentum() -> None:
    """The same parameters make the same numbers, to the bit, whichever strategy ranks by them."""
    prices = walks(3, symbols=7)
    ours, theirs = strategy(), PortfolioMomentum(MomentumParams(lookback=6, rsi_period=4), Universe(SEVEN, HOUR))
    assert told(ours, prices) == told(theirs, prices)


def test_many_bars_at_once_tell_the_same() -> None:
    """What is told of many slices at once is told of each of them, betas included, to the bit."""
    prices, made = walks(5, symbols=7), strategy(neutral="beta")
    closes = filled(prices)
    rows = {name: indicator.block(closes) for name, indicator in made.indicators().items()}
    one_by_one = told(made, prices)
    for name, values in made.columns(closes, rows).numbers.items():
        for place, symbol in enumerate(SEVEN):
            assert np.array_equal(column(one_by_one, symbol, name), values[:, place], equal_nan=True)


@pytest.mark.slow
def test_betas_on_real_bars() -> None:
    """On recorded bars of many markets betas are those of the plain sums, and every decision is neutral by them."""
    symbols, prices = recorded()
    closes = filled(prices)[-1200:]
    closes = closes[:, ~np.isnan(closes).any(axis=0)]
    symbols = symbols[: closes.shape[1]]
    made = strategy(symbols, neutral="beta", beta_window=240)
    signals = decisions(made, closes)
    for time in range(240, len(closes), 37):
        expected = beta(closes[: time + 1], 240)
        assert_equal(np.array([signals[time].signals[symbol]["beta"] for symbol in symbols]), expected)
        assert abs(fsum(signals[time].weights.get(s, 0.0) * b for s, b in zip(symbols, expected.tolist(), strict=True))) < 1e-9


# --- neutrality, whatever is missing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("neutral", ["dollar", "beta"])
def test_neutral_with_bars_missing(neutral: str) -> None:
    """With bars missing and late listings weights, or betas, sum up to 0 or the note tells what is left; none is above its share."""
    hindered = traded = 0
    for seed in range(6):
        made = strategy(neutral=neutral, top=2, bottom=3)
        for decided in decisions(made, walks(20 + seed, times=200, symbols=7)):
            betas = {s: decided.signals.get(s, {}).get("beta", 1.0) for s in decided.weights}
            left = fsum(weight * betas[symbol] for symbol, weight in decided.weights.items())
            bought = fsum(weight for weight in decided.weights.values() if weight > 0)
            assert abs(left) < 1e-12 or "leaves a beta of" in decided.note
            assert len([w for w in decided.weights.values() if w > 0]) <= 2
            assert len([w for w in decided.weights.values() if w < 0]) <= 3
            if neutral == "dollar":
                assert bought <= 0.4 + 1e-12
                assert max(decided.weights.values(), default=0.0) <= 0.2 + 1e-12
                assert min(decided.weights.values(), default=0.0) >= -0.4 / 3 - 1e-12
            hindered += bool(decided.note)
            traded += bool(decided.weights)
    assert traded > 500
    assert hindered < traded / 3


sides = st.builds(
    lambda names, beta, share: Side(tuple(f"{n}" for n in range(names)), beta, share),
    st.integers(0, 4),
    st.floats(0.05, 5),
    st.floats(0.001, 1),
)


@given(sides, sides, st.floats(-3, 3))
def test_nothing_is_neutral_that_could_be_larger(longs: Side, shorts: Side, stays: float) -> None:
    """Both sides are within what they may be, no beta is left where that can be, and then one side is as large as it may be."""
    bought, sold = balanced(longs, shorts, stays)
    assert 0 <= bought <= longs.most
    assert 0 <= sold <= shorts.most
    left = stays + bought * longs.beta - sold * shorts.beta
    if abs(left) <= 1e-12 * max(1.0, abs(stays)):
        assert bought == longs.most or sold == shorts.most
    else:  # one side is all there is, and the other nothing
        assert (bought, sold) == ((0.0, shorts.most) if left > 0 else (longs.most, 0.0))


@given(st.integers(0, 12), st.integers(0, 6), st.integers(0, 6))
def test_nobody_is_on_both_sides(count: int, top: int, bottom: int) -> None:
    """All places are filled where there are symbols enough; where there are not, all are taken, as many for either side."""
    best, worst = parted(count, top, bottom)
    assert 0 <= best <= top
    assert 0 <= worst <= bottom
    assert best + worst == min(count, top + bottom)
    if best < top and worst < bottom:
        assert 0 <= best - worst <= 1


def test_one_alone_is_not_held() -> None:
    """Where only one symbol can be traded there is nothing against it, so nothing is held."""
    prices = np.full((60, 7), np.nan)
    prices[:, 0] = whole(1)[:60, 0]
    decided = decisions(strategy(top=2, bottom=2), prices)
    assert all(made.weights == {} for made in decided)
    assert "score" in decided[-1].signals[SEVEN[0]]


def test_what_stays_keeps_its_place_and_is_weighed_against() -> None:
    """A symbol without a bar keeps its weight and its place on its side; the others stand as if it had one."""
    closes = whole(11)
    made = strategy(top=2, bottom=2)
    before = decisions(made, closes[:-1])[-1].weights
    for missing in (max(before, key=before.__getitem__), min(before, key=before.__getitem__)):
        torn = closes.copy()
        torn[-1, SEVEN.index(missing)] = np.nan
        decided = decisions(made, torn)[-1].weights
        assert decided[missing] == before[missing]
        assert sorted(decided.values()) == pytest.approx([-0.2, -0.2, 0.2, 0.2])
        assert fsum(decided.values()) == 0


def test_a_side_that_hedges_nothing_is_not_held() -> None:
    """Where one side moves against the market, no sizes make the betas cancel out, and the note says that nothing is held."""
    rng = np.random.default_rng(2)
    market = rng.normal(0, 0.01, (80, 1))
    moves = np.concatenate((np.tile(market, 6), -market), axis=1) + np.array([[0.0] * 6 + [0.02]])
    moves += rng.normal(0, 0.001, moves.shape)
    decided = decisions(strategy(neutral="beta", top=1, bottom=1), np.exp(np.cumsum(moves, axis=0)))[-1]
    assert decided.weights == {}
    assert re.fullmatch(r"what would be sold has a beta of -[0-9.]+, which hedges nothing: it holds nothing", decided.note)


def test_flat_prices_have_no_beta() -> None:
    """Where nothing moves there are no betas, each counts like the market, and the sides are equal; nothing is divided by 0."""
    decided = decisions(strategy(neutral="beta", top=1, bottom=1), np.tile(np.arange(1.0, 8.0), (60, 1)))[-1]
    assert decided.weights == {SEVEN[0]: 0.4, SEVEN[-1]: -0.4}
    assert "beta" not in decided.signals[SEVEN[0]]


def test_a_restart_changes_nothing() -> None:
    """A desk made anew, warmed up by the history it asks for and given the last answer, decides as the old one."""
    prices = walks(12, times=300, symbols=7)
    made = strategy(neutral="beta")
    steady, history = decisions(made, prices), list(slices(SEVEN, prices))
    for time in range(220, 300, 9):
        desk = Desk(strategy(neutral="beta"), 7)
        desk.warm(np.stack([cross_section.panel for cross_section in history[time - desk.need : time]]))
        desk.targets = steady[time - 1]
        desk.step(history[time].panel)
        assert desk.decide(history[time], SYNTHETIC_MAX).weights == pytest.approx(steady[time].weights, abs=1e-9)


# --- the parameters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("universe", "params", "says"),
    [
        (
            {"market": "spot"},
            {},
            f"use long_short_momentum {SPOT}",
        ),
        (
            {},
            {"top": 4, "bottom": 4},
            "top of 4 and bottom of 4 are 8 symbols, and the universe has 7; lower one of them, or add symbols",
        ),
    ],
)
def test_what_does_not_fit_the_universe(universe: dict[str, Any], params: dict[str, Any], says: str) -> None:
    """Spot, and more places than symbols, are refused at the start, with the way out."""
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        strategy(**universe, **params)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"lookback": 1}, "lookback must be at least 2, not 1"),
        ({"rsi_period": 1}, "rsi_period must be at least 2, not 1"),
        ({"top": 0}, "top must be at least 1, not 0"),
        ({"bottom": 0}, "bottom must be at least 1, not 0"),
        ({"bottom": 1.5}, "bottom must be a whole number, not 1.5"),
        ({"exposure": 2.5}, "exposure must be above 0 and at most 2, the whole capital on either side, not 2.5"),
        ({"exposure": 0}, "exposure must be above 0 and at most 2, the whole capital on either side, not 0"),
        ({"exposure": float("nan")}, "exposure must be a finite number, not nan"),
        ({"neutral": "sector"}, "neutral must be dollar or beta, not 'sector'"),
        ({"beta_window": 1}, "beta_window must be at least 2, not 1"),
        ({"beta_window": 10_000}, "beta_window must be at most 9999, not 10000"),
        ({"rsi_sign": "up"}, "rsi_sign must be contrarian or momentum, not 'up'"),
        ({"weights": {"volume": 1.0}}, "weights.volume is not one of price, rsi, trend"),
    ],
)
def test_mistakes_are_told_in_a_sentence(params: dict[str, Any], says: str) -> None:
    """Each wrong parameter is named with its bound."""
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        LongShortParams(**params)


def test_defaults() -> None:
    """What is not said is as the documentation says."""
    made = LongShortParams()
    assert (made.lookback, made.rsi_period, made.top, made.bottom, made.exposure) == (20, 14, 3, 3, 0.8)
    assert (made.neutral, made.beta_window, made.rsi_sign) == ("dollar", 240, "contrarian")
    assert LongShortMomentum(made, Universe(SEVEN, timedelta(hours=1), {}, "swap")).every == 24
