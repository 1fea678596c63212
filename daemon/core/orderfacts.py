"""What is known of orders, as events: how a request ended, what the venue shows, and what was traded.

Rule: each of these is on disk before it is published.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from daemon.core.model import Fill, OrderReport


@dataclass(frozen=True, slots=True)
class OrderSent:
    """The request is being handed to the transport: from here on the order may exist."""

    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderReported:
    """The venue has described an order: as its answer, to a query, in a listing or on the user stream. `how` says which."""

    report: OrderReport
    how: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderRefused:
    """The venue (or our own check before the wire) refused the order for certain: it does not and will not exist.

    `code` is a stable reason (io.exchange.Reason), `text` what the venue said.
    """

    order_id: str
    code: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderNotSent:
    """The request provably never left: the same intent may be sent again."""

    order_id: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderUnknown:
    """Nobody knows whether the order exists: a lost answer, a 5xx, an unreadable body, a crash after the intent."""

    order_id: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderNotFound:
    """A successful look-up, by every way the venue offers, did not find the order. `asked_at`: when the look-up began."""

    order_id: str
    asked_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderGivenUp:
    """A person has looked at the venue: an order that nobody finds stands nowhere there, and what it traded is what is booked.

    `by` is whoever said so.
    """

    order_id: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderClosed:
    """An order of ours has come to its end and every trade of it is booked.

    `state` is its last one in core.ordertable.State, `reason` a stable code where it did not end as it was meant to.
    """

    order_id: str
    symbol: str
    state: str
    filled: Decimal
    cost: Decimal
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OrderFilled:
    """A trade in our account, of an order of ours or of somebody else's hand."""

    fill: Fill
    at: datetime


@dataclass(frozen=True, slots=True)
class TradesListed:
    """The account's trades since `since` in `symbols` have been read and published: none is missing."""

    symbols: tuple[str, ...]
    since: datetime
    at: datetime
