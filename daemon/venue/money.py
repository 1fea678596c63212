"""Decimal helpers: money never passes through a float here.

Rule: the protocol writes amounts and prices with eight decimals; everything the venue books fits them exactly.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal, localcontext
from typing import Final

ZERO: Final = Decimal(0)
UNIT: Final = Decimal("0.00000001")  # the smallest amount of any asset


def text(value: Decimal) -> str:
    """Eight decimals, never in exponent form."""
    return f"{value:.8f}"


def brief(value: Decimal) -> str:
    """As few digits as say it exactly, never in exponent form."""
    return f"{value.normalize():f}" if value else "0"


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is at most `value`."""
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` that is at least `value`."""
    return (value / step).to_integral_value(ROUND_CEILING) * step


def multiple(value: Decimal, step: Decimal) -> bool:
    """Whether `value` lies on the grid of `step`; amounts of 40 digits are still judged exactly."""
    with localcontext() as context:
        context.prec = 60
        return value % step == 0


def share(value: Decimal, rate: Decimal) -> Decimal:
    """`rate` of `value`, cut to the smallest unit: the venue never charges more than it said."""
    return (value * rate).quantize(UNIT, ROUND_DOWN)
