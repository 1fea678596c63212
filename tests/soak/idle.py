"""Idle: what a daemon with nothing to do costs, and how promptly its loop and its journal answer, quiet and under a flood of messages.

`python -m tests.soak.idle --seconds 120 --messages 200000`, or `make idle`. Aimed at: 160 MiB and 1 % of a core at rest, 2 s from the
start of the process until its API answers; commits within 5 ms at p99; the loop late by at most 20 ms at p99 while it hears 2,000
messages a second.
Rule: what is said of loop and journal is what the daemon's own metrics say.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from tests.bench.restart import processor_s
from tests.process.support import Daemon, Venue, written
from tests.soak.endurance import sent, wait

MARKETS: Final = 20
TIMES: Final = 64  # how often the exchange says each message
PATIENCE_S: Final = 180.0
LAG, COMMIT = "rebalanced_loop_lag_seconds", "rebalanced_journal_commit_seconds"

Counts = Sequence[tuple[float, float]]


def buckets(daemon: Daemon, name: str) -> Counts:
    """A histogram of its metrics: upper bounds in seconds, and how many were within."""
    text = httpx.get(daemon.url() + "/metrics", timeout=30, trust_env=False).text
    return [
        (float(bound), float(count)) for bound, count in re.findall(rf'^{name}_bucket{{.*?le="([^"]+)".*?}} (\S+)$', text, re.MULTILINE)
    ]


def within(before: Counts, after: Counts, share: float) -> float:
    """The bound within which this share of what came between two looks was, seconds."""
    gained = [(bound, late - early) for (bound, early), (_, late) in zip(before, after, strict=True)]
    return next(bound for bound, count in gained if count >= share * gained[-1][1])


def rss_mib(daemon: Daemon) -> float:
    """What it holds."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.idle")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--messages", type=int, default=200_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="idle-") as name:
        folder = Path(name)
        options = ("--interval", "1m", "--history", "200", "--markets", str(MARKETS))
        with Venue(*options, folder=folder, within=PATIENCE_S, program=("tests.soak.flooded", "venue", str(TIMES))) as venue:
            never = {"name": "momo", "use": "portfolio_momentum", "schedule": {"cron": "0 0 29 2 *", "tz": "UTC"}}
            universe = {"quote": "USDT", "symbols": sorted(venue.rules())[:MARKETS]}
            sections: dict[str, Any] = {"universe": universe, "timeframe": "1m", "strategies": [never], "reconcile": {"every": "30s"}}
            venue.post("/venue/faults", do="ws.mute", on="market")
            began = time.monotonic()
            with Daemon(written(folder, venue, **sections)) as daemon:
                daemon.wait("daemon.starting", within=PATIENCE_S)
                print(f"its API answers {time.monotonic() - began:.2f} s after the start, {processor_s(daemon.pid):.2f} s of them worked")  # noqa: T201
                daemon.wait("trading.started", within=PATIENCE_S)
                time.sleep(min(10.0, asked.seconds))
                _told("at rest", daemon, lambda: time.sleep(asked.seconds))
                venue.mend()
                first = sent(venue)
                _told(f"{asked.messages} messages", daemon, lambda: wait(lambda: (sent(venue) - first) * TIMES >= asked.messages, daemon))


def _told(what: str, daemon: Daemon, do: Any) -> None:
    before = {name: buckets(daemon, name) for name in (LAG, COMMIT)}
    worked, began = processor_s(daemon.pid), time.monotonic()
    do()
    took = time.monotonic() - began
    share = (processor_s(daemon.pid) - worked) / took
    print(f"{what}, {took:.0f} s: {rss_mib(daemon):.0f} MiB, {share:.1%} of a core")  # noqa: T201
    for name, early in before.items():
        late = buckets(daemon, name)
        count = late[-1][1] - early[-1][1]
        if count:
            bounds = ", ".join(f"{share:.0%} within {1000 * within(early, late, share):g} ms" for share in (0.5, 0.99, 1.0))
            print(f"  {name:36}{count:>8g} times, {bounds}")  # noqa: T201


if __name__ == "__main__":
    main()
