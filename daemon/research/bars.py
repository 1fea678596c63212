"""Stored bars: parquet files, one a market, checked row by row before anything is computed from them.

Rule: nothing is repaired, filled or left out in silence. What no market can have printed, or no download should have left, is an error
that names the file and the row; a bar that is missing is missing, as it would be live.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import HIGH, LOW, VOLUME, ZERO, Bools, Floats, Instrument, Slice, currencies, epoch_ms, from_epoch_ms
from daemon.research.panels import ROWS, Block, blocks

COLUMNS: Final = ("open", "high", "low", "close", "volume")  # in the order of a slice's panel
UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
MARKETS_FILE: Final = "markets.json"

# A market without rules still has a grid, finer than any venue's: amounts to 12 decimals, prices to 18.
NO_AMOUNT_STEP: Final = Decimal("1e-12")
NO_PRICE_TICK: Final = Decimal("1e-18")

Times = NDArray[np.int64]


class DataError(Exception):
    """Stored data cannot be used; one sentence that names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The bars of one symbol.

    `closes` int64 (bars,) are their close times in UTC ms, increasing; `values` float64 (bars, 5) their open, high, low, close (quote
    per base) and volume (base units).
    """

    closes: Times
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """The bars of a universe, by symbol in the order of every row."""

    symbols: tuple[str, ...]
    timeframe: timedelta
    series: Mapping[str, Series]

    @property
    def symbol_bars(self) -> int:
        """How many bars there are, of all symbols together."""
        return sum(len(each.closes) for each in self.series.values())

    def until(self, end: datetime | None) -> "Bars":
        """What of them has closed until a moment (None: all)."""
        return Bars(self.symbols, self.timeframe, {symbol: _between(each, None, end) for symbol, each in self.series.items()})

    def blocks(self, rows: int = ROWS) -> Iterator[Block]:
        """The cross-sections in order of time, as an Aligner would have made them, so many at once."""
        each = [self.series[symbol] for symbol in self.symbols]
        return blocks([one.closes for one in each], [one.values for one in each], self.symbols, rows)

    def slices(self) -> Iterator[Slice]:
        """The same, one by one."""
        return (block.slice(row) for block in self.blocks() for row in range(len(block)))


def load(folder: Path, symbols: Sequence[str], timeframe: timedelta, start: datetime | None = None, end: datetime | None = None) -> Bars:
    """The bars of these symbols (in order of symbol) that close at or after `start` and not after `end`.

    Files are `BASE_QUOTE-TIMEFRAME.parquet` (swaps: `BASE_QUOTE_SETTLE-...`) in `folder` or `folder`/swap.

    Raises:
        DataError: a file is missing or unreadable, a row of it is impossible, or no bar is left.
    """
    series = {symbol: _between(read(_find(folder, symbol, timeframe), timeframe), start, end) for symbol in sorted(symbols)}
    if not any(len(each.closes) for each in series.values()):
        raise DataError(f"{folder}: no bar of {', '.join(sorted(symbols))} lies between {start or 'the first'} and {end or 'the last'}")
    return Bars(tuple(series), timeframe, series)


def markets(folder: Path, symbols: Sequence[str]) -> tuple[dict[str, Instrument], tuple[str, ...]]:
    """The rules of these symbols from `markets.json` in `folder`, and the symbols that it does not have: theirs is no grid to speak of.

    Raises:
        DataError: the file is there and cannot be understood.
    """
    path = folder / MARKETS_FILE
    stated = _stated(path) if path.exists() else {}
    found = {symbol: _instrument(path, symbol, stated.get(symbol, {})) for symbol in sorted(symbols)}
    return found, tuple(symbol for symbol in found if symbol not in stated)


def _stated(path: Path) -> Mapping[str, Any]:
    try:
        stated = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if not isinstance(stated, dict) or not all(isinstance(rules, dict) for rules in stated.values()):
        raise DataError(f"{path} must be {{SYMBOL: {{amount_step, price_tick, amount_min, notional_min}}}}")
    return stated


def _instrument(path: Path, symbol: str, rules: Mapping[str, Any]) -> Instrument:
    base, quote = currencies(symbol)

    def rule(name: str, otherwise: Decimal) -> Decimal:
        return otherwise if rules.get(name) is None else Decimal(str(rules[name]))

    try:
        return Instrument(
            symbol=symbol,
            base=base,
            quote=quote,
            amount_step=rule("amount_step", NO_AMOUNT_STEP),
            price_tick=rule("price_tick", NO_PRICE_TICK),
            amount_min=rule("amount_min", ZERO),
            notional_min=rule("notional_min", ZERO),
        )
    except (InvalidOperation, ValueError) as error:
        raise DataError(f"{path}: the rules of {symbol} make no sense: {error}") from None


def _names(timeframe: timedelta) -> Iterator[str]:
    """How a bar length may be spelt, the usual way first: 1h, 60m, 3600s."""
    seconds = timeframe // timedelta(seconds=1)
    return (f"{seconds // length}{unit}" for unit, length in UNITS if seconds % length == 0)


def file_name(symbol: str, timeframe: timedelta) -> str:
    """How the file of a market is called, the length of its bars spelt the usual way."""
    return f"{_stem(symbol)}-{next(_names(timeframe))}.parquet"


def mark_name(symbol: str, timeframe: timedelta) -> str:
    """How the file of a swap's mark prices is called."""
    return f"{_stem(symbol)}-{next(_names(timeframe))}-mark.parquet"


