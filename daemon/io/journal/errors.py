"""What can be wrong with a journal, named by what a person or a supervisor has to do about it.

Rule: the text is one sentence with the file, what is wrong and the remedy; `exit_code` is what the process ends with.
"""

import sqlite3
from pathlib import Path
from typing import ClassVar, Final

# The disk or its owner is at fault (full, refused, broken, busy), not the content. Everything else SQLite may say of a file of ours
# means that the file is not what we wrote.
_OUTSIDE: Final = frozenset({
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
})  # fmt: skip


class JournalError(Exception):
    """The journal cannot be used. One of the three below."""

    exit_code: ClassVar[int] = 1


class JournalDamaged(JournalError):
    """The file is not what was written, is newer than this program, or belongs to another instance or mode."""

    exit_code = 65


class JournalFailed(JournalError):
    """The journal cannot be written or read: permission, disk full, I/O error, closed."""

    exit_code = 74


class JournalLocked(JournalError):
    """Another process holds the journal."""

    exit_code = 75


class JournalConflict(ValueError):
    """A programmer's error: a fact contradicts what is recorded, or refers to what is not. None of its commit was written."""


def damaged(path: Path, what: str) -> JournalDamaged:
    """The sentence for a file that cannot be trusted."""
    return JournalDamaged(
        f"{path}: this journal is damaged ({what}); put a good copy in its place, or move it away to start anew from what the account holds"
    )


def failed(path: Path, error: Exception | str) -> JournalFailed:
    """The sentence for a file that cannot be written or read."""
    return JournalFailed(f"{path}: the journal cannot be used ({error}); check permissions, free space and the disk, then start again")


def missing(path: Path) -> JournalFailed:
    """The sentence for a file that is not there."""
    return JournalFailed(
        f"{path}: there is no journal; the first start makes it, and a relative journal.path counts from the directory one is in"
    )


def closed(path: Path) -> JournalFailed:
    """The sentence for whoever comes after the end."""
    return JournalFailed(f"{path}: the journal is closed; nothing more is recorded or read")


# A damaged schema is quoted in SQLite's message, and the message may then not be UTF-8.
READ_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)


def known(path: Path, error: Exception) -> JournalError:
    """What one of READ_ERRORS on an existing journal means."""
    code: int | None = getattr(error, "sqlite_errorcode", None)  # absent where the Python side objects
    if code is not None and code & 0xFF in _OUTSIDE:
        return failed(path, error) if path.exists() else missing(path)
    return damaged(path, str(error))
