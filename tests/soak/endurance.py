"""Endurance: millions of stream messages and dozens of ended connections, and a daemon that holds no more in the end than after a minute.

`python -m tests.soak.endurance --messages 2000000 --reconnects 50`, or `make endurance`. A tenth of what is asked by REST fails meanwhile.
A connection that is ended within half a minute is dialled again ever more calmly, so that fifty of them take half an hour.
Rule: what is counted is what the exchange has sent; what is judged is the process, read from within.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.process.support import Daemon, Venue, written

MARKETS: Final = 20
RSS_MAX_KIB: Final = 2048
TASKS_APART: Final = 2  # a stream that is dialled at the moment of a look has one task less or more
FDS_APART: Final = 2
WARM: Final = 0.2  # of the messages: caches, pools and the allocator have what they need by then
LOOKS: Final = 9  # a second apart; one that differs from its neighbours by chance decides nothing


@dataclass(frozen=True, slots=True)
class Held:
    """What the process held before and after, in KiB and counts, and what it went through."""

    messages: int
    connections: int
    seconds: float
    before: dict[str, float]
    after: dict[str, float]

    @property
    def grown(self) -> dict[str, float]:
        """By how much."""
        return {name: self.after[name] - self.before[name] for name in self.before}

    @property
    def failed(self) -> list[str]:
        """What has grown beyond its bound."""
        bounds = {"rss": RSS_MAX_KIB, "fds": FDS_APART, "tasks": TASKS_APART}
        return [f"{name} grew by {self.grown[name]:g}, more than {bound}" for name, bound in bounds.items() if self.grown[name] > bound]


def endure(folder: Path, messages: int, reconnects: int, times: int, warm: float = WARM, looks: int = LOOKS) -> Held:
    """Have a daemon hear so many messages, over connections that the exchange ends again and again."""
    options = ("--interval", "1m", "--history", "200", "--markets", str(MARKETS))
    with Venue(*options, folder=folder, program=("tests.soak.flooded", "venue", str(times))) as venue:
        never = {"name": "momo", "use": "portfolio_momentum", "schedule": {"cron": "0 0 29 2 *", "tz": "UTC"}}
        never |= {"params": {"lookback": 5, "rsi_period": 2, "top": 2}}
        universe = {"quote": "USDT", "symbols": sorted(venue.rules())[:MARKETS]}
        sections: dict[str, Any] = {"universe": universe, "timeframe": "1m", "strategies": [never], "logging": {"level": "warning"}}
        config, held = written(folder, venue, **sections), folder / "held"
        with Daemon(config, program=("tests.soak.flooded", "run", str(held))) as daemon:
            wait(lambda: sent(venue) > 0, daemon)
            venue.post("/venue/faults", do="http", status=503, body="", on="all", probability=0.1)
            began, first = time.monotonic(), sent(venue)
            before: dict[str, float] = {}
            for number in range(reconnects):
                part = first + messages * (number + 1) / reconnects / times
                wait(lambda part=part: sent(venue) >= part, daemon)
                if not before and (number + 1) >= warm * reconnects:
                    before = looked(held, looks)
                if number + 1 < reconnects:
                    venue.post("/venue/faults", do="ws.close")
            after, told = looked(held, looks), (sent(venue) - first) * times
            return Held(told, int(after["connections"]), time.monotonic() - began, before, after)


def sent(venue: Venue) -> int:
    """Messages of the exchange, each counted once however often it was repeated."""
    count: int = venue.state()["websockets"]["sent"]
    return count


def wait(what: Any, daemon: Daemon) -> None:
    """Until it is so, while the daemon lives."""
    while not what():
        assert daemon.running, daemon.story()
        time.sleep(0.2)


def looked(path: Path, looks: int) -> dict[str, float]:
    """What the newest looks agree on."""
    count = len(path.read_text().splitlines())
    while len(lines := path.read_text().splitlines()) < count + looks:
        time.sleep(0.2)
    rows = [json.loads(line) for line in lines[-looks:]]
    return {name: median(row[name] for row in rows) for name in rows[0]}


def main() -> int:
    """Endure, tell the figures, and say whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.endurance")
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--reconnects", type=int, default=50)
    parser.add_argument("--times", type=int, default=64, help="how often each message is sent")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        held = endure(Path(folder), given.messages, given.reconnects, given.times)
    print(f"{held.messages} messages, {held.connections} connections, {held.seconds:.0f} s")  # noqa: T201
    for name in ("rss", "fds", "tasks"):
        print(f"{name:8}{held.before[name]:>10g}{held.after[name]:>10g}{held.grown[name]:>+10g}")  # noqa: T201
    for sentence in held.failed:
        print(sentence)  # noqa: T201
    return 1 if held.failed else 0


if __name__ == "__main__":
    sys.exit(main())
