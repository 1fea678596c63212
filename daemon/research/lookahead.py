"""Look-ahead check: does what a strategy knew at a bar change when the bars after it are there, or when the bars long before it are not?

Rule: every run is made anew, with modules of its own, over arrays of its own, so that nothing a strategy keeps or reaches can carry the
future into a run that must not have it. The same runner decides as does live. What it cannot see is a file that a strategy reads by itself.

Three comparisons, at up to `CHECKPOINTS` of its decisions:
with and without the bars after it (looking ahead); `block` against `step` (a backtest would not be the daemon); and a restart with `need`
bars of history, there and at the decision before, against all of it (a warm-up too short, or a memory that a restart loses).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

import numpy as np

from daemon.core.desk import indicators_of, named_in_errors
from daemon.core.events import SliceClosed, TargetsChosen
from daemon.core.indicators import Indicator
from daemon.core.indicators.base import TOLERANCE, checked
from daemon.core.model import Bools, Decision, Floats, Slice, TargetWeights, epoch_ms
from daemon.core.runner import StrategyRunner
from daemon.core.staff import Sleeve
from daemon.core.strategy import BARS_MAX as BARS_AT_START
from daemon.core.strategy import Failed, Strategy, View
from daemon.research.bars import Bars, Series

# Each costs a run over the bars before it.
CHECKPOINTS: Final = 12
# The newest bars of a long history: two years of hours.
BARS_MAX: Final = 20_000
# A glance takes a fraction of a second: what looks ahead at all does so at nearly every decision.
GLANCES: Final = 3
GLANCED_AT: Final = 500
FUTURE: Final = "with the bars after it and {again} without them: it looks ahead"
BLOCK: Final = "bar by bar and {again} over the whole history at once: `step` and `block` of this indicator differ"
SHORT: Final = "after all of the history and {again} after the {need} bars that the warm-up reads: its `need` is too short"
MEMORY: Final = "as it runs and {again} after a restart: it remembers what is neither in its indicators nor in its view"


@dataclass(frozen=True, slots=True)
class Finding:
    """A value of the past that is not what it should be: which, of which symbol, at which bar, and how it differs."""

    strategy: str
    what: str
    symbol: str
    closes_at: datetime
    how: str

    def __str__(self) -> str:
        of = f" of {self.symbol}" if self.symbol else ""
        return f"{self.strategy}: {self.what}{of} at the bar that closes {self.closes_at:%Y-%m-%dT%H:%M:%SZ} is {self.how}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found of one strategy, and how much was compared."""

    strategy: str
    bars: int
    decisions: int
    findings: tuple[Finding, ...]
    problem: str = ""

    def __str__(self) -> str:
        if self.findings:
            return "\n".join(str(each) for each in self.findings)
        if self.problem:
            return self.problem
        return f"{self.strategy}: no look-ahead; {self.decisions} decisions in {self.bars} bars are the same without what came after them"


@dataclass(slots=True)
class Trace:
    """One run: by indicator its values at every bar, as `step` and as `block` gave them, and the decisions by bar."""

    slices: Sequence[Slice]
    stepped: dict[str, list[Floats]]
    blocked: dict[str, Floats]
    decisions: dict[int, Decision]
    need: int
    short: bool
    problem: str


class _Recorded(Indicator):
    """An indicator whose values are written down as they come."""

    _parts = ()

    def __init__(self, inner: Indicator, values: list[Floats]) -> None:
        self.need = inner.need
        self.shape = inner.shape
        self._inner = inner
        self._values = values

    def rows(self, panel: Floats) -> Floats:
        """As it reads them itself."""
        return self._inner.rows(panel)

    def step(self, row: Floats) -> Floats:
        """Its own step."""
        value = checked(self._inner.step(row), self.shape)
        self._values.append(np.array(value))
        return value

    def short(self) -> Bools:
        """As it knows itself."""
        return self._inner.short()

    def block(self, rows: Floats) -> Floats:
        """Its own block."""
        values = checked(self._inner.block(rows), (len(rows), *self.shape))
        self._values.extend(np.array(values))
        return values

    def last(self, rows: Floats) -> Floats:
        """The last of its own block."""
        value: Floats = self.block(rows)[-1].copy()
        return value


