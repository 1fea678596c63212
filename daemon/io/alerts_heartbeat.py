"""Heartbeat: an address that is asked every few minutes, so that somebody else notices when it is not.

Rule: it is the only thing that reports a dead machine, and it says nothing else: an exchange that is away, a halt and a full disk have
lines of their own. It carries nothing, and nobody waits for it; what goes wrong with it is a line in the log, once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import httpx
import structlog

from daemon.io.alerts import TIMEOUT_S, verdict
from daemon.io.clock import Clock

# After one that failed the next comes sooner, so that a lost packet is no alarm.
AGAIN_S: Final = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Beat:
    """What is asked, and how often. `url` is a secret; `local`: it is on this machine."""

    url: str
    local: bool
    every_s: float


class Heartbeat:
    """Asks the address of a `Beat`, from the start on; without one it does nothing."""

    name: Final = "heartbeat.url"

    def __init__(self, beat: Beat | None, clock: Clock, *, timeout_s: float = TIMEOUT_S) -> None:
        self._beat = beat
        self._clock = clock
        self._timeout_s = timeout_s
        self._failing = False

    def jobs(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What runs beside everything else."""
        return [] if self._beat is None else [(self.name, self.run)]

    async def run(self) -> None:
        """Ask until cancelled."""
        assert self._beat is not None  # noqa: S101 - jobs() says so
        # The proxy of the environment is for the internet, not for what listens here.
        async with httpx.AsyncClient(timeout=self._timeout_s, trust_env=not self._beat.local, follow_redirects=False) as client:
            while True:
                reason = await ask(client, self._beat.url, self._timeout_s)
                if bool(reason) != self._failing:
                    self._failing = bool(reason)
                    self._tell(reason)
                await self._clock.sleep(min(AGAIN_S, self._beat.every_s) if reason else self._beat.every_s)

    @staticmethod
    def _tell(reason: str) -> None:
        if reason:
            log.warning("heartbeat.failed", reason=reason)
        else:
            log.info("heartbeat.back")


async def ask(client: httpx.AsyncClient, url: str, timeout_s: float) -> str:
    """Ask an address once; why that has failed, "" if it has not. The kind of an error only: its text may hold the address."""
    try:
        async with asyncio.timeout(timeout_s), client.stream("GET", url, headers={"User-Agent": "rebalanced"}) as answer:
            failure = verdict(answer.status_code, "")
    except Exception as error:  # whatever it is, it must not end the daemon
        return type(error).__name__
    return "" if failure is None else failure.reason
