"""Inspection: whether a journal is whole, and a copy of it, beside a daemon that writes it or without one.

Rule: nothing here writes to the journal or needs its lock.
"""

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from daemon.io.journal.errors import READ_ERRORS, JournalFailed, failed, known
from daemon.io.journal.reader import read
from daemon.io.journal.rows import unsealed
from daemon.io.journal.schema import check_form, check_tables, check_version, connect, sync_directory

PAGES: Final = 1000  # of 4 kB, copied at a time; between them the daemon may write


def verify(path: Path) -> Mapping[str, int]:
    """Check all that can be checked: the file's form, its tables, the seal of every row, and that a start can read it. Rows by table.

    Raises:
        JournalDamaged: something is not as it was written.
        JournalFailed: the file is missing or cannot be read.
    """
    try:
        with closing(connect(path, read_only=True)) as connection:
            check_version(connection, path)
            check_form(connection, path)
            check_tables(connection, path)
            connection.execute("BEGIN")
            counted = {table: _sealed_rows(connection, table, path) for table in _sealed_tables(connection)}
    except READ_ERRORS as error:
        raise known(path, error) from error
    read(path)
    return counted


def _sealed_tables(connection: sqlite3.Connection) -> list[str]:
    question = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%seal BLOB%' ORDER BY name"
    return [name for (name,) in connection.execute(question)]


def _sealed_rows(connection: sqlite3.Connection, table: str, path: Path) -> int:
    columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})") if name != "seq"]
    count = 0
    for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table}"):  # noqa: S608 - names from our own schema
        unsealed(table, row, path)
        count += 1
    return count


def back_up(path: Path, to: Path, progress: Callable[[int, int], None] = lambda _done, _all: None) -> Mapping[str, int]:
    """Copy the journal as it is now, and check the copy. It appears at `to` whole or not at all. Rows by table.

    Raises:
        JournalDamaged: the journal is not as it was written; there is no copy then.
        JournalFailed: the journal cannot be read, `to` cannot be written, or there is something already.
    """
    building = to.with_name(to.name + ".new")
    try:
        if to.exists():
            raise JournalFailed(f"{to}: there is a file of that name; name another one for the copy")
        if not to.parent.is_dir():
            raise JournalFailed(f"{to}: there is no directory {to.parent}; make it, or name another place for the copy")
        with closing(connect(path, read_only=True)) as source:
            check_version(source, path)
            os.close(os.open(building, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
            with closing(sqlite3.connect(building)) as copy:
                source.backup(copy, pages=PAGES, progress=lambda _status, left, total: progress(total - left, total))
        counted = verify(building)
        building.rename(to)
        sync_directory(to.parent)
    except READ_ERRORS as error:
        raise known(path, error) from error
    except OSError as error:
        raise failed(to, error) from error
    finally:
        for suffix in ("", "-wal", "-shm"):
            building.with_name(building.name + suffix).unlink(missing_ok=True)
    return counted
