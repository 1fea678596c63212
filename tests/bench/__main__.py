"""Benchmarks: how long things take on this machine, as a table. `make bench` runs them; it ends with 1 where a floor is not kept.

Times are of one process that does nothing else; a machine that does makes the last column the larger. Floors are ratios of one run, which a
busy machine changes little.
"""

import gc
import os
import sys
from collections.abc import Callable
from typing import Final

from tests.bench import backtest, indicators, limits, live, planning, restart, scraping
from tests.bench.peers import beside

# Each prints a table; what one returns are the floors that it found broken, a sentence each.
BENCHES: Final[dict[str, Callable[[], list[str] | None]]] = {
    "planning": planning.table,
    "limits": limits.table,
    "indicators": indicators.table,
    "backtest": backtest.table,
    "restart": restart.table,
    "scraping": scraping.table,
    "live": live.table,
    "peers": beside.table,
}

if __name__ == "__main__":
    gc.collect()
    gc.freeze()  # as in the daemon
    broken = [sentence for name in os.environ.get("ONLY", " ".join(BENCHES)).split() for sentence in BENCHES[name]() or ()]
    print("\n".join(broken), file=sys.stderr)  # noqa: T201 - it is a program
    sys.exit(bool(broken))
