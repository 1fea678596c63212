"""Workers: a user's own strategies, each in a process of its own, fed with slices and answered with weights.

Rule: the loop never waits for a user's code, and no user's code ends anything but itself. A worker that raises, ends, answers nonsense
or is slower than its budget is killed, `StrategyDisabled` says why, and it is not started again: its last targets stand. It sees bars and
what it wanted itself; no exchange, no account, and nothing of the daemon's environment but what a program needs to run.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from daemon.core.desk import named, usable
from daemon.core.events import AskStrategy, Event, SliceClosed, StrategyAnswered, StrategyDisabled, StrategyStarted
from daemon.core.model import Slice
from daemon.core.strategy import Failed
from daemon.io.clock import Clock
from daemon.io.worker_wire import ANSWER_MAX, PREFIX, Header, WireError, chunks, frame, pack, parsed, sizes, targets_from, targets_to

# Where programs and the user's packages are, which language and time zone. Keys and tokens have no name in this list.
ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")

# Importing pandas and a model may take ten seconds on a busy machine. The others start trading when all have started, hence no more.
START_S: Final = 30.0
# A thousand bars of 500 symbols are digested in a second, by indicators in plain Python in ten.
WARM_S: Final = 30.0
# The loop itself may have stood still with the answer already in the pipe: after a deadline this much is still read.
GRACE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """A strategy to be run.

    `place` is where the configuration has it; `errand` is what its process is told at the start (`ownworker` reads it); `budget_s` are the
    seconds that it has for a bar.
    """

    name: str
    place: str
    errand: bytes
    budget_s: float


class Misconfigured(Exception):
    """The configuration names what the strategy does not have; a sentence a line."""


class Together(Protocol):
    """Runs coroutines side by side, each to its end."""

    async def __call__(self, *jobs: Coroutine[Any, Any, None]) -> None:
        """Return when all have ended."""
        ...


class Workers:
    """SliceClosed and AskStrategy in, StrategyAnswered or StrategyDisabled out; `start`, `warm`, then each one's `run`; at last `close`."""

    def __init__(self, jobs: Sequence[Job], symbols: Sequence[str], publish: Callable[[Event], None], clock: Clock) -> None:
        self._workers = {job.name: Worker(job, tuple(symbols), publish, clock) for job in jobs}
        self._retired: list[Worker] = []

    async def start(self, together: Together) -> None:
        """Start every process and learn what its strategy needs; one that fails is disabled.

        Raises:
            Misconfigured: a class or a parameter that the configuration names does not exist.
        """
        await together(*(worker.start() for worker in self._workers.values()))
        wrong = [worker.misconfigured for worker in self._workers.values() if worker.misconfigured]
        if wrong:
            raise Misconfigured("\n".join(wrong))

    async def warm(self, slices: Sequence[Slice], together: Together) -> frozenset[str]:
        """Give every strategy its history, from the beginning; the symbols for which one of them finds it too short."""
        await together(*(worker.warm(slices) for worker in self._workers.values()))
        return frozenset[str]().union(*(worker.short for worker in self._workers.values()))

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """Have every strategy's indicators take a step."""
        for worker in self._workers.values():
            worker.accept(event)
        return ()

    def accept(self, event: AskStrategy) -> Iterable[Event]:
        """Have one of them decide on the slice that it was given last."""
        self._workers[event.name].accept(event)
        return ()

    def change(self, stay: Collection[str], newcomers: "Workers") -> None:
        """Have the newcomers at work beside those that stay; the others are told no more, and their jobs end with their processes."""
        gone = [self._workers.pop(name) for name in self._workers.keys() - stay]
        for worker in gone:
            worker.retire()
        self._retired = [worker for worker in (*self._retired, *gone) if not worker.gone]
        self._workers |= {worker.name: worker for worker in newcomers}

    def __iter__(self) -> Iterator["Worker"]:
        """Those at work; each one's `run` runs until it is retired."""
        return iter(self._workers.values())

    async def close(self) -> None:
        """End every process."""
        for worker in (*self._workers.values(), *self._retired):
            await worker.end()


