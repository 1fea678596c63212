"""Isolation: two accounts at two exchanges, one of which lies, refuses the key, bans us and dies, for minutes; the other must miss nothing.

`python -m tests.soak.isolation --minutes 10`, or `make accounts`. Judged: the healthy account decides at every close of a second, and its
journal is its exchange's to the unit. Told: how long after a close it decides, before and in trouble.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.process.books import disagreements
from tests.process.support import SYMBOLS, Daemon, Line, Venue, several
from tests.process.test_accounts import TROUBLES, settled

CALM_S: Final = 30.0
SECOND: Final = timedelta(seconds=1)


def decisions(lines: Sequence[Line]) -> list[tuple[datetime, float]]:
    """The closes that the healthy account has decided at, and how many seconds after each."""
    chosen = [line for line in lines if line["event"] == "targets.chosen" and line["account"] == "one"]
    moments = [(datetime.fromisoformat(line["as_of"]), datetime.fromisoformat(line["ts"])) for line in chosen]
    return [(as_of, (said - as_of).total_seconds()) for as_of, said in moments]


def late(decided: Sequence[tuple[datetime, float]]) -> str:
    """The middle, the 99th of a hundred, and the worst."""
    waits = sorted(wait for _, wait in decided)
    return f"{waits[len(waits) // 2]:.3f} s, p99 {waits[int(0.99 * (len(waits) - 1))]:.3f} s, worst {waits[-1]:.3f} s"


def troubled(folder: Path, minutes: float) -> list[str]:
    """Go through the troubles; what was wrong, a sentence each."""
    each_s = 60 * minutes / (len(TROUBLES) + 1)
    problems: list[str] = []
    with Venue(folder=folder) as one, Venue("--seed", "2", folder=folder) as two:
        with Daemon(several(folder, {"one": one, "two": two})) as daemon:
            for name in ("one", "two"):
                settled(daemon, name)
            started = len(daemon.lines)
            time.sleep(CALM_S)
            since = len(daemon.lines)
            for name, faults in TROUBLES.items():
                two.mend()
                two.post("/venue/faults", faults=[{**fault, "for": f"{each_s:.0f}s"} if "for" in fault else fault for fault in faults])
                time.sleep(each_s)
                print(f"{name}: {daemon.get('/api/v1/status')[1]['reason'][:200]}")  # noqa: T201
            two.kill()
            time.sleep(each_s)
            settled(daemon, "one", since=len(daemon.lines))
            daemon.stop(within=30.0)
            calm, trouble = decisions(daemon.lines[started:since]), decisions(daemon.lines[since:])
        for (before, _), (after, _) in pairwise(trouble):
            if after - before != SECOND:
                problems.append(f"no decision between {before} and {after}")
        problems += disagreements(one.state(), folder / "momo.one.sqlite", SYMBOLS)
    print(f"{len(trouble)} decisions in trouble; after the close: {late(calm)} in calm, {late(trouble)} in trouble")  # noqa: T201
    return problems


def main() -> int:
    """Make trouble, tell what came of it, and say whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.isolation")
    parser.add_argument("--minutes", type=float, default=10.0)
    with tempfile.TemporaryDirectory(prefix="isolation-") as folder:
        problems = troubled(Path(folder), parser.parse_args().minutes)
    print("\n".join(problems) or "no decision was missed, and the books agree")  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
