"""Exchange: what the daemon needs of a venue, and the five things a call can end with.

Rule: an error is named by what is known of the request, not by where it arose. For an order that is what matters: `Refused` and `NotSent`
are certain, `Unknown` is not, and only evidence ends it. Every implementation passes tests/io/test_exchange_contract.py.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from daemon.core.funding import Mark
from daemon.core.model import Balance, Bar, Fill, Flow, Instrument, Order, OrderReport
from daemon.core.styles import Touch


class Reason(StrEnum):
    """Why a venue refused, in stable codes (logs, API, metrics)."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    FILTER = "venue_filter"
    NOTIONAL_MIN = "notional_min"
    MARKET_CLOSED = "market_closed"
    DUPLICATE_ID = "duplicate_id"
    RATE_LIMITED = "rate_limited"
    WOULD_CROSS = "would_cross"
    REDUCE_ONLY = "reduce_only"
    CLOCK_SKEW = "clock_skew"
    CREDENTIALS = "credentials"
    PERMISSION = "permission"
    MAINTENANCE = "maintenance"
    BAD_REQUEST = "bad_request"
    NO_CHANGE = "no_change"
    OTHER = "refused"


class VenueError(Exception):
    """A call to the venue did not give its answer. One of the five below, never this class itself."""

    def __init__(self, text: str, reason: Reason = Reason.OTHER, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason
        self.retry_after_s = retry_after_s


class Refused(VenueError):
    """The venue said no: what was asked has not happened and will not."""


class NotFound(VenueError):
    """The venue answered that it does not know the thing asked for. Of an order: it may still arrive."""


class NotSent(VenueError):
    """The request provably never reached the venue: refused connection, no such host, our own gate."""


class Unknown(VenueError):
    """The request may or may not have had its effect: time-out, reset, 5xx, an unreadable answer."""


class Fatal(VenueError):
    """Nothing will get better by asking again: refused credentials, a host the configuration does not imply, an unsupported venue."""


@dataclass(frozen=True, slots=True)
class BarUpdate:
    """A candle as the venue tells it, forming or closed. A forming one's close is the last price."""

    bar: Bar
    closed: bool


class Urgency(StrEnum):
    """Who goes first when the venue's limits bind, most urgent first."""

    CANCEL = "cancel"
    REDUCE = "reduce"
    GROW = "grow"
    RECONCILE = "reconcile"
    DATA = "data"


MAY_LEAVE: Final[ContextVar[Callable[[], bool]]] = ContextVar("may_leave", default=lambda: True)
"""Whether the order that is on its way may still leave: whoever lets it wait asks again before it goes."""


LEAVING: Final[ContextVar[Callable[[], object]]] = ContextVar("leaving", default=lambda: None)
"""Told when the first byte of a request is written; not by a venue that has no wire."""


@dataclass(frozen=True, slots=True)
class SettingsMoved:
    """Somebody has changed the account's settings, we perhaps; what they are now is read by REST."""


AccountNews = OrderReport | Fill | SettingsMoved | tuple[str, Decimal, str]
"""What a user stream tells: an order, a trade, other settings, or (currency, signed amount, id) of a balance that moved without a trade."""


class Market(Protocol):
    """A venue's public side. All calls raise VenueErrors only."""

    async def connect(self) -> Mapping[str, Instrument]:
        """Load the configured symbols' rules, by symbol. Fatal: an unknown symbol or exchange, a foreign host, a bad key."""
        ...

    async def markets(self) -> Mapping[str, Instrument]:
        """The rules of the configured symbols as they are now; what the venue lists no more is not there. After `connect`."""
        ...

    async def close(self) -> None:
        """Release every connection; nothing is left open."""
        ...

    async def server_time(self) -> datetime:
        """The venue's clock."""
        ...

    async def bars(self, symbol: str, timeframe: timedelta, *, since: datetime | None = None, limit: int = 1000) -> list[BarUpdate]:
        """Candles, oldest first, with opens at or after `since` (or the newest `limit`); the last may be forming. Any number of pages."""
        ...

    async def watch_bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        """Hand every candle that the venue streams for these symbols to `sink`, until the connection ends (raises) or the task does.

        One call is one batch; the caller keeps batches within `batch_max`. NotSent: the venue has no such stream or refuses it.
        """
        ...

    async def touches(self, symbols: Sequence[str]) -> Sequence[Touch]:
        """The best bid and ask of these symbols as they are now; a symbol whose book is empty or crossed is not there."""
        ...

    @property
    def batch_max(self) -> int:
        """The most symbols one `watch_bars` may carry."""
        ...

    async def reset_streams(self) -> None:
        """Drop every stream connection so that watchers raise and may start afresh."""
        ...


@runtime_checkable
class Hushed(Protocol):
    """A venue that may ask for silence, under pain of a ban."""

    def hush(self, seconds: float, told: Callable[[float], None]) -> None:
        """Ask nothing of it for so long, as it wished of an earlier process; `told` hears of every further such wish, in seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """What is left of a venue's patience: `shares` of its limits that are used, by lane, and the seconds of silence that it still wants."""

    shares: Mapping[str, float]
    silent_s: float


@runtime_checkable
class Metered(Protocol):
    """A venue that bounds how much it is asked."""

    def usage(self) -> Usage | None:
        """As of now; None: it bounds nothing."""
        ...


@runtime_checkable
class Marking(Protocol):
    """A venue of swaps, which tells the price that it values and liquidates positions by (quote per base), and what they will pay."""

    async def marks(self, symbols: Sequence[str]) -> Mapping[str, Mark]:
        """The mark prices of these symbols as they are now; one that has none is not there."""
        ...

    async def watch_marks(self, symbols: Sequence[str], sink: Callable[[str, Mark], None]) -> None:
        """Hand every mark price that the venue streams to `sink`, until the connection ends (raises). As `Market.watch_bars`."""
        ...


@runtime_checkable
class Earning(Protocol):
    """An account in which money moves without a trade, as swaps make it: funding, liquidations, and transfers beside them."""

    async def incomes(self, since: datetime) -> tuple[Flow, ...]:
        """All of it since a moment, oldest first, complete (paged). What trades have earned and cost is not in it."""
        ...


@runtime_checkable
class Naming(Protocol):
    """A venue that trades in an account by itself, as liquidations do, by orders that only their names tell from those of others."""

    async def named(self, venue_id: str, symbol: str) -> OrderReport:
        """An order by the venue's own number, whoever's it is.

        Raises:
            NotFound: there is none.
        """
        ...


@runtime_checkable
class Countdown(Protocol):
    """A venue that can cancel by itself what is open, after so long without a word."""

    async def cancel_after(self, symbol: str, seconds: float) -> None:
        """Have every open order of the account in this symbol cancelled after so long, in place of an earlier wish; 0: not at all."""
        ...


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What a key may do beside trading. `bound`: only from addresses that its owner has named."""

    withdraws: bool
    bound: bool


@runtime_checkable
class Vetted(Protocol):
    """A venue that may tell what our key is good for."""

    async def rights(self) -> KeyRights | None:
        """What the key may do; None: the venue does not tell, or cannot be asked here."""
        ...


@runtime_checkable
class SetUp(Protocol):
    """A venue whose markets the account must have set up, as those of swaps: leverage, margin mode, one position a market."""

    @property
    def unlike(self) -> Mapping[str, str]:
        """By symbol, what is unlike the configuration as of the last reading, in a sentence; "" is the account itself.

        `connect` reads and sets what it can.
        """
        ...

    async def look(self) -> Mapping[str, str]:
        """Read the settings anew; `unlike` as of now."""
        ...

    async def put_right(self) -> Mapping[str, str]:
        """Set what was found unlike, as far as the venue and the mode allow; what stays unlike."""
        ...


class Exchange(Market, Protocol):
    """A venue with our account in it. `order_id` is always our own client id."""

    async def balances(self) -> Mapping[str, Balance]:
        """Every currency that the account holds. Unknown where the answer is empty or unreadable: absence is not zero."""
        ...

    async def submit(self, order: Order, urgency: Urgency) -> OrderReport:
        """Send one order, once. Refused and NotSent are certain; Unknown is not."""
        ...

    def shut(self) -> None:
        """Send no order from now on: what waits for its turn, or comes, is NotSent. Cancels and look-ups go on."""
        ...

    async def cancel(self, order_id: str, symbol: str) -> None:
        """Ask for a cancel. NotFound: the venue has no such open order, which says nothing about how it ended."""
        ...

    async def order(self, order_id: str, symbol: str) -> OrderReport:
        """One order by our id. NotFound is an answer, not an error."""
        ...

    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        """Every open order of the account in `symbol`, or in all configured symbols (which costs a venue's limits much more).

        Ours or not; a foreign one's `order_id` is what the venue gives.
        """
        ...

    async def trades(self, symbol: str, since: datetime) -> tuple[Fill, ...]:
        """The account's trades in one symbol since a moment, oldest first, complete (paged)."""
        ...

    async def watch_account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        """Hand orders, trades and transfers to `sink` as the venue streams them, until the connection ends (raises).

        `connected` is called once the subscription stands; what happened before it must be read by REST. NotSent: no such stream here.
        """
        ...
