"""LastPrices: the last price of every symbol, with its moment.

Rule: what is older than the one known, or is no price, changes nothing. Prices that nobody asks for need not be worked out.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from math import inf

from daemon.core.model import EPOCH

Mark = tuple[str, float, datetime]  # symbol, price, and when it was that


class LastPrices:
    """Prices as Decimals that are written like the floats they came as."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Decimal, datetime]] = {}
        self._waiting: Callable[[], Iterable[Mark]] | None = None

    @property
    def known(self) -> dict[str, tuple[Decimal, datetime]]:
        """By symbol, price and moment."""
        if self._waiting is not None:
            self.catch_up()
        return self._known

    @property
    def so_far(self) -> Mapping[str, tuple[Decimal, datetime]]:
        """The same without those that wait: there are no more of them, and none is newer."""
        return self._known

    def take(self, marks: Iterable[Mark]) -> None:
        """Prices, at once."""
        self.catch_up()
        prices = self._known
        for symbol, price, at in marks:
            known = prices.get(symbol)
            if 0 < price < inf and (known is None or known[1] <= at):
                prices[symbol] = (Decimal(repr(float(price))), at)

    def take_later(self, marks: Callable[[], Iterable[Mark]]) -> None:
        """Prices, once somebody asks. Those of an earlier call that nobody has asked for are forgotten: these tell all that they would."""
        self._waiting = marks

    def catch_up(self) -> None:
        """Take what was to be taken later."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.take(waiting())

    def outdate(self) -> None:
        """However new they look, they may be of any time before."""
        self._known = {symbol: (price, EPOCH) for symbol, (price, _) in self.known.items()}
