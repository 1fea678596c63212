"""Recorded swaps: trades, mark prices and funding rates of the same markets.

Rule: mark and funding files lie beside those of the trades and are played on their rows; a market without them has derived marks and
generated rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.venue import recorded
from daemon.venue.recorded import RecordedRows, Recording
from daemon.venue.swap.funding import Series

NAMES: Final = "BASE_QUOTE_SETTLE"


def read(folder: Path, timeframe: str | None) -> list[Recording]:
    """The recorded trades in `folder`, or in its folder `swap`.

    Raises:
        ValueError: when there are none, or a file is not what it should be.
    """
    below = folder / "swap"
    return recorded.read(below if below.is_dir() else folder, timeframe, NAMES)


def marks(recordings: Sequence[Recording], times: NDArray[np.int64]) -> RecordedRows:
    """The mark prices of these markets, on the rows of their trades."""
    found = []
    for recording in recordings:
        path = recording.path.with_name(f"{recording.path.stem}-mark.parquet")
        none = Recording(recording.base, recording.quote, times[:0], np.empty((0, 5)), path)
        found.append(recorded.load(path) if path.exists() else none)
    return RecordedRows(found, times)


def funding(recordings: Sequence[Recording], times: NDArray[np.int64]) -> dict[int, Series]:
    """The funding rates by market; a settlement between two rows comes with the later one."""
    from pyarrow import parquet  # heavy, and only a replay needs it

    found = {}
    for index, recording in enumerate(recordings):
        path = recording.path.with_name(f"{recording.path.stem.partition('-')[0]}-funding.parquet")
        if path.exists():
            table = parquet.read_table(path, columns=["timestamp", "funding_rate"])
            moments = table.column("timestamp").to_numpy().astype(np.int64)
            within = (moments >= times[0]) & (moments <= times[-1])
            rates = table.column("funding_rate").to_numpy()[within]
            found[index] = Series(np.searchsorted(times, moments[within]).tolist(), [_exact(rate) for rate in rates.tolist()])
    return found


def _exact(rate: float) -> Decimal:
    return Decimal(round(rate * 10**8)).scaleb(-8)
