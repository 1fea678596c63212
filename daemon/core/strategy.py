"""Strategy: what a strategy is, what it is told, and how its parameters check themselves.

Rule: a decision is a pure function of its view. A strategy holds no state beside its parameters, reads no clock, does no I/O and never
sees an exchange; what must survive from one decision to the next is in the view.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite
from typing import ClassVar

from daemon.core.indicators import Indicator
from daemon.core.model import Bools, Floats, Slice, TargetWeights


@dataclass(frozen=True, slots=True)
class Universe:
    """What may be traded, in the order of every row."""

    symbols: tuple[str, ...]
    timeframe: timedelta


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """All that a strategy knows when it decides.

    `rows` are its indicators' values at this slice, by the names it gave them, float64 (symbols,), NaN where not warm.
    `tradable` is bool (symbols,): a real bar in this slice and every indicator warm. `weights` is what this strategy wanted last, weights
    of its own capital, empty before its first decision. `carried` is the part of it that stays, whatever is decided now, because its
    symbols are not tradable: count it against what there is to spend.
    """

    slice: Slice
    rows: Mapping[str, Floats]
    tradable: Bools
    weights: Mapping[str, float]
    carried: Mapping[str, float]


class Strategy(ABC):
    """Base of every strategy.

    A subclass has a frozen dataclass `Params`, every field with a default, whose constructor raises ValueError with a sentence such as
    `lookback must be at least 2, not 1`.
    """

    Params: ClassVar[type]

    def __init__(self, params: object, universe: Universe) -> None:
        self.params = params
        self.universe = universe

    @abstractmethod
    def indicators(self) -> Mapping[str, Indicator]:
        """Fresh indicators, by name, as wide as the universe. The runner steps them at every slice."""

    @abstractmethod
    def decide(self, view: View) -> TargetWeights:
        """The weights wanted now, with the numbers they rest on."""


def check_integer(name: str, value: object, least: int, most: int) -> None:
    """Raise ValueError, as a sentence, unless `value` is an integer between the two."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be at {f'least {least}' if value < least else f'most {most}'}, not {value}")


def check_number(name: str, value: object) -> None:
    """Raise ValueError, as a sentence, unless `value` is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