class _Watched(Strategy):
    """A strategy whose indicators are recorded."""

    def __init__(self, inner: Strategy) -> None:
        super().__init__(inner.params, inner.universe)
        self.stepped: dict[str, list[Floats]] = {}
        self._inner = inner

    def indicators(self) -> Mapping[str, Indicator]:
        """Its own, recorded."""
        return {name: _Recorded(inner, self.stepped.setdefault(name, [])) for name, inner in indicators_of(self._inner).items()}

    def decide(self, view: View) -> TargetWeights:
        """Its own decision."""
        return self._inner.decide(view)

    def warm(self, rows: Mapping[str, Floats]) -> Bools:
        """Its own judgement."""
        return self._inner.warm(rows)


MakeSleeve = Callable[[], Sleeve]
MakeRunner = Callable[[Sequence[Sleeve]], StrategyRunner]


def examine(name: str, make: MakeSleeve, runner: MakeRunner, bars: Bars) -> Report:
    """Check one strategy. `make` loads it afresh; `runner` joins sleeves under the rules of the configuration."""
    bars = _newest(bars, BARS_MAX)
    try:
        return _examine(name, make, runner, bars)
    except Failed as error:  # before there was anything to compare
        return Report(name, 0, 0, (), f"{name}: {error}")


def glance(name: str, make: MakeSleeve, runner: MakeRunner, bars: Bars) -> Finding | None:
    """Whether a strategy looks ahead at a few decisions of the newest bars; None: not there, or it cannot be compared."""
    try:
        newest = _newest(bars, runner([make()]).need + GLANCED_AT)
        whole = _trace(make(), runner, list(newest.slices()))
        findings = [*_differ(name, "indicator", whole.slices, whole.stepped, whole.blocked, BLOCK)]
        for bar in _checkpoints(whole, GLANCES):
            cut = _trace(make(), runner, list(_until(newest, whole.slices[bar]).slices()))
            findings += _ahead(name, whole, cut, bar)
    except Failed:
        return None
    return next(iter(findings), None)


def _examine(name: str, make: MakeSleeve, runner: MakeRunner, bars: Bars) -> Report:
    whole = _trace(make(), runner, list(bars.slices()))
    findings = [*_differ(name, "indicator", whole.slices, whole.stepped, whole.blocked, BLOCK)]
    for bar in _checkpoints(whole, CHECKPOINTS):
        cut = _trace(make(), runner, list(_until(bars, whole.slices[bar]).slices()))
        findings += _ahead(name, whole, cut, bar)
    for bar in _restarts(whole):
        findings += _restarted(name, make, runner, whole, bar)
    return Report(name, len(whole.slices), len(whole.decisions), tuple(_first(findings)), _problem(name, whole))


def _problem(name: str, whole: Trace) -> str:
    if whole.problem:
        return f"{name}: {whole.problem}"
    if whole.decisions:
        return ""
    return f"{name}: nothing was compared: no decision is due in {len(whole.slices)} bars (its indicators need {whole.need})"


def _checkpoints(whole: Trace, count: int) -> list[int]:
    """Bars with decisions, spread evenly over the run; never the last bar alone, after which there is no future."""
    bars = sorted(whole.decisions)
    if len(bars) <= count:
        return bars
    return [bars[round(place)] for place in np.linspace(0, len(bars) - 1, count)]


