"""Tape: the slices that decisions rest on, as the daemon saw them, so that a fresh core can be shown the same.

Rule: no more than `TAPE_BYTES` of them are kept, the newest; a history that a start has read again is written where it differs only.
"""

import base64
import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from daemon.core.events import SliceClosed
from daemon.core.marketdata import VOLUME, Slice
from daemon.io.journal.codec import micros, moment
from daemon.io.journal.facts import Warmed
from daemon.io.journal.rows import Row, sealed, unsealed

TAPE_BYTES: Final = 64 << 20  # fifteen years of hours of 12 symbols; an hour of seconds of 500
LOOK_EVERY: Final = 500  # slices between two looks at how many there are
BEHIND: Final = 64  # bytes of a row beside its payload

_BEGUN: Final = "INSERT INTO tapes (run_id, payload, seal) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_INSERT: Final = "INSERT INTO slices (closes_at, run_id, at, payload, seal) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_NEWEST: Final = "SELECT payload FROM slices WHERE closes_at = ? ORDER BY run_id DESC LIMIT 1"
_TRIM: Final = "DELETE FROM slices WHERE closes_at <= (SELECT closes_at FROM slices ORDER BY closes_at DESC LIMIT 1 OFFSET ?)"
_OF_RUN: Final = "SELECT closes_at, run_id, at, payload, seal FROM slices WHERE run_id <= ? AND closes_at >= ? ORDER BY closes_at, run_id"


class Tape:
    """Writes the slices of one run. Used by the store, within its transactions."""

    def __init__(self, connection: sqlite3.Connection, run_id: int) -> None:
        self._connection = connection
        self._run_id = run_id
        self._since = 0

    def take(self, fact: SliceClosed | Warmed) -> None:
        """A slice as it was handled, or the history that the run was fed before it began."""
        if isinstance(fact, Warmed):
            self._history(fact.slices)
        else:
            self._put(fact.slice, micros(fact.at))

    def _history(self, slices: Sequence[Slice]) -> None:
        if not slices:
            return
        told = json.dumps({"symbols": slices[0].symbols, "first": micros(slices[0].closes_at), "last": micros(slices[-1].closes_at)})
        self._connection.execute(_BEGUN, sealed("tapes", self._run_id, told))
        for each in slices:
            known = self._connection.execute(_NEWEST, (micros(each.closes_at),)).fetchone()
            if known is None or known[0] != text_of(each):
                self._put(each, 0)

    def _put(self, slice_: Slice, at: int) -> None:
        payload = text_of(slice_)
        self._connection.execute(_INSERT, sealed("slices", micros(slice_.closes_at), self._run_id, at, payload))
        self._since += 1
        if self._since >= LOOK_EVERY:
            self._since = 0
            self._connection.execute(_TRIM, (TAPE_BYTES // (len(payload) + BEHIND),))


def text_of(slice_: Slice) -> str:
    """The columns of a slice, packed; the symbols and the moments stand elsewhere."""
    count = len(slice_.symbols)
    suspect = np.zeros(count, np.bool_) if slice_.suspect is None else slice_.suspect
    columns = (slice_.panel.astype("<f8"), slice_.age.astype("<i8"), slice_.synthetic.astype("?"), suspect.astype("?"))
    return base64.b85encode(zlib.compress(b"".join(column.tobytes() for column in columns), 6)).decode()


def slice_of(text: str, closes_at: int, symbols: tuple[str, ...]) -> Slice:
    """The inverse of `text_of`."""
    raw, count = zlib.decompress(base64.b85decode(text)), len(symbols)
    prices = 8 * (VOLUME + 1) * count
    ages = prices + 8 * count
    panel = np.frombuffer(raw[:prices], "<f8").reshape(VOLUME + 1, count).copy()
    age = np.frombuffer(raw[prices:ages], "<i8").copy()
    synthetic = np.frombuffer(raw[ages : ages + count], "?").copy()
    suspect = np.frombuffer(raw[ages + count :], "?").copy()
    return Slice(moment(closes_at), symbols, panel, synthetic, age, suspect if suspect.any() else None)


class Taped:
    """What a run was shown: `history`, then `live` slices with the moments at which they were handled."""

    def __init__(self, symbols: tuple[str, ...], history: list[Slice], live: list[SliceClosed]) -> None:
        self.symbols = symbols
        self.history = history
        self.live = live


def taped(connection: sqlite3.Connection, path: Path) -> Iterator[tuple[int, int, Taped | None]]:
    """Every run: its number, when it began (microseconds since 1970 UTC), and what it was shown, None where that is not kept (any more)."""
    for run_id, started in connection.execute("SELECT run_id, started FROM runs ORDER BY run_id").fetchall():
        row = connection.execute("SELECT run_id, payload, seal FROM tapes WHERE run_id = ?", (run_id,)).fetchone()
        yield run_id, started, None if row is None else _shown(connection, path, row)


def _shown(connection: sqlite3.Connection, path: Path, row: Row) -> Taped | None:
    run_id, payload = unsealed("tapes", row, path)
    told = json.loads(payload)
    symbols = tuple(told["symbols"])
    history: dict[int, Slice] = {}
    live: list[SliceClosed] = []
    for each in connection.execute(_OF_RUN, (run_id, told["first"])):
        closes_at, of_run, at, text = unsealed("slices", each, path)
        if closes_at <= told["last"]:
            history[closes_at] = slice_of(text, closes_at, symbols)
        elif of_run == run_id:
            live.append(SliceClosed(slice_of(text, closes_at, symbols), moment(at)))
    if told["first"] not in history:
        return None  # the oldest of what it rests on is gone
    return Taped(symbols, list(history.values()), live)
