"""Indicators: every value equals a plain two-pass reference, at every magnitude and after millions of rows.

REBALANCED_ROWS=10000000 runs the long one at full length (`make drift`).
"""

import os
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import fsum, log, sqrt

import numpy as np
import pytest

from daemon.core.indicators import SMA, Correlation, Covariance, EwmaCovariance, StdDev, Volatility, ZScore
from daemon.core.model import Floats
from tests.core.pricewalks import KINDS, WIDTH, bars, walk

ROWS = int(os.environ.get("REBALANCED_ROWS", "400000"))

Plain = Callable[[list[float], int], list[float]]


def windows(xs: list[float], length: int) -> list[list[float]]:
    return [xs[i - length + 1 : i + 1] for i in range(length - 1, len(xs))]


def returns(xs: list[float]) -> list[float]:
    return [b / a - 1 for a, b in pairwise(xs)]


def deviation(xs: list[float], ddof: int = 0) -> float:
    """Two passes over exact fractions, rounded once at the end of each."""
    exact = [Fraction(x) for x in xs]
    mean = sum(exact) / len(exact)
    return sqrt(sum((x - mean) ** 2 for x in exact) / (len(exact) - ddof))


def zscore(xs: list[float]) -> float:
    spread = deviation(xs)
    return float(Fraction(xs[-1]) - sum(map(Fraction, xs)) / len(xs)) / spread if spread else float("nan")


def plain_rsi(closes: list[float], period: int) -> list[float]:
    """By the book, symbol by symbol: the textbook form with the ratio of averages."""
    changes = [b - a for a, b in pairwise(closes)]
    gain = fsum(max(c, 0.0) for c in changes[:period]) / period
    loss = fsum(max(-c, 0.0) for c in changes[:period]) / period
    values = []
    for change in [None, *changes[period:]]:
        if change is not None:
            gain = (gain * (period - 1) + max(change, 0.0)) / period
            loss = (loss * (period - 1) + max(-change, 0.0)) / period
        values.append(50.0 if gain == loss == 0 else 100.0 if loss == 0 else 100 - 100 / (1 + gain / loss))
    return values


def plain_ema(closes: list[float], length: int) -> list[float]:
    values = [fsum(closes[:length]) / length]
    for close in closes[length:]:
        values.append((2 * close + (length - 1) * values[-1]) / (length + 1))
    return values


PLAIN: dict[str, Plain] = {
    "momentum": lambda xs, n: [xs[i] / xs[i - n] - 1 for i in range(n, len(xs))],
    "sma": lambda xs, n: [fsum(w) / n for w in windows(xs, n)],
    "ema": plain_ema,
    "rsi": plain_rsi,
    "deviation": lambda xs, n: [deviation(w) for w in windows(xs, n)],
    "sample deviation": lambda xs, n: [deviation(w, 1) for w in windows(xs, n)],
    "zscore": lambda xs, n: [zscore(w) for w in windows(xs, n)],
    "volatility": lambda xs, n: [deviation(w) for w in windows(returns(xs), n)],
    "highest": lambda xs, n: [max(w) for w in windows(xs, n)],
    "lowest": lambda xs, n: [min(w) for w in windows(xs, n)],
    "drawdown": lambda xs, n: [w[-1] / max(w) - 1 for w in windows(xs, n)],
}


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("length", [2, 14, 50])
def test_equals_a_plain_reference(kind: str, length: int) -> None:
    """Every value from warm-up on equals the textbook's to 1e-9, relative whatever the magnitude, each symbol warm at its own bar."""
    rows = walk(np.random.default_rng(length), 250)
    firsts = [0, 3, 17, 0, 60, 1, 0]
    for symbol, first in enumerate(firsts):
        rows[:first, symbol] = np.nan
    values = KINDS[kind](length).block(rows)
    for symbol, first in enumerate(firsts):
        expected = PLAIN[kind](rows[first:, symbol].tolist(), length)
        got = values[:, symbol]
        assert np.isnan(got[: len(rows) - len(expected)]).all()
        # What is a difference of numbers of the order of 1, or of 100, is off by their rounding.
        floor = {"momentum": 1e-14, "volatility": 1e-14, "drawdown": 1e-14, "zscore": 1e-14, "rsi": 1e-12}.get(kind, 0.0)
        np.testing.assert_allclose(got[len(rows) - len(expected) :], expected, rtol=1e-9, atol=floor)


