"""Lots: amounts become whole steps of the market, so that all of them together miss the targets by the least.

Rule: who gets a step more is decided by the largest remainder, and paid for by what the others' rounding has left over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from daemon.core.model import ZERO, Side
from daemon.core.planner_inputs import ONE
from daemon.core.planner_legs import BUY, Reason, Standing

HALF: Final = Decimal("0.5")


@dataclass(slots=True)
class Draft:
    """A trade on its way to whole lots. `lots` is what rounding down gives, `rest` the part of a lot (0 to 1) that it leaves out.

    `lot_worth` is what a lot is worth in the currency of the account. What cannot go the whole way has a `reason`.
    """

    standing: Standing
    side: Side
    lots: Decimal
    rest: Decimal
    lot_worth: Decimal
    reason: Reason | None = None


def draft(standing: Standing, way: Decimal, side: Side, arrives: Decimal = ONE) -> Draft:
    """A trade that moves so much money, in lots; `arrives` is the part of what is ordered that comes in."""
    lot_worth = standing.market.lot * standing.worth
    exact = way / (lot_worth * arrives)
    lots = exact.to_integral_value(ROUND_FLOOR)
    return Draft(standing, side, lots, exact - lots, lot_worth)


def settle(drafts: Sequence[Draft], equity: Decimal) -> None:
    """Round every draft to whole lots.

    A sell is rounded to the nearest, up where what remains would exceed its cap. A buy is rounded up by the largest remainder, as long as
    the buys and sells of its quote currency together end no higher than they were meant to, and never beyond its cap.
    """
    spare: dict[str, Decimal] = {}
    for each in drafts:
        quote = each.standing.market.quote
        if each.side is BUY:
            spare[quote] = spare.get(quote, ZERO) + each.rest * each.lot_worth
            continue
        if each.rest and (each.rest >= HALF or _exceeds(each, each.lots, equity)):
            each.lots, each.rest = each.lots + 1, each.rest - 1
        spare[quote] = spare.get(quote, ZERO) - each.rest * each.lot_worth
    for each in sorted((d for d in drafts if d.side is BUY and d.rest >= HALF), key=lambda d: (-d.rest, d.standing.symbol)):
        quote = each.standing.market.quote
        if each.lot_worth <= spare[quote] and not _exceeds(each, each.lots + 1, equity):
            spare[quote] -= each.lot_worth
            each.lots, each.rest = each.lots + 1, each.rest - 1


def _exceeds(each: Draft, lots: Decimal, equity: Decimal) -> bool:
    """Whether so many lots would leave a holding beyond what the limits allow."""
    s = each.standing
    if s.cap is None:
        return False
    end = s.held + each.side.sign * lots * s.market.lot
    return abs(end) * s.worth > s.cap * equity
