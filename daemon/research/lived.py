"""Lived: the journal of a daemon as the folder of a run, so that one page shows both and either can be put beside the other.

Rule: orders, trades, decisions and equity are those of the journal. What it does not have, the prices between decisions, comes from stored
bars where they are given, else from its plans and trades; and what had to be done about deposits and withdrawals is said.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from daemon.config import Config
from daemon.core.analyzer_report import YEAR
from daemon.core.events import EquityMarked
from daemon.core.ledger import FUNDING, OPENING
from daemon.core.model import ZERO, Decision, Fill, Floats, Money, Order, currencies, epoch_ms, is_swap
from daemon.core.plain import plain, rfc3339
from daemon.core.planner_inputs import Inputs
from daemon.io.journal import Recovered, Tables, read
from daemon.io.journal.errors import READ_ERRORS, known
from daemon.research import bars
from daemon.research.bars import Bars, DataError
from daemon.research.performance import performance
from daemon.research.results import Cut, Rows, fee_of, saved, tables_of
from daemon.research.signals import Signals
from daemon.research.trust import few_decisions, one_trade, uncertain_sharpe, volume_shares

Summary = dict[str, Any]
LIVE: Final = "live"  # what a summary says it is of, where it is not of a backtest


@dataclass(frozen=True, slots=True)
class Diary:
    """What a journal has, oldest first; `prices` are (UTC ms, quote per base) by symbol, as plans and trades have seen them."""

    record: Recovered
    marks: Sequence[EquityMarked]
    decisions: Sequence[Decision]
    targets: Mapping[str, Mapping[str, float]]  # by decision, after every limit
    orders: Sequence[Order]
    cuts: Sequence[Cut]
    prices: Mapping[str, Sequence[tuple[int, float]]]
    symbols: tuple[str, ...]


def opened(journal: Path, configured: Sequence[str] = ()) -> Diary:
    """Read a journal, whether or not a daemon is writing it; its symbols are those `configured` and whatever it speaks of.

    Raises:
        JournalError: it cannot be read, or not be trusted.
        DataError: there is nothing in it to tell of.
    """
    record = read(journal)
    try:
        with Tables(journal) as tables:
            marks, decisions = list(tables.every_mark()), list(tables.every_decision())
            waves = {wave.decision.id: wave.targets for wave in tables.every_wave()}
            orders, cuts, prices = list(tables.every_order()), list(tables.every_cut()), _seen(tables, record)
    except READ_ERRORS as error:
        raise known(journal, error) from error
    symbols = tuple(sorted({*configured, *prices, *_spoken_of(decisions)}))
    if len(marks) < 2 or not symbols:
        raise DataError(f"{journal} has no two closes with an equity yet; a report needs some, so wait for them")
    return Diary(record, marks, decisions, waves, orders, cuts, prices, symbols)


def _spoken_of(decisions: Sequence[Decision]) -> Iterator[str]:
    for decision in decisions:
        yield from decision.weights
        # Signals are told of sectors and of pairs (A|B) as well.
        yield from (of for each in decision.by_strategy.values() for of in each.signals if "/" in of and "|" not in of)


def _seen(tables: Tables, record: Recovered) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for _, plan in tables.plans():
        for symbol, price in (Inputs.parse(plan.inputs).book.prices if plan.inputs else {}).items():
            found.setdefault(symbol, []).append((epoch_ms(plan.at), float(price)))
    for fill in record.fills:
        found.setdefault(fill.symbol, []).append((epoch_ms(fill.at), float(fill.price)))
    return {symbol: sorted(each) for symbol, each in found.items()}


def write(diary: Diary, name: str, out: Path, config: Config | None = None, data: Path | None = None) -> Summary:
    """Write the files of a run into `out`, and return its summary. `data` are stored bars, which need the `config` whose they are.

    Raises:
        DataError: the bars cannot be used, or the folder not be made.
    """
    times = np.array([epoch_ms(mark.at) for mark in diary.marks], np.int64)
    curve = _curve(diary)
    quote = config.universe.quote if config is not None else currencies(diary.symbols[0])[1]
    stored = _stored(diary, config, data)
    closes = _closes(diary, times, stored)
    length = _apart(diary)
    fills = [_told(diary, fill, quote) for fill in diary.record.fills if times[0] <= epoch_ms(fill.at) < times[-1]]
    orders = [order for order in diary.orders if epoch_ms(order.at) < times[-1]]
    rows = Rows(times, _equity(diary, curve), closes, _targets(diary), orders, fills, diary.cuts, _funding(diary), _signals(diary, length))
    summary = _summary(diary, name, config, data, curve, quote) | _measured(diary, curve, fills, rows.funding, length)
    warned = [
        *few_decisions(orders),
        *uncertain_sharpe(curve.tolist(), summary["sharpe"], YEAR / length),
        *one_trade(fills, dict(zip(diary.symbols, closes[-1].tolist(), strict=True)), float(curve[-1] - curve[0])),
    ]
    summary["warnings"] = [asdict(each) for each in warned]
    saved(out, tables_of(rows, diary.symbols, _shares(stored, fills)), summary)
    return summary


# --- the account -----------------------------------------------------------------------------------------------------


def _curve(diary: Diary) -> Floats:
    """What the first equity has become: the worth of a unit, so that money which comes or goes is no gain and no loss."""
    values = np.array([mark.value for mark in diary.marks])
    curve: Floats = float(diary.marks[0].equity) * values / values[0]
    return curve


def _equity(diary: Diary, curve: Floats) -> Floats:
    rest = [(float(mark.cash), mark.gross, mark.net, mark.drawdown) for mark in diary.marks]
    table: Floats = np.column_stack([curve, np.array(rest)])
    return table


def _paid_in(diary: Diary) -> Decimal:
    """What has come less what has gone since the first close, in the account's currency."""
    return diary.marks[-1].contributed - diary.marks[0].contributed


