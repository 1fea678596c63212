"""Assumptions: what a backtest takes for granted that a market would not, each with a stable code.

Rule: whoever reads a result reads these first; what is assumed in the run stands here, and nothing else does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from daemon.config import Config
from daemon.config.papers import FeeConfig
from daemon.core.model import from_epoch_ms
from daemon.core.plain import plain, rfc3339
from daemon.research.bars import Bars
from daemon.research.upkeep import Upkeep


class About(StrEnum):
    """What is assumed."""

    FILLS = "fills"
    FEES = "fees"
    SLIPPAGE = "slippage"
    VOLUME = "volume"
    STYLE = "style"
    RULES = "rules"
    FUNDING = "funding"
    MARGIN = "margin"
    MARKS = "marks"
    DATA = "data"
    SYMBOLS = "symbols"


@dataclass(frozen=True, slots=True)
class Assumed:
    """Something that is taken for granted, and its sentence."""

    code: About
    text: str


def assumptions(config: Config, bars: Bars, without: Sequence[str], kept: Upkeep) -> list[Assumed]:
    """All of them, of a run over these bars. `without`: symbols without rules of a market; `kept`: what is known of swaps."""
    told = [*_fills(config), *_rules(config, without), *_swaps(config, bars, kept), *_data(bars)]
    return [Assumed(code, text) for code, text in told]


def _fills(config: Config) -> Iterator[tuple[About, str]]:
    paper, execution = config.paper, config.execution
    where = "open" if config.backtest.fills == "open" else "mean of open, high, low and close"
    yield About.FILLS, f"a decision is made at a bar's close and fills at the next bar's {where}; without a next bar it waits for one"
    yield About.FEES, f"a fee of {float(paper.fee.taker):.4%} of what is traded{_tiers(paper.fee)}: every order takes"
    yield About.SLIPPAGE, f"fills are {plain(paper.slippage_bps)} bps worse than that price{_impact(config)}"
    most = config.backtest.volume_max
    if most is None:
        yield About.VOLUME, "an order fills whole, whatever its size"
    else:
        yield (
            About.VOLUME,
            f"orders take at most {float(most):.4g} of a bar's volume; the rest follows in the next bars, or by a later decision",
        )
    if execution.style == "limit":
        yield About.STYLE, f"an order whose fill would be further than {execution.price_cap} from its price expires, and is tried again"
    if execution.style in ("maker_then_taker", "twap"):
        yield About.STYLE, f"bars show no book: orders of style {execution.style} are market orders here, filled whole for the taker's fee"


def _tiers(fee: FeeConfig) -> str:
    steps = [f"{float(tier.taker):.4%} from {plain(tier.volume)}" for tier in fee.tiers]
    return f", {', '.join(steps)} traded in the 30 days before" if steps else ""


def _impact(config: Config) -> str:
    impact = float(config.backtest.impact)
    return f", and {100 * impact:.4g} bps more for each hundredth of the bar's volume" if impact else ", and orders move it no further"


def _rules(config: Config, without: Sequence[str]) -> Iterator[tuple[About, str]]:
    known = len(config.universe.symbols) - len(without)
    if known:
        yield About.RULES, f"steps and smallest orders of {known} symbols are those of markets.json, today's, over the whole period"
    if without:
        yield About.RULES, f"markets.json states no rules for {', '.join(without)}: no steps, no smallest orders"


def _swaps(config: Config, bars: Bars, kept: Upkeep) -> Iterator[tuple[About, str]]:
    if config.exchange.market != "swap":
        yield About.FUNDING, "spot: nothing is paid for holding, and nothing is earned on cash"
        return
    free, unmarked = ([s for s in bars.symbols if s not in known] for known in (kept.rates, kept.marks))
    if kept.rates:
        yield (
            About.FUNDING,
            f"funding of {', '.join(kept.rates)} is that of the files, on what was held before trades at its moment",
        )
    if free:
        yield About.FUNDING, f"{', '.join(free)} without funding, since there is no file of rates: nothing is paid for holding them"
    if unmarked:
        yield About.MARKS, f"{', '.join(unmarked)} without mark prices: positions are worth their last price"
    yield (
        About.MARGIN,
        "positions are liquidated by the marks of closes, and answer with all of the money together; what is within a bar is not seen",
    )


def _data(bars: Bars) -> Iterator[tuple[About, str]]:
    there = [series.closes for series in bars.series.values() if len(series.closes)]
    first, last = (rfc3339(from_epoch_ms(int(at))) for at in (min(c[0] for c in there), max(c[-1] for c in there)))
    yield About.DATA, f"{bars.symbol_bars} bars of {len(bars.symbols)} symbols, closing from {first} to {last}; the first ones warm up"
    yield About.SYMBOLS, "the symbols are those that somebody chose afterwards: what has died since is not among them"
