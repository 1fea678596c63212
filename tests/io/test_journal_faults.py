"""The journal in bad days: two instances, kills, flipped bits, lost files, full and broken disks, half migrations."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.core.events import OrderSent
from daemon.io.journal import Journal, JournalDamaged, JournalError, JournalFailed, JournalLocked, Put, Recovered, read
from daemon.io.journal.schema import MIGRATIONS, connect, migrate
from daemon.io.journal.store import Batch
from daemon.io.journal.writer import Writer
from tests.io.journal_facts import START, SYMBOLS, a_flow, an_order, life, open_journal, wave

BATCH = Batch((), START)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "momo.sqlite"


async def fill(journal: Journal) -> None:
    """Some waves, the last with an order that has not ended."""
    for number in range(1, 4):
        await journal.commit(*wave(number))
        for k, symbol in enumerate(SYMBOLS):
            if (number, k) != (3, 1):
                await journal.commit(*life(an_order(symbol, number), f"{number}{k}", f"{number}00{k}"))
    await journal.commit(a_flow(), OrderSent(an_order("ETH/USDT", 3).id, START), Put("paper", "{}"))


def recover(path: Path) -> Recovered:
    with open_journal(path) as journal:
        return journal.recover()


def files_beside(path: Path) -> dict[str, bytes]:
    """The journal with its log, its index and its lock file, as a kill would leave them now."""
    return {file.name: file.read_bytes() for file in path.parent.glob(f"{path.name}*")}


def put_down(files: Mapping[str, bytes], folder: Path) -> Path:
    """Write such files into a folder; the path of the journal among them."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / "momo.sqlite"


def survives(path: Path, truth: Recovered) -> bool:
    """Whether the journal is usable, in which case it must say the truth; if not it must say so properly."""
    try:
        assert recover(path) == truth
    except JournalError as error:
        assert_sentence(error, path)
        return False
    return True


def assert_sentence(error: JournalError, path: Path) -> None:
    """File, what is wrong, remedy; in one line."""
    text = str(error)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert "; " in text


# --- two instances ---------------------------------------------------------------------------------------------------


def killed_after(path: Path, acknowledged: int) -> list[int]:
    """Start a process that commits without end, kill it once so many commits were acknowledged, and say which ones were."""
    child = subprocess.Popen([sys.executable, "-m", "tests.io.journal_facts", str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = []
    for line in child.stdout:
        lines.append(line)
        if len(lines) == acknowledged:
            child.send_signal(signal.SIGKILL)
    child.stdout.close()
    child.wait()
    return [int(line) for line in lines if line.endswith("\n")]


def test_a_second_process_is_refused_with_the_first_one_s_id(path: Path) -> None:
    """While one process holds the journal another is told which one, and exits 75; the first goes on."""
    with open_journal(path):
        code = (
            "import sys, pathlib; from tests.io.journal_facts import open_journal; from daemon.io.journal import JournalError\n"
            "try: open_journal(pathlib.Path(sys.argv[1]))\n"
            "except JournalError as error: print(error, file=sys.stderr); sys.exit(error.exit_code)\n"
        )
        second = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=30)
    assert second.returncode == 75
    assert f"process {os.getpid()} holds this journal" in second.stderr


def test_the_lock_is_free_after_the_end(path: Path) -> None:
    """A closed journal, and one that could not be opened, can be opened by the next."""
    with open_journal(path), pytest.raises(JournalLocked) as refused:
        open_journal(path)
    assert_sentence(refused.value, path)
    with pytest.raises(JournalDamaged):
        open_journal(path, mode="live")
    open_journal(path).close()


def test_a_link_is_no_second_journal(path: Path) -> None:
    """Through a symbolic link the same journal is reached, and the same lock."""
    link = path.with_name("link.sqlite")
    link.symlink_to(path)
    with open_journal(link), pytest.raises(JournalLocked):
        open_journal(path)
    assert path.exists()


# --- kills -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acknowledged", [1, 23, 90])
def test_a_kill_loses_nothing_that_was_acknowledged(path: Path, acknowledged: int) -> None:
    """After SIGKILL every acknowledged commit is there, what is there is a prefix, and each commit is there whole."""
    acked = killed_after(path, acknowledged)
    recovered = recover(path)
    numbers = [int(order.decision_id.removeprefix("decision-")) for order, _ in recovered.open_orders]
    whole = range(1, len(numbers) // len(SYMBOLS) + 1)
    assert numbers == [number for number in whole for _ in SYMBOLS]
    assert acked == list(range(1, len(acked) + 1))
    assert len(acked) <= len(whole)
    assert recovered.last_decision is not None
    assert recovered.last_decision.id == f"decision-{len(whole)}"


async def test_a_killed_run_is_followed_by_the_next(path: Path, tmp_path: Path) -> None:
    """What a killed daemon leaves behind (log, index, lock file) opens as it is."""
    journal = open_journal(path)
    await fill(journal)
    left = files_beside(path)
    truth = journal.recover()
    journal.close()
    assert recover(put_down(left, tmp_path / "left")) == truth


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [True, False], ids=["database", "log"])
async def test_a_flipped_bit_is_refused_or_harmless(path: Path, tmp_path: Path, closed: bool) -> None:
    """Wherever a bit flips, in the database or in the log of a killed run, the journal comes back exactly or is refused."""
    journal = open_journal(path)
    await fill(journal)
    truth = journal.recover()
    if closed:
        journal.close()
    kept = files_beside(path)
    journal.close()
    name = path.name if closed else f"{path.name}-wal"
    chance = random.Random(5)
    survived = 0
    for turn in range(100):
        bent = bytearray(kept[name])
        offset = turn if closed and turn < 40 else chance.randrange(len(bent))  # the header first
        bent[offset] ^= 1 << chance.randrange(8)
        survived += survives(put_down({**kept, name: bytes(bent)}, tmp_path / str(turn)), truth)
    assert survived < 100


async def test_a_lost_log_is_noticed(path: Path) -> None:
    """A log that is cut short or gone takes acknowledged commits with it: refused, with how many and what to do."""
    journal = open_journal(path)
    await fill(journal)
    kept = files_beside(path)
    journal.close()
    for cut in (0, len(kept["momo.sqlite-wal"]) // 2):
        put_down({**kept, "momo.sqlite-wal": kept["momo.sqlite-wal"][:cut]}, path.parent)
        with pytest.raises(JournalDamaged, match=r"has lost its last \d+ commits"):
            open_journal(path)
    path.with_name("momo.sqlite.lock").unlink()  # as the sentence says: a person goes on from what is there
    assert recover(path).last_decision is not None


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"# not a database\n" * 300], ids=["empty", "header", "text"])
def test_a_file_that_is_no_journal_is_refused(path: Path, content: bytes) -> None:
    """An empty, cut or foreign file is never taken for a fresh journal, nor written to."""
    path.write_bytes(content)
    with pytest.raises(JournalDamaged) as refused:
        open_journal(path)
    assert_sentence(refused.value, path)
    assert path.read_bytes() == content


