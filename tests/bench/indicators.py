"""How long a step of each indicator takes with a short lookback and with a long one: it must not matter."""

from time import perf_counter

import numpy as np

from daemon.core.indicators import Indicator
from tests.core.pricewalks import KINDS, bars, walk

SHORT, LONG = 8, 512
TIMES = 1024


def step_us(indicator: Indicator, times: int = TIMES) -> float:
    """The mean time of a step in microseconds, the best of three runs."""
    rng = np.random.default_rng(6)
    rows = indicator.rows(bars(rng, walk(rng, times)))

    def run() -> float:
        began = perf_counter()
        for row in rows:
            indicator.step(row)
        return (perf_counter() - began) / times * 1e6

    return min(run() for _ in range(3))


def table() -> None:
    """Print both times and their ratio."""
    print(f"{'indicator':26}  {f'{SHORT} bars us':>11}  {f'{LONG} bars us':>11}  {'ratio':>6}")  # noqa: T201 - it is a program
    for kind, make in KINDS.items():
        short, long = step_us(make(SHORT)), step_us(make(LONG))
        print(f"{kind:26}  {short:11.2f}  {long:11.2f}  {long / short:6.2f}")  # noqa: T201
