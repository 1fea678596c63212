"""Stories: what a decision meant for a symbol comes back from the journal as it happened, and nothing of another symbol with it."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from math import inf
from pathlib import Path

import pytest

from daemon.core.events import (
    CorrelationCalmed,
    CorrelationHigh,
    OrderClosed,
    OrderFilled,
    OrderLimited,
    OrderReported,
    OrderSent,
    PlanMade,
    RiskLimited,
    RiskRefused,
)
from daemon.core.model import Side
from daemon.core.planner import plan, replay
from daemon.io.journal import Journal, JournalDamaged, PlanRecord, ask, read
from daemon.io.journal.schema import MIGRATIONS, migrate
from tests.core.plans import some_case
from tests.io.journal_facts import START, a_closing, a_decision, a_fill, a_settling, an_order, life, open_journal, wave

BTC, ETH = "BTC/USDT", "ETH/USDT"
CUT = RiskLimited("decision-1", BTC, 1 / 3, 0.25, "weight_max", START)
LATER_CUT = RiskLimited("decision-1", BTC, 0.25, 0.1 + 0.2, "gross", START)
PLAN = PlanMade("decision-1", 1, (an_order(), an_order(ETH)), {"SOL/USDT": "in_band"}, START)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    with open_journal(tmp_path / "momo.sqlite") as kept:
        yield kept


async def test_a_decision_is_told_from_limit_to_settling(journal: Journal) -> None:
    """Limits, plans, orders with their facts and trades, and the settled wave: each as it was written, to the bit, in order."""
    order = an_order()
    await journal.commit(CUT, LATER_CUT, RiskLimited("decision-1", ETH, 1.0, 0.5, "gross", START))
    await journal.commit(*wave(1), PLAN)
    await journal.commit(*life(order, "7001", "42"), *life(an_order(ETH), "7002", "43"), a_settling(a_decision()))
    told = await journal.story(BTC)
    assert (told.decision, told.limits, told.wave) == (a_decision(), (CUT, LATER_CUT), a_settling(a_decision()))
    assert told.plans == (PlanRecord(1, (order.id, an_order(ETH).id), {"SOL/USDT": "in_band"}, START),)
    (only,) = told.orders
    assert (only.record.order, only.record.state, only.fills) == (order, "filled", (a_fill(order),))
    assert [type(fact) for fact in only.facts] == [OrderSent, OrderReported, OrderClosed]


async def test_a_plan_can_be_made_again_from_the_journal(journal: Journal) -> None:
    """With its inputs comes everything that it follows from: planning them again gives the same legs and reasons."""
    inputs = some_case(5)
    made = plan(inputs)
    assert made.legs
    await journal.commit(*wave(1), PlanMade("decision-1", 1, (), made.left, START, made.changed, made.needs, inputs))
    (kept,) = (await journal.story(BTC)).plans
    assert (kept.changed, kept.needs, kept.fingerprint) == (made.changed, made.needs, inputs.fingerprint)
    assert repr(replay(kept.inputs)) == repr(made)


async def test_what_limits_took_from_orders_is_told(journal: Journal) -> None:
    """Cuts and refusals of a symbol's orders come back as they were written, in order of time; what could not be measured is null."""
    cut = OrderLimited("decision-1", BTC, Side.BUY, Decimal("0.10"), Decimal("0.07"), "order_notional_max", 5000.5, 3500.0, START)
    refused = RiskRefused("decision-1", BTC, Side.SELL, Decimal(3), "price_deviation_max", inf, 0.05, START + timedelta(seconds=1))
    await journal.commit(*wave(1), refused, replace(cut, symbol=ETH), cut)
    assert (await journal.story(BTC)).order_cuts == (cut, replace(refused, found=None))


async def test_a_limit_keeps_what_it_saw(journal: Journal) -> None:
    """A cluster's symbols and their correlation, a sector's name: all of a cut is in the journal."""
    saw = replace(CUT, found=0.8, most=0.4, group="layer1", together=(ETH, "SOL/USDT"), correlation=0.93)
    await journal.commit(*wave(1), saw)
    assert (await journal.story(BTC)).limits == (saw,)


async def test_a_start_knows_the_last_days_orders(journal: Journal) -> None:
    """Those of the day before the newest, each with what it traded if it has ended; and what wave and watch said last."""
    old, ended, alive = (replace(an_order(number=n), at=START + timedelta(hours=hour)) for n, hour in ((1, 0), (2, 25), (3, 26)))
    settled = a_settling(a_decision(3))
    for number, order in ((1, old), (2, ended)):
        await journal.commit(a_decision(number), order, a_closing(order))
    await journal.commit(OrderFilled(a_fill(ended), ended.at), a_decision(3), alive, settled)
    await journal.commit(CorrelationHigh(0.9, 0.6, START))
    found = journal.recover()
    fill = a_fill(ended)
    assert list(found.traded()) == [(ended, (fill.amount, fill.cost)), (alive, None)]
    assert (found.last_wave, found.correlation_high) == (settled, True)
    await journal.commit(CorrelationCalmed(0.7, 0.65, START))
    assert not journal.recover().correlation_high


async def test_any_decision_can_be_asked_for(journal: Journal) -> None:
    """By its id; the newest without one; and of one that was never made nothing is known."""
    await journal.commit(*wave(1))
    await journal.commit(*wave(2))
    assert (await journal.story(BTC)).decision == a_decision(2)
    assert (await journal.story(BTC, "decision-1")).decision == a_decision(1)
    nothing = await journal.story(BTC, "decision-3")
    assert (nothing.decision, nothing.limits, nothing.plans, nothing.orders, nothing.wave) == (None, (), (), (), None)


async def test_an_empty_journal_has_no_story(journal: Journal) -> None:
    """Before the first decision there is none, and that is no error."""
    assert (await journal.story(BTC)).decision is None


async def test_a_limit_that_was_changed_on_disk_is_refused(journal: Journal, tmp_path: Path) -> None:
    """A row is read as it was written or not at all."""
    await journal.commit(CUT)
    with closing(sqlite3.connect(tmp_path / "momo.sqlite")) as connection:
        connection.execute("UPDATE decision_events SET payload = replace(payload, '0.25', '0.26')")
        connection.commit()
    with pytest.raises(JournalDamaged, match="decision_events"):
        await journal.story(BTC, "decision-1")


OF_SWAPS = ("reducing", "profits", "flow_symbols")


async def test_a_journal_of_the_first_version_is_brought_forward_and_read_before(tmp_path: Path) -> None:
    """One that was written before limits were kept is read as it is, keeps its rows when it is opened, and takes limits from then on."""
    path = tmp_path / "momo.sqlite"
    with open_journal(path) as journal:
        await journal.commit(*wave(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        since = ("decision_events", "holds", "commands", "bookings", "splits", "limits", "parents", "resting", "equity", "slices", "tapes")
        for table in (*since, *OF_SWAPS):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")
    told = ask(path, lambda reader: reader.story(BTC))
    assert (told.decision, told.limits, told.plans) == (a_decision(), (), ())
    recovered = read(path)
    assert (recovered.holds, recovered.bookings, recovered.splits, recovered.parents) == ((), (), {}, ())
    with open_journal(path) as journal:
        await journal.commit(CUT)
        assert (await journal.story(BTC)).limits == (CUT,)


def test_the_first_version_stays_what_it_was() -> None:
    """What has been released is not edited: a journal of version 1 has these tables and no other."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:1])
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert "decision_events" not in tables
    assert {"decisions", "orders", "order_events", "fills", "flows", "waves", "switches"} <= tables
