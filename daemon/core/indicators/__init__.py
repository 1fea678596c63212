"""Indicators: numbers from a stream of rows, O(symbols) a row whatever the lookback.

Rule: each is one recurrence with two evaluators, `step` for a row and `block` for many, and they agree to the bit however the rows are cut
into blocks. A NaN row is no value: the result is NaN until everything that it needs is there, counted for each symbol from its own first
bar.
"""

from daemon.core.indicators.base import Indicator, State
from daemon.core.indicators.compose import Basket, Field, Of, Rank
from daemon.core.indicators.extremes import Drawdown, Highest, Lowest
from daemon.core.indicators.fading import ATR, EMA, RSI
from daemon.core.indicators.matrices import Correlation, Covariance, EwmaCorrelation, EwmaCovariance, correlation
from daemon.core.indicators.means import SMA
from daemon.core.indicators.moments import Beta, StdDev, Volatility, ZScore
from daemon.core.indicators.returns import Momentum, Ratio, Returns
from daemon.core.indicators.windows import Window

__all__ = [
    "ATR",
    "EMA",
    "RSI",
    "SMA",
    "Basket",
    "Beta",
    "Correlation",
    "Covariance",
    "Drawdown",
    "EwmaCorrelation",
    "EwmaCovariance",
    "Field",
    "Highest",
    "Indicator",
    "Lowest",
    "Momentum",
    "Of",
    "Rank",
    "Ratio",
    "Returns",
    "State",
    "StdDev",
    "Volatility",
    "Window",
    "ZScore",
    "correlation",
]
