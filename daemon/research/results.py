"""Results: a record becomes the files of a backtest.

Rule: same run, same bytes: rows lie in the order in which they happened, symbols in their own, and nothing depends on the machine but the
two times in the summary that measure it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from daemon.core.analyzer_measures import correlations, returns
from daemon.core.events import OrderLimited, RiskLimited, RiskRefused
from daemon.core.model import Fill, Order, currencies, epoch_ms
from daemon.core.plain import plain
from daemon.research.bars import DataError
from daemon.research.record import Record
from daemon.research.signals import PART, Labels

Columns = Mapping[str, Any]  # by name, a sequence, an array, or Labels


def write(folder: Path, record: Record, symbols: Sequence[str], summary: Mapping[str, object], shares: Sequence[float]) -> None:
    """Write every file into `folder`, which is made if it is not there; files of an earlier run are replaced, the summary last.

    `shares`: what part of its bar's volume each fill was.

    Raises:
        DataError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be the folder of the results ({error.strerror}); name another one with --out") from None
    for name, columns in _tables(record, symbols, shares).items():
        _parquet(folder / f"{name}.parquet", [columns])
    _parquet(folder / "returns.parquet", _returns(record, symbols))
    _parquet(folder / "signals.parquet", record.signals.parts())
    (folder / "summary.json").write_text(json.dumps(plain(summary), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _tables(record: Record, symbols: Sequence[str], shares: Sequence[float]) -> dict[str, Columns]:
    return {
        "equity": {"timestamp": record.times, **dict(zip(EQUITY_COLUMNS, record.equity.table().T, strict=True))},
        "targets": _columns(record.targets, "timestamp", "strategy", "symbol", "weight"),
        "orders": _orders(record.orders, record.fills),
        "fills": {**_fills(record.orders, record.fills), "volume_share": shares},
        "limits": _limits(record.cuts),
        "funding": _columns(record.funding, "timestamp", "symbol", "amount"),
        **_analysis(record, symbols),
    }


def _columns(rows: Sequence[Sequence[Any]], *names: str) -> Columns:
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())


def _orders(orders: Sequence[Order], fills: Sequence[Fill]) -> Columns:
    """`amount` is what was asked for, `price` the reference it was planned at, `fee` what its fills have paid (0 without one)."""
    fees: dict[str, tuple[float, str]] = {}
    for fill in fills:
        paid, asset = _fee(fill)
        fees[fill.order_id] = (fees.get(fill.order_id, (0.0, ""))[0] + paid, asset)
    rows = [
        (epoch_ms(o.at), o.symbol, o.side.value, float(o.amount), float(o.price), *fees.get(o.id, (0.0, "")), o.id, o.decision_id)
        for o in orders
    ]
    return _columns(rows, *TRADE_COLUMNS)


def _fills(orders: Sequence[Order], fills: Sequence[Fill]) -> Columns:
    decisions = {order.id: order.decision_id for order in orders}
    rows = [
        (epoch_ms(f.at), f.symbol, f.side.value, float(f.amount), float(f.price), *_fee(f), f.order_id, decisions.get(f.order_id, ""))
        for f in fills
    ]
    return _columns(rows, *TRADE_COLUMNS)


EQUITY_COLUMNS = ("equity", "cash", "gross", "net", "drawdown")
TRADE_COLUMNS = ("timestamp", "symbol", "side", "amount", "price", "fee", "fee_asset", "order_id", "decision_id")


def _fee(fill: Fill) -> tuple[float, str]:
    """What a fill has paid, and in which asset; where nothing was paid, it would have been the quote."""
    if not fill.fees:
        return 0.0, currencies(fill.symbol)[1]
    return float(fill.fees[0].amount), fill.fees[0].currency


def _limits(cuts: Sequence[RiskLimited | OrderLimited | RiskRefused]) -> Columns:
    """What limits have made of wishes: of a weight (share of equity), or of an order's amount (base units)."""
    rows = [(epoch_ms(cut.at), cut.decision_id, cut.symbol, cut.reason, *_cut(cut)) for cut in cuts]
    return _columns(rows, "timestamp", "decision_id", "symbol", "reason", "of", "wanted", "allowed")


def _cut(cut: RiskLimited | OrderLimited | RiskRefused) -> tuple[str, float, float]:
    match cut:
        case RiskLimited():
            return "weight", cut.wanted, cut.allowed
        case OrderLimited():
            return "amount", float(cut.wanted), float(cut.allowed)
        case RiskRefused():
            return "amount", float(cut.amount), 0.0


def _analysis(record: Record, symbols: Sequence[str]) -> dict[str, Columns]:
    """The last closes at each bar, and the correlation of every two symbols over the whole period."""
    times, closes = np.frombuffer(record.times, np.int64), record.closes.table()
    together = correlations(returns(closes))
    pairs = [(a, b, float(together[i, j])) for i, a in enumerate(symbols) for j, b in enumerate(symbols)]
    return {
        "closes": {"timestamp": times, **dict(zip(symbols, closes.T, strict=True))},
        "correlations": _columns(pairs, "symbol_a", "symbol_b", "correlation"),
    }


def _returns(record: Record, symbols: Sequence[str]) -> Iterator[Columns]:
    """The simple returns at each bar, so many rows at a time."""
    times, moves = np.frombuffer(record.times, np.int64), returns(record.closes.table())
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
