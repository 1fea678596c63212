"""Workers: whatever a user's own strategy does, the loop goes on, the others are answered, and one clear sentence says what happened."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from daemon.core import events as e
from daemon.core.desk import Desk
from daemon.core.model import CLOSE, Slice, TargetWeights
from daemon.core.strategy import Universe
from daemon.io.clock import SystemClock
from daemon.io.worker import Job, Misconfigured, Worker, Workers, environment
from daemon.io.worker_wire import HISTORY_CHUNK, chunks, pack, targets_from, targets_to, unpack
from daemon.own.strategies import Own, hire
from daemon.own.worker import errand
from tests import ownfiles

A, B = SYMBOLS = ("A/USDT", "B/USDT")
T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
UNIVERSE = Universe(SYMBOLS, HOUR, {"coins": (A,)})
HELD = {"A/USDT": 0.3}
LAST = TargetWeights({A: 0.25}, frozenset({B}), {A: {"score": 1.5}})
E = TypeVar("E")


def slice_at(hour: int) -> Slice:
    panel = np.full((5, 2), 100.0 + hour)
    panel[CLOSE] += [1, 2]
    return Slice(T0 + hour * HOUR, SYMBOLS, panel, np.zeros(2, np.bool_), np.zeros(2, np.int64))


async def together(*jobs: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as nest:
        for job in jobs:
            nest.create_task(job)


def wanted(answer: e.StrategyAnswered) -> TargetWeights:
    """What it says; a process always says something."""
    assert answer.targets is not None
    return answer.targets


class World:
    """Workers with their jobs running, and what they have published."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.told: list[e.Event] = []
        self.workers = Workers(jobs, SYMBOLS, self.told.append, SystemClock())
        self._hour = 10

    def close(self, *asked: str, last: TargetWeights | None = None) -> Slice:
        """One more slice, and a question about it."""
        self._hour += 1
        closed = slice_at(self._hour)
        self.workers.on_slice(e.SliceClosed(closed, closed.closes_at))
        for name in asked:
            self.workers.accept(e.AskStrategy(name, closed, last, closed.closes_at, HELD))
        return closed

    async def hear(self, kind: type[E], name: str, within: float = 20.0) -> E:
        """The first event of a kind about a strategy."""
        async with asyncio.timeout(within):
            while True:
                for event in self.told:
                    if isinstance(event, kind) and getattr(event, "name", "") == name:
                        self.told.remove(event)
                        return event
                await asyncio.sleep(0.005)


def job(path: Path, name: str = "one", budget_s: float = 5.0, params: Mapping[str, Any] | None = None, use: str = "") -> Job:
    own = Own(name, use or f"./{path.name}:Mine", path.parent, params or {}, budget_s)
    return Job(name, "my.yaml: strategies[0]", errand(own, UNIVERSE, 5), budget_s)


@asynccontextmanager
async def at_work(*jobs: Job) -> AsyncIterator[World]:
    """Started, warm, running; every process is gone afterwards."""
    world = World(jobs)
    await world.workers.start(together)
    pids = [worker.pid for worker in world.workers._workers.values()]
    await world.workers.warm([slice_at(hour) for hour in range(10)], together)
    tasks = [asyncio.create_task(worker.run()) for worker in world.workers]
    try:
        yield world
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await world.workers.close()
    assert [pid for pid in pids if pid is not None and alive(pid)] == []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- one that behaves ------------------------------------------------------------------------------------------------


