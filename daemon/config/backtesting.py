"""The section backtest: how stored bars fill orders, where that is not how a paper account does it."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from daemon.config.section import Section
from daemon.config.values import above, as_decimal, between, choice, exact


def _share(value: Any) -> Decimal | None:
    """A share of a bar's volume, or none."""
    return None if value is None else as_decimal(value, above("0", "1"))


class BacktestConfig(Section):
    """How orders fill in a backtest; the daemon does not read it."""

    fills: Annotated[Literal["open", "twap"], choice("open", "twap")] = Field(
        default="open",
        description="open: at the next bar's open; twap: at the mean of its open, high, low and close, as if worked through it.",
    )
    impact: Annotated[Decimal, *exact(between("0", "0.9"))] = Field(
        default=Decimal(0),
        description="Share of the price by which an order as large as its bar's volume fills worse, beside paper.slippage_bps; "
        "smaller ones in proportion.",
    )
    volume_max: Annotated[Decimal | None, BeforeValidator(_share)] = Field(
        default=None, description="Share of a bar's volume that orders of a symbol may take in it; the rest follows later."
    )
