"""Market data: bars and the cross-sections that they make.

Rule: every value here is immutable and checks itself. Prices are quote per base, volumes base units, all float64; times are aware UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from math import isfinite

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Bar:
    """One closed candle of one symbol. Prices are quote per base, volume is in base units; `closes_at` is its open plus the timeframe."""

    symbol: str
    closes_at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    synthetic: bool = False

    def __post_init__(self) -> None:
        """Refuse what no market can have printed (faults: NaN, zero and negative prices, crossed extremes)."""
        prices = (self.open, self.high, self.low, self.close)
        if not all(isfinite(p) and p > 0 for p in prices) or not (isfinite(self.volume) and self.volume >= 0):
            raise ValueError(f"{self.symbol}: a bar needs finite positive prices and a volume of at least 0, got {prices}, {self.volume}")
        if self.high < max(prices) or self.low > min(prices):
            raise ValueError(f"{self.symbol}: high {self.high} and low {self.low} do not enclose {prices}")


# Rows of a slice's panel.
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """The cross-section: the bars of one close time.

    `panel` is float64 (5, symbols): open, high, low, close, volume; NaN where a symbol has had no bar yet.
    `synthetic` is bool (symbols,): True where the bar was made from the last close because none arrived.
    `age` is int64 (symbols,): slices since the last real bar, 0 when it is in this slice.
    `suspect` is bool (symbols,): True where the price waits for confirmation; None: nowhere.
    `members` is bool (symbols,): True where the symbol is in the universe as it stands; None: everywhere.
    """

    closes_at: datetime
    symbols: tuple[str, ...]
    panel: Floats
    synthetic: Bools
    age: NDArray[np.int64]
    suspect: Bools | None = None
    members: Bools | None = None

    @property
    def real(self) -> Bools:
        """Where this slice has a bar of the venue's own that may move money, bool (symbols,)."""
        there: Bools = self.age == 0
        return there if self.suspect is None else there & ~self.suspect

    @property
    def close(self) -> Floats:
        """Closing prices (symbols,)."""
        row: Floats = self.panel[CLOSE]
        return row

    @property
    def inside(self) -> Bools:
        """Where a symbol is in the universe, bool (symbols,)."""
        return np.ones(len(self.symbols), np.bool_) if self.members is None else self.members

    @property
    def whole(self) -> bool:
        """Whether every symbol is in the universe and has a bar that may move money: in most slices."""
        return self.members is None and self.suspect is None and not np.count_nonzero(self.age)

    @property
    def coverage(self) -> float:
        """Share of the universe that has a real bar in this slice, and one that can be believed; 0 of an empty one."""
        if self.symbols and self.whole:
            return 1.0
        inside = self.inside
        return float(np.count_nonzero(self.real & inside)) / max(1, int(np.count_nonzero(inside)))

    def prices(self) -> dict[str, float]:
        """Last close by symbol, without the symbols that never had a bar."""
        return {s: float(p) for s, p in zip(self.symbols, self.close, strict=True) if p == p}
