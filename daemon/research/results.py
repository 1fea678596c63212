"""Results: a record becomes the files of a backtest.

Rule: same run, same bytes: rows lie in the order in which they happened, symbols in their own, and nothing depends on the machine but the
two times in the summary that measure it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from daemon.core.analyzer_measures import correlations, returns
from daemon.core.events import OrderLimited, RiskLimited, RiskRefused
from daemon.core.model import Fill, Floats, Order, currencies, epoch_ms
from daemon.core.plain import plain
from daemon.research.bars import DataError
from daemon.research.record import Record
from daemon.research.signals import PART, Labels, Signals

Cut = RiskLimited | OrderLimited | RiskRefused
Columns = Mapping[str, Any]  # by name, a sequence, an array, or Labels


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What the files of a run are made of; in `closes` and `equity` a row for each of `times` (UTC ms)."""

    times: Any
    equity: Floats  # equity, cash, gross, net, drawdown
    closes: Floats
    targets: Sequence[tuple[int, str, str, float]]  # timestamp, strategy, symbol, weight
    orders: Sequence[Order]
    fills: Sequence[Fill]
    cuts: Sequence[Cut]
    funding: Sequence[tuple[int, str, float]]  # timestamp, symbol, amount
    signals: Signals


def write(folder: Path, record: Record, symbols: Sequence[str], summary: Mapping[str, object], shares: Sequence[float]) -> None:
    """Write every file into `folder`, which is made if it is not there; files of an earlier run are replaced, the summary last.

    `shares`: what part of its bar's volume each fill was.

    Raises:
        DataError: it cannot be made.
    """
    times, told = np.frombuffer(record.times, np.int64), (record.targets, record.orders, record.fills, record.cuts, record.funding)
    rows = Rows(times, record.equity.table(), record.closes.table(), *told, record.signals)
    saved(folder, tables_of(rows, symbols, shares), summary)


def saved(folder: Path, tables: Mapping[str, Iterable[Columns]], summary: Mapping[str, object]) -> None:
    """Write tables, each in parts, and the summary last. DataError: the folder cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be the folder of the results ({error.strerror}); name another one with --out") from None
    for name, parts in tables.items():
        _parquet(folder / f"{name}.parquet", parts)
    (folder / "summary.json").write_text(json.dumps(plain(summary), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def tables_of(rows: Rows, symbols: Sequence[str], shares: Sequence[float]) -> dict[str, Iterable[Columns]]:
    """Every table of a run by its name, in parts."""
    whole: dict[str, Columns] = {
        "equity": {"timestamp": rows.times, **dict(zip(EQUITY_COLUMNS, rows.equity.T, strict=True))},
        "targets": _columns(rows.targets, "timestamp", "strategy", "symbol", "weight"),
        "orders": _orders(rows.orders, rows.fills),
        "fills": {**_fills(rows.orders, rows.fills), "volume_share": shares},
        "limits": _limits(rows.cuts),
        "funding": _columns(rows.funding, "timestamp", "symbol", "amount"),
        **_analysis(rows, symbols),
    }
    return {**{name: [columns] for name, columns in whole.items()}, "returns": _returns(rows, symbols), "signals": rows.signals.parts()}


def _columns(rows: Sequence[Sequence[Any]], *names: str) -> Columns:
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())


def _orders(orders: Sequence[Order], fills: Sequence[Fill]) -> Columns:
    """`amount` is what was asked for, `price` the reference it was planned at, `fee` what its fills have paid (0 without one)."""
    fees: dict[str, tuple[float, str]] = {}
    for fill in fills:
        paid, asset = fee_of(fill)
        fees[fill.order_id] = (fees.get(fill.order_id, (0.0, ""))[0] + paid, asset)
    rows = [
        (epoch_ms(o.at), o.symbol, o.side.value, float(o.amount), float(o.price), *fees.get(o.id, (0.0, "")), o.id, o.decision_id)
        for o in orders
    ]
    return _columns(rows, *TRADE_COLUMNS)


def _fills(orders: Sequence[Order], fills: Sequence[Fill]) -> Columns:
    decisions = {order.id: order.decision_id for order in orders}
    rows = [
        (epoch_ms(f.at), f.symbol, f.side.value, float(f.amount), float(f.price), *fee_of(f), f.order_id, decisions.get(f.order_id, ""))
        for f in fills
    ]
    return _columns(rows, *TRADE_COLUMNS)


EQUITY_COLUMNS = ("equity", "cash", "gross", "net", "drawdown")
TRADE_COLUMNS = ("timestamp", "symbol", "side", "amount", "price", "fee", "fee_asset", "order_id", "decision_id")


def fee_of(fill: Fill) -> tuple[float, str]:
    """What a fill has paid, and in which asset; where nothing was paid, it would have been the quote."""
    if not fill.fees:
        return 0.0, currencies(fill.symbol)[1]
    return float(fill.fees[0].amount), fill.fees[0].currency


def _limits(cuts: Sequence[Cut]) -> Columns:
    """What limits have made of wishes: of a weight (share of equity), or of an order's amount (base units)."""
    rows = [(epoch_ms(cut.at), cut.decision_id, cut.symbol, cut.reason, *_cut(cut)) for cut in cuts]
    return _columns(rows, "timestamp", "decision_id", "symbol", "reason", "of", "wanted", "allowed")


def _cut(cut: Cut) -> tuple[str, float, float]:
    match cut:
        case RiskLimited():
            return "weight", cut.wanted, cut.allowed
        case OrderLimited():
            return "amount", float(cut.wanted), float(cut.allowed)
        case RiskRefused():
            return "amount", float(cut.amount), 0.0


def _analysis(rows: Rows, symbols: Sequence[str]) -> dict[str, Columns]:
    """The last closes at each bar, and the correlation of every two symbols over the whole period."""
    times, closes = rows.times, rows.closes
    together = correlations(returns(closes))
    pairs = [(a, b, float(together[i, j])) for i, a in enumerate(symbols) for j, b in enumerate(symbols)]
    return {
        "closes": {"timestamp": times, **dict(zip(symbols, closes.T, strict=True))},
        "correlations": _columns(pairs, "symbol_a", "symbol_b", "correlation"),
    }


def _returns(rows: Rows, symbols: Sequence[str]) -> Iterator[Columns]:
    """The simple returns at each bar, so many rows at a time."""
    times, moves = rows.times, returns(rows.closes)
    step = max(1, PART // len(symbols))
    for first in range(0, len(times), step):
        part = moves[first : first + step]
        row, column = np.nonzero(~np.isnan(part))
        yield {"timestamp": times[first + row], "symbol": Labels(symbols, column), "return": part[row, column]}


TEXT = frozenset({"strategy", "symbol", "name", "side", "fee_asset", "order_id", "decision_id", "symbol_a", "symbol_b", "reason", "of"})
MOMENT = frozenset({"timestamp", "bar_open"})


def _parquet(path: Path, parts: Iterable[Columns]) -> None:
    """A file of one table, whose parts are written one after the other."""
    from daemon.research.arrow import pa, parquet  # heavy, and only files of a backtest need it

    def told(name: str, values: Any) -> Any:
        kind = pa.string() if name in TEXT else pa.int64() if name in MOMENT else pa.float64()
        if isinstance(values, Labels):
            return pa.array(values.names, kind).take(pa.array(values.rows))
        return pa.array(values, kind)

    tables = (pa.table({name: told(name, values) for name, values in columns.items()}) for columns in parts)
    first = next(tables)  # there is one, if an empty one
    with parquet.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for table in chain((first,), tables):
            writer.write_table(table)
