"""Limits on orders: what one order may be at most, judged right before there is an intent.

Rule: a limit only takes away, and none of them keeps anybody in a position. What makes a holding smaller passes the bounds on how much is
traded, though it counts in them, and is only sliced by the bounds on one order; no slice is below what the venue takes. Two things stop an
exit too, and pass: a price that nobody should believe, and an order of our own that it would trade with.

    limit                  what grows                     what makes smaller
    price_deviation_max    refused                        refused
    self_trade             refused                        refused
    orders_per_minute      refused until the minute ends  passes, counts
    order_notional_max     cut, the rest follows at once  cut, the rest follows at once
    volume_share_max       cut, the rest at the next bar  cut, the rest at the next bar
    day_notional_max       cut, the rest the next day     passes, counts
    turnover_day_max       cut, the rest the next day     passes, counts
    liquidation_min        cut                            passes
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from daemon.core.model import ZERO, Instrument
from daemon.core.planner_legs import Leg
from daemon.core.risk import APPROVED, Approved, Finding, Reason, Reduced, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLimits:
    """Bounds on orders. None: no bound.

    `order_notional_max` bounds one order, `day_notional_max` (both in the account's currency) and `turnover_day_max` (half of what is
    traded, as a share of equity) all orders of a UTC day, `orders_per_minute` all orders of the last 60 s. Orders in one symbol between two
    bars are at most `volume_share_max` of the last bar's volume. The price that an order was planned at is at most `price_deviation_max`
    away from the last bar's close, as a share of it. `liquidation_min`: what makes a position of a swap larger leaves every position at
    least so far from its liquidation, as a share of its price; `slippage` is what it is reckoned to lose at once.
    """

    order_notional_max: Decimal | None = None
    day_notional_max: Decimal | None = None
    turnover_day_max: Decimal | None = None
    orders_per_minute: int | None = None
    volume_share_max: Decimal | None = None
    price_deviation_max: Decimal | None = None
    liquidation_min: Decimal | None = None
    slippage: Decimal = Decimal("0.005")  # as of a market order in the planner


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the limits need to know beside the leg, all of it in the leg's own symbol where that matters.

    `position`: signed base units, held and under way. `smallest`: the least base units that the venue takes at this price. `close` and
    `volume` (base units) are those of the last bar that was no stand-in; None: there was none. `opposing`: an order of ours on the other
    side may be open. `in_bar`: base units ordered since that bar closed. `in_minute`: orders of the last 60 s. `in_day`: worth of all
    orders of this UTC day. `room`: base units that leave every position far enough from its liquidation; None: nobody asks. Worth and
    `equity` are in the account's currency, of which a unit of the leg's quote is worth `rate`.
    """

    market: Instrument
    position: Decimal
    smallest: Decimal
    equity: Decimal
    close: Decimal | None = None
    volume: Decimal | None = None
    opposing: bool = False
    in_bar: Decimal = ZERO
    in_minute: int = 0
    in_day: Decimal = ZERO
    rate: Decimal = Decimal(1)
    room: Decimal | None = None

    def worth(self, leg: Leg) -> Decimal:
        """What the leg is worth in the account's currency."""
        return leg.notional * self.rate


Verdict = Approved | Reduced[Decimal] | Refused
OrderLimit = Callable[[Leg, OrderLimits, Situation], Verdict]


@dataclass(frozen=True, slots=True)
class Judged:
    """How much of a leg may be ordered (base units; 0: nothing), and every verdict that took something away, in order."""

    amount: Decimal
    verdicts: tuple[Reduced[Decimal] | Refused, ...] = ()


def judge(leg: Leg, limits: OrderLimits, situation: Situation) -> Judged:
    """The leg after every limit."""
    verdicts: list[Reduced[Decimal] | Refused] = []
    for limit in ORDER:
        verdict = limit(leg, limits, situation)
        match verdict:
            case Refused():
                return Judged(ZERO, (*verdicts, verdict))
            case Reduced():
                verdicts.append(verdict)
                leg = leg.resized(verdict.to)
            case Approved():
                pass
    return Judged(leg.amount, tuple(verdicts))


def smaller_by(leg: Leg, situation: Situation) -> Decimal:
    """How much of the leg makes the holding smaller: all of an exit, up to the turning point of what goes through 0, else nothing."""
    if situation.market.shortable:
        return leg.amount if leg.reduce_only else ZERO
    opposed = situation.position * leg.side.sign < 0
    return min(leg.amount, abs(situation.position)) if opposed else ZERO


# --- the limits ------------------------------------------------------------------------------------------------------


def at_a_price_to_believe(leg: Leg, limits: OrderLimits, situation: Situation) -> Verdict:
    """The price that the leg was planned at is near the last bar's close. A wrong price sells too much as easily as it buys too much."""
    if limits.price_deviation_max is None:
        return APPROVED
    away = abs(leg.price / situation.close - 1) if situation.close else Decimal("Infinity")
    return APPROVED if away <= limits.price_deviation_max else _refused(Reason.PRICE_DEVIATION_MAX, away, limits.price_deviation_max)


