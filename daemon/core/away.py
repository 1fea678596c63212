"""Away: the events between the loop and the strategies that run in processes of their own.

Rule: as for all events. `events.py` has them by name, and in its union.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from daemon.core.model import Slice, TargetWeights


@dataclass(frozen=True, slots=True)
class AskStrategy:
    """Have a strategy that runs in a process of its own decide on this slice.

    `last` is what it wanted before, None: nothing yet; `held` what it holds, in weights of its own capital.
    """

    name: str
    slice: Slice
    last: TargetWeights | None
    at: datetime
    held: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StrategyStarted:
    """A strategy runs in a process of its own; its indicators need so many bars of history."""

    name: str
    need: int
    at: datetime


@dataclass(frozen=True, slots=True)
class StrategyAnswered:
    """What a strategy in a process of its own, or over several accounts, wants at the slice of a close time.

    `targets` None: it cannot say yet, and is asked again at the next slice. `warm`: the symbols with history enough for it.
    """

    name: str
    as_of: datetime
    targets: TargetWeights | None
    warm: frozenset[str]
    at: datetime


@dataclass(frozen=True, slots=True)
class StrategyDisabled:
    """A user's own strategy has failed and is asked no more; its last targets stand. `problem` is a sentence."""

    name: str
    problem: str
    at: datetime
