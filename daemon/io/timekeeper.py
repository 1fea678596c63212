"""Timekeeper: compares the clock of this machine with the venue's, at a steady pace and at once when somebody asks.

Rule: it says by how much they differ and how sure that is; a comparison that fails says nothing.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

from daemon.core.events import ClockMeasured, Event, MeasureClock
from daemon.io.clock import Clock
from daemon.io.exchange import Exchange, VenueError

EVERY_S: Final = 600.0  # a clock that is not kept drifts by some ten milliseconds in that time
LOOKS: Final = 3  # of which the quickest counts: a slow answer says little about when it was written
SPACING_S: Final = 1.0


class Timekeeper:
    """Publishes `ClockMeasured`: at the start, every ten minutes, and after `MeasureClock`."""

    def __init__(self, exchange: Exchange, publish: Callable[[Event], None], clock: Clock) -> None:
        self._exchange = exchange
        self._publish = publish
        self._clock = clock
        self._asked = asyncio.Event()

    def accept(self, _: MeasureClock) -> Iterable[Event]:
        """Somebody wants to know now."""
        self._asked.set()
        return ()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await self._measure()
            self._asked.clear()  # whoever has asked meanwhile is answered too
            await self._clock.sleep(SPACING_S)
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._asked.wait()
            except TimeoutError:
                continue

    async def _measure(self) -> None:
        looks: list[tuple[timedelta, timedelta]] = []  # half of the round trip, and how far the venue's clock is ahead
        for _ in range(LOOKS):
            asked_at = self._clock.now()
            try:
                venue = await self._exchange.server_time()
            except VenueError:
                break  # who does not answer now is not asked twice more
            half = max(self._clock.now() - asked_at, timedelta(0)) / 2
            looks.append((half, venue - asked_at - half))
        if looks:
            uncertainty, offset = min(looks)
            self._publish(ClockMeasured(offset, uncertainty, self._clock.now()))
