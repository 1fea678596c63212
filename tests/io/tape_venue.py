"""A venue of candles in virtual time: what it has is known beforehand, what its stream does to it is scripted by the test."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from daemon.core.model import Bar, Instrument
from daemon.core.styles import Touch
from daemon.io.exchange import BarUpdate, Market, NotSent, Unknown, VenueError

START = datetime(2024, 5, 6, 7, 0, tzinfo=UTC)
Job = tuple[str, Callable[[], Coroutine[None, None, None]]]


class _Jump(selectors.SelectSelector):
    """Waits for nothing: where the loop would sleep, its time jumps."""

    ahead_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.ahead_s += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that knows no waiting; hours pass in milliseconds, always in the same order."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.ahead_s


class VirtualClock:
    """The loop's own time, from START on."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def stamp_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run(main: Coroutine[None, None, None]) -> None:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


async def nest(jobs: Sequence[Job], seconds: float, *more: Coroutine[None, None, None]) -> None:
    """Run jobs side by side for so long, as app.py would; what one raises, this raises."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job(), name=name) for name, job in jobs]
        tasks += [group.create_task(coroutine) for coroutine in more]
        await asyncio.sleep(seconds)
        assert not [task for task in tasks[: len(jobs)] if task.done()], "a job has returned"
        for task in tasks:
            task.cancel()


@dataclass
class TapeVenue:
    """Every symbol has a bar at every close, but for `holes` (symbol, close). The knobs may be turned while it runs.

    `fate` says what becomes of a frame: the delays (s) after which it is delivered; none loses it, several repeat it.
    """

    timeframe: timedelta
    clock: VirtualClock = field(default_factory=VirtualClock)
    holes: set[tuple[str, datetime]] = field(default_factory=set)
    batch_max: int = 100
    rest_takes_s: float = 0.02
    rest_lag_s: float = 0.0  # how far behind its own clock REST answers
    rest_error: VenueError | None = None
    refuse: VenueError | None = None
    muted: bool = False
    frozen_at: datetime | None = None  # the stream tells this moment's candle for ever
    tells_forming: bool = True
    asleep: tuple[datetime, datetime] | None = None  # bars that close in here have no volume
    deaf_to_reset: bool = False
    fate: Callable[[BarUpdate], Sequence[float]] = lambda _: (0.0,)
    calls: list[tuple[float, str]] = field(default_factory=list)
    dials: list[float] = field(default_factory=list)
    resets: list[float] = field(default_factory=list)
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        """End the connection that stands."""
        self.broken.set()

    # --- what it has -------------------------------------------------------------------------------------------------

    def bar(self, symbol: str, closes_at: datetime, share: float = 1.0) -> Bar:
        """The bar of a close time; of `share` < 1 as it forms."""
        step = (closes_at - START) // self.timeframe
        opened = 100.0 + step % 7 + len(symbol)
        close = opened + share
        traded = not (self.asleep and self.asleep[0] < closes_at <= self.asleep[1])
        return Bar(symbol, closes_at, opened, close, opened, close, share if traded else 0.0)

    def closed(self, symbol: str, after: datetime, until: datetime) -> list[Bar]:
        """The bars it has with closes in (after, until]."""
        first = (after - START) // self.timeframe + 1
        last = (until - START) // self.timeframe
        closes = [START + k * self.timeframe for k in range(first, last + 1)]
        return [self.bar(symbol, close) for close in closes if (symbol, close) not in self.holes]

    def forming(self, symbol: str, now: datetime) -> Bar:
        """The bar that forms at `now`."""
        done = (now - START) % self.timeframe
        return self.bar(symbol, now - done + self.timeframe, max(done / self.timeframe, 0.01))

    # --- Market ------------------------------------------------------------------------------------------------------

    async def connect(self) -> Mapping[str, Instrument]:
        return {}

    async def markets(self) -> Mapping[str, Instrument]:
        return await self.connect()

    async def close(self) -> None:
        return None

    async def server_time(self) -> datetime:
        return self.clock.now()

    async def bars(self, symbol: str, timeframe: timedelta, *, since: datetime | None = None, limit: int = 1000) -> list[BarUpdate]:
        assert timeframe == self.timeframe
        self.calls.append((self.clock.monotonic(), symbol))
        await asyncio.sleep(self.rest_takes_s)
        if self.rest_error:
            raise self.rest_error
        now = self.clock.now() - timedelta(seconds=self.rest_lag_s)
        after = now - (limit + 1) * timeframe if since is None else since
        found = [BarUpdate(bar, closed=True) for bar in self.closed(symbol, after, now)]
        found.append(BarUpdate(self.forming(symbol, now), closed=False))
        return found[-limit:] if since is None else found[:limit]

    async def watch_bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        assert len(symbols) <= self.batch_max
        self.dials.append(self.clock.monotonic())
        if self.refuse:
            raise self.refuse
        self.broken = broken = asyncio.Event()
        loop = asyncio.get_running_loop()
        told = self.clock.now()
        while not broken.is_set():
            half = timeframe / 2
            pause = half - (self.clock.now() - START) % half
            try:
                async with asyncio.timeout(pause.total_seconds()):
                    await broken.wait()
            except TimeoutError:
                now = self.clock.now()
                frames = [frame for symbol in symbols for frame in self._frames(symbol, told, now)]
                told = now
                for frame in frames:
                    for delay_s in () if self.muted else self.fate(frame):
                        loop.call_later(delay_s, self._deliver, broken, sink, frame)
        raise Unknown("connection closed")

    async def touches(self, symbols: Sequence[str]) -> Sequence[Touch]:
        return []

    async def reset_streams(self) -> None:
        self.resets.append(self.clock.monotonic())
        if not self.deaf_to_reset:
            self.broken.set()

    # --- its stream --------------------------------------------------------------------------------------------------

    def _frames(self, symbol: str, told: datetime, now: datetime) -> list[BarUpdate]:
        if self.frozen_at:
            return [BarUpdate(self.forming(symbol, self.frozen_at), closed=False)]
        frames = [BarUpdate(bar, closed=True) for bar in self.closed(symbol, told, now)]
        if self.tells_forming:
            frames.append(BarUpdate(self.forming(symbol, now), closed=False))
        return frames

    @staticmethod
    def _deliver(broken: asyncio.Event, sink: Callable[[BarUpdate], None], frame: BarUpdate) -> None:
        if not broken.is_set():
            sink(frame)


def refused() -> NotSent:
    """What a venue without websockets answers."""
    return NotSent("no such stream here")


_: type[Market] = TapeVenue
