"""Alerts on real sockets and through the real log: a bad server costs nothing, and no secret leaves."""

import asyncio
import io
import json
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from random import Random
from typing import Any

import httpx
import pytest
import respx
import structlog
from aiohttp import web
from structlog.testing import capture_logs

from daemon.app import together
from daemon.io import logs
from daemon.io.alerts import FLUSH_S, INBOX_MAX, TIMEOUT_S, Alerts, Channel
from daemon.io.clock import SystemClock
from tests.io.hooks import IDENTITY, URL, channel, receiver, webhook
from tests.io.test_alerts_sieve import line
from tests.sim.virtual import run

CANARY = "cAnArY+s3cret/42"

# --- never in the way ------------------------------------------------------------------------------------------------


async def test_a_server_that_hangs_costs_nothing() -> None:
    """A thousand lines to a channel that never answers: each is heard in microseconds, the loop turns, and a stop takes its bound."""
    asked = asyncio.Event()

    async def never(_: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with receiver(never) as url:
        alerts = Alerts([webhook(url), webhook(url)], IDENTITY, SystemClock(), Random(1))
        tasks = [asyncio.create_task(job()) for _, job in alerts.jobs()]
        alerts.hear(line("exchange.refused"))
        async with asyncio.timeout(5):
            await asked.wait()
        began = time.perf_counter()
        for n in range(5 * INBOX_MAX):
            alerts.hear(line("exchange.refused", job=str(n)))
            if n % 100 == 0:
                await asyncio.sleep(0)
        assert time.perf_counter() - began < TIMEOUT_S  # nobody was waited for
        for one in alerts._channels:
            assert len(one._inbox) == INBOX_MAX
            assert one.dropped == 4 * INBOX_MAX
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        began = time.perf_counter()
        await alerts.close(together)
        assert time.perf_counter() - began < FLUSH_S + 5


async def test_a_server_that_drips_is_not_waited_for() -> None:
    """The bound is on the whole request: a server that sends a byte now and then gets no more time than one that is silent."""
    asked, gone = 0, asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        with suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Pad: " + b"x" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    one = Channel(webhook(url), IDENTITY, SystemClock(), Random(1), timeout_s=0.2)
    one.hear(line("exchange.refused"))
    with capture_logs() as said:
        began = time.perf_counter()
        await one.close()
        assert time.perf_counter() - began < 1
    async with asyncio.timeout(5):
        await gone.wait()
    server.close()
    assert asked == 1
    assert (said[0]["event"], said[0]["reason"]) == ("alert.failed", "TimeoutError")


async def test_a_stop_sends_what_waits() -> None:
    """What is queued when the job ends is tried once more: the last words of a daemon are the ones that matter."""
    heard: list[str] = []

    async def answer(body: dict[str, Any]) -> web.StreamResponse:
        heard.append(body["event"])
        return web.Response()

    async with receiver(answer) as url:
        alerts = Alerts([webhook(url)], IDENTITY, SystemClock(), Random(1))
        for event in ("daemon.failed", "daemon.stopping", "trading.halted"):
            alerts.hear(line(event))
        await alerts.close(together)
    assert heard == ["daemon.failed", "daemon.stopping", "trading.halted"]


# --- through the log -------------------------------------------------------------------------------------------------


@pytest.fixture
def clean_logs() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in ("", *logs.CAPPED, *logs.HUSHED)}
    yield
    logs.shutdown()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@respx.mock
@pytest.mark.usefixtures("clean_logs")
@pytest.mark.made_up_lines
def test_no_secret_leaves_and_no_address_is_told() -> None:
    """A canary in any field, key or library's message is *** in every body; the address is in no line, whatever fails or is told."""
    route = respx.post(URL).mock(side_effect=[httpx.ConnectError(f"cannot reach {URL}"), *[httpx.Response(200)] * 9])
    stream = io.StringIO()
    one = channel(level="warning")

    async def script() -> None:
        logs.configure("info", "json", "demo", (CANARY, URL), stream)
        logs.listen(one_eared(one))
        log = structlog.get_logger()
        log.error("order.surprise", what=f"key {CANARY}!", nested={CANARY: [CANARY]}, url="https://x/?apiKey=abcdef&signature=0123")
        logging.getLogger("ccxt.base").warning("GET %s", CANARY)
        try:
            raise ValueError(CANARY)
        except ValueError:
            log.exception("api.failed", path="/x")
        await asyncio.sleep(60)
        logs.listen()
        logs.shutdown()

    at_work_with_logs(one, script)
    sent = [call.request.content.decode() for call in route.calls]
    assert {json.loads(body)["event"] for body in sent} == {"order.surprise", "library.message", "api.failed"}
    for text in (*sent, stream.getvalue()):
        assert not any(secret in text for secret in (CANARY, "cAnArY%2B", "abcdef", "0123", "hooks.example"))
    assert "alert.failed" in stream.getvalue()
    assert "alert.sent" in stream.getvalue()


def one_eared(one: Channel) -> Alerts:
    """All channels there are: this one."""
    alerts = Alerts((), IDENTITY, SystemClock(), Random(1))
    alerts._channels.append(one)
    return alerts


def at_work_with_logs(one: Channel, script: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """As `at_work`, with the log as it is configured."""

    async def main() -> None:
        job = asyncio.create_task(one.run())
        await script()
        job.cancel()
        await asyncio.wait((job,))
        await one.close()

    run(main())


@pytest.mark.usefixtures("clean_logs")
@pytest.mark.made_up_lines
def test_the_ear_hears_what_is_not_written() -> None:
    """Lines below the log's level, and those that its limiter holds back, are told too; debug is not, and no more is written."""

    class Ear:
        def __init__(self) -> None:
            self.lines: list[Any] = []

        def wants(self, level: str, event: str) -> bool:
            return event != "slice.closed"

        def hear(self, line: Any) -> None:
            self.lines.append(line)

    ear, stream = Ear(), io.StringIO()
    logs.configure("error", "json", "demo", (), stream)
    logs.listen(ear)
    log = structlog.get_logger()
    for _ in range(20):
        log.error("exchange.refused", job="bars")
    log.info("trading.resumed", scope="account")
    log.info("slice.closed")
    log.debug("bar.closed")
    logs.listen()
    log.info("trading.resumed", scope="account")
    logs.shutdown()
    assert [said["event"] for said in ear.lines] == ["exchange.refused"] * 20 + ["trading.resumed"]
    assert ear.lines[-1] | {"ts": ""} == {"ts": "", "level": "info", "event": "trading.resumed", "name": "demo", "scope": "account"}
    written = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [said["event"] for said in written if said["event"] != "log.suppressed"] == ["exchange.refused"] * 5


async def test_lines_of_other_threads_are_heard() -> None:
    """A library that logs from a thread of its own wakes the job too."""
    heard = asyncio.Event()

    async def answer(_: dict[str, Any]) -> web.StreamResponse:
        heard.set()
        return web.Response()

    async with receiver(answer) as url:
        one = Channel(webhook(url), IDENTITY, SystemClock(), Random(1))
        job = asyncio.create_task(one.run())
        await asyncio.sleep(0.05)
        await asyncio.to_thread(one.hear, line("library.message"))
        async with asyncio.timeout(5):
            await heard.wait()
        job.cancel()
        await asyncio.wait((job,))
        await one.close()
