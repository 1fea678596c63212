"""Webhooks to try alerts on: channels of virtual time, and a server on a real socket."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

from aiohttp import web

from daemon.io.alerts import Channel, Recipient
from tests.sim.virtual import SimClock

URL = "https://hooks.example/services/cAnArY-of-the-address"
IDENTITY = {"name": "demo", "mode": "live", "exchange": "binance"}


def webhook(url: str = URL, level: str = "error", every: float = 0.001) -> Recipient:
    return Recipient("alerts[0]", "webhook", url, url.startswith("http:"), level, (), every)


def channel(**given: Any) -> Channel:
    return Channel(webhook(**given), IDENTITY, SimClock(datetime(2026, 1, 2, 12, tzinfo=UTC)), Random(1))


@asynccontextmanager
async def receiver(answer: Callable[[dict[str, Any]], Coroutine[Any, Any, web.StreamResponse]], path: str = "/hook") -> AsyncIterator[str]:
    """A real server on a real socket that listens at `path`; its address, of /hook."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await answer(await request.json())

    app = web.Application()
    app.router.add_post(path, handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()
