"""The section `risk` of the configuration: limits that no strategy passes. What each does is told in docs/risk.md."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from daemon.config.breakers import BreakersConfig, share_or_none
from daemon.config.kinds import Symbol
from daemon.config.section import Section
from daemon.config.values import above, approximate, as_decimal, as_float, as_whole, between, exact, words, wrong

GROUP_SYMBOLS_MAX = 1000  # as many as a universe may have

GroupName = Annotated[str, *words(r"[A-Za-z0-9][A-Za-z0-9_ -]{0,39}", "the name of a group", "meme")]
SHARE = above("0", "1")
DISTANCE = above("0", "0.9")
LEVERED = above("0", "100")
ANY_SHARE = between("0", "1")
MONEY = above("0", "1000000000000")


def _optional(check: Callable[[Any], Any]) -> BeforeValidator:
    """The same check of what is given; null means that there is no such limit."""
    return BeforeValidator(lambda value: None if value is None else check(value))


Share = Annotated[float | None, _optional(lambda value: as_float(value, SHARE))]
AnyShare = Annotated[float | None, _optional(lambda value: as_float(value, ANY_SHARE))]
Money = Annotated[Decimal | None, _optional(lambda value: as_decimal(value, MONEY))]


def _members(value: Any) -> Any:
    """A list of symbols, each once."""
    if isinstance(value, list | tuple):
        if not value:
            raise wrong("is empty", "name at least one symbol, or leave the group out")
        if len(set(map(str, value))) < len(value):
            raise wrong("names a symbol twice", "leave one of them out")
    return value


class GroupConfig(Section):
    """Symbols that together may hold so much."""

    symbols: Annotated[tuple[Symbol, ...], BeforeValidator(_members), Field(max_length=GROUP_SYMBOLS_MAX)] = Field(
        description="Its symbols, all of universe.symbols; a symbol may be in several groups.", examples=["[DOGE/USDT, SHIB/USDT]"]
    )
    max: Annotated[float, *approximate(SHARE)] = Field(
        description="Largest sum of their weights, as a share of equity; beyond it they are scaled alike.", examples=["0.2"]
    )


class RiskConfig(Section):
    """Limits that no strategy passes. Weights are shares of equity, and shorts fill a limit like longs."""

    gross: Annotated[float, *approximate(LEVERED)] = Field(
        default=1.0, description="Largest sum of all weights, as a share of equity; spot cannot owe, so at most 1 there."
    )
    net_max: AnyShare = Field(
        default=None, description="Largest difference of longs and shorts, either way; beyond it the side that is too large is scaled."
    )
    cash_min: AnyShare = Field(default=None, description="Share of equity that is never invested; spot only.")
    weight_max: Annotated[float, *approximate(LEVERED)] = Field(
        default=1.0, description="Largest weight of one symbol, as a share of equity; more is cut to it. Spot: at most 1."
    )
    margin_max: Annotated[Decimal, *exact(SHARE)] = Field(
        default=Decimal(1), description="Most of the collateral that swaps may need as initial margin; what would need more is not opened."
    )
    liquidation_min: Annotated[Decimal | None, _optional(lambda value: as_decimal(value, DISTANCE))] = Field(
        default=Decimal("0.15"),
        description="How far the price of each swap may move against it before it is liquidated, at least, as a share of the price: "
        "nothing is opened that brings any position nearer. Swap only.",
    )
    liquidation_reduce: Annotated[Decimal | None, _optional(lambda value: as_decimal(value, DISTANCE))] = Field(
        default=Decimal("0.08"),
        description="A position that comes nearer to its liquidation than this share of its price is made smaller at once. Swap only.",
    )
    funding_max: Annotated[float | None, _optional(lambda value: as_float(value, between("0", "100")))] = Field(
        default=None,
        description="Most that a position may be expected to pay as funding in a year, by the rate of its next settlement, as a share of "
        "its worth: what would pay more is not made larger. Swap only.",
    )
    sector_max: Share = Field(
        default=None, description="Largest sum of weights in each of universe.sectors; beyond it they are scaled alike."
    )
    groups: Mapping[GroupName, GroupConfig] = Field(
        default={}, description="Named groups of symbols, each with the most they may hold together."
    )
    correlated_group_max: Share = Field(
        default=None,
        description="Largest sum of weights of symbols that move together: those tied by correlations above correlation_limit are one "
        "position.",
    )
    correlation_limit: Annotated[float, *approximate(above("0", "1"))] = Field(
        default=0.8, description="Correlation over the last 240 bars above which two positions are one for correlated_group_max."
    )
    correlation_jump: Annotated[float, *approximate(above("0", "2"))] = Field(
        default=0.2,
        description="The correlation watch fires when the mean correlation of all pairs over 24 bars comes this far above that over 240, "
        "and calms at half of it; 2 never fires.",
    )
    correlation_scale: Annotated[float, *approximate(ANY_SHARE)] = Field(
        default=1.0, description="Factor on every weight while the correlation watch says high; 1 only warns, 0 sells everything."
    )
    positions_max: Annotated[int | None, _optional(lambda value: as_whole(value, between("1", "1000")))] = Field(
        default=None, description="Most symbols held at a time; the largest weights stay."
    )
    concentration_max: Share = Field(
        default=None,
        description="Largest sum of squared weights; the largest weights are lowered to one level. 0.25: like four equal ones.",
    )
    volatility_max: Annotated[float | None, _optional(lambda value: as_float(value, above("0", "100")))] = Field(
        default=None, description="Largest volatility a year that the covariance of the last 240 bars lets expect; beyond it all is scaled."
    )
    order_notional_max: Money = Field(
        default=None, description="Largest order, in universe.quote; more is done in slices, one after the other."
    )
    day_notional_max: Money = Field(
        default=None, description="Most that all orders of a UTC day may be worth, in universe.quote; exits pass."
    )
    turnover_day_max: Annotated[Decimal | None, _optional(lambda value: as_decimal(value, above("0", "100")))] = Field(
        default=None, description="Most that a UTC day may trade: half of all trades, as a share of equity; exits pass."
    )
    volume_share_max: Annotated[Decimal | None, _optional(lambda value: as_decimal(value, above("0", "1")))] = Field(
        default=None, description="Most of a symbol ordered between two bars, as a share of the last bar's volume; the rest follows later."
    )
    orders_per_minute: Annotated[int | None, _optional(lambda value: as_whole(value, between("1", "100000")))] = Field(
        default=None, description="Most orders in 60 s, of the whole account; more wait, exits pass."
    )
    price_deviation_max: Annotated[Decimal | None, _optional(lambda value: as_decimal(value, above("0", "1")))] = Field(
        default=None, description="Furthest that the price an order is planned at may be from the last bar's close, as a share of it."
    )
    drawdown_halt: Annotated[float | None, BeforeValidator(share_or_none)] = Field(
        default=None, description="Short for breakers.drawdown {limit: this, action: halt}: halt after such a fall from the highest value."
    )
    breakers: BreakersConfig = Field(default_factory=BreakersConfig, description="What stops trading by itself.")
