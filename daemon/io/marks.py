"""Marks: the mark prices of swaps, with the funding that is to come: a stream for each batch of symbols, and REST for what it leaves out.

Rule: a mark is told with the moment at which it came; a line that is broken is known by marks that do not come. `jobs` are for the nest.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Final

from daemon.core.events import Event, FundingTold, MarkTicked
from daemon.core.funding import FundingRate, Mark
from daemon.core.vigil import Backoff
from daemon.io.clock import Clock
from daemon.io.exchange import Fatal, Marking, VenueError

# A stream tells every mark once a second. One that is silent for so long is asked about by REST, and ended.
SILENT_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0


class Marks:
    """Publishes `MarkTicked` for these symbols, `batch_max` of them a stream, and `FundingTold` where what is expected has changed."""

    def __init__(
        self, venue: Marking, symbols: Sequence[str], batch_max: int, publish: Callable[[Event], None], clock: Clock, rng: Random
    ) -> None:
        self._venue = venue
        self._publish = publish
        self._clock = clock
        self._fundings: dict[str, FundingRate] = {}
        self._heard_at = dict.fromkeys(symbols, clock.monotonic())
        self._rest = Backoff(rng, first_s=SILENT_S, spacing_s=SILENT_S)
        batches = [tuple(symbols[at : at + batch_max]) for at in range(0, len(symbols), batch_max)]
        self._lines = [_Line(self, batch, Backoff(rng, first_s=1.0, spacing_s=1.0)) for batch in batches]

    def jobs(self) -> list[tuple[str, Callable[[], Coroutine[None, None, None]]]]:
        """Named coroutines for the nest; none of them returns."""
        return [("marks.rest", self.ask), *((f"marks.stream-{at}", line.run) for at, line in enumerate(self._lines))]

    async def ask(self) -> None:
        """Look once a second for symbols that nothing is heard of, and ask about them, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            silent = [symbol for symbol, heard_at in self._heard_at.items() if self._clock.monotonic() - heard_at >= SILENT_S]
            if silent and self._rest.wait_s(self._clock.monotonic()) <= 0:
                await self._ask(silent)
            for line in self._lines:
                line.look(self._clock.monotonic())

    async def _ask(self, symbols: Sequence[str]) -> None:
        began_at = self._clock.monotonic()
        self._rest.tried(began_at)
        try:
            found = await self._venue.marks(symbols)
        except Fatal:
            raise
        except VenueError as error:
            self._rest.failed(began_at, self._clock.monotonic(), error.retry_after_s or 0.0)
            return
        self._rest.recovered()
        for symbol, mark in found.items():
            self._tell(symbol, mark)

    def heard(self, symbol: str, mark: Mark) -> None:
        """A stream tells a mark."""
        self._heard_at[symbol] = self._clock.monotonic()
        self._tell(symbol, mark)

    def _tell(self, symbol: str, mark: Mark) -> None:
        at = self._clock.now()
        if mark.funding is not None and mark.funding != self._fundings.get(symbol):
            self._fundings[symbol] = mark.funding
            self._publish(FundingTold(symbol, mark.funding, at))
        self._publish(MarkTicked(symbol, mark.price, at))

    async def stream(self, symbols: Sequence[str], dial: Backoff, sink: Callable[[str, Mark], None]) -> None:
        """One connection, dialled when its turn has come, until it ends."""
        while (wait_s := dial.wait_s(self._clock.monotonic())) > 0:
            await self._clock.sleep(wait_s)
        began_at = self._clock.monotonic()
        dial.tried(began_at)
        try:
            await self._venue.watch_marks(symbols, sink)
        except Fatal:
            raise
        except VenueError as error:
            dial.failed(began_at, self._clock.monotonic(), error.retry_after_s or 0.0)


class _Line:
    """One batch: its connection is dialled again whenever it ends, and ended when it falls silent after having told something."""

    def __init__(self, marks: Marks, symbols: Sequence[str], dial: Backoff) -> None:
        self._marks = marks
        self._symbols = symbols
        self._dial = dial
        self._scope: asyncio.Timeout | None = None
        self._told_at: float | None = None
        self._now = 0.0

    async def run(self) -> None:
        """Watch, and dial again, until cancelled."""
        while True:
            self._told_at = None
            try:
                async with asyncio.timeout(None) as self._scope:
                    await self._marks.stream(self._symbols, self._dial, self._heard)
            except TimeoutError:
                continue
            finally:
                self._scope = None

    def look(self, mono: float) -> None:
        """End a connection that tells nothing any more."""
        self._now = mono
        if self._told_at is not None and mono - self._told_at >= 2 * SILENT_S and self._scope is not None:
            self._told_at = None
            self._scope.reschedule(asyncio.get_running_loop().time())

    def _heard(self, symbol: str, mark: Mark) -> None:
        self._dial.recovered()
        self._told_at = self._now
        self._marks.heard(symbol, mark)