def with_others(leg: Leg, limits: OrderLimits, situation: Situation) -> Verdict:
    """Nothing is ordered that an order of our own could be the other side of: exchanges and regulators call that a wash trade."""
    return _refused(Reason.SELF_TRADE, Decimal(1), ZERO) if situation.opposing else APPROVED


def within_the_minute(leg: Leg, limits: OrderLimits, situation: Situation) -> Verdict:
    """At most `orders_per_minute` in 60 s, whatever makes the daemon want more."""
    most = limits.orders_per_minute
    if most is None or situation.in_minute < most or smaller_by(leg, situation) == leg.amount:
        return APPROVED
    return _refused(Reason.ORDERS_PER_MINUTE, Decimal(situation.in_minute + 1), Decimal(most))


def within_order_notional(leg: Leg, limits: OrderLimits, situation: Situation) -> Verdict:
    """One order is worth at most `order_notional_max`."""
    most = limits.order_notional_max
    worth = situation.worth(leg)
    if most is None or worth <= most:
        return APPROVED
    return _sliced(leg, leg.amount * most / worth, situation, Reason.ORDER_NOTIONAL_MAX, Finding(float(worth), float(most)))


def within_volume(leg: Leg, limits: OrderLimits, situation: Situation) -> Verdict:
    """Between two bars at most `volume_share_max` of the last one's volume is ordered. Without a bar, nobody knows how much that is."""
    if limits.volume_share_max is None:
        return APPROVED
    volume = situation.volume or ZERO
    wanted, most = situation.in_bar + leg.amount, volume * limits.volume_share_max
    if wanted <= most:
        return APPROVED
    share = wanted / volume if volume else Decimal("Infinity")
    finding = Finding(float(share), float(limits.volume_share_max))
    return _sliced(leg, most - situation.in_bar, situation, Reason.VOLUME_SHARE_MAX, finding, again=situation.in_bar > 0)


def within_day_notional(leg: Leg, limits: OrderLimits, situation: Situation) -> Verdict:
    """The orders of a UTC day are worth at most `day_notional_max`."""
    return _within_day(leg, limits.day_notional_max, situation, Reason.DAY_NOTIONAL_MAX, Decimal(1))


def within_day_turnover(leg: Leg, limits: OrderLimits, situation: Situation) -> Verdict:
    """Half the worth of a UTC day's orders is at most `turnover_day_max` of equity."""
    most = limits.turnover_day_max
    unit = 2 * max(situation.equity, ZERO)
    return _within_day(leg, None if most is None else most * unit, situation, Reason.TURNOVER_DAY_MAX, unit)


def far_from_liquidation(leg: Leg, limits: OrderLimits, situation: Situation) -> Verdict:
    """What makes a position of a swap larger brings none nearer to its liquidation than `liquidation_min`."""
    room = situation.room
    if room is None or leg.amount <= room:
        return APPROVED
    finding = Finding(float(situation.worth(leg)), float(room * leg.price * situation.rate))
    amount = situation.market.floor(room)
    if amount < situation.smallest:
        return Refused(Reason.LIQUIDATION_ROOM, finding)
    return Reduced(amount, Reason.LIQUIDATION_ROOM, (finding,))


ORDER: Final[tuple[OrderLimit, ...]] = (
    at_a_price_to_believe,
    with_others,
    within_the_minute,
    within_order_notional,
    within_volume,
    within_day_notional,
    within_day_turnover,
    far_from_liquidation,
)


# --- what they are made of -------------------------------------------------------------------------------------------


def _within_day(leg: Leg, most: Decimal | None, situation: Situation, reason: Reason, unit: Decimal) -> Verdict:
    """Of what is left of the day's room so much as fits, but never less than makes the holding smaller."""
    worth = situation.worth(leg)
    if most is None or situation.in_day + worth <= most:
        return APPROVED
    fits = max(leg.amount * (most - situation.in_day) / worth, smaller_by(leg, situation))
    if fits >= leg.amount:
        return APPROVED
    found = (situation.in_day + worth) / unit if unit else Decimal("Infinity")
    finding = Finding(float(found), float(most / unit) if unit else 0.0)
    amount = situation.market.floor(max(fits, ZERO))
    return Reduced(amount, reason, (finding,)) if amount >= situation.smallest else Refused(reason, finding)


def _sliced(leg: Leg, most: Decimal, situation: Situation, reason: Reason, finding: Finding, *, again: bool = False) -> Verdict:
    """The first slice (base units). An exit's is an order that the venue takes, and so is what it leaves, unless it comes `again`."""
    smallest = situation.smallest
    amount = situation.market.floor(max(most, ZERO))
    if smaller_by(leg, situation) == leg.amount:
        if leg.amount - amount < smallest:
            amount = situation.market.floor(leg.amount / 2)
        if amount < smallest and not again:
            amount = smallest if leg.amount >= 2 * smallest else leg.amount
    if amount < smallest and amount < leg.amount:
        return Refused(reason, finding)
    return Reduced(amount, reason, (finding,)) if amount < leg.amount else APPROVED


def _refused(reason: Reason, found: Decimal, most: Decimal) -> Refused:
    return Refused(reason, Finding(float(found), float(most)))
