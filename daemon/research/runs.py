"""Runs: a configuration and a directory of bars become a backtest and its files.

Rule: Config objects end here, as they do in worlds.py; whatever the run assumes that a market would not grant stands in its summary.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from daemon.assembly.deciding import deciding, runner_of
from daemon.assembly.rosters import sleeve
from daemon.config import Config
from daemon.config.ownuse import is_contained
from daemon.config.papers import tiers
from daemon.core.model import ZERO, Instrument, currencies, from_epoch_ms
from daemon.core.paper import PaperAccount
from daemon.core.plain import rfc3339
from daemon.parts import Core, StartRefused
from daemon.research import upkeep
from daemon.research.assumptions import assumptions
from daemon.research.backtest import Backtest, Overgrown, Routes
from daemon.research.bars import Bars, DataError, load, markets
from daemon.research.lookahead import glance
from daemon.research.performance import performance
from daemon.research.record import Record
from daemon.research.results import write
from daemon.research.trust import (
    Doubt,
    Warned,
    bars_a_year,
    few_decisions,
    incomplete,
    large_trades,
    liquidations,
    one_trade,
    uncertain_sharpe,
    volume_shares,
)
from daemon.research.venue import StoredVenue, Terms

Summary = dict[str, Any]

CAGR_TOLD = 100.0  # a hundredfold a year


@dataclass(frozen=True, slots=True)
class Assembled:
    """A backtest that is ready to run, and what is asked afterwards.

    `without`: the symbols for which no rules are known. `kept`: what swaps cost to hold.
    """

    run: Backtest
    core: Core
    bars: Bars
    venue: StoredVenue
    record: Record
    without: tuple[str, ...]
    kept: upkeep.Upkeep


@dataclass(frozen=True, slots=True)
class Stored:
    """What a run needs of the store. `without`: the symbols for which no rules are known; `kept`: what swaps cost to hold."""

    bars: Bars
    rules: Mapping[str, Instrument]
    without: tuple[str, ...]
    kept: upkeep.Upkeep


def stored(config: Config, data: Path, end: datetime | None) -> Stored:
    """What has closed until `end` (None: all bars), and what is known of the markets. Raises DataError as `backtest` does."""
    bars = load(data, config.universe.symbols, config.bar_length, end=end)
    rules, without = markets(data, config.universe.symbols)
    kept = upkeep.load(data, bars.symbols, bars.timeframe) if config.exchange.market == "swap" else upkeep.NONE
    return Stored(bars, rules, without, kept)


def assembled(config: Config, data: Path, end: datetime | None, routes: Routes) -> Assembled:
    """The parts of a run over what has closed until `end` (None: all bars). Raises as `backtest` does."""
    account(config)
    return prepared(config, stored(config, data, end), routes)


def prepared(config: Config, found: Stored, routes: Routes) -> Assembled:
    """The parts of a run over what is stored. Raises StartRefused as `backtest` does."""
    core = deciding(config, simulated=True)
    record = Record(core)
    terms = Terms(config.backtest.fills == "twap", config.backtest.impact, config.backtest.volume_max)
    venue = StoredVenue(account(config), _charged(config, found.rules), found.bars, found.kept, terms)
    return Assembled(Backtest(core, venue, record, routes), core, found.bars, venue, record, found.without, found.kept)


def backtest(config: Config, data: Path, out: Path, start: datetime | None, end: datetime | None, routes: Routes) -> Summary:
    """Run it, write its files into `out`, and return the summary. Decisions lie between `start` and `end` (both included; None: all bars).

    Raises:
        DataError: the bars, or the rules in markets.json, are missing or cannot be used.
        StartRefused: the configuration cannot be backtested.
    """
    made = assembled(config, data, end, routes)
    core, bars, record = made.core, made.bars, made.record
    began = perf_counter()
    traded(made, data, start)
    wall_s = perf_counter() - began
    shares = volume_shares(bars, record.fills)
    summary = _summary(config, bars, record, wall_s) | {
        "strategies": _strategies(core),
        "assumptions": [asdict(assumed) for assumed in assumptions(config, bars, made.without, made.kept)],
        "notes": list(_notes(record, made.venue)),
    }
    warned = [*_looking_ahead(config, record, bars), *doubts(made, shares, summary["sharpe"])]
    summary["warnings"] = [asdict(each) for each in warned]
    write(out, record, core.symbols, summary, shares)
    return summary


def traded(made: Assembled, data: Path, start: datetime | None) -> None:
    """Run it. Raises DataError: its bars, which are from `data`, cannot be traded."""
    try:
        made.run.run(made.bars, start)
    except Overgrown as error:
        raise DataError(f"{data}: {error}; look for absurd prices in the bars before, or gains that no market pays") from None
    if not made.record.equity:
        raise DataError(f"{data}: no bar closes at or after --start, {rfc3339(start) if start else ''}; the last one is before it")


def account(config: Config) -> PaperAccount:
    """What a run begins with. Raises StartRefused: the configuration cannot be backtested."""
    if config.universe.quotes:
        raise StartRefused(f"{config.source}: universe.quotes cannot be backtested yet; leave it out, with the symbols it pays for", 78)
    paper = config.paper
    if paper.balances.get(config.universe.quote, ZERO) <= 0:
        raise StartRefused(
            f"{config.source}: paper.balances has no {config.universe.quote}, so nothing can be bought; add an amount of it", 78
        )
    try:
        return PaperAccount(paper.balances, fee=paper.fee.taker, slippage_bps=paper.slippage_bps, tiers=tiers(paper.fee))
    except ValueError as error:
        raise StartRefused(f"{config.source}: paper: {error}", 78) from None


def _charged(config: Config, rules: Mapping[str, Instrument]) -> dict[str, Instrument]:
    """The markets with the fees of the paper account; a swap pays them in quote, may be held short, and needs margin by its leverage."""
    swap, fee, leverage = config.exchange.market == "swap", config.paper.fee.taker, Decimal(config.exchange.leverage)
    return {s: replace(m, taker_fee=fee, buy_fee_in_base=not swap, shortable=swap, leverage=leverage) for s, m in rules.items()}


def _notes(record: Record, venue: StoredVenue) -> Iterator[str]:
    """What happened on the way, a sentence each."""
    if venue.waiting:
        yield f"{venue.waiting} orders found no bar to fill at before the end"
    yield from (f"{count} orders refused: {code}" for code, count in sorted(record.refused.items()))
    yield from (f"{count} weights cut: {reason}" for reason, count in sorted(Counter(cut.reason for cut in record.cuts).items()))
    yield from (f"{count} times {told}" for told, count in sorted(record.restricted.items()))
    yield from (f"at {count} bars: {sentence}" for sentence, count in sorted(record.troubles.items()))
    yield from record.untold


def _looking_ahead(config: Config, record: Record, bars: Bars) -> Iterator[Warned]:
    """Strategies of the user's own that knew the future; those that ship with the program are known not to."""
    for index, wanted in enumerate(config.strategies):
        if is_contained(wanted.use) and not record.disabled:
            found = glance(wanted.name, partial(sleeve, config, index), partial(runner_of, config), bars)
            if found is not None:
                yield Warned(Doubt.LOOK_AHEAD, str(found))