def test_atr_equals_a_plain_reference() -> None:
    """The true range is the largest of Wilder's three distances, and its average is his."""
    rng = np.random.default_rng(1)
    panels = bars(rng, walk(rng, 200))
    values = KINDS["atr"](14).block(KINDS["atr"](14).rows(panels))
    for symbol in range(WIDTH):
        _, high, low, close, _ = panels[:, :, symbol].T
        ranges = [high[0] - low[0]]
        ranges += [max(high[t] - low[t], abs(high[t] - close[t - 1]), abs(low[t] - close[t - 1])) for t in range(1, len(close))]
        average = fsum(ranges[:14]) / 14
        assert values[13, symbol] == pytest.approx(average, rel=1e-12)
        for t in range(14, len(close)):
            average += (ranges[t] - average) / 14
            assert values[t, symbol] == pytest.approx(average, rel=1e-9)


@pytest.mark.parametrize("length", [2, 3, 9, 10, 40])
def test_matrices_equal_a_plain_reference(length: int) -> None:
    """Covariances and correlations of every window are numpy's two-pass ones, where all symbols have a value."""
    rng = np.random.default_rng(length)
    rows = rng.normal(0.001, 0.02, (150, 5)) @ rng.normal(size=(5, 5))
    rows[:, 3] *= 1e-8
    rows[:, 4] = rows[:, 4] * 1e-3 + 1e5
    covariances, correlations = Covariance(length, 5).block(rows), Correlation(length, 5).block(rows)
    for t in range(length - 1, len(rows)):
        window = (rows[t - length + 1 : t + 1] - rows[t - length + 1]).T
        scale = np.sqrt(np.outer(window.var(axis=1), window.var(axis=1)))
        np.testing.assert_allclose(covariances[t] / scale, np.cov(window, ddof=0) / scale, atol=1e-11)
        np.testing.assert_allclose(correlations[t], np.corrcoef(window), atol=1e-11)


def test_matrices_wait_for_a_pair_only() -> None:
    """A symbol that came late has its row and column when it is warm; the others have had theirs, and keep the same bits."""
    rng = np.random.default_rng(3)
    rows = rng.normal(0, 0.01, (60, 3))
    late = rows.copy()
    late[:20, 1] = np.nan
    for make in (lambda n: Covariance(10, n), lambda n: EwmaCovariance(10, n)):
        values, others = make(3).block(late), make(2).block(rows[:, [0, 2]])
        assert (values[9:][:, [0, 0, 2, 2], [0, 2, 0, 2]] == others[9:].reshape(-1, 4)).all()
        assert np.isnan(values[:29, 1]).all()
        assert np.isfinite(values[29:]).all()
        np.testing.assert_allclose(values[29:, 1], make(3).block(late[20:])[9:, 1], rtol=1e-9, atol=1e-15)


def test_ewma_equals_a_plain_reference() -> None:
    """The weighted sum of products over the sum of weights, counted from each pair's first row."""
    rng = np.random.default_rng(9)
    rows = rng.normal(0, 0.01, (120, 2))
    rows[:30, 1] = np.nan
    value = EwmaCovariance(20, 2).block(rows)[-1]
    for i, j, first in ((0, 0, 0), (0, 1, 30), (1, 1, 30)):
        weights = [2.0 ** (-k / 20) for k in range(120 - first)][::-1]
        expected = fsum(w * x * y for w, x, y in zip(weights, rows[first:, i], rows[first:, j], strict=True)) / fsum(weights)
        assert value[i, j] == value[j, i] == pytest.approx(expected, rel=1e-12)


def test_beta_equals_a_plain_reference() -> None:
    """The slope of every window is that of two-pass sums over the logarithms."""
    rows = walk(np.random.default_rng(2), 150)
    values = KINDS["beta"](30).block(rows)
    for pair, (a, b) in enumerate([(0, 1), (3, 2), (5, 0)]):
        for t in range(29, 150):
            ys, xs = ([log(x) for x in rows[t - 29 : t + 1, column]] for column in (a, b))
            x_mean, y_mean = fsum(xs) / 30, fsum(ys) / 30
            slope = fsum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / fsum((x - x_mean) ** 2 for x in xs)
            assert values[t, pair] == pytest.approx(slope, rel=1e-9, abs=1e-11)


