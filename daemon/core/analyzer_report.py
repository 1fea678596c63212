"""Analysis: everything the analyzer can say at one moment, as values.

Rule: it is computed when somebody asks, from what the streaming measures hold. NaN is what cannot be said yet, never a made-up zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import sqrt
from typing import Final

import numpy as np

from daemon.core.analyzer_books import Books
from daemon.core.analyzer_market import Ints, Market
from daemon.core.analyzer_measures import covariances, effective_bets, effective_positions, risk_shares, volatility_of
from daemon.core.curves import Curve
from daemon.core.model import Floats

YEAR: Final = timedelta(days=365)  # crypto trades every day

# Symbols in a told correlation matrix: what is held comes first; 60 x 60 numbers are 60 kB of JSON and as many as a person can look at.
MATRIX_MAX: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What trading cost, in quote: fees; `delay`, decision's close to the price at the order; `spread`, from there to the price paid."""

    fee: float
    spread: float
    delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolMeasures:
    """One symbol. Its own returns, volatility and drawdown since the history began, what it did for the account since `since`.

    `volatility` is over the window, a year; `contribution` its part of the account's return; `risk` its share of the variance that the
    present holdings have over the window.
    """

    symbol: str
    weight: float
    total_return: float
    volatility: float
    drawdown: float
    drawdown_max: float
    profit: float
    contribution: float
    risk: float
    traded: float
    costs: Costs


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyMeasures:
    """One strategy, by what its sleeve really held; `unassigned` is what nobody had.

    `equity`, `pnl` (exact, in quote) and `drawdown` are those of its curve, since the journal began. All else is since `since`: `traded` is
    what was bought and sold for it, `crossed` what it bought and sold inside, so that alone it would have traded both.
    """

    strategy: str
    equity: Decimal
    pnl: Decimal
    drawdown: float
    profit: float
    contribution: float
    risk: float
    traded: float
    crossed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMeasures:
    """The account since `since`.

    `crossed` is what the sleeves together bought and sold inside: as much more they would have traded alone. `total_return` is
    time-weighted; `volatility` and `tracking_error` are realised, `volatility_expected` is of the present holdings over
    the window, all a year; `turnover` sums what was traded, buys and sells, over the equity at that time; `off_target` is half the sum of
    absolute distances, in weight. Effective numbers: see analyzer_measures.
    """

    profit: float
    total_return: float
    volatility: float
    volatility_expected: float
    drawdown: float
    drawdown_max: float
    traded: float
    crossed: float
    turnover: float
    costs: Costs
    cost_bps: float
    fees_elsewhere: Mapping[str, float]
    tracking_error: float
    off_target: float
    effective_bets: float
    effective_positions: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Matrices in the order of `symbols`, and the watch over the mean of all pairs; `left_out`: symbols that had no room."""

    symbols: Sequence[str]
    left_out: int
    window: Sequence[Sequence[float]]
    whole: Sequence[Sequence[float]]
    mean_short: float
    mean_long: float
    high: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything at one moment. NaN is what cannot be said yet."""

    since: datetime | None
    as_of: datetime | None
    history_since: datetime | None
    bars: int
    account_bars: int
    account: AccountMeasures
    symbols: Sequence[SymbolMeasures]
    strategies: Sequence[StrategyMeasures]
    correlation: Correlation


@dataclass(frozen=True, slots=True)
class Period:
    """What is counted from when: the account, its markets; and up to when."""

    since: datetime | None
    history_since: datetime | None
    as_of: datetime | None


@dataclass(frozen=True, slots=True, eq=False)
class SleeveState:
    """A sleeve at this moment; `values` is the worth of each symbol that it holds."""

    name: str
    curve: Curve
    profit: float
    contribution: float
    traded: float
    crossed: float
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Risk:
    """The present holdings over the window: which columns, their weights and covariance a bar, and each sleeve's part of the weights."""

    held: Ints
    weights: Floats
    covariance: Floats
    parts: Floats


