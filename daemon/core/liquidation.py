"""Liquidation: what a venue does to the positions of an account that is kept in memory, once they are not covered any more.

Rule: as the embedded venue does it to an account of cross margin, judged by marks alone. The largest position is taken over whole, at its
mark, for a fee of its worth, then the next, until what is left is covered; the last one takes no more than there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Final

from daemon.core.margin import rate_of
from daemon.core.model import ZERO, Instrument

FEE: Final = Decimal("0.0125")  # of a liquidated position's worth, as Binance's for its largest markets
GRAIN: Final = Decimal("1e-8")
# Prices and fees are worked out to so many digits and then rounded to the venue's grid.
ROUGH: Final = Context(prec=40)


@dataclass(frozen=True, slots=True)
class Position:
    """A swap that is held: base units, signed, and the mark price (quote) that it is judged by."""

    market: Instrument
    held: Decimal
    mark: Decimal

    @property
    def value(self) -> Decimal:
        """What it is worth, below 0 where it is short."""
        return ROUGH.multiply(self.held, self.mark)

    @property
    def kept(self) -> Decimal:
        """What must be kept as margin for it."""
        return ROUGH.multiply(abs(self.value), rate_of(self.market, self.value))


@dataclass(frozen=True, slots=True)
class Takeover:
    """A position that is taken over at `price` for `fee` (quote), since its mark was beyond `due_at`, its liquidation price."""

    position: Position
    price: Decimal
    fee: Decimal
    due_at: Decimal


def takeover(cash: Decimal, positions: Sequence[Position]) -> Takeover | None:
    """The position that goes first where all of them are not covered by the money behind them; None: they are.

    `cash`: what the account has of the quote, with what was paid for longs taken off and what shorts have brought.
    """
    equity = cash + sum((each.value for each in positions), ZERO)
    if not positions or equity > sum((each.kept for each in positions), ZERO):
        return None
    doomed = max(positions, key=lambda each: (abs(each.value), each.market.symbol))
    others = [each for each in positions if each is not doomed]
    behind = cash + sum((each.value - each.kept for each in others), ZERO)
    price = _on_grid(doomed, doomed.mark)
    left = cash + ROUGH.multiply(doomed.held, price)
    fee = ROUGH.multiply(ROUGH.multiply(abs(doomed.held), price), FEE).quantize(GRAIN, context=ROUGH)
    if not others and left < 0:
        price, fee = _on_grid(doomed, ROUGH.divide(-cash, doomed.held)), ZERO  # the bankruptcy price: nothing is left
    elif not others:
        fee = min(fee, left)
    return Takeover(doomed, price, fee, _due_at(doomed, behind))


def _due_at(doomed: Position, behind: Decimal) -> Decimal:
    """The mark at which what stands behind a position is just what must be kept, all other marks unmoved."""
    rate = rate_of(doomed.market, doomed.value)
    needed = 1 - rate if doomed.held > 0 else 1 + rate
    return max(ROUGH.divide(-behind, ROUGH.multiply(doomed.held, needed)), ZERO)


def _on_grid(doomed: Position, price: Decimal) -> Decimal:
    """A price rounded to the venue's ticks so that no money is missing: up for what is sold, down for what is bought; a tick at least."""
    tick = doomed.market.price_tick
    rounding = ROUND_CEILING if doomed.held > 0 else ROUND_FLOOR
    return max(ROUGH.divide(price, tick).to_integral_value(rounding) * tick, tick)
