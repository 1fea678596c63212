"""Spikes: which prices are too far from the last trusted one to move money before the next bar has confirmed them.

Rule: a price is trusted when it lies within the limit of the last trusted one, or when bars in its own neighbourhood follow it. What is
not trusted marks nothing and is traded by nobody.

The move of a bar is |ln(close / trusted)|, `trusted` being the last trusted close, k close times before. The scale of a symbol is the mean
of min(move / sqrt(k), floor) over its trusted moves of the last `length` rows. The limit of a move is

    min(max(floor, factor x scale x sqrt(k)), ln 5),    and ln 5 while fewer than ten moves are known.

A move of more than ln 20 that stands is not confirmed by bars: it is another coin, or another unit of it, until a person agrees.

A move counts for at most `floor`, so that a real jump hardly widens the limit of the next one (a winsorised mean), and the scale is a
function of the last rows alone: history makes it anew. Moves grow with the square root of time, as a random walk's do, so the first price
after an outage is no spike for having been away. With factor 20 the limit is 16 standard deviations of a Gaussian walk; of 215,568 hourly
bars of twelve coins (2021 to 2023) five are beyond it.

Only closes are read: they mark the account and size the orders. A high or a low that was far off has been refuted by its own bar's close.
"""

from dataclasses import dataclass
from math import isfinite, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.model import Bools, Floats

Ints = NDArray[np.int64]

# Whatever a symbol is used to, and however long it was away: a price five times another is a split, a redenomination or a mistake.
LIMIT_MAX: Final = log(5)
# What a market hardly does from one bar to the next, and a coin that is split does, by a hundred or a thousand.
SPLIT: Final = log(20)
# A mean of fewer moves says little about the next one.
KNOWN_MIN: Final = 10


@dataclass(frozen=True, slots=True)
class Spikes:
    """What one row of bars has changed, as columns: now suspected, confirmed by this bar, found to have been an outlier."""

    suspected: tuple[int, ...] = ()
    confirmed: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()


_NOTHING: Final = Spikes()


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """Rows (times, symbols): where there is a close, its logarithm, how far it is from the close before, and how long that is ago.

    `newest` is the row of each symbol's newest close by then, -1 where there is none; `times` (times,) counts close times.
    """

    closes: Floats
    there: Bools
    logs: Floats
    moves: Floats
    elapsed: Floats
    newest: Ints
    times: Floats


