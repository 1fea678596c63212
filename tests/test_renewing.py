"""Renewing, over real sockets and with real processes: what is got ready for a reload that never counts leaves nothing behind."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.io.api import Impossible
from daemon.venue import Venue
from tests import ownfiles
from tests.oneprocess import Run, at_work, exchange, written

HOLDS = {"name": "holds", "use": "equal_weight", "share": 0.5, "schedule": {"every": 86_400}}


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with exchange() as running:
        yield running


def configured(folder: Path, venue: Venue, *, with_own: bool) -> Path:
    """One that ships, and one of the user's own beside it."""
    path = ownfiles.written(folder, "behaves")
    own = {"name": "mine", "use": f"./{path.name}:Mine", "share": 0.4, "schedule": {"every": 1}}
    return written(folder, venue.ccxt_urls(), strategies=[HOLDS, own] if with_own else [HOLDS])


async def ready(run: Run) -> None:
    """Until the start is over; from then on the exchange answers no question for bars."""
    await run.until(lambda: run.daemon.views.ready()[0])

    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    run.parts.exchange.bars = never  # type: ignore[method-assign]


async def process_of(run: Run) -> int:
    """The process of the strategy that is got ready."""

    def pids() -> list[int]:
        coming = run.daemon.traders[0].renewing._coming
        return [worker.pid for worker in coming.workers if worker.pid] if coming else []

    await run.until(lambda: bool(pids()))
    return pids()[0]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_reload_that_is_taken_back_leaves_no_process(venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its history is read, the file is restored: the process ends, whoever has asked is told, and what ran runs on."""
    async with at_work(configured(tmp_path, venue, with_own=False)) as run:
        await ready(run)
        configured(tmp_path, venue, with_own=True)
        asked = asyncio.create_task(run.daemon.reloading.reload())
        pid = await process_of(run)
        configured(tmp_path, venue, with_own=False)
        assert "has not changed" in await run.daemon.reloading.reload()
        with pytest.raises(Impossible, match="meanwhile"):
            await asked
        assert not alive(pid)
        assert run.parts.portfolio.names == ("holds",)

        monkeypatch.setattr("daemon.reloading.ANSWER_S", 0.01)
        configured(tmp_path, venue, with_own=True)
        assert "once mine can decide" in await run.daemon.reloading.reload()
        pid = await process_of(run)
    assert not alive(pid), "the end of the daemon is the end of all its processes"
