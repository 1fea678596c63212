"""Where the daemon calls: the hosts that its configuration implies, and nowhere else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.oneprocess import KEYS, at_work, exchange, written

Place = tuple[str, int]


class Ear:
    """Hears every connection that this process opens, and every name that it asks for; a hook cannot be taken back, so it is told when."""

    def __init__(self) -> None:
        self.places: set[Place] = set()
        self.names: set[str] = set()
        self.listening = False
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.listening:
            return
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            self.places.add(arguments[1][:2])
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            self.names.add(str(arguments[0]))

    @contextmanager
    def open(self) -> Iterator[None]:
        self.listening = True
        try:
            yield
        finally:
            self.listening = False


async def test_the_daemon_calls_nobody_whom_its_configuration_does_not_name(tmp_path: Path) -> None:
    """From its start over a settled wave to its end it connects to the exchange, the webhook and the heartbeat of its file alone."""

    async def hears(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", hears)
    ear = Ear()
    async with exchange() as venue, TestServer(application, host="127.0.0.1") as peer:
        told = f"http://127.0.0.1:{peer.port}"
        sections: dict[str, Any] = {"alerts": [{"webhook": {"env": "HOOK"}}], "heartbeat": {"url": {"env": "BEAT"}}}
        config = written(tmp_path, venue.ccxt_urls(), **sections)
        with ear.open():
            async with at_work(config, {**KEYS, "HOOK": f"{told}/hook", "BEAT": f"{told}/beat"}) as run:
                await run.settled()
                await run.until(lambda: ("127.0.0.1", peer.port) in ear.places)
        implied = {(urlsplit(url).hostname or "", urlsplit(url).port or 0) for url in (venue.url, venue.ws_url, told)}
    assert ear.places == implied
    assert ear.names <= {host for host, _ in implied}
