"""Findings: what the rows of a sweep say together: which was best, how much of that is luck, and which values matter.

Rule: everything is worked out of the files of the sweep alone, so that its page can be made anew at any time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from pathlib import Path
from typing import Any, Final

import numpy as np

from daemon.core.analyzer_report import YEAR
from daemon.core.model import Floats
from daemon.research.bars import DataError
from daemon.research.panels import Ints
from daemon.research.sweep import overfitting
from daemon.research.sweep.files import COLUMNS, Folder, text
from daemon.research.sweep.jobs import moves

# What may be asked to be as high as possible.
OBJECTIVES: Final = ("sharpe", "sortino", "calmar", "return", "cagr", "final_equity")
# More numbers of one key than this are taken together: so many at least in each group, or on average in each cell of two keys.
GROUPS: Final = 12
IN_A_GROUP: Final = 8
IN_A_CELL: Final = 3
CELLS: Final = 8  # of one key
MS_A_YEAR: Final = YEAR.total_seconds() * 1000


@dataclass(frozen=True, slots=True)
class Luck:
    """How far the best Sharpe ratio of all runs can be believed; ratios are a year.

    `trials`: how many different ones there were; `independent`: to how many that comes. `expected`: what the best of them all is expected
    to have without skill. `deflated`: the probability that the true ratio of the best is above that; `deflated_independent` the same of
    the independent trials.
    """

    trials: int
    independent: float
    sharpe: float
    expected: float
    deflated: float
    deflated_independent: float


@dataclass(frozen=True, slots=True)
class Step:
    """A fold of a walk forward: its number, the run that was chosen and what it made where it was judged (rows of the table).

    `rank`: how many of the combinations it did better than there, as a share; NaN where it is the only one.
    """

    fold: int
    train: int
    test: int
    rank: float


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The combinations with one value of a key, or with neighbouring ones: how it is told, where it lies, and their scores."""

    name: str
    middle: float
    scores: Floats