def _restarts(whole: Trace) -> list[int]:
    """The checkpoints with history enough, and the decision before each: what alternates is caught at one of two neighbours."""
    bars = sorted(whole.decisions)
    chosen = {place for bar in _checkpoints(whole, CHECKPOINTS) for place in (bars.index(bar), bars.index(bar) - 1) if place >= 0}
    return [bars[place] for place in sorted(chosen) if bars[place] >= whole.need]


def _trace(sleeve: Sleeve, runner: MakeRunner, slices: Sequence[Slice], start: int = 0, last: Decision | None = None) -> Trace:
    """Run over the slices; those before `start` are history, after which the run goes on from the decision `last`."""
    if sleeve.strategy is None:
        raise Failed(sleeve.problem)
    panels = np.stack([each.panel for each in slices])
    # First everything at once, as a backtest may do it: whoever keeps what it is shown here betrays itself in the decisions below.
    indicators = sleeve.guard("indicators", 0, partial(indicators_of, sleeve.strategy))
    blocked = sleeve.guard("warm", len(slices), lambda: {name: _block(name, each, panels) for name, each in indicators.items()})
    watched = _Watched(sleeve.strategy)
    at_work = runner([replace(sleeve, strategy=watched)])
    at_work.restore(last)
    at_work.warm(slices[:start])
    decisions: dict[int, Decision] = {}
    for bar in range(start, len(slices)):
        for event in at_work.on_slice(SliceClosed(slices[bar], slices[bar].closes_at)):
            if isinstance(event, TargetsChosen):
                decisions[bar] = event.decision
        if at_work.problems or at_work.disabled:
            break
    problem = next(iter({**at_work.problems, **at_work.disabled}.values()), "")
    return Trace(slices, watched.stepped, blocked, decisions, at_work.need, bool(at_work.short), problem)


def _block(name: str, indicator: Indicator, panels: Floats) -> Floats:
    with named_in_errors(name):
        return checked(indicator.block(indicator.rows(panels)), (len(panels), *indicator.shape))


def _ahead(name: str, whole: Trace, cut: Trace, bar: int) -> Iterator[Finding]:
    """What the run that ends at `bar` knew otherwise than the run that goes on."""
    yield from _differ(name, "indicator", cut.slices, whole.blocked, cut.blocked, FUTURE)
    yield from _differ(name, "indicator", cut.slices, whole.stepped, cut.stepped, FUTURE)
    for decided in sorted(whole.decisions):
        if decided > bar:
            break
        yield from _decisions(name, whole.slices[decided], whole.decisions[decided], cut.decisions.get(decided), FUTURE)


def _restarted(name: str, make: MakeSleeve, runner: MakeRunner, whole: Trace, bar: int) -> Iterator[Finding]:
    """What is known at `bar` after a restart just before it."""
    before = max((decided for decided in whole.decisions if decided < bar), default=None)
    last = None if before is None else whole.decisions[before]

    def after(need: int) -> Trace:
        return _trace(make(), runner, [_owned_slice(each) for each in whole.slices[bar - need : bar + 1]], need, last)

    need = whole.need
    again = after(need)
    while again.short and need < min(bar, BARS_AT_START):  # as the warm-up does
        need = min(2 * need, bar, BARS_AT_START)
        again = after(need)
    if again.problem:
        raise Failed(f"after a restart, {again.problem}")
    how = SHORT.replace("{need}", str(need))
    short = list(_differ(name, "indicator", [whole.slices[bar]], _at(whole.stepped, bar), _at(again.stepped, need), how))
    yield from short
    if not short and (before is not None or bar in again.decisions):
        yield from _decisions(name, whole.slices[bar], whole.decisions[bar], again.decisions.get(need), MEMORY)


def _at(values: Mapping[str, Sequence[Floats]], bar: int) -> dict[str, list[Floats]]:
    return {name: [rows[bar]] for name, rows in values.items()}


