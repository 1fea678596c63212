"""Ticks: closes as whole numbers of a decimal place, and what holdings are worth at them, exactly.

Rule: a price is the decimal that its float is written like. What is worth how much is reckoned in integers, to the last digit; a float is
made of the sum, once, correctly rounded.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import EXACT, Floats

# Of decimals with so many digits no two are the same float, and every one is written as it is meant.
DIGITS: Final = 15
PLACES_MAX: Final = 12

Ints = NDArray[np.int64]


# Sums below these are exact in a word, and in a float.
_WORD: Final = 2**63
_FLOAT: Final = 2**53


class Ticks:
    """The closes of a block (times, symbols); a column is looked at when it is asked for."""

    def __init__(self, closes: Floats) -> None:
        self._closes = closes
        self._columns: dict[int, tuple[Ints, int, int] | None] = {}

    def column(self, column: int) -> tuple[Ints, int, int] | None:
        """The closes of a symbol as whole numbers of so many decimal places, and the largest of them; None: as of `rows` alone."""
        if column not in self._columns:
            self._columns[column] = _whole(self._closes[:, column])
        return self._columns[column]

    def rows(self, column: int, first: int, count: int) -> tuple[list[int], int]:
        """Closes in a row as whole numbers of so many decimal places."""
        known, part = self.column(column), slice(first, first + count)
        if known is not None:
            return known[0][part].tolist(), known[1]
        prices = [Decimal(repr(price)) for price in self._closes[part, column].tolist()]
        places = max(0, *(-int(price.as_tuple().exponent) for price in prices))
        return [int(price.scaleb(places, EXACT)) for price in prices], places


def _whole(closes: Floats) -> tuple[Ints, int, int] | None:
    """A column as whole numbers of the fewest decimal places that all have; None: they have too many, or too many digits."""
    known = np.where(np.isnan(closes), 0.0, closes)
    for places in range(PLACES_MAX + 1):
        scaled = np.rint(known * 10.0**places)
        most = scaled.max(initial=0.0)
        if most >= 10.0**DIGITS or scaled.min(initial=0.0) < 0:
            return None
        if np.array_equal(scaled / 10.0**places, known):
            return scaled.astype(np.int64), places, int(most)
    return None


class Worths:
    """What holdings are worth at closes in a row: `sums` are whole numbers of so many decimal `places`."""

    def __init__(self, sums: Ints | list[int], places: int) -> None:
        self._sums = sums
        self._places = places
        self._floats: Floats | None = None

    def floats(self) -> Floats:
        """At each of the closes, each rounded once."""
        if self._floats is None:
            whole = 10**self._places
            if isinstance(self._sums, np.ndarray) and whole < _FLOAT and int(self._sums.max(initial=0)) < _FLOAT:
                self._floats = self._sums / float(whole)
                return self._floats
            try:
                self._floats = np.array([money / whole for money in self._listed()])
            except OverflowError:  # beyond any float
                self._floats = np.array([float(self.exact(row)) for row in range(len(self._sums))])
        return self._floats

    def exact(self, row: int) -> Decimal:
        """At one of them, to the last digit."""
        return Decimal(int(self._sums[row])).scaleb(-self._places, EXACT)

    def _listed(self) -> list[int]:
        return self._sums.tolist() if isinstance(self._sums, np.ndarray) else self._sums


def worths(money: Decimal, held: Sequence[tuple[Decimal, int]], ticks: Ticks, first: int, count: int) -> Worths:
    """What money and holdings (units, column) are worth at so many closes from row `first` on."""
    cash, fewest = _digits(money)
    places, parts = fewest, []
    for amount, column in held:
        known = ticks.column(column)
        if known is None:
            return _long(money, held, ticks, first, count)
        units, digits = _digits(amount)
        closes, more, largest = known
        digits += more
        places = max(places, digits)
        parts.append((units, digits, closes, largest))
    worth = room = cash * 10 ** (places - fewest)
    factors = [units * 10 ** (places - digits) for units, digits, *_ in parts]
    for factor, (*_, largest) in zip(factors, parts, strict=True):
        room += factor * largest
    if worth < 0 or room >= _WORD or min(factors, default=0) < 0:
        return _long(money, held, ticks, first, count)
    sums = np.full(count, worth, np.int64)
    for factor, (_, _, closes, _) in zip(factors, parts, strict=True):
        sums += factor * closes[first : first + count]
    return Worths(sums, places)


def _long(money: Decimal, held: Sequence[tuple[Decimal, int]], ticks: Ticks, first: int, count: int) -> Worths:
    """The same where the numbers are too long for a word."""
    cash, places = _digits(money)
    sums = [cash] * count
    for amount, column in held:
        (prices, more), (units, digits) = ticks.rows(column, first, count), _digits(amount)
        scale, places = 10 ** max(0, more + digits - places), max(places, more + digits)
        units *= 10 ** (places - more - digits)
        sums = [worth * scale + units * price for worth, price in zip(sums, prices, strict=True)]
    return Worths(sums, places)


def _digits(amount: Decimal) -> tuple[int, int]:
    """An amount as a whole number of so many decimal places."""
    places = max(0, -int(amount.as_tuple().exponent))
    return int(amount.scaleb(places, EXACT)), places
