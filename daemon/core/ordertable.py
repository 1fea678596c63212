"""The order table: every order of ours from intent to end, and the transitions that can happen.

Rule: LIFE is the whole truth about an order's life. What is not in it cannot happen; if it seems to, the order keeps its state, the
surprise is recorded, and the venue is asked. A filled amount never decreases.
"""

import hashlib
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

from daemon.core.model import ZERO, Fill, Order, OrderReport, Side, Status, currencies
from daemon.core.planner_legs import Reason


class State(StrEnum):
    """Where an order is in its life."""

    NEW = "new"
    SENT = "sent"
    ACKED = "acked"
    PARTIAL = "partial"
    CANCEL_SENT = "cancel_sent"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    DENIED = "denied"


class Saw(StrEnum):
    """What can be learnt of an order."""

    DENIAL = "denial"  # our own decision not to send it
    SENDING = "sending"
    NOT_SENT = "not_sent"
    REFUSAL = "refusal"
    AMBIGUITY = "ambiguity"
    OPEN = "open"
    PART = "part"  # open, and filled in part
    FULL = "full"
    CANCELED = "canceled"
    EXPIRED = "expired"
    CANCELING = "canceling"  # a cancel is being asked for
    ABSENCE = "absence"  # confirmed by the full rule, never by one answer


ENDED: Final = frozenset({State.FILLED, State.CANCELED, State.EXPIRED, State.REJECTED, State.DENIED})

# What a report means in any state in which the order may exist.
_REPORTED: Final = {
    Saw.OPEN: State.ACKED,
    Saw.PART: State.PARTIAL,
    Saw.FULL: State.FILLED,
    Saw.CANCELED: State.CANCELED,
    Saw.EXPIRED: State.EXPIRED,
}

_OPEN: Final = (State.ACKED, State.PARTIAL, State.CANCEL_SENT)
_KNOWN_TO_EXIST: Final = (*_OPEN, State.FILLED, State.CANCELED, State.EXPIRED)

LIFE: Final[dict[tuple[State, Saw], State]] = {
    (State.NEW, Saw.DENIAL): State.DENIED,
    (State.NEW, Saw.SENDING): State.SENT,
    (State.NEW, Saw.NOT_SENT): State.NEW,  # our own gate held it back
    (State.NEW, Saw.AMBIGUITY): State.UNKNOWN,  # a crash after the intent: nobody knows whether it was sent
    (State.SENT, Saw.NOT_SENT): State.NEW,
    (State.SENT, Saw.REFUSAL): State.REJECTED,
    (State.SENT, Saw.AMBIGUITY): State.UNKNOWN,
    (State.UNKNOWN, Saw.AMBIGUITY): State.UNKNOWN,
    (State.UNKNOWN, Saw.ABSENCE): State.REJECTED,
    (State.ACKED, Saw.CANCELING): State.CANCEL_SENT,
    (State.PARTIAL, Saw.CANCELING): State.CANCEL_SENT,
    (State.CANCEL_SENT, Saw.CANCELING): State.CANCEL_SENT,
    (State.CANCEL_SENT, Saw.ABSENCE): State.CANCELED,  # it existed, cancels were sent, and it is nowhere any more
    **{(state, saw): to for state in (State.SENT, State.UNKNOWN, State.ACKED) for saw, to in _REPORTED.items()},
    # A report may be older than what is known: an order that has fills is not merely open again.
    **{(State.PARTIAL, saw): to for saw, to in _REPORTED.items()},
    (State.PARTIAL, Saw.OPEN): State.PARTIAL,
    # Until its end is seen, a cancel that was asked for has not happened.
    **{(State.CANCEL_SENT, saw): to for saw, to in _REPORTED.items()},
    (State.CANCEL_SENT, Saw.OPEN): State.CANCEL_SENT,
    (State.CANCEL_SENT, Saw.PART): State.CANCEL_SENT,
    # Answers come twice (reply, stream, poll), and late ones after the end.
    **{(end, saw): end for end in (State.FILLED, State.CANCELED, State.EXPIRED) for saw in _REPORTED},
    (State.CANCELED, Saw.FULL): State.FILLED,
    (State.EXPIRED, Saw.FULL): State.FILLED,
    # The answer to the request was lost, but the stream has told of the order before: what is known stands.
    **{(state, Saw.AMBIGUITY): state for state in _KNOWN_TO_EXIST},
    # A refusal that was none: the venue shows the order after all.
    **{(state, saw): to for state in (State.REJECTED, State.DENIED) for saw, to in _REPORTED.items()},
}


