"""Funds: which buys the money pays for, and how far.

Rule: each quote currency pays for its own buys. The reserves of what is released never exceed what is free of their currency.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Final

from daemon.core.model import EXACT, ZERO, Instrument
from daemon.core.planner_inputs import ONE
from daemon.core.planner_legs import Leg, Plan, Reason, smallest

# What is shrunk to fit is shrunk by this much more, so that no rounding in a last digit can make the sum exceed what there is.
_HAIR: Final = ONE - Decimal("1E-24")

Cost = Callable[[Leg], Decimal]


def fund(grows: Sequence[Leg], cash: Mapping[str, Decimal]) -> tuple[tuple[Leg, ...], tuple[Leg, ...]]:
    """The buys that the money (by quote currency) pays for now, in order of priority, and those that wait."""
    free = dict(cash)
    now: list[Leg] = []
    later: list[Leg] = []
    with localcontext(EXACT):
        for leg in grows:
            rest = free.get(leg.quote, ZERO) - leg.reserve
            if rest >= 0:
                free[leg.quote] = rest
                now.append(leg)
            else:
                later.append(leg)
    return tuple(now), tuple(later)


def scale(grows: Sequence[Leg], cash: Mapping[str, Decimal], markets: Mapping[str, Instrument]) -> tuple[tuple[Leg, ...], dict[str, str]]:
    """All buys of a currency shrunk alike until its money pays for them, and the reason by symbol for each that is smaller or gone."""
    made: list[Leg] = []
    named: dict[str, str] = {}
    with localcontext(EXACT):
        for quote in sorted({leg.quote for leg in grows}):
            legs = [leg for leg in grows if leg.quote == quote]
            have = cash.get(quote, ZERO)
            if sum((leg.reserve for leg in legs), ZERO) <= have:
                made += legs
            else:
                made += fitted(legs, have, lambda leg: leg.reserve, markets)
                named.update({leg.symbol: Reason.UNFUNDED.value for leg in legs})
    return tuple(made), named


def priority(legs: Sequence[Leg]) -> list[Leg]:
    """In the order in which they get the money of their currency: the largest first."""
    return sorted(legs, key=lambda leg: (-leg.amount * leg.price, leg.symbol))


def moved(made: Plan, cash: Mapping[str, Decimal], markets: Mapping[str, Instrument]) -> frozenset[str]:
    """The symbols that a plan would trade with this money, if it were carried out."""
    grows = made.grows if made.reduces else scale(made.grows, cash, markets)[0]
    return frozenset(leg.symbol for leg in (*made.reduces, *grows))


def fitted(legs: Sequence[Leg], have: Decimal, cost: Cost, markets: Mapping[str, Instrument]) -> list[Leg]:
    """The legs shrunk alike till they cost no more than there is, dearest first. What rounding leaves over goes to the largest rest.

    What falls below the venue's minimum is dropped, the smallest first, so that the others keep more (a small account: fewer whole
    positions beat many refused ones). One pass is enough: each drop raises everybody's share, so who is above the minimum stays there.
    `cost` must be in proportion to the amount.
    """
    have = max(have, ZERO) * _HAIR
    costs = {leg.symbol: cost(leg) for leg in legs}
    need = sum(costs.values(), ZERO)
    kept: list[Leg] = []
    for leg in sorted(legs, key=lambda leg: (-costs[leg.symbol], leg.symbol), reverse=True):
        if leg.amount * _share(have, need) >= smallest(markets[leg.symbol], leg.price):
            kept.append(leg)
        else:
            need -= costs[leg.symbol]
    meant = {leg.symbol: leg.amount * _share(have, need) for leg in reversed(kept)}
    amounts = {symbol: markets[symbol].floor(amount) for symbol, amount in meant.items()}
    left = have - sum((costs[leg.symbol] * amounts[leg.symbol] / leg.amount for leg in kept), ZERO)
    for leg in sorted(kept, key=lambda leg: ((amounts[leg.symbol] - meant[leg.symbol]) / markets[leg.symbol].lot, leg.symbol)):
        extra = costs[leg.symbol] * markets[leg.symbol].lot / leg.amount
        if extra <= left and amounts[leg.symbol] < leg.amount:
            left -= extra
            amounts[leg.symbol] += markets[leg.symbol].lot
    return [leg.resized(amounts[leg.symbol]) for leg in reversed(kept)]


def _share(have: Decimal, need: Decimal) -> Decimal:
    """How much of each leg there is enough for."""
    return have / need if need > have else ONE
