"""Alerts by apprise: what it is told arrives, a dead service costs nothing, and no secret of an address is ever told."""

import asyncio
import io
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog
from aiohttp import web
from typer.testing import CliRunner

from daemon.app import together
from daemon.assembly.channels import recipients
from daemon.cli.main import app
from daemon.config import ConfigError, Secret, Secrets, load, resolve_secrets
from daemon.io import logs
from daemon.io.alerts import Alerts, Channel, Recipient
from daemon.io.alerts_apprise import NoApprise, known
from daemon.io.clock import SystemClock
from tests.io.hooks import IDENTITY, receiver
from tests.io.test_alerts_sieve import line
from tests.io.test_alerts_wire import clean_logs
from tests.oneprocess import written

CANARY = "cAnArYs3cret42"
TOKEN = "cAnArYtok3n99"

__all__ = ["clean_logs"]  # a fixture that counts in this file too

needs_apprise = pytest.mark.skipif(find_spec("apprise") is None, reason="the extra `alerts` is not installed: make alerts")


def recipient(url: str, level: str = "error") -> Recipient:
    return Recipient("alerts[0]", "apprise", url, local=True, level=level, events=(), min_interval_s=0.001)


def by_apprise(url: str) -> str:
    """The same address as apprise writes it, with a password in it."""
    return url.replace("http://", f"json://ann:{CANARY}@") + f"/{TOKEN}"


@asynccontextmanager
async def listener(answer: Callable[[dict[str, Any]], Coroutine[Any, Any, web.StreamResponse]]) -> AsyncIterator[str]:
    """A service that apprise reaches at a path with a token in it."""
    async with receiver(answer, path=f"/hook/{TOKEN}") as url:
        yield by_apprise(url)


# --- in the configuration --------------------------------------------------------------------------------------------


