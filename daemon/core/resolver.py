"""Resolver: what to ask the venue about orders whose end is not known, and when silence is proof of absence.

Rule: a time-out is not a failure. An order is absent only once its request can no longer arrive, several successful look-ups spaced apart
have not found it, and the account holds what it would hold without it. Failed look-ups count for nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from daemon.core.events import AccountReconciled, Event, OrderNotFound, PollAccount, QueryOrder, QueryTrades
from daemon.core.model import currencies
from daemon.core.ordertable import OrderTable, State, Tracked


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what.

    `fence`: after this much time since the doubt began, a request that has not surfaced cannot be executed any more. It is above the
    request's own validity (recvWindow, 5 s), the clock's skew and the venue's settling. `lookups` successful look-ups after it, at least
    `spacing` apart. `open_every`: an order that is open is asked for this often, in case the stream has lost its end.
    """

    fence: timedelta = timedelta(seconds=15)
    lookups: int = 3
    spacing: timedelta = timedelta(seconds=2)
    open_every: timedelta = timedelta(seconds=5)
    first_ask: timedelta = timedelta(milliseconds=500)
    ask_max: timedelta = timedelta(seconds=30)


class Resolver:
    """Asks about orders in doubt and judges the answers."""

    def __init__(self, table: OrderTable, patience: Patience) -> None:
        self._table = table
        self._patience = patience
        self._agreed_at: datetime | None = None
        self._differences: Mapping[str, Decimal] = {}

    def on_reconciled(self, event: AccountReconciled) -> None:
        """Remember when the account was last compared, and what differed."""
        self._agreed_at, self._differences = event.asked_at, event.differences

    def questions(self, at: datetime) -> Iterator[Event]:
        """What is to be asked now. Each order is asked about at growing intervals, never more often than every `spacing` once in doubt."""
        for tracked in self._table:
            wait = self._wait(tracked)
            since = tracked.asked_at or tracked.doubted_at or tracked.sent_at
            if wait is None or since is None or at - since < wait:
                continue
            tracked.asked_at = at
            tracked.asks += 1
            order = tracked.order
            if tracked.ended:
                yield QueryTrades((order.symbol,), order.at, at)
            else:
                yield QueryOrder(order.id, order.symbol, order.at, at)
            if tracked.state is State.UNKNOWN and at >= self._fence(tracked):
                yield PollAccount(at)

    def _wait(self, tracked: Tracked) -> timedelta | None:
        """How long after the last question the next one is due; None while there is nothing to ask."""
        p = self._patience
        if tracked.state is State.UNKNOWN or (tracked.ended and not tracked.settled):
            return min(p.spacing * 1.5 ** max(0, tracked.asks - 8), p.ask_max) if tracked.asks else p.first_ask
        if tracked.state in (State.ACKED, State.PARTIAL, State.CANCEL_SENT):
            return p.open_every
        return None

    def absent(self, tracked: Tracked, event: OrderNotFound) -> bool:
        """Count a look-up that did not find the order; True once its absence is confirmed by the full rule."""
        fence = self._fence(tracked)
        if tracked.state is not State.UNKNOWN or event.asked_at < fence:
            return False
        seen = tracked.absences
        if not seen or event.asked_at - seen[-1] >= self._patience.spacing:
            seen.append(event.asked_at)
        return len(seen) >= self._patience.lookups and self._consistent(tracked, fence)

    def _consistent(self, tracked: Tracked, fence: datetime) -> bool:
        """Whether the account, read after the fence, holds what the ledger says: an order that had filled would show."""
        return self._agreed_at is not None and self._agreed_at >= fence and not touches(self._differences, tracked.order.symbol)

    def _fence(self, tracked: Tracked) -> datetime:
        doubted = tracked.doubted_at or tracked.order.at
        return doubted + self._patience.fence


def touches(found: Iterable[str], symbol: str) -> bool:
    """Whether any of these currencies is the base or quote of `symbol`."""
    wanted = frozenset(found)
    return any(currency in wanted for currency in currencies(symbol))