@dataclass(slots=True, eq=False)
class Tracked:
    """An order of ours and what is known of it. Amounts are base units, costs quote; `booked` is what its trades add up to.

    `booked_fees` is worth of the fees in quote, as far as they were paid in base or quote. `reason` is a stable code where the order did
    not go as wished. `seen_at`: when the venue last showed the order. `heard`: whether anything has been learnt of it in this process.
    `absences`: the look-ups that did not find it. `hinted_at`: when the account was last read to hold what its trades would have made
    of it. `closed`: its end has been told, with `told` base units traded.
    """

    order: Order
    state: State = State.NEW
    venue_id: str = ""
    reported: Decimal = ZERO
    reported_cost: Decimal = ZERO
    booked: Decimal = ZERO
    booked_cost: Decimal = ZERO
    booked_fees: Decimal = ZERO
    reason: str = ""
    sent_at: datetime | None = None
    seen_at: datetime | None = None
    doubted_at: datetime | None = None
    absences: list[datetime] = field(default_factory=list)
    hinted_at: datetime | None = None
    asked_at: datetime | None = None
    asks: int = 0
    canceled_at: datetime | None = None
    cancels: int = 0
    heard: bool = False
    closed: bool = False
    told: Decimal = ZERO
    trades: set[str] = field(default_factory=set)

    @property
    def ended(self) -> bool:
        """Whether the venue expects nothing more of it."""
        return self.state in ENDED

    @property
    def open(self) -> bool:
        """Whether the venue has it in its book, as far as is known."""
        return self.state in _OPEN

    @property
    def filled(self) -> Decimal:
        """Base units filled, by the higher of what is reported and what trades say."""
        return max(self.reported, self.booked)

    @property
    def unbooked(self) -> Decimal:
        """Base units that the venue reports as filled and whose trades have not come yet: they count, but are not in the ledger."""
        return max(ZERO, self.reported - self.booked)

    @property
    def remaining(self) -> Decimal:
        """Base units that may still be filled: all of the rest while the order is open or unknown, nothing once it has ended."""
        return ZERO if self.ended else max(ZERO, self.order.amount - self.filled)

    @property
    def pending(self) -> Decimal:
        """Signed base units that this order may still add to what the ledger holds."""
        return self.order.side.sign * self.outstanding

    @property
    def outstanding(self) -> Decimal:
        """Base units that may still come into the ledger, on whichever side. An unknown order's are its whole size."""
        return self.remaining + self.unbooked

    @property
    def reserved(self) -> Decimal:
        """What it may still take: quote where it spends that, else base."""
        outstanding = self.outstanding
        if not self.order.spends_quote or not outstanding:
            return outstanding
        return self.order.reserve * outstanding / self.order.amount

    @property
    def settled(self) -> bool:
        """Whether it has ended and every trade of it is booked."""
        return self.state in ENDED and self.reported <= self.booked

    @property
    def capped(self) -> bool:
        """Whether the venue ended it short although nobody cancelled it: there was too little within its limit."""
        stopped = self.state in (State.EXPIRED, State.CANCELED) and self.canceled_at is None
        return stopped and self.order.limit is not None and self.filled < self.order.amount

    def learn(self, saw: Saw) -> bool:
        """Go where LIFE says; False (and no change) where it says nothing."""
        to = LIFE.get((self.state, saw))
        if to is None:
            return False
        self.state = to
        return True

    def report(self, report: OrderReport, at: datetime) -> bool:
        """Take in what the venue says of the order; False if LIFE does not know such a step."""
        self._shown(report.venue_id, at)
        # An order that is filled has filled something, even where the report forgets to say how much.
        filled = report.filled or (self.order.amount if report.status is Status.FILLED else ZERO)
        if filled > self.reported:
            self.reported, self.reported_cost = filled, report.cost
        return self.learn(sight(report))

    def fill(self, fill: Fill, at: datetime) -> bool:
        """Take in a trade of the order; False if it is known already."""
        if fill.trade_id in self.trades:
            return False
        self._shown(fill.venue_id, at)
        self.trades.add(fill.trade_id)
        self.booked += fill.amount
        self.booked_cost += fill.cost
        base, quote = currencies(fill.symbol)
        worth = {base: fill.price, quote: Decimal(1)}
        self.booked_fees += sum((fee.amount * worth.get(fee.currency, ZERO) for fee in fill.fees), ZERO)
        self.learn(Saw.FULL if self.booked >= self.order.amount else Saw.PART)
        return True

    def forgo(self) -> None:
        """Expect no more trades than those that are booked."""
        self.reported, self.reported_cost = self.booked, self.booked_cost

    def doubt(self, at: datetime) -> None:
        """Begin again to ask: what was known may have changed while nobody listened, and what was asked before counts no more."""
        if self.state in (State.NEW, State.SENT):
            self.learn(Saw.AMBIGUITY)
        if self.state is State.UNKNOWN:
            self.doubted_at = at
        self.absences, self.asked_at, self.asks, self.heard = [], None, 0, False

    def _shown(self, venue_id: str, at: datetime) -> None:
        """Whatever shows the order ends every doubt whether it exists, and every step taken towards its absence."""
        self.venue_id = venue_id or self.venue_id
        self.seen_at = at
        self.heard = True
        self.absences = []
        if self.state in (State.UNKNOWN, State.REJECTED, State.DENIED):
            self.reason = ""


