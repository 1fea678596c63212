"""Swaps: what one symbol that may be long or short is to do, from where it stands to its target.

Rule: what makes a position smaller only reduces, and never waits for money; a change of sign is two orders, of which the second waits until
the first is done. No position ends larger than its target.
"""

from decimal import ROUND_CEILING, Decimal

from daemon.core.model import ZERO, Instrument
from daemon.core.planner_inputs import ONE, Inputs, Rules
from daemon.core.planner_legs import BUY, NOTIONAL_MARGIN, SELL, Leg, Reason, Reasoned, Standing, capped, closed, opened, reaches_minimum
from daemon.core.planner_moves import is_begun


def both_ways(s: Standing, inputs: Inputs) -> tuple[tuple[Leg, ...], Reasoned]:
    """The orders of a symbol, what reduces first, and the reason where they do not go the whole way."""
    gap = s.aimed - s.value
    turns = s.held * s.wanted < 0  # what stands on the wrong side of 0 is always traded, and to the target
    if s.wanted and not turns and abs(gap) <= s.slack:
        return (), Reason.IN_BAND if gap else None
    inward = inputs.rules.to_edge and s.wanted != 0 and not turns and is_begun(s)
    way = (abs(gap) - s.slack if inward else abs(gap)) / s.worth
    smaller = min(way, abs(s.held)) if s.held * gap < 0 else ZERO
    side = BUY if gap > 0 else SELL
    legs, why = _reduced(s, smaller, inputs, turns=turns) if smaller else ((), None)
    larger = way - smaller
    if why is not None or not larger:
        return legs, why
    if s.still:
        return legs, inputs.book.frozen[s.symbol]
    whole = s.market.floor(larger)
    amount = capped(s.market, whole, s.price)
    if not reaches_minimum(s.market, amount, s.price, NOTIONAL_MARGIN):
        return legs, Reason.BELOW_MINIMUM
    leg = opened(s.market, side, amount, s.price, inputs.rules)
    if amount < whole:
        return (*legs, leg), Reason.AMOUNT_MAX
    return (*legs, leg), Reason.STEP if (larger - whole) * s.worth > s.slack else None


def stepped(market: Instrument, held: Decimal, amount: Decimal, price: Decimal, rules: Rules) -> tuple[Leg, ...]:
    """The orders that move a position by so much (signed) at most: what closes, then what opens, each as far as the venue takes it."""
    side = BUY if amount > 0 else SELL
    smaller = min(abs(amount), abs(held)) if held * amount < 0 else ZERO
    legs: list[Leg] = []
    closes = capped(market, market.floor(smaller), price)
    if closes and _is_taken(market, closes, price, exits=smaller == abs(held)):
        legs.append(closed(market, side, closes, price))
    opens = capped(market, market.floor(abs(amount) - smaller), price)
    if reaches_minimum(market, opens, price) and (not smaller or closes >= market.floor(abs(held))):
        legs.append(opened(market, side, opens, price, rules))
    return tuple(legs)


def _reduced(s: Standing, way: Decimal, inputs: Inputs, *, turns: bool) -> tuple[tuple[Leg, ...], Reasoned]:
    """The order that makes the position smaller, by the next whole step, but never by more than may be closed now."""
    market, side = s.market, SELL if s.held > 0 else BUY
    free = market.floor(inputs.book.free.get(s.symbol, ZERO))
    wanted = min(_up(way, market), market.floor(abs(s.held)))
    whole = min(wanted, free)
    amount = capped(market, whole, s.price)
    if not _is_taken(market, amount, s.price, exits=s.wanted == 0 or turns):
        if s.symbol in inputs.book.moving:
            return (), inputs.book.moving[s.symbol]
        return (), Reason.DUST if s.wanted == 0 else Reason.BELOW_MINIMUM
    leg = closed(market, side, amount, s.price)
    if amount < whole:
        return (leg,), Reason.AMOUNT_MAX
    return (leg,), inputs.book.moving.get(s.symbol, Reason.LOCKED) if whole < wanted else None


def _is_taken(market: Instrument, amount: Decimal, price: Decimal, *, exits: bool) -> bool:
    """Whether the venue takes an order that only reduces. For an exit no smallest notional holds, and nothing else needs to be tiny."""
    return 0 < amount >= market.least if exits else reaches_minimum(market, amount, price, ONE)


def _up(amount: Decimal, market: Instrument) -> Decimal:
    return (amount / market.lot).to_integral_value(ROUND_CEILING) * market.lot
