"""Trust: where the result of a backtest should not be believed as it stands, each with a stable code and the figure behind it.

Rule: a warning is about the result, not about the program. It names what was found and by how much, and where all is well it is silent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import isfinite, sqrt
from typing import Final

import numpy as np

from daemon.core.analyzer_report import YEAR
from daemon.core.liquidation import Takeover
from daemon.core.model import VOLUME, Fill, Order, Side, currencies, epoch_ms, from_epoch_ms
from daemon.core.plain import rfc3339
from daemon.research.bars import Bars

# From about a hundredth of what a market trades on, an order is known to move it; below, the assumed slippage is all there is.
VOLUME_SHARE: Final = 0.01
# Of the whole profit, made by one holding of one symbol: the rest of the trades would not have been worth their risk.
ONE_TRADE_SHARE: Final = 0.5
# The usual size from which a mean is judged by its standard error.
DECISIONS_MIN: Final = 30
# Standard errors that a Sharpe ratio should lie above 0: one chance in forty of a strategy that earns nothing.
SHARPE_ERRORS: Final = 2.0
# What is left of a holding when it counts as sold: the dust that fees in base and steps leave.
SOLD: Final = 1e-3


class Doubt(StrEnum):
    """Why a result is not to be believed as it stands."""

    VOLUME_SHARE = "volume_share"  # trades that were large against their bar's volume
    ONE_TRADE = "one_trade"  # one holding makes the profit
    FEW_DECISIONS = "few_decisions"  # hardly anything was decided
    SHARPE_UNCERTAIN = "sharpe_uncertain"  # the period is too short to tell the Sharpe ratio from 0
    GAPS = "gaps"  # bars are missing between a symbol's first and last
    PARTIAL = "partial"  # a symbol has bars in a part of the period only
    LOOK_AHEAD = "look_ahead"  # a strategy knew what came after
    DISABLED = "disabled"  # a strategy failed, and was asked no more
    LIQUIDATED = "liquidated"  # positions were not covered any more, and taken over
    HALTED = "halted"  # trading was halted, and stayed so
    UNSOLD = "unsold"  # what is held of a symbol could not be sold any more


@dataclass(frozen=True, slots=True)
class Warned:
    """A reason not to believe a result, and its sentence."""

    code: Doubt
    text: str


@dataclass(frozen=True, slots=True)
class Holding:
    """A symbol from nothing held to nothing held, and what that made (quote, fees included). `until` None: it is held still."""

    symbol: str
    since: int
    until: int | None
    profit: float


def volume_shares(bars: Bars, fills: Sequence[Fill]) -> list[float]:
    """What part of its bar's volume each fill was; infinite where nothing was traded in it at all."""
    length = bars.timeframe.total_seconds() * 1000
    shares = []
    for fill in fills:
        series = bars.series[fill.symbol]
        row = min(int(np.searchsorted(series.closes, epoch_ms(fill.at), side="right")), len(series.closes) - 1)
        inside = series.closes[row] - length <= epoch_ms(fill.at) < series.closes[row]
        volume = float(series.values[row, VOLUME]) if inside else 0.0
        shares.append(float(fill.amount) / volume if volume > 0 else float("inf"))
    return shares


def liquidations(taken: Sequence[tuple[datetime, Takeover]]) -> Iterator[Warned]:
    """Positions that the exchange would have liquidated."""
    if taken:
        at, first = taken[0]
        what = f"{first.position.held.normalize():f} of {first.position.market.symbol}"
        yield Warned(
            Doubt.LIQUIDATED,
            f"{len(taken)} {'position was' if len(taken) == 1 else 'positions were'} liquidated, the first at {rfc3339(at)}: {what} at a "
            f"mark of {float(first.position.mark):.8g}, whose liquidation price was {float(first.due_at):.8g}; such a symbol only reduces "
            "from then on, since nobody resumes it here",
        )


def large_trades(shares: Sequence[float]) -> Iterator[Warned]:
    """Fills at assumed prices that their size would have moved."""
    large = [share for share in shares if share > VOLUME_SHARE]
    if large:
        most = f"{max(large):.1%} of it" if isfinite(max(large)) else "in a bar without any volume"
        yield Warned(
            Doubt.VOLUME_SHARE,
            f"{len(large)} of {len(shares)} trades are above {VOLUME_SHARE:.0%} of their bar's volume, the largest {most}: "
            "such orders move the price further than was assumed",
        )


