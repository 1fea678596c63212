"""Sweeps for tests: small ones, made in this process unless a test is about others."""

import json
from collections.abc import Generator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from pyarrow import parquet

from daemon.config import Variants
from daemon.research.sweep.folds import Walk
from daemon.research.sweep.jobs import Bench, Job, Row, Task
from daemon.research.sweep.space import parameters
from daemon.research.sweep.sweeping import Asked, sweep
from daemon.routes import routes
from tests.research.files import configured, stored

SYMBOLS = ("A/USDT", "B/USDT", "C/USDT")
LENGTH = 400
SWEPT = ("strategies.momo.params.lookback=3,5,8", "strategies.momo.params.top=1,2")
OVER = Walk(timedelta(days=5), timedelta(days=3), anchored=False)


class Here:
    """A crew of this process alone; it stops after so many rows, as if it had been killed."""

    def __init__(self, most: int | None = None) -> None:
        self.lost = 0
        self.done: list[int] = []
        self._most = most

    def rows(self, task: Task, jobs: Sequence[Job]) -> Generator[Sequence[Row], None, None]:
        bench = Bench(task, task.panel.opened())
        for job in jobs:
            if self._most is not None and len(self.done) >= self._most:
                raise KeyboardInterrupt
            self.done.append(job.run)
            yield [bench.row(job)]


def variants(folder: Path) -> Variants:
    """The configuration that is swept."""
    folder.mkdir(parents=True, exist_ok=True)
    return Variants(configured(folder, SYMBOLS, strategies=[momentum(lookback=5, top=2)], execution={"band": 0.005}), {})


def bars(folder: Path) -> Path:
    """Three symbols, one with a gap."""
    return stored(folder, LENGTH, SYMBOLS, {"A/USDT": [60, 61]})


def made_here(folder: Path, data: Path) -> Path:
    """A grid of six, as this process makes it."""
    sweep(variants(folder), asked(data, folder / "out"), routes, Here(), silent)
    return folder / "out"


def momentum(**params: int) -> dict[str, Any]:
    """A strategy that decides every half day."""
    return {"name": "momo", "use": "portfolio_momentum", "schedule": {"every": 12}, "params": {"rsi_period": 3, **params}}


def asked(data: Path, out: Path, swept: Sequence[str] = SWEPT, over: Walk | None = None, **more: Any) -> Asked:
    """A sweep to be."""
    terms: dict[str, Any] = {"draws": None, "seed": 1, "by": "sharpe", "start": None, "end": None} | more
    return Asked(data, out, parameters(swept, None), walk=over, **terms)


def silent(_done: int, _total: int) -> None:
    """Nobody looks."""


def table(out: Path) -> list[dict[str, Any]]:
    """The rows of a sweep."""
    rows: list[dict[str, Any]] = parquet.read_table(out / "sweep.parquet").to_pylist()
    return rows


def figures_of(html: str) -> dict[str, Any]:
    """What the page draws."""
    data = html.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    figures: dict[str, Any] = json.loads(data)["figures"]
    return figures
