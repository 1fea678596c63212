"""Portfolio momentum: every signal equals an independent reference, on random walks and on real bars; who is chosen, and who is not."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest

from daemon.core.indicators import SMA, Indicator
from daemon.core.model import CLOSE, Floats, Slice
from daemon.core.momentum import WEIGHTS
from daemon.core.strategy import Universe, View
from strategies import REGISTRY
from strategies.portfolio_momentum import MomentumParams, PortfolioMomentum
from tests.strategies.bench import told

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ABCD = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
NAMES = ("price_momentum", "rsi", "trend", "score")


def strategy(symbols: Sequence[str] = ABCD, **params: object) -> PortfolioMomentum:
    made = REGISTRY["portfolio_momentum"].Params(**params)
    return PortfolioMomentum(made, Universe(tuple(symbols), timedelta(hours=1)))


# --- the numbers -----------------------------------------------------------------------------------------------------


def reference(closes: Sequence[float], lookback: int, period: int) -> list[dict[str, float]]:
    """The signals of one symbol from its first bar, by the book: two passes over plain numbers, sums in Decimal, nothing rolling."""
    exact = [Decimal(repr(float(c))) for c in closes]
    moves = [0.0] + [closes[i] - closes[i - 1] for i in range(1, len(closes))]
    rows, gain, loss = [], nan, nan
    for i, price in enumerate(closes):
        if i == period:
            gain = sum(max(m, 0.0) for m in moves[1 : i + 1]) / period
            loss = sum(max(-m, 0.0) for m in moves[1 : i + 1]) / period
        elif i > period:
            gain = (gain * (period - 1) + max(moves[i], 0.0)) / period
            loss = (loss * (period - 1) + max(-moves[i], 0.0)) / period
        rsi = nan if i < period else 50.0 if gain == loss == 0 else 100.0 if loss == 0 else 100.0 - 100.0 / (1.0 + gain / loss)
        momentum = price / closes[i - lookback] - 1.0 if i >= lookback else nan
        trend = (1.0 if exact[i] * lookback > sum(exact[i - lookback + 1 : i + 1]) else -1.0) if i >= lookback - 1 else nan
        score = 0.5 * momentum + 0.003 * (50.0 - rsi) + 0.1 * trend
        rows.append({"price_momentum": momentum, "rsi": rsi, "trend": trend, "score": score})
    return rows


def live(made: PortfolioMomentum, closes: Floats) -> dict[str, Floats]:
    """The signals of every bar, the indicators stepped bar by bar as in the daemon."""
    indicators: dict[str, Indicator] = dict(made.indicators())
    rows = {name: np.array([indicator.step(row) for row in closes]) for name, indicator in indicators.items()}
    return dict(made.columns(closes, rows).numbers)


def assert_signals(made: PortfolioMomentum, closes: Floats, firsts: Sequence[int]) -> None:
    """Every signal of every bar, from each symbol's first one on, to 1e-9; the block evaluator gives the same bits."""
    got = live(made, closes)
    blocks = made.columns(closes, {name: indicator.block(closes) for name, indicator in made.indicators().items()}).numbers
    for name in NAMES:
        assert np.array_equal(got[name], blocks[name], equal_nan=True)
        for symbol, first in enumerate(firsts):
            rows = reference(closes[first:, symbol].tolist(), made.params.lookback, made.params.rsi_period)
            np.testing.assert_allclose(got[name][first:, symbol], [row[name] for row in rows], rtol=1e-9, atol=1e-9, err_msg=name)
            assert np.isnan(got[name][:first, symbol]).all()


