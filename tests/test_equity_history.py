"""What an account was worth in the course of time: marked, kept, and thinned for whoever asks."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.events import EquityMarked
from daemon.core.model import EPOCH
from tests.io.journal_facts import START, open_journal
from tests.test_views import World, running, world

__all__ = ["world"]  # the fixture

D = Decimal
MARK = EquityMarked(
    equity=D("100000.12"), cash=D("75000"), contributed=D("1E+5"), gross=0.25, net=-0.25, value=1.0000012, drawdown=0.5, at=START
)


def marked(world: World) -> list[EquityMarked]:
    """Three minutes of slices, one in twenty seconds: what is said of the equity."""
    said: list[EquityMarked] = []
    running(world)
    for _ in range(9):
        world.clock.at += timedelta(seconds=20)
        said += world.views.on_slice(world.slice(50_000.0, 3_000.0))
    return said


async def test_the_account_is_marked_once_a_minute_at_most(world: World) -> None:
    """With bars of seconds there is one mark a minute, and it is what the status says."""
    said = marked(world)
    assert [mark.at - said[0].at for mark in said] == [timedelta(minutes=n) for n in range(3)]
    assert (said[-1].equity, said[-1].cash, said[-1].gross) == (D("100000.0"), D("75000"), 0.25)


async def test_nothing_is_marked_before_the_account_is_known(world: World) -> None:
    """Before the first comparison with the exchange, and without a price of what is held, there is no mark."""
    world.load()
    assert not list(world.views.on_slice(world.slice(50_000.0, 3_000.0)))


async def test_a_mark_comes_back_exactly(tmp_path: Path) -> None:
    """To the last digit and bit; a second mark of a moment changes nothing."""
    with open_journal(tmp_path / "momo.sqlite") as journal:
        await journal.commit(MARK)
        await journal.commit(replace(MARK, equity=D(1)))
        (back,) = await journal.equity(EPOCH)
    assert (back, str(back.contributed)) == (MARK, "1E+5")


@settings(max_examples=15)
@given(steps=st.lists(st.integers(1, 500), min_size=1, max_size=30), limit=st.integers(1, 8), later=st.integers(0, 2000))
async def test_a_long_history_is_thinned_evenly(steps: list[int], limit: int, later: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """At most so many rows, newest first, the newest and everything since among them, no two of one stretch."""
    moments = [START + timedelta(minutes=sum(steps[: n + 1])) for n in range(len(steps))]
    since = START + timedelta(minutes=later)
    with open_journal(tmp_path_factory.mktemp("equity") / "momo.sqlite") as journal:
        await journal.commit(*(replace(MARK, at=at) for at in moments))
        rows = [mark.at for mark in await journal.equity(since, limit)]
    there = [at for at in moments if at >= since]
    assert rows == sorted(set(rows), reverse=True)
    assert (len(rows) <= limit, set(rows) <= set(there), rows[:1]) == (True, True, there[-1:])
    stretch = (there[-1] - there[0]) / limit + timedelta(microseconds=1) if there else timedelta(0)
    assert not there or rows[-1] < there[0] + stretch, "the first stretch has its row, as the last has"


async def test_a_journal_of_an_earlier_version_has_no_history(tmp_path: Path) -> None:
    """Read beside an older daemon, which has no such table, it is empty and no error."""
    path = tmp_path / "momo.sqlite"
    with open_journal(path) as journal:
        journal._store._connection.execute("DROP TABLE equity")
        assert await journal.equity(EPOCH) == ()


async def test_decisions_are_told_with_what_became_of_them(world: World) -> None:
    """One that waits stands first, without a wave, before it is written."""
    (row,) = await running(world).views.decisions(10)
    assert (row["id"], row["targets"], row["strategies"], row["wave"]) == ("d1", {"BTC/USDT": 0.3}, {"momo": {"BTC/USDT": 0.3}}, None)
