"""Benchmarks: how long things take on this machine, as a table. `make bench` runs them.

Times are of one process that does nothing else; a machine that does makes the last column the larger.
"""

import gc

from tests.bench import backtest, indicators, limits, planning, restart, scraping

if __name__ == "__main__":
    gc.collect()
    gc.freeze()  # as in the daemon
    planning.table()
    limits.table()
    indicators.table()
    backtest.table()
    restart.table()
    scraping.table()
