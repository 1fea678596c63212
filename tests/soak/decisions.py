"""Decisions: what a daemon that was killed and started again has decided, held against backtests of the bars that it was served.

Rule: the journal is what counts as decided. There are two references. The *plain* backtest never pauses: where a strategy remembers
nothing, its targets at a due time are the daemon's. The *paused* one is the same runner over the same bars, but it warms up, decides and
goes on from the last recorded decision when the daemon did: it also has the decisions that make up for due times missed while the daemon
was away, and what a strategy that remembers makes of such a pause.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyarrow import parquet

from daemon.assembly.deciding import runner
from daemon.config import Config
from daemon.core.events import SliceClosed, TargetsChosen
from daemon.core.model import CLOSE, Decision, epoch_ms, from_epoch_ms
from daemon.io.journal.reader import Reader, ask
from daemon.research.bars import Bars, Series

Line = Mapping[str, Any]
Weights = Mapping[str, float]
Decided = dict[datetime, Weights]

TOLERANCE: Final = 1e-9  # of a weight


@dataclass(frozen=True, slots=True)
class Life:
    """One process of the daemon, from its log, in order: the close times of its slices and of its decisions.

    By close time, `handled` says when it came to a slice, where that was not at once, and `missing` who had no bar in it. The log names
    them until it has done so too often; then `shown` has the last closes that it had instead.
    """

    slices: tuple[datetime, ...] = ()
    decided: tuple[datetime, ...] = ()
    handled: Mapping[datetime, datetime] = field(default_factory=dict)
    missing: Mapping[datetime, frozenset[str]] = field(default_factory=dict)
    shown: Mapping[datetime, Mapping[str, float]] = field(default_factory=dict)

    def lacked(self, symbol: str, series: Series) -> list[int]:
        """The close times (ms) of the slices that had no bar of this symbol, whose bars are `series`."""
        closes = dict(zip(series.closes.tolist(), series.values[:, CLOSE].tolist(), strict=True))
        named = [epoch_ms(moment) for moment, symbols in self.missing.items() if symbol in symbols]
        # A bar that closed where the one before did is not missed here; nor is it by any indicator.
        return named + [at for at, had in ((epoch_ms(m), p.get(symbol)) for m, p in self.shown.items()) if closes.get(at, had) != had]


def life(lines: Sequence[Line]) -> Life:
    """A life as its log tells it."""
    closed = [line for line in lines if line["event"] == "slice.closed"]
    missing = {_moment(line["closes_at"]): frozenset(line["missing"]) for line in lines if line["event"] == "slice.incomplete"}
    partly = [(_moment(line["closes_at"]), line["prices"]) for line in closed if line["coverage"] < 1]
    return Life(
        slices=tuple(_moment(line["closes_at"]) for line in closed),
        decided=tuple(_moment(line["as_of"]) for line in lines if line["event"] == "targets.chosen"),
        handled={_moment(line["closes_at"]): _moment(line["ts"]) for line in closed},
        missing=missing,
        shown={moment: prices for moment, prices in partly if moment not in missing},
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def journalled(path: Path) -> dict[datetime, Decision]:
    """The newest decisions of a journal, at most 1000; ask after every life, so that none is left out."""
    return {decision.as_of: decision for decision in ask(path, lambda reader: Reader.decisions(reader, 1000))}


def plain(out: Path, name: str) -> Decided:
    """The targets of a strategy in a backtest's files."""
    found: dict[datetime, dict[str, float]] = {}
    for row in parquet.read_table(out / "targets.parquet").to_pylist():
        if row["strategy"] == name:
            found.setdefault(from_epoch_ms(row["timestamp"]), {})[row["symbol"]] = row["weight"]
    return dict(found)


def paused(config: Config, bars: Bars, lives: Sequence[Life], recorded: Collection[datetime], began: datetime | None) -> Decided:
    """The targets of the one strategy of `config` when it runs in these lives; `recorded`: the decisions that the next life knows of.

    `began` is when the journal did.
    """
    (name,) = (wanted.name for wanted in config.strategies)
    found: Decided = {}
    last: Decision | None = None
    for each in lives:
        for decision in _lived(config, as_seen(bars, each), each, last, began):
            found[decision.as_of] = decision.by_strategy[name].weights
            last = decision if decision.as_of in recorded else last
    return found


