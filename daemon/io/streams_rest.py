"""Streams, the half that asks by REST: the terms all parts share, one symbol's BarStream, and the few workers that ask for all of them.

Rule: a question is asked of a symbol at most once at a time, begins where its bars end, and while the venue does not answer one question
at a time tries whether it does again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final, Literal

from daemon.core.barflow import BarFlow
from daemon.core.events import Event
from daemon.core.model import Bar
from daemon.core.vigil import Backoff, Patience
from daemon.io.clock import Clock
from daemon.io.exchange import BarUpdate, Fatal, Market, Reason, Refused, VenueError

Source = Literal["auto", "stream", "poll"]

# REST calls under way at once: enough for 12 symbols a second at 500 ms a call, little enough not to crowd out orders.
WORKERS: Final = 8
# Candles in one REST call: what venues give at most, and one back-fill holds in memory.
PAGE: Final = 1000
# A websocket that speaks again after so long a silence tells that the venue is back: what waits for its turn to be asked need not wait.
SILENCE_S: Final = 5.0
# Closed bars that may wait for their stream's turn. Only a blocked loop fills it; the oldest go then, and the gap is filled by REST.
INBOX_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Terms:
    """What all parts agree on. `grace` is how long after a close the bar may come before the slice goes on without it."""

    timeframe: timedelta
    source: Source
    grace_s: float
    stale_after_s: float
    marks_every_s: float
    chases_max: int  # questions per bar and batch about what a standing stream has not told

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
    """One symbol: the inbox of what a websocket brings, and when REST should be asked. `flow` decides what goes out."""

    def __init__(
        self, symbol: str, terms: Terms, publish: Callable[[Event], None], clock: Clock, received: Callable[[], None] = lambda: None
    ) -> None:
        self.flow = BarFlow(symbol, terms.timeframe)
        self._terms = terms
        self._publish = publish
        self._clock = clock
        self._received = received
        self._closed: deque[Bar] = deque(maxlen=INBOX_MAX)
        self._forming: Bar | None = None
        self._wake = asyncio.Event()
        self._heard_at = float("-inf")
        self._back = False  # a websocket has spoken again, and nobody has made use of that yet
        self._occasion: tuple[bool, datetime | None] = (False, None)  # whether lost, else up to which close was asked
        self._patience = Patience(max(0.05, terms.grace_s / 8))

    @property
    def through(self) -> datetime | None:
        """The close up to which all that the venue has is out."""
        return self.flow.sequence.through

    async def run(self) -> None:
        """Publish what the websocket brings, for as long as the daemon lives."""
        self._heard_at = self._clock.monotonic()
        self.lose("opening")
        while True:
            await self._wake.wait()
            self._wake.clear()
            closed, forming = list(self._closed), self._forming
            self._closed.clear()
            self._forming = None
            self._emit(self.flow.live(closed, forming, self._clock.now(), self._clock.monotonic()))

    def offer(self, update: BarUpdate) -> None:
        """Take a candle from a websocket; never waits. Of forming ones only the newest is kept."""
        mono = self._clock.monotonic()
        self._back |= self.flow.lost and mono - self._heard_at >= SILENCE_S
        self._heard_at = mono
        if update.closed:
            self._received()
            self._closed.append(update.bar)
        else:
            self._forming = update.bar
        self._wake.set()

    def answer(self, updates: Sequence[BarUpdate]) -> None:
        """Take a REST answer that begins at `through`."""
        self._received()
        self._heard_at = self._clock.monotonic()
        self._emit(self.flow.answered(*split(updates), self._clock.now(), self._heard_at))

    def lose(self, reason: str) -> None:
        """Bars may be missing from here on, unless that is already known."""
        self._emit(self.flow.lose(reason, self._clock.now()))

    def catch_up(self, losses: int) -> None:
        """A question put when there had been `losses` is answered in full."""
        now = self._clock.now()
        if losses == self.flow.losses:
            self._emit(self.flow.caught_up(now))
        if not self.flow.lost and self.flow.sequence.behind(now) is None:
            self._patience.renew()

    def wants(self, now: datetime, mono: float, *, polling: bool) -> bool:
        """Whether REST should be asked now: something is missing, or (polling) a mark is due."""
        due = self.flow.sequence.behind(now)
        occasion = (self.flow.lost, None if self.flow.lost else due or self._occasion[1])
        if occasion != self._occasion:
            self._occasion = occasion
            self._patience.renew()
        if not self._patience.ready(mono):
            return False
        if self.flow.lost:
            return True
        delay_s = self._terms.poll_delay_s if polling else self._terms.live_delay_s
        if due is not None and now >= due + timedelta(seconds=delay_s):
            return True
        return polling and mono - self._patience.asked_at >= self._terms.marks_every_s

    def is_back(self) -> bool:
        """Whether a websocket speaks again after a silence in which bars were lost. Told once: what is missing may then be asked for."""
        back, self._back = self._back, False
        if back:
            self._patience.renew()
        return back

    def asked(self, mono: float) -> None:
        """A question went: the next one waits a little longer."""
        self._patience.asked(mono)

    def silent_s(self, mono: float) -> float:
        """Seconds since the venue last said anything about this symbol, by whatever way."""
        return mono - self._heard_at

    def _emit(self, events: Sequence[Event]) -> None:
        for event in events:
            self._publish(event)


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

    def is_back(self) -> None:
        """The venue has spoken by another way: the line may be tried at once."""
        self._backoff.recovered()

    def ask(self, stream: BarStream) -> bool:
        """Queue a question for one symbol. False: one is under way, or the line is down and it is not the time to try it."""
        mono = self._clock.monotonic()
        if stream.flow.symbol in self._pending or (self._backoff.failures and (self._pending or self._backoff.wait_s(mono) > 0)):
            return False
        self._pending.add(stream.flow.symbol)
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
                self._pending.discard(stream.flow.symbol)

    async def _fetch(self, stream: BarStream) -> None:
        while True:
            losses, through = stream.flow.losses, stream.through
            began_at = self._clock.monotonic()
            try:
                # Without a start two candles do: the forming one, or the newest closed, is where the symbol begins.
                limit = 2 if through is None else PAGE
                updates = await self._market.bars(stream.flow.symbol, self._terms.timeframe, since=through, limit=limit)
            except Fatal:
                raise
            except VenueError as error:
                self._failed(stream, error, began_at)
                return
            self._backoff.recovered()
            self.trouble = ""
            if through is None and stream.through is not None:
                return  # the websocket was first; this answer begins somewhere else
            stream.answer(updates)
            if len(updates) < PAGE or stream.through == through:
                break
        self._judge(stream, losses)

    def _judge(self, stream: BarStream, losses: int) -> None:
        through = stream.through
        if through is not None:
            self._newest = through if self._newest is None else max(self._newest, through)
        # Old candles from everywhere mean a venue stuck in the past; from one symbol alone, that nobody trades it.
        oldest = self._clock.now() - 2 * self._terms.timeframe - timedelta(seconds=self._terms.stale_after_s)
        if self._newest is None or self._newest < oldest:
            stream.lose("stale")
        else:
            stream.catch_up(losses)

    def _failed(self, stream: BarStream, error: VenueError, began_at: float) -> None:
        if isinstance(error, Refused) and error.reason not in (Reason.RATE_LIMITED, Reason.MAINTENANCE):
            stream.lose(f"refused: {error.text}")  # about this symbol, not about the line
            return
        self.trouble = error.text
        self._backoff.failed(began_at, self._clock.monotonic(), error.retry_after_s or 0.0)
