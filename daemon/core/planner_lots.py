"""Lots: amounts become whole steps of the market, so that all of them together miss the targets by the least.

Rule: who gets a step more is decided by the largest remainder, and paid for by what the others' rounding has left over.
"""

from collections.abc import Iterable
from decimal import Decimal

from daemon.core.model import ZERO
from daemon.core.planner_legs import BUY, Standing


def settle(standings: Iterable[Standing], equity: Decimal) -> None:
    """Round every trade to whole lots.

    A sell is rounded to the nearest, up where what remains would exceed its cap. A buy is rounded up by the largest remainder, as long as
    the buys and sells of its quote currency together end no higher than they were meant to, and never beyond its cap; of equals, the first.
    """
    spare: dict[str, Decimal] = {}
    halves: list[Standing] = []
    for s in standings:
        if s.side is None:
            continue
        quote, over = s.market.quote, s.over
        if s.side is BUY:
            spare[quote] = spare.get(quote, ZERO) + over
            if over + over >= s.unit:
                halves.append(s)
            continue
        if over and (over + over >= s.unit or (s.cap is not None and s.value - s.lots * s.unit > s.cap * equity)):
            s.round_up()
        spare[quote] = spare.get(quote, ZERO) - s.over
    rests = [s.over / s.unit for s in halves]
    for n in sorted(range(len(halves)), key=rests.__getitem__, reverse=True):
        s = halves[n]
        quote = s.market.quote
        if s.unit <= spare[quote] and (s.cap is None or s.value + (s.lots + 1) * s.market.lot * s.worth <= s.cap * equity):
            spare[quote] -= s.unit
            s.round_up()
