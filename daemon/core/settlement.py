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
    parts = cost_parts(wave.orders, wave.book.rates, wave.decided)
    return WaveSettled(
        decision=wave.decision,
        targets=wave.weights,
        equity=account.equity(),
        sent=len(wave.orders),
        filled=sum(1 for t in wave.orders if t.booked > 0),
        refused=dict(wave.refused),
        left=dict(wave.left),
        off_target=off_target,
        cost_bps=parts.get("fee", 0.0) + parts.get("spread", 0.0),
        took_ms=(at - wave.decision.at) // timedelta(milliseconds=1),
        at=at,
        cost_parts=parts,
    )


def costs(fills: Iterable[Fill]) -> dict[str, Decimal]:
    """What trades have cost or brought, by quote currency."""
    found: dict[str, Decimal] = {}
    for fill in fills:
        quote = currencies(fill.symbol)[1]
        found[quote] = found.get(quote, ZERO) + fill.cost
    return found


def cost_parts(orders: Iterable[Tracked], rates: Mapping[str, Decimal], decided: Mapping[str, float]) -> dict[str, float]:
    """What trading cost, in basis points of what was traded, by part; nothing if nothing was traded.

    `fee`; `spread`: from the reference price to the price paid; `delay`: from the close that was decided on (`decided`, by symbol) to the
    reference price, where a close is known (Perold 1988, The Implementation Shortfall). Above 0 is against us.
    """
    fee = spread = delay = traded = 0.0
    for tracked in orders:
        order, rate = tracked.order, float(rates.get(currencies(tracked.order.symbol)[1], ONE))
        reference = tracked.booked * order.price
        moved = float(order.price) - decided.get(order.symbol, float(order.price))
        fee += rate * float(tracked.booked_fees)
        spread += rate * order.side.sign * float(tracked.booked_cost - reference)
        delay += rate * order.side.sign * float(tracked.booked) * moved
        traded += rate * float(reference)
    if not traded:
        return {}
    parts = {"fee": fee, "spread": spread} | ({"delay": delay} if decided else {})
    return {name: part / traded * 10_000 for name, part in parts.items()}