def doubts(made: Assembled, shares: Sequence[float], sharpe: float) -> Iterator[Warned]:
    """Why the result may not be what it seems. `shares`: what part of its bar's volume each fill was; `sharpe`: of the whole, a year."""
    core, record, bars = made.core, made.record, made.bars
    yield from (Warned(Doubt.DISABLED, sentence) for sentence in record.disabled)
    for halt in record.halts:
        since = f"from {rfc3339(halt.since)} to the end, since nobody resumes here"
        yield Warned(Doubt.HALTED, f"the {halt.scope} was halted {since}: {halt.code}, {halt.text}")
    yield from liquidations(made.venue.taken)
    for symbol, left_at in sorted(core.membership.leaving.items()):
        text = f"{symbol} left the universe at {rfc3339(left_at)}, had no bar to be sold at, and counts at its last price"
        yield Warned(Doubt.UNSOLD, text)
    equity = record.equity.table()[:, 0].tolist()
    last = dict(zip(core.symbols, record.closes.table()[-1].tolist(), strict=True))
    yield from few_decisions(record.orders)
    yield from uncertain_sharpe(equity, sharpe, bars_a_year(bars))
    yield from one_trade(record.fills, last, equity[-1] - equity[0])
    yield from large_trades(shares)
    yield from incomplete(bars, record.times[0], record.times[-1])


