"""Lots: amounts become whole steps of the market, so that all of them together miss the targets by the least.

Rule: who gets a step more is decided by the largest remainder, and paid for by what the others' rounding has left over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from daemon.core.model import ZERO, Side
from daemon.core.planner_inputs import ONE
from daemon.core.planner_legs import BUY, Reason, Standing


@dataclass(slots=True)
class Draft:
    """A trade on its way to whole lots. `lots` is what rounding down gives, `over` the money by which they fall short of the way.

    A lot moves `unit` of money, in the currency of the account. What cannot go the whole way has a `reason`.
    """

    standing: Standing
    side: Side
    lots: Decimal
    over: Decimal
    unit: Decimal
    reason: Reason | None = None

    @property
    def rest(self) -> Decimal:
        """What is left out as the part of a lot: 0 to 1 when rounded down, -1 to 0 when rounded up."""
        return self.over / self.unit

    @property
    def is_half(self) -> bool:
        """Whether at least half a lot is left out."""
        return self.over + self.over >= self.unit

    def round_up(self) -> None:
        """Take one lot more."""
        self.lots += 1
        self.over -= self.unit


def draft(standing: Standing, way: Decimal, side: Side, arrives: Decimal = ONE) -> Draft:
    """A trade that moves so much money, in lots; `arrives` is the part of what is ordered that comes in."""
    unit = standing.market.lot * standing.worth
    if arrives is not ONE:
        unit *= arrives
    lots, over = divmod(way, unit)
    return Draft(standing, side, lots, over, unit)


def settle(drafts: Sequence[Draft], equity: Decimal) -> None:
    """Round every draft to whole lots.

    A sell is rounded to the nearest, up where what remains would exceed its cap. A buy is rounded up by the largest remainder, as long as
    the buys and sells of its quote currency together end no higher than they were meant to, and never beyond its cap; of equals, the first.
    """
    spare: dict[str, Decimal] = {}
    for each in drafts:
        quote = each.standing.market.quote
        if each.side is BUY:
            spare[quote] = spare.get(quote, ZERO) + each.over
            continue
        if each.over and (each.is_half or _exceeds(each, each.lots, equity)):
            each.round_up()
        spare[quote] = spare.get(quote, ZERO) - each.over
    for each in sorted((d for d in drafts if d.side is BUY and d.is_half), key=lambda d: d.rest, reverse=True):
        quote = each.standing.market.quote
        if each.unit <= spare[quote] and not _exceeds(each, each.lots + 1, equity):
            spare[quote] -= each.unit
            each.round_up()


def _exceeds(each: Draft, lots: Decimal, equity: Decimal) -> bool:
    """Whether so many lots would leave a holding beyond what the limits allow."""
    s = each.standing
    if s.cap is None:
        return False
    change = lots * s.market.lot
    end = s.held + change if each.side is BUY else s.held - change
    return abs(end) * s.worth > s.cap * equity
