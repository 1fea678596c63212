"""MarginWatch: tells when a position of a swap comes near its liquidation, and asks for less where it is too near.

Rule: it judges by the ledger at the venue's mark prices (last prices where those are missing, which it says), several times a minute,
whoever is due; what it asks for only takes away.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from daemon.core.account import Account
from daemon.core.events import Event, MarginLow, MarginRestored, MarksBack, MarksLost, SliceClosed, TimePassed
from daemon.core.margin import Margins
from daemon.core.model import EPOCH

LOOK_EVERY: Final = timedelta(seconds=1)

# What was too near and could not be made smaller is asked for again so long after: a price that is stale, or an order in doubt, passes.
AGAIN: Final = timedelta(seconds=15)

# Mark prices come every second; that they are away is told once it has lasted, or a start and every reconnection would be told.
UNMARKED_FOR: Final = timedelta(seconds=15)

# A warning is over once the distance is so much above where it came, or it would be told each time a price turns.
CALM: Final = Decimal("1.1")


class MarginWatch:
    """`warn`: the distance (a share of the price) below which a person is told; `reduce`: below which positions are made smaller."""

    def __init__(self, account: Account, warn: Decimal | None, reduce: Decimal | None) -> None:
        self._account = account
        self._warn, self._reduce = warn, reduce
        self._looked_at = self._asked_at = EPOCH
        self._unmarked_since: datetime | None = None
        self.low = False
        self.unmarked: tuple[str, ...] = ()  # swaps whose positions are known to be valued at last prices

    def renew(self, warn: Decimal | None, reduce: Decimal | None) -> None:
        """Take up changed distances."""
        self._warn, self._reduce = warn, reduce

    def on_time(self, event: TimePassed) -> Iterable[Event]:
        """Look at the nearest position, and whether there is a mark to judge it by. Prices that nobody tells any more say nothing new."""
        if event.at - self._looked_at >= LOOK_EVERY:
            yield from self._marked(event.at)
            if self._account.judged(event.at):
                yield from self._look(event.at)

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """Look at the prices of a close, once they are known."""
        return self._look(event.slice.closes_at)

    def _look(self, at: datetime) -> Iterable[Event]:
        warn = self._warn
        if warn is None or self._account.unvalued:
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

    def _marked(self, at: datetime) -> Iterable[Event]:
        missing = self._account.unmarked(at)
        self._unmarked_since = (self._unmarked_since or at) if missing else None
        if self._unmarked_since is not None and at - self._unmarked_since >= UNMARKED_FOR and not self.unmarked:
            self.unmarked = missing
            yield MarksLost(missing, at)
        elif not missing and self.unmarked:
            self.unmarked = ()
            yield MarksBack(at)

    def _is_due(self, distance: Decimal, at: datetime) -> bool:
        return self._reduce is not None and distance < self._reduce and at - self._asked_at >= AGAIN
