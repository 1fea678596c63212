"""MarginWatch: tells when a position of a swap comes near its liquidation, and asks for less where it is too near.

Rule: it judges by the ledger at the last prices, several times a minute, whoever is due; what it asks for only takes away.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from daemon.core.account import Account
from daemon.core.events import Event, MarginLow, MarginRestored, TimePassed
from daemon.core.margin import Margins
from daemon.core.model import EPOCH

LOOK_EVERY: Final = timedelta(seconds=1)

# What was too near and could not be made smaller is asked for again so long after: a price that is stale, or an order in doubt, passes.
AGAIN: Final = timedelta(seconds=15)

# A warning is over once the distance is so much above where it came, or it would be told each time a price turns.
CALM: Final = Decimal("1.1")


class MarginWatch:
    """`warn`: the distance (a share of the price) below which a person is told; `reduce`: below which positions are made smaller."""

    def __init__(self, account: Account, warn: Decimal | None, reduce: Decimal | None) -> None:
        self._account = account
        self._warn, self._reduce = warn, reduce
        self._looked_at = self._asked_at = EPOCH
        self.low = False

    def renew(self, warn: Decimal | None, reduce: Decimal | None) -> None:
        """Take up changed distances."""
        self._warn, self._reduce = warn, reduce

    def on_time(self, event: TimePassed) -> Iterable[Event]:
        """Look at the nearest position."""
        at, warn = event.at, self._warn
        if warn is None or at - self._looked_at < LOOK_EVERY or self._account.unvalued:
            return
        self._looked_at = at
        symbol, distance = Margins.of(self._account, pending=False).nearest() or ("", warn * CALM)
        if self._is_due(distance, at):
            self._asked_at, self.low = at, True
            yield MarginLow(symbol, distance, self._reduce or warn, at, reduces=True)
        elif distance < warn and not self.low:
            self.low = True
            yield MarginLow(symbol, distance, warn, at)
        elif distance >= warn * CALM and self.low:
            self.low = False
            yield MarginRestored(at)

    def _is_due(self, distance: Decimal, at: datetime) -> bool:
        return self._reduce is not None and distance < self._reduce and at - self._asked_at >= AGAIN
