"""Desk: a strategy at work: its indicators, their newest rows, and what it wanted last.

Rule: the same desk stands in the loop, in the worker process of a user's own strategy and in the backtest, so that one file decides the
same everywhere. An answer that cannot be used is refused as a whole, and what was wanted before stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from math import isfinite

import numpy as np

from daemon.core.indicators import Indicator
from daemon.core.model import Bools, Floats, Slice, TargetWeights
from daemon.core.strategy import Strategy, View


class Desk:
    """One strategy over the universe. `targets` is its last usable answer, None before the first."""

    def __init__(self, strategy: Strategy, width: int) -> None:
        self.targets: TargetWeights | None = None
        self._decided_at: datetime | None = None
        self._strategy = strategy
        self._indicators: Mapping[str, Indicator] = dict(strategy.indicators())
        self._rows: dict[str, Floats] = {name: np.full(indicator.shape, np.nan) for name, indicator in self._indicators.items()}
        self._width = width

    @property
    def need(self) -> int:
        """Bars of history that warm every indicator so far that the rest makes no difference."""
        return max((indicator.need for indicator in self._indicators.values()), default=1)

    @property
    def rows(self) -> Mapping[str, Floats]:
        """The indicators' newest values, by name, each (symbols,)."""
        return self._rows

    @property
    def warm_columns(self) -> Bools:
        """Where there is history enough for a decision, bool (symbols,)."""
        return self._strategy.warm(self._rows)

    def warm(self, panels: Floats) -> None:
        """Feed a history (times, 5, symbols) of at least one slice through the indicators."""
        for name, indicator in self._indicators.items():
            self._rows[name] = indicator.last(indicator.rows(panels))

    def step(self, panel: Floats) -> None:
        """Feed one more slice's panel (5, symbols)."""
        for name, indicator in self._indicators.items():
            self._rows[name] = indicator.step(indicator.rows(panel))

    def decide(self, cross_section: Slice, synthetic_max: int) -> TargetWeights:
        """Ask the strategy and keep its answer.

        Raises:
            Exception: whatever the strategy raised, or ValueError for an answer that cannot be used; `targets` is as before.
        """
        view = self._view(cross_section, synthetic_max)
        answer = usable(self._strategy.decide(view), cross_section.symbols)
        gone = missing(cross_section)
        wanted = {symbol: weight for symbol, weight in answer.weights.items() if symbol not in gone}
        self.targets = replace(answer, weights={**wanted, **view.carried})
        self._decided_at = cross_section.closes_at
        return self.targets

    def signals(self, cross_section: Slice, synthetic_max: int) -> Mapping[str, Mapping[str, float]]:
        """The numbers of this slice, once it was fed: those that the decision at it rests on, or would rest on if there were one.

        Raises:
            Exception: whatever the strategy raised.
        """
        if self.targets is not None and self._decided_at == cross_section.closes_at:
            return self.targets.signals
        return numbers(self._strategy.signals(self._view(cross_section, synthetic_max)))

    def _view(self, cross_section: Slice, synthetic_max: int) -> View:
        tradable = (cross_section.age == 0) & self.warm_columns
        last = self.targets.weights if self.targets else {}
        stay = named(cross_section, ~tradable & (cross_section.age <= synthetic_max))
        carried = {symbol: weight for symbol, weight in last.items() if symbol in stay}
        return View(cross_section, dict(self._rows), tradable, last, carried, self.targets.signals if self.targets else {})


def usable(answer: object, symbols: Sequence[str]) -> TargetWeights:
    """The answer of a strategy in plain types: finite weights of symbols that the universe has, and the signals that are numbers.

    Raises:
        ValueError: it is no TargetWeights, or has a weight for a symbol that the universe does not have, or one that is no number.
    """
    if not isinstance(answer, TargetWeights):
        raise ValueError(f"decide must return TargetWeights, not {type(answer).__name__}")
    unknown = sorted(str(symbol) for symbol in (answer.weights.keys() | answer.keep) - set(symbols))
    if unknown:
        raise ValueError(f"a weight for {', '.join(unknown)}, which the universe does not have")
    weights = {symbol: float(weight) for symbol, weight in answer.weights.items()}
    return TargetWeights(weights, frozenset(answer.keep), numbers(answer.signals), str(answer.note))


def numbers(signals: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The signals that are numbers, in plain types."""
    return {str(symbol): {str(name): float(value) for name, value in each.items() if isfinite(value)} for symbol, each in signals.items()}


def missing(cross_section: Slice) -> frozenset[str]:
    """The symbols without a real bar in this slice."""
    return named(cross_section, cross_section.age > 0)


def named(cross_section: Slice, mask: Bools) -> frozenset[str]:
    """The symbols where `mask` (symbols,) holds."""
    return frozenset(cross_section.symbols[column] for column in np.flatnonzero(mask).tolist())
