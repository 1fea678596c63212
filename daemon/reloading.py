"""Reloading: what a changed configuration may change while the daemon runs, and what needs a restart.

Rule: the new file is validated whole before any of it counts, and it counts whole or not at all.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

import structlog

from daemon.config import Config, ConfigError, load
from daemon.io.api import Impossible
from daemon.io.clock import Clock
from daemon.io.notify import Notifier
from daemon.parts import ReloadRefused, Renewal

log = structlog.get_logger()

# What may change between two waves. Everything else decides what the journal, the streams and the account are about.
HOT: Final = ("capital", "execution", "risk", "strategies", "removed_strategies")
# Of these, what rests on the history that only a start reads.
COLD: Final = ("risk.breakers.price_spike",)


# Strategies that need longer than this to get ready are spoken of in the log; who asks by the command line waits for five seconds.
ANSWER_S: Final = 3.0


class Reloader:
    """Reads the file of the running configuration again. `settle` makes plain values of what runs, what is wanted, and what has changed."""

    def __init__(self, running: Config, environ: Mapping[str, str], settle: Callable[[Config, Config, tuple[str, ...]], Renewal]) -> None:
        self._running = running
        self._environ = dict(environ)
        self._settle = settle

    def __call__(self) -> Renewal:
        """What has changed since what is in force, ready to be used. Blocks on the disk, and loads what new strategies need.

        Raises:
            ReloadRefused: the file is not valid, or something has changed that needs a restart; what ran before stays in force.
        """
        try:
            wanted = load(self._running.source, self._environ)
            changed = tuple(sorted(_changed(_told(self._running), _told(wanted))))
            cold = [key for key in changed if key.partition(".")[0] not in HOT or key.startswith(COLD)]
            if cold:
                raise ReloadRefused(
                    f"{wanted.source}: {', '.join(cold)} changed, which needs a restart; the running configuration stays in force"
                )
            return replace(self._settle(self._running, wanted, changed), in_force=partial(self._now_runs, wanted))
        except ConfigError as error:
            raise ReloadRefused("; ".join(error.problems)) from None

    def _now_runs(self, config: Config) -> None:
        self._running = config


def _told(config: Config) -> dict[str, Any]:
    """The configuration as plain values; strategies go by their names, since their order means nothing."""
    told = config.model_dump(mode="json")
    return told | {"strategies": {each["name"]: each for each in told["strategies"]}}


def _changed(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """The dotted keys that differ. Lists are compared whole: their places say little."""
    if before == after:
        return
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield place
        return
    for key in {*before, *after}:
        yield from _changed(before.get(key), after.get(key), f"{place}.{key}" if place else str(key))


class Renews(Protocol):
    """What takes a changed configuration up."""

    async def prepare(self, renewal: Renewal) -> None:
        """Get ready what is new in it. ReloadRefused: it cannot be; nothing has changed."""
        ...

    async def dismiss(self) -> None:
        """What was got ready is not wanted any more."""
        ...

    def take_up(self, renewal: Renewal) -> bool:
        """Have it count; False while that cannot be done yet."""
        ...


@dataclass(slots=True)
class _Asked:
    """A reload whose new strategies are being got ready; `answer` is a sentence, once there is one."""

    renewal: Renewal
    over: asyncio.Event = field(default_factory=asyncio.Event)
    answer: str = ""
    refused: bool = False


class Reloading:
    """Takes a changed configuration up while the daemon runs. Of several, the newest that was right counts."""

    def __init__(self, reread: Callable[[], Renewal], renewing: Renews, notifier: Notifier, clock: Clock) -> None:
        self._reread = reread
        self._renewing = renewing
        self._notifier = notifier
        self._clock = clock
        self._hung_up = asyncio.Event()
        self._reading = asyncio.Lock()
        self._waiting: Renewal | None = None  # for the end of a wave
        self._asked: _Asked | None = None  # for its strategies
        self._has_asked = asyncio.Event()
        self._patience: asyncio.Timeout | None = None

    # --- what is asked for -------------------------------------------------------------------------------------------

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
            async with self._reading:
                renewal = await asyncio.to_thread(self._reread)
                await self._withdraw()
        except ReloadRefused as error:
            raise Impossible(_refused(error)) from None
        if not renewal.changed:
            log.info("config.reloaded", changed=())
            return "the configuration has not changed"
        if not renewal.newcomers:
            return self._wait_for_a_wave(renewal)
        return await self._answer(renewal)

    async def _withdraw(self) -> None:
        """The file has been read again, so what was read before and does not count yet never will."""
        self._waiting = None
        asked, self._asked = self._asked, None
        if asked is not None and not asked.over.is_set():
            asked.answer, asked.refused = "the configuration was read again meanwhile, and that one counts", True
            if self._patience is None:
                asked.over.set()
            else:
                self._patience.reschedule(asyncio.get_running_loop().time())
                await asked.over.wait()
        await self._renewing.dismiss()

    def _wait_for_a_wave(self, renewal: Renewal) -> str:
        self._waiting = renewal
        when = "taken up" if self.settle() else "will be taken up after the wave, or the start, that is under way"
        return f"{when}: {', '.join(renewal.changed)}"

    def settle(self) -> bool:
        """Take up what waits, if it can be done now; whether nothing waits any more. Not while a file is compared with what runs."""
        if self._waiting is not None and not self._reading.locked() and self._renewing.take_up(self._waiting):
            log.info("config.reloaded", changed=self._waiting.changed)
            self._waiting = None
        return self._waiting is None

    # --- new strategies ----------------------------------------------------------------------------------------------

    async def _answer(self, renewal: Renewal) -> str:
        """What has come of it, or is still going on after a while: whoever has asked does not wait for an exchange that is away."""
        names = sorted(renewal.newcomers)
        log.info("config.preparing", strategies=names, changed=renewal.changed)
        asked = self._asked = _Asked(renewal)
        self._has_asked.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await asked.over.wait()
        if asked.refused:
            raise Impossible(asked.answer)
        return asked.answer or f"will be taken up once {', '.join(names)} can decide, the log says when: {', '.join(renewal.changed)}"

    async def prepare(self) -> None:
        """Get the strategies of reloads ready, one reload at a time, until cancelled."""
        while True:
            await self._has_asked.wait()
            self._has_asked.clear()
            if self._asked is not None:
                await self._get_ready(self._asked)

    async def _get_ready(self, asked: _Asked) -> None:
        try:
            async with asyncio.timeout(None) as self._patience:
                await self._renewing.prepare(asked.renewal)
        except ReloadRefused as error:
            asked.answer, asked.refused = _refused(error), True
        except TimeoutError:
            if asked is self._asked:
                raise  # nobody has ended its patience
        else:
            if asked is self._asked:
                asked.answer = self._wait_for_a_wave(asked.renewal)
        finally:
            self._patience = None
            asked.over.set()


def _refused(error: ReloadRefused) -> str:
    log.error("config.refused", reason=str(error))
    return str(error)