class Sweep:
    """A sweep that is done. A combination is what was tried for every key; of a walk forward it has a run in each part of each fold."""

    def __init__(self, folder: Path, asked: Mapping[str, Any], table: Mapping[str, list[Any]]) -> None:
        self.folder = folder
        self.asked = asked
        self.table = table
        self.paths: tuple[str, ...] = tuple(asked["swept"])
        self.by: str = asked["by"]
        self.walked: bool = asked["walk"] is not None

    def __len__(self) -> int:
        return len(self.table["run"])

    @cached_property
    def names(self) -> Mapping[str, str]:
        """By path, the shortest end of it that no other has: what it is called where there is little room."""
        words = {path: path.split(".") for path in self.paths}

        def ends(path: str, count: int) -> str:
            return ".".join(words[path][-count:])

        return {
            path: next(
                ends(path, count)
                for count in range(1, len(words[path]) + 1)
                if count == len(words[path]) or all(ends(path, count) != ends(other, count) for other in self.paths if other != path)
            )
            for path in self.paths
        }

    @cached_property
    def objective(self) -> Floats:
        """What was to be high, of each row; NaN of a failed run, or where it cannot be said."""
        return self.column(self.by)

    def column(self, name: str) -> Floats:
        """A column of numbers, NaN where there is none."""
        return np.array([np.nan if value is None else value for value in self.table[name]], np.float64)

    @property
    def failed(self) -> list[int]:
        """The rows of the runs that failed."""
        return [row for row, error in enumerate(self.table["error"]) if error is not None]

    @cached_property
    def judged(self) -> list[list[int]]:
        """The rows by which each combination is judged: one, or of a walk forward one a fold."""
        if not self.walked:
            return [[row] for row in range(len(self))]
        by_combination: dict[tuple[Any, ...], list[int]] = {}
        for row in range(len(self)):
            if self.table["part"][row] == "test":
                by_combination.setdefault(self.values(row), []).append(row)
        return list(by_combination.values())

    def values(self, row: int) -> tuple[Any, ...]:
        """What a run had for each key that was swept."""
        return tuple(self.table[path][row] for path in self.paths)

    def told(self, row: int) -> str:
        """The same for a person."""
        return ", ".join(f"{self.names[path]} {shown(value)}" for path, value in zip(self.paths, self.values(row), strict=True))

    @cached_property
    def scores(self) -> Floats:
        """The objective of each combination; of a walk forward the mean over its tests. NaN if it is missing anywhere."""
        return np.array([self.objective[rows].mean() for rows in self.judged], np.float64)

    @property
    def best(self) -> int | None:
        """The row with the highest objective of a sweep without folds; the first of several; None: none has one."""
        return None if self.walked or np.isnan(self.objective).all() else int(np.nanargmax(self.objective))

    # --- luck --------------------------------------------------------------------------------------------------------

    @cached_property
    def trials(self) -> tuple[list[list[int]], Floats]:
        """The rows of the combinations that are different, and their returns over equal stretches of the period (stretches, trials)."""
        found = [np.concatenate([moves(self.table["curve"][row]) for row in rows]) for rows in self.judged]
        length = max(map(len, found), default=0)
        whole = [place for place, each in enumerate(found) if length and len(each) == length]
        if not whole:
            return [], np.empty((0, 0))
        matrix = np.array([found[place] for place in whole]).T
        kept = overfitting.different(matrix)
        return [self.judged[whole[place]] for place in kept.tolist()], matrix[:, kept]

    @cached_property
    def logits(self) -> Floats:
        """How what was best in one half of the period did in the other, of every half; of a walk forward, of its tests together."""
        return overfitting.logits(self.trials[1])

    @property
    def overfitted(self) -> float:
        """The probability of overfitting; NaN of too few combinations, or too short a period."""
        return overfitting.probability_of_overfitting(self.logits)

    @cached_property
    def luck(self) -> Luck | None:
        """Of a sweep without folds; None: there are not two runs with a Sharpe ratio."""
        rows = [row for row, *_ in self.trials[0]]
        sharpes = np.array([self.table["sharpe"][row] for row in rows], np.float64)
        if self.walked or np.isfinite(sharpes).sum() < 2:
            return None
        best = int(np.nanargmax(sharpes))
        independent, variance = overfitting.independent(self.trials[1]), float(np.nanvar(sharpes, ddof=1))
        every, few = (overfitting.expected_best(variance, count) for count in (len(rows), independent))
        deflated, less = (self._above(rows[best], expected) for expected in (every, few))
        return Luck(len(rows), independent, float(sharpes[best]), every, deflated, less)

    def _above(self, row: int, expected: float) -> float:
        """How probably the true Sharpe ratio of a run is above one (a year)."""
        count, shape = self.table["bars"][row] - 1, (self.table["skewness"][row], self.table["kurtosis"][row])
        if count < 2 or None in shape:
            return float("nan")
        a_year = sqrt(count / self._years([row]))
        return overfitting.probability_above(self.table["sharpe"][row] / a_year, expected / a_year, count, *shape)

    def _years(self, rows: Sequence[int]) -> float:
        """How long some runs last together."""
        spans = [(self.table["start"][row], self.table["end"][row]) for row in rows if self.table["start"][row] is not None]
        return max(float(sum(end - start for start, end in spans)) / MS_A_YEAR, 1e-9)

    # --- walking forward ---------------------------------------------------------------------------------------------

    @cached_property
    def steps(self) -> list[Step]:
        """The folds in which something could be chosen, in order."""
        return list(self._steps()) if self.walked else []

    def _steps(self) -> Iterator[Step]:
        for fold in sorted(set(self.table["fold"])):
            rows = [row for row in range(len(self)) if self.table["fold"][row] == fold]
            chosen = {self.table["part"][row]: row for row in rows if self.table["chosen"][row]}
            if not chosen:
                continue
            there = self.objective[[row for row in rows if self.table["part"][row] == "test"]]
            own, count = self.objective[chosen["test"]], int(np.isfinite(there).sum())
            rank = float((there < own).sum() / (count - 1)) if count > 1 and np.isfinite(own) else float("nan")
            yield Step(fold, chosen["train"], chosen["test"], rank)

    @cached_property
    def chained(self) -> tuple[Ints, Floats]:
        """The tests of what was chosen, one after the other: moments (UTC ms), and what a unit of money has become."""
        times, worth = [np.empty(0, np.int64)], [np.empty(0)]
        value = 1.0
        for step in self.steps:
            curve = np.array(self.table["curve"][step.test] or (), np.float64)
            if len(curve) and curve[0] > 0:
                times.append(np.linspace(self.table["start"][step.test], self.table["end"][step.test], len(curve)).astype(np.int64))
                worth.append(value * curve / curve[0])
                value = float(worth[-1][-1])
        return np.concatenate(times), np.concatenate(worth)

    @property
    def outside(self) -> tuple[float, float, float]:
        """Of these tests together: the return, the Sharpe ratio a year, and how probably that is above 0; NaN where nothing was chosen."""
        _, worth = self.chained
        found = [moves(self.table["curve"][step.test]) for step in self.steps]
        joined = np.concatenate(found) if found else np.empty(0)
        if len(joined) < 2:
            return float("nan"), float("nan"), float("nan")
        sharpe, shape = float(overfitting.sharpes(joined[:, None])[0]), overfitting.moments(joined)
        a_year = sqrt(len(joined) / self._years([step.test for step in self.steps]))
        return float(worth[-1]) - 1.0, sharpe * a_year, overfitting.probability_above(sharpe, 0.0, len(joined), *shape)

    # --- which values matter -----------------------------------------------------------------------------------------

    def groups(self, path: str) -> list[Group]:
        """The combinations by the value of a key, in order; many values are taken together."""
        values = [self.table[path][rows[0]] for rows in self.judged]
        most = min(max(len(values) // IN_A_GROUP, 2), GROUPS)
        return [Group(name, middle, self.scores[inside]) for name, middle, inside in grouped(values, most)]

    def cells(self, one: str, other: str) -> tuple[list[str], list[str], Floats]:
        """The values of two keys, and the median score of the combinations with both (a row each of the second); NaN: there are none."""
        most = min(max(round(sqrt(len(self.judged) / IN_A_CELL)), 2), CELLS)
        columns, rows = (grouped([self.table[path][rows[0]] for rows in self.judged], most) for path in (one, other))
        middles = np.array([[median(self.scores[inside & across]) for _, _, across in columns] for _, _, inside in rows])
        return [name for name, _, _ in columns], [name for name, _, _ in rows], middles

    def explained(self, path: str) -> float:
        """How much of the differences between the scores goes with the value of a key: the variance of its groups' means over that of all.

        Source: the correlation ratio, Fisher, Statistical Methods for Research Workers (1925).
        """
        known = [group.scores[np.isfinite(group.scores)] for group in self.groups(path)]
        known = [scores for scores in known if len(scores)]
        every = np.concatenate(known) if known else np.empty(0)
        if len(every) < 2 or every.var() <= 0:
            return float("nan")
        return float(sum(len(scores) * (scores.mean() - every.mean()) ** 2 for scores in known) / len(every) / every.var())


def opened(folder: Path) -> Sweep:
    """The sweep whose files lie in a folder. Raises DataError: there is none, or it is not done."""
    files = Folder(folder)
    asked = files.asked()
    if asked is None or not files.complete:
        raise DataError(f"{folder} has no sweep that is done; start `rebalanced sweep` with it as --out")
    table = files.table()
    if not {*asked["swept"], *COLUMNS} <= table.keys():
        raise DataError(f"{folder} has a sweep of another version of this program; start it again with another directory as --out")
    return Sweep(folder, asked, table)


def choice(objectives: Sequence[float]) -> int | None:
    """Which of some runs is chosen: that with the highest objective, the first of several; None: none has one."""
    known = [place for place, value in enumerate(objectives) if np.isfinite(value)]
    return max(known, key=lambda place: objectives[place], default=None)


def median(values: Floats) -> float:
    """The middle of those that are known; NaN of none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def shown(value: Any) -> str:
    """A value in few letters."""
    return f"{value:.6g}" if isinstance(value, float) else text(value)


def grouped(values: Sequence[Any], most: int) -> list[tuple[str, float, Any]]:
    """The values of a key in order, or those of a range in `most` groups of neighbours: a name, a place on an axis, and who has one."""
    kinds = sorted(set(values))
    if len(kinds) <= GROUPS or isinstance(kinds[0], str):
        there = np.array([kinds.index(value) for value in values])
        return [(shown(kind), float(place if isinstance(kind, str) else kind), there == place) for place, kind in enumerate(kinds)]
    numbers = np.array(values, np.float64)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, most + 1)))
    at = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    found = [(place, numbers[at == place]) for place in range(len(edges) - 1)]
    return [(f"{inside.min():.3g}–{inside.max():.3g}", float(np.median(inside)), at == place) for place, inside in found if len(inside)]
