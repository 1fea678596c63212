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
        self._places = 0  # of the column that was looked at last: most have as many

    def column(self, column: int) -> tuple[Ints, int, int] | None:
        """The closes of a symbol as whole numbers of so many decimal places, and the largest of them; None: as of `rows` alone."""
        if column not in self._columns:
            known = self._columns[column] = _whole(self._closes[:, column], self._places)
            self._places = self._places if known is None else known[1]
        return self._columns[column]

    def rows(self, column: int, first: int, count: int) -> tuple[list[int], int]:
        """Closes in a row as whole numbers of so many decimal places."""
        known, part = self.column(column), slice(first, first + count)
        if known is not None:
            return known[0][part].tolist(), known[1]
        prices = [Decimal(repr(price)) for price in self._closes[part, column].tolist()]
        places = max(0, *(-int(price.as_tuple().exponent) for price in prices))
        return [int(price.scaleb(places, EXACT)) for price in prices], places


def _whole(closes: Floats, likely: int) -> tuple[Ints, int, int] | None:
    """A column as whole numbers of the fewest decimal places that all have, and the largest; None: they have too many, or too many digits.

    What is whole with so many places is with more of them, as long as there are digits for it: the search begins with what is `likely`.
    """
    known = np.where(np.isnan(closes), 0.0, closes)
    largest = known.max(initial=0.0)
    if known.min(initial=0.0) < 0:
        return None
    found, places = None, likely
    while places and largest * 10.0**places >= 10.0**DIGITS:
        places -= 1
    while 0 <= places <= PLACES_MAX and largest * 10.0**places < 10.0**DIGITS:
        scaled = np.rint(known * 10.0**places)
        if np.array_equal(scaled / 10.0**places, known):
            found, places = (scaled.astype(np.int64), places, int(scaled.max(initial=0.0))), places - 1
        elif found is not None:
            break
        else:
            places += 1
    return found


class Worths:
    """What holdings are worth at closes in a row: `sums` are whole numbers of so many decimal `places`."""

    def __init__(self, sums: Ints | list[int], places: int) -> None:
        self._sums = sums
        self._places = places
        self._floats: Floats | None = None
        self._last: tuple[int, Decimal] | None = None

    def until(self, row: int) -> tuple[Floats, Decimal]:
        """At the closes up to one of them, and exactly there."""
        if self._last is None or self._last[0] != row:
            self._last = row, self.exact(row)
        return self.floats()[: row + 1], self._last[1]

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


def worths(money: Decimal, held: Sequence[tuple[int, Decimal]], ticks: Ticks, first: int, count: int) -> Worths:
    """What money and holdings (column, units) are worth at so many closes from row `first` on."""
    cash, fewest = _digits(money)
    places, parts = fewest, []
    for column, amount in held:
        units, digits = _digits(amount)
        known = ticks.column(column)
        digits += known[1] if known is not None else ticks.rows(column, first, count)[1]
        parts.append((units, digits, known))
        if digits > places:
            places = digits
    worth = most = cash * 10 ** (places - fewest)
    factors, fits = [], worth >= 0
    for units, digits, known in parts:
        factor = units * 10 ** (places - digits)
        factors.append(factor)
        if known is None or factor < 0:
            fits = False
        else:
            most += factor * known[2]
    if not fits or most >= _WORD:
        prices = [
            known[0][first : first + count].tolist() if known is not None else ticks.rows(column, first, count)[0]
            for (*_, known), (column, _) in zip(parts, held, strict=True)
        ]
        return _long(worth, factors, prices, count, places)
    sums = np.full(count, worth, np.int64)
    for factor, (_, _, known) in zip(factors, parts, strict=True):
        if known is not None:
            sums += factor * known[0][first : first + count]
    return Worths(sums, places)


def _long(worth: int, factors: Sequence[int], prices: Sequence[Sequence[int]], count: int, places: int) -> Worths:
    """The same where the numbers are too long for a word."""
    sums = [worth] * count
    for factor, each in zip(factors, prices, strict=True):
        sums = [worth + factor * price for worth, price in zip(sums, each, strict=True)]
    return Worths(sums, places)


def _digits(amount: Decimal) -> tuple[int, int]:
    """An amount as a whole number of so many decimal places."""
    places = max(0, -int(amount.as_tuple().exponent))
    return int(amount.scaleb(places, EXACT)), places
