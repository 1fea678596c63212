"""Silence: streams that go silent, with the daemon's own figures: how long it trades on what it has, and how soon it is back.

`python -m tests.soak.silence --rounds 10`, or `make silence`. Every other round the line is broken for good and must be dialled anew.
Aimed at: no order later than 15 s after the last news, and a whole slice again within 3 s of the exchange's return.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.process.support import Daemon, Line, Venue, written

WAYS: Final = ("ws.mute", "ws.blackhole")
SILENT_S: Final = 25.0
STOPS_S, BACK_S = 15.0, 3.0
PATIENCE_S: Final = 60.0


def moment(line: Line) -> float:
    """When a line was said, seconds since 1970."""
    return datetime.fromisoformat(line["ts"]).timestamp()


def silences(folder: Path, rounds: int) -> list[tuple[str, float, float]]:
    """By round: the way, seconds from the last news to the last order, and from the exchange's return to a whole slice."""
    found: list[tuple[str, float, float]] = []
    with Venue(folder=folder) as venue, Daemon(written(folder, venue)) as daemon:
        for number in range(rounds):
            way = WAYS[number % len(WAYS)]
            since = len(daemon.lines)
            daemon.settled(2, since=since, sent=1, within=PATIENCE_S)
            silent_at = time.time()
            faults: Sequence[dict[str, Any]] = [{"do": way, "on": "market"}, {"do": "http", "on": "klines", "status": 503, "body": ""}]
            venue.post("/venue/faults", faults=faults)
            time.sleep(SILENT_S)
            sent = [moment(line) for line in daemon.lines[since:] if line["event"] == "order.submitted"]
            since = len(daemon.lines)
            venue.mend()
            back_at = time.time()
            whole = daemon.wait("slice.closed", since=since, where=lambda line: line["coverage"] == 1.0, within=PATIENCE_S)
            found.append((way, max(sent) - silent_at, moment(whole) - back_at))
    return found


def main() -> int:
    """Be silent, tell the figures, and say whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.silence")
    parser.add_argument("--rounds", type=int, default=10)
    with tempfile.TemporaryDirectory(prefix="silence-") as folder:
        found = silences(Path(folder), parser.parse_args().rounds)
    print(f"{'':14}{'last order after s':>20}{'back after s':>14}")  # noqa: T201
    for way, stops_s, back_s in found:
        print(f"{way:14}{max(0.0, stops_s):>20.2f}{back_s:>14.2f}")  # noqa: T201
    return 0 if all(stops_s <= STOPS_S and back_s <= BACK_S for _, stops_s, back_s in found) else 1


if __name__ == "__main__":
    sys.exit(main())