def test_equal_prices_are_exact() -> None:
    """Flat prices give a mean equal to the bit, a deviation of exactly 0 and no z-score, wherever stretches begin and end."""
    prices = np.random.default_rng(5).uniform(1e-8, 1e5, 500)
    before = np.random.default_rng(6).uniform(1e-8, 1e8, (13, 500))
    for length in (3, 7, 20, 49):
        rows = np.concatenate((before, np.tile(prices, (3 * length, 1))))
        flat = slice(13 + length - 1, None)
        assert (SMA(length, 500).block(rows)[flat] == prices).all()
        assert (KINDS["ema"](length).block(np.tile(prices[:WIDTH], (50, 1)))[length:] == prices[:WIDTH]).all()
        assert (StdDev(length, 500).block(rows)[flat] == 0).all()
        assert (Volatility(length, 500).block(rows)[13 + length :] == 0).all()
        assert np.isnan(ZScore(length, 500).block(rows)[flat]).all()
        assert (Covariance(length, 2).block(rows[:, :2])[flat] == 0).all()
        assert np.isnan(Correlation(length, 2).block(rows[:, :2])[flat]).all()


def test_a_spike_is_forgotten() -> None:
    """A price of 1e8 among 1e-8 leaves no trace once it has left the window."""
    rng = np.random.default_rng(8)
    rows = 1e-8 * (1.0 + rng.normal(0, 1e-3, (200, 2)))
    spiked = rows.copy()
    spiked[50] = 1e8
    for make in (lambda: SMA(20, 2), lambda: StdDev(20, 2), lambda: ZScore(20, 2), lambda: Covariance(20, 2)):
        np.testing.assert_allclose(make().block(spiked)[70:], make().block(rows)[70:], rtol=1e-12)


@pytest.mark.parametrize("length", [3, 30, 1000])
def test_no_cancellation_at_any_offset(length: int) -> None:
    """Deviations and z-scores of steps of 1e-3 on top of 1e8 are as right as those of the same steps on top of 0."""
    rng = np.random.default_rng(length)
    steps: Floats = rng.integers(-40, 40, (2200, 1)) * np.float64(2.0**-20)
    for make in (lambda: StdDev(length, 1), lambda: StdDev(length, 1, ddof=1), lambda: ZScore(length, 1), lambda: Covariance(length, 1)):
        np.testing.assert_allclose(make().block(steps + np.float64(2.0**27)), make().block(steps), rtol=1e-11, atol=1e-12)


@pytest.mark.slow
def test_no_drift_over_millions_of_rows() -> None:
    """After all these rows, magnitudes changing on the way, a rolling deviation is right to 1e-9 against exact two-pass sums."""
    rng = np.random.default_rng(7)
    lengths = (20, 240)
    rolling = [(StdDev(n, 2), ZScore(n, 2), SMA(n, 2)) for n in lengths]
    done = 0
    while done < ROWS:
        scale = 10.0 ** rng.uniform(-8, 8)
        rows: Floats = scale * np.exp(np.cumsum(rng.normal(0, 1e-4, (min(50_000, ROWS - done), 2)), axis=0))
        rows[:, 1] = scale + rng.normal(0, scale * 1e-9, len(rows))
        values = [[indicator.block(rows) for indicator in three] for three in rolling]
        done += len(rows)
        for n, (deviations, scores, means) in zip(lengths, values, strict=True):
            for t in (len(rows) // 2, len(rows) - 1):
                for column in (0, 1):
                    window = rows[t - n + 1 : t + 1, column].tolist()
                    assert deviations[t, column] == pytest.approx(deviation(window), rel=1e-9)
                    assert scores[t, column] == pytest.approx(zscore(window), rel=1e-9, abs=1e-9)
                    assert means[t, column] == pytest.approx(fsum(window) / n, rel=1e-15)
    assert done == ROWS