async def test_one_is_replaced_while_the_others_go_on(tmp_path: Path) -> None:
    """The newcomer of a name has a process of its own and answers from the next slice on; that of the one before ends, unheard."""
    path = ownfiles.written(tmp_path, "behaves")
    async with at_work(job(path), replace(job(path), name="two")) as world:
        before = {worker.name: worker.pid for worker in world.workers}
        old = next(iter(world.workers))
        newcomers = Workers([job(path, params={"length": 9})], SYMBOLS, world.told.append, SystemClock())
        await newcomers.start(together)
        await newcomers.warm([slice_at(hour) for hour in range(9)], together)
        world.workers.on_slice(e.SliceClosed(slice_at(9), T0 + 9 * HOUR))
        newcomers.on_slice(e.SliceClosed(slice_at(9), T0 + 9 * HOUR))
        world.told.clear()
        world.workers.change({"two"}, newcomers)
        tasks = [asyncio.create_task(worker.run()) for worker in newcomers]
        try:
            world.close("one", "two")
            for name in ("one", "two"):
                assert wanted(await world.hear(e.StrategyAnswered, name)).weights == {A: 0.5}
            now = {worker.name: worker.pid for worker in world.workers}
            assert (now["two"], len({*before.values(), *now.values()})) == (before["two"], 3)
            await gone(old)
            assert not alive(before["one"] or 0)
            assert world.told == []
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_that_is_retired_ends_behind_what_it_is_doing(tmp_path: Path) -> None:
    """A strategy that is removed while it hangs is ended at its budget, and nobody hears of it; the end of all waits for it too."""
    async with at_work(job(ownfiles.written(tmp_path, "hangs"), budget_s=0.3)) as world:
        (old,) = world.workers
        world.told.clear()
        world.close("one")
        await asyncio.sleep(0.05)
        world.workers.change(set(), Workers([], SYMBOLS, world.told.append, SystemClock()))
        assert not old.gone
        await gone(old)
        assert (world.told, old.is_retired()) == ([], True)


async def gone(worker: Worker) -> None:
    """Wait for the end of its process."""
    for _ in range(1000):
        if worker.gone:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("its process is there still")


async def test_it_is_warm_and_answers(tmp_path: Path) -> None:
    """It says how much history it needs, is asked about a slice, and answers with its weights and with what is warm."""
    async with at_work(job(ownfiles.written(tmp_path, "behaves"), params={"length": 7})) as world:
        assert (await world.hear(e.StrategyStarted, "one")).need == 7
        closed = world.close("one", last=LAST)
        answer = await world.hear(e.StrategyAnswered, "one")
        assert (answer.as_of, wanted(answer).weights, answer.warm) == (closed.closes_at, {A: 0.5}, frozenset(SYMBOLS))
        assert not world.told


async def test_it_sees_what_it_would_see_in_the_loop(tmp_path: Path) -> None:
    """Rows, its last weights and signals, what it holds and its sectors are those of the same desk in this process, bit for bit."""
    seen = "'score': view.signals['A/USDT']['score'], 'held': view.held['A/USDT'], 'n': len(self.universe.sectors)"
    told = f"{{'average': float(view.rows['average'][0]), {seen}}}"
    path = tmp_path / "my.py"
    path.write_text(
        f"{ownfiles.HEAD}\n    def decide(self, view):\n        return TargetWeights(dict(view.weights), signals={{'*': {told}}})\n"
    )
    async with at_work(job(path)) as world:
        closed = [world.close(), world.close("one", last=LAST)]
        answer = await world.hear(e.StrategyAnswered, "one")
    here = Desk(hire(Own("one", "./my.py:Mine", tmp_path, {}, 1.0), UNIVERSE), 2)
    here.warm(np.stack([slice_at(hour).panel for hour in range(10)]))
    here.targets, here.held = LAST, HELD
    for each in closed:
        here.step(each.panel)
    assert answer.targets == here.decide(closed[-1], 5)


async def test_it_says_when_its_history_is_too_short(tmp_path: Path) -> None:
    """A history that stood still is asked for again, longer, and taken in from its beginning."""
    path = tmp_path / "my.py"
    path.write_text(ownfiles.text_of("behaves").replace("SMA, ", "RSI, SMA, ").replace("SMA(self.params.length,", "RSI(2,"))
    async with at_work(job(path)) as world:
        still = [replace(slice_at(hour), panel=np.full((5, 2), 100.0)) for hour in range(100, 200)]
        assert await world.workers.warm(still, together) == {A, B}
        assert await world.workers.warm([slice_at(hour) for hour in range(20, 100)] + still[:20], together) == frozenset()
        assert world.close() is not None
        assert not [event for event in world.told if isinstance(event, e.StrategyDisabled)]


