"""PositionReconciler: keeps ledger and account in agreement, and tells fills, flows and drift apart.

Rule: equality is agreement at any time; a difference counts only on a quiet account, and only after the venue's trades were read and did
not explain it. Absence is not zero, and nothing is corrected on the evidence of one poll.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from daemon.core.events import (
    AccountPolled,
    AccountReconciled,
    BalanceMoved,
    BookFlows,
    DriftCleared,
    DriftFound,
    Event,
    OrderFilled,
    PollAccount,
    QueryTrades,
    TimePassed,
    TradesListed,
)
from daemon.core.ledger import Ledger
from daemon.core.model import ZERO, AccountSnapshot, Flow, currencies
from daemon.core.ordertable import OrderTable


@dataclass(slots=True)
class Suspicion:
    """A difference (account minus ledger, in units of its currency) that was seen on a quiet account, and what was done about it."""

    currency: str
    amount: Decimal
    since: datetime
    asked: frozenset[str] = frozenset()
    read_at: datetime | None = None
    found: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """When a poll says something about the account.

    `quiet`: no fill of ours within this time before the poll began, so that a lagging balance is not taken for a loss. `again`: a
    difference is polled again after this long. `overlap`: trades are read from this long before the difference was last known not to be.
    `lookups`: an order in doubt that so many look-ups have not found no longer makes the account restless.
    """

    quiet: timedelta = timedelta(seconds=3)
    again: timedelta = timedelta(seconds=3)
    overlap: timedelta = timedelta(minutes=10)
    lookups: int = 3


class PositionReconciler:
    """Compares polled balances with the ledger, for the currencies that the universe manages; all others are ring-fenced."""

    def __init__(self, symbols: Iterable[str], ledger: Ledger, table: OrderTable, calm: Calm | None = None) -> None:
        self._symbols = tuple(symbols)
        self._managed = frozenset(c for s in self._symbols for c in currencies(s))
        self._ledger = ledger
        self._table = table
        self._calm = calm or Calm()
        self._last_fill: datetime | None = None
        self._agreed_at: datetime | None = None
        self._poll_at: datetime | None = None
        self._suspicions: dict[str, Suspicion] = {}
        self.last_reconciled: datetime | None = None
        self.differences: Mapping[str, Decimal] = {}

    def since(self, moment: datetime | None) -> None:
        """After a restart: the account was last known to agree no later than `moment`."""
        self._agreed_at = moment

    def on_fill(self, event: OrderFilled) -> Iterable[Event]:
        """Balances polled right after a trade may not show it yet."""
        self._last_fill = event.at
        return ()

    def on_moved(self, event: BalanceMoved) -> Iterable[Event]:
        """The venue itself says that money came or went: a flow."""
        if event.currency in self._managed and event.amount:
            yield BookFlows((Flow(f"{event.currency}-{event.id}", event.currency, event.amount, "transfer", event.at),), event.at)

    def on_time(self, event: TimePassed) -> Iterable[Event]:
        """A suspicion is looked at again soon, not at the next turn of the poller."""
        if self._poll_at is not None and event.at >= self._poll_at:
            self._poll_at = None
            yield PollAccount(event.at)

    def on_listed(self, event: TradesListed) -> Iterable[Event]:
        """Trades were read: what is still different then, no trade explains."""
        for suspicion in self._suspicions.values():
            if suspicion.asked and suspicion.asked <= frozenset(event.symbols):
                suspicion.read_at = event.at
        return ()

    def on_polled(self, event: AccountPolled) -> Iterable[Event]:
        """Compare; then conclude nothing, agreement, or one step further on the way from difference to trade, flow or drift."""
        snapshot = event.snapshot
        if not self._ledger.opened:
            yield from self._open(snapshot, event.at)
            return
        differences, quiet = self._compare(snapshot), self._quiet(snapshot)
        yield AccountReconciled(differences, snapshot.asked_at, event.at, quiet=quiet)
        for currency in [c for c in self._suspicions if c not in differences]:
            if self._suspicions.pop(currency).found:
                yield DriftCleared(currency, event.at)
        if differences:
            self._poll_at = event.at + self._calm.again
        else:
            self._agreed_at = snapshot.asked_at
        if quiet or not differences:
            self.last_reconciled, self.differences = event.at, differences
            for currency, amount in differences.items():
                yield from self._suspect(currency, amount, snapshot, event.at)

    def _compare(self, snapshot: AccountSnapshot) -> dict[str, Decimal]:
        """Account minus ledger, by managed currency, where it is not 0."""
        held = {c: b.total for c, b in snapshot.balances.items()}
        found = {c: held.get(c, ZERO) - self._ledger.held(c) for c in sorted(self._managed)}
        return {c: d for c, d in found.items() if d}

    def _quiet(self, snapshot: AccountSnapshot) -> bool:
        """Whether nothing of ours was moving while the account was read; an order that look-ups do not find is not moving."""
        if any(len(t.absences) < self._calm.lookups for t in self._table):
            return False
        return self._last_fill is None or snapshot.asked_at - self._last_fill >= self._calm.quiet

    def _suspect(self, currency: str, amount: Decimal, snapshot: AccountSnapshot, at: datetime) -> Iterable[Event]:
        """First sight: read the trades. Still there after that: drift. Still there, unchanged, at the next quiet poll: it is a flow."""
        known = self._suspicions.get(currency)
        if known is None or known.amount != amount:
            self._suspicions[currency] = Suspicion(currency, amount, snapshot.asked_at, found=known.found if known else False)
            yield from self._read_trades(self._suspicions[currency], at)
        elif known.read_at is None:
            yield from self._read_trades(known, at)
        elif snapshot.asked_at <= known.read_at:
            return  # this poll began before the trades were read: it says nothing yet
        elif not known.found:
            known.found = True
            yield DriftFound(currency, amount, at)
        else:
            yield BookFlows((Flow(_flow_id(currency, amount, known.since), currency, amount, "unexplained", at),), at)

    def _read_trades(self, suspicion: Suspicion, at: datetime) -> Iterable[Event]:
        """Ask for the trades that could explain a difference; where none can, that is known at once."""
        symbols = self._concerned(suspicion.currency)
        suspicion.asked = frozenset(symbols)
        if symbols:
            yield QueryTrades(symbols, (self._agreed_at or suspicion.since) - self._calm.overlap, at)
        else:
            suspicion.read_at = at

    def _concerned(self, currency: str) -> tuple[str, ...]:
        """The symbols whose trades move this currency. For the quote those are all; only symbols whose base differs too can explain it."""
        mine = tuple(s for s in self._symbols if currencies(s)[0] == currency)
        return mine or tuple(s for s in self._symbols if currencies(s)[0] in self.differences)

    def _open(self, snapshot: AccountSnapshot, at: datetime) -> Iterable[Event]:
        """A first start: what the account holds of the managed currencies is its opening balance, not a profit."""
        if any(True for _ in self._table):
            return
        held = {c: b.total for c, b in snapshot.balances.items()}
        opening = (Flow(f"opening-{c}", c, held.get(c, ZERO), "opening", snapshot.asked_at) for c in sorted(self._managed))
        yield BookFlows(tuple(opening), at)
        self._poll_at = at


def _flow_id(currency: str, amount: Decimal, since: datetime) -> str:
    """Derived from what was seen, so that the same correction is not booked twice."""
    seen = f"{currency}|{amount}|{since.isoformat()}"
    return f"unexplained-{currency}-{hashlib.blake2b(seen.encode(), digest_size=8).hexdigest()}"