@pytest.mark.parametrize(("lookback", "period"), [(20, 14), (2, 2), (55, 7)])
def test_signals_on_random_walks(lookback: int, period: int) -> None:
    """On seeded walks, symbols listed late and prices on a coarse grid (where closes often equal their mean), every bar agrees."""
    rng = np.random.default_rng(lookback)
    closes = np.exp(np.cumsum(rng.normal(0, 0.01, (500, 4)), axis=0)) * [1.0, 30000.0, 1e-5, 5.0]
    closes[:, 3] = np.round(closes[:, 3], 1)
    firsts = [0, 5, 90, 0]
    for symbol, first in enumerate(firsts):
        closes[:first, symbol] = np.nan
    assert_signals(strategy(lookback=lookback, rsi_period=period), closes, firsts)


def test_signals_on_real_bars() -> None:
    """On recorded hourly bars of many markets every bar agrees, from the end of warm-up to the last."""
    folder = os.environ.get("REBALANCED_DATA")
    if not folder:
        pytest.skip("REBALANCED_DATA does not name a folder with BASE_QUOTE-1h.parquet files: no recorded bars to compare on")
    parquet = pytest.importorskip("pyarrow.parquet")
    files = sorted(Path(folder).glob("*-1h.parquet"))
    assert files, f"no *-1h.parquet in {folder}"
    tables = [parquet.read_table(file, columns=["timestamp", "close"]) for file in files]
    stamps = [table["timestamp"].to_numpy() for table in tables]
    times = np.unique(np.concatenate(stamps))
    closes = np.full((len(times), len(files)), np.nan)
    for symbol, table in enumerate(tables):
        at = np.searchsorted(times, stamps[symbol])
        closes[at, symbol] = table["close"].to_numpy()
        filled = np.maximum.accumulate(np.where(np.isnan(closes[:, symbol]), 0, np.arange(len(times))))
        closes[at[0] :, symbol] = closes[filled[at[0] :], symbol]
    firsts = [int(np.flatnonzero(~np.isnan(column))[0]) for column in closes.T]
    assert_signals(strategy([file.stem for file in files]), closes, firsts)


@pytest.mark.parametrize("lookback", [3, 7, 20, 55])
def test_a_close_that_equals_its_average_is_not_above_it(lookback: int) -> None:
    """In decimals, not in float64: a close that is the exact mean of its window has trend -1, one that is a tick above it +1."""
    rng = np.random.default_rng(lookback)
    made, cases = strategy(lookback=lookback, rsi_period=2), 1000
    # Whole ticks of which the last is the mean of all: the others lie around it and sum up to as many times it.
    middle = rng.integers(10_000, 5_000_000, cases)
    around = rng.integers(-5_000, 5_000, (lookback - 1, cases))
    around[-1] -= around.sum(axis=0)
    for digits in (2, 4, 8):
        for above, expected in ((0, -1.0), (1, 1.0)):
            ticks = np.concatenate((middle + around, [middle + above]))
            closes = np.array([[float(Decimal(int(tick)).scaleb(-digits)) for tick in row] for row in ticks])
            rows = {"price_momentum": np.zeros(cases), "rsi": np.zeros(cases), "average": SMA(lookback, cases).block(closes)[-1]}
            assert (made.columns(closes[-1], rows).numbers["trend"] == expected).all()


def test_each_number_is_told_from_its_first_bar_on() -> None:
    """RSI from bar period + 1, trend from bar lookback, momentum and score from bar lookback + 1: none waits for the others."""
    made = strategy(["A/USDT"], lookback=20, rsi_period=14)
    closes = 100.0 + np.random.default_rng(1).normal(0, 1, (25, 1)).cumsum(axis=0)
    rows = {name: indicator.block(closes) for name, indicator in made.indicators().items()}
    told = []
    for i, close in enumerate(closes):
        panel = np.tile(close, (5, 1))
        closed = Slice(T0, ("A/USDT",), panel, np.zeros(1, np.bool_), np.zeros(1, np.int64))
        seen = View(closed, {name: row[i] for name, row in rows.items()}, np.zeros(1, np.bool_), {}, {}, {})
        told.append(made.signals(seen).get("A/USDT", {}).keys())
    firsts = {name: next(i for i, names in enumerate(told) if name in names) + 1 for name in NAMES}
    assert firsts == {"price_momentum": 21, "rsi": 15, "trend": 20, "score": 21}
    assert told[13] == set()


