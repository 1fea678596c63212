"""How long a restart takes until account and journal agree: 20 symbols, 200 recent orders, 50 ms to the exchange and back.

Aimed at: 5 s at p95. From the start of the process, which was killed in the middle of a wave before, to the moment from which it may trade;
and how much of that passes until the program is there at all, since a busy machine makes that part the larger one.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from daemon.io.journal import read
from tests.bench.planning import percentile
from tests.process.books import intents
from tests.process.support import Daemon, Venue, written

MARKETS: Final = 20
ORDERS: Final = 200
TRIP: Final = "50ms"
RESTARTS: Final = 20
AIM_S: Final = 5.0
PATIENCE_S: Final = 120.0


def table() -> None:
    """Print how long restarts took."""
    with tempfile.TemporaryDirectory(prefix="restart-") as folder:
        took, orders, in_doubt = restarts(Path(folder))
    print(f"{len(took)} restarts, {orders} orders in the journal, {in_doubt} in all open or in doubt; aim {AIM_S:g} s at p95")  # noqa: T201
    for what, times in (("whole", [w for w, _ in took]), ("from the first line on", [w - p for w, p in took])):
        print(f"{what:26}  p50 {median(times):5.2f} s  p95 {percentile(times, 0.95):5.2f} s")  # noqa: T201


def restarts(folder: Path) -> tuple[list[tuple[float, float]], int, int]:
    """Seconds of each and of its first part, how many orders there were, and how many were open or in doubt at the kills, in all."""
    with Venue("--markets", str(MARKETS), "--history", "200", folder=folder) as venue:
        symbols = sorted(venue.rules())[:MARKETS]
        strategy = {"name": "momo", "use": "portfolio_momentum", "schedule": {"every": 1, "at_start": True}}
        strategy |= {"params": {"lookback": 5, "rsi_period": 2, "top": 10}}
        sections: dict[str, Any] = {"universe": {"quote": "USDT", "symbols": symbols}, "strategies": [strategy]}
        config, journal = written(folder, venue, reconcile={"every": "10s"}, **sections), folder / "momo.sqlite"
        with Daemon(config) as daemon:
            while len(venue.state()["orders"]) < ORDERS:
                daemon.settled(sent=1, since=len(daemon.lines))
            daemon.planned()
            daemon.kill()
        venue.post("/venue/faults", do="accept_late", on="all", delay=TRIP)
        took: list[tuple[float, float]] = []
        in_doubt = 0
        for _ in range(RESTARTS):
            in_doubt += len(read(journal).open_orders)
            began = time.monotonic()
            with Daemon(config) as daemon:
                daemon.wait("daemon.starting", within=PATIENCE_S)
                present_s = time.monotonic() - began
                daemon.wait("trading.started", within=PATIENCE_S)
                took.append((time.monotonic() - began, present_s))
                daemon.wait("plan.made", within=PATIENCE_S)
                daemon.kill()
        return took, len(intents(journal)), in_doubt


if __name__ == "__main__":
    table()
