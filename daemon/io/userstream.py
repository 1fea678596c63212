"""UserStream: what the venue tells of our account by itself, with REST as the net under it.

Rule: a trade or report is on disk before it is published; after every (re)connect the account is polled, because what happened while the
stream was away is told to nobody. A venue without such a stream is served by polling alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from daemon.core.events import BalanceMoved, Event, OrderFilled, OrderReported, PollAccount
from daemon.core.model import Fill, OrderReport
from daemon.io.clock import Clock
from daemon.io.exchange import AccountNews, Exchange, VenueError

# A stream that is refused is tried again calmly: the poller serves meanwhile, and venues ban those who dial too often.
BACKOFF_FIRST_S, BACKOFF_MAX_S = 1.0, 60.0

# A wave over 500 symbols brings some thousand messages at once; a backlog beyond this means that the loop has stood still for long.
INBOX_MAX = 50_000


class Learner(Protocol):
    """Writes facts to the journal, then publishes them."""

    async def __call__(self, *facts: OrderFilled | OrderReported) -> None:
        """Return once they are on disk and published."""
        ...


class UserStream:
    """Two coroutines: `watch` holds the connection, `digest` writes and publishes what it brought."""

    def __init__(self, exchange: Exchange, learn: Learner, publish: Callable[[Event], None], clock: Clock, jitter: Random) -> None:
        self._exchange = exchange
        self._learn = learn
        self._publish = publish
        self._clock = clock
        self._jitter = jitter
        self._inbox: asyncio.Queue[AccountNews] = asyncio.Queue(INBOX_MAX)
        self.connected = False

    async def watch(self) -> None:
        """Hold the stream, and dial again with growing, jittered pauses when it breaks."""
        failures = 0
        while True:
            try:
                await self._exchange.watch_account(self._inbox.put_nowait, self._on_connected)
            except VenueError:
                failures = 1 if self.connected else failures + 1
            if self.connected:
                self.connected = False
                self._publish(PollAccount(self._clock.now()))  # from now on what happens is told to nobody
            pause = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(failures, 10))
            await self._clock.sleep(self._jitter.uniform(pause / 2, pause))

    def _on_connected(self) -> None:
        self.connected = True
        self._publish(PollAccount(self._clock.now()))

    async def digest(self) -> None:
        """Publish what the stream brought, everything that waits in one journal transaction."""
        while True:
            await self._publish_all([await self._inbox.get(), *self._waiting()])

    def _waiting(self) -> list[AccountNews]:
        return [self._inbox.get_nowait() for _ in range(self._inbox.qsize())]

    async def _publish_all(self, news: Sequence[AccountNews]) -> None:
        at = self._clock.now()
        facts: list[OrderFilled | OrderReported] = []
        for item in news:
            match item:
                case Fill():
                    facts.append(OrderFilled(item, at))
                case OrderReport():
                    facts += (OrderFilled(fill, at) for fill in item.fills)
                    facts.append(OrderReported(item, "stream", at))
                case (currency, amount, moved_id):
                    self._publish(BalanceMoved(currency, amount, moved_id, at))
        await self._learn(*facts)
