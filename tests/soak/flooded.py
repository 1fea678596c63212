"""Flooded: the embedded exchange that says everything many times, and the daemon with somebody who counts what it holds.

`python -m tests.soak.flooded venue TIMES ...` is `rebalanced venue ...` that sends each message of a market stream TIMES times.
`python -m tests.soak.flooded run FILE ...` is `rebalanced run ...` that writes a line of JSON to FILE every second: `rss` (KiB), `fds`,
`tasks`, `connections` (how often a websocket was dialled).
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from daemon.core.events import Event
from daemon.trader import Trader
from daemon.venue.sockets import Socket

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def repeat(times: int) -> None:
    """Have every message of a market stream sent so many times."""
    told = Socket.tell

    def tell(self: Socket, framed: bytes, symbol: str) -> None:
        for _ in range(times if self.kind == "market" else 1):
            told(self, framed, symbol)

    Socket.tell = tell  # type: ignore[method-assign]


def count(path: Path) -> None:
    """Write down what the process holds, once a second, from within its loop."""
    publish = Trader.publish
    due = 0.0

    def look(self: Trader, event: Event) -> None:
        nonlocal due
        publish(self, event)
        if time.monotonic() < due:
            return
        due = time.monotonic() + 1.0
        exchange: Any = self.parts.exchange
        exchange = exchange._exchange  # behind its circuit
        held = {
            "rss": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KIB,
            "fds": len(list(Path("/proc/self/fd").iterdir())),
            "tasks": len(asyncio.all_tasks()),
            "connections": sum(n for name, n in exchange.calls.items() if name.startswith("WS ")),
        }
        with path.open("a") as file:
            file.write(json.dumps(held) + "\n")

    Trader.publish = look  # type: ignore[method-assign]


if __name__ == "__main__":
    from daemon.cli.main import main

    verb, argument = sys.argv[1], sys.argv[2]
    if verb == "venue":
        repeat(int(argument))
    else:
        count(Path(argument))
    sys.argv[1:] = [verb, *sys.argv[3:]]
    main()