def test_flat_prices_have_no_trend() -> None:
    """A price that does not move is not above its mean, does not rise, and has an RSI of 50: the score is minus the trend's weight."""
    signals = live(strategy(), np.tile([0.1, 1.1, 3.3e-7, 70000.7], (60, 1)))
    assert (signals["trend"][20:] == -1).all()
    assert (signals["rsi"][20:] == 50).all()
    assert signals["score"][20:] == pytest.approx(-0.1, abs=1e-15)


# --- the choice ------------------------------------------------------------------------------------------------------


def view(momentum: Sequence[float], tradable: Sequence[bool] | None = None, carried: dict[str, float] | None = None) -> View:
    """A view in which the score is half the momentum, less the trend's share for all alike."""
    panel = np.full((5, len(momentum)), 100.0)
    closed = Slice(T0, ABCD[: len(momentum)], panel, np.zeros(len(momentum), np.bool_), np.zeros(len(momentum), np.int64))
    cold = np.where(np.isnan(momentum), nan, 0.0)
    rows = {"price_momentum": np.array(momentum), "rsi": 50.0 + cold, "average": panel[CLOSE] + cold}
    may = np.array(tradable) if tradable is not None else ~np.isnan(rows["price_momentum"])
    return View(closed, rows, may, carried or {}, carried or {})


def test_the_best_share_the_exposure() -> None:
    """The top two of four get half the exposure each; the rest is not named and so wanted at 0."""
    assert strategy(top=2).decide(view([0.1, 0.4, -0.2, 0.3])).weights == {"B/USDT": 0.4, "D/USDT": 0.4}


def test_ties_break_by_symbol() -> None:
    """Equal scores are ranked by name, so two machines choose alike."""
    assert set(strategy(top=2).decide(view([0.1, 0.1, 0.1, 0.1])).weights) == {"A/USDT", "B/USDT"}


def test_fewer_than_top_get_no_more() -> None:
    """When less can be traded than `top`, each still gets exposure / top and the rest stays cash."""
    made = strategy(top=3, exposure=0.9).decide(view([0.1, 0.4, -0.2, 0.3], tradable=[False, True, False, False]))
    assert made.weights == {"B/USDT": pytest.approx(0.3)}


def test_carried_symbol_keeps_its_place() -> None:
    """What was chosen and cannot be traded now still uses its part of the exposure; a trace of it does not."""
    blocked = [False, True, True, True]
    assert set(strategy(top=2).decide(view([0.5, 0.4, 0.2, 0.3], blocked, {"A/USDT": 0.4})).weights) == {"B/USDT"}
    assert set(strategy(top=2).decide(view([0.5, 0.4, 0.2, 0.3], blocked, {"A/USDT": 0.01})).weights) == {"B/USDT", "D/USDT"}


def test_more_carried_than_there_are_places() -> None:
    """Where the symbols that must stay take more than all places (`top` was lowered since), nothing is bought beside them."""
    made = strategy(top=1).decide(view([0.5, 0.4, 0.2, 0.3], [False, False, True, True], {"A/USDT": 0.8, "B/USDT": 0.8}))
    assert made.weights == {}


def test_the_floor_leaves_cash() -> None:
    """A score below the floor is not held, however it ranks; its part stays cash."""
    made = strategy(top=3, exposure=0.9, floor=0.0, weights={"trend": 0}).decide(view([0.1, -0.4, -0.2, 0.0]))
    assert made.weights == pytest.approx({"A/USDT": 0.3, "D/USDT": 0.3})
    assert strategy(top=2, floor=1.0).decide(view([0.1, 0.4, 0.2, 0.3])).weights == {}


