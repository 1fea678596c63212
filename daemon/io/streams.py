"""Streams: closed bars of many symbols, from websockets or by polling, once each and in order.

Rule: whatever the transport loses, repeats or shuffles, a symbol's `BarClosed` are the venue's bars; while they may be incomplete,
`StreamLost` stands, until `StreamCaughtUp` says that nothing is missing. Nothing here logs or starts a task: `jobs` are for the nest.

Who does what: a BarStream puts one symbol's bars in order; a Feed holds one websocket subscription for a batch of symbols; a Pacer asks by REST
for what is due and has not come; a Guard tells a broken connection from a quiet market; RestLine's few workers make the REST calls.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final, Literal

from daemon.core.barflow import Backoff, BarSequence, Habits, Patience, Told, close_before
from daemon.core.events import BarClosed, Event, PriceTicked, StreamCaughtUp, StreamLost
from daemon.core.model import Bar
from daemon.io.clock import Clock
from daemon.io.exchange import BarUpdate, Fatal, Market, Reason, Refused, VenueError

Source = Literal["auto", "stream", "poll"]
Job = tuple[str, Callable[[], Coroutine[None, None, None]]]
Together = Callable[..., Coroutine[None, None, object]]

# REST calls under way at once: enough for 12 symbols a second at 500 ms a call, little enough not to crowd out orders.
WORKERS: Final = 8
# Candles in one REST call: what venues give at most, and one back-fill holds in memory.
PAGE: Final = 1000
# Closed bars that may wait for their stream's turn. Only a blocked loop fills it; the oldest are dropped then, and the gap is filled by REST.
INBOX_MAX: Final = 256
# Ticks a symbol may publish: marks feed the equity and the dashboard, where four a second are plenty.
TICK_SPACING_S: Final = 0.25
# Marks while polling: as often as the light side allows, and WORKERS calls a second for all symbols together.
MARKS_EVERY_S: Final = 5.0
# One dial a second for the venue whatever happens; a subscription that has stood this long is taken for standing.
DIAL_SPACING_S: Final = 1.0
STANDING_AFTER_S: Final = 2.0
# A connection that has lived this long was no failed attempt.
PROVEN_AFTER_S: Final = 30.0
# The Guard's share of `stale_after` before it asks; the rest is for the probe and for the frame that may just be on its way.
PATIENCE_SHARE: Final = 0.5
PROBE_TIMEOUT_S: Final = 3.0
SECOND_LOOK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What all parts agree on. `grace` is how long after a close the bar may come before the slice goes on without it."""

    timeframe: timedelta
    source: Source
    grace_s: float
    stale_after_s: float
    marks_every_s: float

    @property
    def live_delay_s(self) -> float:
        """When a bar that the stream has not told is asked for: early enough to be there at close plus grace."""
        return self.grace_s / 2

    @property
    def poll_delay_s(self) -> float:
        """When a bar is asked for while polling: right after its close, but not before a venue can have booked it."""
        return min(0.1, self.grace_s / 5)

    @property
    def tick_s(self) -> float:
        """How often the Pacer looks: a few times within the grace, once a second where there is time."""
        return min(1.0, max(0.05, self.grace_s / 4))


def split(updates: Sequence[BarUpdate]) -> tuple[list[Bar], Bar | None]:
    """The closed bars of an answer, and the forming one at its end if there is one."""
    closed = [update.bar for update in updates if update.closed]
    return closed, updates[-1].bar if updates and not updates[-1].closed else None


