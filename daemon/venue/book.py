"""The order book around the last price.

Rule: a pure function of the last price. The book is whole again after every trade: the venue is deep, and what moves its prices is the
recording or the generator, never the account. Levels lie `slippage_bps` apart and hold `depth_notional` each, so an order
larger than a level pays for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from daemon.venue.markets import Market
from daemon.venue.money import ceil_to, floor_to

Side = Literal["BUY", "SELL"]
BPS = Decimal("0.0001")


class Level(NamedTuple):
    """A price of the book (quote per base) and what can be had there (base units)."""

    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Book:
    """How every market's book is shaped."""

    spread_bps: Decimal
    slippage_bps: Decimal
    depth_notional: Decimal
    levels_max: int

    def ask(self, market: Market, last: Decimal) -> Decimal:
        """Best price to buy at, above the last price."""
        return max(ceil_to(last * (1 + self.spread_bps / 2 * BPS), market.tick), last)

    def bid(self, market: Market, last: Decimal) -> Decimal:
        """Best price to sell at, below the last price and below the ask."""
        price = floor_to(last * (1 - self.spread_bps / 2 * BPS), market.tick)
        if price >= self.ask(market, last):
            price -= market.tick
        return max(price, market.tick)

    def levels(self, market: Market, last: Decimal, taker: Side, count: int | None = None) -> Iterator[Level]:
        """What a taker of that side meets, best price first, every price once."""
        best = self.ask(market, last) if taker == "BUY" else self.bid(market, last)
        previous: Decimal | None = None
        for number in range(min(count or self.levels_max, self.levels_max)):
            distance = best * self.slippage_bps * number * BPS
            price = ceil_to(best + distance, market.tick) if taker == "BUY" else floor_to(best - distance, market.tick)
            if previous is not None and (price >= previous if taker == "SELL" else price <= previous):
                price = previous + (market.tick if taker == "BUY" else -market.tick)
            if price <= 0:
                return
            previous = price
            yield Level(price, max(floor_to(self.depth_notional / price, market.step), market.step))