async def test_what_it_prints_harms_nobody(tmp_path: Path) -> None:
    """Print goes to stderr, not between the answers."""
    async with at_work(job(ownfiles.written(tmp_path, "prints"))) as world:
        world.close("one")
        assert wanted(await world.hear(e.StrategyAnswered, "one")).weights == {A: 0.5}


# --- those that do not -----------------------------------------------------------------------------------------------


SAID = {
    "raises": "ZeroDivisionError: division by zero (raises.py line",
    "nan": "ValueError: the weight of A/USDT is nan",
    "unknown": "a weight for DOGE/USDT, which the universe does not have",
    "nonsense": "decide must return TargetWeights, not dict",
    "imports": "ModuleNotFoundError: No module named 'no_such_module' (imports.py line",
    "exits": "its process ended with exit code 7 while deciding",
    "leaves": "SystemExit: 0 (leaves.py line",
    "closes": "its process",
    "sleeps": "deciding took longer than its budget of 2 s",
    "spins": "deciding took longer than its budget of 2 s",
}


async def test_a_failure_disables_it_and_nobody_else(tmp_path: Path) -> None:
    """Each is told once with its reason and its process is gone; the good one is answered meanwhile, and the loop never stands still."""
    bad = [job(ownfiles.written(tmp_path, kind, after=1), kind, budget_s=2.0) for kind in SAID]
    async with at_work(*bad, job(ownfiles.written(tmp_path, "behaves"), "good")) as world:
        world.close(*SAID, "good")
        for name in (*SAID, "good"):
            await world.hear(e.StrategyAnswered, name)
        world.told.clear()
        asked = time.monotonic()
        world.close(*SAID, "good")
        await world.hear(e.StrategyAnswered, "good", within=2.0)
        worst = 0.0
        while sum(isinstance(event, e.StrategyDisabled) for event in world.told) < len(SAID):
            before = time.monotonic()
            await asyncio.sleep(0.01)
            worst = max(worst, time.monotonic() - before)
            assert time.monotonic() - asked < 15
        assert worst < 1.0
        for kind, said in SAID.items():
            problem = (await world.hear(e.StrategyDisabled, kind)).problem
            assert said in problem
            assert "\n" not in problem
        world.close(*SAID, "good")
        await world.hear(e.StrategyAnswered, "good")
        assert world.told == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module' (my.py line"),
        ("import os\nos._exit(3)\n", "its process ended with exit code 3 while starting"),
        ("def broken(:\n", "SyntaxError: invalid syntax (my.py line"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt (my.py line"),
    ],
)
async def test_a_file_that_cannot_be_loaded_disables_its_strategy(text: str, said: str, tmp_path: Path) -> None:
    """What happens while the file is imported is contained like everything else, and the other strategy starts."""
    path = tmp_path / "my.py"
    path.write_text(ownfiles.text_of("behaves") + text)
    async with at_work(job(path, "bad"), job(ownfiles.written(tmp_path, "behaves"), "good")) as world:
        assert said in (await world.hear(e.StrategyDisabled, "bad")).problem
        world.close("bad", "good")
        await world.hear(e.StrategyAnswered, "good")


