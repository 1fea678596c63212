"""Margin: how far the positions of swaps are from their liquidation, and how much nearer an order may bring them.

Rule: distances are shares of the mark price, all other prices unmoved, and the margin that must be kept is never reckoned too small. All
positions answer together with the whole collateral (cross); one with a margin of its own is bounded by its leverage (config).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from daemon.core.account import Account
from daemon.core.model import ZERO, Instrument
from daemon.core.planner_inputs import ONE
from daemon.core.planner_legs import Leg

# Where a venue tells no brackets: the rate of Binance's second, which holds for its largest markets up to half a million.
RATE: Final = Decimal("0.01")


def rate_of(market: Instrument, worth: Decimal) -> Decimal:
    """The share of a position's worth (quote) that must be kept as margin."""
    return max((rate for floor, rate in market.tiers if floor <= abs(worth)), default=RATE)


@dataclass(frozen=True, slots=True)
class Exposure:
    """A position as large as it is, or as orders under way may make it: `worth` at the mark price (quote, 0 or above), and its rate."""

    worth: Decimal
    rate: Decimal

    def against(self, kept: Decimal) -> Decimal:
        """How far its price may move against it until so much money is lost that it is liquidated."""
        return kept / (self.worth * (ONE + self.rate)) if self.worth else Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Margins:
    """The positions of one account at this moment, by symbol, and the collateral behind them: the wallet and what is not realised."""

    collateral: Decimal
    exposures: Mapping[str, Exposure]

    @classmethod
    def of(cls, account: Account, *, pending: bool) -> "Margins":
        """Those of an account; `pending`: with all that orders under way may still add to them."""
        worths = account.exposures(pending=pending)
        exposures = {s: Exposure(worth, rate_of(account.markets[s], worth)) for s, worth in worths.items()}
        return cls(account.equity(), exposures)

    @property
    def spare(self) -> Decimal:
        """What the collateral has beyond all that must be kept."""
        return self.collateral - sum((each.worth * each.rate for each in self.exposures.values()), ZERO)

    def distances(self) -> dict[str, Decimal]:
        """By symbol, how far its price may move against the position until it is liquidated; below 0: it is due."""
        spare = self.spare
        return {symbol: each.against(spare) for symbol, each in self.exposures.items() if each.worth}

    def nearest(self) -> tuple[str, Decimal] | None:
        """The position that is nearest to its liquidation, and how near; None: there is none."""
        found = self.distances()
        return min(found.items(), key=lambda each: (each[1], each[0]), default=None)

    def room(self, leg: Leg, market: Instrument, least: Decimal, slippage: Decimal) -> Decimal:
        """How many base units of a growing leg leave every position at least so far (`least`, above 0) from its liquidation.

        Each unit of worth that is added takes the fee and what slippage loses from the collateral, and asks for its margin to be kept.
        """
        held = self.exposures.get(leg.symbol, Exposure(ZERO, ZERO))
        rate = rate_of(market, held.worth + leg.notional)  # of the larger position: never too small
        takes = market.taker_fee + slippage + rate
        spare = self.spare - held.worth * (rate - held.rate)
        worth = (spare - least * (ONE + rate) * held.worth) / (takes + least * (ONE + rate))
        for symbol, other in self.exposures.items():
            if symbol != leg.symbol and other.worth:
                worth = min(worth, (spare - least * (ONE + other.rate) * other.worth) / takes)
        return max(worth, ZERO) / leg.price
