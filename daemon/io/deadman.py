"""Dead man's switch: has the exchange cancel our orders by itself once nothing is heard of this daemon any more.

Rule: a countdown runs at the exchange wherever an order of ours may be in the book, and nowhere else: it cancels every order of the
account in that market, whoever sent it. It begins anew at a third of its length, and after a failure at a ninth.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from datetime import timedelta
from typing import Any, Final

import structlog

from daemon.core.ordertable import State, Tracked
from daemon.io.clock import Clock
from daemon.io.exchange import Countdown, VenueError

log = structlog.get_logger()

LOOK_EVERY_S: Final = 1.0
BEATS: Final = 3  # in the length of a countdown
END_S: Final = 1.5  # what a stop has for ending them


def may_rest(orders: Iterable[Tracked]) -> set[str]:
    """The symbols in which one of these orders may be in the book; what is still on its way and ends at once is none yet."""
    return {
        each.order.symbol
        for each in orders
        if each.open or each.state is State.UNKNOWN or (each.state is State.SENT and each.order.post_only)
    }


class DeadMansSwitch:
    """`resting` are the symbols in which an order of ours may be in the book now, `left` those in which the last process had any.

    Lengths in seconds of the monotonic clock; `together` runs coroutines side by side.
    """

    def __init__(
        self,
        venue: Countdown,
        length: timedelta,
        resting: Callable[[], Collection[str]],
        left: Iterable[str],
        clock: Clock,
        together: Callable[..., Coroutine[Any, Any, None]],
    ) -> None:
        self._venue = venue
        self._length_s = length.total_seconds()
        self._resting = resting
        self._clock = clock
        self._together = together
        self._due_at = dict.fromkeys(left, float("-inf"))  # by symbol whose countdown runs, or may: when something is to be done about it
        self._over_at: dict[str, float] = {}  # when the exchange will have counted down
        self._lost: set[str] = set()  # those of which the last request has failed
        self._stopped = False

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            if not self._stopped:
                await self.look()
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Begin the countdowns that are due, and end those that nothing of ours needs any more."""
        now, resting = self._clock.monotonic(), set(self._resting())
        due = [symbol for symbol in sorted(resting | self._due_at.keys()) if self._is_due(symbol, now, wanted=symbol in resting)]
        await self._together(*(self._set(symbol, self._length_s if symbol in resting else 0.0) for symbol in due))

    async def end(self, *, keep: bool) -> None:
        """The process stops in order: end all of them if open orders are kept, else those of which nothing of ours may be open."""
        self._stopped = True
        resting = set() if keep else set(self._resting())
        await self._together(*(self._set(symbol, 0.0, within_s=END_S) for symbol in sorted(self._due_at.keys() - resting)))

    def _is_due(self, symbol: str, now: float, *, wanted: bool) -> bool:
        """Whether something is to be asked: what is wanted no more is ended at once, and again calmly where that has failed."""
        return self._due_at.get(symbol, now) <= now or not (wanted or symbol in self._lost)

    async def _set(self, symbol: str, length_s: float, within_s: float | None = None) -> None:
        """Begin a countdown, or end it by 0; it counts from before the request left, since nobody knows when it arrived."""
        asked_at, beat_s = self._clock.monotonic(), self._length_s / BEATS
        self._due_at[symbol] = asked_at + beat_s
        try:
            async with asyncio.timeout(within_s or beat_s):
                await self._venue.cancel_after(symbol, length_s)
        except (VenueError, TimeoutError) as error:
            self._failed(symbol, error)
            return
        if symbol in self._lost:
            self._lost.discard(symbol)
            log.info("switch.back", symbol=symbol)
        if length_s:
            if symbol not in self._over_at:
                log.info("switch.begun", symbol=symbol, length_s=length_s)
            self._over_at[symbol] = asked_at + length_s
        else:
            del self._due_at[symbol]
            if self._over_at.pop(symbol, None) is not None:
                log.info("switch.ended", symbol=symbol)

    def _failed(self, symbol: str, error: VenueError | TimeoutError) -> None:
        now = self._clock.monotonic()
        self._due_at[symbol] = now + self._length_s / BEATS**2
        if symbol not in self._lost:
            self._lost.add(symbol)
            over_at = self._over_at.get(symbol)
            left_s = None if over_at is None else round(max(0.0, over_at - now), 3)
            log.warning("switch.lost", symbol=symbol, error=getattr(error, "text", "") or "no answer in time", cancels_in_s=left_s)
