"""Day: a daemon lives for a day of virtual time, and every ten minutes or so something goes wrong, crashes and restarts included.

`make day HOURS=24 SEED=1`. The world, the faults and the judge are those of the swarm; the difference is the length, and a person who
looks at it a minute after a fault. Told beside the judge's word: what each hour took, and what the simulation held then.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from tests.sim.swarm.__main__ import quietly
from tests.sim.swarm.faults import GROUPS, Fault, Kind, drawn
from tests.sim.swarm.life import World, tell
from tests.sim.swarm.oracle import Oracle
from tests.sim.swarm.setting import SYMBOLS

APART_S: Final = 600.0  # on average, from fault to fault
CALM_S: Final = 60.0  # after a fault, until a person has come
HOUR_S: Final = 3600.0
PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024


class Day(World):
    """A world in which there is somebody between two faults."""

    noted: list[tuple[float, int]]  # by hour: seconds that it took, and KiB that were held at its end
    _began = 0.0

    def _meanwhile(self) -> None:
        self._began = self._began or time.monotonic()
        if self.now_s >= (len(self.noted) + 1) * HOUR_S:
            now = time.monotonic()
            self.noted.append((now - self._began, resident_kib()))
            self._began = now
        last = max((fault.until for fault in self.weather.faults if fault.at <= self.now_s), default=0.0)
        if self.now_s > last + CALM_S:
            self._look_after(last)

    def _excuses(self, symbol: str) -> Sequence[str]:
        return (*super()._excuses(symbol), "small_account")  # in a day a price may walk so far that one coarse step is worth a whole target


def weather(seed: int, hours: float) -> list[Fault]:
    """What goes wrong in so many hours. A market changes its step once at most: ten times as coarse again and again is no market."""
    chance = Random(f"{seed}/day")
    weights = [weight for weight, _ in GROUPS]
    found: list[Fault] = []
    at, coarse = APART_S, set[str]()
    while at < hours * HOUR_S - CALM_S:
        kind = chance.choice(chance.choices(GROUPS, weights)[0][1])
        fault = replace(drawn(kind, chance, SYMBOLS), at=round(at, 3))
        at += chance.expovariate(1 / APART_S)
        if kind is not Kind.NEW_STEP or fault.symbol not in coarse:
            found.append(fault)
            coarse |= {fault.symbol} if kind is Kind.NEW_STEP else set()
    return found


def resident_kib() -> int:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_KIB


def live(seed: int, hours: float, folder: Path) -> tuple[Oracle, list[tuple[float, int]]]:
    """The judge's word on a day, and how each of its hours went."""
    noted: list[tuple[float, int]] = []
    world = type("Noted", (Day,), {"noted": noted})
    return tell(seed, weather(seed, hours), folder, world=world), noted


def main() -> int:
    """Live a day, tell the figures, and say whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.day")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    faults = weather(given.seed, given.hours)
    began = time.monotonic()
    with quietly() as folder:
        oracle, hours = live(given.seed, given.hours, folder)
    kinds = len({fault.kind for fault in faults})
    say(f"{given.hours:g} h of virtual time in {time.monotonic() - began:.0f} s, {len(faults)} faults of {kinds} kinds")
    for name, count in sorted(oracle.counts.items()):
        say(f"{name:32}{count:>10}")
    say("hour by hour, seconds and MiB of the whole simulation: " + ", ".join(f"{s:.0f} {kib / 1024:.0f}" for s, kib in hours))
    for problem in oracle.problems:
        say(problem)
    return 1 if oracle.problems else 0


def say(text: str) -> None:
    """A line for people."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
