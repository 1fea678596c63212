"""Pairs: buy the one and sell the other of two that move together, while they are apart.

Idea: the ratio of two close substitutes comes back to its mean (E. Gatev, W. Goetzmann and K. Rouwenhorst, Pairs Trading, Review of
Financial Studies 19, 2006). For each pair [A, B]

    ratio  = close A / close B
    zscore = (ratio - mean) / population standard deviation, both over `lookback` bars, the current one included

Beyond `entry` the dear one is sold and the cheap one bought: state +1 is long A and short B, -1 the reverse, 0 flat. It is left when the
z-score is back within `exit`, or past it on the other side; when it has gone beyond `stop` against the position; or after `max_bars` bars.
After a stop or a time stop the pair waits until its z-score has been within `entry`. While a leg cannot be traded, or the deviation is 0,
the pair stays as it is.

`hedge: notional` gives both legs the same weight. `hedge: beta` sells beta units of B's value for one of A's, beta being the slope of log
close A on log close B over `lookback` bars at the entry, kept until the exit; the larger leg has weight `size`, and a slope that is not
positive hedges nothing, so nothing is entered. `mode: long_only`, for spot, holds the cheap one alone, at `size`: it rotates between the
two, and is in cash while they are near.

Parameters, with their defaults: `pair` ([A, B]) or `pairs` ([[A, B], ...]), `lookback` (30 bars), `entry` (2.0), `exit` (0.5), `stop`
(none), all three in deviations, `max_bars` (none), `size` (0.1, a share of the strategy's capital per leg), `hedge` (notional; or beta),
`mode` (long_short; or long_only).

What it must remember (state, entered: when, in ms since 1970; beta; stopped: 1 while it waits) it tells as signals, so that they are in the
journal. It fails when the two part for good: without a stop it holds until the window has forgotten what they were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import fsum, sqrt
from typing import Literal

import numpy as np

from daemon.core.indicators import Beta, Indicator, Of, Ratio, ZScore
from daemon.core.model import Bools, Floats, TargetWeights, epoch_ms
from daemon.core.strategy import BARS_MAX, Strategy, Universe, View, check_choice, check_integer, check_number, check_share

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PairsParams:
    """See the head of this file. ValueError: a sentence that names the parameter and its bound."""

    pair: Pair | None = None
    pairs: tuple[Pair, ...] | None = None
    lookback: int = 30
    entry: float = 2.0
    exit: float = 0.5
    stop: float | None = None
    max_bars: int | None = None
    size: float = 0.1
    hedge: Literal["notional", "beta"] = "notional"
    mode: Literal["long_short", "long_only"] = "long_short"

    def __post_init__(self) -> None:
        """Check every bound."""
        self._check_pairs()
        check_integer("lookback", self.lookback, 3, BARS_MAX)
        check_number("entry", self.entry)
        check_number("exit", self.exit)
        highest = sqrt(self.lookback - 1)  # of one among that many (P. Samuelson, How Deviant Can You Be?, 1968)
        if self.entry >= highest:
            limit = f"below {highest:.3g}, the largest z-score that lookback {self.lookback} allows"
            raise ValueError(f"entry must be {limit}, not {self.entry}")
        if not 0 <= self.exit < self.entry:
            raise ValueError(f"exit must be at least 0 and below entry ({self.entry}), not {self.exit}")
        if self.stop is not None:
            check_number("stop", self.stop)
            if self.stop <= self.entry:
                raise ValueError(f"stop must be above entry ({self.entry}), not {self.stop}")
        if self.max_bars is not None:
            check_integer("max_bars", self.max_bars, 1, 1_000_000)
        check_share("size", self.size)
        check_choice("hedge", self.hedge, "notional", "beta")
        check_choice("mode", self.mode, "long_short", "long_only")
        if self.mode == "long_only" and self.hedge == "beta":
            raise ValueError("hedge beta needs two legs, and mode long_only has one at a time; use hedge notional")

    def _check_pairs(self) -> None:
        if (self.pair is None) == (self.pairs is None):
            raise ValueError("pair or pairs must be given, and not both; write pair: [A, B], or pairs: [[A, B], [C, D]]")
        name = "pair" if self.pairs is None else "pairs"
        if not self.of_all:
            raise ValueError("pairs must have at least one pair; write [[A, B], [C, D]]")
        for pair in self.of_all:
            if len(set(pair)) != 2:
                raise ValueError(f"{name} must have two different symbols in each pair, not {list(pair)}")
        if len({frozenset(pair) for pair in self.of_all}) < len(self.of_all):
            raise ValueError("pairs has the same two symbols more than once; name each pair once")

    @property
    def of_all(self) -> tuple[Pair, ...]:
        """The pairs, however they were given."""
        return self.pairs if self.pairs is not None else (self.pair,) if self.pair is not None else ()


@dataclass(frozen=True, slots=True)
class Stand:
    """How a pair stands: `state` +1, -1 or 0, `entered` at (ms since 1970), hedged by `beta`; `stopped`: it waits after a stop."""

    state: int = 0
    entered: int = 0
    beta: float = 1.0
    stopped: bool = False


class Pairs(Strategy):
    """Reversion of ratios, any number of pairs."""

    Params = PairsParams
    every = 1

    def __init__(self, params: PairsParams, universe: Universe) -> None:
        super().__init__(params, universe)
        self.params: PairsParams = params
        name = "pair" if params.pairs is None else "pairs"
        for symbol in (symbol for pair in params.of_all for symbol in pair):
            if symbol not in universe.symbols:
                raise ValueError(f"{name} has {symbol}, which is not in universe.symbols; add it there, or leave the pair out")
        if universe.market == "spot" and params.mode == "long_short":
            raise ValueError("mode long_short sells what it does not own, which exchange.market spot cannot; use mode: long_only")
        if params.mode == "long_only" and len(params.of_all) * params.size > 1 + 1e-12:
            raise ValueError(f"size of {params.size:g} for {len(params.of_all)} pairs may come to more than the capital; lower it")
        place = {symbol: column for column, symbol in enumerate(universe.symbols)}
        self._columns = [(place[a], place[b]) for a, b in params.of_all]
        # With one pair there is nothing to tell apart.
        self._names = ["*"] if len(params.of_all) == 1 else [f"{a}|{b}" for a, b in params.of_all]

    def indicators(self) -> Mapping[str, Indicator]:
        """Ratio and z-score, and the slope where it hedges: one number for each pair."""
        p = self.params
        both: dict[str, Indicator] = {
            "ratio": Ratio(self._columns),
            "zscore": Of(ZScore(p.lookback, len(self._columns)), Ratio(self._columns)),
        }
        return both | ({"beta": Beta(p.lookback, self._columns)} if p.hedge == "beta" else {})

    def warm(self, rows: Mapping[str, Floats]) -> Bools:
        """Where a pair has a z-score, or no pair asks for one."""
        warm = np.ones(len(self.universe.symbols), np.bool_)
        known = np.isfinite(rows["zscore"]).tolist()
        warm[[column for columns in self._columns for column in columns]] = False
        warm[[column for columns, is_known in zip(self._columns, known, strict=True) if is_known for column in columns]] = True
        return warm

    def decide(self, view: View) -> TargetWeights:
        """The legs of every pair, added up by symbol."""
        stands = self._stands(view)
        legs: dict[str, list[float]] = {}
        for (a, b), stand in zip(self.params.of_all, stands, strict=True):
            for symbol, weight in zip((a, b), self._legs(stand), strict=True):
                legs.setdefault(symbol, []).append(weight)
        weights = {symbol: fsum(parts) for symbol, parts in legs.items()}
        together = self.params.of_all if self.params.mode == "long_short" else ()
        return TargetWeights(weights, signals=self._told(stands, view), groups=together)

    def signals(self, view: View) -> dict[str, dict[str, float]]:
        """Ratio, z-score and state of every pair, and what must be remembered."""
        return self._told(self._stands(view), view)

    def _stands(self, view: View) -> list[Stand]:
        """How every pair is to stand after this bar."""
        now, zscores = epoch_ms(view.slice.closes_at), view.rows["zscore"].tolist()
        stands = []
        for pair, (name, (a, b), z) in enumerate(zip(self._names, self._columns, zscores, strict=True)):
            last = remembered(view.signals.get(name, {}))
            tradable = z == z and view.tradable[a] and view.tradable[b]
            stands.append(self._next(last, z, now, pair, view) if tradable else last)
        return stands

    def _next(self, last: Stand, z: float, now: int, pair: int, view: View) -> Stand:
        stand = left(last, z, now, self.params, self.universe.timeframe)
        if stand.state or stand.stopped or abs(z) <= self.params.entry or (self.params.stop is not None and abs(z) > self.params.stop):
            return stand
        beta = 1.0 if self.params.hedge == "notional" else float(view.rows["beta"][pair])
        return Stand(-1 if z > 0 else 1, now, beta) if beta > 0 else stand

    def _legs(self, stand: Stand) -> tuple[float, float]:
        """Weights of A and B."""
        size, state = self.params.size, stand.state
        if not state:
            return 0.0, 0.0
        if self.params.mode == "long_only":
            return (size if state > 0 else 0.0), (size if state < 0 else 0.0)
        widest = max(1.0, stand.beta)
        return state * size / widest, -state * size * stand.beta / widest

    def _told(self, stands: Sequence[Stand], view: View) -> dict[str, dict[str, float]]:
        ratios, zscores = view.rows["ratio"].tolist(), view.rows["zscore"].tolist()
        told = {}
        for name, stand, ratio, z in zip(self._names, stands, ratios, zscores, strict=True):
            numbers = {"ratio": ratio} if ratio == ratio else {}
            if z == z:
                numbers["zscore"] = z
            if z == z or "state" in view.signals.get(name, {}):
                numbers |= self._memory(stand)
            if numbers:
                told[name] = numbers
        return told

    def _memory(self, stand: Stand) -> dict[str, float]:
        """What `remembered` reads, without what can be left out."""
        entered = {"entered": float(stand.entered)} if stand.state else {}
        beta = {"beta": stand.beta} if stand.state and self.params.hedge == "beta" else {}
        return {"state": float(stand.state)} | entered | beta | ({"stopped": 1.0} if stand.stopped else {})


def remembered(signals: Mapping[str, float]) -> Stand:
    """How a pair stood when these signals were told."""
    state = int(signals.get("state", 0.0))
    return Stand(state, int(signals.get("entered", 0.0)), signals.get("beta", 1.0), bool(signals.get("stopped", 0.0)))


def left(stand: Stand, z: float, now: int, params: PairsParams, timeframe: timedelta) -> Stand:
    """How a pair stands once what must be left is left; nothing is entered here."""
    if not stand.state:
        return replace(stand, stopped=stand.stopped and abs(z) > params.entry)
    towards = z * stand.state  # it was entered at -entry or below, and comes from there
    if towards > -params.exit:
        return Stand()
    lost = params.stop is not None and towards < -params.stop
    late = params.max_bars is not None and now - stand.entered >= params.max_bars * (timeframe // timedelta(milliseconds=1))
    return Stand(stopped=abs(z) > params.entry) if lost or late else stand
