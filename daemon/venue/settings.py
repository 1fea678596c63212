"""What a venue is told before it starts.

Rule: everything that may differ between two runs is here or in the clock; equal settings and an equal clock make equal prices and fills.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from daemon.venue.faults import Script
from daemon.venue.intervals import INTERVALS


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSettings:
    """Settings of one venue. Money is Decimal in quote units, rates are fractions, bps are hundredths of a percent."""

    market: str = "spot"  # which of Binance's exchanges: spot, or the linear perpetuals of USD-M futures (swap)
    data: Path | None = None  # directory of BASE_QUOTE-TIMEFRAME.parquet (swaps: BASE_QUOTE_SETTLE-); None: the seeded generator
    timeframe: str | None = None  # which files of `data` to play; None: 1h if there are any, else the most common
    interval: str = "1s"  # length of a live bar; one row per bar
    seed: int = 1
    markets: int = 12  # listed markets; generated ones fill up behind the recorded ones
    history: int = 1000  # rows before now at start
    balance: Mapping[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(100_000)})
    key: str = "venue-key"
    secret: str = "venue-secret"  # noqa: S105 - a loopback venue's well-known default, worth nothing anywhere else
    key_withdraws: bool = False  # what the key may do, as account/apiRestrictions tells it
    first_id: int = 1  # of the first order and trade in every market; a venue that goes on for an earlier one starts above its ids
    fee: Decimal | None = None  # taker, and maker unless maker_fee says otherwise; None: those of Binance's first tier
    maker_fee: Decimal | None = None
    spread_bps: Decimal = Decimal(2)  # between best bid and best ask, around the last price
    slippage_bps: Decimal = Decimal(1)  # from one level of the book to the next
    depth_notional: Decimal = Decimal(25_000)  # quote units on each level; a larger market order walks several
    depth_levels: int = 100
    partial: float = 0.0  # probability that a fill comes in two parts: a resting order at two times, a taking one in two trades
    notional_min: Decimal = Decimal(5)
    volatility: float = 0.002  # of a generated row, a fraction; rows are lively whatever the interval
    gaps: float = 0.0  # probability that a generated row is missing
    funding: str = "8h"  # between two settlements of a swap without recorded rates
    listen_key_s: float = 3600.0  # how long a swap's listen key lives, as Binance's
    streams: bool = True  # False: every websocket is refused
    closed_only: bool = False  # True: streams send nothing but closed candles
    weight_limit: int = 6000  # request weight a minute, as Binance's spot API
    order_limit: int = 100  # new orders in 10 s, as Binance's
    order_limit_day: int = 200_000
    message_limit: int = 5  # incoming messages a second and market stream connection, as Binance's
    stream_limit: int = 1024  # streams a connection, as Binance's
    connection_limit: int = 300  # websocket connections in 5 minutes, as Binance's
    ping_s: float = 20.0  # Binance pings spot streams every 20 s
    faults: Script = field(default_factory=Script)  # what goes wrong from the start on

    def __post_init__(self) -> None:
        """Refuse what could not run, in one sentence."""
        if self.interval not in INTERVALS or self.interval == "1M":
            raise ValueError(f"venue: interval {self.interval!r} is not one of {' '.join(i for i in INTERVALS if i != '1M')}")
        if self.market not in ("spot", "swap"):
            raise ValueError(f"venue: market {self.market!r} is neither spot nor swap")
        if self.funding not in INTERVALS or self.funding == "1M":
            raise ValueError(f"venue: funding {self.funding!r} is not one of {' '.join(i for i in INTERVALS if i != '1M')}")
        for name in ("markets", "depth_levels", "weight_limit", "order_limit", "message_limit", "stream_limit", "connection_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"venue: {name} must be at least 1")
        if self.history < 0 or self.seed < 0:
            raise ValueError("venue: history and seed must not be negative")
        for name in ("partial", "gaps"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"venue: {name} is a probability, between 0 and 1")
        if any(amount < 0 for amount in self.balance.values()):
            raise ValueError("venue: a starting balance must not be negative")