def _apart(diary: Diary) -> timedelta:
    """The usual distance of two closes of which the equity is known: a bar, or a minute where bars are shorter."""
    apart = np.diff(np.array([epoch_ms(mark.at) for mark in diary.marks], np.int64))
    return timedelta(milliseconds=int(np.median(apart)))


# --- prices ----------------------------------------------------------------------------------------------------------


def _stored(diary: Diary, config: Config | None, data: Path | None) -> Bars | None:
    if config is None or data is None:
        return None
    return bars.load(data, [symbol for symbol in diary.symbols if symbol in config.universe.symbols], config.bar_length)


def _shares(stored: Bars | None, fills: Sequence[Fill]) -> list[float]:
    """What part of its bar's volume each trade was; NaN where the bar is not known."""
    if stored is None or any(fill.symbol not in stored.series for fill in fills):
        return [float("nan")] * len(fills)
    return volume_shares(stored, fills)


def _closes(diary: Diary, times: Any, stored: Bars | None) -> Floats:
    """The last price of each symbol at each close, NaN before there was one."""
    seen = dict(diary.prices)
    if stored is not None:
        seen |= {s: list(zip(each.closes.tolist(), each.values[:, 3].tolist(), strict=True)) for s, each in stored.series.items()}
    return np.column_stack([_at(times, seen.get(symbol, ())) for symbol in diary.symbols])


def _at(times: Any, seen: Sequence[tuple[int, float]]) -> Floats:
    known_at = np.array([at for at, _ in seen], np.int64)
    prices = np.array([float("nan"), *(price for _, price in seen)])
    found: Floats = prices[np.searchsorted(known_at, times, side="right")]
    return found


# --- what was decided and traded -------------------------------------------------------------------------------------


def _targets(diary: Diary) -> list[tuple[int, str, str, float]]:
    rows = []
    for decision in diary.decisions:
        each = {name: targets.weights for name, targets in decision.by_strategy.items()}
        each["*"] = diary.targets.get(decision.id, decision.weights)
        rows += [
            (epoch_ms(decision.as_of), name, symbol, weights.get(symbol, 0.0)) for name, weights in each.items() for symbol in diary.symbols
        ]
    return rows


def _signals(diary: Diary, length: timedelta) -> Signals:
    """The numbers that decisions rested on; between decisions the journal has none."""
    found = Signals()
    for decision in diary.decisions:
        found.add(epoch_ms(decision.as_of - length), {name: targets.signals for name, targets in decision.by_strategy.items()})
    return found


def _funding(diary: Diary) -> list[tuple[int, str, float]]:
    return [(epoch_ms(flow.at), flow.symbol, float(flow.amount)) for flow in diary.record.flows if flow.kind == FUNDING]


def _told(diary: Diary, fill: Fill, quote: str) -> Fill:
    """A trade under our id of its order, whose fee in a third asset is told in quote at that asset's last price."""
    base, paid_in = currencies(fill.symbol)
    third = [fee for fee in fill.fees if fee.currency not in (base, paid_in)]
    priced = [Money(fee.amount * _rate(diary, fee.currency, quote, fill), paid_in) for fee in third]
    return replace(fill, order_id=diary.record.owner(fill), fees=(*(fee for fee in fill.fees if fee not in third), *priced))


