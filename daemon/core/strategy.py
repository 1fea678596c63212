"""Strategy: what a strategy is, what it is told, and how its parameters check themselves.

Rule: a decision is a pure function of its view. A strategy holds no state beside its parameters, reads no clock, does no I/O and never
sees an exchange; what must survive from one decision to the next is in the view.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import isfinite
from typing import ClassVar, Final

import numpy as np

from daemon.core.indicators import Indicator
from daemon.core.model import Bools, Floats, Slice, TargetWeights

# The warm-up fetches the history of every symbol: this many bars at most.
BARS_MAX: Final = 10_000


class Failed(Exception):
    """A strategy cannot go on, or what it gave cannot be used; one sentence that says why and, where that is known, at which place."""


@dataclass(frozen=True, slots=True)
class Universe:
    """What may be traded: `symbols` in the order of every row, their `sectors` by name, and the kind of `market` (spot has no shorts)."""

    symbols: tuple[str, ...]
    timeframe: timedelta
    sectors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    market: str = "spot"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """All that a strategy knows when it decides.

    `rows` are its indicators' values at this slice, by the names it gave them, float64 (symbols,), NaN where not warm.
    `tradable` is bool (symbols,): in the universe, a real bar in this slice and every indicator warm. `weights` is what this strategy
    wanted last, weights of its own capital, empty before its first decision; `held` is what it holds now, in the same weights. `carried`
    is the part of `weights` that stays, whatever is decided now, because its symbols are in the universe and not tradable: count it
    against what there is to spend.
    `silent`: nobody asks for the signals of this decision, and it need not tell any.
    `columns`: the numbers of the strategy's own `columns` at this slice, by name, where they were told before it; empty elsewhere.
    `signals` are the numbers its last decision rested on, by symbol and name, as the journal keeps them: what a strategy must remember
    beside its weights, it tells as a signal.
    """

    slice: Slice
    rows: Mapping[str, Floats]
    tradable: Bools
    weights: Mapping[str, float]
    carried: Mapping[str, float]
    signals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)
    silent: bool = False
    columns: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Signals of many slices: by name float64 (times, subjects), NaN for none; `subjects` are what they are told of, mostly symbols.

    `decided`: a decision at one of these slices tells the same numbers, and no others.
    """

    subjects: tuple[str, ...]
    numbers: Mapping[str, Floats]
    decided: bool = True


@dataclass(frozen=True, slots=True)
class NoParams:
    """The parameters of a strategy that has none."""


class Strategy(ABC):
    """Base of every strategy.

    `remarks` are sentences for its user at the start: what was given and cannot be used. ValueError of the constructor: parameters that do
    not fit the universe, as a sentence that begins with the parameter.

    A subclass has a frozen dataclass `Params`, every field with a default, whose constructor raises ValueError with a sentence such as
    `lookback must be at least 2, not 1`.
    """

    Params: ClassVar[type] = NoParams
    every: ClassVar[int] = 24  # bars between two decisions, where the configuration's schedule does not say
    remarks: tuple[str, ...] = ()

    def __init__(self, params: object, universe: Universe) -> None:
        self.params = params
        self.universe = universe

    @abstractmethod
    def indicators(self) -> Mapping[str, Indicator]:
        """Fresh indicators, by name, as wide as the universe. The runner steps them at every slice."""

    @abstractmethod
    def decide(self, view: View) -> TargetWeights:
        """The weights wanted now, with the numbers they rest on."""

    def warm(self, rows: Mapping[str, Floats]) -> Bools:
        """Which symbols have history enough to be decided on, bool (symbols,): every row has a value there.

        Overridden where the rows are not one number a symbol.
        """
        warm = np.ones(len(self.universe.symbols), np.bool_)
        for name, row in rows.items():
            if row.shape != warm.shape:
                told = f"its indicator {name} has a row of the shape {row.shape} where the universe has {len(warm)} symbols"
                raise Failed(f"{told}; make it len(self.universe.symbols) wide, or override `warm`")
            warm &= np.isfinite(row)
        return warm

    def signals(self, view: View) -> Mapping[str, Mapping[str, float]]:
        """The numbers that a decision at this slice would rest on, by symbol and name: what a backtest records of every slice, due or not.

        Those of `decide`, unless a strategy can tell them with less work.
        """
        return self.decide(view).signals

    def columns(self, closes: Floats, rows: Mapping[str, Floats]) -> Columns | None:
        """The same numbers of many slices; None where they do not follow from these alone, and are told one by one.

        `closes` is (times, symbols), `rows` are the indicators' values (times, ...) by name.
        """
        return None


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


def check_share(name: str, value: object) -> None:
    """Raise ValueError, as a sentence, unless `value` is a share of the capital: above 0 and at most 1."""
    check_number(name, value)
    if isinstance(value, int | float) and not 0 < value <= 1:
        raise ValueError(f"{name} must be above 0 and at most 1, not {value}")


def check_choice(name: str, value: object, *choices: str) -> None:
    """Raise ValueError, as a sentence, unless `value` is one of the words."""
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(choices)}, not {value!r}")
