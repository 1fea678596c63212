"""Papers: the section `paper`, of the simulated account."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from daemon.config.kinds import Asset
from daemon.config.section import Section
from daemon.config.values import as_decimal, between, exact
from daemon.core.fees import Tier

FEES = between("-0.01", "0.1")  # below 0: venues that pay makers
FeeRate = Annotated[Decimal, *exact(FEES)]


class FeeTier(Section):
    """Fees from a volume on."""

    volume: Annotated[Decimal, *exact(between("0", "1000000000000"))] = Field(
        description="What was traded in the 30 days (UTC) before, in units of the quote, from which on this tier holds; above 0."
    )
    maker: FeeRate = Field(description="Fee of an order that waited in the book, as a share of its value.")
    taker: FeeRate = Field(description="Fee of an order that filled at once, as a share of its value.")


class FeeConfig(Section):
    """Fees of the simulated venue."""

    maker: FeeRate = Field(default=Decimal("0.001"), description="Fee of an order that waited in the book, as a share of its value.")
    taker: FeeRate = Field(default=Decimal("0.001"), description="Fee of an order that filled at once, as a share of its value.")
    tiers: tuple[FeeTier, ...] = Field(default=(), description="Other fees from so much traded on, by growing volume.")


def tiers(fee: FeeConfig) -> list[Tier]:
    """The tiers as plain values."""
    return [Tier(each.volume, each.maker, each.taker) for each in fee.tiers]


def _fee(value: Any) -> Any:
    """One rate for both sides, or a mapping with both."""
    if isinstance(value, Mapping | FeeConfig):
        return value
    rate = as_decimal(value, FEES)
    return FeeConfig(maker=rate, taker=rate)


def _fee_mapping() -> dict[str, Any]:
    """The schema of the mapping with its tiers in place: a reference would lead nowhere in the schema of the whole."""
    schema = FeeConfig.model_json_schema()
    del schema["$defs"]
    schema["properties"]["tiers"]["items"] = FeeTier.model_json_schema()
    return schema


FEE_SCHEMA = {"anyOf": [FEES.schema("number"), _fee_mapping()]}


class PaperConfig(Section):
    """The simulated account of mode paper; the other modes do not read it."""

    balances: Mapping[Asset, Annotated[Decimal, *exact(between("0", "1000000000000"))]] = Field(
        default_factory=lambda: {"USDT": Decimal(10000)}, description="What a fresh paper account holds, in units of each asset."
    )
    fee: Annotated[FeeConfig, BeforeValidator(_fee), WithJsonSchema(FEE_SCHEMA)] = Field(
        default_factory=FeeConfig, description="Fee as a share of the value traded: one number, or {maker: , taker: , tiers: []}."
    )
    slippage_bps: Annotated[Decimal, *exact(between("0", "1000"))] = Field(
        default=Decimal(5), description="How much worse than the next price a simulated fill is, in basis points (1/10000)."
    )