def _lived(config: Config, bars: Bars, life: Life, last: Decision | None, began: datetime | None) -> Iterator[Decision]:
    if not life.slices:
        return
    slices = list(bars.slices())
    closes = [cross_section.closes_at for cross_section in slices]
    first, end = bisect_left(closes, life.slices[0]), bisect_right(closes, life.slices[-1])
    running = runner(config)
    running.warm(slices[:first])
    running.restore(last, began)
    for cross_section in slices[first:end]:
        closes_at = cross_section.closes_at
        # A slice that was filled in late, after a slow start, may be too old to decide on. The log's time is a little later than the one
        # that was judged: where it was decided on, it was not too old.
        handled = closes_at if closes_at in life.decided else life.handled.get(closes_at, closes_at)
        for event in running.on_slice(SliceClosed(cross_section, handled)):
            if isinstance(event, TargetsChosen):
                yield event.decision


def as_seen(bars: Bars, life: Life) -> Bars:
    """The bars as this life had them: without those that came after their slice. What lay before was read whole."""
    if not life.slices:
        return bars
    first, end = epoch_ms(life.slices[0]), epoch_ms(life.slices[-1])
    had = [epoch_ms(moment) for moment in life.slices]

    def seen(symbol: str, series: Series) -> Series:
        live = (series.closes >= first) & (series.closes <= end)
        kept = ~live | (np.isin(series.closes, had) & ~np.isin(series.closes, life.lacked(symbol, series)))
        return Series(series.closes[kept], series.values[kept])

    return replace(bars, series={symbol: seen(symbol, series) for symbol, series in bars.series.items()})


def unserved(bars: Bars, life: Life) -> int:
    """How many bars the venue had and this life had not in their slice: they came too late for it."""
    return sum(len(series.closes) for series in bars.series.values()) - sum(len(s.closes) for s in as_seen(bars, life).series.values())


# --- the verdict -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compared:
    """How the decisions of a strategy compare. Lists hold the close times of what is not as it should be, or needs a word.

    The `decided` have `varied` sets of weights; `due` of them were taken at a due time, the others make up for missed ones; `same` of the
    `due` equal the plain backtest, `apart` do not. `different` are not what the paused backtest takes, `farthest` is the largest difference
    of a weight; `omitted` it takes and the daemon has not; such a one that was under way at the moment of a kill is `lost`.
    """

    decided: int
    varied: int
    farthest: float
    due: int
    same: int
    apart: tuple[datetime, ...]
    different: tuple[datetime, ...]
    omitted: tuple[datetime, ...]
    lost: tuple[datetime, ...]


def compare(daemon: Decided, lives: Sequence[Life], every_ms: int, without_pause: Decided, with_pauses: Decided) -> Compared:
    """Hold the decisions in the journal against both backtests, and what was decided at all against the one that pauses."""
    due = [moment for moment in daemon if epoch_ms(moment) % every_ms == 0]
    same = [moment for moment in due if moment in without_pause and equal(daemon[moment], without_pause[moment])]
    told = {moment for each in lives for moment in each.decided}
    silent = sorted(with_pauses.keys() - told - daemon.keys())
    # A log ends in the middle of what the kill interrupted, so the newest slice of a life may have been decided on and not told of.
    last = {each.slices[-1] for each in lives[:-1] if each.slices}
    return Compared(
        decided=len(daemon),
        farthest=max((distance(mine, with_pauses[m]) for m, mine in daemon.items() if m in with_pauses), default=0.0),
        varied=len({tuple(sorted((symbol, weight) for symbol, weight in weights.items() if weight)) for weights in daemon.values()}),
        due=len(due),
        same=len(same),
        apart=tuple(sorted(set(due) - set(same))),
        different=tuple(sorted(m for m in daemon if m not in with_pauses or not equal(daemon[m], with_pauses[m]))),
        omitted=tuple(moment for moment in silent if moment not in last),
        lost=tuple(moment for moment in silent if moment in last),
    )


def equal(one: Weights, other: Weights) -> bool:
    """Whether two sets of weights are the same."""
    return distance(one, other) <= TOLERANCE


def distance(one: Weights, other: Weights) -> float:
    """The largest difference of a weight; a symbol that is not named is wanted at 0."""
    return max((abs(one.get(symbol, 0.0) - other.get(symbol, 0.0)) for symbol in one.keys() | other.keys()), default=0.0)
