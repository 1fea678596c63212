"""Desk: a strategy at work: its indicators, their newest rows, and what it wanted last.

Rule: the same desk stands in the loop, in the worker process of a user's own strategy and in the backtest, so that one file decides the
same everywhere. An answer that cannot be used is refused as a whole, and what was wanted before stands. Every call into a strategy's code
goes through the guard.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from math import fsum, isfinite, prod
from typing import Final, Literal, Protocol, TypeVar

import numpy as np

from daemon.core.indicators import Indicator
from daemon.core.indicators.base import checked
from daemon.core.model import CLOSE, Bools, Floats, Slice, TargetWeights
from daemon.core.strategy import Columns, Failed, Strategy, View

# Above any leverage that a strategy is run with, below what percent instead of shares add up to. Scaled down to the account's limit, such
# weights would leave the other strategies next to nothing.
GROSS_MAX: Final = 10

# A hundred pages of a venue's candles for every symbol. Who asks for more has mistyped, and would wait for hours.
NEED_MAX: Final = 100_000

T = TypeVar("T")
Work = Literal["load", "indicators", "warm", "step", "decide", "signals"]


class Guard(Protocol):
    """Calls a strategy's code."""

    def __call__(self, work: Work, bars: int, code: Callable[[], T], /) -> T:
        """What `code` returns. `work` is what it is for, `bars` how many bars it is given.

        Raises:
            Exception: whatever it raised; Failed where the guard knows better.
        """
        ...


def unguarded(_work: Work, _bars: int, code: Callable[[], T]) -> T:
    """As it is: what ships with the daemon needs no guard."""
    return code()


class Later(Mapping[str, float]):
    """Numbers by symbol, worked out when somebody looks at them: few strategies ask what they hold."""

    def __init__(self, found: Callable[[], Mapping[str, float]]) -> None:
        self._find = found
        self._found: Mapping[str, float] | None = None

    def _there(self) -> Mapping[str, float]:
        if self._found is None:
            self._found = self._find()
        return self._found

    def __getitem__(self, symbol: str) -> float:
        """One of them."""
        return self._there()[symbol]

    def __iter__(self) -> Iterator[str]:
        """Their symbols."""
        return iter(self._there())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._there())


