"""Loop: one virtual time for a venue and for the processes of a daemon that come and go; what is dead never runs again.

Rule: whatever runs belongs to the process in whose context it was scheduled, 0 being the world. A killed process does not clean up: its
tasks stay where they stood, as after SIGKILL, and nothing that it had scheduled happens.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import Any, Final, TypeVar, TypeVarTuple

from tests.sim.virtual import SimLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PROCESS: Final[ContextVar[int]] = ContextVar("process", default=0)


# As asyncio's own loop has it: so many timers, of which so large a part has been cancelled, are worth sorting anew.
CANCELLED_MIN: Final = 100
CANCELLED_SHARE: Final = 0.5


class _Timer(asyncio.TimerHandle):
    """As asyncio's own, compared with nothing else."""

    _when: float
    __slots__ = ()

    def __lt__(self, other: Any) -> bool:
        return bool(self._when < other._when)


class SwarmLoop(SimLoop):
    """Virtual time in which processes can be killed.

    A turn of it is a turn of asyncio's own loop, callback for callback, without what looks outside or for a mistake: stories are made of
    little else than turns.
    """

    _ready: Any
    _scheduled: Any
    _stopping: bool
    _timer_cancelled_count: int
    _clock_resolution: float

    def __init__(self) -> None:
        self._dead: set[int] = set()
        self._over = False
        self._tasks: list[asyncio.Task[Any]] = []  # the dead are kept to the end: being collected would run their cleanup
        self._many = 20_000
        super().__init__()
        self.set_exception_handler(lambda _loop, _context: None)  # of tasks that died with their process nobody asks the result

    def kill(self, process: int) -> None:
        """End a process where it stands."""
        self._dead.add(process)
        for handle in (*self._ready, *self._scheduled):
            self._bury(handle)

    def _bury(self, handle: Any) -> None:
        if self._over or handle._context.get(PROCESS, 0) in self._dead:
            handle.cancel()

    def create_task(self, coro: Any, **more: Any) -> asyncio.Task[Any]:
        task = super().create_task(coro, **more)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.append(task)
        if len(self._tasks) > self._many:
            self._tasks = [each for each in self._tasks if not each.done()]  # in a long story most have ended by themselves
            self._many = max(self._many, 2 * len(self._tasks))
        return task

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        if self._dead or self._over:
            self._bury(handle)
        return handle

    def call_at(self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.TimerHandle:
        handle = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, handle)
        handle._scheduled = True  # type: ignore[attr-defined]
        if self._dead or self._over:
            self._bury(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._jump.ahead_s + delay, callback, *args, context=context)

    # Asked for every future and every handle; nobody looks for mistakes of asyncio's use here.
    get_debug = staticmethod(bool)

    def _run_once(self) -> None:
        """One turn: time passes where nothing is ready, then everything that is ready now has its turn."""
        self._forget_cancelled()
        scheduled, ready = self._scheduled, self._ready
        if not ready and not self._stopping:
            if not scheduled:
                raise AssertionError("nothing will ever happen again")
            self._jump.ahead_s += max(0, scheduled[0]._when - self._jump.ahead_s)
        due = self._jump.ahead_s + self._clock_resolution
        while scheduled and scheduled[0]._when < due:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _forget_cancelled(self) -> None:
        scheduled = self._scheduled
        if len(scheduled) > CANCELLED_MIN and self._timer_cancelled_count / len(scheduled) > CANCELLED_SHARE:
            kept = []
            for handle in scheduled:
                handle._scheduled = not handle._cancelled
                if handle._scheduled:
                    kept.append(handle)
            heapq.heapify(kept)
            self._scheduled = kept
            self._timer_cancelled_count = 0
            return
        while scheduled and scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)._scheduled = False


def run(main: Callable[[SwarmLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a world to its end; whoever still stands around in it then is taken away without a word."""
    loop = SwarmLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop._over = True
        for task in loop._tasks:
            with suppress(RuntimeError, ValueError):
                task.get_coro().close()
        asyncio.set_event_loop(None)
        loop.close()
