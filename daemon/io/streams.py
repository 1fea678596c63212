"""Streams: closed bars of many symbols, from websockets or by polling, once each and in order.

Rule: whatever the transport loses, repeats or shuffles, a symbol's `BarClosed` are the venue's bars; while they may be incomplete,
`StreamLost` stands, until `StreamCaughtUp` says that nothing is missing. Nothing here logs or starts a task: `jobs` are for the nest.

Who does what: a BarStream puts one symbol's bars in order; a Feed holds one websocket subscription for a batch of symbols; a Pacer asks
by REST for what is due and has not come; a Guard tells a broken connection from a quiet market; RestLine's few workers make the calls.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from random import Random
from typing import Final

from daemon.core.barflow import close_before
from daemon.core.events import Event
from daemon.core.vigil import Backoff, Habits, Told
from daemon.io.clock import Clock
from daemon.io.exchange import BarUpdate, Fatal, Market, VenueError
from daemon.io.streams_rest import WORKERS, BarStream, RestLine, Source, Terms, split

Job = tuple[str, Callable[[], Coroutine[None, None, None]]]

STALE: Final = "stale"
RENEWED: Final = "renewed"
# Exchanges end a connection after 24 hours, wherever that falls. An hour before, it is ended and dialled again where no bar is due: after
# the grace of the last close, and so long before the next one.
RENEW_AFTER_S: Final = 23 * 3600.0
RENEW_WITHIN_S: Final = 5.0
# Bars asked for while their stream stands: when most of a batch is silent it is the connection that is stale, not its symbols, and the
# Guard will tell. 20 calls a second until then are a third of Binance's request weight.
CHASES_PER_S: Final = 20
# Marks while polling: as often as the light side allows, and WORKERS calls a second for all symbols together.
MARKS_EVERY_S: Final = 5.0
# One dial a second for the venue whatever happens; a subscription that has stood this long is taken for standing.
DIAL_SPACING_S: Final = 1.0
STANDING_AFTER_S: Final = 2.0
# A connection that has lived this long was no failed attempt.
PROVEN_AFTER_S: Final = 30.0
# One that was let in and told nothing for so long is no refusal either: whoever is muted need not be left alone for longer and longer.
LET_IN_S: Final = 5.0
# The Guard's share of `stale_after` before it asks; the rest is for the probe and for the frame that may just be on its way.
PATIENCE_SHARE: Final = 0.5
PROBE_TIMEOUT_S: Final = 3.0
SECOND_LOOK_S: Final = 2.0
# Between two probes of a connection that is silent and owes nothing.
PROBE_EVERY_S: Final = 4.0


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
        self._ended = ""  # why the connection under way is being ended here

    @property
    def up(self) -> bool:
        """Whether a connection stands and has shown itself."""
        return self.told is not None and self.told.frames > 0

    def standing(self, mono: float) -> bool:
        """Whether a subscription may be relied on: it has spoken, or was not refused at once."""
        return self.told is not None and (self.told.frames > 0 or mono - self.told.opened_at >= STANDING_AFTER_S)

    def drop(self, why: str = STALE) -> None:
        """End the connection under way, as stale or in order to be dialled anew."""
        if self._scope is not None and not self._ended:
            self._ended = why
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Watch, and dial again, for as long as the daemon lives."""
        while True:
            await self._turn()
            began_at = self._clock.monotonic()
            reason = await self._watch(began_at)
            spoke, self.told = self.up, None
            # What never spoke was never relied on where polling stands in for it, and where no bar was due none is missing.
            if (spoke or self._terms.source == "stream") and reason != RENEWED:
                for stream in self.streams.values():
                    stream.lose(reason)
            if reason == STALE:
                with suppress(VenueError):
                    await self._market.reset_streams()

    async def _turn(self) -> None:
        # In steps of a second: another feed's success shortens the wait of all.
        while (wait_s := self._dial.wait_s(self._clock.monotonic())) > 0:
            await self._clock.sleep(min(wait_s, 1.0))
        self._dial.tried(self._clock.monotonic())

    async def _watch(self, began_at: float) -> str:
        anchor = next(iter(self.streams.values())).through
        through = close_before(self._clock.now(), self._terms.timeframe, anchor)
        self.told = Told(self._terms.timeframe, self.habits, through=through, mono=began_at)
        reason, retry_after_s = "ended", 0.0
        self._ended = ""
        try:
            async with asyncio.timeout(None) as self._scope:
                await self._market.watch_bars(tuple(self.streams), self._terms.timeframe, self._heard)
        except TimeoutError:
            if not self._ended:
                raise
        except Fatal:
            raise
        except VenueError as error:
            reason, retry_after_s = error.text, error.retry_after_s or 0.0
        self._scope = None
        if self._ended and self._clock.monotonic() - began_at >= LET_IN_S:
            self._dial.recovered()
        if self._ended != RENEWED:
            self._dial.failed(began_at, self._clock.monotonic(), retry_after_s)
        return self._ended or reason

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
        self._budget = terms.chases_max
        self._budget_for: datetime | None = None

    async def run(self) -> None:
        """Look a few times within each grace, and right after each close, for as long as the daemon lives."""
        while True:
            await self._clock.sleep(self._pause_s())
            self._round(self._clock.now(), self._clock.monotonic())

    def _pause_s(self) -> float:
        delay = timedelta(seconds=self._terms.poll_delay_s)
        since = self._clock.now() - delay
        anchor = next(iter(self._feed.streams.values())).through
        to_poll = close_before(since, self._terms.timeframe, anchor) + self._terms.timeframe - since
        return max(0.001, min(self._terms.tick_s, to_poll.total_seconds()))

    def _round(self, now: datetime, mono: float) -> None:
        polling = self._terms.source == "poll" or (self._terms.source == "auto" and not self._feed.up)
        if not polling and not self._feed.standing(mono):
            return
        for stream in self._feed.streams.values():
            if stream.is_back():
                self._rest.is_back()
            if stream.wants(now, mono, polling=polling) and (polling or stream.flow.lost or self._spend(stream, now)):
                self._rest.ask(stream)
            self._check_silence(stream, now, mono, polling=polling)

    def _spend(self, stream: BarStream, now: datetime) -> bool:
        due = stream.flow.sequence.behind(now)
        if due != self._budget_for:
            self._budget_for, self._budget = due, self._terms.chases_max
        self._budget -= 1
        return self._budget >= 0

    def _check_silence(self, stream: BarStream, now: datetime, mono: float, *, polling: bool) -> None:
        if stream.flow.lost:
            return
        due = stream.flow.sequence.behind(now)
        bar_owed = due is not None and (now - due).total_seconds() > self._terms.stale_after_s
        mark_owed = polling and stream.silent_s(mono) > 2 * self._terms.marks_every_s
        if (bar_owed or mark_owed) and stream.silent_s(mono) > self._terms.stale_after_s:
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
                if self._clock.monotonic() - told.opened_at >= RENEW_AFTER_S and self._calm(self._clock.now()):
                    self._feed.drop(RENEWED)

    def _calm(self, now: datetime) -> bool:
        """Whether no bar is due before a connection that is ended now stands again, or they come so fast that one always is."""
        timeframe = self._terms.timeframe
        since = now - close_before(now, timeframe, next(iter(self._feed.streams.values())).through)
        between = since.total_seconds() >= self._terms.grace_s and (timeframe - since).total_seconds() >= RENEW_WITHIN_S
        return between or timeframe.total_seconds() < 2 * RENEW_WITHIN_S

    def _suspicious(self, told: Told) -> bool:
        return told.suspicious(self._clock.now(), self._clock.monotonic(), PATIENCE_SHARE * self._terms.stale_after_s)

    async def _examine(self, told: Told) -> None:
        if not await self._owes_something(told):
            await self._clock.sleep(PROBE_EVERY_S)
            return
        await self._clock.sleep(SECOND_LOOK_S)  # what REST showed may be on its way
        if self._feed.told is told and self._suspicious(told):
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
        received: Callable[[], None] = lambda: None,
    ) -> None:
        """`received` is told at once when a closed bar has come in, before anything is done with it."""
        grace_s = min(grace, timeframe / 2).total_seconds()
        marks_s = max(MARKS_EVERY_S, len(symbols) / WORKERS)
        size = max(1, market.batch_max)
        chases = CHASES_PER_S * timeframe.total_seconds() * size / max(size, len(symbols))
        terms = Terms(timeframe, source, grace_s, stale_after.total_seconds(), marks_s, max(1, int(chases)))
        self._streams = {symbol: BarStream(symbol, terms, publish, clock, received) for symbol in symbols}
        self._rest = RestLine(market, terms, clock, rng, len(symbols))
        self._polled_only = source == "poll"
        dial = Backoff(rng, first_s=1.0, spacing_s=DIAL_SPACING_S)
        self._feeds, self._pacers, self._guards = [], [], []
        for first in range(0, len(symbols), size):
            batch = {symbol: self._streams[symbol] for symbol in symbols[first : first + size]}
            feed = Feed(market, batch, terms, clock, dial, Habits())
            self._feeds.append(feed)
            self._pacers.append(Pacer(feed, self._rest, terms, clock))
            self._guards.append(Guard(market, feed, terms, clock, dial))

    @property
    def streaming(self) -> bool:
        """Whether every symbol's candles come by websocket now; otherwise some are polled for."""
        return not self._polled_only and all(feed.up for feed in self._feeds)

    def start_from(self, closes: Mapping[str, datetime | None]) -> None:
        """Continue each symbol after its last close already known (UTC); None, or a symbol not named, begins at the first live candle."""
        for symbol, after in closes.items():
            self._streams[symbol].flow.sequence.through = after

    def jobs(self) -> list[Job]:
        """Named coroutines for the nest. None of them returns; what they raise is Fatal or a programmer's error."""
        jobs: list[Job] = [(f"bars.{symbol}", stream.run) for symbol, stream in self._streams.items()]
        jobs += [(f"rest.{n}", self._rest.work) for n in range(min(WORKERS, len(self._streams)))]
        jobs += [(f"pace.{n}", pacer.run) for n, pacer in enumerate(self._pacers)]
        if not self._polled_only:
            jobs += [(f"feed.{n}", feed.run) for n, feed in enumerate(self._feeds)]
            jobs += [(f"guard.{n}", guard.run) for n, guard in enumerate(self._guards)]
        return jobs
