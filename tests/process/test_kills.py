"""Kills: a SIGKILL at any instant loses nothing and does nothing twice, neither at one with a name nor at any other.

`make kills KILLS=60` aims more of them: three of four at the named points, one after the other, the rest anywhere; with POINT at those
points alone whose names have it in them.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.io.journal import read
from daemon.io.journal.reader import ask
from tests.process.books import Waves, disagreements, intents, of_venue, opening
from tests.process.crashpoints import POINTS, Point, place
from tests.process.support import SYMBOLS, Daemon, Venue, written

IN_ALL = int(os.environ.get("REBALANCED_KILLS", "5"))
KILLS = max(IN_ALL // 4, 2)
NAMED = IN_ALL - KILLS
SEED = int(os.environ.get("REBALANCED_SEED", "1"))
AIMED: tuple[Point, ...] = tuple(point for point in POINTS if os.environ.get("REBALANCED_POINT", "") in point.name)

# From the plan to the last fill a wave on loopback takes some twenty milliseconds.
AIM_S = 0.040

# An order that was written and never sent is known to be absent after some twenty seconds; many starts in a minute meet the rate gate.
RESOLVED_S = 120.0


def test_kills_inside_waves(venue: Venue, tmp_path: Path) -> None:
    """Killed again and again inside waves, it sends no order twice, and ledger, account and targets agree in the end."""
    chance = random.Random(SEED)
    # Each wave is followed by a poll of weight 100; every second would use up what the venue allows in a minute.
    config, journal = written(tmp_path, venue, every=2), tmp_path / "momo.sqlite"
    lines: list[Mapping[str, Any]] = []
    aims: list[str] = []
    for _ in range(KILLS):
        with Daemon(config) as daemon:
            event = chance.choice(("plan.made", "order.submitted"))
            # The first wave after a start may be the one that was killed; whichever it is, there is something to lose.
            plan = daemon.planned(within=RESOLVED_S)
            daemon.wait(event, since=daemon.lines.index(plan))
            delay = chance.uniform(0, AIM_S)
            time.sleep(delay)
            daemon.kill()
            settled = daemon.count("wave.settled")
            aims.append(f"{event} of {plan['decision_id']} + {delay * 1000:.1f} ms: {settled} settled")
            lines += daemon.lines
    with Daemon(config) as daemon:
        whole = daemon.wait("wave.settled", where=lambda line: "order_unknown" not in line["left"].values(), within=RESOLVED_S)
        daemon.settled(since=daemon.lines.index(whole) + 1)
        daemon.stop()
        lines += daemon.lines
        errors = [line for line in daemon.complaints() if line["level"] == "error"]
    told = f"seed {SEED}: {'; '.join(aims)}"
    state = venue.state()
    assert disagreements(state, journal, SYMBOLS) == [], told
    assert read(journal).open_orders == (), told
    assert errors == [], told
    waves = Waves(lines, of_venue(state, SYMBOLS), opening(state), venue.rules())
    assert {name: excess for name, excess in waves.excess().items() if excess > 0} == {}, told
    print(f"\n{KILLS} kills, {len(state['orders'])} orders, {len(state['trades'])} trades, {len(waves.settled)} waves\n{told}")  # noqa: T201


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_every_point_is_in_the_program(point: Point) -> None:
    """What is wrapped to kill the daemon is called so still: else nothing would be killed there, unless chance chose it."""
    owner, name = place(point.target)
    assert callable(vars(owner)[name]) or isinstance(vars(owner)[name], classmethod)


@pytest.mark.timeout(NAMED * 60)
def test_kills_at_named_points(venue: Venue, tmp_path: Path) -> None:
    """Killed at one point of an order's life after the other, it sends no order twice, and journal and venue are one in the end."""
    chance = random.Random(SEED)
    config, journal = written(tmp_path, venue, every=2), tmp_path / "momo.sqlite"
    order = chance.sample(AIMED, len(AIMED))
    aimed = [(point, chance.randint(1, point.passings)) for point in (order[at % len(order)] for at in range(NAMED))]
    for point, passing in aimed:
        killed_at(point, passing, venue, config)
        state = venue.state()
        assert state["violations"] == [], f"seed {SEED}, {point.name}, passing {passing}"
    with Daemon(config) as daemon:
        whole = daemon.wait("wave.settled", where=lambda line: "order_unknown" not in line["left"].values(), within=RESOLVED_S)
        since = daemon.lines.index(whole) + 1
        daemon.settled(since=since)
        daemon.stop()
        lines = daemon.lines[since:]
    state = venue.state()
    told = f"seed {SEED}: {[(point.name, passing) for point, passing in aimed]}"
    assert disagreements(state, journal, SYMBOLS) == [], told
    assert read(journal).open_orders == (), told
    waves = Waves(lines, of_venue(state, SYMBOLS), opening(state), venue.rules())
    assert {name: excess for name, excess in waves.excess().items() if excess > 0} == {}, told
    hits = Counter(point.name for point, _ in aimed)
    print("\n" + "\n".join(f"{point.name:40}{hits[point.name]:>4}" for point in POINTS))  # noqa: T201
    print(f"{NAMED} kills, {len(state['orders'])} orders, {len(state['trades'])} trades; seed {SEED}")  # noqa: T201


def killed_at(point: Point, passing: int, venue: Venue, config: Path) -> None:
    """One life that ends at this point, by its own hand."""
    if point.trouble:
        venue.post("/venue/faults", **point.trouble)
    with Daemon(config, program=("tests.process.crashpoints", "kill", point.name, str(passing), "run")) as daemon:
        if point.stops:
            daemon.planned(within=RESOLVED_S)
            daemon.send(signal.SIGTERM)
        assert daemon.end(RESOLVED_S, at=point.name) == -signal.SIGKILL, daemon.story()
    venue.mend()


def test_a_due_rebalance_is_neither_lost_nor_done_twice(venue: Venue, tmp_path: Path) -> None:
    """A rebalance that a kill has interrupted is finished by the next start, and by no start after that."""
    # Due once a day: but for midnight, whatever happens after the first decision happens for its sake.
    config, journal = written(tmp_path, venue, every=86_400, reconcile={"every": "10s"}), tmp_path / "momo.sqlite"
    with Daemon(config) as daemon:
        # The venue has answered, and next to nothing of it is in the journal.
        daemon.wait(where=lambda line: line["event"] in ("order.accepted", "order.filled"))
        daemon.kill()
    unfinished = read(journal).open_decision
    with Daemon(config) as daemon:
        daemon.wait("trading.started", within=RESOLVED_S)
        if unfinished is not None:
            daemon.settled(within=RESOLVED_S)
        daemon.stop()
    with Daemon(config) as daemon:
        daemon.wait("trading.started", within=RESOLVED_S)
        daemon.wait("slice.closed", since=len(daemon.lines))
        daemon.wait("slice.closed", since=len(daemon.lines))
        daemon.stop()
        assert daemon.count("plan.made") == 0
    state = venue.state()
    assert disagreements(state, journal, SYMBOLS) == []
    bought = {record.order.symbol: record.filled for record in intents(journal) if record.filled}
    (wave,) = ask(journal, lambda reader: reader.waves(10))
    assert bought.keys() == wave.decision.weights.keys()
    assert all(abs(distance) < 0.02 for distance in wave.off_target.values()), wave
