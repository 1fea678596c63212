"""Indicators: worked values, each table with its source, and the corners that the definitions leave open."""

import numpy as np
import pytest

from daemon.core.indicators import (
    ATR,
    EMA,
    RSI,
    SMA,
    Basket,
    Beta,
    Correlation,
    Covariance,
    Drawdown,
    EwmaCorrelation,
    EwmaCovariance,
    Highest,
    Indicator,
    Lowest,
    Momentum,
    Of,
    Rank,
    Ratio,
    Returns,
    StdDev,
    Volatility,
    Window,
    ZScore,
    correlation,
)
from tests.core.pricewalks import column, same_bits

NAN = np.nan

# StockCharts ChartSchool, "Relative Strength Index (RSI)", the spreadsheet example: QQQQ closes and RSI(14) from the 15th on.
QQQQ = [
    *(44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328, 45.6140, 46.2820),
    *(46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521, 45.7137, 46.4515, 45.7835, 45.3548, 44.0288, 44.1783),
    *(44.2181, 44.5672, 43.4205, 42.6628, 43.1314),
]
QQQQ_RSI = [
    *(70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38),
    *(54.71, 50.42, 39.99, 41.46, 41.87, 45.46, 37.30, 33.08, 37.77),
]

# StockCharts ChartSchool, "Average True Range (ATR)", the spreadsheet example: high, low, close, and ATR(14) from the 14th day on.
QQQ_HIGH = [
    *(48.70, 48.72, 48.90, 48.87, 48.82, 49.05, 49.20, 49.35, 49.92, 50.19, 50.12, 49.66, 49.88, 50.19, 50.36),
    *(50.57, 50.65, 50.43, 49.63, 50.33, 50.29, 50.17, 49.32, 48.50, 48.32, 46.80, 47.80, 48.39, 48.66, 48.79),
]
QQQ_LOW = [
    *(47.79, 48.14, 48.39, 48.37, 48.24, 48.64, 48.94, 48.86, 49.50, 49.87, 49.20, 48.90, 49.43, 49.73, 49.26),
    *(50.09, 50.30, 49.21, 48.98, 49.61, 49.20, 49.43, 48.08, 47.64, 41.55, 44.28, 47.31, 47.20, 47.90, 47.73),
]
QQQ_CLOSE = [
    *(48.16, 48.61, 48.75, 48.63, 48.74, 49.03, 49.07, 49.32, 49.91, 50.13, 49.53, 49.50, 49.75, 50.03, 50.31),
    *(50.52, 50.41, 49.34, 49.37, 50.23, 49.24, 49.93, 48.43, 48.18, 46.57, 45.41, 47.77, 47.72, 48.62, 47.85),
]
QQQ_ATR = [0.55, 0.59, 0.59, 0.57, 0.61, 0.62, 0.64, 0.67, 0.69, 0.78, 0.78, 1.21, 1.30, 1.38, 1.37, 1.34, 1.32]

# StockCharts ChartSchool, "Moving Averages - Simple and Exponential", the spreadsheet example: INTC closes and EMA(10) from the 10th on.
INTC = [
    *(22.27, 22.19, 22.08, 22.17, 22.18, 22.13, 22.23, 22.43, 22.24, 22.29, 22.15, 22.39, 22.38, 22.61, 23.36),
    *(24.05, 23.75, 23.83, 23.95, 23.63, 23.82, 23.87, 23.65, 23.19, 23.10, 23.33, 22.68, 23.10, 22.40, 22.17),
]
INTC_EMA = [
    *(22.22, 22.21, 22.24, 22.27, 22.33, 22.52, 22.80, 22.97, 23.13, 23.28, 23.34),
    *(23.43, 23.51, 23.54, 23.47, 23.40, 23.39, 23.26, 23.23, 23.08, 22.92),
]

