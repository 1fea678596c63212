"""Listen keys: the name of the user stream, which ends unless it is asked for again.

Rule: there is at most one; to ask for one again prolongs it.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.venue.errors import VenueError


class ListenKeys:
    """The account's listen key. `validity` in ms; `make` gives a new name."""

    def __init__(self, validity: int, make: Callable[[], str]) -> None:
        self._validity, self._make = validity, make
        self.key = ""  # empty: there is none
        self._ends = 0  # UTC ms

    def open(self, now: int) -> str:
        """The key, new if there is none, valid from now on."""
        self.key = self.key or self._make() + self._make()
        self._ends = now + self._validity
        return self.key

    def prolong(self, now: int) -> str:
        """The key, valid from now on."""
        if not self.key:
            raise VenueError(-1125, "This listenKey does not exist.")
        return self.open(now)

    def close(self) -> str:
        """End it; what it was, empty if there was none."""
        ended, self.key = self.key, ""
        return ended

    def expired(self, now: int) -> str:
        """The key that has just ended for want of being asked for, empty if none has."""
        return self.close() if self.key and now >= self._ends else ""
