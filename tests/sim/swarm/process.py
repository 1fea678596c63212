"""Process: one life of the daemon, as it is wired in earnest, on a journal that outlives it."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from daemon.app import Daemon
from daemon.core import events as e
from daemon.io.journal import Journal, JournalError, JournalFailed
from daemon.io.journal.store import Batch, Store
from daemon.io.journal.writer import Writer
from daemon.parts import Parts, StartRefused
from daemon.parts import Process as Shared
from daemon.trader import Trader
from tests.sim.swarm.books import Books
from tests.sim.swarm.door import SimExchange
from tests.sim.swarm.faults import Kind, Weather
from tests.sim.swarm.loop import PROCESS, SwarmLoop
from tests.sim.swarm.oracle import Oracle

COMMIT_S: Final = 0.002


class SimWriter(Writer):
    """Writes a moment after it was asked to, in order; a process may be killed before and after."""

    def __init__(self, store: Store, process: "Process") -> None:
        self._store = store
        self._process = process
        self._free_at = 0.0
        self.failed: str | None = None

    async def commit(self, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if self._process.alive:
            self._free_at = max(self._free_at, loop.time()) + COMMIT_S
            loop.call_at(self._free_at, self._written, batch, done)
        await done

    def _written(self, batch: Batch, done: "asyncio.Future[None]") -> None:
        world = self._process.world
        world.point(Kind.CRASH_BEFORE_COMMIT)
        if not self._process.alive:
            return
        if self.failed is None and world.weather(world.now_s, Kind.DISK_FULL):
            self.failed = "database or disk is full"
        (error,) = [JournalFailed(self.failed)] if self.failed else self._store.write([batch])
        world.point(Kind.CRASH_AFTER_COMMIT)
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def stop(self) -> None:
        return None


def watched(shared: Shared, parts: Parts, process: "Process") -> Daemon:
    """The daemon, as it is, with somebody who hears everything."""

    class Heard(Watched):
        _process = process

    daemon = Daemon(shared, [parts], Heard)
    daemon.api = Unheard()  # type: ignore[assignment]
    return daemon


class Watched(Trader):
    """Its account, in a process that may be dead."""

    _process: "Process"

    def publish(self, event: e.Event) -> None:
        if self._process.alive:
            super().publish(event)

    def tell(self, event: e.Event) -> Iterable[e.Event]:
        if self._process.alive:
            self._process.world.oracle.hear(event)
            self._process.world.point(Kind.CRASH_ON_EVENT)
        return super().tell(event)


class Unheard:
    """An API that listens nowhere: commands are given directly."""

    port = 0

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None


class Around(Protocol):
    """What a process needs of the world around it."""

    books: Books
    loop: SwarmLoop
    oracle: Oracle
    weather: Weather
    context: Context

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        ...

    def point(self, name: Kind) -> None:
        """Here a process may be killed."""
        ...


@dataclass(slots=True, eq=False)
class Process:
    """One process of the daemon."""

    number: int
    world: Around
    journal: Journal
    ended: "asyncio.Future[str]"
    alive: bool = True
    daemon: Daemon = field(init=False)
    exchange: SimExchange = field(init=False)

    async def main(self) -> None:
        """As `rebalanced run`: until it is stopped or fails; whatever it ends with is documented, or an offence."""
        ended = "stopped"
        try:
            await self.daemon.run()
        except Exception as error:
            ended = f"failed: {error!r}"
            strange = [each for each in _leaves(error) if not isinstance(each, StartRefused | JournalError)]
            if strange:
                self.world.oracle.broken(f"the daemon has failed: {'; '.join(map(_told, strange))}")
        self.alive = False
        self.world.loop.call_soon(self.leave, ended, context=self.world.context)

    def task(self, work: Coroutine[Any, Any, object]) -> None:
        """Have something done in this process, for as long as it lives."""
        context = copy_context()
        context.run(PROCESS.set, self.number)
        self.world.loop.create_task(work, context=context)

    def leave(self, why: str) -> None:
        """Nothing of it is left but what is on disk."""
        self.alive = False
        self.world.loop.kill(self.number)
        self.world.books.listeners.clear()
        self.journal._closed = True
        self.journal._store._connection.close()
        self.journal._lock.release()
        self.world.oracle.ends(why)
        if not self.ended.done():
            self.ended.set_result(why)


def _leaves(error: BaseException) -> list[BaseException]:
    """What a group holds, or what is none."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for each in error.exceptions for leaf in _leaves(each)]


def _told(error: BaseException) -> str:
    """An exception with the line where it arose."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last else "nowhere"
    return f"{type(error).__name__}: {error} ({where})"
