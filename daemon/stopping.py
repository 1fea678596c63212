"""Stopping: the last look of a stop: what is left open at the exchange, by reading it and not by believing that cancels worked.

Rule: it is told what may be left, and of what; nothing is waited for beyond the time of the stop.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import structlog

from daemon.core.ordertable import State
from daemon.io.exchange import VenueError
from daemon.parts import Parts

log = structlog.get_logger()

# So long the reading may take where nothing of ours is open as far as is known; an exchange that is away holds up no stop.
READ_S: Final = 1.5
AGAIN_S: Final = 0.3


async def last_look(p: Parts, within_s: float, hurried: Callable[[], bool]) -> None:
    """Read the open orders until none of ours is among them (or, where they are kept, once), and tell what there may be."""
    left: Mapping[str, str] | None = None
    known = any(t.open for t in p.manager.table)
    if p.account.markets and not hurried():
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s if known else min(within_s, READ_S)):
                left = await _left(p)
                while (left is None or left) and not (hurried() or (left and p.manager.keeps_open)):
                    await p.clock.sleep(AGAIN_S)
                    left = await _left(p)
    _tell(p, left)


async def _left(p: Parts) -> Mapping[str, str] | None:
    """The symbols of our open orders by id; None: they could not be read. What no record knows of is cancelled here, unless it is kept."""
    try:
        listed = await p.exchange.open_orders()
    except VenueError:
        return None
    found: dict[str, str] = {}
    for report in listed:
        tracked = p.manager.table.get(report.order_id, report.symbol, report.venue_id)
        if tracked is None and (not report.order_id.startswith(p.reconciler.ours) or p.reconciler.twins.is_theirs(report)):
            continue
        found[report.order_id if tracked is None else tracked.order.id] = report.symbol
        if not p.manager.keeps_open and (tracked is None or tracked.ended):
            with suppress(VenueError):  # the next reading says what has come of it
                await p.exchange.cancel(report.order_id, report.symbol)
    return found


def _tell(p: Parts, left: Mapping[str, str] | None) -> None:
    """What was read; and what may be open although it was not, or could not be."""
    orders = [(t.order, t.state) for t in p.manager.table if not t.ended]
    if p.manager.table.moved_at is None:  # it was never filled: the orders of the last run are known from the journal alone
        orders = [(order, State.UNKNOWN) for order, _ in p.recovered.open_orders]
    unsure = {order.id: order.symbol for order, state in orders if left is None or state is State.UNKNOWN}
    may_be = {**(left or {}), **unsure}
    if left and p.manager.keeps_open and not unsure:
        log.info("daemon.kept_open", orders=left)
    elif may_be:
        text = "these orders may be open at the exchange; the next start takes them up"
        log.warning("daemon.left_open", orders=may_be, text=text)
    elif left is not None:
        log.info("daemon.none_open")