def test_another_program_s_database_is_refused(path: Path) -> None:
    """A sound SQLite file that is not ours is left alone."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    for opening in (open_journal, read):
        with pytest.raises(JournalDamaged, match="not a journal of rebalanced"):
            opening(path)


def test_a_log_without_its_database_is_refused(path: Path) -> None:
    """A lost database file is not replaced by an empty one."""
    path.with_name(path.name + "-wal").write_bytes(b"x")
    with pytest.raises(JournalDamaged, match="missing beside its write-ahead log"):
        open_journal(path)
    assert not path.exists()


def test_a_journal_moved_away_makes_room_for_a_new_one(path: Path) -> None:
    """Whoever moves the file away starts anew; the count of the old one does not judge the new one."""

    async def commit(journal: Journal) -> None:
        await journal.commit(Put("a", "1"))

    with open_journal(path) as journal:
        asyncio.run(commit(journal))
    path.rename(path.with_name("old.sqlite"))
    assert recover(path).values == {}
    assert recover(path).values == {}


@pytest.mark.parametrize(("instance", "mode"), [("momo", "live"), ("pairs", "paper")])
def test_a_journal_belongs_to_one_instance_in_one_mode(path: Path, instance: str, mode: str) -> None:
    """A paper journal never becomes a live one, nor one instance's another's."""
    open_journal(path).close()
    with pytest.raises(JournalDamaged, match="belongs to instance momo in mode paper") as refused:
        open_journal(path, instance, mode)
    assert_sentence(refused.value, path)
    assert refused.value.exit_code == 65


def test_a_constraint_that_is_gone_is_noticed(path: Path) -> None:
    """Tables other than the ones that were made are refused: each-trade-once rests on them."""
    open_journal(path).close()
    connection = connect(path)
    connection.execute("DROP INDEX orders_by_decision")
    connection.close()
    with pytest.raises(JournalDamaged, match="orders_by_decision is not as it was made"):
        open_journal(path)


# --- versions --------------------------------------------------------------------------------------------------------


def test_a_newer_journal_is_left_alone(path: Path) -> None:
    """There is no way back: a journal of a newer program is refused for writing and for reading."""
    open_journal(path).close()
    connection = connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    for opening in (open_journal, read):
        with pytest.raises(JournalDamaged, match="run the newer program"):
            opening(path)


def test_a_migration_is_done_or_not_begun(path: Path) -> None:
    """A step that fails half-way leaves the version and the tables of the step before; tried again, it goes on from there."""
    open_journal(path).close()
    connection = connect(path)
    step = ("CREATE TABLE added (x TEXT) STRICT",)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*MIGRATIONS, step, ("CREATE TABLE more (x TEXT) STRICT", "nonsense")))
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    assert (connection.execute("PRAGMA user_version").fetchone()[0], "added" in tables, "more" in tables) == (
        len(MIGRATIONS) + 1,
        True,
        False,
    )
    migrate(connection, (*MIGRATIONS, step, ("CREATE TABLE more (x TEXT) STRICT",)))
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS) + 2
    connection.close()


def test_a_journal_half_built_is_built_again(path: Path) -> None:
    """What a crash during the first start leaves aside is neither used nor in the way."""
    path.with_name(path.name + ".new").write_bytes(b"half")
    assert recover(path).values == {}
    assert not path.with_name(path.name + ".new").exists()


# --- disks -----------------------------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Where no directory or file can be made the answer is one sentence and exit code 74."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.sqlite").mkdir()
    for path in (tmp_path / "file" / "momo.sqlite", tmp_path / "file" / "deeper" / "momo.sqlite", tmp_path / "folder.sqlite"):
        with pytest.raises(JournalFailed) as refused:
            open_journal(path)
        assert_sentence(refused.value, path)
        assert refused.value.exit_code == 74


def test_a_missing_journal_cannot_be_read(path: Path) -> None:
    """Reading never creates a journal."""
    with pytest.raises(JournalFailed):
        read(path)
    assert not path.exists()


async def test_a_full_disk_stops_the_record_and_keeps_what_it_has(path: Path) -> None:
    """Once the disk is full the commit fails, so does every later one without being tried, and what was acknowledged is intact."""
    journal = open_journal(path)
    await fill(journal)
    before = journal.recover()
    journal._store._connection.execute("PRAGMA max_page_count = 1")  # SQLite never goes below what it has, and answers SQLITE_FULL beyond
    with pytest.raises(JournalFailed, match="full") as refused:
        await journal.commit(Put("large", "x" * 100_000))
    assert_sentence(refused.value, path)
    journal._store._connection.execute("PRAGMA max_page_count = 100000")
    with pytest.raises(JournalFailed):
        await journal.commit(Put("small", "x"))
    assert journal.failed is not None
    journal.close()
    assert recover(path) == before


class FailingSink:
    """A disk that takes `good` groups and then breaks."""

    def __init__(self, good: int) -> None:
        self.good = good
        self.tried = 0

    def write(self, batches: Sequence[Batch]) -> list[Exception | None]:
        self.tried += 1
        if self.tried > self.good:
            raise OSError(5, "Input/output error")
        return [None for _ in batches]


async def test_after_a_failed_write_nothing_is_tried_again() -> None:
    """A failed fsync is not repeated (it might report what is lost as written): everybody waiting hears of it, everybody later too."""
    sink = FailingSink(good=1)
    writer = Writer(sink)
    await writer.commit(BATCH)
    outcomes = await asyncio.gather(*(writer.commit(BATCH) for _ in range(50)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {JournalFailed}
    assert len({id(outcome) for outcome in outcomes}) == 50  # each its own, so that tracebacks do not pile up on one
    with pytest.raises(JournalFailed, match="Input/output error"):
        await writer.commit(BATCH)
    writer.stop()
    assert sink.tried == 2


async def test_more_commits_than_may_wait_take_their_turn() -> None:
    """A full queue makes its callers wait; none is lost, none overtakes, and a caller that gives up waiting takes no place."""
    order: list[int] = []
    writer = Writer(FailingSink(good=10**6), waiting_max=3)

    async def one(number: int) -> None:
        await writer.commit(BATCH)
        order.append(number)

    callers = [asyncio.ensure_future(one(number)) for number in range(40)]
    await asyncio.sleep(0)
    callers[39].cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    writer.stop()
    assert order == list(range(39))


async def test_nothing_is_accepted_after_the_end(path: Path) -> None:
    """A commit or a question that comes after the close is told so instead of waiting for ever."""
    journal = open_journal(path)
    journal.close()
    with pytest.raises(JournalFailed, match="closed"):
        await journal.commit(Put("a", "1"))
    with pytest.raises(JournalFailed, match="closed"):
        await journal.orders()


def test_an_ended_loop_does_not_stop_the_writer(path: Path) -> None:
    """When the loop has ended before its answer came, the commit is on disk and the journal closes in order."""
    journal = open_journal(path)

    async def offer_and_leave() -> None:
        offered = asyncio.ensure_future(journal.commit(Put("a", "1")))
        await asyncio.sleep(0)
        offered.cancel()

    asyncio.run(offer_and_leave())
    journal.close()
    assert read(path).values == {"a": "1"}


async def test_e8_a_long_reader_does_not_leave_a_long_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a reader that stays the log grows, which is told once; when it has gone the log is used again, and at rest it is small."""
    monkeypatch.setattr("daemon.io.journal.journal.LOG_MAX", 4_000_000)
    journal = open_journal(path)
    log = path.with_name(path.name + "-wal")
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM commits").fetchone()

    async def busy(*rounds: int) -> int:
        for number in rounds:
            await asyncio.gather(*(journal.commit(Put(f"{number}/{key}", "x" * 2000)) for key in range(100)))
        return log.stat().st_size

    with capture_logs() as said:
        grown = await busy(*range(40))
    assert grown > 5_000_000
    assert [line["event"] for line in said] == ["journal.log_long"]
    assert said[0]["bytes"] > 4_000_000
    reader.execute("COMMIT")
    assert await busy(*range(40, 80)) <= grown + 5_000_000, "the log is used again from its beginning"
    reader.close()
    journal.close()
    assert not log.exists() or log.stat().st_size == 0
