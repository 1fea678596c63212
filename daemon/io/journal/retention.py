"""Retention: old detail that only explains is removed.

Rule: nothing that a start folds is ever touched: trades, flows, bookings, orders and their events, decisions, waves, holds, commands,
switches. What remains is sealed as it was, row by row.
"""

import sqlite3
from contextlib import suppress
from typing import Final

HOUR: Final = 3_600_000_000  # microseconds

# What a plan followed from, what limits took away, what was said of groups: written for whoever asks why, read by nothing that trades.
_EXPLANATIONS: Final = "DELETE FROM decision_events WHERE at < ?1"
# Of the account's history one point an hour remains, the last.
_EQUITY: Final = f"""DELETE FROM equity WHERE at < ?1
    AND at NOT IN (SELECT max(at) FROM equity WHERE at < ?1 GROUP BY at / {HOUR})"""  # noqa: S608 - a number of our own


# What decisions rested on; `replay` says of those without that they cannot be compared.
_SLICES: Final = "DELETE FROM slices WHERE closes_at < ?1"


def thinned(connection: sqlite3.Connection, before: int) -> int:
    """Remove the detail of what was before (microseconds since 1970 UTC), all of it or none; how many rows. sqlite3.Error: none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        removed = thin(connection, before)
        connection.execute("COMMIT")
    except sqlite3.Error:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    return removed


def thin(connection: sqlite3.Connection, before: int) -> int:
    """The same within the caller's transaction."""
    return sum(connection.execute(statement, (before,)).rowcount for statement in (_EXPLANATIONS, _EQUITY, _SLICES))
