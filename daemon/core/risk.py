"""Risk: what the limits judge by, and how they answer.

Rule: a limit only takes away, and says why in a stable code. Values only; `risk_weights` judges wishes, `risk_orders` orders.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, TypeVar

import numpy as np

from daemon.core.model import Bools, Floats


class Reason(StrEnum):
    """Why a weight or an order was cut, in stable codes."""

    # of weights
    UNKNOWN_SYMBOL = "unknown_symbol"
    NOT_FINITE = "not_finite"
    SHORT_ON_SPOT = "short_on_spot"
    RISK_UNKNOWN = "risk_unknown"
    FUNDING_MAX = "funding_max"
    SECTOR_MAX = "sector_max"
    GROUP_MAX = "group_max"
    CORRELATED_GROUP_MAX = "correlated_group_max"
    WEIGHT_MAX = "weight_max"
    POSITIONS_MAX = "positions_max"
    CONCENTRATION_MAX = "concentration_max"
    GROSS = "gross"
    NET_MAX = "net_max"
    CASH_MIN = "cash_min"
    LIQUIDATION_MIN = "liquidation_min"
    VOLATILITY_MAX = "volatility_max"
    CORRELATION_HIGH = "correlation_high"
    # of orders
    PRICE_DEVIATION_MAX = "price_deviation_max"
    SELF_TRADE = "self_trade"
    ORDERS_PER_MINUTE = "orders_per_minute"
    ORDER_NOTIONAL_MAX = "order_notional_max"
    VOLUME_SHARE_MAX = "volume_share_max"
    DAY_NOTIONAL_MAX = "day_notional_max"
    TURNOVER_DAY_MAX = "turnover_day_max"
    LIQUIDATION_ROOM = "liquidation_room"


# --- verdicts --------------------------------------------------------------------------------------------------------

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a limit saw: `found` where `most` is allowed, both in the limit's own unit.

    `symbols`: whom it concerns, all if empty. `group`: the sector or the named group. `correlation`: each of the symbols moves with another
    of them at least so much; None where nothing of the kind was judged or known.
    """

    found: float
    most: float
    symbols: tuple[str, ...] = ()
    group: str = ""
    correlation: float | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """The limit has nothing against it."""


@dataclass(frozen=True, slots=True, eq=False)
class Reduced(Generic[T]):
    """So much is allowed and no more: `to` is what is left."""

    to: T
    reason: Reason
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of it is allowed. Of weights: nothing may grow beyond what is held."""

    reason: Reason
    finding: Finding


APPROVED: Final = Approved()


# --- what is judged, and by what -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """Symbols that together may hold `most` of the sizing capital."""

    symbols: tuple[str, ...]
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on weights, which are shares of the sizing capital. None: no bound. A short of 0.2 fills a bound on sizes like a long of 0.2.

    `gross` bounds all sizes together, `net_max` longs less shorts either way, `weight_max` each symbol, `sector_max` each of `sectors`,
    `groups` what they name, `correlated_group_max` every set of symbols that hang together by correlations above `correlation_limit`.
    `positions_max` counts weights other than 0. `concentration_max` bounds the sum of squared weights (at full investment the inverse of
    the effective number of positions). `volatility_max` is a standard deviation a year. `cash_min` is a share of the capital that is never
    invested. `correlation_scale` is the factor on every weight while the correlation watch says high. `short`: weights may be below 0.
    `liquidation_min`: how far the price of each swap may move against it, at least, before it is liquidated, as a share of the price.
    `funding_max`: what a position that grows may be expected to pay as funding in a year, as a share of its worth.
    """

    short: bool = False
    gross: float = 1.0
    net_max: float | None = None
    cash_min: float | None = None
    weight_max: float = 1.0
    sector_max: float | None = None
    sectors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    correlated_group_max: float | None = None
    correlation_limit: float = 0.8
    correlation_scale: float = 1.0
    positions_max: int | None = None
    concentration_max: float | None = None
    volatility_max: float | None = None
    liquidation_min: float | None = None
    funding_max: float | None = None

    @property
    def plain(self) -> bool:
        """Whether they bound nothing but each weight and all sizes together."""
        bounds = (self.net_max, self.cash_min, self.sector_max, self.positions_max, self.concentration_max, self.funding_max)
        return all(bound is None for bound in bounds) and not (self.groups or self.measured or self.short or self.correlation_scale < 1)

    @property
    def measured(self) -> bool:
        """Whether they ask how symbols move."""
        return self.volatility_max is not None or self.correlated_group_max is not None


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """How symbols move: a year's covariance of simple returns, and their correlation, each (symbols, symbols).

    NaN throughout a symbol's row and column where nothing is known of it. None: nothing is known of anybody.
    """

    covariance: Floats | None = None
    correlation: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What limits need to know beside the wish. Every array is in the order of `symbols`, which are sorted.

    `symbols` are those that are traded and either wished for or held. `held` holds the present weights; `kept` marks those that stay
    whatever is wished. `moments` say how they move. `high`: the correlation watch has fired and not calmed. `rates`: the share of each
    one's worth that must be kept as margin (None: of nothing). `funding`: what a long of each is expected to pay in a year, as a share of
    its worth, and a short to be paid; 0 where that is not known (None: of nobody).
    """

    symbols: tuple[str, ...]
    held: Floats
    kept: Bools
    moments: Moments = Moments()
    high: bool = False
    rates: Floats | None = None
    funding: Floats | None = None
    place: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong to the symbols; remember each symbol's column as its `place`."""
        count = len(self.symbols)
        matrices = [matrix for matrix in (self.moments.covariance, self.moments.correlation) if matrix is not None]
        if self.held.shape != (count,) or self.kept.shape != (count,) or any(matrix.shape != (count, count) for matrix in matrices):
            raise ValueError(f"a scene of {count} symbols needs arrays of that size")
        object.__setattr__(self, "place", {symbol: column for column, symbol in enumerate(self.symbols)})

    @property
    def stays(self) -> Floats:
        """The weights (symbols,) that take room and cannot be cut; 0 elsewhere."""
        return np.where(self.kept, self.held, 0.0)
