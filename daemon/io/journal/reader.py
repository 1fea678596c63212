"""Reader: what the journal says, for a start, for the API and for people.

Rule: it opens the file read-only and needs no lock, so it never holds up the writer; what it hands out is checked row by row.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final, Self, TypeVar

from daemon.core.events import EquityMarked, GroupJudged, OrderClosed, OrderLimited, OrderRefused, RiskLimited, RiskRefused, WaveSettled
from daemon.core.ledger import Ledger
from daemon.core.model import ZERO, Booking, Decision, Fill, Flow, Order
from daemon.core.styles import Parent
from daemon.io.journal.codec import micros, moment, split_from_json, wave_from_json
from daemon.io.journal.errors import READ_ERRORS, known
from daemon.io.journal.facts import CORRELATION, Command, HoldFact, OrderCut, OrderFact, PlanRecord
from daemon.io.journal.rows import (
    Row,
    booking_from,
    decision_from,
    equity_from,
    fill_from,
    flow_from,
    group_from,
    hold_from,
    limited_from,
    order_cut_from,
    order_event_from,
    order_from,
    parent_from,
    planned_from,
    unsealed,
)
from daemon.io.journal.schema import check_version, connect

T = TypeVar("T")

DAY: Final = timedelta(days=1)

ROWS_MAX: Final = 1000  # the most one question of the API may bring into memory

_ORDERS_OPEN: Final = """SELECT id, symbol, side, amount, price, reserve, decision_id, attempt, at, seal FROM orders
    WHERE NOT EXISTS (SELECT 1 FROM order_events WHERE order_id = orders.id AND kind = 'OrderClosed') ORDER BY seq"""
_ORDERS_NEWEST: Final = """SELECT id, symbol, side, amount, price, reserve, decision_id, attempt, at, seal FROM orders
    ORDER BY seq DESC LIMIT ?"""
_ORDERS_OF: Final = """SELECT id, symbol, side, amount, price, reserve, decision_id, attempt, at, seal FROM orders
    WHERE decision_id = ? ORDER BY seq"""
_EQUITY: Final = """SELECT max(at), payload, seal FROM equity WHERE at >= ?1 GROUP BY (at - ?1) / ?2
    ORDER BY max(at) DESC LIMIT ?3"""
_EVENTS: Final = "SELECT order_id, kind, payload, at, seal FROM order_events WHERE order_id = ? ORDER BY seq"
_FILLS: Final = """SELECT order_id, venue_id, trade_id, symbol, side, amount, price, cost, fees, at, known_at, seal FROM fills
    ORDER BY seq"""
_FILLS_NEWEST: Final = """SELECT order_id, venue_id, trade_id, symbol, side, amount, price, cost, fees, at, known_at, seal FROM fills
    ORDER BY seq DESC LIMIT ?"""
# A fill names its order by our id, or by the venue's alone.
_FILLS_OF: Final = """SELECT order_id, venue_id, trade_id, symbol, side, amount, price, cost, fees, at, known_at, seal FROM fills
    WHERE order_id = :id OR (order_id = '' AND symbol = :symbol
        AND venue_id IN (SELECT venue_id FROM venue_orders WHERE order_id = :id)) ORDER BY seq"""
_DECISION_EVENTS: Final = "SELECT decision_id, kind, payload, at, seal FROM decision_events WHERE decision_id = ? AND kind = ? ORDER BY seq"
_HOLDS: Final = "SELECT kind, payload, at, seal FROM holds ORDER BY seq"
_BOOKINGS: Final = "SELECT id, kind, payload, at, seal FROM bookings ORDER BY seq"
_SPLITS: Final = "SELECT order_id, payload, seal FROM splits"
_SPLIT_OF: Final = "SELECT order_id, payload, seal FROM splits WHERE order_id = ?"
_LIMIT_OF: Final = "SELECT order_id, price, seal FROM limits WHERE order_id = ?"
_RESTS: Final = "SELECT order_id, seal FROM resting WHERE order_id = ?"
_REDUCES: Final = "SELECT order_id, seal FROM reducing WHERE order_id = ?"
_PROFITS: Final = "SELECT symbol, trade_id, profit, seal FROM profits"
_FLOW_SYMBOLS: Final = "SELECT flow_id, symbol, seal FROM flow_symbols"
_PARENTS_OF: Final = "SELECT decision_id, payload, at, seal FROM parents WHERE decision_id = ? ORDER BY seq"
_CROSSED: Final = "SELECT id, kind, payload, at, seal FROM bookings WHERE kind = 'cross' AND id GLOB ? ORDER BY seq"
_DECISIONS_NEWEST: Final = "SELECT id, as_of, payload, at, seal FROM decisions ORDER BY as_of DESC, seq DESC LIMIT ?"


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order and what became of it.

    `state` is its last one once it has ended, None before; `reason` a stable code, why it did not end as it was meant to;
    `filled` (base units) and `cost` (quote) are what has been booked of it.
    """

    order: Order
    state: str | None
    reason: str | None
    filled: Decimal
    cost: Decimal
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class OrderStory:
    """An order from its intent to its end: what became known of it, and its trades, each oldest first."""

    record: OrderRecord
    facts: tuple[OrderFact, ...]
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True)
class DecisionStory:
    """One decision on its way to one symbol: `limits` and `orders` are the symbol's, `plans` are whole; each oldest first.

    `order_cuts` are the limits on its orders, `crossed` is what sleeves gave each other, of all symbols, `groups` what was said of the
    legs that it belongs to. `wave` is None while it has not
    settled; `decision` None where it has not been written (yet).
    """

    decision: Decision | None
    limits: tuple[RiskLimited, ...]
    plans: tuple[PlanRecord, ...]
    wave: WaveSettled | None
    orders: tuple[OrderStory, ...]
    order_cuts: tuple[OrderCut, ...] = ()
    crossed: tuple[Booking, ...] = ()
    groups: tuple[GroupJudged, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """Everything a start needs of the record.

    `open_orders` are the intents not known to have ended, each with what is known of it, oldest first. `recent_orders` are all of the day
    before the newest, oldest first. `parents` are those that were begun for the newest decision. `open_decision` is the newest decision
    where its wave has not settled; `attempts` has the highest attempt by symbol among the orders of the newest decision. `last_wave` is the
    newest that has settled. `correlation_high`: the correlation watch has fired and not calmed.
    `values` holds every `Put`; `holds` are those that were placed and lifted, oldest first; `bookings` are those between sleeves; `splits`
    say for whom each order traded; `began` when the first run on this journal did.
    """

    fills: tuple[Fill, ...]
    flows: tuple[Flow, ...]
    open_orders: tuple[tuple[Order, tuple[OrderFact, ...]], ...]
    order_ids: Mapping[tuple[str, str], str]
    last_decision: Decision | None
    open_decision: Decision | None
    attempts: Mapping[str, int]
    values: Mapping[str, str]
    holds: tuple[HoldFact, ...]
    bookings: tuple[Booking, ...]
    splits: Mapping[str, Mapping[str, Decimal]]
    last_fill_at: datetime | None
    began: datetime | None = None
    recent_orders: tuple[Order, ...] = ()
    parents: tuple[Parent, ...] = ()
    last_wave: WaveSettled | None = None
    correlation_high: bool = False

    def order_of(self, symbol: str, venue_id: str) -> str | None:
        """Our id of the order that the venue calls `venue_id`; a venue's numbers are unique within a symbol only."""
        return self.order_ids.get((symbol, venue_id))

    def traded(self) -> Iterator[tuple[Order, tuple[Decimal, Decimal] | None]]:
        """Each of the recent orders, with what it traded (base units, quote) if it has ended."""
        alive = {order.id for order, _ in self.open_orders}
        recent = {order.id: order for order in self.recent_orders}
        booked: dict[str, tuple[Decimal, Decimal]] = {}
        for fill in self.fills:
            order_id = fill.order_id or self.order_of(fill.symbol, fill.venue_id) or ""
            if order_id in recent:
                amount, cost = booked.get(order_id, (ZERO, ZERO))
                booked[order_id] = (amount + fill.amount, cost + fill.cost)
        for order_id, order in recent.items():
            yield order, None if order_id in alive else booked.get(order_id, (ZERO, ZERO))

    def owner(self, fill: Fill) -> str:
        """Our id of the order that a trade belongs to, "" where none is known."""
        return fill.order_id or self.order_of(fill.symbol, fill.venue_id) or ""

    def ledger(self) -> Ledger:
        """What the account should hold."""
        folded = Ledger()
        for flow in self.flows:
            folded.flow(flow)
        for fill in self.fills:
            folded.book(fill, ours=self.owner(fill) in self.splits)
        return folded


def ask(path: Path, question: Callable[["Reader"], T]) -> T:
    """Open the journal, ask one question, close it.

    Raises:
        JournalDamaged: a row is not as it was written.
        JournalFailed: the file is missing or cannot be read.
    """
    try:
        with Reader(path) as reader:
            return question(reader)
    except READ_ERRORS as error:
        raise known(path, error) from error


def read(path: Path) -> Recovered:
    """The whole state in the journal at `path`, whether or not a daemon is writing it. Raises as `ask`."""
    return ask(path, Reader.recover)


class Reader:
    """A read-only connection, for the time of one question. Its methods raise READ_ERRORS; `ask` names them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tables: frozenset[str] | None = None  # of the snapshot, once somebody asks
        self._connection = connect(path, read_only=True)
        try:
            check_version(self._connection, path)
            self._connection.execute("BEGIN")  # one snapshot for all of the answer
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def recover(self) -> Recovered:
        """Everything a start needs."""
        switches = self._all("SELECT key, value, at, seal FROM switches", lambda row, path: unsealed("switches", row, path))
        values = {key: value for key, value, _ in switches}
        splits = self._splits()
        fills = self._with_profits(self._all(_FILLS, fill_from))
        newest = next(iter(self.decisions(1)), None)
        return Recovered(
            fills=fills,
            flows=self._flows(),
            open_orders=tuple(
                (replace(self._with_terms(order), split=splits.get(order.id, {})), self._events(order.id))
                for order in self._all(_ORDERS_OPEN, order_from)
            ),
            recent_orders=self._recent_orders(),
            parents=self._since("parents", _PARENTS_OF, parent_from, newest.id) if newest else (),
            order_ids=self._order_ids(),
            last_wave=next(iter(self.waves(1)), None),
            correlation_high=values.get(CORRELATION) == "high",
            last_decision=newest,
            open_decision=newest if newest and not self._settled(newest.id) else None,
            attempts=self._attempts(newest.id) if newest else {},
            values=values,
            holds=self._since("holds", _HOLDS, hold_from),
            bookings=self._since("bookings", _BOOKINGS, booking_from),
            splits=splits,
            last_fill_at=max((fill.at for fill in fills), default=None),
            began=self._began(),
        )

    def _with_profits(self, fills: tuple[Fill, ...]) -> tuple[Fill, ...]:
        """The trades with the profits that the venue has booked for them."""
        rows = self._since("profits", _PROFITS, lambda row, path: unsealed("profits", row, path))
        profits = {(symbol, trade_id): Decimal(profit) for symbol, trade_id, profit in rows}
        return tuple(replace(fill, realised=profits.get((fill.symbol, fill.trade_id))) for fill in fills) if profits else fills

    def _flows(self) -> tuple[Flow, ...]:
        """All flows, with the swaps whose positions have made them."""
        flows = self._all("SELECT id, currency, amount, kind, at, known_at, seal FROM flows ORDER BY seq", flow_from)
        rows = self._since("flow_symbols", _FLOW_SYMBOLS, lambda row, path: unsealed("flow_symbols", row, path))
        symbols: dict[str, str] = dict(rows)
        return tuple(replace(flow, symbol=symbols.get(flow.id, "")) for flow in flows) if symbols else flows

    def _recent_orders(self) -> tuple[Order, ...]:
        """All orders of the day before the newest, oldest first; read backwards, since there may be years of others."""
        recent: list[Order] = []
        for row in self._connection.execute(_ORDERS_NEWEST, (-1,)):
            order = order_from(row, self._path)
            if recent and order.at <= recent[0].at - DAY:
                break
            recent.append(order)
        return tuple(reversed(recent))

    def _splits(self, *of: str) -> dict[str, dict[str, Decimal]]:
        """For whom orders traded: all of them, or one."""
        rows = self._since("splits", _SPLIT_OF if of else _SPLITS, lambda row, path: unsealed("splits", row, path), *of)
        return {order_id: split_from_json(payload) for order_id, payload in rows}

    def _with_terms(self, order: Order) -> Order:
        """The order with the worst price that it may trade at, whether it rests there, and whether it only reduces."""
        limits = self._since("limits", _LIMIT_OF, lambda row, path: unsealed("limits", row, path), order.id)
        rests = self._since("resting", _RESTS, lambda row, path: unsealed("resting", row, path), order.id)
        reduces = self._since("reducing", _REDUCES, lambda row, path: unsealed("reducing", row, path), order.id)
        limit = next((Decimal(price) for _, price in limits), None)
        return replace(order, limit=limit, post_only=bool(rests), reduce_only=bool(reduces))

    def _since(self, table: str, question: str, parse: Callable[[Row, Path], T], *values: str | int) -> tuple[T, ...]:
        """The rows of a table that a journal which only an earlier version has opened does not have."""
        return self._all(question, parse, *values) if self._has(table) else ()

    def _has(self, table: str) -> bool:
        if self._tables is None:
            self._tables = frozenset(name for (name,) in self._connection.execute("SELECT name FROM sqlite_schema"))
        return table in self._tables

    def _began(self) -> datetime | None:
        (started,) = self._connection.execute("SELECT min(started) FROM runs").fetchone()
        return None if started is None else moment(started)

    def orders(self, limit: int) -> tuple[OrderRecord, ...]:
        """The newest orders, newest first."""
        found = self._all(_ORDERS_NEWEST, order_from, _bounded(limit))
        return tuple(self._record(self._with_terms(order)) for order in found)

    def fills(self, limit: int) -> tuple[Fill, ...]:
        """The trades booked last, newest first."""
        return self._all(_FILLS_NEWEST, fill_from, _bounded(limit))

    def decisions(self, limit: int) -> tuple[Decision, ...]:
        """The newest decisions, newest first."""
        return self._all(_DECISIONS_NEWEST, decision_from, _bounded(limit))

    def waves(self, limit: int) -> tuple[WaveSettled, ...]:
        """The waves settled last, newest first."""
        rows = self._all(
            "SELECT decision_id, payload, at, seal FROM waves ORDER BY seq DESC LIMIT ?",
            lambda row, path: unsealed("waves", row, path),
            _bounded(limit),
        )
        return tuple(wave_from_json(self._decision(decision_id), payload, moment(at)) for decision_id, payload, at in rows)

    def equity(self, since: datetime, limit: int) -> tuple[EquityMarked, ...]:
        """What the account was worth since then, newest first; of more than `limit` marks the last of each of so many equal stretches."""
        if not self._has("equity"):
            return ()
        first, last = self._connection.execute("SELECT min(at), max(at) FROM equity WHERE at >= ?", (micros(since),)).fetchone()
        if first is None:
            return ()
        most = _bounded(limit)
        stretch = -(-(last - first + 1) // most)
        return self._all(_EQUITY, equity_from, first, stretch, most)

    def commands(self, limit: int) -> tuple[Command, ...]:
        """What people have asked of the daemon, newest first."""
        return self._since(
            "commands",
            "SELECT verb, argument, by, at, seal FROM commands ORDER BY seq DESC LIMIT ?",
            lambda row, path: _command(*unsealed("commands", row, path)),
            _bounded(limit),
        )

    def events_of(self, order_id: str) -> tuple[OrderFact, ...]:
        """What is known of one order, newest first; empty where there is no such order."""
        return self._events(order_id)[::-1]

    def story(self, symbol: str, decision_id: str | None = None) -> DecisionStory:
        """What one decision (None: the newest) meant for a symbol, and what came of it."""
        if decision_id is None:
            decision_id = next((decision.id for decision in self.decisions(1)), "")
        found = self._all("SELECT id, as_of, payload, at, seal FROM decisions WHERE id = ?", decision_from, decision_id)
        decision = found[0] if found else None
        orders = self._all(_ORDERS_OF, order_from, decision_id)
        return DecisionStory(
            decision=decision,
            limits=tuple(cut for cut in self._became(decision_id, RiskLimited.__name__, limited_from) if cut.symbol == symbol),
            order_cuts=self._order_cuts(decision_id, symbol),
            plans=self._became(decision_id, "PlanMade", planned_from),
            groups=tuple(g for g in self._became(decision_id, GroupJudged.__name__, group_from) if symbol in g.symbols),
            wave=self._wave(decision) if decision else None,
            orders=tuple(self._order_story(order) for order in orders if order.symbol == symbol),
            crossed=self._since("bookings", _CROSSED, booking_from, f"{decision_id}-cross-*"),
        )

    def _order_cuts(self, decision_id: str, symbol: str) -> tuple[OrderCut, ...]:
        found = [cut for kind in (OrderLimited, RiskRefused) for cut in self._became(decision_id, kind.__name__, order_cut_from)]
        return tuple(sorted((cut for cut in found if cut.symbol == symbol), key=lambda cut: cut.at))

    def _became(self, decision_id: str, kind: str, parse: Callable[[Row, Path], T]) -> tuple[T, ...]:
        return self._since("decision_events", _DECISION_EVENTS, parse, decision_id, kind)

    def _wave(self, decision: Decision) -> WaveSettled | None:
        """The decision's last wave; a restart may have worked on it twice."""
        row = self._connection.execute(
            "SELECT decision_id, payload, at, seal FROM waves WHERE decision_id = ? ORDER BY seq DESC LIMIT 1", (decision.id,)
        ).fetchone()
        if row is None:
            return None
        _, payload, at = unsealed("waves", row, self._path)
        return wave_from_json(decision, payload, moment(at))

    def _order_story(self, order: Order) -> OrderStory:
        order = replace(self._with_terms(order), split=self._splits(order.id).get(order.id, {}))
        return OrderStory(self._record(order), self._events(order.id), self._fills_of(order))

    def _all(self, question: str, parse: Callable[[Row, Path], T], *values: str | int) -> tuple[T, ...]:
        return tuple(parse(row, self._path) for row in self._connection.execute(question, values))

    def _events(self, order_id: str) -> tuple[OrderFact, ...]:
        return self._all(_EVENTS, order_event_from, order_id)

    def _decision(self, decision_id: str) -> Decision:
        (decision,) = self._all("SELECT id, as_of, payload, at, seal FROM decisions WHERE id = ?", decision_from, decision_id)
        return decision

    def _settled(self, decision_id: str) -> bool:
        return self._connection.execute("SELECT 1 FROM waves WHERE decision_id = ?", (decision_id,)).fetchone() is not None

    def _attempts(self, decision_id: str) -> dict[str, int]:
        highest: dict[str, int] = {}
        for order in self._all(_ORDERS_OF, order_from, decision_id):
            highest[order.symbol] = max(order.attempt, highest.get(order.symbol, order.attempt))
        return highest

    def _order_ids(self) -> dict[tuple[str, str], str]:
        rows = self._all("SELECT symbol, venue_id, order_id, seal FROM venue_orders", lambda row, path: unsealed("venue_orders", row, path))
        return {(symbol, venue_id): order_id for symbol, venue_id, order_id in rows}

    def _fills_of(self, order: Order) -> tuple[Fill, ...]:
        rows = self._connection.execute(_FILLS_OF, {"id": order.id, "symbol": order.symbol})
        return tuple(fill_from(row, self._path) for row in rows)

    def _record(self, order: Order) -> OrderRecord:
        events = self._events(order.id)
        closed = next((event for event in reversed(events) if isinstance(event, OrderClosed)), None)
        refused = next((event for event in reversed(events) if isinstance(event, OrderRefused)), None)
        fills = self._fills_of(order)
        return OrderRecord(
            order=order,
            state=closed.state if closed else None,
            reason=(closed.reason if closed else None) or (refused.code if refused else None),
            filled=sum((fill.amount for fill in fills), ZERO),
            cost=sum((fill.cost for fill in fills), ZERO),
            closed_at=closed.at if closed else None,
        )


def _command(verb: str, argument: str, by: str, at: int) -> Command:
    return Command(verb, argument, by, moment(at))


def _bounded(limit: int) -> int:
    return max(0, min(limit, ROWS_MAX))
