"""The journal checked and copied beside the daemon that writes it."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.io.journal import JournalDamaged, JournalFailed, back_up, read, verify
from tests.io.journal_facts import a_flow, a_settling, an_order, life, open_journal, wave


def filled(path: Path, waves: int = 5) -> Path:
    """A closed journal with some waves in it."""

    async def fill() -> None:
        with open_journal(path) as journal:
            await journal.commit(a_flow())
            for number in range(1, waves + 1):
                decision, *orders = wave(number)
                await journal.commit(decision, *orders, *life(an_order(number=number), f"t{number}", f"v{number}"))
                await journal.commit(a_settling(decision))  # type: ignore[arg-type]

    asyncio.run(fill())
    return path


def spoilt(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def test_a_whole_journal_is_counted(tmp_path: Path) -> None:
    """Every table with its rows, the same beside a writer and after it."""
    rows = verify(filled(tmp_path / "j.sqlite"))
    assert (rows["decisions"], rows["orders"], rows["fills"], rows["flows"], rows["waves"]) == (5, 15, 5, 1, 5)
    with open_journal(tmp_path / "j.sqlite"):
        assert verify(tmp_path / "j.sqlite") == rows


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fills SET amount = '9' WHERE seq = 3",
        "UPDATE flows SET currency = 'BTC'",
        "UPDATE waves SET payload = '{}' WHERE seq = 2",
        "UPDATE order_events SET at = at + 1 WHERE seq = 4",
        "DROP INDEX fills_by_order",
    ],
)
def test_a_row_that_was_changed_by_hand_is_found(statement: str, tmp_path: Path) -> None:
    """Whatever was changed in whichever table, nothing of it passes as whole, and no copy is made of it."""
    path = filled(tmp_path / "j.sqlite")
    spoilt(path, statement)
    with pytest.raises(JournalDamaged):
        verify(path)
    with pytest.raises(JournalDamaged):
        back_up(path, tmp_path / "copy.sqlite")
    assert [file.name for file in tmp_path.iterdir() if "copy" in file.name] == []


def test_a_copy_under_load_is_whole(tmp_path: Path) -> None:
    """While waves are written, a copy has all that was acknowledged before it began, passes every check, and opens as a journal."""
    path = tmp_path / "j.sqlite"

    async def copied() -> int:
        with open_journal(path) as journal:
            for number in range(1, 200):
                await journal.commit(*wave(number))
            task = asyncio.create_task(asyncio.to_thread(back_up, path, tmp_path / "copy.sqlite"))
            number = 200
            while not task.done():
                await journal.commit(*wave(number))
                number += 1
            return (await task)["decisions"]

    decisions = asyncio.run(copied())
    assert decisions >= 199
    with open_journal(tmp_path / "copy.sqlite") as copy:
        assert len(copy.recover().open_orders) == 3 * decisions
    assert not (tmp_path / "copy.sqlite.new").exists()


def test_a_copy_never_replaces_a_file(tmp_path: Path) -> None:
    """What is there already stays; so does a folder that cannot be written to."""
    path = filled(tmp_path / "j.sqlite", 1)
    (tmp_path / "copy.sqlite").write_text("precious")
    with pytest.raises(JournalFailed, match="name another one"):
        back_up(path, tmp_path / "copy.sqlite")
    assert (tmp_path / "copy.sqlite").read_text() == "precious"
    with pytest.raises(JournalFailed, match="nowhere"):
        back_up(path, tmp_path / "nowhere" / "copy.sqlite")


def test_the_verbs_say_what_they_found(tmp_path: Path) -> None:
    """One sentence each, with the documented exit code where the journal is damaged or missing."""
    config = tmp_path / "p.yaml"
    config.write_text(
        "name: momo\nmode: paper\nexchange: {id: binance}\nuniverse: {quote: USDT, symbols: [BTC/USDT]}\ntimeframe: 1h\n"
        f"strategies: [{{name: e, use: equal_weight}}]\njournal: {{path: {tmp_path / 'j.sqlite'}}}\n"
    )
    runner = CliRunner()
    missing = runner.invoke(app, ["journal", "verify", str(config)])
    assert (missing.exit_code, "\n" in missing.output.strip(), "there is no journal" in missing.output) == (74, False, True), missing.output
    mistaken = runner.invoke(app, ["journal", "verify", str(filled(tmp_path / "other.sqlite"))])
    assert (mistaken.exit_code, "is a journal, not a configuration" in mistaken.output) == (78, True), mistaken.output
    filled(tmp_path / "j.sqlite")
    whole = runner.invoke(app, ["journal", "verify", str(config)])
    assert (whole.exit_code, "is whole: " in whole.output, "fills 5" in whole.output) == (0, True, True), whole.output
    copied = runner.invoke(app, ["journal", "backup", str(config), str(tmp_path / "copy.sqlite")])
    assert (copied.exit_code, "is a whole copy of" in copied.output) == (0, True), copied.output
    assert read(tmp_path / "copy.sqlite") == read(tmp_path / "j.sqlite")
    spoilt(tmp_path / "j.sqlite", "UPDATE fills SET price = '1' WHERE seq = 1")
    damaged = runner.invoke(app, ["journal", "verify", str(config)])
    assert (damaged.exit_code, "damaged" in damaged.output) == (65, True), damaged.output