def analyse(
    symbols: Sequence[str],
    timeframe: timedelta,
    market: Market,
    books: Books,
    sleeves: Sequence[SleeveState],
    period: Period,
    fees_elsewhere: Mapping[str, float],
) -> Analysis:
    """Put everything together. With 500 symbols held it takes some 50 ms, with a dozen less than one."""
    per_year = YEAR / timeframe
    risk = _risk(market, books, sleeves)
    return Analysis(
        since=period.since,
        as_of=period.as_of,
        history_since=period.history_since,
        bars=market.bars,
        account_bars=books.returns.count,
        account=_account(books, risk, per_year, dict(fees_elsewhere), sum(sleeve.crossed for sleeve in sleeves)),
        symbols=_symbols(symbols, market, books, risk, per_year),
        strategies=_strategies(sleeves, risk),
        correlation=_correlation(symbols, market, books.weights()),
    )


def _risk(market: Market, books: Books, sleeves: Sequence[SleeveState]) -> _Risk:
    weights = books.weights()
    held = np.flatnonzero(weights)
    parts = np.array([sleeve.values[held] for sleeve in sleeves]).reshape(len(sleeves), len(held)) / (
        books.equity if books.equity > 0 else 1.0
    )
    return _Risk(held, weights[held], covariances(market.window()[:, held]), parts)


def _account(books: Books, risk: _Risk, per_year: float, fees_elsewhere: Mapping[str, float], crossed: float) -> AccountMeasures:
    fee, spread, delay = books.costs.sum(axis=1).tolist()
    traded = float(books.traded.sum())
    return AccountMeasures(
        profit=float(books.profit.sum()),
        total_return=books.wealth - 1.0,
        volatility=books.returns.deviation * sqrt(per_year),
        volatility_expected=volatility_of(risk.weights, risk.covariance) * sqrt(per_year),
        drawdown=books.drawdown,
        drawdown_max=books.drawdown_max,
        traded=traded,
        crossed=crossed,
        turnover=books.turnover,
        costs=Costs(fee=fee, spread=spread, delay=delay),
        cost_bps=(fee + spread + delay) / traded * 10_000 if traded else 0.0,
        fees_elsewhere=fees_elsewhere,
        tracking_error=books.active.deviation * sqrt(per_year),
        off_target=float(np.abs(books.off_target()).sum()) / 2,
        effective_bets=effective_bets(risk.weights, risk.covariance),
        effective_positions=effective_positions(risk.weights),
    )


def _symbols(symbols: Sequence[str], market: Market, books: Books, risk: _Risk, per_year: float) -> list[SymbolMeasures]:
    shares = np.zeros(len(symbols))
    shares[risk.held] = risk_shares(np.diag(risk.weights), risk.weights, risk.covariance)
    weights, totals, below, deviation = books.weights(), market.total_return(), market.drawdown(), market.deviation()
    return [
        SymbolMeasures(
            symbol=symbol,
            weight=float(weights[i]),
            total_return=float(totals[i]),
            volatility=float(deviation[i]) * sqrt(per_year),
            drawdown=float(below[i]),
            drawdown_max=float(market.drawdown_max[i]),
            profit=float(books.profit[i]),
            contribution=float(books.contribution[i]),
            risk=float(shares[i]),
            traded=float(books.traded[i]),
            costs=Costs(fee=float(books.costs[0, i]), spread=float(books.costs[1, i]), delay=float(books.costs[2, i])),
        )
        for i, symbol in enumerate(symbols)
    ]


def _strategies(sleeves: Sequence[SleeveState], risk: _Risk) -> list[StrategyMeasures]:
    shares = risk_shares(risk.parts, risk.weights, risk.covariance).tolist()
    return [
        StrategyMeasures(
            strategy=sleeve.name,
            equity=sleeve.curve.equity,
            pnl=sleeve.curve.pnl,
            drawdown=sleeve.curve.drawdown,
            profit=sleeve.profit,
            contribution=sleeve.contribution,
            risk=share,
            traded=sleeve.traded,
            crossed=sleeve.crossed,
        )
        for sleeve, share in zip(sleeves, shares, strict=True)
    ]


def _correlation(symbols: Sequence[str], market: Market, weights: Floats) -> Correlation:
    """Of the largest holdings first where there are more symbols than room, told in the order of symbols."""
    shown = np.sort(np.argsort(-np.abs(weights), kind="stable")[:MATRIX_MAX])
    window, whole = market.correlations(shown)
    state = market.watch.state
    return Correlation(
        symbols=[symbols[i] for i in shown.tolist()],
        left_out=len(symbols) - len(shown),
        window=window.tolist(),
        whole=whole.tolist(),
        mean_short=state.short,
        mean_long=state.long,
        high=state.high,
    )
