"""Telling: nothing that happens waits for its line, and every line comes, in order."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import structlog
from structlog.testing import capture_logs

from daemon.core.events import Event, OrderRefused, RebalanceRequested
from daemon.io.clock import SystemClock
from daemon.telling.lines import Line
from daemon.telling.narrator import Narrator
from daemon.telling.teller import Teller

AT = datetime(2026, 1, 2, tzinfo=UTC)


@contextmanager
def about() -> Iterator[None]:
    with structlog.contextvars.bound_contextvars(account="spot"):
        yield


def requests(*names: str) -> list[RebalanceRequested]:
    return [RebalanceRequested(name, AT) for name in names]


async def test_what_happens_is_told_in_order_a_moment_later() -> None:
    """No line is written while events are handled; all are a moment later, oldest first, by the one job that tells."""
    narrate, told = Narrator(), asyncio.Event()

    def heard(event: Event) -> tuple[Line, ...]:
        if isinstance(event, RebalanceRequested) and event.by == "eve":
            told.set()
        return narrate(event)

    teller = Teller(heard, about, SystemClock())
    job = asyncio.create_task(teller.run())
    with capture_logs() as lines:
        for event in requests("ann", "bob", "eve"):
            teller.hear(event)
        assert lines == []
        async with asyncio.timeout(10):
            await told.wait()
            await asyncio.sleep(0)
    job.cancel()
    assert [(line["event"], line["by"]) for line in lines] == [("rebalance.requested", name) for name in ("ann", "bob", "eve")]


@pytest.mark.made_up_lines
async def test_what_waits_is_told_before_what_is_told_directly() -> None:
    """A flush tells everything at once, and there is nothing left to tell after it."""
    teller = Teller(Narrator(), about, SystemClock())
    events: tuple[Event, ...] = (*requests("ann"), OrderRefused("o1", "funds", "", AT))
    for event in events:
        teller.hear(event)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        teller.flush()
        teller.flush()
    assert [line["event"] for line in lines] == ["rebalance.requested", "order.rejected"]
    assert {line["account"] for line in lines} == {"spot"}
