"""The journal in good days: what is committed comes back, once, in order, whoever asks."""

import asyncio
import shutil
import sqlite3
import stat
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from daemon.core.events import (
    HoldLifted,
    HoldPlaced,
    OrderFilled,
    OrderNotFound,
    OrderRefused,
    OrderSent,
    OrderUnknown,
    SleevesBooked,
)
from daemon.core.model import Booking, Entry
from daemon.core.restraint import restore
from daemon.core.states import ACCOUNT, Hold, Level, Scope, States
from daemon.core.styles import Parent, Style
from daemon.io.journal import Command, Journal, JournalConflict, Put, read, verify
from daemon.io.journal.codec import micros
from daemon.io.journal.schema import connect
from tests.core.builders import halted
from tests.io.journal_facts import (
    START,
    SYMBOLS,
    StillClock,
    a_closing,
    a_decision,
    a_fill,
    a_flow,
    a_report,
    a_settling,
    an_order,
    life,
    open_journal,
    wave,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "momo.sqlite"


async def test_a_fresh_journal_knows_nothing(path: Path) -> None:
    """The first start finds no fills, no orders, no decision, no halt."""
    with open_journal(path) as journal:
        recovered = journal.recover()
        assert (recovered.fills, recovered.flows, recovered.open_orders, dict(recovered.values)) == ((), (), (), {})
        assert (recovered.last_decision, recovered.open_decision, recovered.holds, recovered.last_fill_at) == (None, None, (), None)
        assert journal.run_id == 1


async def test_a_journal_knows_when_it_began(path: Path) -> None:
    """However often it was opened since, its beginning stays: due times from then on are owed."""
    with open_journal(path) as journal:
        began = journal.recover().began
    assert began is not None
    with open_journal(path) as journal:
        assert journal.run_id == 2
        assert journal.recover().began == began


async def test_what_is_committed_comes_back_exactly(path: Path) -> None:
    """After a restart every fill, flow, value and open order is the one that was written, to the digit and the microsecond."""
    done, left = an_order("BTC/USDT"), an_order("ETH/USDT", attempt=2)
    events = (OrderSent(left.id, START), a_report(left, venue_id="43"), OrderUnknown(left.id, "reset", START + timedelta(seconds=3)))
    with open_journal(path) as journal:
        await journal.commit(a_decision(), done, left)
        await journal.commit(*life(done, "7001", "42"))
        await journal.commit(*events, a_flow(), Put("paper", '{"USDT": "9.10"}'))
    with open_journal(path) as journal:
        recovered = journal.recover()
    assert recovered.fills == (a_fill(done),)
    assert str(recovered.fills[0].cost) == "77.1012000"
    assert recovered.flows == (a_flow().flow,)
    assert recovered.open_orders == ((left, events),)
    assert recovered.last_fill_at == a_fill(done).at
    assert recovered.values == {"paper": '{"USDT": "9.10"}'}
    assert recovered.last_decision == recovered.open_decision == a_decision()
    assert recovered.attempts == {"BTC/USDT": 1, "ETH/USDT": 2}
    assert (recovered.order_of("BTC/USDT", "42"), recovered.order_of("ETH/USDT", "43")) == (done.id, left.id)


async def test_venue_numbers_belong_to_a_symbol(path: Path) -> None:
    """Two symbols' orders may carry the same number at the venue; each is found by its own symbol, and no third one is."""
    btc, eth = an_order("BTC/USDT"), an_order("ETH/USDT")
    with open_journal(path) as journal:
        await journal.commit(a_decision(), btc, eth, a_report(btc), a_report(eth))
        recovered = journal.recover()
    assert [recovered.order_of(symbol, "42") for symbol in SYMBOLS] == [btc.id, eth.id, None]


async def test_writing_again_changes_nothing(path: Path) -> None:
    """A trade that stream and REST both tell, a flow seen twice, an intent sent again: each is recorded once."""
    order = an_order()
    with open_journal(path) as journal:
        await journal.commit(a_decision(), order, OrderFilled(a_fill(order), START), a_flow())
        before = journal.recover()
        await journal.commit(a_decision(), order, OrderFilled(a_fill(order, named=False), START + timedelta(seconds=9)), a_flow(amount="1"))
        assert journal.recover() == before


async def test_an_id_stands_for_one_intent(path: Path) -> None:
    """A second, different intent under an id is refused, with nothing of its commit written; the journal goes on."""
    with open_journal(path) as journal:
        await journal.commit(a_decision(), an_order())
        with pytest.raises(JournalConflict, match="one intent"):
            await journal.commit(Put("beside", "it"), an_order(amount="0.00121"))
        await journal.commit(Put("after", "it"))
        recovered = journal.recover()
    assert recovered.values == {"after": "it"}
    assert [order for order, _ in recovered.open_orders] == [an_order()]


async def test_a_caller_s_mistake_is_its_own(path: Path) -> None:
    """Commits that share a transaction with a wrong one are written and acknowledged all the same."""
    naive = OrderSent("r1", START.replace(tzinfo=None))
    with open_journal(path) as journal:
        good, wrong, orphan, last = await asyncio.gather(
            journal.commit(Put("a", "1")),
            journal.commit(Put("b", "1"), naive),
            journal.commit(an_order()),
            journal.commit(Put("c", "1")),
            return_exceptions=True,
        )
        assert (good, last) == (None, None)
        assert isinstance(wrong, TypeError)
        assert isinstance(orphan, JournalConflict)  # an order without its decision could never be explained
        assert dict(journal.recover().values) == {"a": "1", "c": "1"}


async def test_commits_keep_their_order_and_share_transactions(path: Path) -> None:
    """Five hundred commits at once are recorded in the order they were made, in far fewer transactions."""
    with open_journal(path) as journal:
        await journal.commit(a_decision(), an_order())
        moments = [START + timedelta(microseconds=k) for k in range(500)]
        await asyncio.gather(*(journal.commit(OrderNotFound(an_order().id, at, at)) for at in moments))
        ((_, events),) = journal.recover().open_orders
        assert [event.at for event in events] == moments
    with sqlite3.connect(path) as connection:
        transactions = connection.execute("SELECT count(*) FROM commits").fetchone()[0]
    connection.close()
    assert transactions < 50


async def test_a_cancelled_caller_leaves_the_journal_whole(path: Path) -> None:
    """A caller that goes away while its commit is under way disturbs nobody, and what it offered is written."""
    with open_journal(path) as journal:
        gone = asyncio.ensure_future(journal.commit(Put("gone", "1")))
        await asyncio.sleep(0)
        gone.cancel()
        await journal.commit(Put("stays", "1"))
        assert gone.cancelled()
        assert dict(journal.recover().values) == {"gone": "1", "stays": "1"}


async def test_what_waits_is_written_before_the_end(path: Path) -> None:
    """Closing takes along what had been offered, and nothing after it."""
    journal = open_journal(path)
    offered = [asyncio.ensure_future(journal.commit(Put(str(k), ""))) for k in range(20)]
    await asyncio.sleep(0)
    journal.close()
    await asyncio.gather(*offered)
    assert len(read(path).values) == 20


async def test_a_wave_of_five_hundred_intents_is_one_commit(path: Path) -> None:
    """A decision over 500 symbols and all its intents come back from one transaction."""
    orders = [replace(an_order(), id=f"r{k}", symbol=f"S{k}/USDT") for k in range(500)]
    with open_journal(path) as journal:
        await journal.commit(a_decision(), *orders)
        assert [order for order, _ in journal.recover().open_orders] == orders


async def test_only_a_newest_unsettled_decision_is_open(path: Path) -> None:
    """A restart works on the newest decision unless it has settled; an older one that never settled has been superseded."""
    with open_journal(path) as journal:
        await journal.commit(*wave(2))
        assert journal.recover().open_decision == a_decision(2)
        await journal.commit(a_settling(a_decision(3)))  # nothing had to be sent: the wave itself brings its decision
        assert (journal.recover().last_decision, journal.recover().open_decision) == (a_decision(3), None)
        await journal.commit(a_decision(1))  # late, and older
        assert (journal.recover().last_decision, journal.recover().attempts) == (a_decision(3), {})
        assert await journal.waves() == (a_settling(a_decision(3)),)


async def test_a_halt_survives_a_restart_until_it_is_lifted(path: Path) -> None:
    """Holds come back as they were placed, whatever they are about, and so does the word that lifted one."""
    pause = Hold(scope=Scope(symbol="BTC/USDT"), level=Level.PAUSED, code="spike", text="why", since=START, by="me", until=START)
    facts = (halted("drawdown of 26 % exceeds 25 %", START), HoldPlaced(pause, START), HoldLifted(ACCOUNT, "test", "me", START))
    with open_journal(path) as journal:
        for fact in facts:
            await journal.commit(fact)
    with open_journal(path) as journal:
        assert journal.recover().holds == facts
        states = States()
        restore(states, facts)
        assert states.holds() == (pause,)


async def test_what_sleeves_gave_each_other_comes_back(path: Path) -> None:
    """A booking between sleeves and for whom an order trades are read as they were written, each once."""
    crossed = Booking("d1-cross", "cross", (Entry("a", "BTC", Decimal("0.1")), Entry("b", "BTC", Decimal("-0.1"))), START)
    order = replace(an_order(SYMBOLS[0]), split={"a": Decimal("0.3"), "unassigned": Decimal("0.00000001")})
    with open_journal(path) as journal:
        await journal.commit(
            a_decision(), order, SleevesBooked(crossed, START), SleevesBooked(crossed, START), Command("pause", "", "me", START)
        )
        recovered = journal.recover()
    assert recovered.bookings == (crossed,)
    assert recovered.splits == {order.id: order.split}
    assert recovered.open_orders[0][0] == order


async def test_a_limit_comes_back(path: Path) -> None:
    """The worst price of an order is read as it was written, by a start, by the API and by its story; written again it is the same."""
    order, market_order = replace(an_order(SYMBOLS[0]), limit=Decimal("64571.30")), an_order(SYMBOLS[1])
    with open_journal(path) as journal:
        await journal.commit(a_decision(), order, market_order)
        await journal.commit(order)
    with open_journal(path) as journal:
        assert [each for each, _ in journal.recover().open_orders] == [order, market_order]
        assert {record.order.limit for record in await journal.orders(5)} == {order.limit, None}
        assert (await journal.story(SYMBOLS[0])).orders[0].record.order == order
    assert verify(path)["limits"] == 1


async def test_a_parent_and_its_resting_child_come_back(path: Path) -> None:
    """A start learns of the schedules of the newest decision, and of an order that it rests, from the rows of one commit."""
    child = replace(an_order(SYMBOLS[0]), limit=Decimal("64571.30"), post_only=True)
    parent = Parent(
        decision_id=child.decision_id,
        symbol=child.symbol,
        side=child.side,
        first=child.attempt,
        amount=Decimal("0.5"),
        price=Decimal("64580.1"),
        style=Style.TWAP,
        at=child.at,
        until=child.at + timedelta(minutes=30),
        slices=30,
        interval=timedelta(minutes=1),
    )
    with open_journal(path) as journal:
        await journal.commit(a_decision(), parent, child)
        await journal.commit(parent, child)
        recovered = journal.recover()
        assert recovered.parents == (parent,)
        assert [order for order, _ in recovered.open_orders] == [child]
        (record,) = await journal.orders(5)
        assert record.order == child
        await journal.commit(a_decision(2), replace(parent, decision_id=a_decision(2).id))
        assert [each.decision_id for each in journal.recover().parents] == [a_decision(2).id]
    assert verify(path)["parents"] == 2
    assert verify(path)["resting"] == 1


async def test_the_newest_come_first(path: Path) -> None:
    """The API's questions are answered newest first, as many as asked for, with what became of each order."""
    done, refused, waiting = (an_order(symbol) for symbol in SYMBOLS)
    with open_journal(path) as journal:
        await journal.commit(*wave(1))
        await journal.commit(a_report(done), OrderFilled(a_fill(done, "1"), START), OrderFilled(a_fill(done, "2", named=False), START))
        await journal.commit(a_closing(done), OrderRefused(refused.id, "insufficient_funds", "-2010", START), a_closing(refused))
        await journal.commit(a_decision(2))
        newest, second, third = await journal.orders()
        assert (newest.order, newest.state, newest.filled, newest.closed_at) == (waiting, None, Decimal(0), None)
        assert (second.order, second.state, second.reason) == (refused, "filled", "insufficient_funds")
        assert (third.order, third.filled, third.cost) == (done, 2 * done.amount, Decimal("154.2024"))
        assert [record.order for record in await journal.orders(1)] == [waiting]
        assert [fill.trade_id for fill in await journal.fills()] == ["2", "1"]
        assert await journal.decisions(1) == (a_decision(2),)
        assert await journal.events_of(done.id) == (a_closing(done), a_report(done))
        assert await journal.events_of("nobody's") == ()
        assert await journal.fills(-1) == ()


async def test_foreign_orders_and_trades_are_recorded_as_foreign(path: Path) -> None:
    """An order or trade of somebody else's hand is kept, belongs to no intent of ours and opens no order."""
    theirs = an_order("SOL/USDT")
    with open_journal(path) as journal:
        await journal.commit(a_report(theirs, venue_id="99"), OrderFilled(a_fill(theirs, venue_id="99", named=False), START))
        recovered = journal.recover()
    assert len(recovered.fills) == 1
    assert (recovered.open_orders, recovered.order_of("SOL/USDT", "99")) == ((), None)


async def test_a_reader_beside_the_daemon_sees_what_is_acknowledged(path: Path) -> None:
    """`read` needs no lock and shows every acknowledged commit of a journal that is being written."""
    with open_journal(path) as journal:
        await journal.commit(Put("a", "1"))
        assert read(path) == journal.recover()
        assert read(path).values == {"a": "1"}


async def test_each_run_is_recorded_with_how_it_ended(path: Path) -> None:
    """Runs are counted; an orderly end and a failing one leave their reason, a killed one leaves none."""
    open_journal(path).close("asked to stop")
    with pytest.raises(ZeroDivisionError), open_journal(path):
        raise ZeroDivisionError("text that may quote a secret")
    with open_journal(path) as journal:
        assert journal.run_id == 3
        connection = connect(path, read_only=True)
        rows = connection.execute("SELECT run_id, version, config_hash, reason, ended FROM runs").fetchall()
        connection.close()
    assert rows == [
        (1, "0.1.0", "c0ffee", "asked to stop", micros(START)),
        (2, "0.1.0", "c0ffee", "failed: ZeroDivisionError", micros(START)),
        (3, "0.1.0", "c0ffee", None, None),
    ]


async def test_a_journal_closes_once_and_leaves_one_file(path: Path, tmp_path: Path) -> None:
    """After the end the log is empty, so the database file alone is the whole journal; closing again does nothing."""
    journal = open_journal(path)
    await journal.commit(Put("a", "1"))
    journal.close()
    journal.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["momo.sqlite", "momo.sqlite.lock"]
    shutil.copy(path, tmp_path / "alone.sqlite")
    assert read(tmp_path / "alone.sqlite").values == {"a": "1"}


def test_only_the_owner_may_read_it(path: Path) -> None:
    """Directory 0700, files 0600, also where a copy had been put back with wider permissions."""
    open_journal(path).close()
    path.chmod(0o644)
    with open_journal(path):
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes == dict.fromkeys(("momo.sqlite", "momo.sqlite-wal", "momo.sqlite-shm", "momo.sqlite.lock"), 0o600)


@pytest.mark.parametrize("read_only", [False, True])
def test_every_connection_is_set_for_durability(path: Path, read_only: bool) -> None:
    """WAL, full synchronisation, foreign keys, no trust in the schema, patience: none is left to SQLite's defaults."""
    with Journal.open(path, instance="momo", mode="paper", clock=StillClock()):
        connection = connect(path, read_only=read_only)
        names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "busy_timeout", "application_id")
        values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
        connection.close()
    assert values == ["wal", 2, 1, 0, 5000, 0x72656261]
