"""Moves: what one symbol is to do, from where it stands to its target.

Rule: a move goes towards the target, sells nothing that is not free, and says what stops it.
"""

from decimal import Decimal
from typing import Final

from daemon.core.model import ZERO
from daemon.core.planner_inputs import Inputs
from daemon.core.planner_legs import BUY, NOTIONAL_MARGIN, SELL, Leg, Reason, Standing, arriving, bought, capped, reaches_minimum, sold
from daemon.core.planner_lots import Draft, draft

IN_BAND: Final = Reason.IN_BAND  # by far the most frequent, and a member of an enumeration is slow to look up

Reasoned = Reason | str | None  # a code of ours, one that the book brought, or nothing to explain
Answer = tuple[Leg | None, Reasoned]
Move = tuple[Leg | Draft | None, Reasoned]


def move(s: Standing, inputs: Inputs) -> Move:
    """The order of one symbol, or a trade that is still to be rounded, or nothing, and the reason where that is not the whole way."""
    if s.wanted <= 0:
        # Always traded to: a residue as wide as the zone would stay for ever.
        return _exit(s, inputs) if s.held > 0 else (None, None)
    gap = s.aimed - s.value
    if abs(gap) <= s.slack:
        return None, IN_BAND if gap else None
    inward = inputs.rules.to_edge and is_begun(s)
    way = abs(gap) - s.slack if inward else abs(gap)
    if gap < 0:
        return _reduce(s, way, inputs, inward=inward)
    if s.still:
        return None, inputs.book.frozen[s.symbol]
    made = draft(s, way, BUY, arriving(s.market, inputs.rules))
    return _into_the_zone(made) if inward else made, None


def finish(made: Draft, inputs: Inputs) -> Answer:
    """The order of a trade that has been rounded, if the venue takes it."""
    s, market, price = made.standing, made.standing.market, made.standing.price
    whole = made.lots * market.lot
    amount = capped(market, whole, price)
    if not reaches_minimum(market, amount, price, NOTIONAL_MARGIN):
        # Less than a step more would not help; what is locked, or kept for fees, would.
        hindered = made.reason not in (None, Reason.STEP)
        return None, made.reason if hindered else Reason.BELOW_MINIMUM if amount else Reason.STEP
    leg = bought(market, amount, price, inputs.rules) if made.side is BUY else sold(market, amount, price)
    if amount < whole:
        return leg, Reason.AMOUNT_MAX
    if made.reason is None and abs(made.over) > s.slack:
        return leg, Reason.STEP
    return leg, made.reason


def is_begun(s: Standing) -> bool:
    """Whether there is a position already, dust aside: a first allocation goes to the target, not to the edge."""
    return reaches_minimum(s.market, abs(s.held), s.price)


def _into_the_zone(made: Draft) -> Draft:
    """A trade to the edge that goes one step further rather than to end just outside, unless a step is wider than the zone."""
    if made.over and made.unit <= made.standing.slack:
        made.lots, made.over = made.lots + 1, ZERO
    return made


def _reduce(s: Standing, way: Decimal, inputs: Inputs, *, inward: bool) -> Move:
    """Sell as much as is too much (money), but never more than is free."""
    whole, free = _sellable(s, inputs)
    if free <= 0:
        return None, _short_of(s, whole, free)
    made = draft(s, way, SELL)
    if inward:
        made = _into_the_zone(made)
    if made.lots >= free:  # all that is free, and no step more
        if made.lots > free:
            made.reason = _short_of(s, whole, free)
        elif made.over > s.slack:
            made.reason = Reason.STEP
        made.lots, made.over = free, ZERO
    return made, None


def _sellable(s: Standing, inputs: Inputs) -> tuple[Decimal, Decimal]:
    """Whole lots that are held, and those of them that are free, without what is kept for fees."""
    held, free = s.held, inputs.book.free.get(s.symbol, ZERO)
    if s.market.base == inputs.rules.fee_asset:
        held, free = held - inputs.rules.fee_reserve, free - inputs.rules.fee_reserve
    # Fees in base leave holdings off the grid: the last, broken step cannot be sold.
    whole = _lots(s, held)
    return whole, whole if free >= held else _lots(s, free)


def _lots(s: Standing, amount: Decimal) -> Decimal:
    return amount // s.market.lot if amount > 0 else ZERO


def _short_of(s: Standing, whole: Decimal, free: Decimal) -> Reason:
    """Why not all that is held can be sold."""
    if free < whole:
        return Reason.LOCKED
    return Reason.FEE_RESERVE if whole < _lots(s, s.held) else Reason.DUST


def _exit(s: Standing, inputs: Inputs) -> Answer:
    """Sell everything that is free; what the grid or the venue's minimum leaves is dust, which is known and named."""
    lots, free_lots = _sellable(s, inputs)
    free, whole = free_lots * s.market.lot, lots * s.market.lot
    amount = capped(s.market, free, s.price)
    if not reaches_minimum(s.market, amount, s.price):
        if s.symbol in inputs.book.moving:
            return None, inputs.book.moving[s.symbol]
        if free < whole and reaches_minimum(s.market, whole, s.price):
            return None, Reason.LOCKED
        held = s.market.floor(s.held)
        return None, Reason.FEE_RESERVE if whole < held and reaches_minimum(s.market, held, s.price) else Reason.DUST
    if amount < free:
        return sold(s.market, amount, s.price), Reason.AMOUNT_MAX
    return sold(s.market, amount, s.price), _short_of(s, lots, free_lots) if amount < s.held else None
