"""Ticks: closes as whole numbers of a decimal place, and what holdings are worth at them, exactly.

Rule: a price is the decimal that its float is written like. What is worth how much is reckoned in integers, to the last digit; a float is
made of the sum, once, correctly rounded.
"""

from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import EXACT, Floats

# Of decimals with so many digits no two are the same float, and every one is written as it is meant.
DIGITS: Final = 15
PLACES_MAX: Final = 12

Ints = NDArray[np.int64]


class Ticks:
    """The closes of a block (times, symbols); a column is looked at when it is asked for."""

    def __init__(self, closes: Floats) -> None:
        self._closes = closes
        self._columns: dict[int, tuple[Ints, int] | None] = {}

    def rows(self, column: int, first: int, count: int) -> tuple[list[int], int]:
        """Closes in a row as whole numbers of so many decimal places."""
        if column not in self._columns:
            self._columns[column] = _whole(self._closes[:, column])
        known = self._columns[column]
        part = slice(first, first + count)
        if known is not None:
            return known[0][part].tolist(), known[1]
        prices = [Decimal(repr(price)) for price in self._closes[part, column].tolist()]
        places = max(0, *(-int(price.as_tuple().exponent) for price in prices))
        return [int(price.scaleb(places, EXACT)) for price in prices], places


def _whole(closes: Floats) -> tuple[Ints, int] | None:
    """A column as whole numbers of the fewest decimal places that all have; None: they have too many, or too many digits."""
    known = np.where(np.isnan(closes), 0.0, closes)
    for places in range(PLACES_MAX + 1):
        scaled = np.rint(known * 10.0**places)
        if scaled.max(initial=0.0) >= 10.0**DIGITS:
            return None
        if np.array_equal(scaled / 10.0**places, known):
            return scaled.astype(np.int64), places
    return None


class Worths:
    """What holdings are worth at closes in a row."""

    def __init__(self, money: Decimal, count: int) -> None:
        self._places = max(0, -int(money.as_tuple().exponent))
        self._sums = [int(money.scaleb(self._places, EXACT))] * count
        self._floats: Floats | None = None

    def add(self, amount: Decimal, ticks: Ticks, column: int, first: int) -> None:
        """So many units of a symbol, at its closes from row `first` on."""
        prices, places = ticks.rows(column, first, len(self._sums))
        digits = max(0, -int(amount.as_tuple().exponent))
        units, more = int(amount.scaleb(digits, EXACT)), places + digits - self._places
        if more > 0:
            scale, self._places = 10**more, places + digits
            self._sums = [money * scale + units * price for money, price in zip(self._sums, prices, strict=True)]
        else:
            units *= 10**-more
            self._sums = [money + units * price for money, price in zip(self._sums, prices, strict=True)]

    def floats(self) -> Floats:
        """At each of the closes, each rounded once."""
        if self._floats is None:
            whole = 10**self._places
            try:
                self._floats = np.array([money / whole for money in self._sums])
            except OverflowError:  # beyond any float
                self._floats = np.array([float(self.exact(row)) for row in range(len(self._sums))])
        return self._floats

    def exact(self, row: int) -> Decimal:
        """At one of them, to the last digit."""
        return Decimal(self._sums[row]).scaleb(-self._places, EXACT)
