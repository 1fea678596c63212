"""Swarm: tells the stories of many seeds, and of one that fails the shortest schedule that still does.

`make swarm SEEDS=1000 SEED=1`; one story again, event by event: `python -m tests.sim.swarm --seed 7 --aloud`.
"""

import argparse
import gc
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import structlog

from tests.sim.swarm.faults import Fault, schedule
from tests.sim.swarm.life import World, tell
from tests.sim.swarm.matrix import SEEDS_MIN, empty, table
from tests.sim.swarm.oracle import Oracle
from tests.sim.swarm.setting import of_swaps
from tests.sim.swarm.swaplife import SwapWorld

DRAWN = "drawn"
# Objects made before the collector of garbage looks again; a story leaves hardly any, and each look goes through all that it is made of.
GARBAGE = 100_000


@contextmanager
def quietly(level: int = logging.CRITICAL) -> Any:
    """Without the daemon's log, and a folder in memory for its journals; the garbage is looked for more seldom."""
    usual = gc.get_threshold()
    gc.set_threshold(GARBAGE, *usual[1:])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    try:
        with tempfile.TemporaryDirectory(prefix="swarm-", dir=memory if memory.is_dir() else None) as folder:
            yield Path(folder)
    finally:
        structlog.reset_defaults()
        gc.set_threshold(*usual)


def story(seed: int, market: str = DRAWN) -> tuple[type[World], tuple[Fault, ...]]:
    """The world of a seed, and what goes wrong in it. `market`: of which it tells; DRAWN: what the seed itself says."""
    world = SwapWorld if market == "swap" or (market == DRAWN and of_swaps(seed)) else World
    return world, schedule(seed, world.symbols, swaps=world is SwapWorld)


def shrunk(seed: int, world: type[World], faults: Sequence[Fault], folder: Path) -> list[Fault]:
    """The faults without which the story does not fail, as far as leaving out one after the other finds them."""
    kept = list(faults)
    for fault in faults:
        fewer = [each for each in kept if each is not fault]
        if tell(seed, fewer, folder, world=world).problems:
            kept = fewer
    return kept


def command(seed: int, faults: Sequence[Fault], market: str = DRAWN) -> str:
    """What replays a story with these faults of its schedule."""
    _, every = story(seed, market)
    only = "" if len(faults) == len(every) else " --only " + ",".join(str(every.index(fault)) for fault in faults)
    return f"python -m tests.sim.swarm --seed {seed}{'' if market == DRAWN else f' --market {market}'}{only} --aloud"


def chunk(job: tuple[int, int, int, str, bool]) -> tuple[int, list[tuple[int, list[str], str]], Counter[tuple[str, str]], Counter[str]]:
    """The stories of every `step`-th seed; how many there were, those that failed, the matrix and the counts."""
    first, seeds, step, market, shrink = job
    failures: list[tuple[int, list[str], str]] = []
    matrix: Counter[tuple[str, str]] = Counter()
    counts: Counter[str] = Counter()
    told = 0
    with quietly() as folder:
        for seed in range(first, first + seeds, step):
            world, faults = story(seed, market)
            oracle = tell(seed, faults, folder, world=world)
            told += 1
            counts["stories of swaps"] += int(world is SwapWorld)
            matrix += oracle.matrix
            counts += oracle.counts
            if oracle.problems:
                fewer = shrunk(seed, world, faults, folder) if shrink else faults
                failures.append((seed, oracle.problems, command(seed, fewer, market)))
                _say(f"seed {seed}: {oracle.problems[0]}\n  {command(seed, fewer, market)}")
    return told, failures, matrix, counts


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def one(seed: int, market: str, only: str, *, aloud: bool) -> int:
    """One story again."""
    world, every = story(seed, market)
    faults = list(every)
    if only:
        faults = [faults[int(number)] for number in only.split(",")]
    with quietly() as folder:
        oracle: Oracle = tell(seed, faults, folder, world=world, aloud=aloud)
    for line in oracle.told or ():
        _say(line)
    _say(f"{len(oracle.problems)} problems, fingerprint {oracle.fingerprint}")
    for problem in oracle.problems:
        _say(f"  {problem}")
    return 1 if oracle.problems else 0


def main() -> int:
    """Tell stories."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="of the seed's faults those with these numbers")
    parser.add_argument("--market", choices=(DRAWN, "spot", "swap"), default=DRAWN, help="of what is told; a seed draws one of them")
    parser.add_argument("--aloud", action="store_true", help="print every event")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--no-shrink", action="store_true")
    asked = parser.parse_args()
    if asked.seeds == 1:
        return one(asked.seed, asked.market, asked.only, aloud=asked.aloud)
    began = time.monotonic()
    gc.freeze()  # what has been loaded is no garbage
    work = [(asked.seed + job, asked.seeds - job, asked.jobs, asked.market, not asked.no_shrink) for job in range(asked.jobs)]
    if asked.jobs == 1:
        done = [chunk(work[0])]
    else:
        with get_context("fork").Pool(asked.jobs) as pool:
            done = pool.map(chunk, work)
    told = sum(each[0] for each in done)
    failures = [failure for each in done for failure in each[1]]
    matrix: Counter[tuple[str, str]] = sum((each[2] for each in done), Counter())
    counts: Counter[str] = sum((each[3] for each in done), Counter())
    took = time.monotonic() - began
    _say(table(matrix))
    _say("\n".join(f"{name:32}{count:>10}" for name, count in sorted(counts.items())))
    _say(f"{told} seeds in {took:.1f} s ({told / took:.1f}/s), {len(failures)} failed: {[seed for seed, _, _ in failures][:50]}")
    unmet = list(empty(matrix, asked.market)) if told >= SEEDS_MIN else []
    _say("\n".join(unmet))
    return 1 if failures or unmet else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
