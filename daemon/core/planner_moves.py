"""Moves: what one symbol is to do, from where it stands to its target.

Rule: a move goes towards the target, sells nothing that is not free, and says what stops it.
"""

from decimal import Decimal
from typing import Final

from daemon.core.model import ZERO
from daemon.core.planner_inputs import Inputs, Rules
from daemon.core.planner_legs import BUY, NOTIONAL_MARGIN, SELL, Reason, Standing, arriving, bought, capped, reaches_minimum, sold

IN_BAND: Final = Reason.IN_BAND  # by far the most frequent, and a member of an enumeration is slow to look up


def move(s: Standing, inputs: Inputs) -> None:
    """Give a symbol its order, or a trade that is still to be rounded, or nothing, and the reason where that is not the whole way."""
    if s.wanted <= 0:
        # Always traded to: a residue as wide as the zone would stay for ever.
        if s.held > 0:
            _exit(s, inputs)
        return
    gap, slack = s.aimed - s.value, s.slack
    way = abs(gap)
    if way <= slack:
        if gap:
            s.why = IN_BAND
        return
    inward = inputs.rules.to_edge and is_begun(s)
    if inward:
        way -= slack
    if gap < 0:
        _reduce(s, way, inputs, inward=inward)
    elif s.still:
        s.why = inputs.book.frozen[s.symbol]
    else:
        s.drafted(way, BUY, s.market.lot * s.worth * arriving(s.market, inputs.rules))
        if inward:
            _into_the_zone(s)


def finish(s: Standing, rules: Rules) -> None:
    """Make an order of a trade that has been rounded, if the venue takes it."""
    market, price = s.market, s.price
    whole = s.lots * market.lot
    amount = capped(market, whole, price)
    if not reaches_minimum(market, amount, price, NOTIONAL_MARGIN):
        if s.why is None or s.why is Reason.STEP:  # less than a step more would not help; what is locked, or kept for fees, would
            s.why = Reason.BELOW_MINIMUM if amount else Reason.STEP
        return
    s.legs = (bought(market, amount, price, rules) if s.side is BUY else sold(market, amount, price),)
    if amount < whole:
        s.why = Reason.AMOUNT_MAX
    elif s.why is None and abs(s.over) > s.slack:
        s.why = Reason.STEP


def is_begun(s: Standing) -> bool:
    """Whether there is a position already, dust aside: a first allocation goes to the target, not to the edge."""
    return reaches_minimum(s.market, abs(s.held), s.price)


def _into_the_zone(s: Standing) -> None:
    """Have a trade to the edge go one step further rather than end just outside, unless a step is wider than the zone."""
    if s.over and s.unit <= s.slack:
        s.lots, s.over = s.lots + 1, ZERO


def _reduce(s: Standing, way: Decimal, inputs: Inputs, *, inward: bool) -> None:
    """Sell as much as is too much (money), but never more than is free."""
    market = s.market
    s.drafted(way, SELL, market.lot * s.worth)
    if inward:
        _into_the_zone(s)
    more = (s.lots + 1) * market.lot
    if more <= s.held and more <= inputs.book.free.get(s.symbol, ZERO) and market.base != inputs.rules.fee_asset:
        return  # a lot more than that could be sold
    whole, free = _sellable(s, inputs)
    if free <= 0:
        s.stopped(_short_of(s, whole, free))
    elif s.lots >= free:  # all that is free, and no step more
        if s.lots > free:
            s.why = _short_of(s, whole, free)
        elif s.over > s.slack:
            s.why = Reason.STEP
        s.lots, s.over = free, ZERO


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


def _exit(s: Standing, inputs: Inputs) -> None:
    """Sell everything that is free; what the grid or the venue's minimum leaves is dust, which is known and named."""
    market, price = s.market, s.price
    lots, free_lots = _sellable(s, inputs)
    free, whole = free_lots * market.lot, lots * market.lot
    amount = capped(market, free, price)
    if reaches_minimum(market, amount, price):
        s.legs = (sold(market, amount, price),)
        s.why = Reason.AMOUNT_MAX if amount < free else _short_of(s, lots, free_lots) if amount < s.held else None
    elif s.symbol in inputs.book.moving:
        s.why = inputs.book.moving[s.symbol]
    elif free < whole and reaches_minimum(market, whole, price):
        s.why = Reason.LOCKED
    else:
        held = market.floor(s.held)
        s.why = Reason.FEE_RESERVE if whole < held and reaches_minimum(market, held, price) else Reason.DUST
