"""Retention: what explains may go, what money rests on stays."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.cli.shared import open_journal
from daemon.config import load
from daemon.core.events import EquityMarked, PlanMade, RiskLimited
from daemon.forgetting import forgetting
from daemon.io.journal import Journal, JournalError, read, verify
from daemon.io.journal.codec import moment
from tests.core.plans import some_case
from tests.io.journal_facts import START, SYMBOLS, StillClock, a_decision, a_flow, a_settling, an_order, life, wave
from tests.oneprocess import written

DAY = timedelta(days=1)


def marked(hours: float) -> EquityMarked:
    """What the account was worth so long after the beginning."""
    return EquityMarked(Decimal(100), Decimal(50), Decimal(100), 0.5, 0.5, 1.0, 0.0, START + timedelta(hours=hours))


async def filled(path: Path, clock: StillClock) -> Journal:
    """A journal with an old wave, an order that is still open, a newer one, and the history of some hours."""
    journal = Journal.open(path, instance="momo", mode="paper", clock=clock)
    inputs = some_case(5)
    made = PlanMade("decision-1", 1, (), {}, START, {}, {}, inputs)
    await journal.commit(a_flow(amount="10000"), *wave(1), made, RiskLimited("decision-1", SYMBOLS[0], 0.5, 0.3, "weight_max", START))
    await journal.commit(*life(an_order(), "7001", "42"), a_settling(a_decision()))
    await journal.commit(*wave(2), replace(made, decision_id="decision-2", at=START + 10 * DAY))
    for minute in range(0, 180, 20):
        await journal.commit(marked(minute / 60))
    await journal.commit(marked(240), marked(240.1))
    return journal


async def test_a_restart_after_retention_is_the_same(tmp_path: Path) -> None:
    """Everything that a start folds is as it was, to the last row; the journal is whole, and a second time there is nothing to remove."""
    clock = StillClock()
    with await filled(tmp_path / "j.sqlite", clock) as journal:
        before = read(tmp_path / "j.sqlite")
        counted = verify(tmp_path / "j.sqlite")
        clock.at = START + 10 * DAY
        removed = journal.thin(5 * DAY)
        again = journal.thin(5 * DAY)
    assert read(tmp_path / "j.sqlite") == before
    now = verify(tmp_path / "j.sqlite")
    assert (removed, again) == (sum(counted.values()) - sum(now.values()), 0)
    assert {table for table in counted if counted[table] != now[table]} == {"decision_events", "equity"}


async def test_what_is_new_keeps_its_detail(tmp_path: Path) -> None:
    """Plans within the time are kept with their inputs, and of old hours the last point of the equity."""
    clock = StillClock()
    with await filled(tmp_path / "j.sqlite", clock) as journal:
        clock.at = START + 10 * DAY
        journal.thin(5 * DAY)
        assert [len((await journal.story(SYMBOLS[0], f"decision-{number}")).plans) for number in (1, 2)] == [0, 1]
    with closing(sqlite3.connect(tmp_path / "j.sqlite")) as other:
        minutes = [(moment(at) - START) / timedelta(minutes=1) for (at,) in other.execute("SELECT at FROM equity ORDER BY at")]
    assert minutes == [20, 80, 140, 160, 14400, 14406]  # it began at half past


async def test_a_disk_that_refuses_changes_nothing(tmp_path: Path) -> None:
    """Where a row cannot be removed, none is."""
    clock = StillClock()
    with await filled(tmp_path / "j.sqlite", clock) as journal:
        with closing(sqlite3.connect(tmp_path / "j.sqlite")) as other:
            other.execute("CREATE TRIGGER no BEFORE DELETE ON equity BEGIN SELECT RAISE(ABORT, 'no'); END")
        clock.at = START + 10 * DAY
        before = verify(tmp_path / "j.sqlite")
        with pytest.raises(JournalError):
            journal.thin(5 * DAY)
        assert verify(tmp_path / "j.sqlite") == before


async def test_a_start_removes_what_the_configuration_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening the journal to trade removes detail that is older than the key allows, and nothing where there is no key."""
    monkeypatch.chdir(tmp_path)
    (await filled(tmp_path / "momo.sqlite", StillClock())).close()
    before = verify(tmp_path / "momo.sqlite")
    for section, kept in (({}, True), ({"detail": "30d"}, False)):
        open_journal(load(written(tmp_path, {}, mode="paper", journal={"path": "momo.sqlite", **section}), {})).close()
        assert (verify(tmp_path / "momo.sqlite") == before) is kept


class DayByDay(StillClock):
    """Sleeps at once, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left = times

    async def sleep(self, seconds: float) -> None:
        if not self._left:
            raise asyncio.CancelledError
        self._left -= 1
        self.at += timedelta(seconds=seconds)


async def test_each_day_removes_what_has_grown_old(tmp_path: Path) -> None:
    """While it is written to, in its turn: detail goes when its day has come, and each time it is said how much."""
    clock = DayByDay(7)
    with await filled(tmp_path / "j.sqlite", clock) as journal, capture_logs() as said:
        before, counted = read(tmp_path / "j.sqlite"), verify(tmp_path / "j.sqlite")
        with pytest.raises(asyncio.CancelledError):
            await forgetting(journal, 5 * DAY, clock)
    rows = [line["rows"] for line in said if line["event"] == "journal.thinned"]
    now = verify(tmp_path / "j.sqlite")
    gone = sum(counted[table] - now[table] for table in ("decision_events", "equity"))
    assert (rows[:4], len(rows), sum(rows)) == ([0, 0, 0, 0], 7, gone)
    assert read(tmp_path / "j.sqlite") == before


def test_it_is_off_unless_it_is_given(tmp_path: Path) -> None:
    """Without the key all is kept, and with it a length of time is read."""
    assert load(written(tmp_path, {}, mode="paper"), {}).journal.detail is None
    assert load(written(tmp_path, {}, mode="paper", journal={"detail": "90d"}), {}).journal.detail == 90 * DAY