class BarStream:
    """One symbol's bars, in order. `offer` and `answer` bring candles; `lost` says whether some may be missing."""

    def __init__(self, symbol: str, terms: Terms, publish: Callable[[Event], None], clock: Clock) -> None:
        self.symbol = symbol
        self.sequence = BarSequence(terms.timeframe)
        self.lost = False
        self.losses = 0  # counted, so that an answer to a question from before a loss does not end it
        self._terms = terms
        self._publish = publish
        self._clock = clock
        self._inbox: deque[Bar] = deque(maxlen=INBOX_MAX)
        self._forming: Bar | None = None
        self._wake = asyncio.Event()
        self._filled = 0
        self._price = 0.0
        self._ticked_at = float("-inf")
        self._heard_at = float("-inf")
        self._due: datetime | None = None
        self._patience = Patience(max(0.05, terms.grace_s / 8))

    async def run(self) -> None:
        """Publish what the stream brings, for as long as the daemon lives."""
        self._heard_at = self._clock.monotonic()
        self.lose("opening")
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._drain()

    def offer(self, update: BarUpdate) -> None:
        """Take a candle from a websocket; never waits. Of forming ones only the newest is kept."""
        self._heard_at = self._clock.monotonic()
        if update.closed:
            self._inbox.append(update.bar)
        else:
            self._forming = update.bar
        self._wake.set()

    def answer(self, updates: Sequence[BarUpdate]) -> None:
        """Take a REST answer that begins at `sequence.through`."""
        self._heard_at = self._clock.monotonic()
        closed, forming = split(updates)
        bars = self.sequence.answered(closed, forming)
        self._filled += len(bars)
        self._emit(bars)
        if forming is not None:
            self._tick(forming)

    def lose(self, reason: str) -> None:
        """Say that bars may be missing from here on, unless that is already known."""
        if self.lost:
            return
        self.lost = True
        self.losses += 1
        self._filled = 0
        self._patience.renew()
        self._publish(StreamLost(self.symbol, reason, self._clock.now()))

    def catch_up(self) -> None:
        """Say that nothing is missing any more."""
        if self.lost and not self.sequence.gap:
            self.lost = False
            self._publish(StreamCaughtUp(self.symbol, self._filled, self._clock.now()))

    def wants(self, now: datetime, mono: float, *, polling: bool) -> bool:
        """Whether REST should be asked now: something is missing, or (polling) a mark is due."""
        due = self.sequence.behind(now)
        if due is not None and due != self._due:
            self._due = due
            self._patience.renew()
        if not self._patience.ready(mono):
            return False
        if self.lost:
            return True
        delay_s = self._terms.poll_delay_s if polling else self._terms.live_delay_s
        if due is not None and now >= due + timedelta(seconds=delay_s):
            return True
        return polling and mono - self._patience.asked_at >= self._terms.marks_every_s

    def asked(self, mono: float) -> None:
        """A question went: the next one waits a little longer."""
        self._patience.asked(mono)

    def silent_s(self, mono: float) -> float:
        """Seconds since the venue last said anything about this symbol, by whatever way."""
        return mono - self._heard_at

    def _drain(self) -> None:
        while self._inbox:
            self._emit(self.sequence.live(self._inbox.popleft()))
        if self.sequence.gap:
            self.lose("gap")
        if self._forming is not None:
            self._tick(self._forming)
            self._forming = None

    def _emit(self, bars: Sequence[Bar]) -> None:
        for bar in bars:
            self._price = bar.close
            self._publish(BarClosed(bar, self._clock.now()))

    def _tick(self, bar: Bar) -> None:
        mono = self._clock.monotonic()
        if not self.sequence.forming(bar) or bar.close == self._price or mono - self._ticked_at < TICK_SPACING_S:
            return
        self._price, self._ticked_at = bar.close, mono
        self._publish(PriceTicked(self.symbol, bar.close, self._clock.now()))


