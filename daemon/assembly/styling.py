"""Styling: the section execution becomes the terms by which orders trade.

Rule: Config objects end here, as they do in worlds.py.
"""

from decimal import Decimal

from daemon.config import Config
from daemon.core.styles import GroupTerms, MakerTerms, Terms, TwapTerms


def price_cap(config: Config, *, simulated: bool) -> Decimal | None:
    """How far from its reference price an order may trade. A backtest has no book: there, what is worked on over time goes at market."""
    execution = config.execution
    match execution.style:
        case "limit":
            return execution.price_cap
        case "maker_then_taker" if not simulated:
            return execution.maker_then_taker.max_slip_bps / 10_000
        case "twap" if execution.twap.child == "limit" and not simulated:
            return execution.price_cap
        case _:
            return None


def terms(config: Config) -> Terms | None:
    """By what terms orders are worked on over time, if they are."""
    execution, made, parts = config.execution, config.execution.maker_then_taker, config.execution.twap
    if execution.style == "maker_then_taker":
        return MakerTerms(
            passive=made.passive,
            total=made.total,
            min_reprice=made.min_reprice,
            reprice_ticks=made.reprice_ticks,
            improve_ticks=made.improve_ticks,
            requotes=made.requotes,
            adverse=made.adverse_bps / 10_000,
            must_complete=made.must_complete,
        )
    if execution.style == "twap":
        return TwapTerms(horizon=parts.horizon, interval=parts.interval, participation=parts.participation, bar=config.bar_length)
    return None


def group_terms(config: Config) -> GroupTerms:
    """How far legs that belong together may be apart."""
    wanted = config.execution.groups
    return GroupTerms(size=wanted.size, within=wanted.within, pause=wanted.pause)
