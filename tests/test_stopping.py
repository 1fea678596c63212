"""Stopping: what the last look tells of orders that may be open."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from daemon.core.ordertable import OrderTable, Saw
from daemon.parts import Parts
from daemon.stopping import last_look
from tests.io.journal_facts import an_order
from tests.io.tape_venue import VirtualClock, run

ORDER = an_order()


class Empty:
    """An exchange that shows no open order."""

    async def open_orders(self) -> list[Any]:
        """None."""
        return []


def looked(table: OrderTable, *, read: bool) -> list[str]:
    """The events of a stop, where the last run has left the order open; `read`: the exchange was reached."""
    manager = SimpleNamespace(table=table, keeps_open=False)
    record = SimpleNamespace(open_orders=[(ORDER, ())])
    account = SimpleNamespace(markets={"BTC/USDT": None} if read else {})
    parts = SimpleNamespace(manager=manager, recovered=record, account=account, exchange=Empty(), clock=VirtualClock())
    with capture_logs() as lines:
        run(last_look(cast("Parts", parts), 15.0, lambda: False))
    return [line["event"] for line in lines]


@pytest.mark.parametrize(("saw", "told"), [(Saw.FULL, "daemon.none_open"), (None, "daemon.left_open")])
def test_an_order_of_the_last_run_is_feared_for_until_its_end_is_known(saw: Saw | None, told: str) -> None:
    """What the last run left open and this one saw end is not told as open; what is in doubt is, though no list shows it."""
    table = OrderTable()
    tracked = table.add(ORDER)
    for step in (Saw.AMBIGUITY, saw):
        assert step is None or tracked.learn(step)
    if tracked.ended:
        tracked.reported = tracked.booked = ORDER.amount
        table.close(tracked)
    assert looked(table, read=True) == [told]


def test_the_orders_of_the_last_run_are_told_where_nothing_was_read() -> None:
    """A start that never came to its journal's orders tells what they are."""
    assert looked(OrderTable(), read=False) == ["daemon.left_open"]
