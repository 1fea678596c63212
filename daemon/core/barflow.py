"""Barflow: what one symbol's candles, from stream and REST in whatever order, amount to.

Rule: a close time goes out once, in order, and only when nothing that the venue has lies before it; while something may be missing,
the symbol is lost. Moments are UTC, `mono` is seconds on the monotonic clock.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from daemon.core.events import BarClosed, Event, PriceTicked, StreamCaughtUp, StreamLost
from daemon.core.model import EPOCH, Bar

# Live bars kept while the gap before them is filled: a REST answer lags the stream by seconds, and what is dropped comes back by REST.
HELD_MAX: Final = 64
# How far the venue's clock may be ahead of ours before a candle of its future is taken for what it is: a time that is wrong. Taken at its
# word, all that comes before that time would be old.
AHEAD_MAX: Final = timedelta(minutes=1)
# Ticks a symbol may publish: marks feed the equity and the dashboard, where four a second are plenty.
TICK_SPACING_S: Final = 0.25
# A price that has not moved is told again, since what was told long ago counts as stale: well within the 15 s that a price stays fresh.
TICK_REPEAT_S: Final = 5.0


def close_before(now: datetime, timeframe: timedelta, anchor: datetime | None = None) -> datetime:
    """The newest close at or before `now`, on the grid of `timeframe` through `anchor` (weeks do not start at the epoch's weekday)."""
    start = EPOCH if anchor is None else anchor
    return start + (now - start) // timeframe * timeframe


class BarSequence:
    """Puts the closed bars of one symbol in order, whatever the order in which stream and REST bring them.

    `through` is the close time up to which all that the venue has is out; None until a candle is seen, which then is where it starts.
    """

    def __init__(self, timeframe: timedelta, after: datetime | None = None) -> None:
        self.through = after
        self._timeframe = timeframe
        self._held: dict[datetime, Bar] = {}

    @property
    def gap(self) -> bool:
        """Whether a live bar waits for what is missing before it."""
        return bool(self._held)

    def behind(self, now: datetime) -> datetime | None:
        """The close time that is due at `now` and not out yet; None when nothing is missing."""
        if self.through is None:
            return None
        due = close_before(now, self._timeframe, self.through)
        return due if due > self.through else None

    def forming(self, bar: Bar) -> bool:
        """Note a forming candle. False: it is older than what is out and says nothing."""
        if self.through is None:
            self.through = bar.closes_at - self._timeframe
        return bar.closes_at > self.through

    def live(self, bar: Bar) -> list[Bar]:
        """Take a closed bar from the stream; what may go out now, oldest first. A bar behind a gap is held until `answered` closes it."""
        if self.through is None:
            self.through = bar.closes_at - self._timeframe
        if bar.closes_at <= self.through:
            return []
        self._held.setdefault(bar.closes_at, bar)
        if len(self._held) > HELD_MAX:
            del self._held[min(self._held)]
        return self._contiguous()

    def answered(self, closed: Iterable[Bar], forming: Bar | None) -> list[Bar]:
        """Take a REST answer that begins at `through`; what may go out now, oldest first.

        Up to its newest candle the answer is complete: a close time that is not in it is a gap of the venue's own, and is passed on as one.
        """
        known = {bar.closes_at: bar for bar in closed}
        settled = max([*known, *([forming.closes_at - self._timeframe] if forming else [])], default=None)
        if settled is None:
            return []
        if self.through is None:
            self.through = settled
        known |= self._held
        out = [known[close] for close in sorted(known) if self.through < close <= settled]
        self.through = max(self.through, settled)
        self._held = {close: bar for close, bar in self._held.items() if close > self.through}
        return out + self._contiguous()

    def _contiguous(self) -> list[Bar]:
        out = []
        while self.through is not None and (bar := self._held.pop(self.through + self._timeframe, None)):
            out.append(bar)
            self.through = bar.closes_at
        return out


class BarFlow:
    """The life of one symbol's bars: every call brings news and returns the events that follow from it.

    `losses` counts how often bars may have been missed, so that an answer to a question from before a loss does not end it.
    """

    def __init__(self, symbol: str, timeframe: timedelta) -> None:
        self.symbol = symbol
        self._timeframe = timeframe
        self.sequence = BarSequence(timeframe)
        self.lost = False
        self.losses = 0
        self._filled = 0
        self._price = 0.0
        self._ticked_at = float("-inf")

    def live(self, closed: Iterable[Bar], forming: Bar | None, at: datetime, mono: float) -> list[Event]:
        """Candles from a stream. One that leaves a gap is held, and the symbol is lost until REST has answered."""
        closed, forming = self._of_now(closed, forming, at)
        events = self._published([out for bar in closed for out in self.sequence.live(bar)], at)
        if self.sequence.gap:
            events += self.lose("gap", at)
        return events + self._ticked(forming, at, mono)

    def answered(self, closed: Iterable[Bar], forming: Bar | None, at: datetime, mono: float) -> list[Event]:
        """Candles from a REST answer that begins at `sequence.through`."""
        closed, forming = self._of_now(closed, forming, at)
        bars = self.sequence.answered(closed, forming)
        self._filled += len(bars)
        return self._published(bars, at) + self._ticked(forming, at, mono)

    def lose(self, reason: str, at: datetime) -> list[Event]:
        """Bars may be missing from here on. Nothing follows where that is already known, but it counts."""
        self.losses += 1
        if self.lost:
            return []
        self.lost = True
        self._filled = 0
        return [StreamLost(self.symbol, reason, at)]

    def caught_up(self, at: datetime) -> list[Event]:
        """Whatever the venue has is out; unless a gap says otherwise, the symbol is whole again."""
        if not self.lost or self.sequence.gap:
            return []
        self.lost = False
        return [StreamCaughtUp(self.symbol, self._filled, at)]

    def _of_now(self, closed: Iterable[Bar], forming: Bar | None, at: datetime) -> tuple[list[Bar], Bar | None]:
        """What has closed, and what forms, but for candles from the future."""
        closes_max = at + AHEAD_MAX
        ahead = forming is not None and forming.closes_at > closes_max + self._timeframe
        return [bar for bar in closed if bar.closes_at <= closes_max], None if ahead else forming

    def _published(self, bars: list[Bar], at: datetime) -> list[Event]:
        if bars:
            self._price = bars[-1].close
        return [BarClosed(bar, at) for bar in bars]

    def _ticked(self, forming: Bar | None, at: datetime, mono: float) -> list[Event]:
        if forming is None or not self.sequence.forming(forming):
            return []
        if mono - self._ticked_at < (TICK_REPEAT_S if forming.close == self._price else TICK_SPACING_S):
            return []
        self._price, self._ticked_at = forming.close, mono
        return [PriceTicked(self.symbol, forming.close, at)]
