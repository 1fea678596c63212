"""Journals of every version there has been: each is brought forward, and none goes back."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from daemon.io.journal import JournalDamaged, read
from daemon.io.journal import schema as schema_module
from daemon.io.journal.schema import MIGRATIONS, connect, migrate
from tests.io.journal_facts import a_decision, open_journal, wave
from tests.io.test_journal_stories import BTC, CUT

EARLIER = range(1, len(MIGRATIONS))
# A step that was once released is never edited, only followed by another one.
STEPS = (
    "42b0cbe1056a4f3b",
    "46c7651d4de0539e",
    "5bfc62c23b6ec75d",
    "9195598cf4a2bb03",
    "75cfee013444db58",
    "716f81ea46735b4e",
    "cb05549910030bcb",
    "7be06c938eb2211c",
)


def made_by(version: int) -> set[tuple[str, str]]:
    """Kind and name of everything in a journal that a program of this version has made."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:version])
        return set(connection.execute("SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"))


def taken_back(path: Path, version: int) -> None:
    """A journal as a program of this version has left it: the tables of later ones were never made."""
    with closing(connect(path)) as connection:
        for kind, name in made_by(len(MIGRATIONS)) - made_by(version):
            if kind == "table":
                connection.execute(f"DROP TABLE {name}")
        connection.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", EARLIER)
async def test_a_journal_of_every_earlier_version_is_brought_forward(version: int, tmp_path: Path) -> None:
    """It is read before, opens after, has lost nothing of what its version kept, and takes what only later ones know."""
    path = tmp_path / "momo.sqlite"
    with open_journal(path) as journal:
        await journal.commit(*wave(1))
    whole = read(path)
    taken_back(path, version)
    assert read(path) == whole
    with open_journal(path) as journal:
        assert journal.recover() == whole
        await journal.commit(CUT)
        story = await journal.story(BTC)
        assert (story.decision, story.limits) == (a_decision(1), (CUT,))
    assert (read(path).fills, read(path).last_decision) == (whole.fills, whole.last_decision)
    with closing(connect(path, read_only=True)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)


@pytest.mark.parametrize("version", EARLIER)
async def test_an_older_program_leaves_a_newer_journal_as_it_is(version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no way back: it says in one sentence which versions these are and what to do, and changes no byte."""
    path = tmp_path / "momo.sqlite"
    with open_journal(path) as journal:
        await journal.commit(*wave(1))
    before = path.read_bytes()
    monkeypatch.setattr(schema_module, "MIGRATIONS", MIGRATIONS[:version])
    for opening in (open_journal, read):
        with pytest.raises(JournalDamaged) as refused:
            opening(path)
        assert f"has version {len(MIGRATIONS)} and this program knows {version}; run the newer program" in str(refused.value)
        assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_a_step_that_was_released_is_not_edited() -> None:
    """Every step is what it was, byte by byte: a journal that has taken it would not be as it was made."""
    assert tuple(sha256("\n".join(step).encode()).hexdigest()[:16] for step in MIGRATIONS) == STEPS
