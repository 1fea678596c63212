"""Store: facts become rows, a group of commits becomes one transaction.

Rule: after `write` returns, the group is on disk; after it raises JournalFailed nothing is known of the group and nothing more is tried,
because a failed fsync may have dropped what a second one would report as written.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from daemon.core.events import (
    CorrelationCalmed,
    CorrelationHigh,
    EquityMarked,
    FlowBooked,
    GroupJudged,
    HoldLifted,
    HoldPlaced,
    KeepState,
    OrderFilled,
    OrderLimited,
    OrderReported,
    PlanMade,
    RiskLimited,
    RiskRefused,
    SleevesBooked,
    SliceClosed,
    WaveSettled,
)
from daemon.core.model import Decision, Order
from daemon.core.styles import Parent
from daemon.io.journal import schema
from daemon.io.journal.codec import micros, split_to_json, wave_to_json
from daemon.io.journal.errors import JournalConflict, damaged, failed
from daemon.io.journal.facts import CORRELATION, Command, Fact, OrderFact, Put, Thinning, Warmed
from daemon.io.journal.lock import JournalLock
from daemon.io.journal.retention import thin, thinned
from daemon.io.journal.rows import (
    booking_row,
    decision_event_row,
    decision_row,
    equity_row,
    fill_row,
    flow_row,
    hold_row,
    order_event_row,
    order_from,
    order_row,
    parent_row,
    sealed,
)
from daemon.io.journal.tape import Tape

# What a caller may have got wrong, as opposed to what the disk may.
_CALLER: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)

_PUT: Final = """INSERT INTO switches (key, value, at, seal) VALUES (?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, at = excluded.at, seal = excluded.seal"""
_ORDER: Final = """INSERT INTO orders (id, symbol, side, amount, price, reserve, decision_id, attempt, at, seal)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"""
_FILL: Final = """INSERT INTO fills (order_id, venue_id, trade_id, symbol, side, amount, price, cost, fees, at, known_at, seal)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (symbol, trade_id) DO NOTHING"""
_FLOW: Final = """INSERT INTO flows (id, currency, amount, kind, at, known_at, seal)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"""
_BOOKING: Final = "INSERT INTO bookings (id, kind, payload, at, seal) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
_SPLIT: Final = "INSERT INTO splits (order_id, payload, seal) VALUES (?, ?, ?) ON CONFLICT (order_id) DO NOTHING"
_LIMIT: Final = "INSERT INTO limits (order_id, price, seal) VALUES (?, ?, ?) ON CONFLICT (order_id) DO NOTHING"
_PARENT: Final = """INSERT INTO parents (decision_id, payload, at, seal) VALUES (?, ?, ?, ?)
    ON CONFLICT (decision_id, payload) DO NOTHING"""
_RESTING: Final = "INSERT INTO resting (order_id, seal) VALUES (?, ?) ON CONFLICT (order_id) DO NOTHING"
_REDUCING: Final = "INSERT INTO reducing (order_id, seal) VALUES (?, ?) ON CONFLICT (order_id) DO NOTHING"
_PROFIT: Final = "INSERT INTO profits (symbol, trade_id, profit, seal) VALUES (?, ?, ?, ?) ON CONFLICT (symbol, trade_id) DO NOTHING"
_FLOW_SYMBOL: Final = "INSERT INTO flow_symbols (flow_id, symbol, seal) VALUES (?, ?, ?) ON CONFLICT (flow_id) DO NOTHING"
_EQUITY: Final = "INSERT INTO equity (at, payload, seal) VALUES (?, ?, ?) ON CONFLICT (at) DO NOTHING"
_VENUE_ORDER: Final = """INSERT INTO venue_orders (symbol, venue_id, order_id, seal) VALUES (?, ?, ?, ?)
    ON CONFLICT (symbol, venue_id) DO NOTHING"""


@dataclass(frozen=True, slots=True)
class Batch:
    """The facts of one commit: all of them are written, or none."""

    facts: tuple[Fact, ...]
    at: datetime


class Store:
    """The open database. Used by one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: JournalLock, run_id: int) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock
        self._tape = Tape(connection, run_id)
        self.run_id = run_id

    @classmethod
    def open(cls, path: Path, lock: JournalLock, *, instance: str, mode: str, run: tuple[str, str, datetime]) -> Self:
        """Open or create the journal whose lock is held, and begin a run: (version, config_hash, started). Raises as Journal.open."""
        if not path.exists():
            _begin_afresh(path, lock, instance, mode)
        connection = schema.open_checked(path, instance, mode, lock.acknowledged)
        version, config_hash, started = run
        try:
            cursor = connection.execute(
                "INSERT INTO runs (version, config_hash, started) VALUES (?, ?, ?)", (version, config_hash, micros(started))
            )
        except sqlite3.Error as error:
            connection.close()
            raise failed(path, error) from error
        return cls(path, connection, lock, cursor.lastrowid or 0)

    def write(self, batches: Sequence[Batch]) -> list[Exception | None]:
        """Write a group in one transaction. The answer has, by batch, None or the error of its caller, for which none of it was written.

        Raises:
            JournalFailed: the disk did not take it.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            commit = self._connection.execute("INSERT INTO commits (run_id, at) VALUES (?, ?)", (self.run_id, micros(batches[-1].at)))
            outcomes = [self._write_batch(batch) for batch in batches]
            self._connection.execute("COMMIT")
            self._lock.note(commit.lastrowid or 0)
        except (sqlite3.Error, OSError) as error:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise failed(self._path, error) from error
        return outcomes

    def thin(self, before: datetime) -> int:
        """Remove the detail of what was before; how many rows. JournalFailed: the disk did not take it, and all is as it was."""
        try:
            return thinned(self._connection, micros(before))
        except sqlite3.Error as error:
            raise failed(self._path, error) from error

    def close(self, reason: str | None, at: datetime) -> None:
        """End the run with its reason (None: the record is not to be touched any more), empty the log and close.

        Raises:
            JournalFailed: the end could not be written; everything acknowledged before is on disk all the same.
        """
        try:
            if reason is not None:
                self._connection.execute("UPDATE runs SET ended = ?, reason = ? WHERE run_id = ?", (micros(at), reason, self.run_id))
                self._connection.execute("PRAGMA busy_timeout = 200")  # a reader elsewhere must not hold up the end; the log may stay
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise failed(self._path, error) from error
        finally:
            self._connection.close()

    # --- facts -------------------------------------------------------------------------------------------------------

    def _write_batch(self, batch: Batch) -> Exception | None:
        self._connection.execute("SAVEPOINT batch")
        error: Exception | None = None
        try:
            for fact in batch.facts:
                self._write_fact(fact, batch.at)
        except _CALLER as refused:
            error = JournalConflict(f"{self._path}: {refused}")
        except (sqlite3.Error, OSError):
            raise
        except Exception as unexpected:  # of the facts themselves (no time zone, a value that is not JSON): their caller's, not the group's
            error = unexpected
        if error is not None:
            self._connection.execute("ROLLBACK TO batch")
        self._connection.execute("RELEASE batch")
        return error

    def _write_fact(self, fact: Fact, at: datetime) -> None:
        match fact:
            case Decision() | Parent() | Order():
                self._intent(fact)
            case OrderFilled():
                self._fill(fact)
            case FlowBooked():
                self._connection.execute(_FLOW, flow_row(fact))
                if fact.flow.symbol:
                    self._connection.execute(_FLOW_SYMBOL, sealed("flow_symbols", fact.flow.id, fact.flow.symbol))
            case WaveSettled():
                self._wave(fact)
            case SleevesBooked() | HoldPlaced() | HoldLifted() | Command():
                self._steering(fact)
            case Put() | KeepState() | CorrelationHigh() | CorrelationCalmed() | EquityMarked():
                self._state(fact, at)
            case RiskLimited() | OrderLimited() | RiskRefused() | PlanMade() | GroupJudged():
                self._connection.execute(
                    "INSERT INTO decision_events (decision_id, kind, payload, at, seal) VALUES (?, ?, ?, ?, ?)", decision_event_row(fact)
                )
            case SliceClosed() | Warmed() | Thinning():
                self._detail(fact)
            case _:
                self._order_event(fact)

    def _intent(self, fact: Decision | Parent | Order) -> None:
        match fact:
            case Decision():
                self._decision(fact)
            case Parent():
                self._connection.execute(_PARENT, parent_row(fact))
            case Order():
                self._order(fact)

    def _steering(self, fact: SleevesBooked | HoldPlaced | HoldLifted | Command) -> None:
        match fact:
            case SleevesBooked():
                self._connection.execute(_BOOKING, booking_row(fact))
            case HoldPlaced() | HoldLifted():
                self._connection.execute("INSERT INTO holds (kind, payload, at, seal) VALUES (?, ?, ?, ?)", hold_row(fact))
            case Command():
                row = sealed("commands", fact.verb, fact.argument, fact.by, micros(fact.at))
                self._connection.execute("INSERT INTO commands (verb, argument, by, at, seal) VALUES (?, ?, ?, ?, ?)", row)

    def _state(self, fact: Put | KeepState | CorrelationHigh | CorrelationCalmed | EquityMarked, at: datetime) -> None:
        match fact:
            case Put(key, text) | KeepState(key, text):
                self._connection.execute(_PUT, sealed("switches", key, text, micros(at)))
            case CorrelationHigh() | CorrelationCalmed():
                said = "high" if isinstance(fact, CorrelationHigh) else "calm"
                self._connection.execute(_PUT, sealed("switches", CORRELATION, said, micros(fact.at)))
            case EquityMarked():
                self._connection.execute(_EQUITY, equity_row(fact))

    def _detail(self, fact: SliceClosed | Warmed | Thinning) -> None:
        match fact:
            case SliceClosed() | Warmed():
                self._tape.take(fact)
            case Thinning(before=before):
                fact.rows = thin(self._connection, micros(before))

    def _decision(self, decision: Decision) -> None:
        # Every wave of a decision brings it along; its text is worth making once.
        if self._connection.execute("SELECT 1 FROM decisions WHERE id = ?", (decision.id,)).fetchone() is None:
            self._connection.execute("INSERT INTO decisions (id, as_of, payload, at, seal) VALUES (?, ?, ?, ?, ?)", decision_row(decision))

    def _order(self, order: Order) -> None:
        if self._connection.execute(_ORDER, order_row(order)).rowcount == 0:
            row = self._connection.execute(
                "SELECT id, symbol, side, amount, price, reserve, decision_id, attempt, at, seal FROM orders WHERE id = ?", (order.id,)
            ).fetchone()
            if order_from(row, self._path) != replace(order, split={}, limit=None, post_only=False, reduce_only=False):
                raise JournalConflict(f"order {order.id} is already recorded with another content: an id stands for one intent, for ever")
        if order.split:
            self._connection.execute(_SPLIT, sealed("splits", order.id, split_to_json(order.split)))
        if order.limit is not None:
            self._connection.execute(_LIMIT, sealed("limits", order.id, str(order.limit)))
        if order.post_only:
            self._connection.execute(_RESTING, sealed("resting", order.id))
        if order.reduce_only:
            self._connection.execute(_REDUCING, sealed("reducing", order.id))

    def _order_event(self, fact: OrderFact) -> None:
        self._connection.execute(
            "INSERT INTO order_events (order_id, kind, payload, at, seal) VALUES (?, ?, ?, ?, ?)", order_event_row(fact)
        )
        if isinstance(fact, OrderReported):
            self._venue_order(fact.report.symbol, fact.report.venue_id, fact.report.order_id)

    def _fill(self, event: OrderFilled) -> None:
        fill = event.fill
        self._connection.execute(_FILL, fill_row(event))
        if fill.realised is not None:
            self._connection.execute(_PROFIT, sealed("profits", fill.symbol, fill.trade_id, str(fill.realised)))
        self._venue_order(fill.symbol, fill.venue_id, fill.order_id)

    def _venue_order(self, symbol: str, venue_id: str, order_id: str) -> None:
        """Remember which of our orders the venue means by its own number; foreign orders are none of ours."""
        if venue_id and self._connection.execute("SELECT 1 FROM orders WHERE id = ?", (order_id,)).fetchone() is not None:
            self._connection.execute(_VENUE_ORDER, sealed("venue_orders", symbol, venue_id, order_id))

    def _wave(self, wave: WaveSettled) -> None:
        self._decision(wave.decision)  # a wave that sent nothing is the first to name its decision
        row = sealed("waves", wave.decision.id, wave_to_json(wave), micros(wave.at))
        self._connection.execute("INSERT INTO waves (decision_id, payload, at, seal) VALUES (?, ?, ?, ?)", row)


def _begin_afresh(path: Path, lock: JournalLock, instance: str, mode: str) -> None:
    """Create the journal, unless what lies there says that one has been lost."""
    if path.with_name(path.name + "-wal").exists():
        raise damaged(path, "the file is missing beside its write-ahead log")
    try:
        # Before the journal appears: a count left by one that was moved away must not judge the new one.
        lock.note(0)
    except OSError as error:
        raise failed(path, error) from error
    lock.acknowledged = 0
    schema.create(path, instance, mode)