def _summary(config: Config, bars: Bars, record: Record, wall_s: float) -> Summary:
    first, last = from_epoch_ms(record.times[0]), from_epoch_ms(record.times[-1])
    return {
        "settings": config.model_dump(mode="json"),
        "period": {"start": rfc3339(first), "end": rfc3339(last), "bars": len(record.times), "timeframe": config.timeframe},
        **measured(bars, record),
        "symbol_bars": bars.symbol_bars,
        "wall_s": round(wall_s, 3),
        "symbol_bars_per_s": round(bars.symbol_bars / wall_s),
    }


def measured(bars: Bars, record: Record) -> Summary:
    """The numbers of a run."""
    first, last = from_epoch_ms(record.times[0]), from_epoch_ms(record.times[-1])
    figures = asdict(performance(record.equity.table()[:, 0], last - first, bars.timeframe))
    final = figures.pop("final_equity")
    return {
        "final_equity": final,
        "return": figures.pop("total_return"),
        **figures,
        "turnover": sum(notional / equity for notional, equity in record.traded if equity > 0),
        "fees": sum(_fee_in_quote(record, i) for i in range(len(record.fills))),
        **_funding(record),
        "trades": len(record.fills),
    }


def _funding(record: Record) -> Summary:
    """What positions were paid, below 0 what they have paid, and the result of the same trades without it."""
    paid, equity = sum(amount for _, _, amount in record.funding), record.equity.table()[:, 0].tolist()
    begun, final = equity[0], equity[-1]
    without = final - paid
    return {"funding": paid, "without_funding": {"final_equity": without, "return": without / begun - 1 if begun > 0 else None}}


def _strategies(core: Core) -> dict[str, dict[str, float]]:
    """What each sleeve made of its capital: `return` and `drawdown` (the deepest) of a unit of it, the rest in quote.

    `traded` is what was bought and sold for it, `crossed` what it bought and sold inside: alone it would have traded both.
    """
    portfolio, curves = core.portfolio, core.curves
    return {
        name: {
            "return": curves.of(name).total_return,
            "pnl": float(curves.of(name).pnl),
            "drawdown": curves.of(name).drawdown_max,
            "traded": float(portfolio.traded.get(name, ZERO)),
            "crossed": float(portfolio.crossed.get(name, ZERO)),
        }
        for name in portfolio.names
    }


def _told(name: str, made: Mapping[str, float]) -> str:
    result = f"return {made['return']:.2%}, {made['pnl']:+.2f}, deepest fall {made['drawdown']:.2%}"
    return f"{name}: {result}, {made['crossed']:.2f} crossed inside"


def _fee_in_quote(record: Record, index: int) -> float:
    """What a fill paid, worth at its own price."""
    fill = record.fills[index]
    base = currencies(fill.symbol)[0]
    return float(sum((fee.amount * (fill.price if fee.currency == base else 1) for fee in fill.fees), ZERO))


def _a_year(cagr: float) -> str:
    """Growth a year, where there is a number that tells a person something: minutes have none."""
    return f", a year {cagr:.2%}" if abs(cagr) < CAGR_TOLD else ""


def _funding_told(summary: Summary) -> Iterator[str]:
    without, swaps = summary["without_funding"], summary["settings"]["exchange"]["market"] == "swap"
    if swaps:
        told = f"; without it equity {without['final_equity']:.2f}, return {without['return']:.2%}" if without["return"] is not None else ""
        yield f"funding {summary['funding']:+.2f}{told}"


def in_words(summary: Summary, out: Path) -> str:
    """What a person wants to know first."""
    period = summary["period"]
    lines = [
        f"{period['start']} to {period['end']}, {period['bars']} bars of {period['timeframe']}",
        f"equity {summary['final_equity']:.2f}, return {summary['return']:.2%}{_a_year(summary['cagr'])}",
        f"volatility {summary['volatility']:.2%}, sharpe {summary['sharpe']:.2f}, deepest fall {summary['max_drawdown']:.2%}",
        f"{summary['trades']} trades, turnover {summary['turnover']:.1f}, fees {summary['fees']:.2f}",
        *_funding_told(summary),
        *(_told(name, made) for name, made in summary["strategies"].items() if len(summary["strategies"]) > 1),
        *(f"assumed: {assumed['text']}" for assumed in summary["assumptions"]),
        *(f"note: {note}" for note in summary["notes"]),
        *(f"warning: {warned['text']} ({warned['code']})" for warned in summary["warnings"]),
        f"files in {out}",
    ]
    return "\n".join(lines)
