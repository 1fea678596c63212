"""The recorder: conclusions reach the journal in order, and none is lost by a stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from daemon.core.events import Event, HoldLifted, HoldWritten, RiskLimited
from daemon.core.states import ACCOUNT
from daemon.io.journal import Fact, Journal, JournalFailed, read
from daemon.io.recorder import Conclusion, Recorder
from tests.core.builders import halted
from tests.io.journal_facts import START, StillClock, a_closing, a_decision, a_settling, an_order, open_journal

ORDER = an_order()
HALT, LIFTED = halted("lost too much", START), HoldLifted(ACCOUNT, "test", "me", START)


def heard(_event: Event) -> None:
    """Nobody listens."""


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    with open_journal(tmp_path / "momo.sqlite") as kept:
        await kept.commit(a_decision(), ORDER)
        yield kept


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel and wait."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_an_order_that_has_ended_is_open_no_more(journal: Journal, tmp_path: Path) -> None:
    """The end of an order, and of its wave, are on disk soon after they were told: a start finds nothing to resume."""
    recorder = Recorder(journal, heard, StillClock())
    task = asyncio.create_task(recorder.run())
    assert not list(recorder.accept(a_closing(ORDER)))
    assert not list(recorder.accept(a_settling(a_decision())))
    async with asyncio.timeout(5):
        while read(tmp_path / "momo.sqlite").open_decision is not None:
            await journal.commit()
    await stop(task)
    record = read(tmp_path / "momo.sqlite")
    assert (record.open_orders, record.last_decision) == ((), a_decision())
    assert await journal.waves() == (a_settling(a_decision()),)


async def test_a_wave_that_sent_nothing_brings_its_decision_along(journal: Journal, tmp_path: Path) -> None:
    """Where no intent was written, the settled wave is the first to name its decision, and both are kept."""
    recorder = Recorder(journal, heard, StillClock())
    recorder.accept(a_settling(a_decision(2)))
    await recorder.commit()
    record = read(tmp_path / "momo.sqlite")
    assert (record.last_decision, record.open_decision) == (a_decision(2), None)


async def test_a_halt_is_kept(journal: Journal, tmp_path: Path) -> None:
    """Why trading was halted can be read after the process has ended."""
    recorder = Recorder(journal, heard, StillClock())
    recorder.accept(halted("the exchange refuses the credentials", START))
    await recorder.commit()
    assert read(tmp_path / "momo.sqlite").holds == (halted("the exchange refuses the credentials", START),)


async def test_a_hold_is_told_once_it_is_on_disk(journal: Journal, tmp_path: Path) -> None:
    """Whoever reads of a halt may kill the process at once: the next start has it."""
    on_disk: list[tuple[Event, tuple[Event, ...]]] = []
    recorder = Recorder(journal, lambda event: on_disk.append((event, read(tmp_path / "momo.sqlite").holds)), StillClock())
    for change in (HALT, LIFTED):
        recorder.accept(change)
        await recorder.commit()
    assert on_disk == [(HoldWritten(HALT, START), (HALT,)), (HoldWritten(LIFTED, START), (HALT, LIFTED))]


async def test_no_order_is_on_disk_before_the_hold_that_it_follows_from() -> None:
    """What was concluded goes with the facts that come after it, in one commit and before them."""
    record = Slow(0)
    recorder = Recorder(record, heard, StillClock())
    recorder.accept(HALT)
    await recorder.commit(a_decision(), ORDER)
    assert record.written == [HALT, a_decision(), ORDER]


class Slow:
    """A journal's writer that lets everything else go first."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.written: list[Fact] = []

    async def commit(self, *facts: Fact) -> None:
        self.written += facts  # as the real one: a caller that is cancelled has it written all the same
        for _ in range(self.turns):
            await asyncio.sleep(0)


@pytest.mark.parametrize("turns", range(12))
async def test_a_stop_at_any_moment_loses_no_conclusion(turns: int) -> None:
    """Stopped after any number of turns of the loop, everything that was accepted is written once, in order, and every hold told."""
    record = Slow(2)
    told: list[Event] = []
    recorder = Recorder(record, told.append, StillClock())
    closings: list[Conclusion] = [a_closing(ORDER), HALT, a_closing(an_order(number=2)), LIFTED, a_closing(an_order(number=3))]
    task = asyncio.create_task(recorder.run())
    for n in range(turns):
        if n < len(closings):
            recorder.accept(closings[n])
        await asyncio.sleep(0)
    await stop(task)
    for closing in closings[turns:]:
        recorder.accept(closing)
    await recorder.commit()
    assert record.written == closings
    assert told == [HoldWritten(HALT, START), HoldWritten(LIFTED, START)]


async def test_a_journal_that_fails_ends_the_job(tmp_path: Path) -> None:
    """What cannot be recorded is not swallowed."""
    journal = open_journal(tmp_path / "momo.sqlite")
    recorder = Recorder(journal, heard, StillClock())
    journal.close()
    recorder.accept(halted("why", START))
    with pytest.raises(JournalFailed):
        await recorder.run()


async def test_limits_reach_the_journal_before_their_decision_in_one_commit(tmp_path: Path) -> None:
    """A limit on the sum of all weights cuts every symbol: what waits together is written together, in order, before anything was sent."""

    class Counted(Slow):
        commits = 0

        async def commit(self, *facts: Fact) -> None:
            self.commits += 1
            await super().commit(*facts)

    record = Counted(0)
    recorder = Recorder(record, heard, StillClock())
    cuts = [RiskLimited("decision-1", f"C{n}/USDT", 0.2, 0.1, "gross", START) for n in range(50)]
    for cut in cuts:
        recorder.accept(cut)
    task = asyncio.create_task(recorder.run())
    for _ in range(5):
        await asyncio.sleep(0)
    await stop(task)
    assert (record.written, record.commits) == (cuts, 1)
    with open_journal(tmp_path / "momo.sqlite") as kept:
        await kept.commit(*cuts)
        assert (await kept.story("C7/USDT", "decision-1")).limits == (cuts[7],)
