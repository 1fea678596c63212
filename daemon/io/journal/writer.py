"""Writer: the thread between the loop and the disk.

Rule: one thread writes, in the order in which commits were offered; whatever waits when it is free becomes one transaction and one wake-up
of the loop. Once a write has failed nothing else is accepted.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, Protocol

from daemon.io.journal.errors import JournalFailed
from daemon.io.journal.store import Batch

# Commits that may wait for the disk; the next caller waits instead. A wave over 500 symbols with a commit for every answer stays below.
WAITING_MAX: Final = 1024


class Sink(Protocol):
    """What the thread writes to: a Store, or a disk that fails on purpose."""

    def write(self, batches: Sequence[Batch]) -> list[Exception | None]:
        """Write a group; see Store.write."""
        ...


@dataclass(frozen=True, slots=True)
class _Commit:
    batch: Batch
    done: asyncio.Future[None]


class Writer:
    """Accepts commits on the loop, writes them in its own thread, answers on the loop."""

    def __init__(self, sink: Sink, waiting_max: int = WAITING_MAX) -> None:
        self._sink = sink
        self._queue: SimpleQueue[_Commit | None] = SimpleQueue()
        self._room = asyncio.Semaphore(waiting_max)
        self.failed: str | None = None
        self._ended = False
        # A daemon thread: a process that ends without closing must end, not wait here.
        self._thread = Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    async def commit(self, batch: Batch) -> None:
        """Wait until the batch is on disk. A caller that is cancelled meanwhile has it written all the same.

        Raises:
            JournalFailed: it is not known to be on disk, and nothing will be any more.
            JournalConflict, TypeError, ValueError: the batch itself is wrong; none of it was written.
        """
        await self._room.acquire()
        if self.failed is not None or self._ended:
            self._room.release()
            raise JournalFailed(self.failed or "the journal was closed while this waited for its turn; it is not recorded")
        commit = _Commit(batch, asyncio.get_running_loop().create_future())
        self._queue.put(commit)
        await commit.done

    def stop(self) -> None:
        """Write what waits, then end the thread. Returns when it has ended."""
        self._ended = True
        self._queue.put(None)
        self._thread.join()

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        going = True
        while going:
            group, going = self._take()
            if group:
                self._answer(group, self._write([commit.batch for commit in group]))

    def _take(self) -> tuple[list[_Commit], bool]:
        """Everything that waits, at least one; False once the end is among it."""
        group: list[_Commit] = []
        item = self._queue.get()
        with suppress(Empty):
            while item is not None:
                group.append(item)
                item = self._queue.get_nowait()
            return group, False
        return group, True

    def _write(self, batches: Sequence[Batch]) -> list[Exception | None]:
        if self.failed is None:
            try:
                return self._sink.write(batches)
            except Exception as error:  # whatever it is, the callers must hear of it: a dead thread would let them wait for ever
                self.failed = str(error) or repr(error)
        return [JournalFailed(self.failed) for _ in batches]

    def _answer(self, group: Sequence[_Commit], outcomes: Sequence[Exception | None]) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            group[0].done.get_loop().call_soon_threadsafe(self._settle, group, outcomes)

    # --- on the loop -------------------------------------------------------------------------------------------------

    def _settle(self, group: Sequence[_Commit], outcomes: Sequence[Exception | None]) -> None:
        for commit, error in zip(group, outcomes, strict=True):
            self._room.release()
            if commit.done.done():  # its caller was cancelled
                continue
            if error is None:
                commit.done.set_result(None)
            else:
                commit.done.set_exception(error)
