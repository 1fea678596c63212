"""Long/short momentum: buy the N symbols with the best score, sell the N with the worst, and owe nothing to where the market goes.

Idea: winners go on beating losers for a while, whichever way all of them move (N. Jegadeesh and S. Titman, Returns to Buying Winners and
Selling Losers, Journal of Finance 48, 1993); what is bought and what is sold together keep the market out of it. The score is that of
portfolio_momentum:

    score = price x (close / close[-lookback] - 1) + rsi x (50 - RSI) + trend x (+1 if close > SMA(lookback) else -1)

close[-lookback] is the close `lookback` bars before the current one; RSI is Wilder's, 0 to 100. With `rsi_sign: momentum` the middle term
is rsi x (RSI - 50). The `top` symbols are bought, the `bottom` ones sold short, each side in equal weights:

    neutral: dollar   +exposure / (2 top) each, -exposure / (2 bottom) each: the weights sum up to 0
    neutral: beta     L = exposure x b_S / (b_L + b_S) for the longs together, S = exposure - L for the shorts: their betas sum up to 0

The beta of a symbol is its covariance with the equally weighted mean of the universe over that mean's variance (W. Sharpe, Capital Asset
Prices, Journal of Finance 19, 1964), of simple returns over the last `beta_window` bars; b_L and b_S are the means of the sides. A symbol
that has none counts like the market, 1.

Where there are fewer symbols than places, as many go to either side, and both sides shrink with the emptier one: each symbol gets no more
than its share of a full side, and none is held without another against it. What cannot be traded now keeps its weight and its place, and
the others are weighed against it, as far as their shares go. A side whose beta is not above 0 hedges nothing: then nothing is held. The
decision's note says so in both cases. Ties break by symbol.

Parameters, with their defaults: `lookback` (20 bars), `rsi_period` (14 bars), `top` and `bottom` (3 symbols each), `exposure` (0.8, a share
of the strategy's capital, longs and shorts together), `neutral` (dollar; or beta), `beta_window` (240 bars; only beta reads it), `weights`
(price 0.5 per unit of return, rsi 0.003 per point, trend 0.1; what is not named keeps its default), `rsi_sign` (contrarian; or momentum).

It fails when losers rise at once and hard, as after a crash (K. Daniel and T. Moskowitz, Momentum Crashes, Journal of Financial Economics
122, 2016), pays for every change of rank, and pays funding on whichever side is crowded. Dollar neutral is not neutral to the market where
what rises moves more than what falls; betas are those of the window, not of what comes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Literal

import numpy as np

from daemon.core import momentum
from daemon.core.indicators import Covariance, Indicator, Of, Returns
from daemon.core.model import Bools, Floats, TargetWeights
from daemon.core.momentum import ScoreParams
from daemon.core.strategy import BARS_MAX, Columns, Strategy, Universe, View, check_choice, check_integer, check_number

Names = tuple[str, ...]
Signals = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class LongShortParams(ScoreParams):
    """See the head of this file. ValueError: a sentence that names the parameter and its bound."""

    top: int = 3
    bottom: int = 3
    exposure: float = 0.8
    neutral: Literal["dollar", "beta"] = "dollar"
    beta_window: int = 240

    def __post_init__(self) -> None:
        """Check every bound."""
        ScoreParams.__post_init__(self)
        check_integer("top", self.top, 1, 10_000)
        check_integer("bottom", self.bottom, 1, 10_000)
        check_number("exposure", self.exposure)
        if not 0 < self.exposure <= 2:
            raise ValueError(f"exposure must be above 0 and at most 2, the whole capital on either side, not {self.exposure}")
        check_choice("neutral", self.neutral, "dollar", "beta")
        check_integer("beta_window", self.beta_window, 2, BARS_MAX - 1)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the book: the symbols that are weighed now, of the mean `beta`, each at `share` (of the capital, above 0) at most."""

    symbols: tuple[str, ...]
    beta: float
    share: float

    @property
    def most(self) -> float:
        """What all of them may come to."""
        return len(self.symbols) * self.share

    def weights(self, gross: float, sign: float) -> dict[str, float]:
        """`gross` in equal parts."""
        return dict.fromkeys(self.symbols, sign * gross / len(self.symbols)) if gross > 0 else {}


