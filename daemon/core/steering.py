"""Steering: the events by which trading is begun, watched, restricted, commanded and ended, and those between the sleeves of one account.

Rule: as in events.py, of which these are a part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from daemon.core.model import Booking, Fill, Instrument, Order
from daemon.core.states import Hold, Scope


@dataclass(frozen=True, slots=True)
class BookSleeves:
    """Write a booking between sleeves to the journal; it counts once `SleevesBooked` says so."""

    booking: Booking
    at: datetime


@dataclass(frozen=True, slots=True)
class SleevesBooked:
    """A booking between sleeves is in the journal and counts."""

    booking: Booking
    at: datetime


@dataclass(frozen=True, slots=True)
class KeepState:
    """Keep a text in the journal under a key, in place of the one before: what the next start cannot fold from facts."""

    key: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TradingStarted:
    """Every order is accounted for and the account agrees with the ledger: trading may begin."""

    at: datetime


@dataclass(frozen=True, slots=True)
class HoldPlaced:
    """Trading is restricted from here on, as the hold says."""

    hold: Hold
    at: datetime


@dataclass(frozen=True, slots=True)
class HoldLifted:
    """The hold of this scope and code is gone; `by` whoever lifted it."""

    scope: Scope
    code: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class HoldWritten:
    """A hold that was placed or lifted is in the journal. It has counted since it was known; it is told only now that no kill undoes it."""

    change: HoldPlaced | HoldLifted
    at: datetime


@dataclass(frozen=True, slots=True)
class MeasureClock:
    """Compare our clock with the venue's now instead of at the next turn."""

    at: datetime


@dataclass(frozen=True, slots=True)
class MarginLow:
    """A position of a swap is nearer to its liquidation than `least` (both shares of its price). `reduces`: so near that it must shrink."""

    symbol: str
    distance: Decimal
    least: Decimal
    at: datetime
    reduces: bool = False


@dataclass(frozen=True, slots=True)
class MarginRestored:
    """Every position is far enough from its liquidation again."""

    at: datetime


@dataclass(frozen=True, slots=True)
class ReadMarkets:
    """Read the rules of the markets now instead of at the next turn: an order was refused that they should have allowed."""

    at: datetime


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """Read leverage, margin mode and position mode of the account now instead of at the next turn: they may be others than they were."""

    at: datetime


@dataclass(frozen=True, slots=True)
class MarketsListed:
    """The rules of every market of the universe as they are now; what the venue lists no more is not active."""

    markets: Mapping[str, Instrument]
    at: datetime


@dataclass(frozen=True, slots=True)
class ClockMeasured:
    """The venue's clock is ahead of ours by `offset`, give or take `uncertainty`."""

    offset: timedelta
    uncertainty: timedelta
    at: datetime


@dataclass(frozen=True, slots=True)
class LoopLagged:
    """The loop woke up so much later than it was asked to; whatever came meanwhile has waited."""

    lag: timedelta
    at: datetime


@dataclass(frozen=True, slots=True)
class Awoken:
    """Nothing was seen of the market for so long, though the daemon ran before: the machine slept, or its clock was set."""

    missed: timedelta
    at: datetime


@dataclass(frozen=True, slots=True)
class RebalanceRequested:
    """A person wants every strategy to decide now."""

    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The process is to end: no new plans; orders under way come to a known end."""

    at: datetime


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A wave waits for a person's word until `until`: `orders` are what it would send now, `left` why the rest stays, by symbol."""

    decision_id: str
    orders: tuple[Order, ...]
    left: Mapping[str, str]
    until: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class ApprovalGiven:
    """A person lets the wave of this decision go; it is planned afresh."""

    decision_id: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ApprovalLapsed:
    """Nobody has said a word in time: the decision is not worked on."""

    decision_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RecallOrder:
    """Ask the venue, by every way it offers, whether it still knows of this trade of ours, or of its order."""

    fill: Fill
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderRecalled:
    """The venue was asked from `asked_at` on whether it knows of an order of ours that has traded."""

    order_id: str
    known: bool
    asked_at: datetime
    at: datetime
