"""Reloading: what a changed configuration may change while the daemon runs, and what needs a restart.

Rule: the new file is validated whole before any of it counts, and it counts whole or not at all.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

import structlog

from daemon.config import Config, ConfigError, load_all
from daemon.io import logs
from daemon.io.api import Impossible
from daemon.io.clock import Clock
from daemon.io.notify import Notifier
from daemon.io.streams import Job
from daemon.parts import ReloadRefused, Renewal

log = structlog.get_logger()

# What may change between two waves. Everything else decides what the journal, the streams and the account are about.
HOT: Final = ("capital", "execution", "risk", "strategies", "removed_strategies")
# Of these, what rests on the history that only a start reads.
COLD: Final = ("risk.breakers.price_spike",)


# Strategies that need longer than this to get ready are spoken of in the log; who asks by the command line waits for five seconds.
ANSWER_S: Final = 3.0


class Reloader:
    """Reads the file of the running configuration again. `running` are the configurations of its accounts, in order.

    `settle` makes plain values of what runs on an account, what is wanted there, and what has changed.
    """

    def __init__(
        self, running: Sequence[Config], environ: Mapping[str, str], settle: Callable[[Config, Config, tuple[str, ...]], Renewal]
    ) -> None:
        self._running = {each.account: each for each in running}
        self._source = running[0].source
        self._environ = dict(environ)
        self._settle = settle

    def __call__(self) -> Sequence[Renewal]:
        """What has changed since what is in force on each account, ready to be used. Blocks on the disk, and loads new strategies.

        Raises:
            ReloadRefused: the file is not valid, or something has changed that needs a restart; what ran before stays in force everywhere.
        """
        try:
            wanted = {each.account: each for each in load_all(self._source, self._environ)}
            if list(wanted) != list(self._running):
                raise self._cold(["accounts"])
            changed = {name: tuple(sorted(_changed(_told(self._running[name]), _told(each)))) for name, each in wanted.items()}
            cold = [_key(wanted[name], key) for name, keys in changed.items() for key in keys if _is_cold(key)]
            if cold := [*cold, *_rerouted(self._running, wanted)]:
                raise self._cold(cold)
            return [self._renewal(each, changed[name]) for name, each in wanted.items()]
        except ConfigError as error:
            raise ReloadRefused("; ".join(error.problems)) from None

    def _cold(self, keys: Iterable[str]) -> ReloadRefused:
        told = ", ".join(dict.fromkeys(keys))
        return ReloadRefused(f"{self._source}: {told} changed, which needs a restart; the running configuration stays in force")

    def _renewal(self, wanted: Config, changed: tuple[str, ...]) -> Renewal:
        return replace(self._settle(self._running[wanted.account], wanted, changed), in_force=partial(self._now_runs, wanted))

    def _now_runs(self, config: Config) -> None:
        self._running[config.account] = config


def _is_cold(key: str) -> bool:
    return key.partition(".")[0] not in HOT or key.startswith(COLD)


def _rerouted(running: Mapping[str, Config], wanted: Mapping[str, Config]) -> list[str]:
    """Strategies over several accounts that are new, or not what they were: they decide at a desk that only a start sets up."""
    before, after = ({each.name: each for config in group.values() for each in config.strategies} for group in (running, wanted))
    kept = {name: (each.use, each.params, each.route) for name, each in before.items()}
    return [
        f"strategies.{name}"
        for name, each in after.items()
        if kept.get(name) != (each.use, each.params, each.route) and (each.route or (name in before and before[name].route))
    ]


def _key(config: Config, key: str) -> str:
    """As it stands in the file, where the exchange of an account has its own place."""
    return key.replace("exchange", config.place, 1) if key.partition(".")[0] == "exchange" else key


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
    """A reload on its way; `answer` is a sentence, once there is one."""

    renewal: Renewal
    over: asyncio.Event = field(default_factory=asyncio.Event)
    answer: str = ""
    refused: bool = False

    @property
    def said(self) -> str:
        """The answer, or that there is none yet."""
        if self.answer:
            return self.answer
        names = ", ".join(sorted(self.renewal.newcomers))
        return f"will be taken up once {names} can decide, the log says when: {', '.join(self.renewal.changed)}"


class _Taking:
    """A changed configuration on its way to one account."""

    def __init__(self, account: str, renewing: Renews, reading: asyncio.Lock) -> None:
        self._account = account
        self._renewing = renewing
        self._reading = reading
        self._waiting: Renewal | None = None  # for the end of a wave
        self._asked: _Asked | None = None  # for its strategies
        self._has_asked = asyncio.Event()
        self._patience: asyncio.Timeout | None = None

    async def withdraw(self) -> None:
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

    def take(self, renewal: Renewal) -> _Asked:
        """Have it count between two waves, once its new strategies are ready; what will come of it."""
        asked = _Asked(renewal)
        if not renewal.newcomers:
            asked.answer = self._wait_for_a_wave(renewal)
            asked.over.set()
            return asked
        with logs.about(self._account):
            log.info("config.preparing", strategies=sorted(renewal.newcomers), changed=renewal.changed)
        self._asked = asked
        self._has_asked.set()
        return asked

    def _wait_for_a_wave(self, renewal: Renewal) -> str:
        self._waiting = renewal
        when = "taken up" if self.settle() else "will be taken up after the wave, or the start, that is under way"
        return f"{when}: {', '.join(renewal.changed)}"

    def settle(self) -> bool:
        """Take up what waits, if it can be done now; whether nothing waits any more. Not while a file is compared with what runs."""
        with logs.about(self._account):
            if self._waiting is not None and not self._reading.locked() and self._renewing.take_up(self._waiting):
                log.info("config.reloaded", changed=self._waiting.changed)
                self._waiting = None
        return self._waiting is None

    async def prepare(self) -> None:
        """Get the strategies of reloads ready, one reload at a time, until cancelled."""
        with logs.about(self._account):
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


class Reloading:
    """Takes a changed configuration up while the daemon runs. Of several, the newest that was right counts.

    `renewing` is who takes it up, by account ("": the only one). Each does so when it can: one whose exchange is away holds up no other.
    """

    def __init__(self, reread: Callable[[], Sequence[Renewal]], renewing: Mapping[str, Renews], notifier: Notifier, clock: Clock) -> None:
        self._reread = reread
        self._notifier = notifier
        self._clock = clock
        self._hung_up = asyncio.Event()
        self._reading = asyncio.Lock()
        self._takings = {account: _Taking(account, each, self._reading) for account, each in renewing.items()}

    def jobs(self) -> list[Job]:
        """What runs for as long as the daemon does."""
        prepares = [(f"renew.{account}".rstrip("."), taking.prepare) for account, taking in self._takings.items()]
        return [("reload", self.run), *prepares]

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

    def settle(self) -> bool:
        """Take up what waits, where it can be done now; whether nothing waits any more."""
        settled = [taking.settle() for taking in self._takings.values()]
        return all(settled)

    async def reload(self) -> str:
        """Read the configuration again and take it up before the next wave; a sentence that says what has changed.

        Raises:
            Impossible: it is not valid, or needs a restart; what ran before stays in force.
        """
        try:
            async with self._reading:
                renewals = await asyncio.to_thread(self._reread)
                for taking in self._takings.values():
                    await taking.withdraw()
        except ReloadRefused as error:
            raise Impossible(_refused(error)) from None
        wanted = {account: renewal for account, renewal in zip(self._takings, renewals, strict=True) if renewal.changed}
        if not wanted:
            log.info("config.reloaded", changed=())
            return "the configuration has not changed"
        return await self._answer({account: self._takings[account].take(renewal) for account, renewal in wanted.items()})

    async def _answer(self, asked: Mapping[str, _Asked]) -> str:
        """What has come of it, or is still going on after a while: whoever has asked does not wait for an exchange that is away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                for each in asked.values():
                    await each.over.wait()
        said = "; ".join(f"{account}: {each.said}" if account else each.said for account, each in asked.items())
        if all(each.refused for each in asked.values()):
            raise Impossible(said)
        return said


def _refused(error: ReloadRefused) -> str:
    log.error("config.refused", reason=str(error))
    return str(error)
