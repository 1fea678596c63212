"""Aligner: turns the bars of one close time into one Slice.

Rule: a close time is emitted once, in order, never again, and every decision about waiting is judged against the `at` of events alone. A
close time goes out at once when every symbol has its bar for it or a later one, otherwise at its deadline. A close time at which no symbol
has a bar is no slice.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.events import BarClosed, SliceClosed, StreamCaughtUp, StreamLost, TimePassed
from daemon.core.model import CLOSE, VOLUME, Bar, Bools, Floats, Slice, epoch_ms, from_epoch_ms

# Symbol-bars that may wait for others: 40 MB of panels, which for 12 symbols is a day of seconds. Beyond it the oldest goes out as it is.
WAITING_MAX: Final = 1_000_000

_BEFORE_ALL: Final = -(1 << 62)


class _Completer:
    """Gives the symbols without a bar a flat one at their last close: the one rule of live slices and of warm-up.

    Before its first bar a symbol has NaN prices and is not synthetic; its `age` counts from the first slice, so that it is never 0.
    """

    def __init__(self, symbols: Sequence[str], after: Slice | None) -> None:
        self._symbols = tuple(symbols)
        if after is not None and after.symbols != self._symbols:
            raise ValueError(f"the slice to go on from has other symbols: {after.symbols}, not {self._symbols}")
        self._close = np.full(len(self._symbols), np.nan) if after is None else after.close
        self._age = np.zeros(len(self._symbols), np.int64) if after is None else after.age

    def complete(self, closes_at: datetime, panel: Floats, real: Bools) -> Slice:
        """The slice of a panel (5, symbols) of which the columns in `real` are written. The panel is completed in place and then sealed."""
        self._close = np.where(real, panel[CLOSE], self._close)
        self._age = np.where(real, 0, self._age + 1)
        synthetic = ~real & (self._close == self._close)
        if synthetic.any():
            panel[:VOLUME, synthetic] = self._close[synthetic]
            panel[VOLUME, synthetic] = 0.0
        for array in (panel, synthetic, self._age):
            array.setflags(write=False)
        return Slice(closes_at, self._symbols, panel, synthetic, self._age)


def align(
    history: Mapping[str, Sequence[Bar]], symbols: Sequence[str], *, until: datetime | None = None, after: Slice | None = None
) -> list[Slice]:
    """The slices of a history of bars by symbol, each in order of time; what an Aligner gives for the same bars.

    `until`: the last close time that the history is known to hold for every symbol: the moment its first request began, less what the
    venue may need to publish a bar. Bars that close later are left out, since others of their time may be missing; the streams bring them.
    `after`: the slice that came before the history.
    """
    closes = [np.array([epoch_ms(bar.closes_at) for bar in history.get(symbol, ())], np.int64) for symbol in symbols]
    values = [np.array([_values(bar) for bar in history.get(symbol, ())], np.float64).reshape(-1, VOLUME + 1) for symbol in symbols]
    return list(align_columns(closes, values, symbols, until=until, after=after))


def align_columns(
    closes: Sequence[NDArray[np.int64]],
    values: Sequence[Floats],
    symbols: Sequence[str],
    *,
    until: datetime | None = None,
    after: Slice | None = None,
) -> Iterator[Slice]:
    """The same of a history in columns: by symbol its close times (ms, increasing) and its values, float64 (bars, 5)."""
    first = _BEFORE_ALL if after is None else epoch_ms(after.closes_at)
    last = -_BEFORE_ALL if until is None else epoch_ms(until)
    wanted = [(first < moments) & (moments <= last) for moments in closes]
    times = np.unique(np.concatenate([moments[mask] for moments, mask in zip(closes, wanted, strict=True)]))
    panel = np.full((len(times), VOLUME + 1, len(symbols)), np.nan)
    real = np.zeros((len(times), len(symbols)), np.bool_)
    for column, mask in enumerate(wanted):
        rows = np.searchsorted(times, closes[column][mask])
        panel[rows, :, column] = values[column][mask]
        real[rows, column] = True
    completer = _Completer(symbols, after)
    for i, time in enumerate(times.tolist()):
        yield completer.complete(from_epoch_ms(time), panel[i], real[i])


def _values(bar: Bar) -> tuple[float, float, float, float, float]:
    return (bar.open, bar.high, bar.low, bar.close, bar.volume)


@dataclass(slots=True)
class _Waiting:
    """A close time that has bars and is not emitted. `moved_at` is when a symbol last came in for it."""

    closes_at: datetime
    panel: Floats
    real: Bools
    first_at: datetime
    moved_at: datetime


class Aligner:
    """The barrier over the symbols: BarClosed in, SliceClosed out.

    The deadline of close time T is T + `grace`, capped at half the timeframe. If even the first bar of T comes late (the loop or the
    machine stood still), the others have half the grace from there, so that a pause does not tear slices apart. A symbol whose stream is
    lost is being back-filled: it is waited for beyond the deadline until `hold_max` after a bar for T last came, however many bars the
    back-fill brings and in whatever order of symbols. One that does not come in that time holds nothing any more until its stream has
    caught up and is lost anew.

    `silent_max`: a symbol whose last bar is so many bars behind is waited for only once it has one again, so that a market which is gone
    does not delay every slice; None: each is always waited for.

    `judge` looks at each slice before it goes out, and says which of its prices wait for confirmation.

    A bar is written into its panel as it arrives: O(1). `late` counts the bars that came after their close time was emitted; they are
    left out, and the symbol's flat bar stands.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        timeframe: timedelta,
        grace: timedelta,
        *,
        hold_max: timedelta = timedelta(seconds=15),
        silent_max: int | None = None,
        after: Slice | None = None,
        judge: Callable[[Slice], Slice] = lambda cross_section: cross_section,
    ) -> None:
        self.late = 0
        self._judge = judge
        self._columns = {symbol: column for column, symbol in enumerate(symbols)}
        self._grace = min(grace, timeframe / 2)
        self._hold_max = hold_max
        self._forgets_ms = None if silent_max is None else silent_max * timeframe // timedelta(milliseconds=1)
        self._completer = _Completer(symbols, after)
        self._emitted = _BEFORE_ALL
        self._newest = np.full(len(symbols), _BEFORE_ALL)  # close time (ms) of each symbol's newest bar
        self._lost: set[int] = set()
        self._holds = np.zeros(len(symbols), np.bool_)  # lost and not yet given up
        self._waiting: dict[int, _Waiting] = {}
        self._order: list[int] = []  # a heap of the close times (ms) in `_waiting`
        # Of the oldest close time, to be told in O(1): how many symbols have not come to it, and how many of those hold it.
        self._behind = 0
        self._holding = 0
        if after is not None:
            self.resume(after)

    def resume(self, after: Slice) -> None:
        """Go on after this slice as if it had been emitted here: the end of the warm-up. Call it before the first bar."""
        self._completer = _Completer(tuple(self._columns), after)
        self._emitted = epoch_ms(after.closes_at)
        self._newest[:] = self._emitted

    def on_bar(self, event: BarClosed) -> Iterable[SliceClosed]:
        """Take a bar in. One that is not newer than its symbol's last is a repetition and changes nothing."""
        column = self._columns[event.bar.symbol]
        closes = epoch_ms(event.bar.closes_at)
        before = int(self._newest[column])
        if closes <= before:
            return ()
        self._newest[column] = closes
        if closes <= self._emitted:
            self.late += 1
            return ()
        head = self._order[0] if self._order else None
        self._write(closes, column, event)
        if self._order[0] != head:
            self._count()
        elif before < head <= closes:
            self._waiting[head].moved_at = event.at
            self._behind -= int(bool(self._holds[column]) or not self._forgotten(before, head))
            self._holding -= int(self._holds[column])
        return self._due(event.at)

    def on_lost(self, event: StreamLost) -> Iterable[SliceClosed]:
        """Wait for this symbol from now on. Said again of a symbol that is lost already, it renews nothing."""
        column = self._columns[event.symbol]
        if column not in self._lost:
            self._lost.add(column)
            self._holds[column] = True
            self._count()
        return self._due(event.at)

    def on_caught_up(self, event: StreamCaughtUp) -> Iterable[SliceClosed]:
        """Whatever this symbol had for the times that wait is here; the ordinary deadline is in force again."""
        column = self._columns[event.symbol]
        self._lost.discard(column)
        self._holds[column] = False
        self._count()
        return self._due(event.at)

    def on_time(self, event: TimePassed) -> Iterable[SliceClosed]:
        """Emit what has reached its deadline."""
        return self._due(event.at)

    def _write(self, closes: int, column: int, event: BarClosed) -> None:
        waiting = self._waiting.get(closes)
        if waiting is None:
            width = len(self._columns)
            panel = np.full((VOLUME + 1, width), np.nan)
            waiting = _Waiting(event.bar.closes_at, panel, np.zeros(width, np.bool_), event.at, event.at)
            self._waiting[closes] = waiting
            heappush(self._order, closes)
        waiting.panel[:, column] = _values(event.bar)
        waiting.real[column] = True
        waiting.moved_at = event.at

    def _count(self) -> None:
        """Look at the oldest close time afresh: once for each, and when a stream is lost or back."""
        if self._order:
            head = self._order[0]
            behind = (self._newest < head) & (self._holds | ~np.asarray(self._forgotten(self._newest, head)))
            self._behind = int(np.count_nonzero(behind))
            self._holding = int(np.count_nonzero(behind & self._holds))

    def _forgotten(self, newest: Any, head: int) -> Any:
        """Whether a symbol, or each of several, with its newest bar then is not waited for at the close time `head`."""
        return newest < (_BEFORE_ALL if self._forgets_ms is None else head - self._forgets_ms)

    def _due(self, at: datetime) -> list[SliceClosed]:
        closed: list[SliceClosed] = []
        while self._order and (self._behind == 0 or self._expired(at) or len(self._order) * len(self._columns) > WAITING_MAX):
            closed.append(SliceClosed(self._take(), at))
        return closed

    def _expired(self, at: datetime) -> bool:
        waiting = self._waiting[self._order[0]]
        if at < max(waiting.closes_at + self._grace, waiting.first_at + self._grace / 2):
            return False
        return self._holding == 0 or at >= waiting.moved_at + self._hold_max

    def _take(self) -> Slice:
        """Emit the oldest close time; whoever is not there by now is waited for no longer."""
        self._emitted = heappop(self._order)
        if self._holding:
            self._holds &= self._newest >= self._emitted
        waiting = self._waiting.pop(self._emitted)
        self._count()
        return self._judge(self._completer.complete(waiting.closes_at, waiting.panel, waiting.real))
