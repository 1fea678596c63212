"""RateGate: who may speak to the venue now, and who must wait.

Rule: in no window of a lane's length does more than its share of the venue's limit pass, the most urgent goes first, and while the venue
has told us to be silent nobody goes at all. Intervals are monotonic: a stepping wall clock changes nothing. Idle, it costs nothing.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from daemon.io.clock import Clock
from daemon.io.exchange import MAY_LEAVE, NotSent, Reason, Urgency, Usage

WEIGHT: Final = "weight"  # what a venue counts against its request limit
ORDERS: Final = "orders"  # new orders, which some venues count beside the weight
MESSAGES: Final = "messages"  # websocket messages sent

RANK: Final = MappingProxyType({urgency: rank for rank, urgency in enumerate(Urgency)})

# The part of a limit that each urgency may fill. Four fifths at most, because the venue may count others behind our address, and its own
# window differs from ours by the time on the wire; less for what can wait, so that a warm-up never makes a cancel wait for the window's
# end.
SHARE: Final = MappingProxyType(
    {Urgency.CANCEL: 0.8, Urgency.REDUCE: 0.8, Urgency.GROW: 0.76, Urgency.RECONCILE: 0.72, Urgency.DATA: 0.6},
)
FLAT_SHARE: Final = 0.8

# New orders. Once the gate is shut to them, one that waits is told within this many seconds.
SENDING: Final = frozenset({Urgency.REDUCE, Urgency.GROW})
NAP_S: Final = 0.5

# Through a longer silence an order does not wait: its price would be too old by then, and whoever wants it plans anew.
SILENCE_MAX_S: Final = 5.0

EPSILON: Final = 1e-9  # weights are sums of fifths: do not refuse the last one for a rounding error


class Window:
    """What has passed within the last `window_s` seconds, and how long until more may.

    A sliding window holds for every alignment of the venue's own fixed one. `tiered`: whether SHARE applies, or FLAT_SHARE to everybody.
    """

    def __init__(self, limit: float, window_s: float, *, tiered: bool) -> None:
        self.limit = limit
        self.window_s = window_s
        self.tiered = tiered
        self._passed: deque[tuple[float, float]] = deque()  # (moment, weight), oldest first; at most limit / smallest weight of them
        self._sum = 0.0

    def used(self, now: float) -> float:
        """The weight that passed within the window that ends now."""
        while self._passed and self._passed[0][0] <= now - self.window_s:
            self._sum -= self._passed.popleft()[1]
        if not self._passed:
            self._sum = 0.0  # forget the rounding errors of a day
        return self._sum

    def charge(self, moment: float, weight: float) -> None:
        """Book `weight` at a moment, which may lie before those booked last."""
        at = len(self._passed)
        while at and self._passed[at - 1][0] > moment:
            at -= 1
        self._passed.insert(at, (moment, weight))
        self._sum += weight

    def wait_s(self, now: float, weight: float, urgency: Urgency) -> float:
        """Seconds until `weight` fits if nobody else passes; 0 when it fits now. More than the share waits for an empty window."""
        room = self.limit * (SHARE[urgency] if self.tiered else FLAT_SHARE)
        excess = self.used(now) + min(weight, room) - room - EPSILON
        if excess <= 0:
            return 0.0
        for moment, passed in self._passed:
            excess -= passed
            if excess <= 0:
                return max(moment + self.window_s - now, EPSILON)
        return self.window_s


class _Turn:
    """One request in the queue: comes up as head, then waits for its weight."""

    __slots__ = ("called", "left", "urgency", "weight")

    def __init__(self, weight: float, urgency: Urgency) -> None:
        self.weight = weight
        self.urgency = urgency
        self.called: asyncio.Future[None] | None = None
        self.left = False


class _Lane:
    """A window and the queue before it: strictly by urgency, then in order of arrival."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._queue: list[tuple[int, int, _Turn]] = []
        self._numbers = itertools.count()

    def head(self) -> _Turn | None:
        """Whose turn it is."""
        while self._queue and self._queue[0][2].left:
            heapq.heappop(self._queue)
        return self._queue[0][2] if self._queue else None

    def join(self, turn: _Turn) -> None:
        """Queue up."""
        heapq.heappush(self._queue, (RANK[turn.urgency], next(self._numbers), turn))

    def wake(self) -> None:
        """Let everybody in the queue look again."""
        for _, _, turn in self._queue:
            if turn.called is not None and not turn.called.done():
                turn.called.set_result(None)

    def leave(self, turn: _Turn) -> None:
        """Go, admitted or not, and call the next."""
        turn.left = True
        following = self.head()
        if following is not None and following.called is not None and not following.called.done():
            following.called.set_result(None)