async def test_a_wrong_parameter_is_the_configurations_mistake(tmp_path: Path) -> None:
    """Names and values are checked against the file's own dataclass, and every mistake says where it stands."""
    path = ownfiles.written(tmp_path, "behaves")
    workers = Workers(
        [
            job(path, "one", params={"lenght": 3}),
            job(path, "two", params={"length": Decimal("2.5")}),
            job(path, "three", use="./behaves.py:Min"),
        ],
        SYMBOLS,
        lambda _: None,
        SystemClock(),
    )
    try:
        with pytest.raises(Misconfigured) as caught:
            await workers.start(together)
    finally:
        await workers.close()
    assert str(caught.value).splitlines() == [
        "my.yaml: strategies[0].params.lenght is not a parameter of ./behaves.py:Mine; did you mean length?",
        "my.yaml: strategies[0].params.length is 2.5, not a whole number; give a whole number",
        "my.yaml: strategies[0].use names a class that the file does not have; it has Mine, MineParams",
    ]


async def test_indicators_have_a_budget_too(tmp_path: Path) -> None:
    """An indicator of the user's own that hangs is ended at a bar on which nothing is decided."""
    path = tmp_path / "my.py"
    slow = "class Slow(SMA):\n    def step(self, row):\n        time.sleep(60 * (row[0] > 111))\n        return super().step(row)\n"
    path.write_text(
        ownfiles.text_of("behaves").replace("class Mine(", slow + "\nclass Mine(").replace('"average": SMA(', '"average": Slow(')
    )
    async with at_work(job(path, budget_s=0.3)) as world:
        world.close()
        problem = (await world.hear(e.StrategyDisabled, "one")).problem
        assert problem.startswith("taking in a bar took longer than its budget of 0.3 s")


# --- what it cannot see ----------------------------------------------------------------------------------------------


async def test_it_sees_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of its process holds what programs need to run and nothing else, whatever the daemon's holds."""
    monkeypatch.setenv("REBALANCED_API_KEY", "canary")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    async with at_work(job(ownfiles.written(tmp_path, "tells"))) as world:
        world.close("one")
        names = set(wanted(await world.hear(e.StrategyAnswered, "one")).signals["*"])
    assert names <= set(environment(os.environ)) | {"LC_CTYPE"}
    assert not {name for name in names if "KEY" in name or "SECRET" in name or "REBALANCED" in name}


def test_the_environment_is_a_list_of_names() -> None:
    """Only named variables pass, so that a secret under any name stays behind."""
    assert set(environment({"PATH": "/bin", "LANG": "C", "TOKEN": "x", "PYTHONPATH": "/a"})) == {
        "PATH",
        "LANG",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
    }


# --- the wire --------------------------------------------------------------------------------------------------------


def test_slices_pass_bit_for_bit() -> None:
    """Prices, flags and ages arrive as they were sent, each slice in arrays of its own."""
    sent = [slice_at(hour) for hour in range(3)]
    sent[-1] = replace(sent[-1], suspect=np.array([True, False]))
    closes, body = pack(sent)
    came = unpack(closes, body, SYMBOLS)
    for one, other in zip(sent, came, strict=True):
        assert one.closes_at == other.closes_at
        assert np.array_equal(one.panel, other.panel)
        assert np.array_equal(one.age, other.age)
        assert np.array_equal(one.synthetic, other.synthetic)
        assert np.array_equal(one.real, other.real)
        assert other.panel.base is None


def test_histories_go_in_pieces() -> None:
    """No frame of history holds more than its bound, and none is lost."""
    many = [slice_at(0)] * (HISTORY_CHUNK // 2 + 1)
    assert [len(part) for part in chunks(many)] == [HISTORY_CHUNK // 2, 1]
    assert chunks([]) == []


@pytest.mark.parametrize("value", [{}, {"weights": 3}, {"weights": {}, "signals": [], "keep": [], "note": ""}, [1]])
def test_an_answer_that_is_none_is_refused(value: object) -> None:
    """Whatever JSON a worker sends, it becomes targets or a ValueError."""
    with pytest.raises(ValueError, match="not targets"):
        targets_from(value)


def test_targets_pass_unchanged() -> None:
    """What is sent is what arrives."""
    assert targets_from(targets_to(LAST)) == LAST
    assert targets_from(targets_to(None)) is None
