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


class ExecutionConfig(Section):
    """How targets become orders. No trade while a weight is within the widest of the bands of its target; exits always trade."""

    style: Annotated[Literal["market", "limit"], choice("market", "limit")] = Field(
        default="market", description="Kind of order: market, or limit: no worse than price_cap away; what is not filled at once expires."
    )
    price_cap: Annotated[Decimal, *exact(between("0.0001", "0.1"))] = Field(
        default=Decimal("0.005"),
        description="With style limit: how far from the price of the plan an order may trade, as a fraction of it; 0.005: half a percent.",
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
