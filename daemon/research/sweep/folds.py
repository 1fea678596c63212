"""Folds: how a period is cut for a walk forward: a stretch to choose in, the stretch after it to see what the choice was worth, and again.

Rule: what is chosen in has closed before what is judged begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Window:
    """When decisions are made: at closes later than `after`, and not later than `until`; None: from the first, to the last."""

    after: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of a walk forward; `train` ends where `test` begins."""

    train: Window
    test: Window


@dataclass(frozen=True, slots=True)
class Walk:
    """How long the parts are. `anchored`: the first always begins at the beginning, and grows; else it rolls on."""

    train: timedelta
    test: timedelta
    anchored: bool


def folds(walk: Walk, begin: datetime, end: datetime) -> Iterator[Fold]:
    """The folds between two moments, oldest first; a rest that is shorter than a test is left out."""
    first, middle = begin, begin + walk.train
    while middle + walk.test <= end:
        yield Fold(Window(begin if walk.anchored else first, middle), Window(middle, middle + walk.test))
        first, middle = first + walk.test, middle + walk.test
