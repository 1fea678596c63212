"""Funding: what positions of swaps are expected to pay, or be paid, at their next settlement.

Rule: a payment is position x mark price x rate; longs pay it where the rate is above 0, shorts where it is below. A rate is what the venue
expects, not what it will be: it moves until it is settled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Final, NamedTuple

from daemon.core.planner_inputs import exact

YEAR: Final = timedelta(days=365)

# What most swaps settle at where a venue does not say otherwise.
USUAL: Final = timedelta(hours=8)

# Digits behind the point of an expected payment: what venues book.
DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class FundingRate:
    """The `rate` (fraction of a position's worth at the mark price, above 0: longs pay shorts) expected at `next_at`, every `interval`.

    ValueError: it is no fraction between -1 and 1, or the interval none.
    """

    rate: float
    next_at: datetime
    interval: timedelta

    def __post_init__(self) -> None:
        """Refuse what none can be."""
        if not (isfinite(self.rate) and abs(self.rate) < 1 and self.interval > timedelta(0)):
            raise ValueError(f"a funding rate must be a fraction between -1 and 1 of some interval, not {self.rate} every {self.interval}")

    @property
    def yearly(self) -> float:
        """What a long would pay in a year of such settlements, as a fraction of its worth."""
        return self.rate * (YEAR / self.interval)


class Mark(NamedTuple):
    """What a venue tells of a swap: its mark price (quote per base), and the rate that is expected next, where it tells one."""

    price: float
    funding: FundingRate | None = None


def expected(weights: Mapping[str, float], equity: Decimal, rate_of: Callable[[str], FundingRate | None]) -> dict[str, Decimal]:
    """By symbol, what these weights of so much equity would pay at the next settlement (above 0) or be paid, in the unit of `equity`.

    What is wanted at 0 has none, nor has what no rate is known of.
    """
    rates = {symbol: rate_of(symbol) for symbol, weight in weights.items() if weight}
    dues = {s: exact(weights[s]) * equity * exact(rate.rate) for s, rate in rates.items() if rate is not None}
    return {symbol: round(due, DIGITS) for symbol, due in dues.items()}