def test_without_apprise_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever configures it without the extra is told at the start what to install, not at the first alert."""
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(NoApprise, match="needs apprise, which is not installed; run: pip install 'rebalanced\\[alerts\\]'"):
        known("json://localhost")
    config = written(tmp_path, {}, mode="paper", alerts=[{"apprise": {"env": "HOOK"}}])
    result = CliRunner().invoke(app, ["alert-test", str(config)], env={"HOOK": f"tgram://{CANARY}/1"})
    assert (result.exit_code, result.output.count("\n"), CANARY in result.output) == (78, 1, False)
    assert "alerts[0].apprise needs apprise" in result.output


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"apprise": f"tgram://{CANARY}/1"}, "alerts[0].apprise is not a reference to a secret"),
        ({"apprise": {"env": "HOOK"}, "webhook": {"env": "HOOK"}}, "alerts[0] has not exactly one address; write webhook or apprise"),
        ({"level": "error"}, "alerts[0] has not exactly one address; write webhook or apprise"),
    ],
)
def test_an_address_is_given_by_reference_and_once(entry: dict[str, Any], part: str, tmp_path: Path) -> None:
    """What apprise is given holds keys, so it does not stand in the file; it is not repeated where it does."""
    result = CliRunner().invoke(app, ["check", "--offline", str(written(tmp_path, {}, mode="paper", alerts=[entry]))])
    assert (result.exit_code, part in result.output, CANARY in result.output) == (78, True, False), result.output


def test_what_a_reference_leads_to_is_no_address(tmp_path: Path) -> None:
    """It is told which key refers to what is none, without repeating it."""
    config = written(tmp_path, {}, mode="paper", alerts=[{"apprise": {"env": "HOOK"}}])
    result = CliRunner().invoke(app, ["alert-test", str(config)], env={"HOOK": CANARY})
    assert (result.exit_code, "alerts[0].apprise refers to what is not an address" in result.output, CANARY in result.output) == (
        78,
        True,
        False,
    )


@pytest.mark.parametrize("url", [f"tgram://{CANARY}/12315544", f"mailto://ann:{CANARY}@mail.example", f"slack://a/{CANARY}/x?to={TOKEN}"])
def test_each_part_of_an_address_is_kept_out_of_texts(url: str, tmp_path: Path) -> None:
    """A library that tells of a token alone is found out too, wherever in the address the token stands."""
    secrets = resolve_secrets(load(written(tmp_path, {}, mode="paper", alerts=[{"apprise": {"env": "HOOK"}}]), {}), {"HOOK": url})
    assert {url, CANARY} <= set(secrets.values())


# --- with apprise ----------------------------------------------------------------------------------------------------


@needs_apprise
def test_an_address_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """At the start, in one sentence without the address."""
    config = load(written(tmp_path, {}, mode="paper", alerts=[{"apprise": {"env": "HOOK"}}]), {})
    with pytest.raises(ConfigError) as refused:
        recipients(config, resolve_secrets(config, {"HOOK": f"nosuch://{CANARY}/x"}))
    (problem,) = refused.value.problems
    assert ("alerts[0].apprise refers to an address that apprise does not know" in problem, CANARY in problem) == (True, False)


@needs_apprise
async def test_what_is_told_arrives() -> None:
    """Level, title and text come to the service, in the order in which they were heard."""
    heard: list[dict[str, Any]] = []

    async def answer(body: dict[str, Any]) -> web.StreamResponse:
        heard.append(body)
        return web.Response()

    async with listener(answer) as url:
        alerts = Alerts([recipient(url)], IDENTITY, SystemClock(), Random(1))
        for event in ("daemon.failed", "trading.halted"):
            alerts.hear(line(event))
        await alerts.close(together)
    assert [body["title"].rpartition(" ")[2] for body in heard] == ["daemon.failed", "trading.halted"]
    assert heard[0]["message"].startswith(f"{IDENTITY['name']} ({IDENTITY['mode']}) ")


@needs_apprise
async def test_a_service_that_hangs_costs_nothing() -> None:
    """The loop turns while apprise waits, an attempt has its bound, and one thread is all that it takes."""
    over = asyncio.Event()

    async def never(_: dict[str, Any]) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    async with listener(never) as url:
        one = Channel(recipient(url), IDENTITY, SystemClock(), Random(1), timeout_s=0.3)
        began = time.monotonic()
        asked, turns = asyncio.create_task(one.test(line("x.y"))), 0
        while not asked.done():
            await asyncio.sleep(0.01)
            turns += 1
        failure = await asked
        over.set()
    assert failure is not None
    assert (failure.reason, turns > 3) == ("TimeoutError", True)
    assert time.monotonic() - began < 4
    assert sum(thread.name.startswith("apprise") for thread in threading.enumerate()) <= 1


@needs_apprise
@pytest.mark.usefixtures("clean_logs")
async def test_no_secret_leaves_and_no_address_is_told() -> None:
    """A canary in the line is *** in the body; user, password and token of the address are in no line of the log, whatever fails."""
    heard: list[dict[str, Any]] = []
    twice = asyncio.Event()

    async def answer(body: dict[str, Any]) -> web.StreamResponse:
        heard.append(body)
        if len(heard) > 1:
            twice.set()
        return web.Response(status=200 if len(heard) > 1 else 500)

    stream = io.StringIO()
    key = "cAnArYkey77+x"
    async with listener(answer) as url:
        logs.configure("debug", "json", "demo", (key, *Secrets(addresses=(Secret(url),)).values()), stream)
        one = Channel(recipient(url, "warning"), IDENTITY, SystemClock(), Random(1))
        alerts = Alerts((), IDENTITY, SystemClock(), Random(1))
        alerts._channels.append(one)
        logs.listen(alerts)
        job = asyncio.create_task(one.run())
        structlog.get_logger().error("order.surprise", what=f"key {key}!")
        async with asyncio.timeout(60):
            await twice.wait()
        job.cancel()
        await asyncio.wait((job,))
        await one.close()
        logs.listen()
        logs.shutdown()
    for text in (json.dumps(heard), stream.getvalue()):
        assert [secret for secret in (key, CANARY, TOKEN) if secret in text] == []
    assert '"reason":"not_delivered"' in stream.getvalue()
    assert logging.getLogger("apprise").level > logging.CRITICAL