class RateGate:
    """Weighted, prioritised admission to one venue.

    Every lane has its own window and queue; a lane without a limit lets everything pass. `wait_max_s` bounds a wait: what would wait longer
    is NotSent, since an order that old serves a decision that is gone.
    """

    def __init__(self, clock: Clock, *, wait_max_s: float = 90.0) -> None:
        self._clock = clock
        self._wait_max_s = wait_max_s
        self._lanes: dict[str, _Lane] = {}
        self._silent_until = float("-inf")
        self._shut = False
        self.told: Callable[[float], None] = lambda _seconds: None  # hears of every silence that is longer than the one before

    def limit(self, lane: str, amount: float, window_s: float, *, tiered: bool = True) -> None:
        """State what the venue allows: `amount` in any `window_s` seconds. What has passed before stays counted."""
        known = self._lanes.get(lane)
        if known is None:
            self._lanes[lane] = _Lane(Window(amount, window_s, tiered=tiered))
        else:
            known.window.limit, known.window.window_s, known.window.tiered = amount, window_s, tiered

    def learn(self, lane: str, used: float, age_s: float = 0.0) -> None:
        """The venue counts `used` against us now. What is beyond our own book was somebody else, or ourselves before a restart.

        `age_s`: how long ago the window began in which it counts. It forgets at that window's end, so from then on we may as well: a
        restart then waits for the rest of a minute, not for a whole one.
        """
        known = self._lanes.get(lane)
        if known is not None:
            now = self._clock.monotonic()
            foreign = used - known.window.used(now)
            if foreign > EPSILON:
                known.window.charge(now - age_s, foreign)

    def pause(self, seconds: float) -> None:
        """Be silent for that long: nothing passes. The longest of several pauses counts."""
        until = self._clock.monotonic() + seconds
        if until > self._silent_until:
            self._silent_until = until
            self.told(seconds)

    def shut(self) -> None:
        """Let no new order pass any more, nor those that wait here; cancels and look-ups go on. For an end in order."""
        self._shut = True
        for lane in self._lanes.values():
            lane.wake()

    @property
    def paused_for_s(self) -> float:
        """Seconds of silence that remain, 0 when there is none."""
        return max(0.0, self._silent_until - self._clock.monotonic())

    def usage(self) -> Usage:
        """By lane the share of the venue's limit that passed within the window, and the silence that remains."""
        now = self._clock.monotonic()
        windows = {lane: known.window for lane, known in self._lanes.items()}
        return Usage({lane: window.used(now) / window.limit for lane, window in windows.items()}, self.paused_for_s)

    def used(self, lane: str) -> float:
        """The weight that passed a lane within its window."""
        known = self._lanes.get(lane)
        return 0.0 if known is None else known.window.used(self._clock.monotonic())

    async def acquire(self, urgency: Urgency, charges: Mapping[str, float]) -> None:
        """Return once `charges`, weight by lane, may be spent; they are spent then.

        Raises:
            NotSent: the wait would exceed `wait_max_s`, or has, or the gate was shut; an order does not sit out a long silence either.
        """
        self._check_open(urgency)
        deadline = self._clock.monotonic() + self._wait_max_s
        for lane, weight in charges.items():
            known = self._lanes.get(lane)
            if known is not None:
                await self._pass(known, _Turn(weight, urgency), deadline)
        if self.paused_for_s > 0:  # silence was asked for between two lanes, or there is no lane at all
            await self._sit_out(deadline, urgency)

    async def _pass(self, lane: _Lane, turn: _Turn, deadline: float) -> None:
        lane.join(turn)
        try:
            while True:
                self._check_open(turn.urgency)
                now = self._clock.monotonic()
                if lane.head() is turn:
                    wait_s = self._wait_s(lane, turn, now)
                    if wait_s <= 0:
                        lane.window.charge(now, turn.weight)
                        return
                    self._check(now + wait_s, deadline, now)
                    await self._clock.sleep(min(wait_s, NAP_S) if turn.urgency in SENDING else wait_s)
                else:
                    # Nobody is woken to be told that it is hopeless: the look at the wait without the others is a lower bound.
                    self._check(now + self._wait_s(lane, turn, now), deadline, now)
                    turn.called = asyncio.get_running_loop().create_future()
                    await turn.called
        finally:
            lane.leave(turn)

    def _check_open(self, urgency: Urgency) -> None:
        if urgency not in SENDING:
            return
        if self._shut:
            raise NotSent("the daemon is stopping")
        if not MAY_LEAVE.get()():
            raise NotSent("trading was restricted while the order waited for its turn")
        silence_s = self.paused_for_s
        if silence_s > SILENCE_MAX_S:
            raise NotSent(f"the venue has asked for another {silence_s:.0f} s of silence", Reason.RATE_LIMITED, silence_s)

    def _wait_s(self, lane: _Lane, turn: _Turn, now: float) -> float:
        return max(self._silent_until - now, lane.window.wait_s(now, turn.weight, turn.urgency))

    def _check(self, until: float, deadline: float, now: float) -> None:
        if until > deadline:
            raise NotSent(f"the venue's limits leave no room for another {until - now:.0f} s", Reason.RATE_LIMITED, until - now)

    async def _sit_out(self, deadline: float, urgency: Urgency) -> None:
        while (wait_s := self.paused_for_s) > 0:
            self._check_open(urgency)
            now = self._clock.monotonic()
            self._check(now + wait_s, deadline, now)
            await self._clock.sleep(min(wait_s, NAP_S) if urgency in SENDING else wait_s)
        self._check_open(urgency)  # the last nap, too, is time enough for a halt
