"""Exporting: what a journal has as files for other programs, the trade and tax table among them.

Rule: money and quantities are texts with all their digits, times are UTC; a file appears whole or not at all, and is its owner's alone.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Final

from daemon.core.disposals import Disposal, Disposals, Method, Note, disposals, sum_of, total
from daemon.core.model import ZERO, shortest
from daemon.core.plain import rfc3339
from daemon.io.journal import TABLES, each_table, read

BATCH: Final = 20_000  # rows in memory at a time
FORMATS: Final = ("parquet", "csv")

# Of each table: its columns, with what is in them. An empty table has them too.
MONEY, TEXT, NUMBER, TIME = "money", "text", "number", "time"
COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "orders": {
        "at": TIME,
        "id": TEXT,
        "symbol": TEXT,
        "side": TEXT,
        "amount": MONEY,
        "price": MONEY,
        "limit": MONEY,
        "filled": MONEY,
        "cost": MONEY,
        "state": TEXT,
        "reason": TEXT,
        "closed_at": TIME,
        "decision_id": TEXT,
    },
    "fills": {
        "at": TIME,
        "trade_id": TEXT,
        "order_id": TEXT,
        "symbol": TEXT,
        "side": TEXT,
        "amount": MONEY,
        "price": MONEY,
        "cost": MONEY,
        "fees": TEXT,
    },
    "decisions": {"at": TIME, "as_of": TIME, "id": TEXT, "cause": TEXT, "symbol": TEXT, "weight": NUMBER},
    "equity": {"at": TIME, "equity": MONEY, "cash": MONEY, "contributed": MONEY, "gross": NUMBER, "net": NUMBER, "drawdown": NUMBER},
    "flows": {"at": TIME, "id": TEXT, "kind": TEXT, "currency": TEXT, "amount": MONEY, "symbol": TEXT},
    "funding": {"at": TIME, "id": TEXT, "kind": TEXT, "currency": TEXT, "amount": MONEY, "symbol": TEXT},
    "trades": {
        "realised_at": TIME,
        "asset": TEXT,
        "amount": MONEY,
        "acquired_at": TIME,
        "disposed_at": TIME,
        "currency": TEXT,
        "proceeds": MONEY,
        "cost": MONEY,
        "gain": MONEY,
        "other": TEXT,
        "note": TEXT,
        "acquired": TEXT,
        "disposed": TEXT,
        "short": TEXT,
    },
}


class CannotExport(Exception):
    """A file is not written; one sentence."""


def export(journal: Path, folder: Path, names: Sequence[str], form: str) -> dict[str, int]:
    """Write these tables of a journal into a folder; the rows of each.

    Raises:
        CannotExport: a file cannot be written.
        JournalDamaged, JournalFailed: the journal cannot be read.
    """
    counted: dict[str, int] = {}

    def take(name: str, lines: Iterator[Mapping[str, object]]) -> None:
        counted[name] = written(folder / f"{name}.{form}", COLUMNS[name], lines)

    each_table(journal, tuple(name for name in TABLES if name in names), take)
    return counted


def traded(journal: Path, method: Method, *money: str) -> Disposals:
    """What each sale has earned, of all that the journal knows. `money` pays for others, as the quotes of trades do. Raises as `export`."""
    record = read(journal)
    return disposals(record.fills, record.flows, method, *money, ours=lambda fill: record.owner(fill) in record.splits)


def lines(rows: Iterable[Disposal]) -> Iterator[dict[str, object]]:
    """The rows of the trade and tax table. What is not in the currency of the row stands in `other`."""
    for row in rows:
        gain = row.gain
        currency = next(iter([*row.proceeds, *row.cost]), "")
        yield {
            "realised_at": row.realised_at,
            "asset": row.asset,
            "amount": row.amount,
            "acquired_at": row.acquired_at,
            "disposed_at": row.disposed_at,
            "currency": currency,
            "proceeds": row.proceeds.get(currency, ZERO),
            "cost": row.cost.get(currency, ZERO),
            "gain": gain.get(currency, ZERO),
            "other": " ".join(f"{amount:f} {each}" for each, amount in gain.items() if each != currency),
            "note": row.note.value,
            "acquired": row.acquired,
            "disposed": row.disposed,
            "short": "short" if row.short else "",
        }


def held(made: Disposals) -> list[dict[str, Any]]:
    """What is still held, by asset: the units, and what was paid for them, fees included."""
    found = []
    for asset, lots in made.lots().items():
        cost = sum_of(lot.cost for lot in lots)
        found.append({"asset": asset, "amount": total(lot.amount for lot in lots), "cost": cost, "since": lots[0].at})
    return found


def in_words(rows: Sequence[Disposal], made: Disposals) -> list[str]:
    """What a person wants to know first: the gains, what is still held, and what is doubtful."""
    gains = sum_of(row.gain for row in rows)
    said = [f"realised {_money(gains) or 'nothing'} in {len(rows)} rows"]
    said += [
        f"  {asset}: {_money(sum_of(row.gain for row in rows if row.asset == asset))}" for asset in sorted({row.asset for row in rows})
    ]
    said += [
        f"held {each['amount']:f} {each['asset']}, bought for {_money(each['cost']) or 'nothing that is known'}" for each in held(made)
    ]
    for note, text in _DOUBTS.items():
        doubtful = sorted({row.asset for row in rows if row.note is note})
        said += [f"note: of {', '.join(doubtful)} {text} ({note.value})"] if doubtful else []
    return said


_DOUBTS: Final = {
    Note.NEVER_BOUGHT: "more was sold than this journal has seen come; all of that counts as gain",
    Note.NO_COST: "something was sold that came without a trade, at a cost that nobody knows; all of that counts as gain",
}


def _money(amounts: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{shortest(amount):f} {currency}" for currency, amount in amounts.items())


def written(path: Path, columns: Mapping[str, str], rows: Iterable[Mapping[str, object]]) -> int:
    """Write a file of these columns; how many rows it has. CannotExport: it cannot be written."""
    put = _parquet if path.suffix == ".parquet" else _csv
    with _appearing(path) as building:
        return put(building, columns, rows)


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    building = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        building.unlink(missing_ok=True)
        building.touch(mode=0o600)
        yield building
        building.replace(path)
    except OSError as error:
        raise CannotExport(f"{path}: cannot be written ({error.strerror or 'I/O error'}); name another place") from None
    finally:
        with suppress(OSError):
            building.unlink(missing_ok=True)


def _csv(path: Path, columns: Mapping[str, str], rows: Iterable[Mapping[str, object]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_text(row[name]) for name in columns])
            count += 1
    return count


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(value)
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else value


def _parquet(path: Path, columns: Mapping[str, str], rows: Iterable[Mapping[str, object]]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    types = {MONEY: pa.string(), TEXT: pa.string(), NUMBER: pa.float64(), TIME: pa.timestamp("us", tz="UTC")}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    source, count = iter(rows), 0
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(source, BATCH)):
            arrays = [pa.array([_plain(row[name]) for row in batch], types[kind]) for name, kind in columns.items()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(batch)
    return count


def _plain(value: object) -> object:
    return f"{value:f}" if isinstance(value, Decimal) else value
