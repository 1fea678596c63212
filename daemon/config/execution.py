"""The section that says how targets become orders.

Rule: a key exists here once its feature exists; until then it is refused as unknown.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from daemon.config.kinds import Asset
from daemon.config.section import Section
from daemon.config.times import bars_or_duration
from daemon.config.values import above, approximate, between, choice, duration, exact, whole

STYLES = ("market", "limit", "maker_then_taker", "twap")


class MakerThenTakerConfig(Section):
    """How an order of style maker_then_taker is worked on: it rests in the book first, and takes from it later."""

    passive: Annotated[timedelta, *duration("1s", "12h")] = Field(
        default=timedelta(seconds=60), description="How long it rests at the best price of its own side before it takes."
    )
    total: Annotated[timedelta, *duration("2s", "24h")] = Field(
        default=timedelta(seconds=120), description="How long it is worked on in all; what is left then is left to the next decision."
    )
    min_reprice: Annotated[timedelta, *duration("1s", "1h")] = Field(
        default=timedelta(seconds=5), description="The least time that it rests at a price before it follows the market."
    )
    reprice_ticks: Annotated[int, *whole(between("0", "1000"))] = Field(
        default=2, description="It follows once the best price is more than so many price ticks ahead of it."
    )
    improve_ticks: Annotated[int, *whole(between("0", "100"))] = Field(
        default=0, description="It rests so many price ticks better than the best price, where the spread has room."
    )
    requotes: Annotated[int, *whole(between("0", "20"))] = Field(
        default=3,
        description="How often it steps one tick back where the exchange refuses it, since it would trade at once; then it takes.",
    )
    adverse_bps: Annotated[Decimal, *exact(above("0", "1000"))] = Field(
        default=Decimal(20), description="It takes at once when the market has moved so far against it since the plan, in basis points."
    )
    max_slip_bps: Annotated[Decimal, *exact(between("1", "1000"))] = Field(
        default=Decimal(20), description="How far beyond the middle of the book it takes at most, in basis points (1/10000)."
    )
    must_complete: bool = Field(default=False, description="Whether what is left at the end takes too, three times at most.")


class TwapConfig(Section):
    """How an order of style twap is worked on: in equal parts by the clock."""

    horizon: Annotated[timedelta, *duration("2s", "24h")] = Field(
        default=timedelta(minutes=30), description="Over how long an order is spread."
    )
    interval: Annotated[timedelta, *duration("1s", "12h")] = Field(
        default=timedelta(minutes=1),
        description="The time from part to part; there are horizon / interval of them, and fewer of a small order.",
    )
    participation: Annotated[Decimal, *exact(above("0", "1"))] | None = Field(
        default=Decimal("0.1"),
        description="The largest part as a share of what the market trades in an interval, by the last bar's volume; null: no bound.",
    )
    child: Annotated[Literal["market", "limit"], choice("market", "limit")] = Field(
        default="market", description="Kind of order that each part is: market, or limit, no worse than price_cap away."
    )


class GroupsConfig(Section):
    """The bounds of legs that only make sense together."""

    size: Annotated[Decimal, *exact(above("0", "1"))] = Field(
        default=Decimal("0.05"),
        description="Share of equity; the most that one leg may be ahead of the others: larger ones are traded in slices of this.",
    )
    within: Annotated[timedelta, *duration("1s", "1h")] = Field(
        default=timedelta(seconds=30),
        description="How long a leg that is behind is tried again; then what the others are ahead by is traded back.",
    )
    pause: Annotated[timedelta, *duration("0ms", "7d")] = Field(
        default=timedelta(minutes=15), description="After that, how long such a group may not grow."
    )


class ExecutionConfig(Section):
    """How targets become orders. No trade while a weight is within the widest of the bands of its target; exits always trade."""

    style: Annotated[Literal["market", "limit", "maker_then_taker", "twap"], choice(*STYLES)] = Field(
        default="market",
        description="How orders trade: market; limit: no worse than price_cap away, what is not filled at once expires; maker_then_taker: "
        "resting in the book first; twap: in equal parts over time.",
    )
    maker_then_taker: MakerThenTakerConfig = Field(
        default_factory=MakerThenTakerConfig, description="With style maker_then_taker: its terms."
    )
    twap: TwapConfig = Field(default_factory=TwapConfig, description="With style twap: its terms.")
    groups: GroupsConfig = Field(
        default_factory=GroupsConfig, description="Legs that only make sense together, such as those of a pair: how far they may be apart."
    )
    price_cap: Annotated[Decimal, *exact(between("0.0001", "0.1"))] = Field(
        default=Decimal("0.005"),
        description="With style limit, or twap of limits: how far from its reference price an order may trade, as a fraction of "
        "it; 0.005: half a percent.",
    )
    band: Annotated[float, *approximate(between("0", "0.5"))] = Field(
        default=0.02, description="Distance from the target that is left alone, as a share of equity."
    )
    band_relative: Annotated[float, *approximate(between("0", "1"))] = Field(
        default=0.10, description="The same as a share of the target; the widest of all counts."
    )
    band_average: Annotated[float, *approximate(between("0", "1"))] = Field(
        default=0.0, description="The same as a share of the mean size of all targets, which does not shrink with a small target."
    )
    risk_aversion: Annotated[Decimal, *exact(between("0", "1000"))] = Field(
        default=Decimal(0),
        description="The same by cost: no trade whose fee and slippage outweigh the risk that it corrects, for so much aversion to risk; "
        "0: not used.",
    )
    destination: Annotated[Literal["target", "edge"], choice("target", "edge")] = Field(
        default="target", description="Where a trade ends: at the target, or at the near edge of the band (less turnover)."
    )
    turnover_max: Annotated[float, *approximate(above("0", "100"))] = Field(
        default=2.0,
        description="The most that one rebalance trades: half the sum of all its trades, exits included, as a share of equity; more is "
        "scaled down alike. Selling everything and buying something else is 1.",
    )
    cooldown: Annotated[int | timedelta, *bars_or_duration(0)] = Field(
        default=0,
        description="Bars, or a length of time like 6h, after a rebalance in which only what is wanted at 0 is sold; the rest waits.",
    )
    raise_max: Annotated[Decimal, *exact(between("1", "100"))] = Field(
        default=Decimal(3),
        description="Small accounts: targets too small for the exchange give their part to others; none becomes more than so many times "
        "its own weight. 1: the part stays in cash.",
    )
    fee_asset: Asset | None = Field(
        default=None, description="The asset that the exchange takes its fees in, if that is neither the base nor the quote of a trade."
    )
    fee_reserve: Annotated[Decimal, *exact(between("0", "1000000000000"))] = Field(
        default=Decimal(0), description="Amount of fee_asset that is never sold, where it is traded too."
    )
    approve: Annotated[int, *whole(between("0", "1000000"))] = Field(
        default=0, description="The first so many waves wait for a person's `rebalanced approve`."
    )
    approve_within: Annotated[timedelta, *duration("1s", "24h")] = Field(
        default=timedelta(hours=1), description="How long a wave waits for approval; then its decision is not worked on."
    )
    on_stop: Annotated[Literal["cancel", "keep"], choice("cancel", "keep")] = Field(
        default="cancel", description="What a stop does with orders that are open: cancel them, or keep them for the next start."
    )