class Desk:
    """One strategy over the universe. `targets` is its last usable answer, None before the first; `held` what it holds, in weights.

    `warm_columns`: where there is history enough for a decision, bool (symbols,).
    """

    def __init__(self, strategy: Strategy, width: int, guard: Guard = unguarded) -> None:
        """Take its indicators.

        Raises:
            Exception: whatever the strategy raised, or Failed for indicators that cannot be used.
        """
        self.targets: TargetWeights | None = None
        self.held: Mapping[str, float] = {}
        self._decided_at: datetime | None = None
        self._strategy = strategy
        self._width = width
        self._guard = guard
        self._indicators: Mapping[str, Indicator] = {}
        self._rows: dict[str, Floats] = {}
        self._ahead: dict[str, Floats] = {}  # values that were worked out before their slices, where they are warm (None: it has to be
        self._warm_ahead: Bools | None = None  # asked at each), and how many of these slices have passed
        self._passed = 0
        self._silent = False  # its numbers at the slices to come are told already
        self._columns: Mapping[str, Floats] = {}  # and are these, by name
        self.warm_columns: Bools = np.zeros(width, np.bool_)
        guard("indicators", 0, self._take)

    def _take(self) -> None:
        self._indicators = indicators_of(self._strategy)
        self._look({name: np.full(indicator.shape, np.nan) for name, indicator in self._indicators.items()})

    @property
    def need(self) -> int:
        """Bars of history that warm every indicator so far that the rest makes no difference."""
        return max((indicator.need for indicator in self._indicators.values()), default=1)

    @property
    def breadth(self) -> int:
        """How many numbers its indicators have at one slice."""
        return sum(prod(indicator.shape) for indicator in self._indicators.values())

    @property
    def rows(self) -> Mapping[str, Floats]:
        """The indicators' newest values, by name, each (symbols,)."""
        return self._rows

    @property
    def short(self) -> Bools:
        """Where a longer history, if there is one, may make another value than `need` bars: bool (symbols,)."""
        return self._guard("indicators", 0, self._short)

    def _short(self) -> Bools:
        short = np.zeros(self._width, np.bool_)
        for indicator in self._indicators.values():
            columns = indicator.short()
            short |= columns if columns.shape == short.shape else columns.any()
        return short

    def renew(self) -> None:
        """Begin with fresh indicators, to be fed a longer history.

        Raises:
            Exception: whatever the strategy raised.
        """
        self._guard("indicators", 0, self._take)

    def warm(self, panels: Floats) -> None:
        """Feed a history (times, 5, symbols) of at least one slice through the indicators.

        Raises:
            Exception: whatever the strategy's code raised, or ValueError for a row that is none.
        """
        self._guard("warm", len(panels), lambda: self._feed(lambda indicator: indicator.last(indicator.rows(panels))))

    def foresee(self, panels: Floats) -> Columns | None:
        """Work out the indicators' values at slices to come (times, 5, symbols), which are then fed or skipped one after the other.

        Returns the strategy's `columns` at them.

        Raises:
            Exception: as `warm`.
        """

        def values() -> dict[str, Floats]:
            return {name: indicator.block(indicator.rows(panels)) for name, indicator in self._indicators.items()}

        self._ahead, self._passed = self._guard("warm", len(panels), values), 0
        self._warm_ahead = warm_rows(self._strategy, self._ahead)
        columns = self._strategy.columns(panels[:, CLOSE], self._ahead)
        self._silent = columns is not None and columns.decided
        self._columns = columns.numbers if columns is not None and self._silent else {}
        return columns

    def skip(self, count: int) -> None:
        """So many of the slices that were foreseen have passed, and nobody has asked."""
        self._passed += count

    def step(self, panel: Floats) -> None:
        """Feed one more slice's panel (5, symbols).

        Raises:
            Exception: as `warm`.
        """
        if self._ahead:
            rows = {name: values[self._passed] for name, values in self._ahead.items()}
            if self._warm_ahead is None:
                self._look(rows)
            else:
                self._rows, self.warm_columns = rows, self._warm_ahead[self._passed]
            self._passed += 1
        else:
            self._guard("step", 1, lambda: self._feed(lambda indicator: indicator.step(indicator.rows(panel))))

    def _feed(self, value_of: Callable[[Indicator], Floats]) -> None:
        rows = {}
        for name, indicator in self._indicators.items():
            with named_in_errors(name):
                rows[name] = checked(value_of(indicator), indicator.shape)
        self._look(rows)

    def _look(self, rows: dict[str, Floats]) -> None:
        """Take the newest rows over, and where they are warm."""
        warm = self._strategy.warm(rows)
        if np.shape(warm) != (self._width,):
            raise Failed(f"`warm` must give one truth a symbol, {self._width} of them, not {np.shape(warm)}")
        self._rows, self.warm_columns = rows, np.asarray(warm, np.bool_)

    def decide(self, cross_section: Slice, synthetic_max: int) -> TargetWeights:
        """Ask the strategy and keep its answer.

        Raises:
            Exception: whatever the strategy raised, or Failed for an answer that cannot be used; `targets` is as before.
        """
        view = self._view(cross_section, synthetic_max)
        answer = self._guard("decide", 1, lambda: usable(self._strategy.decide(view), cross_section.symbols))
        gone = NONE if cross_section.whole else missing(cross_section) | named(cross_section, ~cross_section.inside)
        if gone or view.carried:
            wanted = {symbol: weight for symbol, weight in answer.weights.items() if symbol not in gone}
            answer = replace(answer, weights={**wanted, **view.carried})
        self.targets = answer
        self._decided_at = cross_section.closes_at
        return self.targets

    def signals(self, cross_section: Slice, synthetic_max: int) -> Mapping[str, Mapping[str, float]]:
        """The numbers of this slice, once it was fed: those that the decision at it rests on, or would rest on if there were one.

        Raises:
            Exception: whatever the strategy raised.
        """
        if self.targets is not None and self._decided_at == cross_section.closes_at and not self._silent:
            return self.targets.signals
        view = self._view(cross_section, synthetic_max)
        return self._guard("signals", 1, lambda: numbers(self._strategy.signals(view)))

    def _view(self, cross_section: Slice, synthetic_max: int) -> View:
        last = self.targets.weights if self.targets else {}
        if cross_section.whole:
            tradable, stay = self.warm_columns.copy(), named(cross_section, ~self.warm_columns)
        else:
            tradable = cross_section.real & self.warm_columns & cross_section.inside
            stay = named(cross_section, ~tradable & cross_section.inside & (cross_section.age <= synthetic_max))
        carried = {symbol: weight for symbol, weight in last.items() if symbol in stay} if stay else {}
        told = self.targets.signals if self.targets else {}
        columns = {name: rows[self._passed - 1] for name, rows in self._columns.items()}
        return View(cross_section, dict(self._rows), tradable, last, carried, told, self.held, self._silent, columns)


