"""Loop: one virtual time for a venue and for the processes of a daemon that come and go; what is dead never runs again.

Rule: whatever runs belongs to the process in whose context it was scheduled, 0 being the world. A killed process does not clean up: its
tasks stay where they stood, as after SIGKILL, and nothing that it had scheduled happens.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import Any, Final, TypeVar, TypeVarTuple

from tests.io.tape_venue import _Jump
from tests.sim.virtual import SimLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PROCESS: Final[ContextVar[int]] = ContextVar("process", default=0)


class _Deaf(_Jump):
    """Nothing comes from outside, so nobody need be asked."""

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("nothing will ever happen again")
        self.ahead_s += timeout
        return []


class SwarmLoop(SimLoop):
    """Virtual time in which processes can be killed."""

    _ready: Any
    _scheduled: Any

    def __init__(self) -> None:
        self._dead: set[int] = set()
        self._over = False
        self._tasks: list[asyncio.Task[Any]] = []  # the dead are kept to the end: being collected would run their cleanup
        self._many = 20_000
        self._jump = _Deaf()
        asyncio.SelectorEventLoop.__init__(self, self._jump)
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
        handle = super().call_soon(callback, *args, context=context)
        if self._dead or self._over:
            self._bury(handle)
        return handle

    def call_at(self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        if self._dead or self._over:
            self._bury(handle)
        return handle


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