class RestLine:
    """The few workers that ask by REST, and what they know of the line: while it is down, one question at a time tries it."""

    def __init__(self, market: Market, terms: Terms, clock: Clock, rng: Random, size: int) -> None:
        self.trouble = ""  # what the last failed call said; empty while the line works
        self._market = market
        self._terms = terms
        self._clock = clock
        self._backoff = Backoff(rng, first_s=0.25, spacing_s=0.0)
        self._queue: asyncio.Queue[BarStream] = asyncio.Queue(maxsize=size)  # a symbol stands in it once at most
        self._pending: set[str] = set()
        self._newest: datetime | None = None

    def ask(self, stream: BarStream) -> bool:
        """Queue a question for one symbol. False: one is under way, or the line is down and it is not the time to try it."""
        mono = self._clock.monotonic()
        if stream.symbol in self._pending or (self._backoff.failures and (self._pending or self._backoff.wait_s(mono) > 0)):
            return False
        self._pending.add(stream.symbol)
        stream.asked(mono)
        self._queue.put_nowait(stream)
        return True

    async def work(self) -> None:
        """Answer questions, one after the other, for as long as the daemon lives."""
        while True:
            stream = await self._queue.get()
            try:
                if not self._backoff.failures or len(self._pending) == 1:
                    await self._fetch(stream)
            finally:
                self._pending.discard(stream.symbol)

    async def _fetch(self, stream: BarStream) -> None:
        while True:
            losses, through = stream.losses, stream.sequence.through
            began_at = self._clock.monotonic()
            try:
                # Without a start two candles do: the forming one, or the newest closed, is where the symbol begins.
                limit = 2 if through is None else PAGE
                updates = await self._market.bars(stream.symbol, self._terms.timeframe, since=through, limit=limit)
            except Fatal:
                raise
            except VenueError as error:
                self._failed(stream, error, began_at)
                return
            self._backoff.recovered()
            self.trouble = ""
            stream.answer(updates)
            if len(updates) < PAGE or stream.sequence.through == through:
                break
        self._judge(stream, losses)

    def _judge(self, stream: BarStream, losses: int) -> None:
        through = stream.sequence.through
        if through is not None:
            self._newest = through if self._newest is None else max(self._newest, through)
        # Old candles from everywhere mean a venue stuck in the past; from one symbol alone, that nobody trades it.
        oldest = self._clock.now() - 2 * self._terms.timeframe - timedelta(seconds=self._terms.stale_after_s)
        if self._newest is None or self._newest < oldest:
            stream.lose("stale")
        elif losses == stream.losses:
            stream.catch_up()

    def _failed(self, stream: BarStream, error: VenueError, began_at: float) -> None:
        if isinstance(error, Refused) and error.reason not in (Reason.RATE_LIMITED, Reason.MAINTENANCE):
            stream.lose(f"refused: {error.text}")  # about this symbol, not about the line
            return
        self.trouble = error.text
        self._backoff.failed(began_at, self._clock.monotonic(), error.retry_after_s or 0.0)


