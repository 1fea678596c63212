"""Jobs: one backtest of a sweep, from its place in the sweep to its row.

Rule: a row depends on its job and on the bars alone: not on the process that made it, nor on what that did before. What goes wrong in a run
is the row of that run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from daemon.config import Changes, ConfigError, Variants
from daemon.core.model import Floats
from daemon.core.plain import plain
from daemon.parts import StartRefused
from daemon.research import runs
from daemon.research.backtest import Routes
from daemon.research.bars import DataError
from daemon.research.panels import Ints
from daemon.research.sweep.folds import Window
from daemon.research.sweep.overfitting import moments
from daemon.research.sweep.panel import Open, Panel
from daemon.research.trust import volume_shares

Row = Mapping[str, Any]

# Stretches of time of which a run keeps its equity: sixteen for each of the sixteen blocks of cross-validation.
STRETCHES: Final = 256
TINY: Final = timedelta(milliseconds=1)
SENTENCE: Final = 500  # characters of what a run said when it failed

# The numbers of a row, as summary.json has them.
FIGURES: Final = (
    "final_equity",
    "return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "turnover",
    "fees",
    "funding",
    "trades",
)
# Of the returns per bar; how far a Sharpe ratio can be trusted depends on them.
MOMENTS: Final = ("skewness", "kurtosis")


@dataclass(frozen=True, slots=True)
class Job:
    """A run of a sweep: its number, what is changed, and when it decides."""

    run: int
    changes: Changes
    window: Window


@dataclass(frozen=True, slots=True)
class Task:
    """What all jobs of a sweep share, as it is sent to every process once. `data`: where the bars are from, for sentences."""

    variants: Variants
    data: Path
    panel: Panel
    routes: Routes


class Bench:
    """The place where jobs are done: the mapped bars, and what is done with them."""

    def __init__(self, task: Task, bars: Open) -> None:
        self._task = task
        self._bars = bars

    def row(self, job: Job) -> Row:
        """The row of a job: its run and its numbers, or its run and an error."""
        try:
            return {"run": job.run, **self._made(job), "error": None}
        except (ConfigError, StartRefused, DataError) as error:
            return failed(job.run, str(error))
        except Exception as error:  # one run of thousands must not end the others, whatever it is
            return failed(job.run, f"{type(error).__name__}: {error}")

    def _made(self, job: Job) -> dict[str, Any]:
        config = self._task.variants.config(job.changes)
        after, until = job.window.after, job.window.until
        found = self._bars.stored(config)
        known = runs.Stored(found.bars.until(until), found.rules, found.without, found.kept)
        if not known.bars.symbol_bars:
            raise DataError(f"{self._task.data}: no bar closes until {until}")
        made = runs.prepared(config, known, self._task.routes)
        runs.traded(made, self._task.data, None if after is None else after + TINY)
        measured = runs.measured(made.bars, made.record)
        times, equity = made.record.times, made.record.equity.table()[:, 0].tolist()
        shape = moments(moves(equity))
        doubts = runs.doubts(made, volume_shares(made.bars, made.record.fills), measured["sharpe"])
        return {
            "start": times[0],
            "end": times[-1],
            "bars": len(equity),
            **{name: plain(measured[name]) for name in FIGURES},
            **{name: plain(value) for name, value in zip(MOMENTS, shape, strict=True)},
            "symbol_bars": made.bars.symbol_bars,
            "warnings": " ".join(sorted({doubt.code.value for doubt in doubts})),
            "curve": [equity[row] for row in marks(len(equity)).tolist()],
        }


def failed(run: int, why: str) -> Row:
    """The row of a run that came to nothing."""
    return {"run": run, "error": " ".join(why.split())[:SENTENCE]}


def moves(curve: Sequence[float] | None) -> Floats:
    """The simple returns of a curve; 0 from where there was nothing any more."""
    values = np.array(curve or (), np.float64)
    found: Floats = np.divide(np.diff(values), values[:-1], out=np.zeros(max(len(values) - 1, 0)), where=values[:-1] > 0)
    return found


def marks(count: int) -> Ints:
    """Of so many rows, those between which the stretches lie, in equal distances: the first and the last are among them."""
    return np.linspace(0, count - 1, min(count, STRETCHES + 1)).round().astype(np.int64)