def warm_rows(strategy: Strategy, rows: Mapping[str, Floats]) -> Bools | None:
    """Where many rows are warm, (times, symbols), as of `Strategy.warm`; None: the strategy has its own idea of that."""
    width = len(strategy.universe.symbols)
    if type(strategy).warm is not Strategy.warm or not rows or any(each.shape[1:] != (width,) for each in rows.values()):
        return None
    warm: Bools = np.logical_and.reduce([np.isfinite(each) for each in rows.values()])
    return warm


def indicators_of(strategy: Strategy) -> dict[str, Indicator]:
    """Its indicators, fresh.

    Raises:
        Exception: whatever the strategy raised, or Failed for what is no indicator.
    """
    found: object = strategy.indicators()
    if not isinstance(found, Mapping):
        raise Failed(f"`indicators` must return a mapping of names to indicators, not {type(found).__name__}; return {{}} for none")
    for name, indicator in found.items():
        if not isinstance(indicator, Indicator):
            raise Failed(f"its indicator {name} is no Indicator but {type(indicator).__name__}; derive it from Indicator")
        need, shape = getattr(indicator, "need", None), getattr(indicator, "shape", None)
        if isinstance(need, bool) or not isinstance(need, int) or need < 1:
            raise Failed(f"its indicator {name} must have as `need` how many bars of history it needs, not {need}; set it in __init__")
        if need > NEED_MAX:
            raise Failed(f"its indicator {name} needs {need} bars of history, more than {NEED_MAX}; let it look back less far")
        if not isinstance(shape, tuple):
            raise Failed(f"its indicator {name} must have as `shape` that of its row, (symbols,), not {shape}; set it in __init__")
    return {str(name): indicator for name, indicator in found.items()}


@contextmanager
def named_in_errors(name: str) -> Iterator[None]:
    """Have an exception say in which indicator it arose."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in its indicator {name}")
        raise


def reason(error: Exception) -> str:
    """What a strategy's failure says for itself; of Failed the sentence."""
    return str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"


def usable(answer: object, symbols: Sequence[str]) -> TargetWeights:
    """The answer of a strategy in plain types: finite weights of symbols that the universe has, and the signals that are numbers.

    Raises:
        Failed: it is no TargetWeights, or has a weight for a symbol that the universe does not have, or one that is no number.
    """
    if not isinstance(answer, TargetWeights):
        raise Failed(f"decide must return TargetWeights, not {type(answer).__name__}; write return TargetWeights({{symbol: weight}})")
    named_there = (answer.weights.keys() | answer.keep).union(*answer.groups)
    unknown = sorted(str(symbol) for symbol in named_there - set(symbols))
    if unknown:
        raise Failed(f"a weight for {', '.join(unknown)}, which the universe does not have; leave it out, or add it to universe.symbols")
    weights = {symbol: float(weight) for symbol, weight in answer.weights.items()}
    if (gross := fsum(map(abs, weights.values()))) > GROSS_MAX:
        raise Failed(f"the weights add up to {gross:.6g}, more than {GROSS_MAX}; they are shares of its capital: 0.5 is half of it")
    groups = tuple(tuple(map(str, group)) for group in answer.groups)
    return TargetWeights(weights, frozenset(answer.keep), numbers(answer.signals), str(answer.note), groups)


def numbers(signals: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The signals that are numbers, in plain types."""
    return {str(symbol): {str(name): float(value) for name, value in each.items() if isfinite(value)} for symbol, each in signals.items()}


def missing(cross_section: Slice) -> frozenset[str]:
    """The symbols without a bar in this slice that may move money."""
    return NONE if cross_section.whole else named(cross_section, ~cross_section.real)


def named(cross_section: Slice, mask: Bools) -> frozenset[str]:
    """The symbols where `mask` (symbols,) holds."""
    return frozenset([cross_section.symbols[column] for column in mask.nonzero()[0].tolist()]) if np.count_nonzero(mask) else NONE


NONE: Final[frozenset[str]] = frozenset()
