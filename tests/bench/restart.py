"""How long a restart takes until account and journal agree: 20 symbols, 200 recent orders, 50 ms to the exchange and back.

Aimed at: 5 s at p95. From the start of the process, which was killed in the middle of a wave before, to the moment from which it may trade;
how much of that passes until the program is there at all, and how much work that is, since on a busy machine it takes longer than it works.
"""

import os
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
SPACING_S: Final = 12.0  # more starts in a minute would meet what the exchange allows in it


def table() -> None:
    """Print how long restarts took."""
    with tempfile.TemporaryDirectory(prefix="restart-") as folder:
        took, orders, in_doubt = restarts(Path(folder))
    whole, present, worked = zip(*took, strict=True)
    print(f"{len(took)} restarts, {orders} orders in the journal, {in_doubt} in all open or in doubt; aim {AIM_S:g} s at p95")  # noqa: T201
    since = [all_in_all - part for all_in_all, part in zip(whole, present, strict=True)]
    for what, times in (("whole", whole), ("from the first line on", since), ("processor time until then", worked)):
        print(f"{what:26}  p50 {median(times):5.2f} s  p95 {percentile(list(times), 0.95):5.2f} s")  # noqa: T201


def restarts(folder: Path) -> tuple[list[tuple[float, float, float]], int, int]:
    """Seconds of each, of its first part and worked in that; how many orders there were, and how many open or in doubt at the kills."""
    with Venue("--markets", str(MARKETS), "--history", "200", folder=folder) as venue:
        symbols = sorted(venue.rules())[:MARKETS]
        strategy = {"name": "momo", "use": "portfolio_momentum", "schedule": {"every": 1, "at_start": True}}
        strategy |= {"params": {"lookback": 5, "rsi_period": 2, "top": 10}}
        sections: dict[str, Any] = {"universe": {"quote": "USDT", "symbols": symbols}, "strategies": [strategy]}
        config, journal = written(folder, venue, reconcile={"every": "10s"}, **sections), folder / "momo.sqlite"
        # An installed program is compiled; one in a tree is so from the first of its lives here on.
        compiled = {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
        with Daemon(config, compiled) as daemon:
            while len(venue.state()["orders"]) < ORDERS:
                daemon.settled(sent=1, since=len(daemon.lines), within=PATIENCE_S)
            daemon.planned()
            daemon.kill()
        venue.post("/venue/faults", do="accept_late", on="all", delay=TRIP)
        took: list[tuple[float, float, float]] = []
        in_doubt = 0
        for _ in range(RESTARTS):
            in_doubt += len(read(journal).open_orders)
            began = time.monotonic()
            with Daemon(config, compiled) as daemon:
                daemon.wait("daemon.starting", within=PATIENCE_S)
                present_s, worked_s = time.monotonic() - began, processor_s(daemon.pid)
                daemon.wait("trading.started", within=PATIENCE_S)
                took.append((time.monotonic() - began, present_s, worked_s))
                daemon.wait("plan.made", within=PATIENCE_S)
                daemon.kill()
            time.sleep(max(0.0, began + SPACING_S - time.monotonic()))
        return took, len(intents(journal)), in_doubt


def processor_s(pid: int) -> float:
    """Seconds for which a process has had a processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    table()
