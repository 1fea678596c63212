"""Steering: the events by which trading is begun, restricted, commanded and ended, and those between the sleeves of one account.

Rule: as in events.py, of which these are a part.
"""

from dataclasses import dataclass
from datetime import datetime

from daemon.core.model import Booking
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
class RebalanceRequested:
    """A person wants every strategy to decide now."""

    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The process is to end: no new plans; orders under way come to a known end."""

    at: datetime
