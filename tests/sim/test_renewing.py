"""A reload and a restart come to the same: whatever of the strategies has changed, from then on the same is decided, crossed and sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from daemon import pulse
from daemon.app import Daemon
from daemon.core.ledger import Ledger
from daemon.core.model import Decision
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import Portfolio
from daemon.io.journal.reader import Reader
from tests.research import files
from tests.sim.tape import TapeExchange
from tests.sim.test_same_orders import LENGTH, MANY, RULES, SYMBOLS, Sent, as_sent, configured, momentum, quiet, taped, traded, worked_off
from tests.sim.trouble import TICK_S
from tests.sim.virtual import SimClock, run

__all__ = ["quiet"]

NEED: Final = 260  # bars of history: more than any of the strategies wants
BEFORE: Final = 18  # bars of the run before the change, which comes in the middle of the next one
BARS: Final = 42

Strategies = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Story:
    """What the journal tells of a run: orders, bookings between sleeves, decisions, and what everybody holds in the end."""

    sent: Sequence[Sent]
    booked: Sequence[tuple[object, ...]]
    decided: Sequence[Decision]
    held: Mapping[tuple[str, str], Decimal]


def told(journal: Path) -> Story:
    with Reader(journal) as reader:
        record = reader.recover()
        sent = [as_sent(order.order) for order in reversed(reader.orders(1000))]
        decided = [wave.decision for wave in reversed(reader.waves(1000))]
    folded = Portfolio((), Ledger(), OrderTable())
    folded.restore(record.flows, record.fills, record.bookings, record.splits, record.order_ids)
    assert not folded.left_over()
    return Story(sent, [(each.id, each.kind, each.entries) for each in record.bookings], decided, folded.holdings())


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slower clock of the daemon, for speed."""
    monkeypatch.setattr(pulse, "TICK_S", TICK_S)


def tape(folder: Path) -> tuple[TapeExchange, SimClock]:
    """A venue of this test's own, always with the same bars."""
    bars = files.stored(folder / "data", NEED + BARS, SYMBOLS, {}, name="10s", timeframe=LENGTH)
    (bars / "markets.json").write_text(str(dict.fromkeys(SYMBOLS, RULES)).replace("'", '"'))
    return taped(bars, NEED)


def lived(folder: Path, before: Strategies, after: Strategies, by: str, history_s: float = 0.0, **sections: Any) -> Story:
    """One account on one tape, with other strategies from the middle of a bar on: by a reload, or by a stop and a start.

    `history_s`: how long the venue takes over a question for bars from then on.
    """
    folder.mkdir()
    exchange, clock = tape(folder)
    config = configured(folder, *before)

    async def change(daemon: Daemon) -> None:
        await clock.sleep((BEFORE * LENGTH).total_seconds())
        exchange.history_s = history_s
        config.write_text(json.dumps(json.loads(configured(folder, *after).read_text()) | sections))
        if by == "reload":
            daemon.reloading.hang_up()
            await worked_off(exchange, clock)
            assert daemon.reloading.settle()

    async def life() -> None:
        await traded(config, exchange, clock, change)
        if by == "restart":
            await traded(config, exchange, clock)

    run(life())
    return told(config.with_name("sim.sqlite"))


MOMO: Final = {**momentum(), "share": 0.5}
PAIR: Final = {**MANY[1], "share": 0.3}
RISK: Final = {**MANY[3], "share": 0.2}
KEEP: Final = {"removed_strategies": "keep"}

