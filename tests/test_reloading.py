"""Reloading: a changed configuration counts whole, between waves, or not at all."""

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.assembly.worlds import renewal
from daemon.config import load_all
from daemon.io.api import Impossible
from daemon.io.notify import Notifier
from daemon.parts import ReloadRefused, Renewal
from daemon.reloading import Reloader, Reloading
from tests.io.journal_facts import StillClock
from tests.oneprocess import written

Change = Callable[[dict[str, Any]], object]


def edited(path: Path, change: Change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def change(path: Path, keys: dict[str, Any]) -> None:
    edited(path, lambda content: content.update(keys))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path, {}, mode="paper")


def reloader(path: Path) -> Reloader:
    return Reloader(load_all(path, {}), {}, renewal)


def only(reread: Reloader) -> Callable[[], Renewal]:
    """What it finds for the only account."""

    def found() -> Renewal:
        (renewal,) = reread()
        return renewal

    return found


def test_limits_and_execution_are_taken_up(path: Path) -> None:
    """What changed is named by its key; once it is in force, reading again finds nothing new."""
    reread = only(reloader(path))
    edited(path, lambda content: content.update(risk={"weight_max": 0.3}, execution={"band": 0.05}))
    found = reread()
    assert found.changed == reread().changed == ("execution.band", "risk.weight_max")
    assert (found.settings.limits.weight_max, float(found.settings.rules.band)) == (0.3, 0.05)
    found.in_force()
    assert reread().changed == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(name="other"), "name changed, which needs a restart"),
        (lambda content: content.update(timeframe="1m", risk={"weight_max": 0.3}), "timeframe changed"),
        (lambda content: content["universe"]["symbols"].pop(), "universe.symbols changed"),
        (lambda content: content["strategies"][0].update(use="pairs", params={"pair": ["BTC/USDT", "DOGE/USDT"]}), "DOGE"),
        (lambda content: content["strategies"].clear(), "strategies is empty"),
        (lambda content: content["strategies"].append(content["strategies"][0] | {"name": "two"}), "share"),
        (lambda content: content.update(risk={"weight_maks": 0.3}), "did you mean"),
    ],
)
def test_what_cannot_be_taken_up_changes_nothing(path: Path, change: Change, words: str) -> None:
    """A mistake or a key that needs a restart refuses all of the change, and the next right file is compared with what runs."""
    reread, good = only(reloader(path)), path.read_text()
    edited(path, change)
    with pytest.raises(ReloadRefused, match=words):
        reread()
    path.write_text(good)
    assert reread().changed == ()


def first(**keys: Any) -> Change:
    """Other keys of the first strategy."""
    return lambda content: content["strategies"][0].update(keys)


@pytest.mark.parametrize(
    ("change", "changed", "newcomers"),
    [
        (first(share=0.5), {"strategies.momo.share"}, set()),
        (first(schedule={"every": 7}), {"strategies.momo.schedule.every", "strategies.momo.schedule.at_start"}, set()),
        (first(params={"lookback": 5, "rsi_period": 2, "top": 1}), {"strategies.momo.params.top"}, {"momo"}),
        (first(name="other"), {"strategies.momo", "strategies.other"}, {"other"}),
        (lambda content: content["strategies"].insert(0, {"name": "calm", "use": "equal_weight"}), {"strategies.calm"}, {"calm"}),
        (lambda content: content.update(removed_strategies="keep"), {"removed_strategies"}, set()),
    ],
)
def test_only_what_is_another_strategy_is_made_anew(path: Path, change: Change, changed: set[str], newcomers: set[str]) -> None:
    """Changes are named by strategy and key; a strategy stays the one it is with another share, other due times or another place."""
    edited(path, lambda content: content["strategies"][0].update(share=0.25))
    reread = only(reloader(path))
    edited(path, change)
    edited(path, lambda content: [each.setdefault("share", 0.5) for each in content["strategies"]])
    found = reread()
    assert (set(found.changed), set(found.newcomers)) == (changed, newcomers)
    assert {sleeve.name for sleeve in found.sleeves if sleeve.strategy is not None} == newcomers


def test_a_file_that_is_gone_changes_nothing(path: Path) -> None:
    """A file that is being replaced may be missing for a moment."""
    reread = only(reloader(path))
    path.unlink()
    with pytest.raises(ReloadRefused, match="does not exist"):
        reread()


async def until(what: Callable[[], bool]) -> None:
    for _ in range(500):
        if what():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come")


def reached(lines: Sequence[object], count: int) -> bool:
    return len(lines) >= count


class Office:
    """Reloading whose daemon is in a wave or not."""

    def __init__(self, path: Path) -> None:
        self.in_a_wave = False
        self.taken: list[Renewal] = []
        self.history = asyncio.Event()
        self.broken = False
        self.reloading = Reloading(reloader(path), {"": self}, Notifier(None), StillClock())

    async def prepare(self, renewal: Renewal) -> None:
        await self.history.wait()
        if self.broken:
            raise ReloadRefused("it does not work")

    async def dismiss(self) -> None:
        return None

    def take_up(self, renewal: Renewal) -> bool:
        if not self.in_a_wave:
            self.taken.append(renewal)
            renewal.in_force()
        return not self.in_a_wave