# F. J. Anscombe, Graphs in Statistical Analysis, The American Statistician 27, 1973: the first of the four sets.
ANSCOMBE_X = [10.0, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
ANSCOMBE_Y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
ANSCOMBE = np.array([ANSCOMBE_X, ANSCOMBE_Y]).T

# TA-Lib 0.8.2 (Python wrapper) on QQQQ with a period of 9: RSI, EMA, SMA, STDDEV, MAX, MIN, ROCP; the last three values.
TALIB: list[tuple[Indicator, list[float]]] = [
    (RSI(9, 1), [30.31261783489351, 25.488216855818845, 32.91657293193711]),
    (EMA(9, 1), [44.63892631761215, 44.24370105408972, 44.02124084327178]),
    (SMA(9, 1), [44.857377777777785, 44.51838888888889, 44.1494888888889]),
    (StdDev(9, 1), [0.947794479337019, 1.1122295950471592, 0.9484213063406935]),
    (Highest(9, 1), [46.4515, 46.4515, 45.7835]),
    (Lowest(9, 1), [43.4205, 42.6628, 42.6628]),
    (Momentum(9, 1), [-0.061221004019277, -0.06673929259718653, -0.07147454872286155]),
]


@pytest.mark.parametrize(("indicator", "values"), TALIB, ids=lambda value: type(value).__name__)
def test_what_talib_says(indicator: Indicator, values: list[float]) -> None:
    """Where TA-Lib defines the same thing, it gives the same numbers; its deviation cancels digits."""
    tolerance = 1e-11 if isinstance(indicator, StdDev) else 1e-14
    assert indicator.block(column(QQQQ))[-3:, 0].tolist() == pytest.approx(values, rel=tolerance)


def test_rsi() -> None:
    """Wilder's RSI gives the published table to its last digit, first at the 15th close."""
    values = RSI(14, 1).block(column(QQQQ))[:, 0]
    assert np.isnan(values[:14]).all()
    assert [round(v, 2) for v in values[14:].tolist()] == QQQQ_RSI


@pytest.mark.parametrize(
    ("closes", "last"), [([1.0, 2, 3, 4], 100.0), ([4.0, 3, 2, 1], 0.0), ([2.0, 2, 2, 2], 50.0), ([1.0, 2, 1, 2], 200 / 3)]
)
def test_rsi_corners(closes: list[float], last: float) -> None:
    """No losses give 100, no gains 0, no change at all 50."""
    assert RSI(3, 1).block(column(closes))[-1, 0] == pytest.approx(last, abs=1e-12)


def test_atr() -> None:
    """Wilder's ATR gives the published table, whose prices are rounded, to one in its last digit, first at the 14th day."""
    values = ATR(14, 1).block(np.array([QQQ_HIGH, QQQ_LOW, QQQ_CLOSE]).T[:, :, None])[:, 0]
    assert np.isnan(values[:13]).all()
    assert values[13:].tolist() == pytest.approx(QQQ_ATR, abs=0.0101)


def test_true_range_takes_the_gap() -> None:
    """A gap up counts from the last close to the high, a gap down from the last close to the low; the first row has no gap."""
    rows = np.array([[10.0, 8, 9], [15, 14, 14], [12, 11, 11]])[:, :, None]
    assert ATR(1, 1).block(rows)[:, 0].tolist() == [2.0, 6.0, 3.0]


def test_sma() -> None:
    """StockCharts ChartSchool, "Moving Averages", 5-day SMA of 11 to 17: 13, 14, 15."""
    values = SMA(5, 1).block(column([11, 12, 13, 14, 15, 16, 17]))[:, 0]
    assert same_bits(values, np.array([NAN] * 4 + [13.0, 14.0, 15.0]))


def test_ema() -> None:
    """EMA gives the published table, whose prices are rounded, to one in its last digit, first at the 10th close."""
    values = EMA(10, 1).block(column(INTC))[:, 0]
    assert np.isnan(values[:9]).all()
    assert values[9:].tolist() == pytest.approx(INTC_EMA, abs=0.0101)


def test_momentum() -> None:
    """100, 110, 99, 132 over two bars: -1 %, then +20 %; first at the third bar."""
    values = Momentum(2, 1).block(column([100, 110, 99, 132]))[:, 0]
    assert np.isnan(values[:2]).all()
    assert values[2:].tolist() == pytest.approx([-0.01, 0.2], abs=1e-15)


def test_returns_and_volatility() -> None:
    """100, 110, 99, 108.9 return +10, -10, +10 %: 10 % is the population deviation of two, first at the third price."""
    prices = column([100, 110, 99, 108.9])
    assert Returns(1).block(prices)[1:, 0].tolist() == pytest.approx([0.1, -0.1, 0.1], abs=1e-15)
    values = Volatility(2, 1).block(prices)[:, 0]
    assert np.isnan(values[:2]).all()
    assert values[2:].tolist() == pytest.approx([0.1, 0.1], abs=1e-15)


def test_deviation() -> None:
    """Wikipedia, "Standard deviation", basic example: 2, 4, 4, 4, 5, 5, 7, 9 have 2 as a population and sqrt(32 / 7) as a sample."""
    marks = column([2, 4, 4, 4, 5, 5, 7, 9])
    assert StdDev(8, 1).block(marks)[-1, 0] == 2.0
    assert StdDev(8, 1, ddof=1).block(marks)[-1, 0] == pytest.approx((32 / 7) ** 0.5, rel=1e-15)


@pytest.mark.parametrize("middle", [1000000.2, 10000000.2])
def test_deviation_of_what_hardly_varies(middle: float) -> None:
    """NIST Statistical Reference Datasets, NumAcc3 and NumAcc4: 1001 values a tenth around the middle have a sample deviation of 0.1."""
    values = [middle, *[round(middle - 0.1, 1), round(middle + 0.1, 1)] * 500]
    # The decimals are not representable: what is left is their own rounding, not ours.
    assert StdDev(1001, 1, ddof=1).block(column(values))[-1, 0] == pytest.approx(0.1, rel=1e-8)


def test_zscore() -> None:
    """Of the same eight marks 9 is two deviations above their mean 5; equal values have no z-score."""
    assert ZScore(8, 1).block(column([2, 4, 4, 4, 5, 5, 7, 9]))[-1, 0] == 2.0
    assert np.isnan(ZScore(3, 1).block(column([0.1] * 9))).all()


def test_zscore_of_a_ratio() -> None:
    """Ratios 2, 4, 4, 4, 5, 5, 7, 9 as they come of two prices; the first value is at the eighth bar."""
    prices = np.array([[2, 4, 8, 2, 5, 10, 7, 18], [1, 1, 2, 0.5, 1, 2, 1, 2]]).T
    assert Ratio([(0, 1), (1, 0)]).block(prices)[-1].tolist() == [9.0, 2 / 18]
    values = Of(ZScore(8, 1), Ratio([(0, 1)])).block(prices)[:, 0]
    assert same_bits(values, np.array([NAN] * 7 + [2.0]))


def test_covariance_and_correlation() -> None:
    """Anscombe's first set: variances 11 and 4.127269, covariance 5.501, correlation 0.816421."""
    sample = Covariance(11, 2, ddof=1).block(ANSCOMBE)[-1]
    np.testing.assert_allclose(sample, [[11.0, 5.501], [5.501, 4.12726909]], rtol=1e-8)
    np.testing.assert_allclose(Covariance(11, 2).block(ANSCOMBE)[-1], sample * 10 / 11, rtol=1e-14)
    np.testing.assert_allclose(Correlation(11, 2).block(ANSCOMBE)[-1], [[1.0, 0.81642052], [0.81642052, 1.0]], rtol=1e-8)


def test_beta() -> None:
    """Anscombe's first set has the slope 0.500091: logarithms undo the exponentials; a log that stands still has none."""
    values = Beta(11, [(1, 0), (0, 0)]).block(np.exp(ANSCOMBE))
    np.testing.assert_allclose(values[-1], [0.50009091, 1.0], rtol=1e-8)
    assert np.isnan(values[:-1]).all()
    assert np.isnan(Beta(3, [(1, 0)]).block(np.array([[5.0, 1], [5, 2], [5, 3]]))).all()


def test_ewma_covariance() -> None:
    """RiskMetrics' sum of products with weights 1, k, k^2 over the sum of weights: with a half-life of one row k is a half."""
    rows = np.array([[4.0, 0.0], [2.0, 2.0], [1.0, -3.0]])
    values = EwmaCovariance(1, 2).block(rows)
    np.testing.assert_allclose(values[1], np.array([[4 + 8, 4], [4, 4]]) / 1.5, rtol=1e-15)
    np.testing.assert_allclose(values[2], np.array([[1 + 2 + 4, -3 + 2], [-1, 9 + 2]]) / 1.75, rtol=1e-15)
    np.testing.assert_allclose(EwmaCorrelation(1, 2).block(rows)[2, 0, 1], -1 / 77**0.5, rtol=1e-15)
    assert np.isnan(EwmaCovariance(1, 2, warm=3).block(rows)[:2]).all()


def test_correlation_of_what_does_not_vary() -> None:
    """A variance of 0 has no correlation with anything, itself included; others are not touched by it."""
    values = correlation(np.array([[4.0, 0, 1], [0, 0, 0], [1, 0, 1]]))
    assert same_bits(values, np.array([[1.0, NAN, 0.5], [NAN, NAN, NAN], [0.5, NAN, 1.0]]))


def test_extremes_and_drawdown() -> None:
    """3, 1, 4, 1, 5, 4 over three rows: the highest, the lowest, and how far below the highest."""
    prices = column([3, 1, 4, 1, 5, 4])
    assert same_bits(Highest(3, 1).block(prices)[:, 0], np.array([NAN, NAN, 4, 4, 5, 5]))
    assert same_bits(Lowest(3, 1).block(prices)[:, 0], np.array([NAN, NAN, 1, 1, 1, 1]))
    assert same_bits(Drawdown(3, 1).block(prices)[:, 0], np.array([NAN, NAN, 0.0, 1 / 4 - 1, 0.0, 4 / 5 - 1]))


def test_rank() -> None:
    """The largest is first, the earlier of two equals comes before the other, and what has no value has no place."""
    assert same_bits(Rank(6).step(np.array([3.0, 1, NAN, 1, 5, -2])), np.array([2.0, 3, NAN, 4, 1, 5]))


def test_basket() -> None:
    """Weighted sums of their own members only: what has no value elsewhere does not matter."""
    assert same_bits(Basket([{0: 0.5, 2: 0.25}, {1: 1.0, 0: 1.0}]).step(np.array([4.0, NAN, 8.0])), np.array([4.0, NAN]))


def test_window() -> None:
    """The last three rows, the oldest first, as a view that refuses to be written to."""
    window = Window(3, 2)
    values = [window.step(np.array([float(i), -float(i)])) for i in range(1, 9)]
    assert same_bits(values[-1], np.array([[6.0, -6], [7, -7], [8, -8]]))
    assert same_bits(values[1], np.array([[NAN, NAN], [1, -1], [2, -2]]))
    with pytest.raises(ValueError, match="read-only"):
        values[-1][0] = 0.0
