"""UserStream: what the venue tells of our account by itself, with REST as the net under it.

Rule: a trade or report is on disk before it is published; after every (re)connect the account is polled, because what happened while the
stream was away is told to nobody. A venue without such a stream is served by polling alone. That a connection stands proves nothing: one
that has not told of an order that its answer says has traded is deaf, and is dialled again.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from daemon.core.events import BalanceMoved, Event, OrderFilled, OrderReported, PollAccount, ReadSettings
from daemon.core.model import Fill, OrderReport
from daemon.io.clock import Clock
from daemon.io.exchange import AccountNews, Exchange, SettingsMoved, VenueError

# A stream that is refused is tried again calmly: the poller serves meanwhile, and venues ban those who dial too often.
BACKOFF_FIRST_S, BACKOFF_MAX_S = 1.0, 60.0

# What the venue has answered about an order comes by the stream within milliseconds; after this long it does not come.
DEAF_AFTER_S = 10.0
LOOK_EVERY_S = 1.0
# Orders that the stream was quicker to tell of than the answer was: of one wave over 500 symbols, twice over.
TOLD_MAX = 1000

# Exchanges end a connection after 24 hours. An hour before, it is ended and dialled again as soon as no order of ours is under way.
RENEW_AFTER_S = 23 * 3600.0

# A wave over 500 symbols brings some thousand messages at once; a backlog beyond this means that the loop has stood still for long.
INBOX_MAX = 50_000


class Learner(Protocol):
    """Writes facts to the journal, then publishes them."""

    async def __call__(self, *facts: OrderFilled | OrderReported) -> None:
        """Return once they are on disk and published."""
        ...


class UserStream:
    """Three coroutines: `watch` holds the connection, `digest` writes and publishes what it brought, `guard` ends one that is deaf or old.

    `quiet` says whether nothing is expected of it.
    """

    def __init__(
        self,
        exchange: Exchange,
        learn: Learner,
        publish: Callable[[Event], None],
        clock: Clock,
        jitter: Random,
        quiet: Callable[[], bool] = lambda: True,
    ) -> None:
        self._exchange = exchange
        self._learn = learn
        self._publish = publish
        self._clock = clock
        self._jitter = jitter
        self._quiet = quiet
        self._connected_at = 0.0
        self._renewed = False  # the connection under way is being ended because of its age
        self._inbox: asyncio.Queue[AccountNews] = asyncio.Queue(INBOX_MAX)
        self.connected = False
        self._deaf = False  # the last connection was, and nothing has been told since
        self._owed: dict[str, float] = {}  # orders that the venue has answered about and the stream has not told of, oldest first
        self._told: dict[str, None] = {}  # orders that it has told of, oldest first
        self._scope: asyncio.Timeout | None = None

    @property
    def healthy(self) -> bool:
        """Whether the venue tells of our orders by itself, as far as is known."""
        return self.connected and not self._deaf

    def witness(self, event: Event) -> None:
        """Compare what is known of an order with what the stream has told; it is shown every report, however it came."""
        if not isinstance(event, OrderReported):
            return
        order_id = event.report.order_id
        if event.how == "stream":
            self._deaf = False
            self._owed.pop(order_id, None)
            self._told[order_id] = None
            if len(self._told) > TOLD_MAX:
                del self._told[next(iter(self._told))]
        elif event.how == "submit" and event.report.filled and self.connected and order_id not in self._told:
            self._owed.setdefault(order_id, self._clock.monotonic())

    async def guard(self) -> None:
        """Have a connection that is deaf, or as old as it may become, dialled again, for as long as the daemon lives."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            if self._scope is None or self._scope.when() is not None:
                continue  # there is none, or it is being ended
            oldest = next(iter(self._owed.values()), self._clock.monotonic())
            self._deaf |= (deaf := self._clock.monotonic() - oldest >= DEAF_AFTER_S)
            self._renewed = not deaf and self._is_old and self._quiet()
            if deaf or self._renewed:
                self._owed.clear()
                self._scope.reschedule(asyncio.get_running_loop().time())

    @property
    def _is_old(self) -> bool:
        return self.connected and self._clock.monotonic() - self._connected_at >= RENEW_AFTER_S

    async def watch(self) -> None:
        """Hold the stream, and dial again with growing, jittered pauses when it breaks."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(None) as self._scope:
                    await self._exchange.watch_account(self._inbox.put_nowait, self._on_connected)
            except VenueError:
                failures = 1 if self.healthy else failures + 1
            except TimeoutError:
                if self._scope is None or not self._scope.expired():
                    raise
                failures = 0 if self._renewed else failures + 1  # ever more calmly: there may be venues that tell of nothing
            self._scope, self._renewed = None, False
            self._owed.clear()
            if self.connected:
                self.connected = False
                self._publish(PollAccount(self._clock.now()))  # from now on what happens is told to nobody
            pause = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(failures, 10))
            await self._clock.sleep(self._jitter.uniform(pause / 2, pause))

    def _on_connected(self) -> None:
        self.connected, self._connected_at = True, self._clock.monotonic()
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
                case SettingsMoved():
                    self._publish(ReadSettings(at))
                case (currency, amount, moved_id):
                    self._publish(BalanceMoved(currency, amount, moved_id, at))
        await self._learn(*facts)