class Feed:
    """One websocket subscription for a batch of symbols, dialled again whenever it ends."""

    def __init__(self, market: Market, streams: Mapping[str, BarStream], terms: Terms, clock: Clock, dial: Backoff, habits: Habits) -> None:
        self.told: Told | None = None  # what the connection under way has told; None while there is none
        self.habits = habits
        self.streams = streams
        self._market = market
        self._terms = terms
        self._clock = clock
        self._dial = dial
        self._scope: asyncio.Timeout | None = None

    @property
    def up(self) -> bool:
        """Whether a connection stands and has shown itself."""
        return self.told is not None and self.told.frames > 0

    def standing(self, mono: float) -> bool:
        """Whether a subscription may be relied on: it has spoken, or was not refused at once."""
        return self.told is not None and (self.told.frames > 0 or mono - self.told.opened_at >= STANDING_AFTER_S)

    def drop(self) -> None:
        """End the connection under way as stale."""
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Watch, and dial again, for as long as the daemon lives."""
        while True:
            await self._turn()
            began_at = self._clock.monotonic()
            reason = await self._watch(began_at)
            spoke, self.told = self.up, None
            # What never spoke was never relied on where polling stands in for it.
            if spoke or self._terms.source == "stream":
                for stream in self.streams.values():
                    stream.lose(reason)
            if reason == "stale":
                with suppress(VenueError):
                    await self._market.reset_streams()

    async def _turn(self) -> None:
        # In steps of a second: another feed's success shortens the wait of all.
        while (wait_s := self._dial.wait_s(self._clock.monotonic())) > 0:
            await self._clock.sleep(min(wait_s, 1.0))
        self._dial.tried(self._clock.monotonic())

    async def _watch(self, began_at: float) -> str:
        anchor = next(iter(self.streams.values())).sequence.through
        through = close_before(self._clock.now(), self._terms.timeframe, anchor)
        self.told = Told(self._terms.timeframe, self.habits, through=through, mono=began_at)
        retry_after_s = 0.0
        try:
            async with asyncio.timeout(None) as self._scope:
                await self._market.watch_bars(tuple(self.streams), self._terms.timeframe, self._heard)
            reason = "ended"
        except TimeoutError:
            reason = "stale"
        except Fatal:
            raise
        except VenueError as error:
            reason, retry_after_s = error.text, error.retry_after_s or 0.0
        finally:
            self._scope = None
        self._dial.failed(began_at, self._clock.monotonic(), retry_after_s)
        return reason

    def _heard(self, update: BarUpdate) -> None:
        stream = self.streams.get(update.bar.symbol)
        if stream is None or self.told is None:
            return
        self.told.heard(update.bar, closed=update.closed, mono=self._clock.monotonic())
        stream.offer(update)


class Pacer:
    """Asks by REST, for one batch: everything while there is no stream, and what the stream left out while there is one."""

    def __init__(self, feed: Feed, rest: RestLine, terms: Terms, clock: Clock) -> None:
        self._feed = feed
        self._rest = rest
        self._terms = terms
        self._clock = clock
        # When most of a batch is silent, the connection is stale and not its symbols: no storm of calls, the Guard will tell.
        self._budget_max = max(1, int(WORKERS * terms.timeframe.total_seconds()))
        self._budget = self._budget_max
        self._budget_for: datetime | None = None

    async def run(self) -> None:
        """Look a few times within each grace, and right after each close, for as long as the daemon lives."""
        while True:
            await self._clock.sleep(self._pause_s())
            self._round(self._clock.now(), self._clock.monotonic())

    def _pause_s(self) -> float:
        now = self._clock.now()
        anchor = next(iter(self._feed.streams.values())).sequence.through
        next_close = close_before(now, self._terms.timeframe, anchor) + self._terms.timeframe
        to_poll_s = (next_close - now).total_seconds() + self._terms.poll_delay_s
        return max(0.001, min(self._terms.tick_s, to_poll_s))

    def _round(self, now: datetime, mono: float) -> None:
        polling = self._terms.source == "poll" or (self._terms.source == "auto" and not self._feed.up)
        if not polling and not self._feed.standing(mono):
            return
        for stream in self._feed.streams.values():
            if stream.wants(now, mono, polling=polling) and (polling or stream.lost or self._spend(stream, now)):
                self._rest.ask(stream)
            self._check_silence(stream, now, mono, polling=polling)

    def _spend(self, stream: BarStream, now: datetime) -> bool:
        due = stream.sequence.behind(now)
        if due != self._budget_for:
            self._budget_for, self._budget = due, self._budget_max
        self._budget -= 1
        return self._budget >= 0

    def _check_silence(self, stream: BarStream, now: datetime, mono: float, *, polling: bool) -> None:
        if not polling and stream.sequence.behind(now) is None:
            return
        marks_s = 2 * self._terms.marks_every_s if polling else 0.0
        if stream.silent_s(mono) > max(self._terms.stale_after_s, marks_s):
            stream.lose(f"no answer: {self._rest.trouble}" if self._rest.trouble else "silent")


class Guard:
    """Tells a stale connection from a quiet market, for one batch: it asks by REST, and a connection that owes something is dropped."""

    def __init__(self, market: Market, feed: Feed, terms: Terms, clock: Clock, dial: Backoff) -> None:
        self._market = market
        self._feed = feed
        self._terms = terms
        self._clock = clock
        self._dial = dial

    async def run(self) -> None:
        """Look once a second, for as long as the daemon lives."""
        while True:
            await self._clock.sleep(1.0)
            told = self._feed.told
            if told is None:
                continue
            if self._suspicious(told):
                await self._examine(told)
            elif told.frames and self._clock.monotonic() - told.opened_at >= PROVEN_AFTER_S:
                self._dial.recovered()

    def _suspicious(self, told: Told) -> bool:
        return told.suspicious(self._clock.now(), self._clock.monotonic(), PATIENCE_SHARE * self._terms.stale_after_s)

    async def _examine(self, told: Told) -> None:
        evident = await self._owes_something(told)
        await self._clock.sleep(SECOND_LOOK_S)  # what REST showed may be on its way
        if evident and self._feed.told is told and self._suspicious(told):
            self._feed.drop()

    async def _owes_something(self, told: Told) -> bool:
        symbol = self._feed.habits.busiest(self._feed.streams)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                updates = await self._market.bars(symbol, self._terms.timeframe, limit=2)
        except Fatal:
            raise
        except (VenueError, TimeoutError):
            return True  # silent, and nobody can say that it is rightly so
        return told.missed(*split(updates))


class BarStreams:
    """The bars of a universe: builds the parts and offers their coroutines."""

    def __init__(
        self,
        market: Market,
        symbols: Sequence[str],
        timeframe: timedelta,
        publish: Callable[[Event], None],
        clock: Clock,
        *,
        rng: Random,
        source: Source = "auto",
        grace: timedelta,
        stale_after: timedelta = timedelta(seconds=15),
    ) -> None:
        grace_s = min(grace, timeframe / 2).total_seconds()
        marks_s = max(MARKS_EVERY_S, len(symbols) / WORKERS)
        terms = Terms(timeframe, source, grace_s, stale_after.total_seconds(), marks_s)
        self._streams = {symbol: BarStream(symbol, terms, publish, clock) for symbol in symbols}
        self._rest = RestLine(market, terms, clock, rng, len(symbols))
        self._polled_only = source == "poll"
        dial = Backoff(rng, first_s=1.0, spacing_s=DIAL_SPACING_S)
        self._feeds, self._pacers, self._guards = [], [], []
        size = max(1, market.batch_max)
        for first in range(0, len(symbols), size):
            batch = {symbol: self._streams[symbol] for symbol in symbols[first : first + size]}
            feed = Feed(market, batch, terms, clock, dial, Habits())
            self._feeds.append(feed)
            self._pacers.append(Pacer(feed, self._rest, terms, clock))
            self._guards.append(Guard(market, feed, terms, clock, dial))

    def start_from(self, closes: Mapping[str, datetime | None]) -> None:
        """Continue each symbol after its last close already known (UTC); None, or a symbol not named, begins at the first live candle."""
        for symbol, after in closes.items():
            self._streams[symbol].sequence.through = after

    def jobs(self) -> list[Job]:
        """Named coroutines for the nest. None of them returns; what they raise is Fatal or a programmer's error."""
        jobs: list[Job] = [(f"bars.{symbol}", stream.run) for symbol, stream in self._streams.items()]
        jobs += [(f"rest.{n}", self._rest.work) for n in range(min(WORKERS, len(self._streams)))]
        jobs += [(f"pace.{n}", pacer.run) for n, pacer in enumerate(self._pacers)]
        if not self._polled_only:
            jobs += [(f"feed.{n}", feed.run) for n, feed in enumerate(self._feeds)]
            jobs += [(f"guard.{n}", guard.run) for n, guard in enumerate(self._guards)]
        return jobs
