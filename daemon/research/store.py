"""Store: the bars of a market as one parquet file, longer from time to time, and never half written.

Rule: what is in the store has been checked row by row; a file that is not whole is named and left as it is, and what is written replaces
the file at one stroke or not at all.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import VOLUME, Bar, Floats, epoch_ms, from_epoch_ms
from daemon.research.bars import COLUMNS, DataError, Series, file_name, funding_name, mark_name, read, verify
from daemon.research.upkeep import rates

Times = NDArray[np.int64]

GAPS_NAMED: Final = 3

# The longest time between two settlements: a file whose first one is later than that after a moment lacks some.
INTERVAL_MAX_MS: Final = 8 * 3_600_000


@dataclass(frozen=True, slots=True)
class Gap:
    """So many bars in a row are not there, the first of which would open at `opens_at`."""

    opens_at: datetime
    bars: int

    def __str__(self) -> str:
        return f"{self.bars} from {self.opens_at:%Y-%m-%dT%H:%M:%SZ}"


class Shelf:
    """One market's file in a folder, and what is to be added to it."""

    def __init__(self, folder: Path, symbol: str, timeframe: timedelta, *, marks: bool = False) -> None:
        """Read what is there; `marks`: of a swap's mark prices, which have no volume.

        Raises:
            DataError: there is a file, and something in it is wrong.
        """
        self.path = folder / (mark_name if marks else file_name)(symbol, timeframe)
        self._columns = COLUMNS[:VOLUME] if marks else COLUMNS
        self._length_ms = timeframe // timedelta(milliseconds=1)
        known = (
            read(self.path, timeframe, self._columns) if self.path.exists() else Series(np.empty(0, np.int64), np.empty((0, len(COLUMNS))))
        )
        self._opens: Times = known.closes - self._length_ms
        self._values: Floats = known.values
        self._new: list[tuple[Times, Floats]] = []  # that wait to be put in order

    @property
    def opens(self) -> Times:
        """When the bars open, UTC ms, increasing."""
        self._sort()
        return self._opens

    @property
    def first(self) -> datetime | None:
        """When the oldest bar opens."""
        return from_epoch_ms(int(self.opens[0])) if len(self.opens) else None

    @property
    def end(self) -> datetime | None:
        """When the newest bar closes: from where on there is nothing."""
        return from_epoch_ms(int(self.opens[-1]) + self._length_ms) if len(self.opens) else None

    def add(self, bars: Sequence[Bar]) -> None:
        """Take bars in, in any order; what is there already stays as it is."""
        opens = np.array([epoch_ms(bar.closes_at) - self._length_ms for bar in bars], np.int64)
        values = np.array([(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars], np.float64)
        self.merge(opens, values.reshape(-1, len(COLUMNS)))

    def merge(self, opens: Times, values: Floats) -> None:
        """The same in columns."""
        self._new.append((opens, values))

    def _sort(self) -> None:
        new, self._new = self._new, []
        if new:
            # Of equal times the first counts, and what is there comes first.
            self._opens, kept = np.unique(np.concatenate((self._opens, *(opens for opens, _ in new))), return_index=True)
            self._values = np.concatenate((self._values, *(values for _, values in new)))[kept]

    def gaps(self) -> list[Gap]:
        """The bars that are missing between the first and the last, oldest first."""
        opens = self.opens
        steps = np.diff(opens) // self._length_ms
        return [Gap(from_epoch_ms(int(opens[row]) + self._length_ms), int(steps[row] - 1)) for row in np.flatnonzero(steps > 1).tolist()]

    def save(self) -> None:
        """Write the file anew, if there is anything new.

        Raises:
            DataError: a bar is impossible, or the file cannot be written.
        """
        if not self._new:
            return
        self._sort()
        verify(self.path, self._opens, self._values, self._length_ms)
        write(self.path, {"timestamp": self._opens, **{name: self._values[:, column] for column, name in enumerate(self._columns)}})


class RateShelf:
    """The file of a swap's funding rates in a folder, and what is to be added to it."""

    def __init__(self, folder: Path, symbol: str) -> None:
        """Read what is there.

        Raises:
            DataError: there is a file, and something in it is wrong.
        """
        self.path = folder / funding_name(symbol)
        known = rates(self.path) if self.path.exists() else None
        self._rates: dict[int, float] = {} if known is None else dict(zip(known.times.tolist(), known.rates.tolist(), strict=True))

    def next(self, since: datetime) -> datetime:
        """From when on settlements are to be asked for, so that there are all since a moment."""
        begins = bool(self._rates) and min(self._rates) - INTERVAL_MAX_MS <= epoch_ms(since)
        return from_epoch_ms(max(self._rates) + 1) if begins else since

    def add(self, settlements: Sequence[tuple[datetime, float]]) -> None:
        """Take settlements in; what is there already stays as it is."""
        self._rates = {epoch_ms(at): rate for at, rate in settlements} | self._rates

    def save(self) -> None:
        """Replace the file by what there is now.

        Raises:
            DataError: it cannot be written.
        """
        if self._rates:
            times = sorted(self._rates)
            write(self.path, {"timestamp": np.array(times, np.int64), "funding_rate": np.array([self._rates[at] for at in times])})

    def told(self) -> str:
        """What there is, in a line for a person."""
        if not self._rates:
            return f"{self.path.name}: no settlement"
        first, last = from_epoch_ms(min(self._rates)), from_epoch_ms(max(self._rates))
        return f"{self.path.name}: {len(self._rates)} settlements, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def write(path: Path, columns: dict[str, NDArray[np.int64] | Floats]) -> None:
    """Replace a parquet file by these columns, whole.

    Raises:
        DataError: it cannot be written.
    """
    from daemon.research.arrow import pa, parquet  # heavy, and only the store needs it

    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table(columns), partial, compression="zstd")
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error}); make room, or name another directory with --data") from None


def told(shelf: Shelf) -> str:
    """What there is of a market, in a line for a person."""
    if shelf.first is None or shelf.end is None:
        return f"{shelf.path.name}: no bar"
    gaps = shelf.gaps()
    named = ", ".join(map(str, gaps[:GAPS_NAMED])) + (f" and {len(gaps) - GAPS_NAMED} more" if len(gaps) > GAPS_NAMED else "")
    whole = f"{len(gaps)} gaps: {named}" if gaps else "no gaps"
    return f"{shelf.path.name}: {len(shelf.opens)} bars, {shelf.first:%Y-%m-%d %H:%M} to {shelf.end:%Y-%m-%d %H:%M} UTC, {whole}"
