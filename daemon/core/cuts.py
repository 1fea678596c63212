"""Cuts: the events by which limits say what they took away, and the correlation watch what it sees.

Rule: as in events.py, of which these are a part. `reason` is a stable code of core.risk.Reason; `found` is what the limit saw where `most`
is allowed, both in its own unit; None where it could not be measured.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from daemon.core.model import Side


@dataclass(frozen=True, slots=True)
class RiskLimited:
    """A limit has cut a wish: `allowed` is what is left of the `wanted` weight.

    `group`: the sector or the named group. `together`: with whom the symbol is one position, the first by symbol where there are many;
    `correlation`: each of them moves with another at least so much; None where that is not judged or not known.
    """

    decision_id: str
    symbol: str
    wanted: float
    allowed: float
    reason: str
    at: datetime
    found: float | None = None
    most: float | None = None
    group: str = ""
    together: tuple[str, ...] = ()
    correlation: float | None = None


@dataclass(frozen=True, slots=True)
class OrderLimited:
    """A limit has cut an order before there was one: `allowed` base units are ordered where `wanted` were planned."""

    decision_id: str
    symbol: str
    side: Side
    wanted: Decimal
    allowed: Decimal
    reason: str
    found: float | None
    most: float | None
    at: datetime


@dataclass(frozen=True, slots=True)
class RiskRefused:
    """A limit lets nothing of an order through that was planned with this amount (base units)."""

    decision_id: str
    symbol: str
    side: Side
    amount: Decimal
    reason: str
    found: float | None
    most: float | None
    at: datetime


@dataclass(frozen=True, slots=True)
class CorrelationHigh:
    """The mean pairwise correlation over the `short` window has jumped above that over the `long` one: fewer things hold the risk apart."""

    short: float
    long: float
    at: datetime


@dataclass(frozen=True, slots=True)
class CorrelationCalmed:
    """The mean pairwise correlation over the `short` window is near that over the `long` one again."""

    short: float
    long: float
    at: datetime
