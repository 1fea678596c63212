"""Prices to try indicators on, and the indicators by name, each made of a length for seven columns."""

from collections.abc import Callable

import numpy as np

from daemon.core import indicators as i
from daemon.core.model import HIGH, Floats

WIDTH = 7
PAIRS = [(0, 1), (3, 2), (5, 0)]
BASKETS = [{0: 0.5, 1: 0.5}, {6: 1.0, 2: -2.0, 5: 0.25}]

KINDS: dict[str, Callable[[int], i.Indicator]] = {
    "momentum": lambda n: i.Momentum(n, WIDTH),
    "ratio": lambda _: i.Ratio(PAIRS),
    "sma": lambda n: i.SMA(n, WIDTH),
    "ema": lambda n: i.EMA(n, WIDTH),
    "rsi": lambda n: i.RSI(n, WIDTH),
    "atr": lambda n: i.ATR(n, WIDTH),
    "deviation": lambda n: i.StdDev(n, WIDTH),
    "sample deviation": lambda n: i.StdDev(n, WIDTH, ddof=1),
    "zscore": lambda n: i.ZScore(n, WIDTH),
    "volatility": lambda n: i.Volatility(n, WIDTH),
    "beta": lambda n: i.Beta(n, PAIRS),
    "highest": lambda n: i.Highest(n, WIDTH),
    "lowest": lambda n: i.Lowest(n, WIDTH),
    "drawdown": lambda n: i.Drawdown(n, WIDTH),
    "window": lambda n: i.Window(n, WIDTH),
    "rank": lambda _: i.Rank(WIDTH),
    "basket": lambda _: i.Basket(BASKETS),
    "covariance": lambda n: i.Of(i.Covariance(n, WIDTH), i.Returns(WIDTH)),
    "correlation": lambda n: i.Of(i.Correlation(n, WIDTH), i.Returns(WIDTH)),
    "ewma covariance": lambda n: i.Of(i.EwmaCovariance(n, WIDTH), i.Returns(WIDTH)),
    "ewma correlation": lambda n: i.Of(i.EwmaCorrelation(n, WIDTH), i.Returns(WIDTH)),
    "zscore of a ratio": lambda n: i.Of(i.ZScore(n, 3), i.Ratio(PAIRS)),
    "ema of the mean of a basket": lambda n: i.Of(i.EMA(n, 2), i.Of(i.SMA(n, 2), i.Basket(BASKETS))),
    "rank of the rsi": lambda n: i.Of(i.Rank(WIDTH), i.RSI(n, WIDTH)),
    "highest of the highs": lambda n: i.Of(i.Highest(n, WIDTH), i.Field(HIGH, WIDTH)),
}


def column(values: list[float]) -> Floats:
    return np.array(values, np.float64)[:, None]


def walk(rng: np.random.Generator, times: int) -> Floats:
    """Prices of seven symbols: two walks, very small, very large, constant, quantised with many unchanged, a crash and a spike."""
    steps: Floats = np.exp(np.cumsum(rng.normal(0, 0.01, (times, 7)), axis=0)) * np.array([100.0, 1.0, 1e-8, 1e8, 1.0, 2.0, 1.0])
    steps[:, 4] = 0.1
    steps[:, 5] = np.round(steps[:, 5], 1)
    steps[times // 3 :, 6] *= 1e8
    steps[times // 2 :, 6] *= 1e-12
    return steps


def bars(rng: np.random.Generator, closes: Floats) -> Floats:
    """Panels (times, 5, symbols) around these closes."""
    swing = 1.0 + rng.uniform(0, 0.01, (2, *closes.shape))
    opens = np.concatenate((closes[:1], closes[:-1]))
    high, low = np.fmax(opens, closes) * swing[0], np.fmin(opens, closes) / swing[1]
    return np.where(np.isnan(closes)[:, None], np.nan, np.stack((opens, high, low, closes, np.ones_like(closes)), axis=1))


def same_bits(a: Floats, b: Floats) -> bool:
    return a.shape == b.shape and bool(((a == b) | (np.isnan(a) & np.isnan(b))).all())
