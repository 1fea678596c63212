"""Alerts by apprise: Telegram, e-mail, ntfy and whatever else it knows, behind the same queue as a webhook.

Rule: apprise waits in a thread of its own, which nobody waits for longer than a webhook is waited for. What it logs may hold an address or
a body, so nothing of it is taken over.
"""

import asyncio
import logging
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from daemon.core.plain import Plain

# E-mail takes any length, SMS 160 signs; apprise cuts what its service does not take.
TITLE_MAX: Final = 200
KINDS: Final = {"error": "failure", "warning": "warning"}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an alert did not arrive. `final`: asking again would not mend it."""

    reason: str
    final: bool = False
    retry_after_s: float = 0.0


class Post(Protocol):
    """What brings one body to one recipient."""

    async def send(self, body: Mapping[str, Plain]) -> Failure | None:
        """Try once, for a bounded time; None: it has arrived. An exception says that it has not, too."""

    async def close(self) -> None:
        """Release what it holds."""


class NoApprise(Exception):
    """An address that apprise does not know, or no apprise; its text is what is wrong, and what to do."""


def known(url: str) -> Any:
    """The apprise that sends to `url`. NoApprise: there is none."""
    try:
        import apprise
    except ModuleNotFoundError as error:
        raise NoApprise(f"needs {error.name}, which is not installed; run: pip install 'rebalanced[alerts]'") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    made = apprise.Apprise(asset=apprise.AppriseAsset(app_id="rebalanced", async_mode=False, storage_mode="memory", plugin_paths=[]))
    with warnings.catch_warnings():
        # The first address has it load all it knows, some of which warns of what later versions of Python have no more.
        warnings.simplefilter("ignore")
        added = made.add(url)
    if not added:
        raise NoApprise("refers to an address that apprise does not know; see appriseit.com for how one is written")
    return made


class Apprise:
    """Has apprise send the text of a body, under its first words."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._apprise = known(url)
        self._timeout_s = timeout_s
        # One, so that a service that hangs takes one thread and no more; the loop's own threads write the journal.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="apprise")

    async def send(self, body: Mapping[str, Plain]) -> Failure | None:
        """Whether apprise says that it has arrived."""
        async with asyncio.timeout(self._timeout_s):
            arrived = await asyncio.get_running_loop().run_in_executor(self._thread, self._notify, body)
        return None if arrived else Failure("not_delivered")

    async def close(self) -> None:
        """Begin nothing more; what is on its way ends by the time-outs of apprise, a few seconds."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _notify(self, body: Mapping[str, Plain]) -> bool:
        title = f"{body['instance']} ({body['mode']}) {body['level']}: {body['event']}"
        kind = KINDS.get(str(body["level"]), "info")
        return bool(self._apprise.notify(body=str(body["text"]), title=title[:TITLE_MAX], notify_type=kind, body_format="text"))