class Worker:
    """One strategy in its process."""

    def __init__(self, job: Job, symbols: tuple[str, ...], publish: Callable[[Event], None], clock: Clock) -> None:
        self.misconfigured = ""
        self.short: frozenset[str] = frozenset()
        self._retired = False
        self._job = job
        self._symbols = symbols
        self._publish = publish
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._ending: asyncio.subprocess.Process | None = None
        self._received = bytearray()
        # Bounded by the budget: what waits while a request is under way, which ends by its answer or the worker's end.
        self._queue: asyncio.Queue[SliceClosed | AskStrategy | None] = asyncio.Queue()

    @property
    def name(self) -> str:
        """The strategy's."""
        return self._job.name

    def is_retired(self) -> bool:
        """Whether it is asked no more."""
        return self._retired

    @property
    def gone(self) -> bool:
        """Whether nothing is left of its process."""
        return self._process is None and self._ending is None

    @property
    def pid(self) -> int | None:
        """The process id, None while there is no process."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process and have it load the strategy; a failure disables it, a mistake of the configuration is kept."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "daemon.own.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=environment(os.environ),
                start_new_session=True,  # Ctrl-C at the daemon's terminal is the daemon's; and it dies with its own children
            )
            answer = await self._asked(frame({"op": "hire"}, self._job.errand), START_S, "starting")
        except OSError as error:
            await self._fail(f"its process cannot be started: {error.strerror or error}")
        except Failed as error:
            await self._fail(str(error))
        else:
            if answer.get("wrong"):
                self.misconfigured = "\n".join(f"{self._job.place}.{line}" for line in str(answer["wrong"]).splitlines())
                await self.end()
            else:
                self._publish(StrategyStarted(self._job.name, int(answer["need"]), self._clock.now()))

    async def warm(self, slices: Sequence[Slice]) -> None:
        """Feed a history, and learn whether it was long enough."""
        self.short = frozenset()
        try:
            for part in chunks(slices) if self._process else ():
                answer = await self._give("warm", part, WARM_S, "reading its history", first=part[0] is slices[0])
                self.short = frozenset(map(str, answer.get("short", ())))
        except Failed as error:
            await self._fail(str(error))

    def accept(self, event: SliceClosed | AskStrategy) -> None:
        """Queue a request; a worker that has ended takes none."""
        if self._process is not None:
            self._queue.put_nowait(event)

    async def run(self) -> None:
        """Hand over what is queued, one after the other, until cancelled; one that is retired ends its process and returns."""
        while not self._retired:
            event = await self._queue.get()
            if self._process is None or event is None:
                continue
            try:
                await self._serve(event)
            except Failed as error:
                await self._fail(str(error))
        await self.end()

    def retire(self) -> None:
        """Be asked no more, and not be heard any more: another may have its name by now."""
        self._retired = True
        self._publish = _unheard
        self._queue.put_nowait(None)

    async def end(self) -> None:
        """Kill the process and whatever it has started; wait until it is gone."""
        process = self._process or self._ending  # the first wait for its end may have been cancelled
        self._process, self._ending = None, process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        self._ending = None

    async def _serve(self, event: SliceClosed | AskStrategy) -> None:
        budget = self._job.budget_s
        if isinstance(event, SliceClosed):
            await self._give("step", [event.slice], budget, "taking in a bar")
            return
        outside = sorted(named(event.slice, ~event.slice.inside))
        request = {"op": "decide", "last": targets_to(event.last), "held": dict(event.held), "outside": outside}
        answer = await self._asked(frame(request), budget, "deciding")
        try:
            targets = targets_from(answer.get("targets"))
        except ValueError as error:
            raise Failed(str(error)) from None
        wanted = usable(targets, self._symbols)
        warm = frozenset(self._symbols) & frozenset(map(str, answer.get("warm", ())))
        self._publish(StrategyAnswered(self._job.name, event.slice.closes_at, wanted, warm, self._clock.now()))

    async def _give(self, operation: str, slices: Sequence[Slice], within: float, what: str, *, first: bool = False) -> Header:
        closes, body = pack(slices)
        return await self._asked(frame({"op": operation, "closes": closes, "first": first}, body), within, what)

    async def _asked(self, request: bytes, within: float, what: str) -> Header:
        """Send a request and wait for its answer.

        Raises:
            Failed: the strategy raised, its process ended or broke the protocol, or there was no answer in time.
        """
        if self._process is None or self._process.stdin is None:
            raise Failed("its process has ended")
        try:
            async with asyncio.timeout(within):
                self._process.stdin.write(request)
                await self._process.stdin.drain()
                answer = await self._answer()
        except TimeoutError:
            answer = await self._late(within, what)
        except (BrokenPipeError, ConnectionResetError):
            raise await self._ended(what) from None
        except EOFError:
            raise await self._ended(what) from None
        except WireError as error:
            raise Failed(str(error)) from None
        if answer.get("failed"):
            raise Failed(str(answer["failed"])[:1000])
        return answer

    async def _late(self, within: float, what: str) -> Header:
        try:
            async with asyncio.timeout(GRACE_S):
                return await self._answer()
        except (TimeoutError, EOFError, WireError):
            raise Failed(f"{what} took longer than its budget of {within:g} s") from None

    async def _answer(self) -> Header:
        """The next frame. What has come so far is kept when the wait is cancelled."""
        process = self._process
        if process is None or process.stdout is None:
            raise EOFError
        while True:
            if len(self._received) >= PREFIX:
                header, body = sizes(bytes(self._received[:PREFIX]))
                if header + body > ANSWER_MAX:
                    raise WireError(f"its answer has {header + body} bytes, more than {ANSWER_MAX}")
                end = PREFIX + header + body
                if len(self._received) >= end:
                    text = bytes(self._received[PREFIX : PREFIX + header])
                    del self._received[:end]
                    return parsed(text)
            data = await process.stdout.read(1 << 16)
            if not data:
                raise EOFError
            self._received += data

    async def _ended(self, what: str) -> Failed:
        process = self._process
        if process is None:
            return Failed("its process has ended")
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await process.wait()
        code = process.returncode
        how = "closed its pipe" if code is None else f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return Failed(f"its process {how} while {what}")

    async def _fail(self, problem: str) -> None:
        """Tell first, then clean up: the decision of the others waits for this."""
        self._publish(StrategyDisabled(self._job.name, problem, self._clock.now()))
        await self.end()


def _unheard(_event: Event) -> None:
    """What nobody wants to know any more."""


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What a worker sees of the environment: nothing that could be a secret. The daemon's own package is found where it is."""
    ours = str(Path(__file__).resolve().parents[2])
    kept = {name: inherited[name] for name in ENVIRONMENT if name in inherited}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, [ours, kept.get("PYTHONPATH", "")])), "PYTHONDONTWRITEBYTECODE": "1"}