def funding_name(symbol: str) -> str:
    """How the file of a swap's funding rates is called."""
    return f"{_stem(symbol)}-funding.parquet"


def _stem(symbol: str) -> str:
    return symbol.replace("/", "_").replace(":", "_")


def found(folder: Path, names: Sequence[str]) -> Path | None:
    """The first file of one of these names, in a folder or in the folder `swap` of it."""
    return next((place / name for place in (folder, folder / "swap") for name in names if (place / name).is_file()), None)


def _find(folder: Path, symbol: str, timeframe: timedelta) -> Path:
    wanted = [f"{_stem(symbol)}-{name}.parquet" for name in _names(timeframe)]
    if not folder.is_dir():
        raise DataError(f"{folder} is not a directory; name the one that has {wanted[0]} by --data")
    path = found(folder, wanted)
    if path is None:
        raise DataError(
            f"{folder}: there is no {wanted[0]}, and {symbol} needs it; `rebalanced download` fetches it, or --data names where it is"
        )
    return path


def read(path: Path, timeframe: timedelta, columns: Sequence[str] = COLUMNS) -> Series:
    """All bars of a file; without a column for the volume it is 0.

    Raises:
        DataError: it cannot be read, or a row of it is impossible.
    """
    opens, values = columns_of(path, columns)
    values = np.column_stack([values, np.zeros((len(opens), len(COLUMNS) - len(columns)))])
    verify(path, opens, values, timeframe // timedelta(milliseconds=1))
    return Series(opens + timeframe // timedelta(milliseconds=1), values)


def columns_of(path: Path, columns: Sequence[str]) -> tuple[Times, Floats]:
    """The timestamps of a file, and some of its columns, float64 (rows, columns).

    Raises:
        DataError: it cannot be read, a column is missing, or a cell is empty.
    """
    from daemon.research.arrow import pa, parquet  # heavy, and only stored bars need it

    try:
        with parquet.ParquetFile(path) as file:  # `read_table` would load what reads whole folders
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}") from None
    if any(column.null_count for column in table.itercolumns()):
        raise DataError(f"{path} has empty cells; a row has all its values, or is left out")
    missing = [name for name in ("timestamp", *columns) if name not in table.column_names]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; it needs timestamp, {', '.join(columns)}")
    if not pa.types.is_integer(table.schema.field("timestamp").type):
        raise DataError(f"{path}: timestamp must be whole UTC milliseconds (int64), not {table.schema.field('timestamp').type}")
    opens = table.column("timestamp").to_numpy().astype(np.int64)
    return opens, np.column_stack([table.column(name).to_numpy().astype(np.float64) for name in columns])


def verify(path: Path, opens: Times, values: Floats, length_ms: int, *, first_row: int = 0) -> None:
    """Every rule of a Bar, and order and grid of the whole, over columns. `first_row` is the number by which the file knows the first.

    Raises:
        DataError: the first row that breaks one.
    """
    prices = values[:, :VOLUME]
    finite = np.isfinite(prices) & (prices > 0)
    rules: list[tuple[str, Bools]] = [
        ("does not come after the row before it", np.diff(opens, prepend=opens[:1] - 1) > 0),
        (f"does not lie on the grid of {length_ms / 1000:g} s", opens % length_ms == 0),
        ("has a price that is not finite and positive", np.logical_and.reduce(finite, axis=1)),
        ("has a volume that is not finite and at least 0", np.isfinite(values[:, VOLUME]) & (values[:, VOLUME] >= 0)),
        ("has a high below another of its prices", prices[:, HIGH] >= prices.max(axis=1)),
        ("has a low above another of its prices", prices[:, LOW] <= prices.min(axis=1)),
    ]
    for what, kept in rules:
        if not kept.all():
            row = int(np.argmin(kept))
            raise DataError(
                f"{path}: {'line' if first_row else 'row'} {row + first_row} ({from_epoch_ms(int(opens[row])):%Y-%m-%dT%H:%M:%SZ}) {what}"
            )


def _between(series: Series, start: datetime | None, end: datetime | None) -> Series:
    first = 0 if start is None else int(np.searchsorted(series.closes, epoch_ms(start)))
    last = len(series.closes) if end is None else int(np.searchsorted(series.closes, epoch_ms(end), side="right"))
    return Series(series.closes[first:last], series.values[first:last])
