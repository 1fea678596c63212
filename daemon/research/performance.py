"""Performance: what a curve of equity comes to, in the usual numbers.

Rule: every number has its definition here and nowhere else; what cannot be said of a short or flat curve is NaN, never a made-up zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import sqrt

import numpy as np

from daemon.core.analyzer_measures import drawdowns
from daemon.core.analyzer_report import YEAR
from daemon.core.model import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Of simple returns per bar, a year having 365 days; no interest on cash, so that the free rate is 0.

    `total_return` over the whole period, `cagr` the same a year. `volatility`: population standard deviation, a year. `sharpe`: mean return
    over `volatility`, both a year. `sortino`: the same over the root of the mean square of the losses. `max_drawdown`: the deepest fall
    from a peak, as a positive share of it. `calmar`: `cagr` over `max_drawdown`.
    """

    final_equity: float
    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    sortino: float
    max_drawdown: float
    calmar: float


def performance(equity: Sequence[float] | Floats, length: timedelta, timeframe: timedelta) -> Performance:
    """The numbers of an equity curve (at least one value, quote) with a value per bar, that lasted `length` from first to last."""
    curve: Floats = np.array(equity, np.float64)
    moves = curve[1:] / curve[:-1] - 1.0 if np.all(curve > 0) else np.full(0, np.nan)
    a_year = YEAR / timeframe
    mean = float(moves.mean()) * a_year if len(moves) else float("nan")
    volatility = float(moves.std()) * sqrt(a_year) if len(moves) else float("nan")
    losing = sqrt(float((np.minimum(moves, 0.0) ** 2).mean()) * a_year) if len(moves) else float("nan")
    grown = float(curve[-1] / curve[0])
    cagr = _a_year(grown, length)
    deepest = float(drawdowns(curve).max())
    return Performance(
        final_equity=float(curve[-1]),
        total_return=grown - 1.0,
        cagr=cagr,
        volatility=volatility,
        sharpe=_over(mean, volatility),
        sortino=_over(mean, losing),
        max_drawdown=deepest,
        calmar=_over(cagr, deepest),
    )


def _a_year(grown: float, length: timedelta) -> float:
    """The growth of a year of which `length` is one part of many equal ones."""
    if length <= timedelta(0) or grown <= 0:
        return float("nan")
    try:
        return float(grown ** (YEAR / length)) - 1.0
    except OverflowError:  # minutes that gained a percent or two come to more in a year than a number can say
        return float("nan")


def _over(value: float, divisor: float) -> float:
    return value / divisor if divisor > 0 else float("nan")
