"""Measures: what a report tells beyond the summary, worked out of a run's files.

Rule: every figure has its definition here, in words that the page repeats; what belongs together adds up to the summary's own numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np

from daemon.core.analyzer_report import YEAR
from daemon.core.model import Floats, currencies
from daemon.research.report.run import Ints, Run

Name = TypeVar("Name")

MONTH: Final = timedelta(days=30)
# A run of less than three windows would show hardly more than one value of each.
WINDOWS_MIN: Final = 3
WINDOW_BARS_MIN: Final = 10


# What sums of floats leave where the account holds nothing, as a share of the most that was held.
ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one symbol was in a run: `weights` and `growth` (of its price since the first bar) by row; money in quote.

    `profit` is what it is worth in the end, less at the beginning, less what was paid for it, fees included. `risk` is its share of the
    variance of the account's returns: cov(c, R) / var(R), with R the return of each bar and c the symbol's part of it, whose sum R is.
    Source: Euler's decomposition of a standard deviation, e.g. Litterman, Hot Spots and Hedges (1996).
    """

    symbol: str
    weights: Floats
    growth: Floats
    profit: float
    fees: float
    traded: float
    trades: int
    risk: float


def parts(run: Run) -> list[Part]:
    """Every symbol of the run, in order; one at a time is held in memory but for its weights and growth."""
    times, equity = run.equity["timestamp"], run.equity["equity"]
    moves = returns_of(equity)
    return [_part(run, symbol, times, equity, moves) for symbol in run.symbols]


def returns_of(equity: Floats) -> Floats:
    """Simple returns from close to close; 0 where there was nothing any more."""
    return _over(np.diff(equity), equity[:-1])


def _over(values: Floats, equity: Floats) -> Floats:
    """Values as shares of an equity; 0 where that is gone."""
    shares: Floats = np.divide(values, equity, out=np.zeros_like(values), where=equity > 0)
    return shares


def _part(run: Run, symbol: str, times: Ints, equity: Floats, moves: Floats) -> Part:
    base, _ = currencies(symbol)
    mine = run.fills["symbol"] == symbol
    signs = np.where(run.fills["side"][mine] == "buy", 1.0, -1.0)
    amounts, prices, fees = (run.fills[name][mine] for name in ("amount", "price", "fee"))
    in_base = run.fills["fee_asset"][mine] == base
    rows = np.searchsorted(times, run.fills["timestamp"][mine], side="right")  # the first close that knows of a fill
    came = np.bincount(rows, signs * amounts - np.where(in_base, fees, 0.0), len(times))
    paid = np.bincount(rows, signs * amounts * prices + np.where(in_base, 0.0, fees), len(times))
    opening = float(run.summary["settings"]["paper"]["balances"].get(base, 0))
    closes = run.closes(symbol)
    amounts_held = opening + np.cumsum(came)
    amounts_held[np.abs(amounts_held) < ROUNDING * np.abs(amounts_held).max()] = 0.0
    values = np.nan_to_num(amounts_held * closes)
    gains = np.diff(values) - paid[1:]
    return Part(
        symbol=symbol,
        weights=_over(values, equity),
        growth=closes / closes[0],
        profit=float(gains.sum()),
        fees=float(np.where(in_base, fees * prices, fees).sum()),
        traded=float((amounts * prices).sum()),
        trades=len(amounts),
        risk=_covariance_share(_over(gains, equity[:-1]), moves),
    )


def _covariance_share(part: Floats, whole: Floats) -> float:
    variance = float(whole.var()) if len(whole) else 0.0
    return float(((part - part.mean()) * (whole - whole.mean())).mean()) / variance if variance > 0 else float("nan")


def unexplained(run: Run, found: list[Part]) -> float:
    """What the account gained (quote) that no symbol's price and trades explain: funding."""
    equity = run.equity["equity"]
    return float(equity[-1] - equity[0]) - sum(part.profit for part in found)


def held_equally(run: Run, found: list[Part]) -> Floats:
    """The equity of who put equal amounts into every symbol that had a price at the first bar, without fees, and did nothing more."""
    there = [part.growth for part in found if np.isfinite(part.growth[0])]
    curve: Floats = run.equity["equity"][0] * (np.mean(there, axis=0) if there else np.full(len(run.equity["equity"]), np.nan))
    return curve


