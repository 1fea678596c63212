"""What is told of orders and their trades, with what is remembered of them."""

from dataclasses import dataclass
from typing import Literal, assert_never

from daemon.core import events as e
from daemon.core.model import Fill, Order, OrderReport, Status
from daemon.telling.lines import Line

OrderFact = (
    e.OrderSent
    | e.OrderReported
    | e.OrderRefused
    | e.OrderNotSent
    | e.OrderUnknown
    | e.OrderNotFound
    | e.OrderGivenUp
    | e.OrderClosed
    | e.CancelOrder
)


@dataclass(frozen=True, slots=True)
class Known:
    """What the narrator remembers of an order: itself, and whether the venue has told of it (`acked`) or nobody knows (`unknown`)."""

    order: Order
    phase: Literal["sent", "acked", "unknown"] = "sent"

    @property
    def ids(self) -> dict[str, object]:
        """The ids that every line of the order carries."""
        return {"symbol": self.order.symbol, "order_id": self.order.id, "decision_id": self.order.decision_id}


def order_id(event: e.Event) -> str:
    """Our id of the order that an event is about; "" for any other event."""
    match event:
        case e.OrderReported(report=report):
            return report.order_id
        case e.OrderFilled(fill=fill):
            return fill.order_id
        case _:
            return getattr(event, "order_id", "")


def order_lines(event: OrderFact, known: Known | None) -> tuple[Line, ...]:
    """The lines of what became of an order."""
    ids = known.ids if known else {"order_id": order_id(event)}
    match event:
        case e.OrderSent():
            return (Line("info", "order.submitted", ids | _terms(known)),)
        case e.OrderReported():
            return _reported(event.report, event.how, known)
        case e.OrderRefused(code=code, text=text):
            return (Line("warning", "order.rejected", ids | {"reason": code, "text": text}),)
        case e.OrderNotSent(text=text):
            return (Line("warning", "order.not_sent", ids | {"text": text}),)
        case e.OrderUnknown(text=text):
            return (Line("warning", "order.unknown", ids | {"text": text}),)
        case e.OrderNotFound():
            return (Line("debug", "order.not_found", ids),)
        case e.OrderGivenUp(by=by):
            return (Line("warning", "order.given_up", ids | {"by": by}),)
        case e.OrderClosed():
            return _closed(event, known)
        case e.CancelOrder(symbol=symbol):
            return (Line("info", "order.cancel_requested", ids | {"symbol": symbol}),)
        case _:
            assert_never(event)


def _terms(known: Known | None) -> dict[str, object]:
    if known is None:
        return {}
    order = known.order
    return {"side": order.side, "amount": order.amount, "price": order.price, "attempt": order.attempt} | {
        "limit": order.limit,
        "post_only": order.post_only,
    }


def _reported(report: OrderReport, how: str, known: Known | None) -> tuple[Line, ...]:
    """News only: polls and the user stream describe the same order again and again, and orders that are not ours too."""
    if known is None or known.phase == "acked":
        return ()
    fields = known.ids | {"venue_id": report.venue_id, "status": report.status, "filled": report.filled, "how": how}
    if known.phase == "unknown":
        return (Line("info", "order.resolved", fields),)
    if report.status is Status.REJECTED:
        return (Line("warning", "order.rejected", fields),)
    return (Line("info", "order.accepted", fields),)


def _closed(event: e.OrderClosed, known: Known | None) -> tuple[Line, ...]:
    ids = {"symbol": event.symbol, "order_id": event.order_id} | (known.ids if known else {})
    price = {"average": round(event.cost / event.filled, 8)} if event.filled else {}
    why = {"reason": event.reason} if event.reason else {}
    closed = Line("info", "order.closed", ids | {"state": event.state, "filled": event.filled, "cost": event.cost} | price | why)
    if known is None or known.phase != "unknown":
        return (closed,)
    return (Line("info", "order.resolved", ids | {"status": event.state, "filled": event.filled, "how": event.reason or "trades"}), closed)


def fill_line(fill: Fill, known: Known | None) -> Line:
    """The line of a trade."""
    ids = {"symbol": fill.symbol, "order_id": fill.order_id} | (known.ids if known else {})
    fees = [{"amount": fee.amount, "currency": fee.currency} for fee in fill.fees]
    trade = {"side": fill.side, "amount": fill.amount, "price": fill.price, "cost": fill.cost, "fees": fees}
    return Line("info", "order.filled", ids | trade | {"trade_id": fill.trade_id, "venue_id": fill.venue_id, "traded_at": fill.at})