def sight(report: OrderReport) -> Saw:
    """What a report amounts to. A venue that calls an unfilled market order rejected has expired it; it existed."""
    match report.status:
        case Status.OPEN:
            return Saw.PART if report.filled > 0 else Saw.OPEN
        case Status.FILLED:
            return Saw.FULL
        case Status.CANCELED:
            return Saw.CANCELED
        case Status.EXPIRED | Status.REJECTED:
            return Saw.EXPIRED


class OrderTable:
    """All orders that are not closed, by our id, with the venue's ids and the last closed ones beside them.

    `moved_at`: when anything of ours last changed. An account that was read before that may show the time before or after.
    `forgot_at`: when the newest order was made that has been forgotten; an id that is not known may be of one from before.
    """

    # Late trades and repeated reports concern orders of the last minutes; what is older is in the journal.
    CLOSED_KEPT: Final = 2_000
    STRAYS_KEPT: Final = 2_000

    def __init__(self) -> None:
        self._open: dict[str, Tracked] = {}
        self._closed: dict[str, Tracked] = {}
        self._by_venue_id: dict[tuple[str, str], str] = {}  # venues count orders by market: an id alone is not unique
        self._strays: dict[tuple[str, str], Fill] = {}
        self.moved_at: datetime | None = None
        self.forgot_at: datetime | None = None

    def __iter__(self) -> Iterator[Tracked]:
        """Every order that is not closed, in the order in which they were made; the table may change meanwhile."""
        return iter(tuple(self._open.values()))

    def __len__(self) -> int:
        """How many orders are not closed."""
        return len(self._open)

    def add(self, order: Order) -> Tracked:
        """Register an intent. The same id again is the programmer's error: ids derive from decisions, which happen once."""
        if order.id in self._open or order.id in self._closed:
            raise ValueError(f"order {order.id} exists already")
        tracked = self._open[order.id] = Tracked(order)
        self.touch(order.at)
        return tracked

    def get(self, order_id: str, symbol: str = "", venue_id: str = "") -> Tracked | None:
        """The order by our id, or by the venue's within its market."""
        ours = self._open.get(order_id) or self._closed.get(order_id)
        if ours is not None or not venue_id:
            return ours
        known = self._by_venue_id.get((symbol, venue_id), "")
        return self._open.get(known) or self._closed.get(known)

    def touch(self, at: datetime) -> None:
        """Something of ours changes at this moment."""
        self.moved_at = at if self.moved_at is None else max(at, self.moved_at)

    def link(self, tracked: Tracked, at: datetime) -> None:
        """Remember the venue's id of an order, and give it the trades that came under that id before anybody knew whose it was."""
        key = (tracked.order.symbol, tracked.venue_id)
        if not tracked.venue_id or key in self._by_venue_id:
            return
        self._by_venue_id[key] = tracked.order.id
        for stray in [t for t in self._strays.values() if (t.symbol, t.venue_id) == key]:
            del self._strays[(stray.symbol, stray.trade_id)]
            tracked.fill(stray, at)

    def stray(self, fill: Fill) -> None:
        """Keep a trade of no order that we know. It may be of one in doubt: listings name the venue's id alone."""
        self._strays[(fill.symbol, fill.trade_id)] = fill
        while len(self._strays) > self.STRAYS_KEPT:
            del self._strays[next(iter(self._strays))]

    def strayed(self, symbol: str, side: Side, since: datetime) -> dict[str, Decimal]:
        """Base units of the trades since a moment of which nobody knows whose they are, by the venue's id of their order."""
        found: dict[str, Decimal] = {}
        for stray in self._strays.values():
            if (stray.symbol, stray.side, stray.order_id) == (symbol, side, "") and stray.at >= since:
                found[stray.venue_id] = found.get(stray.venue_id, ZERO) + stray.amount
        return found

    def close(self, tracked: Tracked) -> None:
        """The order is settled: keep it for late news, and forget the oldest such."""
        tracked.closed = True
        self._open.pop(tracked.order.id, None)
        self._closed[tracked.order.id] = tracked
        while len(self._closed) > self.CLOSED_KEPT:
            old = self._closed.pop(next(iter(self._closed)))
            self._by_venue_id.pop((old.order.symbol, old.venue_id), None)
            self.forgot_at = old.order.at if self.forgot_at is None else max(old.order.at, self.forgot_at)

    def reopen(self, tracked: Tracked) -> None:
        """Late news: the order has not ended, or not all of its trades are booked. It counts again until they are."""
        tracked.closed = False
        self._closed.pop(tracked.order.id, None)
        self._open[tracked.order.id] = tracked

    def in_flight(self) -> tuple[dict[str, Decimal], dict[str, Decimal], dict[str, str]]:
        """By symbol: signed base units that orders may still bring; base units of it that they may take; why nobody knows how it ends."""
        pending: dict[str, Decimal] = {}
        taking: dict[str, Decimal] = {}
        moving: dict[str, str] = {}
        for tracked in self._open.values():
            symbol = tracked.order.symbol
            pending[symbol] = pending.get(symbol, ZERO) + tracked.pending
            if not tracked.order.spends_quote:
                taking[symbol] = taking.get(symbol, ZERO) + tracked.outstanding
            if tracked.state is State.UNKNOWN:
                moving[symbol] = Reason.ORDER_UNKNOWN.value
            elif not tracked.ended:
                moving.setdefault(symbol, Reason.ORDER_OPEN.value)
        return pending, taking, moving

    def spending(self, symbols: Container[str]) -> Decimal:
        """The quote that orders in these symbols may still take: of spot buys, of swaps what makes positions larger."""
        return sum((t.reserved for t in self._open.values() if t.order.spends_quote and t.order.symbol in symbols), ZERO)

    def taking(self, symbol: str) -> Decimal:
        """The base units of a holding that orders may still take: of spot sells, of a swap what only reduces."""
        return sum((t.reserved for t in self._open.values() if not t.order.spends_quote and t.order.symbol == symbol), ZERO)


