"""CSV: bars that somebody else has exported, into the store.

Rule: a line that is no bar is named with its file and number, and then nothing of the file is taken.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from daemon.core.model import epoch_ms
from daemon.research.bars import COLUMNS, DataError, file_name, verify
from daemon.research.store import Shelf

HEADER = ("timestamp", *COLUMNS)


def take(folder: Path, shelf: Shelf, symbol: str, timeframe: timedelta) -> None:
    """Add the bars of `folder`/BASE_QUOTE-TIMEFRAME.csv to a market of the store. Its first line names the columns, in any order.

    `timestamp` is when a bar opens: milliseconds since 1970 UTC, or ISO 8601 (UTC where no zone is named).

    Raises:
        DataError: there is no such file, or a line of it is no bar.
    """
    path = folder / Path(file_name(symbol, timeframe)).with_suffix(".csv")
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(_rows(path, csv.DictReader(lines)))
    except FileNotFoundError:
        raise DataError(f"there is no {path}, and {symbol} needs it; its first line is {','.join(HEADER)}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    opens = np.array([row[0] for row in rows], np.int64)
    values = np.array([row[1:] for row in rows], np.float64).reshape(-1, len(COLUMNS))
    verify(path, opens, values, timeframe // timedelta(milliseconds=1), first_row=2)
    shelf.merge(opens, values)


def _rows(path: Path, lines: "csv.DictReader[str]") -> Iterator[tuple[float, ...]]:
    missing = [name for name in HEADER if name not in (lines.fieldnames or ())]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; its first line must name {', '.join(HEADER)}")
    for line in lines:
        try:
            yield (_moment(line["timestamp"]), *(float(line[name]) for name in COLUMNS))
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{path}: line {lines.line_num} is no bar: {','.join(str(value) for value in line.values())}") from None


def _moment(text: str) -> int:
    if text.strip().lstrip("-").isdigit():
        return int(text)
    moment = datetime.fromisoformat(text.strip())
    return epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
