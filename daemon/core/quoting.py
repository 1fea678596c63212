"""Quoting: what a parent does next that is first to rest in the book and then to take from it (maker, then taker).

Rule: a pure function of the parent, the touch and the time. No touch, no order; no new quote before the old one's cancel is certain.
"""

from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from daemon.core.model import Instrument, Side
from daemon.core.ordertable import Tracked
from daemon.core.planner_legs import limit_price, smallest_part
from daemon.core.styles import MakerTerms, Touch
from daemon.core.working import IN_DOUBT, TOO_SMALL, UNFILLED, WAIT, Finish, Look, Place, Step, Withdraw, Working, hangs, in_doubt, standing

# A touch moves many times a second: one that is older than this quotes nothing.
TOUCH_FRESH: Final = timedelta(seconds=5)

# What must be completed takes so often after its time, and for so long; what the book does not have within the limit by then is left.
CROSSINGS: Final = 3
CROSSES_FOR: Final = timedelta(seconds=60)

# Between two looks at a book that had too little within the limit.
REFILLS: Final = timedelta(seconds=2)


def next_step(work: Working, terms: MakerTerms, market: Instrument, touch: Touch | None, at: datetime) -> Step:
    """What is to be done now. `touch` is the newest that is known, however old."""
    known = touch if touch is not None and at - touch.at <= TOUCH_FRESH else None
    work.hurried = work.hurried or _hurries(work, terms, known, at)
    child = work.live
    if child is not None:
        return _beside(child, work, terms, market, known, at)
    if not work.unsent:
        return Finish()
    if _late(work, terms, at) and not _crosses(work, terms, at):
        return UNFILLED
    if at < max(work.not_before, _refilled(work)):
        return WAIT
    if known is None or known.at < work.looked_from:
        return Look(pressing=True)
    if work.unsent < smallest_part(work.leg, market, known.mid):
        return TOO_SMALL
    side = work.leg.side
    if work.hurried:
        return Place(work.unsent, known.mid, limit_price(market, side, known.mid))
    return Place(work.unsent, known.mid, quote(side, terms, market, known, work.crossed), post_only=True)


def quote(side: Side, terms: MakerTerms, market: Instrument, touch: Touch, back: int) -> Decimal:
    """The price to rest at: the touch of our side, improved, `back` ticks off; on the grid, and never where it would trade at once."""
    tick, sign = market.price_tick, side.sign
    wished = touch.own(side) + sign * (terms.improve_ticks - back) * tick
    nearest = touch.other(side) - sign * tick
    price = min(wished, nearest) if side is Side.BUY else max(wished, nearest)
    ticks = (price / tick).to_integral_value(ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)
    return max(ticks, Decimal(1)) * tick


def _beside(child: Tracked, work: Working, terms: MakerTerms, market: Instrument, touch: Touch | None, at: datetime) -> Step:
    """What is to be done while a child has not ended: to wait, or to have it cancelled."""
    late = _late(work, terms, at)
    if in_doubt(child):
        return IN_DOUBT if late else WAIT
    if not standing(child):
        return WAIT
    if not child.order.post_only:
        return Withdraw() if hangs(child.order, at) else WAIT
    if late or work.hurried or (touch is not None and _behind(child, terms, market, touch, at)):
        return Withdraw()
    return Look(pressing=False)


def _behind(child: Tracked, terms: MakerTerms, market: Instrument, touch: Touch, at: datetime) -> bool:
    """Whether the touch has left a resting order behind, by more than what it waits for, for long enough."""
    order = child.order
    if order.limit is None or at - order.at < terms.min_reprice or touch.at < order.at:
        return False
    return order.side.sign * (touch.own(order.side) - order.limit) > terms.reprice_ticks * market.price_tick


def _late(work: Working, terms: MakerTerms, at: datetime) -> bool:
    """Whether its time is over."""
    return work.begun_at is not None and at >= work.begun_at + terms.total


def _hurries(work: Working, terms: MakerTerms, touch: Touch | None, at: datetime) -> bool:
    """Whether to take from here on: it has rested long enough, the market runs away from it, or has come to it."""
    if work.begun_at is not None and at >= work.begun_at + terms.passive:
        return True
    if work.crossed > terms.requotes:
        return True
    leg = work.leg
    return touch is not None and leg.side.sign * (touch.mid / leg.price - 1) > terms.adverse


def _refilled(work: Working) -> datetime:
    """When the book may have something again for what it had too little for."""
    last = work.children[-1] if work.children else None
    takes_again = last is not None and not last.order.post_only
    return work.looked_from + REFILLS if takes_again else work.looked_from


def _crosses(work: Working, terms: MakerTerms, at: datetime) -> bool:
    """Whether what is left after its time takes once more."""
    if not terms.must_complete or _late(work, terms, at - CROSSES_FOR):
        return False
    return sum(1 for child in work.children if not child.order.post_only and _late(work, terms, child.order.at)) < CROSSINGS
