"""Orders and trades as the venue books them.

Rule: an order's executed amount and spent quote are the sums of its trades; a status that has ended never changes again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from daemon.venue.book import Side
from daemon.venue.faults import Filling
from daemon.venue.markets import Market
from daemon.venue.money import ZERO

Kind = Literal["MARKET", "LIMIT", "LIMIT_MAKER"]
Life = Literal["GTC", "IOC", "FOK", "GTX"]
Status = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"]
RESTING: Final = frozenset({"GTC", "GTX"})
OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """What a client asks for, already within the market's rules. Amounts in base units unless they say quote."""

    market: Market
    side: Side
    kind: Kind
    life: Life
    price: Decimal | None  # limit; None for MARKET
    amount: Decimal | None  # None: MARKET by quote
    quote: Decimal | None  # MARKET by quote: how much to spend or to receive
    client_id: str
    reduce_only: bool = False  # of a swap: it may only bring the position nearer to nothing

    @property
    def post_only(self) -> bool:
        """Whether it may only rest."""
        return self.kind == "LIMIT_MAKER" or self.life == "GTX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A fill of ours. Ids count within a market, like Binance's: two markets use the same numbers."""

    id: int
    order_id: int
    market: Market
    side: Side
    price: Decimal
    amount: Decimal
    quote: Decimal
    fee: Decimal
    fee_asset: str
    at: int  # UTC ms
    maker: bool
    realized: Decimal = ZERO  # of a swap: profit or loss of what it closed, fee not counted, quote units


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """An order and how far it has come. Ids count within a market, like Binance's."""

    id: int
    client_id: str
    market: Market
    side: Side
    kind: Kind
    life: Life
    price: Decimal  # limit; 0 for MARKET
    amount: Decimal  # base units; of a MARKET order by quote what was filled in the end
    quote: Decimal  # quote amount asked for, 0 unless MARKET by quote
    created: int  # UTC ms
    updated: int
    status: Status = "NEW"
    executed: Decimal = ZERO  # base units
    spent: Decimal = ZERO  # quote units
    locked: Decimal = ZERO  # of the asset it pays with
    parted: bool = False  # its first part was filled; the next crossing fills the rest
    cancel_id: str = ""  # client id of the cancel request
    trades: list[Trade] = field(default_factory=list)
    held: Filling | None = None  # a fault keeps the rest from being filled
    held_until: int | None = None  # UTC ms
    reduce_only: bool = False  # of a swap
    forced: bool = False  # the venue's own: a liquidation or a deleveraging
    reference: Decimal = ZERO  # the price at which such a market buy sets its money aside

    @property
    def open(self) -> bool:
        """Whether it may still trade."""
        return self.status in OPEN

    @property
    def rests(self) -> bool:
        """Whether what is not filled at once waits in the book."""
        return self.kind != "MARKET" and self.life in RESTING

    @property
    def remaining(self) -> Decimal:
        """Base units still to be filled."""
        return self.amount - self.executed

    @property
    def sets_aside(self) -> Decimal:
        """What its rest keeps locked while it rests, of the asset it pays with."""
        return self.remaining * ((self.price or self.reference) if self.side == "BUY" else 1)

    @property
    def pays(self) -> str:
        """The asset it gives away."""
        return self.market.quote if self.side == "BUY" else self.market.base

    @property
    def receives(self) -> str:
        """The asset it gets, in which the fee is charged."""
        return self.market.base if self.side == "BUY" else self.market.quote
