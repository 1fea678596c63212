"""Virtual time for a whole daemon: hours pass in seconds, always in the same order, and nothing runs beside the loop."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

from daemon.io.journal.store import Batch, Store
from daemon.io.journal.writer import Writer
from tests.io.tape_venue import VirtualLoop, _Jump

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Deaf(_Jump):
    """Nothing comes from outside, so nobody need be asked."""

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("nothing will ever happen again")
        self.ahead_s += timeout
        return []


class SimLoop(VirtualLoop):
    """Knows no waiting and no threads: while one of those worked, its time would run away from it."""

    def __init__(self) -> None:
        self._jump = _Deaf()
        asyncio.SelectorEventLoop.__init__(self, self._jump)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        done.set_result(func(*args))
        return done


class SimClock:
    """The loop's own time, from a moment on."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._told = 0.0, start  # it is asked many times between two moments

    def now(self) -> datetime:
        seconds = asyncio.get_running_loop().time()
        if self._told[0] != seconds:
            self._told = seconds, self._start + timedelta(seconds=seconds)
        return self._told[1]

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def stamp_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class AtOnceWriter(Writer):
    """Writes where it stands instead of in a thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store._connection.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug here
        self.failed: str | None = None

    async def commit(self, batch: Batch) -> None:
        for error in self._store.write([batch]):
            if error is not None:
                raise error

    def stop(self) -> None:
        return None


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(main)
