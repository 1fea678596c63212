"""Reloading: what a changed configuration may change while the daemon runs, and what needs a restart.

Rule: the new file is validated whole before any of it counts, and it counts whole or not at all.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import structlog

from daemon.config import Config, ConfigError, load
from daemon.io.api import Impossible
from daemon.io.clock import Clock
from daemon.io.notify import Notifier
from daemon.parts import ReloadRefused, Renewal

log = structlog.get_logger()

# What may change between two waves. Everything else decides what the journal, the streams and the account are about.
HOT: Final = ("capital", "execution", "risk")
# Of these, what rests on the history that only a start reads.
COLD: Final = ("risk.breakers.price_spike",)


class Reloader:
    """Reads the file of the running configuration again. `settle` makes plain values of one."""

    def __init__(self, running: Config, environ: Mapping[str, str], settle: Callable[[Config, tuple[str, ...]], Renewal]) -> None:
        self._running = running
        self._environ = dict(environ)
        self._settle = settle

    def __call__(self) -> Renewal:
        """What has changed, ready to be used; the file is the running configuration from then on. Blocks on the disk.

        Raises:
            ReloadRefused: the file is not valid, or something has changed that needs a restart; what ran before stays in force.
        """
        try:
            wanted = load(self._running.source, self._environ)
        except ConfigError as error:
            raise ReloadRefused("; ".join(error.problems)) from None
        changed = tuple(sorted(_changed(self._running.model_dump(mode="json"), wanted.model_dump(mode="json"))))
        cold = [key for key in changed if key.partition(".")[0] not in HOT or key.startswith(COLD)]
        if cold:
            raise ReloadRefused(
                f"{wanted.source}: {', '.join(cold)} changed, which needs a restart; the running configuration stays in force"
            )
        renewal = self._settle(wanted, changed)
        self._running = wanted
        return renewal


def _changed(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """The dotted keys that differ. Lists are compared whole: their places say little."""
    if before == after:
        return
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield place
        return
    for key in {*before, *after}:
        yield from _changed(before.get(key), after.get(key), f"{place}.{key}" if place else str(key))


class Reloading:
    """Takes a changed configuration up while the daemon runs. `take_up` does so and is True, or False while it cannot be done yet."""

    def __init__(self, reread: Callable[[], Renewal], take_up: Callable[[Renewal], bool], notifier: Notifier, clock: Clock) -> None:
        self._reread = reread
        self._take_up = take_up
        self._notifier = notifier
        self._clock = clock
        self._hung_up = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._waiting: Renewal | None = None

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again; the log says what came of it."""
        self._hung_up.set()

    async def run(self) -> None:
        """Answer SIGHUP, until cancelled; systemd is told from when to when."""
        while True:
            await self._hung_up.wait()
            self._hung_up.clear()
            self._notifier.reloading(self._clock.monotonic())
            with suppress(Impossible):  # the log has said it
                await self.reload()
            self._notifier.reloaded()

    async def reload(self) -> str:
        """Read the configuration again and take it up before the next wave; a sentence that says what has changed.

        Raises:
            Impossible: it is not valid, or needs a restart; what ran before stays in force.
        """
        try:
            async with self._one_at_a_time:
                renewal = await asyncio.to_thread(self._reread)
        except ReloadRefused as error:
            log.error("config.refused", reason=str(error))
            raise Impossible(str(error)) from None
        if not renewal.changed:
            log.info("config.reloaded", changed=())
            return "the configuration has not changed"
        self._waiting = renewal
        when = "taken up" if self.settle() else "will be taken up after the wave that is under way"
        return f"{when}: {', '.join(renewal.changed)}"

    def settle(self) -> bool:
        """Take up what waits, if it can be done now; whether nothing waits any more."""
        if self._waiting is not None and self._take_up(self._waiting):
            log.info("config.reloaded", changed=self._waiting.changed)
            self._waiting = None
        return self._waiting is None
