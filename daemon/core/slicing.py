"""Slicing: what a parent does next that trades in equal parts by the clock (TWAP).

Rule: a pure function of the parent, the price and the time. Which part it is follows from the clock alone, and each is its share of what is
left; so whoever comes late, or starts anew, spreads the rest over the parts that are left and never makes up for several at once.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from daemon.core.model import Instrument
from daemon.core.planner_legs import limit_price, smallest, smallest_part
from daemon.core.styles import Parent, TwapTerms
from daemon.core.working import IN_DOUBT, TOO_SMALL, UNFILLED, WAIT, Finish, Place, Step, Withdraw, Working, hangs, in_doubt, standing

# Parts are so many times the smallest order at least: prices fall, and what a part leaves must still be an order.
SAFETY: Final = Decimal("1.5")


def parts(amount: Decimal, terms: TwapTerms, market: Instrument, price: Decimal) -> int:
    """How many parts an amount (base units) is traded in: one each interval, fewer where they would be too small for the venue."""
    most = amount / (SAFETY * smallest(market, price))
    return max(1, min(terms.horizon // terms.interval, int(most)))


def next_step(work: Working, terms: TwapTerms, market: Instrument, price: Decimal | None, volume: Decimal | None, at: datetime) -> Step:
    """What is to be done now. `price` is a fresh one, `volume` (base units) the last bar's; None: not known."""
    schedule = work.parent or work.resumed
    over = at >= (schedule.until if schedule is not None else (work.begun_at or at) + terms.horizon)
    child = work.live
    if child is not None:
        if in_doubt(child):
            return IN_DOUBT if over else WAIT
        return Withdraw() if standing(child) and (over or hangs(child.order, at)) else WAIT
    if not work.unsent:
        return Finish()
    if over:
        return UNFILLED
    if price is None or at < work.not_before or _done(work, schedule, at):
        return WAIT
    left = parts(work.leg.amount, terms, market, price) if schedule is None else schedule.slices - schedule.slice_at(at)
    return _part(work.unsent, left, _bound(terms, volume), market, price, work)


def _part(unsent: Decimal, left: int, bound: Decimal | None, market: Instrument, price: Decimal, work: Working) -> Step:
    """The next of `left` parts, of at most `bound` base units."""
    least = smallest_part(work.leg, market, price)
    if unsent < least:
        return TOO_SMALL
    amount = market.floor(unsent / left)
    if unsent - amount < least:
        amount = unsent  # what it would leave could not be ordered any more
    if bound is not None:
        amount = min(amount, market.floor(bound))
    if amount < least:
        return WAIT  # the next part is larger, or the next bar
    return Place(amount, price, limit_price(market, work.leg.side, price))


def _done(work: Working, schedule: Parent | None, at: datetime) -> bool:
    """Whether this part has had its order, in this process or an earlier one."""
    if schedule is None or work.last_at is None:
        return False
    return schedule.slice_at(work.last_at) >= schedule.slice_at(at)


def _bound(terms: TwapTerms, volume: Decimal | None) -> Decimal | None:
    """The most that a part may be, by what the market trades in an interval."""
    if terms.participation is None or volume is None:
        return None
    microsecond = timedelta(microseconds=1)
    return volume * terms.participation * (terms.interval // microsecond) / (terms.bar // microsecond)
