"""Positions in one-way mode, and the brackets of margin.

Rule: exact. A position keeps what it was opened for, not an entry price, which is a quotient: what is closed takes its part along, cut to
the smallest unit, and the last part takes the rest, so that the profits of a position sum to what was paid and received.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from daemon.venue.book import Side
from daemon.venue.money import UNIT, ZERO


def cut(value: Decimal) -> Decimal:
    """The nearest whole number of smallest units, half to even."""
    return value.quantize(UNIT)


def sign(side: Side) -> int:
    """1 for a buy, -1 for a sale."""
    return 1 if side == "BUY" else -1


@dataclass(slots=True)
class Position:
    """What is held of a market. Amounts in base units, money in quote units."""

    amount: Decimal = ZERO  # below 0: short
    cost: Decimal = ZERO  # what it was opened for, with the sign of the amount
    margin: Decimal = ZERO  # set aside for it alone where the margin is isolated
    realized: Decimal = ZERO  # of all that was closed, fees not counted
    updated: int = 0  # UTC ms

    @property
    def entry(self) -> Decimal:
        """Mean price it was opened at, 0 without a position."""
        return cut(self.cost / self.amount) if self.amount else ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        """Profit or loss if it were closed at the mark price."""
        return cut(self.amount * mark - self.cost)

    def notional(self, mark: Decimal) -> Decimal:
        """What it is worth at the mark price, below 0 where short."""
        return self.amount * mark

    def closes(self, side: Side, size: Decimal) -> Decimal:
        """How much of an order of this size would close what is held."""
        return min(size, abs(self.amount)) if self.amount * sign(side) < 0 else ZERO

    def fill(self, side: Side, price: Decimal, size: Decimal) -> Decimal:
        """Book a fill; the profit or loss of what it closed."""
        closed = self.closes(side, size)
        profit = self._close(price, closed) if closed else ZERO
        opened = sign(side) * (size - closed)
        self.amount += opened
        self.cost += opened * price
        self.realized += profit
        return profit

    def _close(self, price: Decimal, size: Decimal) -> Decimal:
        whole = size == abs(self.amount)
        part = self.cost if whole else cut(self.cost * size / abs(self.amount))
        self.margin -= self.margin if whole else cut(self.margin * size / abs(self.amount))
        moved = size if self.amount > 0 else -size
        self.amount -= moved
        self.cost -= part
        return moved * price - part


class Bracket(NamedTuple):
    """How much margin a position must keep, by its worth. `rate` of the worth less `less` is its maintenance margin."""

    number: int
    leverage: int  # most that may be set
    floor: Decimal  # quote units
    cap: Decimal
    rate: Decimal
    less: Decimal


# Of every market; as Binance's, the maintenance margin is continuous from one to the next.
BRACKETS: Final = (
    Bracket(1, 125, Decimal(0), Decimal(50_000), Decimal("0.004"), Decimal(0)),
    Bracket(2, 50, Decimal(50_000), Decimal(500_000), Decimal("0.01"), Decimal(300)),
    Bracket(3, 20, Decimal(500_000), Decimal(5_000_000), Decimal("0.025"), Decimal(7_800)),
    Bracket(4, 5, Decimal(5_000_000), Decimal(100_000_000), Decimal("0.1"), Decimal(382_800)),
)
LEVERAGE_MAX: Final = BRACKETS[0].leverage


def bracket(notional: Decimal) -> Bracket:
    """The bracket of a worth, whose sign does not matter."""
    return next((each for each in BRACKETS if abs(notional) <= each.cap), BRACKETS[-1])


def maintenance(notional: Decimal) -> Decimal:
    """The margin below which a position of that worth is liquidated."""
    found = bracket(notional)
    return cut(abs(notional) * found.rate - found.less)


def notional_cap(leverage: int) -> Decimal:
    """The largest worth of a position at a leverage."""
    return max(each.cap for each in BRACKETS if each.leverage >= leverage)
