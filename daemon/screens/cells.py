"""Cells: values of the API's answers as a person reads them in a terminal, and the tables they stand in.

Rule: whatever the daemon says is text, never markup, and nothing in it may command the terminal. A value that is not there is empty.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_MEASURES: Final = ("return", "vol", "drawdown", "profit", "adds", "risk", "costs", "share", "number", "correlation")
_OF_PAIRS: Final = ("beta", "half-life", "t", "shift")
_TIMES: Final = ("took ms", "at ms")
NUMBERS: Final = frozenset(
    {"amount", "filled", "price", "value", "weight", "wanted", "target", "off target", "fees", *_MEASURES, *_OF_PAIRS, *_TIMES}
)
WHOLE: Final = frozenset({"symbol", "at", "as_of"})  # as numbers, worse than useless when broken over lines
WIDE: Final = 10_000  # columns of a terminal on which everything fits


def terminal() -> Console:
    """Where a person reads. What goes into a pipe or a file is not cut to a width that nobody has."""
    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=WIDE)


# --- tables ----------------------------------------------------------------------------------------------------------


class Listing:
    """A table with these headings, columns of numbers to the right. It is cut to the terminal's width by leaving columns out.

    `spare` are those that may be left out, in this order, until the rest fits; a line below says which they are. One of them in which
    nothing stands, such as the account where there is one, is left out without a word.
    """

    def __init__(self, columns: Iterable[str], rows: Iterable[Sequence[str]] = (), spare: Sequence[str] = ()) -> None:
        self._columns = list(columns)
        self._rows: list[Sequence[str]] = list(rows)
        self._spare = [name for name in spare if name in self._columns]

    def add(self, *texts: str) -> None:
        """One more row; cells at its end may be left out."""
        self._rows.append(texts)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As many columns as there is room for."""
        empty = [name for name in self._spare if not any(self._told(name))]
        spare = [name for name in self._spare if name not in empty]
        out = next((n for n in range(len(spare)) if self.fits(console, options, (*empty, *spare[:n]))), len(spare))
        yield self._made((*empty, *spare[:out]))
        if out:
            names = ", ".join(name.replace("_", " ") for name in spare[:out])
            shows = "a wider terminal" if console.is_alt_screen else "a wider terminal or --json"  # what is live has no --json
            yield Text(f"no room for: {names}; {shows} shows it", style="dim")

    def _told(self, name: str) -> Iterator[str]:
        """What stands in a column."""
        place = self._columns.index(name)
        return (row[place] for row in self._rows if place < len(row))

    def fits(self, console: Console, options: ConsoleOptions, without: Sequence[str] = ()) -> bool:
        """Whether nothing of it need be wrapped or cut."""
        return Measurement.get(console, options.update(max_width=WIDE), self._made(without)).maximum <= options.max_width

    def _made(self, without: Sequence[str]) -> Table:
        made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
        kept = [place for place, name in enumerate(self._columns) if name not in without]
        for name in (self._columns[place] for place in kept):
            right = name in NUMBERS
            whole = right or name in WHOLE
            made.add_column(name.replace("_", " "), justify="right" if right else "left", no_wrap=whole, overflow="fold")
        for row in self._rows:
            made.add_row(
                *(Text(tame(row[place])) for place in kept if place < len(row))
            )  # Text: a symbol or a venue's sentence may hold markup
        return made


def tame(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def pair(label: str, value: str) -> tuple[Text, Text]:
    """A label and its value, for a grid."""
    return Text(label, style="dim"), Text(value)


# --- values ----------------------------------------------------------------------------------------------------------


def number(value: object) -> Decimal | None:
    """The finite number that is meant, None where there is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def cell(value: object) -> str:
    """Whatever it is: text as it is, a mapping as shares by name."""
    if isinstance(value, Mapping):
        return "  ".join(f"{key} {percent(number(item))}" for key, item in value.items())
    return "" if value is None else str(value)


def fees(value: object) -> str:
    """What was paid, by currency; a fill of one trade has one fee almost always."""
    paid = value if isinstance(value, list) else []
    return " + ".join(f"{fee.get('amount')} {fee.get('currency')}" for fee in paid if isinstance(fee, Mapping))


def money(value: object) -> str:
    """Quote with two decimals."""
    found = number(value)
    return "" if found is None else f"{found:,.2f}"


def short(value: object, digits: int = 6) -> str:
    """A measure with so many significant digits."""
    found = number(value)
    return "" if found is None else f"{float(found):.{digits}g}"


def weight(value: object) -> str:
    """A share, in percent."""
    return percent(number(value))


def percent(value: Decimal | None, *, signed: bool = False) -> str:
    """A share, in percent with two decimals."""
    if value is None:
        return ""
    return f"{100 * value:+.2f}%" if signed else f"{100 * value:.2f}%"


def parsed(value: object) -> datetime | None:
    """The moment that is meant; None where it is none, or has no time zone."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else None


def moment(value: object) -> str:
    """A moment to the second, UTC as the daemon writes it."""
    found = parsed(value)
    return f"{found:%Y-%m-%d %H:%M:%S}" if found else cell(value)


def age(value: object, now: datetime) -> str:
    """How long ago."""
    found = parsed(value)
    return f"{duration(now - found)} ago" if found else "never"


def duration(length: timedelta) -> str:
    """The two largest units: 3 d 4 h, 5 min 2 s, 0 s."""
    seconds = max(0, int(length.total_seconds()))
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])
