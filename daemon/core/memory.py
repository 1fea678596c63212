"""Memory: whether the venue still knows of our orders.

Rule: a venue that was reset (testnets are, about every month) knows none of them, and what the account holds then says nothing about the
journal. That is believed once the newest order of ours that has traded is denied twice, a while apart, by every way there is to see it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from daemon.core.events import OrderRecalled, RecallOrder
from daemon.core.model import Fill

# Why trading is halted where the venue knows nothing of what we did there.
FORGOT: Final = "venue_forgot"

# Venues keep orders that have traded for months; one that is older than this is no proof.
KEPT: Final = timedelta(days=30)


class Memory:
    """Asks about the newest trade of ours.

    `spacing`: two denials count if they are so far apart; `again`: an answer that has not come is asked for again so long after.
    """

    def __init__(self, spacing: timedelta, again: timedelta) -> None:
        self._spacing = spacing
        self._again = again
        self._last: Fill | None = None
        self._asked_at: datetime | None = None
        self._known_at: datetime | None = None
        self._denied_at: datetime | None = None

    def traded(self, fill: Fill) -> None:
        """An order of ours has traded, under its own id."""
        if self._last is None or fill.at >= self._last.at:
            self._last = fill

    def vouches(self, since: datetime) -> bool:
        """Whether the venue is known to have known of us at that moment or later, or there is nothing that it should know of."""
        if self._last is None or since - self._last.at > KEPT:
            return True
        return self._known_at is not None and self._known_at >= since

    def ask(self, at: datetime) -> Iterator[RecallOrder]:
        """Ask, unless that was done just now."""
        wait = self._again if self._denied_at is None else self._spacing
        if self._last is not None and (self._asked_at is None or at - self._asked_at >= wait):
            self._asked_at = at
            yield RecallOrder(self._last, at)

    def recalled(self, event: OrderRecalled) -> bool:
        """The venue has answered. Whether it is certain now that it has forgotten us."""
        if self._last is None or event.order_id != self._last.order_id:
            return False
        if event.known:
            self._known_at, self._denied_at = event.asked_at, None
            return False
        self._denied_at = self._denied_at or event.asked_at
        return event.asked_at - self._denied_at >= self._spacing
