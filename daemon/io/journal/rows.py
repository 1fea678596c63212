"""Rows: values of core as rows of the tables and back, each under a seal.

Rule: a row is read as it was written or not at all. SQLite guards the structure of its pages, not their content: a flipped bit in an
amount would be read as another amount.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

from daemon.core.events import EquityMarked, FlowBooked, GroupJudged, OrderFilled, RiskLimited, SleevesBooked
from daemon.core.model import Booking, Decision, Fill, Flow, Order, Side
from daemon.core.styles import Parent
from daemon.io.journal.codec import (
    booking_from_json,
    booking_to_json,
    decision_fact_to_json,
    decision_from_json,
    decision_to_json,
    equity_from_json,
    equity_to_json,
    fees_from_json,
    fees_to_json,
    group_from_json,
    hold_fact_from_json,
    hold_fact_to_json,
    limited_from_json,
    micros,
    moment,
    order_cut_from_json,
    order_fact_from_json,
    order_fact_to_json,
    order_id_of,
    parent_from_json,
    parent_to_json,
    planned_from_json,
)
from daemon.io.journal.errors import damaged
from daemon.io.journal.facts import DecisionFact, HoldFact, OrderCut, OrderFact, PlanRecord

Value = str | int | bytes
Row = tuple[Any, ...]


def _seal(table: str, values: Sequence[Value]) -> bytes:
    # 64 bits against accident, not against forgery: whoever can write the file can write the seal.
    return blake2b(json.dumps([table, *values]).encode(), digest_size=8).digest()


def sealed(table: str, *values: Value) -> tuple[Value, ...]:
    """The values with their checksum behind them. The table is part of it, `seq` is not."""
    return (*values, _seal(table, values))


def unsealed(table: str, row: Row, path: Path) -> Row:
    """A row without its checksum. JournalDamaged: it is not the row that was written."""
    *values, seal = row
    if _seal(table, values) != seal:
        raise damaged(path, f"a row of {table} is not as it was written")
    return tuple(values)


def decision_row(decision: Decision) -> tuple[Value, ...]:
    """id, as_of, payload, at, seal."""
    return sealed("decisions", decision.id, micros(decision.as_of), decision_to_json(decision), micros(decision.at))


def limited_from(row: Row, path: Path) -> RiskLimited:
    """The limit of a `decision_event_row`."""
    decision_id, _, payload, at = unsealed("decision_events", row, path)
    return limited_from_json(decision_id, payload, moment(at))


def order_cut_from(row: Row, path: Path) -> OrderCut:
    """The limit on an order of a `decision_event_row`."""
    decision_id, _, payload, at = unsealed("decision_events", row, path)
    return order_cut_from_json(decision_id, payload, moment(at))


def group_from(row: Row, path: Path) -> GroupJudged:
    """The word on a group of a `decision_event_row`."""
    decision_id, _, payload, at = unsealed("decision_events", row, path)
    return group_from_json(decision_id, payload, moment(at))


def planned_from(row: Row, path: Path) -> PlanRecord:
    """The plan of a `decision_event_row`."""
    _, _, payload, at = unsealed("decision_events", row, path)
    return planned_from_json(payload, moment(at))


def decision_from(row: Row, path: Path) -> Decision:
    """The inverse of `decision_row`."""
    id_, as_of, payload, at = unsealed("decisions", row, path)
    return decision_from_json(id_, moment(as_of), payload, moment(at))


def order_row(order: Order) -> tuple[Value, ...]:
    """id, symbol, side, amount, price, reserve, decision_id, attempt, at, seal."""
    amounts = (str(order.amount), str(order.price), str(order.reserve))
    return sealed("orders", order.id, order.symbol, order.side.value, *amounts, order.decision_id, order.attempt, micros(order.at))


def order_from(row: Row, path: Path) -> Order:
    """The inverse of `order_row`."""
    id_, symbol, side, amount, price, reserve, decision_id, attempt, at = unsealed("orders", row, path)
    return Order(
        id=id_,
        symbol=symbol,
        side=Side(side),
        amount=Decimal(amount),
        price=Decimal(price),
        reserve=Decimal(reserve),
        decision_id=decision_id,
        attempt=attempt,
        at=moment(at),
    )


def parent_row(parent: Parent) -> tuple[Value, ...]:
    """decision_id, payload, at, seal."""
    return sealed("parents", parent.decision_id, parent_to_json(parent), micros(parent.at))


def parent_from(row: Row, path: Path) -> Parent:
    """The inverse of `parent_row`."""
    decision_id, payload, at = unsealed("parents", row, path)
    return parent_from_json(decision_id, payload, moment(at))


def order_event_row(fact: OrderFact) -> tuple[Value, ...]:
    """order_id, kind, payload, at, seal."""
    return sealed("order_events", order_id_of(fact), type(fact).__name__, order_fact_to_json(fact), micros(fact.at))


def order_event_from(row: Row, path: Path) -> OrderFact:
    """The inverse of `order_event_row`."""
    order_id, kind, payload, at = unsealed("order_events", row, path)
    return order_fact_from_json(kind, order_id, payload, moment(at))


def decision_event_row(fact: DecisionFact) -> tuple[Value, ...]:
    """decision_id, kind, payload, at, seal."""
    return sealed("decision_events", fact.decision_id, type(fact).__name__, decision_fact_to_json(fact), micros(fact.at))


def fill_row(event: OrderFilled) -> tuple[Value, ...]:
    """order_id, venue_id, trade_id, symbol, side, amount, price, cost, fees, at, known_at, seal."""
    fill = event.fill
    ids = (fill.order_id, fill.venue_id, fill.trade_id, fill.symbol, fill.side.value)
    amounts = (str(fill.amount), str(fill.price), str(fill.cost), fees_to_json(fill.fees))
    return sealed("fills", *ids, *amounts, micros(fill.at), micros(event.at))


def fill_from(row: Row, path: Path) -> Fill:
    """The trade of a `fill_row`, without the moment it was known."""
    order_id, venue_id, trade_id, symbol, side, amount, price, cost, fees, at, _ = unsealed("fills", row, path)
    return Fill(
        order_id=order_id,
        venue_id=venue_id,
        trade_id=trade_id,
        symbol=symbol,
        side=Side(side),
        amount=Decimal(amount),
        price=Decimal(price),
        cost=Decimal(cost),
        fees=fees_from_json(fees),
        at=moment(at),
    )


def flow_row(event: FlowBooked) -> tuple[Value, ...]:
    """id, currency, amount, kind, at, known_at, seal."""
    flow = event.flow
    return sealed("flows", flow.id, flow.currency, str(flow.amount), flow.kind, micros(flow.at), micros(event.at))


def flow_from(row: Row, path: Path) -> Flow:
    """The flow of a `flow_row`, without the moment it was known."""
    id_, currency, amount, kind, at, _ = unsealed("flows", row, path)
    return Flow(id_, currency, Decimal(amount), kind, moment(at))


def hold_row(fact: HoldFact) -> tuple[Value, ...]:
    """kind, payload, at, seal."""
    return sealed("holds", type(fact).__name__, hold_fact_to_json(fact), micros(fact.at))


def hold_from(row: Row, path: Path) -> HoldFact:
    """The inverse of `hold_row`."""
    kind, payload, at = unsealed("holds", row, path)
    return hold_fact_from_json(kind, payload, moment(at))


def booking_row(event: SleevesBooked) -> tuple[Value, ...]:
    """id, kind, payload, at, seal."""
    booking = event.booking
    return sealed("bookings", booking.id, booking.kind, booking_to_json(booking), micros(booking.at))


def booking_from(row: Row, path: Path) -> Booking:
    """The booking of a `booking_row`."""
    id_, kind, payload, at = unsealed("bookings", row, path)
    return booking_from_json(id_, kind, payload, moment(at))


def equity_row(marked: EquityMarked) -> Row:
    """For `equity`."""
    return sealed("equity", micros(marked.at), equity_to_json(marked))


def equity_from(row: Row, path: Path) -> EquityMarked:
    """From `equity`. JournalDamaged."""
    at, payload = unsealed("equity", row, path)
    return equity_from_json(payload, moment(at))
