"""A swarm of stories: the whole daemon in virtual time, crashed, lied to and cut off, must keep the venue's books to the last digit.

`make swarm SEEDS=20000` tells more of them.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from daemon.core.ordertable import State
from tests.sim.swarm.__main__ import command, quietly, story
from tests.sim.swarm.faults import FAULTS_MIN, OF_SWAPS, Fault, Kind, schedule
from tests.sim.swarm.life import tell
from tests.sim.swarm.matrix import Matrix, empty
from tests.sim.swarm.setting import SYMBOLS, of_swaps

SEEDS = int(os.environ.get("REBALANCED_SEEDS", "24"))
CHUNKS = 2


@pytest.fixture
def folder() -> Iterator[Path]:
    with quietly() as made:
        yield made


@pytest.mark.parametrize("part", range(CHUNKS))
def test_no_story_breaks_a_rule(part: int, folder: Path) -> None:
    """Of spot or of swaps, at least five faults each: no order twice, no trade lost, and in the end the books agree and targets are met."""
    for seed in range(part * SEEDS // CHUNKS, (part + 1) * SEEDS // CHUNKS):
        world, faults = story(seed)
        assert len(faults) >= FAULTS_MIN
        problems = tell(seed, faults, folder, world=world).problems
        assert not problems, f"{problems[0]}; again: {command(seed, faults)}"


@pytest.mark.parametrize("part", range(CHUNKS))
def test_another_instance_is_noticed_whatever_else_goes_wrong(part: int, folder: Path) -> None:
    """Its order ends trading until a person resumes; and in the end the books agree all the same."""
    noticed = 0
    for seed in range(part, max(2, SEEDS // 4), CHUNKS):
        chance = Random(f"{seed}/twin")
        twins = [Fault(Kind.TWIN, round(chance.uniform(15, 90), 3), chance.uniform(10, 40), chance.random(), chance.choice(SYMBOLS))]
        oracle = tell(seed, [*schedule(seed, SYMBOLS), *twins], folder)
        assert not oracle.problems, f"seed {seed}: {oracle.problems[0]}"
        noticed += oracle.counts["twins"]
    assert noticed


def test_a_meeting_that_never_came_is_named() -> None:
    """Of an order's states and the faults, each pair that can come must have come: an empty matrix says so, and a full one nothing."""
    nothing: Matrix = Counter()
    full: Matrix = Counter({(state.value, kind.value): 1 for state in State for kind in Kind})
    assert len(list(empty(nothing))) > 250
    assert list(empty(full)) == []
    full[(State.UNKNOWN.value, Kind.LAG_TRADES.value)] = 0
    assert list(empty(full)) == ["no order has been unknown while there was lag_trades"]
    told = [len({line.rpartition(" ")[2] for line in empty(nothing, market)}) for market in ("", "spot", "swap")]
    assert told[0] - told[1] == len(OF_SWAPS)
    assert told[0] - told[2] == 1, "coins"


def test_a_seed_tells_the_same_story_everywhere(folder: Path) -> None:
    """The same seed gives the same events at the same moments, also in another process with other hashes."""
    assert (of_swaps(3), of_swaps(5)) == (True, False)
    here = []
    for seed in (3, 3, 5):
        world, faults = story(seed)
        here.append(tell(seed, faults, folder, world=world).fingerprint)
    assert here[0] == here[1] != here[2]
    again = [sys.executable, "-m", "tests.sim.swarm", "--seed", "3"]
    told = subprocess.run(again, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True).stdout
    assert here[0] in told