def _differ(
    strategy: str,
    kind: str,
    slices: Sequence[Slice],
    these: Mapping[str, Sequence[Floats] | Floats],
    those: Mapping[str, Sequence[Floats] | Floats],
    how: str,
) -> Iterator[Finding]:
    """The first bar of each indicator at which its values are not the same."""
    for name, values in these.items():
        length = min(len(slices), len(values), len(those[name]))
        a, b = np.asarray(values[:length]).reshape(length, -1), np.asarray(those[name][:length]).reshape(length, -1)
        wrong = np.argwhere(~_same(a, b))
        if len(wrong):
            bar, column = (int(each) for each in wrong[0])
            symbols = slices[bar].symbols
            symbol = symbols[column] if a.shape[1] == len(symbols) else ""
            text = f"{a[bar, column]:.10g} {how.replace('{again}', f'{b[bar, column]:.10g}')}"
            yield Finding(strategy, f"{kind} {name}", symbol, slices[bar].closes_at, text)


def _same(a: Floats, b: Floats) -> Bools:
    close: Bools = np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    return close


def _decisions(strategy: str, cross_section: Slice, this: Decision, that: Decision | None, how: str) -> Iterator[Finding]:
    """The first signal and the first weight of a decision that are not the same."""
    mine = this.by_strategy.get(strategy) or TargetWeights({})
    other = (that and that.by_strategy.get(strategy)) or TargetWeights({})
    for symbol, name, a, b in [*_unequal_signals(mine, other), *_unequal_weights(mine, other)][:1]:
        yield Finding(strategy, name, symbol, cross_section.closes_at, f"{a:.10g} {how.replace('{again}', f'{b:.10g}')}")


def _unequal_signals(mine: TargetWeights, other: TargetWeights) -> Iterator[tuple[str, str, float, float]]:
    for symbol in sorted(mine.signals.keys() | other.signals.keys()):
        here, there = mine.signals.get(symbol, {}), other.signals.get(symbol, {})
        for name in sorted(here.keys() | there.keys()):
            a, b = here.get(name, np.nan), there.get(name, np.nan)
            if not _same(np.array(a), np.array(b)):
                yield symbol, f"signal {name}", a, b


def _unequal_weights(mine: TargetWeights, other: TargetWeights) -> Iterator[tuple[str, str, float, float]]:
    for symbol in sorted(mine.weights.keys() | other.weights.keys()):
        a, b = mine.weights.get(symbol, 0.0), other.weights.get(symbol, 0.0)
        if not _same(np.array(a), np.array(b)):
            yield symbol, "the weight", a, b


def _first(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Of every value and every way of being wrong the earliest; a weight says nothing more where an indicator has been named."""
    told: set[tuple[str, str]] = set()
    for each in sorted(findings, key=lambda one: one.closes_at):
        key = (each.what, each.how.rpartition(": ")[2])
        if key not in told:
            told.add(key)
            yield each


def _newest(bars: Bars, most: int) -> Bars:
    """The newest bars of a long history."""
    starts = [int(each.closes[-most]) for each in bars.series.values() if len(each.closes) > most]
    if not starts:
        return bars
    kept = {symbol: each.closes >= max(starts) for symbol, each in bars.series.items()}
    return replace(
        bars, series={symbol: Series(each.closes[kept[symbol]], each.values[kept[symbol]]) for symbol, each in bars.series.items()}
    )


def _until(bars: Bars, last: Slice) -> Bars:
    """The bars up to the close of a slice, in arrays of their own."""
    moment = epoch_ms(last.closes_at)
    ends = {symbol: int(np.searchsorted(each.closes, moment, side="right")) for symbol, each in bars.series.items()}
    series = {
        symbol: Series(each.closes[: ends[symbol]].copy(), each.values[: ends[symbol]].copy()) for symbol, each in bars.series.items()
    }
    return replace(bars, series=series)


def _owned_slice(cross_section: Slice) -> Slice:
    return replace(cross_section, panel=cross_section.panel.copy(), synthetic=cross_section.synthetic.copy(), age=cross_section.age.copy())
