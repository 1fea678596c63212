"""Tracing: each stage of a wave is stamped where it ends, and all who tell of it tell the same."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.core import events as e
from daemon.core.model import Decision, Slice
from daemon.io.clock import SystemClock
from daemon.io.journal import Journal
from daemon.telling.tracing import STAGES, WAVES_MAX, Tracer
from tests.core.builders import order
from tests.oneprocess import at_work, exchange, opened, written

AT = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Counting:
    """A clock that is a millisecond later whenever it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        return self.asked * 1_000_000


def closed(at: datetime = AT) -> e.SliceClosed:
    panel = np.ones((5, 1))
    return e.SliceClosed(Slice(at, ("BTC/USDT",), panel, np.zeros(1, np.bool_), np.zeros(1, np.int64)), at)


def decided(number: int = 1, as_of: datetime = AT) -> e.TargetsChosen:
    return e.TargetsChosen(Decision(f"d{number}", as_of, {}, frozenset(), {}, AT), AT)


def settled(chosen: e.TargetsChosen) -> e.WaveSettled:
    return e.WaveSettled(chosen.decision, {}, Decimal(1), 0, 0, {}, {}, {}, 0.0, 0, AT)


def test_stages_are_counted_from_the_last_bar() -> None:
    """Bar, slice, decision, plan, journal, first byte, last answer and end: each once, in this order, in ms since the bar."""
    tracer, chosen = Tracer(Counting()), decided()
    tracer.received()
    tracer.received()
    tracer.hear(closed())
    tracer.hear(chosen)
    tracer.hear(e.PlanMade("d1", 1, (), {}, AT))
    orders = (order("a"), order("b"))
    tracer.hear(e.SubmitOrders(chosen.decision, orders, AT))
    tracer.journalled("d1")
    for name in ("a", "b"):
        tracer.leaving("d1")
        tracer.hear(e.OrderRefused(name, "funds", "", AT))
        tracer.hear(e.OrderRefused(name, "funds", "", AT))
    told = tracer.finish(settled(chosen))
    assert tuple(told.stages) == STAGES
    assert list(told.stages.values()) == [0, 1, 2, 3, 4, 5, 7, 8]  # the first answer came at 6
    assert tracer.finish(settled(chosen)) is told


def test_a_wave_without_a_bar_counts_from_its_decision() -> None:
    """A decision on no fresh slice is not counted from the bars of an old one, and a wave that was never seen has no stages."""
    tracer, chosen = Tracer(Counting()), decided(as_of=AT + timedelta(hours=1))
    tracer.received()
    tracer.hear(closed())
    tracer.hear(chosen)
    assert tracer.finish(settled(chosen)).stages == {"decided": 0.0, "settled": 1.0}
    assert tracer.finish(settled(decided(2))).stages == {}


def test_waves_that_never_settle_are_forgotten() -> None:
    """What is kept is bounded."""
    tracer = Tracer(Counting())
    for number in range(WAVES_MAX + 1):
        tracer.hear(decided(number))
    assert not tracer.finish(settled(decided(0))).stages
    assert tracer.finish(settled(decided(WAVES_MAX))).stages


async def test_log_journal_and_api_tell_the_same_stages(tmp_path: Path) -> None:
    """A wave of the whole daemon has every stage, in order, and says it alike wherever it is read."""
    async with exchange() as venue, at_work(await opened(written(tmp_path, venue.ccxt_urls()))) as run:
        wave = await run.settled()
        _, rows = await run.get("/api/v1/decisions")
    assert tuple(wave.stages) == STAGES
    assert list(wave.stages.values()) == sorted(wave.stages.values())
    assert next(row for row in rows if row["id"] == wave.decision.id)["wave"]["stages"] == wave.stages


async def test_a_trace_is_told_without_a_daemon(tmp_path: Path) -> None:
    """`trace CONFIG` reads the newest wave out of the journal, `trace ID CONFIG` the one that is named, or says that there is none."""
    config = written(tmp_path, {})
    config.write_text(json.dumps(json.loads(config.read_text()) | {"api": {"port": 9}, "journal": {"path": str(tmp_path / "momo.sqlite")}}))
    waves = [replace(settled(decided(number)), stages={"decided": 0.0, "settled": float(number)}) for number in (1, 2)]
    with Journal.open(tmp_path / "momo.sqlite", instance="momo", mode="sandbox", clock=SystemClock()) as journal:
        for wave in waves:
            await journal.commit(wave.decision)
            await journal.commit(wave)

    def told(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["trace", *arguments, str(config)])
        return result.stdout if result.exit_code == 0 else result.stderr

    assert json.loads(told("--json"))["stages"] == {"decided": 0.0, "settled": 2.0}
    assert told("d1").split()[-2:] == ["1.000", "1.000"]
    assert "knows no wave of decision d9" in told("d9")
    assert told("d9").rstrip().endswith("the newest is d2")
