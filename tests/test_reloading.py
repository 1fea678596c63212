"""Reloading: a changed configuration counts whole, between waves, or not at all."""

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.config import load
from daemon.io.api import Impossible
from daemon.io.notify import Notifier
from daemon.parts import ReloadRefused, Renewal
from daemon.reloading import Reloader, Reloading
from daemon.worlds import renewal
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
    return Reloader(load(path, {}), {}, renewal)


def test_limits_and_execution_are_taken_up(path: Path) -> None:
    """What changed is named by its key, and its new value is in force; reading again finds nothing new."""
    reread = reloader(path)
    edited(path, lambda content: content.update(risk={"weight_max": 0.3}, execution={"band": 0.05}))
    found = reread()
    assert found.changed == ("execution.band", "risk.weight_max")
    assert (found.settings.limits.weight_max, float(found.settings.rules.band)) == (0.3, 0.05)
    assert reread().changed == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(name="other"), "name changed, which needs a restart"),
        (lambda content: content.update(timeframe="1m", risk={"weight_max": 0.3}), "timeframe changed"),
        (lambda content: content["universe"]["symbols"].pop(), "universe.symbols changed"),
        (lambda content: content.update(risk={"weight_maks": 0.3}), "did you mean"),
    ],
)
def test_what_cannot_be_taken_up_changes_nothing(path: Path, change: Change, words: str) -> None:
    """A mistake or a key that needs a restart refuses all of the change, and the next right file is compared with what runs."""
    reread, good = reloader(path), path.read_text()
    edited(path, change)
    with pytest.raises(ReloadRefused, match=words):
        reread()
    path.write_text(good)
    assert reread().changed == ()


def test_a_file_that_is_gone_changes_nothing(path: Path) -> None:
    """A file that is being replaced may be missing for a moment."""
    reread = reloader(path)
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
        self.reloading = Reloading(reloader(path), self.take_up, Notifier(None), StillClock())

    def take_up(self, found: Renewal) -> bool:
        if not self.in_a_wave:
            self.taken.append(found)
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
