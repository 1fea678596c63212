"""A request's parameters, read with Binance's checks.

Rule: every parameter is text until it was read here; what is wrong with it becomes Binance's refusal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar

from daemon.venue.errors import VenueError, illegal, mandatory, too_precise
from daemon.venue.money import UNIT, multiple

SYMBOL: Final = r"^[A-Z0-9-_.]{1,20}$"
NUMBER: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER: Final = r"^[0-9]{1,20}$"

T = TypeVar("T", bound=str)


class Params:
    """Parameters by name."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def names(self) -> set[str]:
        """Names of the parameters sent."""
        return set(self._values)

    def text(self, name: str, pattern: str | None = None) -> str:
        """A parameter that must be there."""
        value = self._values.get(name, "")
        if not value:
            raise mandatory(name)
        if pattern is not None and not re.match(pattern, value):
            raise illegal(name, pattern)
        return value

    def maybe(self, name: str, pattern: str | None = None) -> str | None:
        """A parameter that may be left out."""
        return self.text(name, pattern) if name in self._values else None

    def choice(self, name: str, choices: tuple[T, ...], refusal: VenueError, default: T | None = None) -> T:
        """One of a few words; `refusal` answers any other."""
        if name not in self._values and default is not None:
            return default
        value = self.text(name)
        if value not in choices:
            raise refusal
        return value

    def integer(self, name: str) -> int | None:
        """A whole number, None if left out."""
        value = self.maybe(name, INTEGER)
        return None if value is None else int(value)

    def limit(self, default: int, largest: int) -> int:
        """The `limit` of a list: `default` if left out, cut to `largest` like Binance does for klines."""
        value = self.integer("limit")
        if value is None:
            return default
        if value < 1:
            raise VenueError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(value, largest)

    def amount(self, name: str) -> Decimal | None:
        """A decimal number of at most eight decimals, None if left out."""
        value = self.maybe(name, NUMBER)
        if value is None:
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise illegal(name, NUMBER) from None
        if not multiple(number, UNIT):
            raise too_precise(name)
        return number

    def flag(self, name: str) -> bool:
        """A boolean, False if left out."""
        return self._values.get(name, "false").lower() == "true"

    def symbols(self) -> list[str] | None:
        """The markets of `symbol` or of the JSON list `symbols`; None if neither was sent."""
        if "symbol" in self._values and "symbols" in self._values:
            raise VenueError(-1128, "Combination of optional parameters invalid.")
        if "symbols" not in self._values:
            one = self.maybe("symbol", SYMBOL)
            return None if one is None else [one]
        try:
            names = json.loads(self.text("symbols"))
        except ValueError:
            raise illegal("symbols", SYMBOL) from None
        if not isinstance(names, list) or not all(isinstance(n, str) and re.match(SYMBOL, n) for n in names):
            raise illegal("symbols", SYMBOL)
        if len(set(names)) != len(names):
            raise VenueError(-1151, "Symbol is present multiple times in the list.")
        return names
