"""Restoring: the journal of earlier processes becomes what the parts of this one know.

Rule: the same facts through the same code as when they happened; nothing is concluded here that a running daemon would not conclude.
"""

from dataclasses import replace

from daemon.commander import APPROVED
from daemon.core import curves, groups, membership
from daemon.core import events as e
from daemon.core.breakers.prices import AGREED
from daemon.core.model import Fill
from daemon.io.ccxt_epochs import Epoch
from daemon.io.journal import Recovered
from daemon.parts import Parts


def restored(p: Parts) -> list[e.Event]:
    """Fold the journal: holdings, orders that may be alive, the decision that was being worked on. Returns what is to be told of it."""
    record = p.recovered
    p.portfolio.restore(record.flows, record.fills, record.bookings, record.splits, record.order_ids)
    p.curves.restore(record.values.get(curves.KEY), record.flows, record.bookings)
    fills: dict[str, list[e.OrderFilled]] = {}
    for fill in record.fills:
        fills.setdefault(record.owner(fill), []).append(e.OrderFilled(fill, fill.at))
    p.manager.approval.given = int(record.values.get(APPROVED, "0"))
    for stray in fills.pop("", []):
        p.manager.follower.learn(stray)  # kept until an order turns out to be theirs
    p.breakers.restore(record.values.get(AGREED))
    conclusions: list[e.Event] = [*p.breakers.begin(p.clock.now())]
    for order, facts in record.open_orders:
        conclusions += p.manager.follower.replay(order, [*fills.get(order.id, []), *facts])
    conclusions += p.manager.follower.doubt(p.clock.now())
    p.manager.groups.restore(record.values.get(groups.KEY))
    p.manager.guard.restore(record.traded())
    p.analyzer.restore(high=record.correlation_high)
    p.membership.restore(record.values.get(membership.KEY))
    p.breakers.follow(p.membership.followed)
    p.runner.restore(record.last_decision, record.began)
    if record.last_decision is not None:
        overtaken = p.runner.overtaken(record.last_decision, p.clock.now())
        p.manager.restore(
            record.last_decision,
            record.attempts,
            unfinished=record.open_decision is not None and not overtaken,
            overtaken=overtaken,
            fills=record.fills,
            last_wave=record.last_wave,
        )
        p.manager.bench.restore(record.last_decision, record.parents, record.recent_orders)
        p.analyzer.resume(record.last_decision, p.manager.targets)
    p.reconciler.since(record.last_fill_at or max((f.at for f in record.flows), default=None), newest_trade(record))
    if p.identity["mode"] != "shadow":  # which trades nothing, and may well stand beside one that does
        p.reconciler.twins.begin(p.clock.now(), (order.id for order in record.recent_orders))
    return [*conclusions, *p.manager.sleeves.hand_over(p.clock.now())]


def newest_trade(record: Recovered) -> Fill | None:
    """The newest trade of an order of ours, with that order's id, that the venue should know of; None: there is none."""
    epoch = Epoch.of(record.values)
    mine = ((fill, record.owner(fill)) for fill in record.fills if epoch is None or fill.at >= epoch.began)
    return max((replace(fill, order_id=owner) for fill, owner in mine if owner), key=lambda fill: fill.at, default=None)
