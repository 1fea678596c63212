"""Teller: what has happened becomes lines of the log a moment later, in its order, since a wave's first byte must not wait for them.

Rule: nothing is left out and nothing overtakes: all that has happened is told at the next turn, before whatever is told directly.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final

import structlog

from daemon.core.events import Event
from daemon.io.clock import Clock
from daemon.telling.lines import Line

log = structlog.get_logger()

# From the last bar to the first byte; long enough for the intents to be synced and the first request to be signed meanwhile.
LATER_S: Final = 0.003


class Teller:
    """Hears events in their order; `run` tells them, `flush` does so now."""

    def __init__(self, narrate: Callable[[Event], Iterable[Line]], about: Callable[[], AbstractContextManager[None]], clock: Clock) -> None:
        """`narrate` makes lines of events; `about` says, for as long as it is entered, whose they are."""
        self._narrate = narrate
        self._about = about
        self._clock = clock
        self._events: deque[Event] = deque()  # of a few milliseconds
        self._wake = asyncio.Event()

    def hear(self, event: Event) -> None:
        """Keep an event, to be told."""
        self._events.append(event)
        self._wake.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._wake.wait()
            await self._clock.sleep(LATER_S)
            self.flush()

    def flush(self) -> None:
        """Tell everything that has happened."""
        self._wake.clear()
        with self._about():
            now = log.bind()  # as logging is configured now; asking for it line by line costs more than most lines
            while self._events:
                for line in self._narrate(self._events.popleft()):
                    getattr(now, line.level)(line.name, **line.fields)
