"""Command line: the verb that tries the ways to a person before they are needed.

Rule: it says of each whether it works, and never where it leads.
"""

import asyncio
import os
from random import Random
from typing import Annotated

import typer

from daemon.cli.shared import ConfigPath, ForMachines, fail, mistakes, told
from daemon.config import Config, Secrets, load_all, resolve_addresses
from daemon.core.plain import rfc3339
from daemon.io.clock import SystemClock

alerting = typer.Typer()


@alerting.command("alert-test")
def alert_test(
    config: ConfigPath,
    failed: Annotated[bool, typer.Option("--failed", help="Say that the service has failed, and ask no heartbeat.")] = False,
    as_json: ForMachines = False,
) -> None:
    """Send one alert over each channel of `alerts`, and ask the address of `heartbeat`; exit code 1 where one did not arrive."""
    with mistakes():
        settings = load_all(config, os.environ)[0]
        secrets = resolve_addresses(settings, os.environ)
    if not settings.alerts and settings.heartbeat is None:
        fail(f"{settings.source}: there is neither a channel in alerts nor a heartbeat, so nobody would be told; see docs/operating.md", 78)
    with mistakes():
        outcomes = asyncio.run(_tried(settings, secrets, failed=failed))
    if as_json:
        told([{"way": way, "arrived": not reason, "reason": reason} for way, reason in outcomes])
    for way, reason in () if as_json else outcomes:
        typer.echo(f"{way}: {f'did not arrive ({reason})' if reason else 'arrived'}")
    if any(reason for _, reason in outcomes):
        fail("look at the addresses, and whether this machine reaches them; a reason http_... is what the service has answered", 1)


async def _tried(settings: Config, secrets: Secrets, *, failed: bool) -> list[tuple[str, str]]:
    """Each way to a person, and why it has failed; "" if it has not."""
    import httpx  # with what speaks to webhooks, it is needed here only

    from daemon.assembly.channels import beat, recipients
    from daemon.io.alerts import TIMEOUT_S, Channel
    from daemon.io.alerts_heartbeat import ask

    clock = SystemClock()
    identity = {"name": settings.name, "mode": settings.mode}
    level, event = ("error", "service.failed") if failed else ("info", "alert.test")
    line = {"ts": rfc3339(clock.now(), microseconds=True), "level": level, "event": event, "name": settings.name}
    found = []
    for recipient in recipients(settings, secrets):
        failure = await Channel(recipient, identity, clock, Random()).test(line)
        found.append((recipient.name, "" if failure is None else failure.reason))
    if (wanted := beat(settings, secrets)) is not None and not failed:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=not wanted.local, follow_redirects=False) as client:
            found.append(("heartbeat", await ask(client, wanted.url, TIMEOUT_S)))
    return found