class LongShortMomentum(Strategy):
    """The top N against the bottom N by score."""

    Params = LongShortParams

    def __init__(self, params: LongShortParams, universe: Universe) -> None:
        super().__init__(params, universe)
        self.params: LongShortParams = params
        if universe.market == "spot":
            what = "use long_short_momentum sells what it does not own, which exchange.market spot cannot"
            raise ValueError(f"{what}; write market: swap, or use: portfolio_momentum")
        count, places = len(universe.symbols), params.top + params.bottom
        if places > count:
            what = f"top of {params.top} and bottom of {params.bottom} are {places} symbols, and the universe has {count}"
            raise ValueError(f"{what}; lower one of them, or add symbols")

    def indicators(self) -> Mapping[str, Indicator]:
        """What the score is made of, and the covariances that betas are made of."""
        width = len(self.universe.symbols)
        score = momentum.indicators(self.params, width)
        return score | ({"covariance": Of(Covariance(self.params.beta_window, width), Returns(width))} if self._by_beta else {})

    def warm(self, rows: Mapping[str, Floats]) -> Bools:
        """Where there is a score, and a beta where that counts."""
        measured = {name: row.diagonal() if name == "covariance" else row for name, row in rows.items()}
        return super().warm(measured)

    def decide(self, view: View) -> TargetWeights:
        """Both sides of what can be traded, weighed against each other and against what stays."""
        told = self._numbers(view.slice.close, view.rows)
        signals = momentum.by_symbol(view.slice.symbols, told)
        betas = {symbol: signals.get(symbol, {}).get("beta", 1.0) for symbol in view.slice.symbols}
        kept = tuple(tuple(symbol for symbol, weight in view.carried.items() if weight * sign > 0) for sign in (1, -1))
        sides = self._sides(self._chosen(signals, kept, view), kept, betas)
        if isinstance(sides, str):
            return TargetWeights({}, signals=signals, note=sides)
        longs, shorts = sides
        stays = fsum(weight * betas[symbol] for symbol, weight in view.carried.items())
        bought, sold = balanced(longs, shorts, stays)
        left = stays + bought * longs.beta - sold * shorts.beta
        note = f"what cannot be traded now leaves a beta of {left:.6g} unhedged" if abs(left) > 1e-9 else ""
        return TargetWeights(longs.weights(bought, 1.0) | shorts.weights(sold, -1.0), signals=signals, note=note)

    def signals(self, view: View) -> dict[str, dict[str, float]]:
        """The numbers of every symbol, each from the bar on at which everything it needs is there."""
        return momentum.by_symbol(view.slice.symbols, self._numbers(view.slice.close, view.rows))

    def columns(self, closes: Floats, rows: Mapping[str, Floats]) -> Columns:
        """The numbers of every symbol at every slice."""
        return Columns(self.universe.symbols, self._numbers(closes, rows))

    def _numbers(self, closes: Floats, rows: Mapping[str, Floats]) -> dict[str, Floats]:
        """By name, of one row or of many."""
        told = momentum.numbers(self.params, closes, rows)
        return told | ({"beta": betas_of(rows["covariance"])} if self._by_beta else {})

    @property
    def _by_beta(self) -> bool:
        return self.params.neutral == "beta"

    def _chosen(self, signals: Signals, kept: Sequence[Names], view: View) -> tuple[Names, Names]:
        """Who is newly bought and who is sold. What stays has a place on its side."""
        symbols = [symbol for symbol, may in zip(view.slice.symbols, view.tradable.tolist(), strict=True) if may]
        ranked = sorted(symbols, key=lambda symbol: (-signals[symbol]["score"], symbol))
        best, worst = parted(len(ranked), max(self.params.top - len(kept[0]), 0), max(self.params.bottom - len(kept[1]), 0))
        return tuple(ranked[:best]), tuple(ranked[len(ranked) - worst :])

    def _sides(self, chosen: Sequence[Names], kept: Sequence[Names], betas: Mapping[str, float]) -> tuple[Side, Side] | str:
        """Both sides, each symbol's share being that of a full side; or why there is nothing to be held."""

        def mean(symbols: Names) -> float:
            return fsum(betas[symbol] for symbol in symbols) / len(symbols) if symbols else 1.0

        fresh, whole = [mean(each) for each in chosen], [mean((*new, *old)) for new, old in zip(chosen, kept, strict=True)]
        for name, beta in zip(("bought", "sold"), map(min, fresh, whole), strict=True):
            if beta <= 0:
                return f"what would be {name} has a beta of {beta:.6g}, which hedges nothing: it holds nothing"
        each = self.params.exposure / fsum(whole)
        longs = Side(chosen[0], fresh[0], each * whole[1] / self.params.top)
        return longs, Side(chosen[1], fresh[1], each * whole[0] / self.params.bottom)


def parted(count: int, top: int, bottom: int) -> tuple[int, int]:
    """How many of so many ranked symbols are bought and sold: all places where there are enough, else as many for either side."""
    best = min(top, max(-(-count // 2), count - bottom))
    return best, min(bottom, count - best)


def balanced(longs: Side, shorts: Side, stays: float) -> tuple[float, float]:
    """Gross of the longs and of the shorts, the most that leaves no beta beside the `stays` of what is kept, or as little as they can."""
    sold = (longs.most * longs.beta + stays) / shorts.beta
    if 0 <= sold <= shorts.most:
        return longs.most, sold
    sold = min(max(sold, 0.0), shorts.most)
    return min(max((sold * shorts.beta - stays) / longs.beta, 0.0), longs.most), sold


def betas_of(covariance: Floats) -> Floats:
    """Betas (..., n) of the columns against the equally weighted mean of those that are warm, of their covariances (..., n, n).

    Cov(x, mean) / Var(mean): the mean of a row over the mean of the matrix. NaN where a column is not warm, or the mean does not move.
    """
    known = np.isfinite(covariance.diagonal(axis1=-2, axis2=-1))
    both = known[..., :, None] & known[..., None, :]
    # Accumulated, because `sum` adds in another order when the shape is another.
    rows = np.add.accumulate(np.where(both, covariance, 0.0), axis=-1)[..., -1]
    whole = np.add.accumulate(rows, axis=-1)[..., -1:]
    count = known.sum(axis=-1, keepdims=True)
    betas: Floats = np.divide(rows * count, whole, out=np.full(rows.shape, np.nan), where=known & (whole > 0))
    return betas