async def test_it_waits_for_the_end_of_a_wave(path: Path) -> None:
    """A wave ends under the configuration that it began with."""
    office = Office(path)
    office.in_a_wave = True
    edited(path, lambda content: content.update(risk={"weight_max": 0.3}))
    assert "after the wave" in await office.reloading.reload()
    assert not office.reloading.settle()
    office.in_a_wave = False
    assert office.reloading.settle()
    assert [found.changed for found in office.taken] == [("risk.weight_max",)]
    office.reloading.settle()
    assert len(office.taken) == 1


async def test_nothing_is_taken_up_while_the_file_is_read(path: Path) -> None:
    """What is read is compared with what runs, which must not become another meanwhile."""
    office = Office(path)
    office.in_a_wave = True
    edited(path, lambda content: content.update(risk={"weight_max": 0.3}))
    await office.reloading.reload()
    office.in_a_wave = False
    async with office.reloading._reading:
        assert not office.reloading.settle()
    assert office.reloading.settle()


async def test_a_hang_up_is_answered_in_the_log(path: Path) -> None:
    """Good or bad, SIGHUP ends with one line that says what came of it, and reloading goes on."""
    office = Office(path)
    job = asyncio.create_task(office.reloading.run())
    with capture_logs() as lines:
        for count, changes in ((1, {"name": "other"}), (2, {"name": "momo", "risk": {"gross": 0.5}})):
            change(path, dict(changes))
            office.reloading.hang_up()
            await until(partial(reached, lines, count))
    job.cancel()
    assert [line["event"] for line in lines] == ["config.refused", "config.reloaded"]


async def test_a_command_hears_why_it_was_refused(path: Path) -> None:
    """Whoever asks by the API is told the sentence that the log has."""
    office = Office(path)
    change(path, {"name": "", "mode": []})
    with pytest.raises(Impossible, match=r"momo\.yaml"):
        await office.reloading.reload()


# --- strategies that have to get ready -------------------------------------------------------------------------------


ANEW = first(params={"lookback": 5, "rsi_period": 2, "top": 1})


def calmer(content: dict[str, Any]) -> None:
    """As at first, but for a limit."""
    content["strategies"][0]["params"]["top"] = 2
    content["risk"] = {"gross": 0.5}


async def preparing(office: Office) -> asyncio.Task[None]:
    """The job beside it."""
    job = asyncio.create_task(office.reloading._takings[""].prepare())
    await asyncio.sleep(0)
    return job


async def test_a_new_strategy_is_taken_up_once_it_is_ready(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has asked is told that it takes a while; when it is ready, it waits for the end of a wave like everything."""
    monkeypatch.setattr("daemon.reloading.ANSWER_S", 0.01)
    office = Office(path)
    job = await preparing(office)
    edited(path, ANEW)
    assert "once momo can decide" in await office.reloading.reload()
    assert office.reloading.settle()
    assert office.taken == []
    office.in_a_wave = True
    office.history.set()
    await until(lambda: not office.reloading.settle())
    office.in_a_wave = False
    assert office.reloading.settle()
    assert [found.newcomers for found in office.taken] == [{"momo"}]
    job.cancel()


async def test_one_that_does_not_work_changes_nothing(path: Path) -> None:
    """The sentence goes to whoever has asked, and to the log; the next right file is compared with what runs."""
    office = Office(path)
    job = await preparing(office)
    office.broken = True
    office.history.set()
    edited(path, ANEW)
    with capture_logs() as lines, pytest.raises(Impossible, match="it does not work"):
        await office.reloading.reload()
    assert [line["event"] for line in lines] == ["config.preparing", "config.refused"]
    edited(path, first(params={"lookback": 5, "rsi_period": 2, "top": 2}))
    assert "has not changed" in await office.reloading.reload()
    assert office.taken == []
    job.cancel()


async def test_the_newest_file_counts(path: Path) -> None:
    """A reload while another gets its strategies ready takes its place at once, however long the history would have taken."""
    office = Office(path)
    job = await preparing(office)
    edited(path, ANEW)
    slow = asyncio.create_task(office.reloading.reload())
    await until(lambda: office.reloading._takings[""]._patience is not None)
    edited(path, calmer)
    assert "taken up" in await office.reloading.reload()
    with pytest.raises(Impossible, match="read again meanwhile"):
        await slow
    assert [found.changed for found in office.taken] == [("risk.gross",)]
    job.cancel()


async def test_a_file_that_is_restored_takes_back_what_waits(path: Path) -> None:
    """What runs is what counts: with the old file again, a change that still waits for a wave never comes to be."""
    office = Office(path)
    office.in_a_wave = True
    edited(path, lambda content: content.update(risk={"gross": 0.5}))
    await office.reloading.reload()
    edited(path, lambda content: content.pop("risk"))
    assert "has not changed" in await office.reloading.reload()
    office.in_a_wave = False
    assert office.reloading.settle()
    assert office.taken == []
