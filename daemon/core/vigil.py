"""Vigil: how long to wait before asking again, and what the silence of a connection means.

Rule: a connection is judged only by what it has shown to send, and a line that fails is tried ever more calmly.
Moments are UTC; `mono` and `_s` are seconds on the monotonic clock; chance comes from the generator given.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import exp
from random import Random
from typing import Final

from daemon.core.model import Bar

# The pause between two attempts once an outage has lasted, and a tenth by chance on top of it on a shared line.
PAUSE_MAX_S: Final = 30.0
# A frame that comes later than twice the longest pause seen so far is worth a probe; below this it never is (venues throttle to 2 s).
SILENCE_MIN_S: Final = 4.0
# How fast a long pause is forgotten. By time, not by frames: a venue that tells 500 symbols in one burst every 10 s keeps its 10 s.
GAP_MEMORY_S: Final = 300.0
# How long a feed must have been heard before its pauses are known: the first burst of snapshots says nothing about them.
LISTENED_MIN_S: Final = 15.0


class Patience:
    """When one symbol may be asked for again: at once, then after pauses that double from `first_s` to `PAUSE_MAX_S`, until `renew`."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._pause_s = first_s
        self._next_at = float("-inf")
        self.asked_at = float("-inf")

    def renew(self) -> None:
        """Something new is wanted: the next question may go at once."""
        self._pause_s = self._first_s
        self._next_at = float("-inf")

    def ready(self, mono: float) -> bool:
        """Whether the next question may go."""
        return mono >= self._next_at

    def asked(self, mono: float) -> None:
        """A question went."""
        self.asked_at = mono
        self._next_at = mono + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)


class Backoff:
    """When a shared line may be tried again: full-jitter exponential, at most one attempt per `spacing_s`.

    Once at `PAUSE_MAX_S` no attempt comes sooner, and only a tenth is left to chance: the end of an outage of any length is soon noticed.
    """

    def __init__(self, rng: Random, *, first_s: float, spacing_s: float) -> None:
        self._rng = rng
        self._first_s = first_s
        self._spacing_s = spacing_s
        self._failed_at = float("-inf")
        self._tried_at = float("-inf")
        self._pause_until = float("-inf")
        self.failures = 0

    def wait_s(self, mono: float) -> float:
        """Seconds until the next attempt may go; 0 or less: now."""
        return max(self._pause_until, self._tried_at + self._spacing_s) - mono

    def tried(self, mono: float) -> None:
        """An attempt goes now."""
        self._tried_at = mono

    def failed(self, began_at: float, mono: float, at_least_s: float = 0.0) -> None:
        """An attempt that began at `began_at` has failed. Several that broke together count once: they tell of one trouble."""
        self._pause_until = max(self._pause_until, mono + at_least_s)
        if began_at <= self._failed_at:
            return
        self._failed_at = mono
        self.failures += 1
        ceiling = min(PAUSE_MAX_S, self._first_s * 2.0 ** min(self.failures - 1, 16))
        floor, top = (ceiling, 1.1 * ceiling) if ceiling == PAUSE_MAX_S else (0.0, ceiling)
        self._pause_until = max(self._pause_until, mono + self._rng.uniform(floor, top))

    def recovered(self) -> None:
        """The line works: what it owed of waiting is forgiven."""
        self.failures = 0
        self._pause_until = float("-inf")


@dataclass(slots=True)
class Habits:
    """What the connections of one feed have shown to send; kept across reconnects, so that one which never speaks is noticed too."""

    forming: bool = False  # candles before they close
    flat: bool = False  # closed candles of no volume, so that a missing one means something
    longest_gap_s: float = 0.0  # between two frames of one connection, slowly forgotten
    listened_s: float = 0.0  # how much time those pauses cover
    frames: dict[str, int] = field(default_factory=dict)

    def busiest(self, symbols: Iterable[str]) -> str:
        """The symbol of which most was heard: the one whose silence says most. Ties by symbol."""
        return min(symbols, key=lambda symbol: (-self.frames.get(symbol, 0), symbol))


class Told:
    """What one connection has told since it was opened: the evidence by which its silence is judged."""

    def __init__(self, timeframe: timedelta, habits: Habits, *, through: datetime, mono: float) -> None:
        self.opened_at = mono
        self.frames = 0
        self._timeframe = timeframe
        self._habits = habits
        self._through = through  # the newest close this connection has acknowledged; what closed before it was opened is not owed
        self._heard_at = mono
        self._newest: dict[str, tuple[datetime, float]] = {}  # by symbol: candle and volume last told (or seen by a probe)

    def heard(self, bar: Bar, *, closed: bool, mono: float) -> None:
        """Note a frame."""
        habits = self._habits
        if self.frames:
            gap_s = mono - self._heard_at
            habits.longest_gap_s = max(gap_s, habits.longest_gap_s * exp(-gap_s / GAP_MEMORY_S))
            habits.listened_s += gap_s
        habits.forming |= not closed
        habits.flat |= closed and bar.volume == 0
        habits.frames[bar.symbol] = habits.frames.get(bar.symbol, 0) + 1
        self.frames += 1
        self._heard_at = mono
        self._through = max(self._through, bar.closes_at if closed else bar.closes_at - self._timeframe)
        self._newest[bar.symbol] = (bar.closes_at, bar.volume)

    def suspicious(self, now: datetime, mono: float, patience_s: float) -> bool:
        """Whether something is due: the next bar, by the venue's own time, or (of a stream that chats) any frame at all."""
        return self._bars_overdue(now, patience_s) or self._silent(mono, patience_s)

    def _bars_overdue(self, now: datetime, patience_s: float) -> bool:
        return now >= self._through + self._timeframe + timedelta(seconds=patience_s)

    def _silent(self, mono: float, patience_s: float) -> bool:
        usual_s = 2 * self._habits.longest_gap_s
        # A stream that is used to pauses longer than our patience gets the time it takes; one that chats gets no more than our patience.
        limit_s = usual_s if usual_s > patience_s else max(usual_s, min(SILENCE_MIN_S, patience_s))
        known = self._habits.forming and self._habits.listened_s >= LISTENED_MIN_S
        return known and mono - self._heard_at >= limit_s

    def missed(self, closed: Iterable[Bar], forming: Bar | None) -> bool:
        """Whether this REST answer holds something that the connection owed.

        A closed bar that it should have told, or trades in a symbol since it last told of it. Bars without volume are owed only by a
        stream that has sent such before: some venues list them and never stream them.
        """
        closed = list(closed)
        if any(bar.closes_at > self._through and (bar.volume > 0 or self._habits.flat) for bar in closed):
            return True
        newest = forming or (closed[-1] if closed else None)
        if newest is None or not self._habits.forming:
            return False
        seen = (newest.closes_at, newest.volume)
        if newest.symbol not in self._newest:
            self._newest[newest.symbol] = seen
            return False
        return newest.volume > 0 and seen > self._newest[newest.symbol]
