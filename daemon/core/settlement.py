"""Settlement: the account of a wave that has been worked off: what it did, what it left and why, and what trading cost.

Rule: values in, one value out; costs are judged against the reference prices of the plan, and above 0 is against us.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from daemon.core.account import Account
from daemon.core.events import WaveSettled
from daemon.core.model import ZERO, Fill, currencies
from daemon.core.ordertable import Tracked
from daemon.core.planner_inputs import ONE, Rules
from daemon.core.wave import Wave


def settled(wave: Wave, account: Account, rules: Rules, at: datetime, *, superseded: bool) -> WaveSettled:
    """What is told of a wave that ends now; `superseded`: a newer decision waits."""
    off_target = account.off_target(wave.weights, wave.decision.keep)
    wave.explain(off_target, account.capital(), rules, account.markets, superseded=superseded)
    planned_at = {child.order.id: work.leg.price for work in wave.works for child in work.children}
    parts = cost_parts(wave.orders, wave.book.rates, wave.decided, planned_at)
    return WaveSettled(
        decision=wave.decision,
        targets=wave.weights,
        equity=account.equity(),
        sent=len(wave.orders),
        filled=sum(1 for t in wave.orders if t.booked > 0),
        refused=dict(wave.refused),
        left=dict(wave.left),
        off_target=off_target,
        cost_bps=sum(bps for part, bps in parts.items() if part != "delay"),
        took_ms=max(0, (at - wave.decision.at) // timedelta(milliseconds=1)),  # the clock may have been set back between the two
        at=at,
        cost_parts=parts,
        maker_ratio=maker_ratio(wave.orders, wave.book.rates),
    )


def costs(fills: Iterable[Fill]) -> dict[str, Decimal]:
    """What trades have cost or brought, by quote currency."""
    found: dict[str, Decimal] = {}
    for fill in fills:
        quote = currencies(fill.symbol)[1]
        found[quote] = found.get(quote, ZERO) + fill.cost
    return found


def cost_parts(
    orders: Iterable[Tracked], rates: Mapping[str, Decimal], decided: Mapping[str, float], planned_at: Mapping[str, Decimal]
) -> dict[str, float]:
    """What trading cost, in basis points of what was traded, by part; nothing if nothing was traded.

    `fee`; `spread`: from the reference price of the order to the price paid; `timing`: from the price of the plan (`planned_at`, by order)
    to the reference price, where orders were worked on; `delay`: from the close that was decided on (`decided`, by symbol) to the price of
    the plan, where a close is known (Perold 1988, The Implementation Shortfall). Above 0 is against us.
    """
    fee = spread = timing = delay = traded = 0.0
    for tracked in orders:
        order, rate = tracked.order, float(rates.get(currencies(tracked.order.symbol)[1], ONE))
        reference = tracked.booked * order.price
        planned = planned_at.get(order.id, order.price)
        moved = float(planned) - decided.get(order.symbol, float(planned))
        fee += rate * float(tracked.booked_fees)
        spread += rate * order.side.sign * float(tracked.booked_cost - reference)
        timing += rate * order.side.sign * float(tracked.booked * (order.price - planned))
        delay += rate * order.side.sign * float(tracked.booked) * moved
        traded += rate * float(reference)
    if not traded:
        return {}
    parts = {"fee": fee, "spread": spread} | ({"timing": timing} if planned_at else {}) | ({"delay": delay} if decided else {})
    return {name: part / traded * 10_000 for name, part in parts.items()}


def maker_ratio(orders: Iterable[Tracked], rates: Mapping[str, Decimal]) -> float:
    """The share of what was traded, by worth, that orders resting in the book traded; 0 where nothing was."""
    worths = [(t.order.post_only, float(t.booked_cost * rates.get(currencies(t.order.symbol)[1], ONE))) for t in orders]
    whole = sum(worth for _, worth in worths)
    return sum(worth for rested, worth in worths if rested) / whole if whole else 0.0
