"""SettingsWatch: sees that the account is set up as configured while it trades, and has it put right where somebody has changed it.

Rule: what is unlike is held before anything else is done about it, and the hold goes once it has been read to be right again. A look that
fails changes nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

import structlog

from daemon.core.events import Event, ReadMarkets, ReadSettings
from daemon.io.clock import Clock
from daemon.io.exchange import SetUp, VenueError

log = structlog.get_logger()

# Binance counts 35 for a look, of 2,400 a minute. Its stream tells of leverage and margin mode at once, of the position mode never.
EVERY_S: Final = 60.0
SPACING_S: Final = 5.0  # what we set ourselves is told as well, market by market


class SettingsWatch:
    """Looks every minute, and after `ReadSettings`. `judge` says what follows from what is unlike, by symbol ("": the account itself).

    `venue`: None where there is nothing to set up.
    """

    def __init__(
        self,
        venue: SetUp | None,
        publish: Callable[[Event], None],
        clock: Clock,
        judge: Callable[[Mapping[str, str], datetime], Iterable[Event]],
    ) -> None:
        self._venue = venue
        self._publish = publish
        self._clock = clock
        self._judge = judge
        self._told: Mapping[str, str] = {}
        self._asked = asyncio.Event()

    @property
    def watches(self) -> bool:
        """Whether there is something to look at."""
        return self._venue is not None

    def accept(self, _: ReadSettings) -> Iterable[Event]:
        """Somebody doubts them."""
        self._asked.set()
        return ()

    def begin(self) -> None:
        """Conclude from what the start has found and set."""
        if self._venue is not None:
            self._told = dict(self._venue.unlike)
        for event in self._judge(self._told, self._clock.now()):
            self._publish(event)

    async def run(self) -> None:
        """Look until cancelled. The start has just done so."""
        while self._venue is not None:
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._asked.wait()
            except TimeoutError:
                pass  # it is time
            self._asked.clear()
            try:
                await self._look(self._venue)
            except VenueError as error:
                log.warning("settings.unread", error=error.text)
            await self._clock.sleep(SPACING_S)

    async def _look(self, venue: SetUp) -> None:
        found = await venue.look()
        if found.keys() == self._told.keys() == set():
            return
        left = found
        try:
            left = await venue.put_right()
        finally:
            if {**found, **left}.keys() != self._told.keys():
                self._tell({**found, **left})  # held and explained by the venue's own words, where it does not set it
        if left.keys() != self._told.keys():
            self._tell(left)

    def _tell(self, unlike: Mapping[str, str]) -> None:
        """What is held is what is unlike; a hold that a person has lifted stays lifted for as long as nothing else is found."""
        at = self._clock.now()
        self._told = dict(unlike)
        for event in self._judge(unlike, at):
            self._publish(event)
        self._publish(ReadMarkets(at))  # which say the leverage that margin is counted by