def held_first(run: Run, found: list[Part]) -> tuple[str, Floats]:
    """The first symbol of the configuration, and the equity of who put everything into it at the first bar, without fees."""
    first = str(run.summary["settings"]["universe"]["symbols"][0])
    growth = next((part.growth for part in found if part.symbol == first), np.full(len(run.equity["equity"]), np.nan))
    return first, run.equity["equity"][0] * growth


def window(run: Run) -> int:
    """Bars of the rolling measures: 30 days, or a third of a run that is shorter than three times that."""
    bars = len(run.equity["timestamp"])
    return max(WINDOW_BARS_MIN, min(round(MONTH / run.timeframe), bars // WINDOWS_MIN))


def rolling(run: Run) -> tuple[Ints, Floats, Floats]:
    """When windows end (UTC ms), and the Sharpe ratio and the volatility of each, both a year, as the summary has them of the whole."""
    equity, length, a_year = run.equity["equity"], window(run), YEAR / run.timeframe
    moves = returns_of(equity)
    if len(moves) < length:
        nothing = np.empty(0)
        return np.empty(0, np.int64), nothing, nothing
    middle = float(moves.mean())  # taken off first, so that little is lost in the difference of two sums
    means, squares = _means(moves - middle, length), _means((moves - middle) ** 2, length)
    volatility = np.sqrt(np.maximum(squares - means**2, 0.0) * a_year)
    means += middle
    sharpe = np.divide(means * a_year, volatility, out=np.full_like(means, np.nan), where=volatility > 0)
    return run.equity["timestamp"][length:], sharpe, volatility


def _means(values: Floats, length: int) -> Floats:
    """The mean of every `length` values in a row."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: Floats = (sums[length:] - sums[:-length]) / length
    return means


def months(times: Ints) -> tuple[list[tuple[int, int]], Ints]:
    """The months (year, month; UTC) that closes lie in, oldest first, and the row of the last close of each."""
    # A bar belongs to the month in which it was open: the one that closes at midnight ends a month.
    names = (times - 1).astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    last = np.append(np.flatnonzero(np.diff(names)), len(names) - 1)
    return [(1970 + int(name) // 12, 1 + int(name) % 12) for name in names[last]], last


def monthly(run: Run) -> tuple[dict[tuple[int, int], float], dict[int, float]]:
    """The return of each month, from the last equity of the one before, and of each year."""
    equity = run.equity["equity"]
    names, last = months(run.equity["timestamp"])
    by_month = dict(_grown(names, [equity[0], *equity[last]]))
    years = sorted({year for year, _ in names})
    ends = [equity[last[max(at for at, (of, _) in enumerate(names) if of == year)]] for year in years]
    return by_month, dict(_grown(years, [equity[0], *ends]))


def _grown(names: Sequence[Name], values: Sequence[float]) -> Iterator[tuple[Name, float]]:
    for name, (before, after) in zip(names, pairwise(values), strict=True):
        yield name, float(after / before) - 1.0 if before > 0 else float("nan")


def turnover(run: Run) -> Floats:
    """What each fill was worth as a share of the equity at the last close before it."""
    equity = run.equity["equity"][np.searchsorted(run.equity["timestamp"], run.fills["timestamp"], side="right") - 1]
    notional = run.fills["amount"] * run.fills["price"]
    return _over(notional, equity)


def fees(run: Run) -> Floats:
    """What each fill paid, in quote at its own price."""
    in_quote: Floats = np.where(run.fills["fee_asset"] == run.quote, run.fills["fee"], run.fills["fee"] * run.fills["price"])
    return in_quote


def shortfall(run: Run) -> Floats:
    """What each fill cost more (quote; below 0: less) than at the price that its order was planned at.

    Source: the execution part of Perold, The Implementation Shortfall, Journal of Portfolio Management 14 (1988).
    """
    planned = dict(zip(run.orders["order_id"].tolist(), run.orders["price"].tolist(), strict=True))
    prices = np.array([planned.get(order_id, np.nan) for order_id in run.fills["order_id"].tolist()])
    signs = np.where(run.fills["side"] == "buy", 1.0, -1.0)
    more: Floats = np.nan_to_num(signs * (run.fills["price"] - prices) * run.fills["amount"])
    return more


def by_month(run: Run, values: Floats) -> Floats:
    """The sum of a value of each fill for each month of the run."""
    _, last = months(run.equity["timestamp"])
    rows = np.searchsorted(run.equity["timestamp"], run.fills["timestamp"], side="right")
    sums: Floats = np.bincount(np.searchsorted(last, rows), values, len(last)).astype(np.float64)
    return sums