class SpikeGuard:
    """Judges the closes and ticks of `columns` symbols, each by its own history.

    `factor`: multiple of the scale. `floor`: a move (logarithmic, so about relative) that is never a spike, above 0 and at most ln 5.
    `confirmations`: bars that must close near a suspected one before it is believed. `need`: rows of history, none of them missing, that
    make it what an endless history would.

    A row costs O(symbols), and O(length x symbols) when something in it has moved by more than `floor` or waits.
    """

    def __init__(self, columns: int, *, factor: float = 20.0, floor: float = 0.1, length: int = 50, confirmations: int = 1) -> None:
        if not (isfinite(factor) and factor > 0):
            raise ValueError(f"factor must be finite and positive, not {factor}")
        if not 0 < floor <= LIMIT_MAX:
            raise ValueError(f"floor must be above 0 and at most {LIMIT_MAX:.3f}, not {floor}")
        if length < KNOWN_MIN or confirmations < 1:
            raise ValueError(f"length must be at least {KNOWN_MIN} and confirmations at least 1, not {length} and {confirmations}")
        self.need = length + 1
        self._factor, self._floor, self._confirmations = factor, floor, confirmations
        self._trusted = np.full(columns, np.nan)  # last trusted close
        self._log = np.full(columns, np.nan)  # its logarithm
        self._elapsed = np.zeros(columns)  # close times since
        self._moves = np.full((length, columns), np.nan)  # a ring of rows: trusted moves / sqrt(k), NaN where there was none
        self._at = 0
        self._past: _Past | None = None  # the rows that were looked at last
        self._calm = 0  # how many of these may be believed at once
        self._passed = 0  # and how many of those have been, which is worked out before anything else is asked
        self._waiting = np.zeros(columns, np.bool_)
        self._suspect = np.full(columns, np.nan)  # newest suspected close; NaN where a tick alone raised the doubt
        self._seen = np.zeros(columns, np.int64)  # bars that have closed near it
        self._split = np.zeros(columns, np.bool_)  # bars would have confirmed it, were it not so far

    @property
    def trusted(self) -> Floats:
        """Last trusted close of each symbol, quote per base, NaN before its first: what may mark the account."""
        self._catch_up()
        return self._trusted.copy()

    @property
    def suspect(self) -> Floats:
        """Newest close that waits for confirmation, NaN where none does."""
        return self._suspect.copy()

    @property
    def waiting(self) -> Bools:
        """The symbols whose price waits for confirmation, a bar's or a tick's: not to be traded."""
        return self._waiting.copy()

    @property
    def split(self) -> Bools:
        """The symbols among those whose new price stands, and is too far from the old one for bars to confirm it."""
        return self._split.copy()

    def step(self, closes: Floats, real: Bools, passed: int = 1) -> Spikes:
        """Judge a row of closes, quote per base, of which those in `real` are bars of the venue's own; the others say nothing.

        `passed`: close times since the last row, more than 1 after some at which no symbol had a bar. What is not finite and positive is
        no close.
        """
        self._catch_up()
        self._elapsed += passed
        there = real & (closes > 0) & (closes < np.inf)
        logs = np.log(closes, out=np.full(closes.shape, np.nan), where=there)
        moves = np.abs(logs - self._log)
        if not self._waiting.any() and not (moves > self._floor).any():
            self._believe(there, closes, logs, moves)
            return _NOTHING
        far = moves > self._limits(self._elapsed)
        again = far & (np.abs(logs - np.log(self._suspect)) <= self._limits(1.0))
        self._seen = np.where(there, np.where(again, self._seen + 1, 0), self._seen)
        stands = again & (self._seen >= self._confirmations)
        confirmed = stands & (moves <= SPLIT)
        believed, doubted = there & (~far | confirmed), far & ~confirmed
        spikes = Spikes(_columns(doubted & ~self._waiting), _columns(confirmed), _columns(believed & self._waiting & ~confirmed))
        self._waiting = (self._waiting & ~believed) | doubted
        self._split = (self._split | (stands & doubted)) & ~believed
        self._suspect = np.where(doubted, closes, np.where(believed, np.nan, self._suspect))
        self._believe(believed, closes, logs, moves)
        return spikes

    def calm(self, closes: Floats, real: Bools, passed: Ints) -> int:
        """How many of these rows, from the first on, `step` would believe at once: nothing waits, and nothing moves by more than `floor`.

        `closes` and `real` are (times, symbols), `passed` (times,). For so many of them `take` may follow, in parts.
        """
        self._catch_up()
        if self._waiting.any():
            return 0
        self._past = self._history(closes, real, passed)
        wild = (self._past.moves > self._floor).any(axis=1)
        self._calm = int(wild.argmax()) if wild.any() else len(closes)
        return self._calm

    @property
    def ahead(self) -> int:
        """How many rows may still be taken of those that `calm` has looked at; none any more, once anything else was asked."""
        return self._calm - self._passed if self._past is not None else 0

    def take(self, count: int) -> None:
        """Believe the next rows of those that `calm` has looked at, as `step` does one after the other, to the bit."""
        if count > self.ahead:
            raise RuntimeError(f"{count} rows are to be believed, and {self.ahead} have been looked at")
        self._passed += count

    def _catch_up(self) -> None:
        """Work out what the rows that have passed leave behind; until somebody asks, it makes no difference."""
        past, count, length = self._past, self._passed, len(self._moves)
        self._past, self._passed = None, 0
        if past is None or not count:
            return
        first = max(count - length, 0)
        kept = slice(first, count)
        newest = np.where(past.there[kept], past.moves[kept] / np.sqrt(past.elapsed[kept]), np.nan)
        self._moves[(self._at + first + np.arange(count - first)) % length] = newest
        self._at = (self._at + count) % length
        row = past.newest[count - 1]
        seen, last, columns = row >= 0, np.maximum(row, 0), np.arange(len(row))
        self._trusted = np.where(seen, past.closes[last, columns], self._trusted)
        self._log = np.where(seen, past.logs[last, columns], self._log)
        now = past.times[count - 1]
        self._elapsed = np.where(seen, now - past.times[last], self._elapsed + now)

    def _history(self, closes: Floats, real: Bools, passed: Ints) -> "_Past":
        """What each row finds when all before it are believed."""
        there = real & (closes > 0) & (closes < np.inf)
        logs = np.log(closes, out=np.full(closes.shape, np.nan), where=there)
        newest = np.maximum.accumulate(np.where(there, np.arange(len(closes))[:, None], -1), axis=0)
        before = np.empty_like(newest)
        before[0], before[1:] = -1, newest[:-1]
        known, row = before >= 0, np.maximum(before, 0)
        times = passed.cumsum(dtype=np.float64)
        trusted = np.where(known, logs[row, np.arange(closes.shape[1])], self._log)
        elapsed = np.where(known, times[:, None] - times[row], self._elapsed + times[:, None])
        return _Past(closes, there, logs, np.abs(logs - trusted), elapsed, newest, times)

    def tick(self, column: int, price: float) -> bool:
        """Whether a price between two bars may mark the account.

        One that may not makes its symbol wait, until a later one or a bar is near the trusted close again, or bars confirm it: however
        many ticks tell the same price, they may be one mistake of the venue's.
        """
        if not (isfinite(price) and price > 0):
            return False
        self._catch_up()
        move = abs(log(price) - self._log[column])
        if move > self._floor and move > self._limits(self._elapsed + 1)[column]:
            self._waiting[column] = True
            return False
        if self._waiting[column] and np.isnan(self._suspect[column]):
            self._waiting[column] = False
        return True

    def confirm(self, column: int) -> bool:
        """Believe the suspected close of a symbol because a person says so. False: no bar of it waits, so there is nothing to believe."""
        if np.isnan(self._suspect[column]):
            return False
        self._trusted[column] = self._suspect[column]
        self._log[column] = np.log(self._suspect[column])
        self._elapsed[column], self._suspect[column], self._seen[column] = 0, np.nan, 0
        self._waiting[column] = self._split[column] = False
        return True

    def _believe(self, believed: Bools, closes: Floats, logs: Floats, moves: Floats) -> None:
        self._moves[self._at] = np.where(believed, moves / np.sqrt(self._elapsed), np.nan)
        self._at = (self._at + 1) % len(self._moves)
        self._trusted = np.where(believed, closes, self._trusted)
        self._log = np.where(believed, logs, self._log)
        self._elapsed[believed] = 0

    def _limits(self, bars: Floats | float) -> Floats:
        # The oldest row first: sums in another order would differ in the last bit from those of a guard that was made anew.
        moves = np.concatenate((self._moves[self._at :], self._moves[: self._at]))
        known = np.isfinite(moves).sum(axis=0)
        scale = np.where(np.isfinite(moves), np.minimum(moves, self._floor), 0.0).sum(axis=0) / np.maximum(known, 1)
        usual = np.clip(self._factor * scale * np.sqrt(bars), self._floor, LIMIT_MAX)
        return np.where(known >= KNOWN_MIN, usual, LIMIT_MAX)


def _columns(mask: Bools) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())