def test_rsi_sign() -> None:
    """By default strength counts against a symbol, with `momentum` for it, by the same amount."""
    rows = {"price_momentum": np.zeros(1), "rsi": np.array([70.0]), "average": np.array([50.0])}
    scores = [strategy(rsi_sign=sign).columns(np.array([100.0]), rows).numbers["score"][0] for sign in ("contrarian", "momentum")]
    assert scores == pytest.approx([0.1 - 0.06, 0.1 + 0.06])


def test_each_signal_from_the_bar_at_which_it_is_known() -> None:
    """RSI(14) is told from the 15th bar on, the trend over 20 from the 20th, momentum and with it the score from the 21st."""
    prices = np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, (30, 4)), axis=0))
    signals = told(strategy(), prices)
    first = {name: 1 + next(bar for bar, row in enumerate(signals) if name in row.get("B/USDT", {})) for name in NAMES}
    assert first == {"price_momentum": 21, "rsi": 15, "trend": 20, "score": 21}
    assert set(signals[-1]["B/USDT"]) == set(NAMES)


def test_signals_of_every_symbol() -> None:
    """The decision carries the numbers of every symbol, chosen or not; what is not known of one is left out."""
    young = view([0.1, nan, -0.2, 0.3])
    rows = {**young.rows, "rsi": np.full(4, 50.0), "average": young.slice.close}
    made = strategy(top=1).decide(replace(young, rows=rows))
    assert set(made.signals) == set(ABCD)
    assert set(made.signals["B/USDT"]) == {"rsi", "trend"}
    assert set(made.signals["A/USDT"]) == set(NAMES)
    assert made.signals["A/USDT"] == pytest.approx({"price_momentum": 0.1, "rsi": 50.0, "trend": -1.0, "score": -0.05})
    assert not any(isnan(value) for signals in made.signals.values() for value in signals.values())


def test_nothing_warm_wants_nothing() -> None:
    """Before warm-up nothing is chosen."""
    assert strategy().decide(view([nan] * 4)).weights == {}
    assert told(strategy(), np.ones((10, 4)))[-1] == {}


# --- the parameters --------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    """The documented defaults; a weight that is not named keeps its own."""
    made = MomentumParams()
    assert (made.lookback, made.rsi_period, made.top, made.exposure, dict(made.weights)) == (20, 14, 3, 0.8, WEIGHTS)
    assert (made.rsi_sign, made.floor) == ("contrarian", None)
    assert MomentumParams(weights={"rsi": 0}).weights == {"price": 0.5, "rsi": 0, "trend": 0.1}


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"lookback": 1}, "lookback must be at least 2, not 1"),
        ({"lookback": 20.0}, "lookback must be a whole number, not 20.0"),
        ({"lookback": True}, "lookback must be a whole number, not True"),
        ({"rsi_period": 251}, "rsi_period must be at most 250, not 251"),
        ({"top": 0}, "top must be at least 1, not 0"),
        ({"exposure": 1.2}, "exposure must be above 0 and at most 1, not 1.2"),
        ({"exposure": "much"}, "exposure must be a finite number, not 'much'"),
        ({"exposure": float("nan")}, "exposure must be a finite number, not nan"),
        ({"weights": {"momentum": 1}}, "weights.momentum is not one of price, rsi, trend"),
        ({"weights": {"rsi": "x"}}, "weights.rsi must be a finite number, not 'x'"),
        ({"weights": 3}, "weights must name price, rsi and trend, not be 3"),
        ({"rsi_sign": "both"}, "rsi_sign must be contrarian or momentum, not 'both'"),
        ({"floor": "low"}, "floor must be a finite number, not 'low'"),
    ],
)
def test_mistakes_are_told_in_a_sentence(params: dict[str, object], says: str) -> None:
    """Each wrong parameter is named with its bound."""
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        REGISTRY["portfolio_momentum"].Params(**params)


def test_unknown_parameters_are_refused() -> None:
    """A misspelt parameter is never accepted and ignored."""
    with pytest.raises(TypeError, match="lookbak"):
        REGISTRY["portfolio_momentum"].Params(lookbak=1)
