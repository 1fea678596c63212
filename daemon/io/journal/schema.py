"""Schema: the tables, how a file becomes a journal, and what is checked before one is trusted.

Rule: a file at the journal's path has always been a whole journal (it is built aside and renamed), so an empty or partial one is damage.
Each migration is one transaction with its `user_version`; there is no way back.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Final

from daemon.io.journal.errors import READ_ERRORS, JournalDamaged, JournalFailed, damaged, failed, known
from daemon.io.journal.rows import sealed, unsealed

APPLICATION_ID: Final = 0x72656261  # "reba", so that `file` and we know our own

# Tables are STRICT: a column holds its type or the write fails. Decimals are TEXT, moments INTEGER microseconds since 1970 UTC.
# `seal` is the row's checksum (rows.py). `seq` is the order of arrival. Only `runs` and `switches` are ever updated.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, seal BLOB NOT NULL) STRICT, WITHOUT ROWID",
        """CREATE TABLE runs (run_id INTEGER PRIMARY KEY, version TEXT NOT NULL, config_hash TEXT NOT NULL, started INTEGER NOT NULL,
           ended INTEGER, reason TEXT) STRICT""",
        "CREATE TABLE commits (seq INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs, at INTEGER NOT NULL) STRICT",
        """CREATE TABLE decisions (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, as_of INTEGER NOT NULL, payload TEXT NOT NULL,
           at INTEGER NOT NULL, seal BLOB NOT NULL) STRICT""",
        "CREATE INDEX decisions_by_age ON decisions (as_of, seq)",
        """CREATE TABLE orders (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, symbol TEXT NOT NULL, side TEXT NOT NULL,
           amount TEXT NOT NULL, price TEXT NOT NULL, reserve TEXT NOT NULL, decision_id TEXT NOT NULL REFERENCES decisions (id),
           attempt INTEGER NOT NULL, at INTEGER NOT NULL, seal BLOB NOT NULL) STRICT""",
        "CREATE INDEX orders_by_decision ON orders (decision_id)",
        # Listings name foreign orders too, so an event may belong to an order that is not in `orders`.
        """CREATE TABLE order_events (seq INTEGER PRIMARY KEY, order_id TEXT NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL,
           at INTEGER NOT NULL, seal BLOB NOT NULL) STRICT""",
        "CREATE INDEX order_events_by_order ON order_events (order_id, kind)",
        # A venue numbers orders per symbol: the same number may stand for two orders of two symbols.
        """CREATE TABLE venue_orders (symbol TEXT NOT NULL, venue_id TEXT NOT NULL, order_id TEXT NOT NULL REFERENCES orders (id),
           seal BLOB NOT NULL, PRIMARY KEY (symbol, venue_id)) STRICT, WITHOUT ROWID""",
        "CREATE INDEX venue_orders_by_order ON venue_orders (order_id)",
        """CREATE TABLE fills (seq INTEGER PRIMARY KEY, order_id TEXT NOT NULL, venue_id TEXT NOT NULL, trade_id TEXT NOT NULL,
           symbol TEXT NOT NULL, side TEXT NOT NULL, amount TEXT NOT NULL, price TEXT NOT NULL, cost TEXT NOT NULL, fees TEXT NOT NULL,
           at INTEGER NOT NULL, known_at INTEGER NOT NULL, seal BLOB NOT NULL, UNIQUE (symbol, trade_id)) STRICT""",
        "CREATE INDEX fills_by_order ON fills (order_id)",
        "CREATE INDEX fills_by_venue_order ON fills (symbol, venue_id)",
        """CREATE TABLE flows (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, currency TEXT NOT NULL, amount TEXT NOT NULL,
           kind TEXT NOT NULL, at INTEGER NOT NULL, known_at INTEGER NOT NULL, seal BLOB NOT NULL) STRICT""",
        """CREATE TABLE waves (seq INTEGER PRIMARY KEY, decision_id TEXT NOT NULL REFERENCES decisions (id), payload TEXT NOT NULL,
           at INTEGER NOT NULL, seal BLOB NOT NULL) STRICT""",
        "CREATE INDEX waves_by_decision ON waves (decision_id)",
        "CREATE TABLE switches (key TEXT PRIMARY KEY, value TEXT NOT NULL, at INTEGER NOT NULL, seal BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        # A limit cuts before anything is sent, so the event may come before the row of its decision; a restart may cut and plan again.
        """CREATE TABLE decision_events (seq INTEGER PRIMARY KEY, decision_id TEXT NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL,
           at INTEGER NOT NULL, seal BLOB NOT NULL) STRICT""",
        "CREATE INDEX decision_events_by_decision ON decision_events (decision_id)",
    ),
    (
        """CREATE TABLE holds (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, payload TEXT NOT NULL, at INTEGER NOT NULL,
           seal BLOB NOT NULL) STRICT""",
        """CREATE TABLE commands (seq INTEGER PRIMARY KEY, verb TEXT NOT NULL, argument TEXT NOT NULL, by TEXT NOT NULL,
           at INTEGER NOT NULL, seal BLOB NOT NULL) STRICT""",
        """CREATE TABLE bookings (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, payload TEXT NOT NULL,
           at INTEGER NOT NULL, seal BLOB NOT NULL) STRICT""",
        # For whom an order trades. Beside the orders, whose rows are sealed as the first version made them.
        """CREATE TABLE splits (order_id TEXT PRIMARY KEY REFERENCES orders (id), payload TEXT NOT NULL,
           seal BLOB NOT NULL) STRICT, WITHOUT ROWID""",
    ),
    (
        # The worst price of an order that has one. Beside the orders, as the splits are.
        """CREATE TABLE limits (order_id TEXT PRIMARY KEY REFERENCES orders (id), price TEXT NOT NULL,
           seal BLOB NOT NULL) STRICT, WITHOUT ROWID""",
    ),
    (
        # Planned orders that are worked on over time, and the orders that rest in the book. Beside the orders, as the splits are.
        """CREATE TABLE parents (seq INTEGER PRIMARY KEY, decision_id TEXT NOT NULL REFERENCES decisions (id), payload TEXT NOT NULL,
           at INTEGER NOT NULL, seal BLOB NOT NULL, UNIQUE (decision_id, payload)) STRICT""",
        "CREATE TABLE resting (order_id TEXT PRIMARY KEY REFERENCES orders (id), seal BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        # Of swaps: orders that only reduce, the profit that a venue has booked for a trade, and whose position has earned or paid a flow.
        "CREATE TABLE reducing (order_id TEXT PRIMARY KEY REFERENCES orders (id), seal BLOB NOT NULL) STRICT, WITHOUT ROWID",
        """CREATE TABLE profits (symbol TEXT NOT NULL, trade_id TEXT NOT NULL, profit TEXT NOT NULL, seal BLOB NOT NULL,
           PRIMARY KEY (symbol, trade_id)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE flow_symbols (flow_id TEXT PRIMARY KEY REFERENCES flows (id), symbol TEXT NOT NULL,
           seal BLOB NOT NULL) STRICT, WITHOUT ROWID""",
    ),
    (
        # What the account was worth at closes, one a minute at most.
        "CREATE TABLE equity (at INTEGER PRIMARY KEY, payload TEXT NOT NULL, seal BLOB NOT NULL) STRICT",
    ),
    (
        # What each run was shown: the history that it began with (from when, of which symbols), and every slice. `at` is 0 of history.
        "CREATE TABLE tapes (run_id INTEGER PRIMARY KEY REFERENCES runs, payload TEXT NOT NULL, seal BLOB NOT NULL) STRICT",
        """CREATE TABLE slices (closes_at INTEGER NOT NULL, run_id INTEGER NOT NULL REFERENCES runs, at INTEGER NOT NULL,
           payload TEXT NOT NULL, seal BLOB NOT NULL, PRIMARY KEY (closes_at, run_id)) STRICT, WITHOUT ROWID""",
    ),
)

_TABLES: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema"

_PRAGMAS: Final = (
    "PRAGMA busy_timeout = 5000",  # ms; only a person's own sqlite3 shell can make us wait
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA synchronous = FULL",  # NORMAL may lose acknowledged commits when the power goes
    "PRAGMA journal_size_limit = 16777216",  # bytes the log keeps on disk after a checkpoint, four times what it usually needs
)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with every pragma set; transactions are ours to begin. It never creates a file. sqlite3.Error: it cannot be opened."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def create(path: Path, instance: str, mode: str) -> None:
    """Make an empty journal at `path`, whole or not at all. JournalFailed: it cannot be written."""
    building = path.with_name(path.name + ".new")
    try:
        for suffix in ("", "-wal", "-shm", "-journal"):
            building.with_name(building.name + suffix).unlink(missing_ok=True)
        os.close(os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(connect(building)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            migrate(connection)
            for key, value in (("instance", instance), ("mode", mode)):
                connection.execute("INSERT INTO meta (key, value, seal) VALUES (?, ?, ?)", sealed("meta", key, value))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        building.rename(path)
        sync_directory(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise failed(path, error) from error


def sync_directory(directory: Path) -> None:
    """Make a rename last through a power loss."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring a journal to the newest version, one transaction a step. sqlite3.Error: it stays at the version it had reached."""
    for version in range(_number(connection, "PRAGMA user_version"), len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in migrations[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def open_checked(path: Path, instance: str, mode: str, acknowledged: int) -> sqlite3.Connection:
    """Open an existing journal for writing, once everything that can be known to be wrong with it has been ruled out.

    `acknowledged`: it must hold at least so many commits.

    Raises:
        JournalDamaged: not a journal, damaged, newer than this program, or of another instance or mode.
        JournalFailed: it cannot be read or written.
    """
    connection = None
    try:
        _make_private(path)
        connection = connect(path)
        check_version(connection, path)
        check_form(connection, path)
        _check_identity(connection, path, instance, mode)
        migrate(connection)
        check_tables(connection, path)
        _check_commits(connection, path, acknowledged)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, READ_ERRORS):
            raise known(path, error) from error
        raise
    return connection


def _make_private(path: Path) -> None:
    """Take a restored copy's permissions back to the owner's; where the file is not ours to change, its owner has decided."""
    try:
        with suppress(PermissionError):
            path.chmod(0o600)
    except OSError as error:
        raise failed(path, error) from error


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """JournalDamaged: the file is not a journal of ours, or newer than this program."""
    version = _number(connection, "PRAGMA user_version")
    if _number(connection, "PRAGMA application_id") != APPLICATION_ID or version < 1:
        raise damaged(path, "it is not a journal of rebalanced")
    if version > len(MIGRATIONS):
        raise JournalDamaged(
            f"{path}: this journal has version {version} and this program knows {len(MIGRATIONS)}; run the newer program that wrote it"
        )


def check_form(connection: sqlite3.Connection, path: Path) -> None:
    """JournalDamaged: the file's own structure is broken. JournalFailed: this SQLite cannot keep one."""
    # integrity_check is quick_check and the indexes, on which "each trade once" rests; 100,000 orders with their trades take half a second.
    findings = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if findings != "ok":
        raise damaged(path, findings.strip().replace("\n", " "))
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        raise damaged(path, "its write-ahead log has been turned off")
    if (_number(connection, "PRAGMA synchronous"), _number(connection, "PRAGMA foreign_keys")) != (2, 1):
        raise JournalFailed(
            f"{path}: this SQLite ({sqlite3.sqlite_version}) does not offer full synchronisation and foreign keys; use another"
        )


def _check_identity(connection: sqlite3.Connection, path: Path, instance: str, mode: str) -> None:
    rows = connection.execute("SELECT key, value, seal FROM meta").fetchall()
    found: dict[str, str] = dict(unsealed("meta", row, path) for row in rows)
    theirs = (found.get("instance"), found.get("mode"))
    if theirs != (instance, mode):
        raise JournalDamaged(
            f"{path}: this journal belongs to instance {theirs[0]} in mode {theirs[1]}, not to {instance} in mode {mode};"
            " give this one another name or journal.path"
        )


def check_tables(connection: sqlite3.Connection, path: Path) -> None:
    """JournalDamaged: a table is not as it was made. A constraint turned into another by a flipped bit would let a trade in twice."""
    missing = _made() - set(connection.execute(_TABLES))
    if missing:
        raise damaged(path, f"its {' '.join(min(missing)[:2])} is not as it was made")


@cache
def _made() -> frozenset[tuple[str, ...]]:
    """The tables of a new journal."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh)
        return frozenset(fresh.execute(_TABLES))


def _check_commits(connection: sqlite3.Connection, path: Path, acknowledged: int) -> None:
    held = _number(connection, "SELECT coalesce(max(seq), 0) FROM commits")
    if held < acknowledged:
        raise JournalDamaged(
            f"{path}: this journal has lost its last {acknowledged - held} commits (a log cut short, or an old copy);"
            f" put the newest copy in its place, or remove {path.name}.lock to go on from what it holds"
        )


def _number(connection: sqlite3.Connection, question: str) -> int:
    value: int = connection.execute(question).fetchone()[0]
    return value
