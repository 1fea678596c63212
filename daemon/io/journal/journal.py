"""Journal: the door of the package; what the rest of the program holds.

Rule: opened before the loop and closed after it. On the loop nothing here blocks: writing has a thread, reading another.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from daemon.core.events import EquityMarked, WaveSettled
from daemon.core.model import Decision, Fill
from daemon.io.clock import Clock
from daemon.io.journal.errors import closed
from daemon.io.journal.facts import Command, Fact, OrderFact, Thinning
from daemon.io.journal.lock import JournalLock
from daemon.io.journal.reader import DecisionStory, OrderRecord, Reader, Recovered, ask, read
from daemon.io.journal.store import Batch, Store
from daemon.io.journal.writer import Writer

T = TypeVar("T")

# Bytes; sixteen times what the log usually needs. So many commits lie between two looks at it.
LOG_MAX = 64 << 20
LOOK_EVERY = 64


class Journal:
    """The durable record of one instance in one mode. Use it as a context manager, or close it."""

    def __init__(self, path: Path, lock: JournalLock, store: Store, clock: Clock) -> None:
        self._path = path
        self._lock = lock
        self._store = store
        self._clock = clock
        self._writer = Writer(store)
        self._readers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-reader")
        self._closed = False
        self._commits = 0
        self.timed: Callable[[float], None] = lambda _seconds: None  # hears of every commit how long it took, waiting included
        self._long = False  # whether the log was at the last look

    @classmethod
    def open(cls, path: Path, *, instance: str, mode: str, clock: Clock, version: str = "", config_hash: str = "") -> Self:
        """Open the journal at `path`, creating it where there is none, and begin a run. Blocks; call it before the loop.

        Raises:
            JournalLocked: another process holds it.
            JournalDamaged: it cannot be trusted, is newer than this program, or belongs to another instance or mode.
            JournalFailed: it cannot be written.
        """
        path = path.resolve()  # a link and what it points to are one journal, and must have one lock
        lock = JournalLock.acquire(path)
        try:
            store = Store.open(path, lock, instance=instance, mode=mode, run=(version, config_hash, clock.now()))
        except BaseException:
            lock.release()
            raise
        return cls(path, lock, store, clock)

    @property
    def run_id(self) -> int:
        """Which run of this journal this is, counted from 1."""
        return self._store.run_id

    @property
    def failed(self) -> str | None:
        """Why nothing can be recorded any more; None while all is well."""
        return self._writer.failed

    async def commit(self, *facts: Fact) -> None:
        """Write the facts, all or none, and wait until they are on disk. Commits are written in the order in which they are made.

        A fact that is recorded already (fill by symbol and trade id; flow, decision and intent by id) changes nothing. An order needs its
        decision, in the same commit or before. Without facts it waits for what was committed before.

        Raises:
            JournalFailed: they are not known to be on disk; nothing will be from now on, so nothing may be sent.
            JournalConflict: a programmer's error, such as a second, different intent under an id.
        """
        if self._closed:
            raise closed(self._path)
        began = self._clock.monotonic()
        await self._writer.commit(Batch(facts, self._clock.now()))
        self.timed(self._clock.monotonic() - began)
        self._commits += 1
        if self._commits % LOOK_EVERY == 0:
            self._look_at_log()

    def _look_at_log(self) -> None:
        """Say that the log grows, once, and again after it was short: behind a reader that does not end, nothing of it is used anew."""
        import structlog  # loaded by who writes a log, and not by who only reads a record

        with suppress(FileNotFoundError):
            size = self._path.with_name(self._path.name + "-wal").stat().st_size
            if size > LOG_MAX and not self._long:
                structlog.get_logger().warning("journal.log_long", bytes=size)
            self._long = size > LOG_MAX

    def thin(self, older_than: timedelta) -> int:
        """Remove the detail of what lies so far back (retention.py); how many rows. Blocks; call it before the loop. JournalFailed."""
        return self._store.thin(self._clock.now() - older_than)

    async def thin_on(self, older_than: timedelta) -> int:
        """The same while it is written to, in its turn; how many rows. Raises as `commit`."""
        thinning = Thinning(self._clock.now() - older_than)
        await self.commit(thinning)
        return thinning.rows

    def recover(self) -> Recovered:
        """Everything a start needs of the record. Blocks; call it before the loop. Raises as `read`."""
        return read(self._path)

    async def orders(self, limit: int = 100) -> tuple[OrderRecord, ...]:
        """The newest orders, newest first, 1000 at most."""
        return await self._ask(lambda reader: reader.orders(limit))

    async def fills(self, limit: int = 100) -> tuple[Fill, ...]:
        """The trades booked last, newest first, 1000 at most."""
        return await self._ask(lambda reader: reader.fills(limit))

    async def decisions(self, limit: int = 100) -> tuple[Decision, ...]:
        """The newest decisions, newest first, 1000 at most."""
        return await self._ask(lambda reader: reader.decisions(limit))

    async def waves(self, limit: int = 100) -> tuple[WaveSettled, ...]:
        """The waves settled last, newest first, 1000 at most."""
        return await self._ask(lambda reader: reader.waves(limit))

    async def equity(self, since: datetime, limit: int = 100) -> tuple[EquityMarked, ...]:
        """What the account was worth at closes since then, newest first, thinned evenly to at most `limit` (1000)."""
        return await self._ask(lambda reader: reader.equity(since, limit))

    async def commands(self, limit: int = 100) -> tuple[Command, ...]:
        """What people have asked of the daemon, newest first, 1000 at most."""
        return await self._ask(lambda reader: reader.commands(limit))

    async def events_of(self, order_id: str) -> tuple[OrderFact, ...]:
        """What is known of one order, newest first."""
        return await self._ask(lambda reader: reader.events_of(order_id))

    async def story(self, symbol: str, decision_id: str | None = None) -> DecisionStory:
        """What one decision (None: the newest) meant for a symbol, and what came of it."""
        return await self._ask(lambda reader: reader.story(symbol, decision_id))

    async def _ask(self, question: Callable[[Reader], T]) -> T:
        if self._closed:
            raise closed(self._path)
        return await asyncio.get_running_loop().run_in_executor(self._readers, ask, self._path, question)

    def close(self, reason: str = "stopped") -> None:
        """Write what waits, end the run with its reason, empty the log, let the lock go. A second call does nothing.

        Raises:
            JournalFailed: the end could not be recorded; every acknowledged commit is on disk all the same.
        """
        if self._closed:
            return
        self._closed = True
        self._writer.stop()
        self._readers.shutdown()
        try:
            self._store.close(None if self.failed else reason, self._clock.now())
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # The type alone: an exception's text may quote what must not be written down.
        self.close("stopped" if kind is None else f"failed: {kind.__name__}")