CHANGES: Final[dict[str, tuple[Strategies, Strategies, dict[str, Any]]]] = {
    "rule": ([MOMO, PAIR], [each | {"share": "inverse_volatility"} for each in (MOMO, PAIR)], {}),
    "removed": ([MOMO, PAIR], [PAIR], {}),
    "kept": ([MOMO, RISK], [RISK], KEEP),
    "added": ([MOMO], [RISK, MOMO], {}),
    "schedule": ([MOMO, RISK], [MOMO | {"schedule": {"every": 3}}, RISK | {"schedule": {"cron": "* * * * *", "off_target": 0.01}}], {}),
    "all": ([MOMO, PAIR], [RISK | {"share": 0.6}, {**momentum(top=1), "share": 0.25}], KEEP),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_reload_comes_to_what_a_restart_comes_to(tmp_path: Path, change: str) -> None:
    """Same decisions, same bookings between sleeves, same orders to the id, and everybody holds the same to the last digit."""
    before, after, sections = CHANGES[change]
    reloaded, restarted = (lived(tmp_path / by, before, after, by, **sections) for by in ("reload", "restart"))
    assert reloaded.sent == restarted.sent
    assert reloaded.booked == restarted.booked
    assert reloaded.held == restarted.held
    assert [each.id for each in reloaded.decided] == [each.id for each in restarted.decided]
    assert set(reloaded.decided[-1].by_strategy) == {each["name"] for each in after}


def test_no_bar_is_missed_while_the_history_is_read(tmp_path: Path) -> None:
    """However slow the venue is with it, a new strategy decides from its first time on what it would have decided from the beginning."""
    late = lived(tmp_path / "late", [MOMO], [MOMO, RISK], "reload", history_s=2.5 * LENGTH.total_seconds())
    always = lived(tmp_path / "always", [MOMO, RISK], [MOMO, RISK], "reload")
    wanted = {each.id: each.by_strategy for each in always.decided}
    joined = [each for each in late.decided if "risk" in each.by_strategy]
    assert len(joined) > 2
    assert joined[0].as_of > files.START + (NEED + BEFORE + 3) * LENGTH
    for each in joined:
        assert each.by_strategy["risk"].weights == pytest.approx(wanted[each.id]["risk"].weights, rel=1e-9)
    assert [each.by_strategy["momo"].weights for each in late.decided] == [wanted[each.id]["momo"].weights for each in late.decided]


def test_a_wave_ends_under_the_strategies_it_began_with(tmp_path: Path) -> None:
    """A reload between the orders of a wave and their fills counts when the wave has settled, and soon then."""
    exchange, clock = tape(tmp_path)
    config = configured(tmp_path, MOMO, PAIR)
    seen: list[bool] = []

    async def change(daemon: Daemon) -> None:
        manager, portfolio = daemon.traders[0].parts.manager, daemon.traders[0].parts.portfolio
        while manager.wave is None and clock.now() < exchange.ends_at:
            await clock.sleep(0.005)
        configured(tmp_path, PAIR)
        daemon.reloading.hang_up()
        await clock.sleep(0)
        while len(portfolio.names) > 1 and clock.now() < exchange.ends_at:
            seen.append(manager.wave is not None)
            await clock.sleep(0.005)
        assert manager.wave is None
        assert portfolio.names == ("pair",)

    run(traded(config, exchange, clock, change))
    assert True in seen
    assert seen.count(False) <= TICK_S / 0.005


def test_a_reload_during_the_start_waits_for_its_end(tmp_path: Path) -> None:
    """Nothing is exchanged while the history of the start is fed: the change comes behind it, and both strategies decide."""
    exchange, clock = tape(tmp_path)
    exchange.history_s = 3.0
    config = configured(tmp_path, MOMO)
    seen: list[tuple[str, ...]] = []

    async def change(daemon: Daemon) -> None:
        await clock.sleep(1.0)
        configured(tmp_path, RISK, MOMO)
        daemon.reloading.hang_up()
        await clock.sleep(1.0)
        seen.append(daemon.traders[0].parts.portfolio.names)
        await clock.sleep((20 * LENGTH).total_seconds())
        seen.append(daemon.traders[0].parts.portfolio.names)

    run(traded(config, exchange, clock, change))
    assert seen == [("momo",), ("risk", "momo")]
    assert set(told(config.with_name("sim.sqlite")).decided[-1].by_strategy) == {"risk", "momo"}
