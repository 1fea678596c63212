"""The venue as a server on loopback.

Rule: one task, the pump, drives everything that happens by itself (candles close, resting orders fill, pings go out); it is born in
`start` and has ended when `stop` returns. If it fails, `stop` and `serve` raise what made it fail.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Self

from aiohttp import web

from daemon.venue import admin, rest
from daemon.venue.actions import act
from daemon.venue.faces import FACES
from daemon.venue.intervals import INTERVALS
from daemon.venue.listeners import Listeners
from daemon.venue.settings import VenueSettings
from daemon.venue.streams import Hub
from daemon.venue.urls import ccxt_urls

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]
CATCH_UP_MAX = 120  # closed rows sent late after the process was held up; older ones are left to REST, like at a venue that was away
UPDATE_MIN, UPDATE_MAX = 250, 1000  # ms between two updates of a forming candle


class Venue:
    """An exchange that speaks the wire protocol of Binance's spot, or of its USD-M futures.

    `clock` gives seconds since the epoch, `sleep` waits that clock's seconds; prices, fills and ids follow from the settings and the clock.
    """

    def __init__(self, settings: VenueSettings, clock: Clock = time.time, sleep: Sleep = asyncio.sleep) -> None:
        self.settings = settings
        self.face = FACES[settings.market]
        self.exchange = self.face.exchange(settings, clock)
        self.hub = Hub(self.exchange, self.face.tickers)
        self.listeners = Listeners(self.exchange, self.hub, self.face.interface.calls)
        self._sleep = sleep
        step = INTERVALS[settings.interval]
        self._beat = min(max(step // 2, UPDATE_MIN), UPDATE_MAX)
        self._closed = self.exchange.tape.index(self.exchange.started)  # rows before this one have been sent as closed
        self._pinged = self.exchange.started
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._address = ("", 0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. OSError if the port is taken."""
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._address = self._runner.addresses[0][:2]
        self._task = asyncio.create_task(self._pump(), name="venue pump")

    async def stop(self) -> None:
        """Close every connection and end; raises what the pump died of."""
        task, runner, self._task, self._runner = self._task, self._runner, None, None
        await asyncio.gather(*self._closing)
        if runner is not None:
            await self.listeners.close_all()
            await runner.cleanup()
        if task is None:
            return
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()):
            raise error

    async def wait(self) -> None:
        """Wait until the venue fails; a venue that is well never ends by itself."""
        if self._task is not None:
            await asyncio.shield(self._task)

    @property
    def url(self) -> str:
        """http://HOST:PORT."""
        return f"http://{self._address[0]}:{self._address[1]}"

    @property
    def ws_url(self) -> str:
        """ws://HOST:PORT."""
        return f"ws://{self._address[0]}:{self._address[1]}"

    def ccxt_urls(self) -> dict[str, Any]:
        """The `urls` for the constructor of ccxt's binance: normal, sandbox and demo mode all lead here."""
        return ccxt_urls(self.url, self.ws_url, self.settings.market)

    def audit(self) -> list[str]:
        """What is wrong with the books, one sentence each; empty when they agree."""
        return self.face.audit(self.exchange)

    def state(self) -> dict[str, Any]:
        """The whole state as JSON values."""
        return admin.state(self)

    def pump(self) -> None:
        """Do everything that is due now: close rows in order, fill resting orders, send what is forming, ping."""
        self.act()
        now = self.exchange.now()
        live = self.exchange.tape.index(now)
        boundary = self._closed < live
        self._closed = max(self._closed, live - CATCH_UP_MAX)
        while self._closed < live:
            self.hub.close_row(self._closed)
            self._closed += 1
        self.exchange.advance(now)
        self.hub.update(now, candles=not boundary)
        if now - self._pinged >= self.settings.ping_s * 1000:
            self._pinged = now
            self.listeners.ping_all(now)

    def act(self) -> None:
        """Do what faults are to do once, and now."""
        act(self.exchange, self.face.place, self._close)

    def _close(self, code: int, kinds: Collection[str]) -> None:
        task = asyncio.create_task(self.listeners.close_all(code, kinds), name="venue close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _pump(self) -> None:
        due = self.exchange.now()
        while True:
            due = max(due, self.exchange.now()) // self._beat * self._beat + self._beat
            while (left := due - self.exchange.now()) > 0:
                await self._sleep(left / 1000)
            self.pump()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 20)
        for start in ("", "/public", "/market", "/private"):
            for path in ("/ws", "/ws/{name:.*}", "/stream", "/stream/{name:.*}"):
                app.router.add_get(start + path, self.listeners.serve_stream)
        app.router.add_get("/ws-api/v3", self.listeners.serve_api)
        admin.add_routes(app, self)
        app.router.add_route("*", "/{path:.*}", self._rest)
        return app

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        return await rest.serve(self.face.interface, self.exchange, request, self._sleep)


async def serve(settings: VenueSettings, host: str = "127.0.0.1", port: int = 0, ready: Callable[[Venue], None] | None = None) -> None:
    """Run a venue until cancelled; `ready` is told when it listens."""
    venue = Venue(settings)
    await venue.start(host, port)
    try:
        if ready is not None:
            ready(venue)
        await venue.wait()
    finally:
        await venue.stop()