def diagram() -> str:
    """LIFE as a mermaid state diagram, one line a transition; steps that leave the state as it is are left out."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, saw), to in LIFE.items():
        if state is not to:
            arrows.setdefault((state, to), []).append(saw.value)
    lines = [f"    {state.value} --> {to.value}: {', '.join(sorted(saws))}" for (state, to), saws in sorted(arrows.items())]
    ends = [f"    {state.value} --> [*]" for state in sorted(ENDED)]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.NEW.value}", *lines, *ends]) + "\n"


@lru_cache(maxsize=64)
def beginning(instance: str) -> str:
    """How the ids of an instance's orders begin."""
    return "r" + tag(instance)


def tag(instance: str) -> str:
    """Four characters by which an instance knows its own orders: `r` and these begin every id of it."""
    return _render(instance, 4)


def client_id(instance: str, decision_id: str, symbol: str, side: Side, attempt: int) -> str:
    """The order's id, derived from what it is for: the same decision gives the same id on every machine and after every restart.

    27 characters, lower-case letters and digits, which every venue with string ids takes: `r`, the instance's tag, 110 bits of hash.
    """
    return beginning(instance) + _render(f"{instance}\x1f{decision_id}\x1f{symbol}\x1f{side}\x1f{attempt}", 22)


def is_of_a_daemon(order_id: str) -> bool:
    """Whether some instance, ours or another, makes ids like this one."""
    return _ID.fullmatch(order_id) is not None


def _render(text: str, length: int) -> str:
    """The first characters (an even number) of a text's hash in Crockford's base32, lower case: no letter that is mistaken for a digit."""
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(118, 118 - 5 * length, -10)])


_ID: Final = re.compile("r[0-9a-hjkmnp-tv-z]{26}")
_CROCKFORD: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [one + other for one in _CROCKFORD for other in _CROCKFORD]
