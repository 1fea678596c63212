"""Lock: one process per journal, and a count of the commits it has acknowledged.

Rule: the lock is `flock` on a file of its own. On the database itself it would meddle with SQLite's POSIX locks, which a process loses
as soon as it closes any other handle of that file. The lock file is never removed: a new one beside an old one would be two locks.
"""

import fcntl
import os
from pathlib import Path
from typing import Final, Self

from daemon.io.journal.errors import JournalLocked, failed

# Fixed width, so that writing it again needs no new block on a full disk and is never half of two numbers.
_FORMAT: Final = "{:>10} {:>20}\n"


class JournalLock:
    """The held lock of one journal. `acknowledged` is the count that the last holder left, 0 where there was none.

    The count costs no fsync: it is written after the commit is on disk, so after a power loss it may be too low, never too high.
    A journal with fewer commits than this has lost some (a log cut short, an old copy put in its place).
    """

    def __init__(self, descriptor: int, acknowledged: int) -> None:
        self._descriptor = descriptor
        self.acknowledged = acknowledged

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Take the lock of the journal at `path`, making its directory (0700) where it is missing.

        Raises:
            JournalLocked: another process, or another journal in this one, has it.
            JournalFailed: the directory or the file cannot be made, or its file system knows no locks.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise failed(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock = cls(descriptor, _numbers(descriptor)[1])
            lock.note(lock.acknowledged)
        except BlockingIOError as error:
            holder = _numbers(descriptor)[0]
            os.close(descriptor)
            raise JournalLocked(
                f"{path}: process {holder or 'unknown'} holds this journal; stop it, or give this instance another name or journal.path"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise failed(path, error) from error
        return lock

    def note(self, commits: int) -> None:
        """Record our process id and how many commits the journal has acknowledged. OSError: it cannot be written."""
        os.pwrite(self._descriptor, _FORMAT.format(os.getpid(), commits).encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._descriptor)


def _numbers(descriptor: int) -> tuple[int, int]:
    """Process id and commits in a lock file; zeros where it is new or unreadable."""
    try:
        holder, acknowledged = os.pread(descriptor, 64, 0).split()
        return int(holder), int(acknowledged)
    except ValueError:
        return 0, 0
