"""Recorded prices: parquet files played one row per live bar.

Rule: rows of different files that have the same timestamp are played at the same time; a market without a row then has no live bar.
Times at which no file has a row do not exist. After the last row the recording plays backwards, then forwards again, and so on
(a row played backwards opens at its close and closes at its open): prices go on without a jump and never leave the recorded range,
however long the venue runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.venue.intervals import INTERVALS
from daemon.venue.markets import DECIMALS, Market, market
from daemon.venue.rows import COLUMNS, Row, Table, as_row

SPOT = "BASE_QUOTE"
BACKWARDS = [3, 1, 2, 0, 4]  # columns of a row played in reverse


@dataclass(frozen=True, slots=True)
class Recording:
    """One file: times in UTC ms of the bars' opens, strictly increasing; values float64 (rows, 5)."""

    base: str
    quote: str
    times: NDArray[np.int64]
    values: Table
    path: Path


class RecordedRows:
    """The recordings, joined by time; market `i` is the i-th recording. `times`: those of other recordings, beside which these run."""

    def __init__(self, recordings: Sequence[Recording], times: NDArray[np.int64] | None = None) -> None:
        self.times = np.unique(np.concatenate([r.times for r in recordings])) if times is None else times
        self.length = len(self.times)
        self.values = np.full((len(recordings), self.length, 5), np.nan)
        for values, recording in zip(self.values, recordings, strict=True):
            known = np.isin(recording.times, self.times)
            values[np.searchsorted(self.times, recording.times[known])] = recording.values[known]

    def row(self, market: int, index: int) -> Row | None:
        """See `Rows.row`."""
        lap, place = divmod(index, self.length)
        if lap % 2 == 0:
            return as_row(self.values[market, place].tolist())
        return as_row(self.values[market, self.length - 1 - place, BACKWARDS].tolist())

    def table(self, market: int, start: int, stop: int) -> Table:
        """See `Rows.table`."""
        laps, places = np.divmod(np.arange(start, stop), self.length)
        back = laps % 2 == 1
        rows: Table = self.values[market, np.where(back, self.length - 1 - places, places)]
        rows[back] = rows[back][:, BACKWARDS]
        return rows


def read(folder: Path, timeframe: str | None, names: str = SPOT) -> list[Recording]:
    """The recordings of one timeframe in `folder`, sorted by name; without a timeframe 1h, else the one with most files.

    Raises:
        ValueError: when there is none, or a file is not what it should be.
    """
    files = _files(folder, names)
    if not files:
        raise ValueError(f"venue: no {names}-TIMEFRAME.parquet in {folder}")
    counts = Counter(name for name, _ in files)
    chosen = timeframe or ("1h" if "1h" in counts else max(counts, key=lambda name: (counts[name], name)))
    if chosen not in counts:
        raise ValueError(f"venue: no {chosen} files in {folder}, only {' '.join(sorted(counts))}")
    return [load(path) for name, path in files if name == chosen]


def _files(folder: Path, names: str) -> list[tuple[str, Path]]:
    """(timeframe, path) of every file whose name has as many parts; what is behind a swap's timeframe (mark) is no timeframe."""
    found = []
    for path in sorted(folder.glob("*.parquet")):
        symbol, _, timeframe = path.stem.partition("-")
        if symbol.count("_") == names.count("_") and timeframe in INTERVALS:
            found.append((timeframe, path))
    return found


def load(path: Path) -> Recording:
    """One file; without a volume there it is 0.

    Raises:
        ValueError: when it is not what it should be.
    """
    from pyarrow import parquet  # heavy, and only a replay needs it

    table = parquet.read_table(path)
    times = table.column("timestamp").to_numpy().astype(np.int64)
    rows = np.zeros((len(times), len(COLUMNS)))
    for place, name in enumerate(COLUMNS):
        if name != "volume" or name in table.schema.names:
            rows[:, place] = table.column(name).to_numpy()
    if not len(times) or np.any(np.diff(times) <= 0) or not np.all(rows[:, :4] > 0):
        raise ValueError(f"venue: {path} is empty, out of order, or has prices that are not positive")
    base, quote, *_ = path.stem.partition("-")[0].split("_")
    return Recording(base, quote, times, rows, path)


def decimals(values: NDArray[np.float64]) -> int:
    """How many decimals the values use, at most eight."""
    for places in range(DECIMALS):
        scaled = values * 10.0**places
        if np.all(np.abs(scaled - np.round(scaled)) < 1e-6 * np.maximum(1.0, np.abs(scaled) * 1e-6)):
            return places
    return DECIMALS


def markets(recordings: Sequence[Recording]) -> list[Market]:
    """The markets of the recordings; their price grid is the coarsest that holds every recorded price exactly."""
    found = []
    for index, recording in enumerate(recordings):
        prices = recording.values[:, :4]
        found.append(market(index, recording.base, recording.quote, float(np.median(prices)), max(decimals(prices), 2)))
    return found
