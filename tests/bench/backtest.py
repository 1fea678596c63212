"""How fast a backtest goes: symbol-bars a second, for four shapes of the momentum strategy, and how its cost grows.

Times are of processor, of the run alone: neither the imports nor the files count. What is to grow in proportion is told as a ratio of two
runs, 1 for exactly so; a longer lookback is to cost nothing.
"""

import gc
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from daemon.config import load
from daemon.research.runs import Assembled, assembled
from daemon.routes import routes
from tests.research.files import configured, opens, store, walk


@dataclass(frozen=True)
class Shape:
    """So many symbols and bars, decided on every so many of them."""

    name: str
    symbols: int
    bars: int
    every: int = 24
    lookback: int = 20
    aim: float = 0.0  # symbol-bars a second

    @property
    def cells(self) -> int:
        """Symbol-bars."""
        return self.symbols * self.bars


SHAPES = (
    Shape("every 24 bars", 12, 20_000, aim=2.0e6),
    Shape("many symbols", 200, 2_000, aim=8.0e6),
    Shape("two symbols", 2, 20_000, aim=0.4e6),
    Shape("every bar", 12, 5_000, every=1, aim=0.2e6),
)

# Each pair: what is compared, and the two shapes whose times a symbol-bar are.
GROWTH = (
    ("four times the bars", Shape("", 12, 2_500), Shape("", 12, 10_000)),
    ("four times the symbols", Shape("", 50, 2_000), Shape("", 200, 2_000)),
    ("twelve times the lookback", Shape("", 12, 5_000), Shape("", 12, 5_000, lookback=240)),
)


def prepared(folder: Path, shape: Shape) -> Assembled:
    """A run of that shape, ready to go."""
    symbols = [f"C{n:03}/USDT" for n in range(shape.symbols)]
    data = folder / f"{shape.symbols}x{shape.bars}"
    if not data.exists():
        for seed, symbol in enumerate(symbols):
            store(data, symbol, opens(shape.bars), walk(shape.bars, seed, 100.0 * (seed + 1)))
    params = {"lookback": shape.lookback, "rsi_period": 14, "top": min(3, shape.symbols - 1)}
    strategy = {"name": "momentum", "use": "portfolio_momentum", "schedule": {"every": shape.every}, "params": params}
    path = configured(folder, symbols, strategies=[strategy], execution={"band": 0.0, "band_relative": 0.1})
    return assembled(load(path, {}), data, None, routes)


def timed(folder: Path, shape: Shape) -> tuple[float, int]:
    """Seconds of a run, and how many orders it made."""
    made = prepared(folder, shape)
    gc.collect()
    began = process_time()
    made.run.run(made.bars)
    return process_time() - began, len(made.record.orders)


def grown(folder: Path, small: Shape, large: Shape, rounds: int = 3) -> float:
    """Time a symbol-bar of the large shape by that of the small one: the least of some runs each, in turns."""
    runs = [(timed(folder, small)[0] / small.cells, timed(folder, large)[0] / large.cells) for _ in range(rounds)]
    least, most = min(each for each, _ in runs), min(each for _, each in runs)
    return most / least


def table() -> None:
    """Print speeds and growth."""
    print(f"{'backtest':26}  {'shape':>12}  {'symbol-bars/s':>14}  {'aim':>10}  {'us an order':>12}")  # noqa: T201 - it is a program
    with TemporaryDirectory() as kept:
        folder = Path(kept)
        for shape in SHAPES:
            seconds, orders = timed(folder, shape)
            size, speed = f"{shape.symbols} x {shape.bars}", shape.cells / seconds
            print(f"{shape.name:26}  {size:>12}  {speed:14,.0f}  {shape.aim:10,.0f}  {seconds / max(orders, 1) * 1e6:12,.0f}")  # noqa: T201
        for name, small, large in GROWTH:
            print(f"{name:26}  cost of a symbol-bar x {grown(folder, small, large):.2f}")  # noqa: T201
