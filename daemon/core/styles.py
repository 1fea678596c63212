"""Styles: the terms by which a planned order is worked on over time, the parent order that it then is, and what is asked of the market.

Rule: values only. A parent is worked on by orders of its own, its children, one at a time; every child is sized from what is left of it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from daemon.core.model import Side


class Style(StrEnum):
    """How an order trades."""

    MARKET = "market"
    LIMIT = "limit"
    MAKER_THEN_TAKER = "maker_then_taker"
    TWAP = "twap"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTerms:
    """How far legs that belong together may be apart: by `size` (share of the capital), and for how long (`within`).

    A leg that is behind is completed in that time, or what the others have done is taken back; then the group may not grow for `pause`.
    """

    size: Decimal = Decimal("0.05")
    within: timedelta = timedelta(seconds=30)
    pause: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Touch:
    """The best bid and ask of a symbol (quote per base), as they stood at `at` or later: the moment they were asked for."""

    symbol: str
    bid: Decimal
    ask: Decimal
    at: datetime

    def __post_init__(self) -> None:
        """Refuse what no book can show: no price, or one that is crossed or locked."""
        if not (self.bid.is_finite() and self.ask.is_finite() and 0 < self.bid < self.ask):
            raise ValueError(f"{self.symbol}: a best bid of {self.bid} and a best ask of {self.ask} are no touch")

    @property
    def mid(self) -> Decimal:
        """Half way between bid and ask."""
        return (self.bid + self.ask) / 2

    def own(self, side: Side) -> Decimal:
        """The best price among those who want the same: the bid of a buyer."""
        return self.bid if side is Side.BUY else self.ask

    def other(self, side: Side) -> Decimal:
        """The best price on the other side, at which an order would trade at once."""
        return self.ask if side is Side.BUY else self.bid


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerTerms:
    """Maker, then taker. An order rests at the best price of its own side for `passive` at most, and takes from the book until `total`.

    It is quoted anew when the touch is more than `reprice_ticks` ahead of it and it is older than `min_reprice`; `improve_ticks` inside
    of the touch. Where the venue refuses it because it would trade at once, it goes one tick back, `requotes` times. A mid that is
    `adverse` (a fraction) worse than the plan's price makes it take at once. `must_complete`: what is left at the end takes too.
    """

    passive: timedelta
    total: timedelta
    min_reprice: timedelta
    reprice_ticks: int
    improve_ticks: int
    requotes: int
    adverse: Decimal
    must_complete: bool

    @property
    def lasts(self) -> timedelta:
        """How long a parent is worked on."""
        return self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class TwapTerms:
    """Equal parts by the clock: one each `interval` over `horizon`.

    A part is at most `participation` (a fraction) of what the market trades in an interval, by the volume of the last bar, whose length is
    `bar`; None: no such bound.
    """

    horizon: timedelta
    interval: timedelta
    participation: Decimal | None
    bar: timedelta

    @property
    def lasts(self) -> timedelta:
        """How long a parent is worked on."""
        return self.horizon


Terms = MakerTerms | TwapTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A planned order that is worked on over time. Its children are the orders of its decision, symbol and side from attempt `first` on.

    `amount` is base units, `price` the reference price of the plan (quote per base), at which what trading costs is judged. It is worked on
    from `at` until `until`; in `slices` parts of `interval` each where there are such (0: there are none).
    """

    decision_id: str
    symbol: str
    side: Side
    first: int
    amount: Decimal
    price: Decimal
    style: Style
    at: datetime
    until: datetime
    slices: int = 0
    interval: timedelta = timedelta(0)

    def slice_at(self, moment: datetime) -> int:
        """The number of the part whose time it is, from 0 on; by the clock alone, so that neither a late look nor a restart changes it."""
        return (moment - self.at) // self.interval


# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadTouch:
    """Ask the venue for the best bid and ask of these symbols."""

    symbols: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class TouchRead:
    """The best bids and asks of symbols have been read, together."""

    touches: tuple[Touch, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class ParentBegun:
    """A planned order is worked on from here on; its first child goes with it."""

    parent: Parent
    at: datetime


@dataclass(frozen=True, slots=True)
class ParentEnded:
    """A planned order is worked on no more: `filled` base units were traded, `made` of them by resting orders.

    `reason` is a stable code where it did not end as it was meant to.
    """

    parent: Parent
    filled: Decimal
    made: Decimal
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class GroupJudged:
    """A group of legs that belong together has come to a phase (bonds.Phase): balanced, unbalanced, unwinding or stuck.

    `apart` is the worth, in the account's currency, of what stands there without its counterpart; `behind` are the legs it waits for.
    """

    decision_id: str
    symbols: tuple[str, ...]
    phase: str
    apart: Decimal
    behind: tuple[str, ...]
    at: datetime
