"""Funds: which buys the money pays for, and how far.

Rule: each quote currency pays for its own buys. The reserves of what is released never exceed what is free of their currency.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from typing import Final

from daemon.core.model import EXACT, ZERO, Instrument
from daemon.core.planner_inputs import ONE
from daemon.core.planner_legs import NOTIONAL_MARGIN, Leg, Plan, Reason, quote_of, reaches_minimum, smallest

# What is shrunk to fit is shrunk by this much more, so that no rounding in a last digit can make the sum exceed what there is.
_HAIR: Final = ONE - Decimal("1E-18")
_SHORT: Final = Context(prec=20, rounding=ROUND_FLOOR)  # short numbers multiply quickly

Cost = Callable[[Leg], Decimal]


def fund(grows: Sequence[Leg], cash: Mapping[str, Decimal]) -> tuple[tuple[Leg, ...], tuple[Leg, ...]]:
    """The buys that the money (by quote currency) pays for now, in order of priority, and those that wait."""
    free = dict(cash)
    now: list[Leg] = []
    later: list[Leg] = []
    for leg in grows:
        quote = quote_of(leg.symbol)
        rest = EXACT.subtract(free.get(quote, ZERO), leg.reserve)
        if rest >= 0:
            free[quote] = rest
            now.append(leg)
        else:
            later.append(leg)
    return tuple(now), tuple(later)


def scale(grows: Sequence[Leg], cash: Mapping[str, Decimal], markets: Mapping[str, Instrument]) -> tuple[tuple[Leg, ...], dict[str, str]]:
    """All buys of a currency shrunk alike until its money pays for them, and the reason by symbol for each that is smaller or gone."""
    made: list[Leg] = []
    named: dict[str, str] = {}
    with localcontext(EXACT):
        for quote in sorted({quote_of(leg.symbol) for leg in grows}):
            legs = [leg for leg in grows if quote_of(leg.symbol) == quote]
            have = cash.get(quote, ZERO)
            if sum([leg.reserve for leg in legs], ZERO) <= have:
                made += legs
            else:
                made += fitted(legs, have, lambda leg: leg.reserve, markets)
                named.update({leg.symbol: Reason.UNFUNDED.value for leg in legs})
    return tuple(made), named


def priority(legs: Sequence[Leg]) -> list[Leg]:
    """In the order in which they get the money of their currency: the largest first, equal ones as they come."""
    worths = [leg.amount * leg.price for leg in legs]
    return [legs[n] for n in sorted(range(len(legs)), key=worths.__getitem__, reverse=True)]


def moved(made: Plan, cash: Mapping[str, Decimal], markets: Mapping[str, Instrument]) -> frozenset[str]:
    """The symbols that a plan would trade with this money, if it were carried out."""
    grows = made.grows if made.reduces else scale(made.grows, cash, markets)[0]
    return frozenset(leg.symbol for leg in (*made.reduces, *grows))


@dataclass(slots=True)
class _Shrunk:
    """A leg made smaller, to whole lots, which leave out `rest` of a lot (0 to 1). `unit` is what a unit of base costs."""

    leg: Leg
    lot: Decimal
    unit: Decimal
    amount: Decimal
    rest: Decimal


def fitted(legs: Sequence[Leg], have: Decimal, cost: Cost, markets: Mapping[str, Instrument]) -> list[Leg]:
    """The legs, in their order, shrunk alike till they cost no more than there is. What rounding leaves over goes to the largest rest.

    What falls below the venue's minimum is dropped. `cost` must be in proportion to the amount.
    """
    have = max(have, ZERO) * _HAIR
    priced = [(cost(leg), leg) for leg in legs]
    shrunk = _shrunk(priced, have, markets)
    if not all(_is_enough(each, markets) for each in shrunk):
        shrunk = _shrunk(_large_enough(priced, have, markets), have, markets)
    left = have - sum((each.unit * each.amount for each in shrunk), ZERO)
    for each in sorted(shrunk, key=lambda each: (-each.rest, each.leg.symbol)):
        extra = each.unit * each.lot
        if extra <= left and each.amount < each.leg.amount:
            left -= extra
            each.amount += each.lot
    return [each.leg.resized(each.amount) for each in shrunk]


def _shrunk(priced: Sequence[tuple[Decimal, Leg]], have: Decimal, markets: Mapping[str, Instrument]) -> list[_Shrunk]:
    share = _share(have, sum((costs for costs, _ in priced), ZERO))
    found: list[_Shrunk] = []
    for costs, leg in priced:
        lot = markets[leg.symbol].lot
        exact = leg.amount * share / lot
        lots = exact.to_integral_value(ROUND_FLOOR)
        found.append(_Shrunk(leg, lot, costs / leg.amount, lots * lot, exact - lots))
    return found


def _is_enough(each: _Shrunk, markets: Mapping[str, Instrument]) -> bool:
    return reaches_minimum(markets[each.leg.symbol], each.amount, each.leg.price, NOTIONAL_MARGIN)


def _large_enough(priced: Sequence[tuple[Decimal, Leg]], have: Decimal, markets: Mapping[str, Instrument]) -> list[tuple[Decimal, Leg]]:
    """Those that the venue still takes when all are shrunk alike. The smallest give way first, so that the others keep more.

    A small account: fewer whole positions beat many refused ones. One pass is enough: each drop raises everybody's share, so who is above
    the minimum stays there.
    """
    need = sum((costs for costs, _ in priced), ZERO)
    gone: set[str] = set()
    for costs, leg in sorted(priced, key=lambda each: (-each[0], each[1].symbol), reverse=True):
        if leg.amount * _share(have, need) < smallest(markets[leg.symbol], leg.price):
            gone.add(leg.symbol)
            need -= costs
    return [(costs, leg) for costs, leg in priced if leg.symbol not in gone]


def _share(have: Decimal, need: Decimal) -> Decimal:
    """How much of each leg there is enough for."""
    return _SHORT.divide(have, need) if need > have else ONE
