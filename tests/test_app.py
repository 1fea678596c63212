"""The daemon in one process with its exchange: it starts, trades, answers, ends in order, and lets nothing die in silence."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast, get_args

import httpx
import pytest

from daemon.app import Daemon, lasting, routes, together
from daemon.config import load, resolve_secrets
from daemon.core import events as e
from daemon.core.orders import Trading
from daemon.io.clock import SystemClock
from daemon.io.exchange import Exchange, Fatal, NotSent, Unknown, VenueError
from daemon.io.journal import Journal, JournalFailed, read
from daemon.parts import Parts, StartRefused
from daemon.venue import Venue, VenueSettings
from daemon.worlds import build

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
KEYS = {"KEY": "venue-key", "SECRET": "venue-secret"}
PATIENCE_S = 15.0  # for what takes a second on an idle machine


def written(folder: Path, urls: Mapping[str, Any], *, mode: str = "sandbox", **sections: object) -> Path:
    """A configuration that leads to a venue and decides on every bar of a second; `sections` replace whole sections."""
    strategy = {
        "name": "momo",
        "use": "portfolio_momentum",
        "schedule": {"every": 1, "at_start": True},
        "params": {"lookback": 5, "rsi_period": 2, "top": 2},
    }
    keys = {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}
    content: dict[str, object] = {
        "name": "momo",
        "mode": mode,
        "live": {"i_understand": mode == "live"},
        "exchange": {"id": "binance", "ccxt": {"urls": urls}, **({} if mode == "paper" else {"credentials": keys})},
        "universe": {"quote": "USDT", "symbols": list(SYMBOLS)},
        "timeframe": "1s",
        "strategies": [strategy],
        "reconcile": {"every": "2s"},
        "journal": {"path": "momo.sqlite"},
        "api": {"port": 0},
    }
    path = folder / "momo.yaml"
    path.write_text(json.dumps(content | sections))  # JSON is YAML
    return path


class Run:
    """A daemon at work, its journal, and everything that went over its bus."""

    def __init__(self, config: Path, keys: Mapping[str, str] = KEYS) -> None:
        settings = load(config, {})
        secrets = resolve_secrets(settings, keys)
        self.path = config.with_name("momo.sqlite")
        self.clock = SystemClock()
        self.journal = Journal.open(self.path, instance=settings.name, mode=settings.mode, clock=self.clock)
        try:
            self.parts = build(settings, secrets, self.journal, self.journal.recover(), self.clock, {}, lambda _done, _all: None)
            self.daemon = Daemon(self.parts)
        except BaseException:
            self.journal.close()
            raise
        self.heard: list[e.Event] = []
        publish = self.daemon.bus.publish

        def overheard(event: e.Event) -> None:
            self.heard.append(event)
            publish(event)

        self.daemon.bus.publish = overheard  # type: ignore[method-assign]
        self.waves: list[e.WaveSettled] = []

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until something is so; an end of the daemon ends the wait with what ended it."""
        async with asyncio.timeout(PATIENCE_S):
            while not what():
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the daemon has ended")
                await asyncio.sleep(0.01)

    async def settled(self, sent: int = 1) -> e.WaveSettled:
        """The first wave that sent something."""
        await self.until(lambda: self.wave is not None and self.wave.sent >= sent)
        assert self.wave is not None
        return self.wave

    @property
    def wave(self) -> e.WaveSettled | None:
        """The newest settled wave."""
        return self.parts.manager.last_wave

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of its API."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{self.daemon.api.port}{path}")
        return answer.status_code, answer.json()

    async def start(self) -> None:
        """Begin, beside the test."""
        self.task = asyncio.create_task(self.daemon.run())
        await asyncio.sleep(0)

    async def ends(self) -> BaseException | None:
        """What the daemon ended with."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                await self.task
            except BaseExceptionGroup as group:
                return innermost(group)
        return None


def innermost(error: BaseException) -> BaseException:
    """The first failure of nested groups."""
    return innermost(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


@asynccontextmanager
async def at_work(config: Path, keys: Mapping[str, str] = KEYS, change: Callable[[Parts], None] = lambda _: None) -> AsyncIterator[Run]:
    """A daemon for the length of the block, stopped in order behind it; afterwards no task of it is left."""
    before = asyncio.all_tasks()
    run = Run(config, keys)
    change(run.parts)
    run.daemon = Daemon(run.parts)
    with run.journal:
        await run.start()
        try:
            yield run
        finally:
            began = time.monotonic()
            run.daemon.stop()
            with suppress(BaseExceptionGroup):
                await run.task
    assert time.monotonic() - began < 3.0
    await asyncio.sleep(0)
    assert {task.get_name() for task in asyncio.all_tasks() - before if not task.get_name().startswith("Task-")} == set()


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[Venue]:
    async with Venue(VenueSettings(data=None, interval="1s", markets=4, history=200)) as running:
        yield running
        assert running.audit() == []