def _rate(diary: Diary, asset: str, quote: str, fill: Fill) -> Decimal:
    seen = [price for at, price in diary.prices.get(f"{asset}/{quote}", ()) if at <= epoch_ms(fill.at)]
    return Decimal(repr(seen[-1])) if seen else ZERO


# --- the summary -----------------------------------------------------------------------------------------------------


def _summary(diary: Diary, name: str, config: Config | None, data: Path | None, curve: Floats, quote: str) -> Summary:
    first, last = diary.marks[0].at, diary.marks[-1].at
    settings = config.model_dump(mode="json") if config is not None else _guessed(diary, name, quote)
    settings["paper"] = {**settings.get("paper", {}), "balances": _opening(diary)}
    length = _apart(diary)
    return {
        "of": LIVE,
        "settings": settings,
        "period": {
            "start": rfc3339(first),
            "end": rfc3339(last),
            "bars": len(diary.marks),
            "timeframe": f"{round(length.total_seconds())}s",
        },
        "strategies": {},
        "assumptions": [{"code": code, "text": text} for code, text in _assumed(data)],
        "notes": list(_notes(diary, quote, curve)),
    }


def _guessed(diary: Diary, name: str, quote: str) -> Summary:
    """What a page needs of a configuration, as far as a journal knows it."""
    strategies = sorted({strategy for decision in diary.decisions for strategy in decision.by_strategy})
    market = "swap" if any(is_swap(symbol) for symbol in diary.symbols) else "spot"
    return {
        "name": name,
        "exchange": {"id": "the account", "market": market},
        "universe": {"quote": quote, "symbols": list(diary.symbols)},
        "strategies": [{"name": strategy, "use": "as configured"} for strategy in strategies],
    }


def _opening(diary: Diary) -> dict[str, str]:
    """What the account held when the journal began."""
    found: dict[str, Decimal] = {}
    for flow in diary.record.flows:
        if flow.kind == OPENING:
            found[flow.currency] = found.get(flow.currency, ZERO) + flow.amount
    return {currency: str(amount) for currency, amount in found.items()}


def _assumed(data: Path | None) -> Iterator[tuple[str, str]]:
    yield "journal", "orders, trades, decisions and equity are those of the journal: what the exchange has said"
    told = f"the stored closes of {data}" if data is not None else "those of plans and trades, so that weights stand still in between"
    yield "prices", f"prices between decisions are {told}"
    yield "signals", "signals are those of decisions; the journal keeps none in between"


def _notes(diary: Diary, quote: str, curve: Floats) -> Iterator[str]:
    if later := sum(fill.at >= diary.marks[-1].at for fill in diary.record.fills):
        yield f"{later} trades are younger than the last close whose equity is known, and left out"
    paid_in, worth = _paid_in(diary), diary.marks[-1].equity
    if paid_in:
        yield (
            f"{plain(paid_in)} {quote} have come in since the first close (below 0: gone out); the curve is what the first equity has "
            f"become, {curve[-1]:.2f}, and the account is worth {worth:.2f}"
        )


def _measured(diary: Diary, curve: Floats, fills: Sequence[Fill], funding: Sequence[tuple[int, str, float]], bar: timedelta) -> Summary:
    figures = asdict(performance(curve, diary.marks[-1].at - diary.marks[0].at, bar))
    times = np.array([epoch_ms(mark.at) for mark in diary.marks], np.int64)
    rows = np.maximum(np.searchsorted(times, [epoch_ms(fill.at) for fill in fills], side="right") - 1, 0)
    turned = sum(float(fill.cost) / float(curve[row]) for fill, row in zip(fills, rows, strict=True))
    return {
        "final_equity": figures.pop("final_equity"),
        "return": figures.pop("total_return"),
        **figures,
        "turnover": turned,
        "fees": sum(_in_quote(fill) for fill in fills),
        "funding": sum(amount for _, _, amount in funding),
        "trades": len(fills),
    }


def _in_quote(fill: Fill) -> float:
    paid, asset = fee_of(fill)
    return paid * (float(fill.price) if asset == currencies(fill.symbol)[0] else 1.0)


# --- live against backtest -------------------------------------------------------------------------------------------


def again(diary: Diary, config: Config) -> tuple[Config, datetime, datetime]:
    """The configuration of a backtest that begins with what the account was worth at its first close; that close, and the last one."""
    paper = config.paper.model_copy(update={"balances": {config.universe.quote: diary.marks[0].equity}})
    return config.model_copy(update={"mode": "paper", "paper": paper}), diary.marks[0].at, diary.marks[-1].at