def one_trade(fills: Sequence[Fill], last: Mapping[str, float], profit: float) -> Iterator[Warned]:
    """A profit (quote) that one holding makes half of. `last`: what each symbol is worth in the end."""
    best = max(holdings(fills, last), key=lambda held: held.profit, default=None)
    if best is not None and profit > 0 and best.profit > ONE_TRADE_SHARE * profit:
        until = "the end" if best.until is None else f"{from_epoch_ms(best.until):%Y-%m-%d}"
        yield Warned(
            Doubt.ONE_TRADE,
            f"{best.symbol}, held from {from_epoch_ms(best.since):%Y-%m-%d} to {until}, made {best.profit:.2f} "
            f"of the whole profit of {profit:.2f}: without that one trade there would be {profit - best.profit:.2f}",
        )


def holdings(fills: Sequence[Fill], last: Mapping[str, float]) -> list[Holding]:
    """Every holding of the run, by the fills alone."""
    by_symbol: dict[str, list[Fill]] = {}
    for fill in fills:
        by_symbol.setdefault(fill.symbol, []).append(fill)
    return [held for symbol, own in by_symbol.items() for held in _holdings(symbol, own, last.get(symbol, 0.0))]


def _holdings(symbol: str, fills: Iterable[Fill], last: float) -> Iterator[Holding]:
    amount = most = earned = 0.0
    since: int | None = None
    for fill in fills:
        since = epoch_ms(fill.at) if since is None else since
        moved, paid = _moved(fill)
        amount, earned = amount + moved, earned + paid
        most = max(most, abs(amount))
        if abs(amount) <= SOLD * most:
            yield Holding(symbol, since, epoch_ms(fill.at), earned + amount * float(fill.price))
            amount, most, earned, since = 0.0, 0.0, 0.0, None
    if since is not None:
        yield Holding(symbol, since, None, earned + amount * last)


def _moved(fill: Fill) -> tuple[float, float]:
    """What a fill has brought of the base, and of the quote, fees taken off."""
    base, sign = currencies(fill.symbol)[0], 1 if fill.side is Side.BUY else -1
    in_base = sum(float(fee.amount) for fee in fill.fees if fee.currency == base)
    in_quote = sum(float(fee.amount) for fee in fill.fees if fee.currency != base)
    return sign * float(fill.amount) - in_base, -sign * float(fill.cost) - in_quote


def few_decisions(orders: Sequence[Order]) -> Iterator[Warned]:
    """Too few decisions that traded."""
    decisions = len({order.decision_id for order in orders})
    if decisions < DECISIONS_MIN:
        yield Warned(Doubt.FEW_DECISIONS, f"only {decisions} decisions have traded; below {DECISIONS_MIN}, luck is not told from skill")


def uncertain_sharpe(equity: Sequence[float], sharpe: float, bars_a_year: float) -> Iterator[Warned]:
    """A Sharpe ratio (a year) above 0 that its own standard error reaches down to 0.

    The standard error of one whose returns are independent: sqrt((1 + s² / 2) / n), s of one of n returns. Source: Lo, The Statistics of
    Sharpe Ratios, Financial Analysts Journal 58 (2002), equation 9.
    """
    count = len(equity) - 1
    if count < 1 or not sharpe > 0:
        return
    error = sqrt((1 + sharpe**2 / bars_a_year / 2) / count * bars_a_year)
    if sharpe < SHARPE_ERRORS * error:
        yield Warned(
            Doubt.SHARPE_UNCERTAIN,
            f"a Sharpe ratio of {sharpe:.2f} over {count / bars_a_year:.2g} years has a standard error of {error:.2f}: "
            "it cannot be told from 0",
        )


def incomplete(bars: Bars, begins: int, ends: int) -> Iterator[Warned]:
    """Bars that are not there, between the first and the last close (UTC ms) of the run."""
    length = round(bars.timeframe.total_seconds() * 1000)
    missing, partial = {}, []
    for symbol, series in bars.series.items():
        closes = series.closes[(series.closes >= begins) & (series.closes <= ends)]
        if not len(closes) or closes[0] > begins or closes[-1] < ends:
            partial.append(symbol)
        if len(closes) and (count := int(closes[-1] - closes[0]) // length + 1 - len(closes)):
            missing[symbol] = count
    if missing:
        worst = max(missing, key=missing.__getitem__)
        yield Warned(
            Doubt.GAPS,
            f"{sum(missing.values())} bars are missing, {missing[worst]} of them of {worst}: there it stands still at its last close, "
            "and what the market did is not in the result",
        )
    if partial:
        yield Warned(Doubt.PARTIAL, f"without bars in a part of the period, not tradable there: {', '.join(partial)}")


def bars_a_year(bars: Bars) -> float:
    """How many bars there are in a year of 365 days."""
    return YEAR / bars.timeframe
