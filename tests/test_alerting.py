"""The daemon and its channels: who is told of a halt, of a failure and of the end, and that a channel that hangs delays nothing."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daemon.core import events as e
from daemon.core.states import Hold, Level
from daemon.io import logs
from daemon.venue import Venue
from tests.io.hooks import receiver
from tests.oneprocess import KEYS, NOWHERE, at_work, exchange, opened, written
from tests.test_app import BUG, raising, tripped

AWAY = {side: {"public": f"{NOWHERE}/api/v3", "private": f"{NOWHERE}/api/v3"} for side in ("api", "test")}


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with exchange() as running:
        yield running


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log as the daemon's process has it, written to memory."""
    levels = {name: logging.getLogger(name).level for name in ("", *logs.CAPPED, *logs.HUSHED)}
    stream = io.StringIO()
    logs.configure("info", "json", "momo", KEYS.values(), stream)
    yield stream
    logs.shutdown()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


class Person:
    """Whoever reads a channel: keeps what they are told, or answers nobody."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.told: list[dict[str, Any]] = []
        self.asked = 0
        self._deaf = deaf

    async def hear(self, body: dict[str, Any]) -> web.Response:
        self.asked += 1
        if self._deaf:
            await asyncio.Event().wait()
        self.told.append(body)
        return web.Response()

    @property
    def events(self) -> list[str]:
        return [body["event"] for body in self.told]


async def test_a_person_is_told_of_start_halt_and_end(venue: Venue, tmp_path: Path, log: io.StringIO) -> None:
    """From an address in the environment to bodies on a socket: ready, a halt with its reason, and the stop, before the end."""
    one = Person()
    async with receiver(one.hear) as url:
        config = written(tmp_path, venue.ccxt_urls(), alerts=[{"webhook": {"env": "HOOK"}, "events": ["wave.settled"]}])
        async with at_work(await opened(config), {**KEYS, "HOOK": url}) as run:
            await run.settled()
            now = run.parts.clock.now()
            run.daemon.traders[0].publish(
                e.HoldPlaced(Hold(level=Level.HALTED, code="credentials", text="the key was revoked", since=now), now)
            )
            await run.until(lambda: "trading.halted" in one.events)
        assert "daemon.stopping" in one.events
    assert {"daemon.ready", "wave.settled"} <= set(one.events)
    halt = next(body for body in one.told if body["event"] == "trading.halted")
    assert (halt["instance"], halt["mode"], halt["level"]) == ("momo", "sandbox", "error")
    assert "the key was revoked" in halt["fields"]["reason"]
    logs.shutdown()
    assert '"event":"alert.sent"' in log.getvalue()
    assert not any(secret in log.getvalue() or secret in str(one.told) for secret in KEYS.values())


@pytest.mark.usefixtures("log")
async def test_a_channel_that_hangs_delays_nothing(venue: Venue, tmp_path: Path) -> None:
    """With two channels that never answer, waves settle and a stop keeps its time."""
    one = Person(deaf=True)
    async with receiver(one.hear) as url:
        channel = {"webhook": url, "level": "warning", "events": ["wave.", "slice."]}
        async with at_work(await opened(written(tmp_path, venue.ccxt_urls(), alerts=[channel, channel]))) as run:
            first = await run.settled()
            await run.until(lambda: one.asked > 0)
            await run.settled(sent=0, after=first.decision.id)
    assert one.told == []


async def test_what_ends_a_daemon_is_told(venue: Venue, tmp_path: Path, log: io.StringIO) -> None:
    """A programmer's error reaches the person before the process ends with it."""
    one = Person()
    async with receiver(one.hear) as url:
        config = written(tmp_path, venue.ccxt_urls(), alerts=[{"webhook": url}])
        async with at_work(config, change=tripped("balances", raising(BUG), first=2)) as run:
            assert isinstance(await run.end(), ZeroDivisionError)
    failed = next(body for body in one.told if body["event"] == "daemon.failed")
    assert failed["fields"]["problems"] == ["ZeroDivisionError: a programmer's error"]
    logs.shutdown()
    assert '"event":"daemon.failed"' in log.getvalue()


@pytest.mark.usefixtures("log")
async def test_channels_are_up_before_the_exchange(tmp_path: Path) -> None:
    """While the exchange is away nobody is left without word: the jobs run from the start, and the stop is told."""
    one = Person()
    async with receiver(one.hear) as url:
        async with at_work(written(tmp_path, AWAY, alerts=[{"webhook": url, "level": "warning"}])) as run:
            await run.until(lambda: "exchange.unreachable" in one.events)
        assert one.events[-1] == "daemon.stopping"
