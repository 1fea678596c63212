"""Candle intervals of the protocol and their calendar.

Rule: all times are UTC milliseconds; an interval's candles open at the multiples Binance uses (weeks on Monday, months on the 1st).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
MONDAY: Final = 4 * DAY  # the epoch was a Thursday; weeks open on Monday

# Milliseconds of each interval; a month's is nominal, its candles follow the calendar.
INTERVALS: Final[dict[str, int]] = {
    "1s": SECOND,
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "4h": 4 * HOUR,
    "6h": 6 * HOUR,
    "8h": 8 * HOUR,
    "12h": 12 * HOUR,
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": WEEK,
    "1M": 31 * DAY,
}


def opened(interval: str, at: int) -> int:
    """Open time in ms of the candle that contains `at` (ms)."""
    if interval == "1M":
        month = datetime.fromtimestamp(at / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return int(month.timestamp()) * 1000
    offset = MONDAY if interval == "1w" else 0
    return (at - offset) // INTERVALS[interval] * INTERVALS[interval] + offset


def following(interval: str, open_ms: int) -> int:
    """Open time in ms of the candle after the one opened at `open_ms`."""
    if interval == "1M":
        return opened(interval, open_ms + 32 * DAY)
    return open_ms + INTERVALS[interval]


def opened_all(interval: str, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """`opened` of many times at once; int64 ms in, int64 ms out, same shape."""
    if interval == "1M":
        return at.astype("datetime64[ms]").astype("datetime64[M]").astype("datetime64[ms]").astype(np.int64)
    offset = MONDAY if interval == "1w" else 0
    return (at - offset) // INTERVALS[interval] * INTERVALS[interval] + offset


def divides(base: str, interval: str) -> bool:
    """Whether candles of `interval` can be made of whole candles of `base`."""
    if interval not in INTERVALS:
        return False
    if interval == base:
        return True
    if interval in ("1w", "1M"):
        return INTERVALS[base] <= DAY and DAY % INTERVALS[base] == 0
    return INTERVALS[interval] % INTERVALS[base] == 0
