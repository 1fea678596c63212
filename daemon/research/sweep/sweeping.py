"""Sweeping: what was asked for becomes runs, their rows, the table of these, and what they say together.

Rule: nothing runs before every combination has been judged by the rules of a configuration; what has run is not run again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import nan
from pathlib import Path
from typing import Any, Final

from daemon import __version__
from daemon.config import Changes, ConfigError, Variants
from daemon.core.model import from_epoch_ms
from daemon.core.plain import plain, rfc3339
from daemon.parts import StartRefused
from daemon.research import runs
from daemon.research.assumptions import assumptions
from daemon.research.backtest import Routes
from daemon.research.sweep import folds
from daemon.research.sweep.files import PANEL, Folder, Placed, text
from daemon.research.sweep.findings import Sweep, choice, opened
from daemon.research.sweep.jobs import TINY, Job, Row, Task
from daemon.research.sweep.panel import Needs, Panel, written
from daemon.research.sweep.pool import Crew
from daemon.research.sweep.space import Choices, Parameter, combinations, within

SENTENCES: Final = 10  # of what is wrong with combinations; the rest are counted

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sweep is to be. `by`: the number of a run that is to be as high as possible; `draws` None: every combination.

    `start` and `end`: the first and the last decision, both included (None: as there are bars).
    """

    data: Path
    out: Path
    space: Sequence[Parameter]
    draws: int | None
    seed: int
    walk: folds.Walk | None
    by: str
    start: datetime | None
    end: datetime | None


def sweep(variants: Variants, asked: Asked, routes: Routes, crew: Crew, progress: Progress) -> Sweep:
    """Run whatever has not been run yet, and read what has come of it. `progress` is told how many runs are done, of how many.

    Raises:
        ConfigError: a combination is no configuration.
        StartRefused: one cannot be backtested, or there are too many.
        DataError: bars are missing or cannot be used, another sweep is in `asked.out`, or nothing can be written there.
    """
    tried = combinations(asked.space, asked.draws, asked.seed)
    needs = judged(variants, tried)
    folder = Folder(asked.out)
    panel = written(asked.out / PANEL, needs, asked.data)
    jobs = list(placed(tried, asked, panel))
    folder.claim(_manifest(variants, asked, panel, len(jobs)))
    if not folder.complete:
        rows = _run(folder, Task(variants, asked.data, panel, routes), jobs, crew, progress)
        folder.finish(jobs, rows, frozenset(_chosen(jobs, rows, asked.by)))
    folder.tidy()
    return opened(asked.out)


def judged(variants: Variants, tried: Sequence[Changes]) -> Needs:
    """Judge every combination; what all of them need of the store.

    Raises:
        ConfigError: some are wrong.
        StartRefused: one cannot be backtested.
    """
    needs, problems = Needs(), dict[str, None]()
    needs.add(variants.base)  # what is assumed of it is told of all
    for changes in tried:
        try:
            config = variants.config(changes)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
        else:
            runs.account(config)
            needs.add(config)
    if problems:
        more = len(problems) - SENTENCES
        raise ConfigError([*list(problems)[:SENTENCES], *([f"and {more} more like these"] if more > 0 else [])])
    return needs


def placed(tried: Sequence[Changes], asked: Asked, panel: Panel) -> Iterator[Placed]:
    """Every run there is to be, in order: the combinations, or of a walk forward those of each part of each fold.

    Raises:
        StartRefused: the period has no room for a fold, or there are too many runs.
    """
    if asked.walk is None:
        after = None if asked.start is None else asked.start - TINY
        yield from (Placed(Job(run, changes, folds.Window(after, asked.end))) for run, changes in enumerate(tried))
        return
    begin, end = _period(asked, panel)
    steps = list(folds.folds(asked.walk, begin, end))
    if not steps:
        days = (end - begin) / timedelta(days=1)
        raise StartRefused(f"--train and --test are longer together than the period of {days:.4g} days; make them shorter", 2)
    within(2 * len(steps) * len(tried))
    run = 0
    for fold, step in enumerate(steps):
        for part, window in (("train", step.train), ("test", step.test)):
            for changes in tried:
                yield Placed(Job(run, changes, window), fold, part)
                run += 1


def _period(asked: Asked, panel: Panel) -> tuple[datetime, datetime]:
    """From when on a walk forward may decide, and until when."""
    first, last = (from_epoch_ms(moment) for moment in panel.opened().closes)
    return (first if asked.start is None else max(first, asked.start)) - TINY, last if asked.end is None else min(last, asked.end)


def _manifest(variants: Variants, asked: Asked, panel: Panel, count: int) -> dict[str, Any]:
    """Everything that the rows depend on."""
    walk, base = asked.walk, variants.base
    known = panel.opened().stored(base)
    return {
        "version": __version__,
        "settings": base.model_dump(mode="json"),
        "data": {"folder": str(asked.data), "digest": panel.digest},
        "swept": {each.path: _told(each) for each in asked.space},
        "random": asked.draws,
        "seed": asked.seed if asked.draws is not None else None,
        "walk": None if walk is None else {"train_s": plain(walk.train), "test_s": plain(walk.test), "anchored": walk.anchored},
        "by": asked.by,
        "start": None if asked.start is None else rfc3339(asked.start),
        "end": None if asked.end is None else rfc3339(asked.end),
        "runs": count,
        "assumptions": [asdict(each) for each in assumptions(base, known.bars, known.without, known.kept)],
    }


def _told(parameter: Parameter) -> str:
    if isinstance(parameter, Choices):
        return ", ".join(map(text, parameter.values))
    return f"{parameter.low} to {parameter.high}{', evenly in the logarithm' if parameter.logarithmic else ''}"


def _run(folder: Folder, task: Task, jobs: Sequence[Placed], crew: Crew, progress: Progress) -> Mapping[int, Row]:
    """The rows of all jobs, those included that were there before."""
    with folder.rows() as kept:
        known = kept.known()
        progress(len(known), len(jobs))
        left = [each.job for each in jobs if each.job.run not in known]
        with closing(crew.rows(task, left)) as done:
            for rows in done if left else ():
                kept.add(rows)
                known.update((row["run"], row) for row in rows)
                progress(len(known), len(jobs))
    return known


def _chosen(jobs: Sequence[Placed], rows: Mapping[int, Row], by: str) -> Iterator[int]:
    """The runs, train and test, of the combination that each fold chooses by its train runs alone."""
    by_part: dict[tuple[int | None, str | None], list[int]] = {}
    for each in jobs:
        by_part.setdefault((each.fold, each.part), []).append(each.job.run)
    for fold in sorted({each.fold for each in jobs if each.fold is not None}):
        trains, tests = by_part[fold, "train"], by_part[fold, "test"]
        found = choice([nan if (value := rows[run].get(by)) is None else value for run in trains])
        if found is not None:
            yield from (trains[found], tests[found])
