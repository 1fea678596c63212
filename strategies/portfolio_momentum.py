"""Portfolio momentum: hold the N symbols with the best score, in equal weights.

Idea: what has risen goes on rising for a while (N. Jegadeesh and S. Titman, Returns to Buying Winners and Selling Losers, Journal of
Finance 48, 1993). The score adds a trend filter and, against the first, a term for symbols that have just fallen hard:

    score = price x (close / close[-lookback] - 1) + rsi x (50 - RSI) + trend x (+1 if close > SMA(lookback) else -1)

close[-lookback] is the close `lookback` bars before the current one; RSI is Wilder's, 0 to 100. With `rsi_sign: momentum` the middle term
is rsi x (RSI - 50): strength counts for a symbol instead of against it. The `top` symbols get exposure / top each; where fewer can be
traded, each of these still gets no more. Ties break by symbol.

With a `floor`, a symbol whose score is below it is not held, however it ranks, and its part stays in cash: momentum that is absolute as
well as relative (G. Antonacci, Risk Premia Harvesting Through Dual Momentum, Journal of Management and Entrepreneurship 2, 2017).

Parameters, with their defaults: `lookback` (20 bars), `rsi_period` (14 bars), `top` (3 symbols), `exposure` (0.8, a share of the
strategy's capital), `weights` (price 0.5 per unit of return, rsi 0.003 per point, trend 0.1; what is not named keeps its default),
`rsi_sign` (contrarian; or momentum), `floor` (none; in units of the score).

It fails when leaders change faster than `lookback`, and pays fees for every change of rank in a market without direction. Without a floor
it holds the least bad symbols through a general fall, since a score need not be positive to be among the best.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from daemon.core import momentum
from daemon.core.indicators import Indicator
from daemon.core.model import Floats, TargetWeights
from daemon.core.momentum import ScoreParams
from daemon.core.strategy import Columns, Strategy, Universe, View, check_integer, check_number, check_share


@dataclass(frozen=True, slots=True)
class MomentumParams(ScoreParams):
    """See the head of this file. ValueError: a sentence that names the parameter and its bound."""

    top: int = 3
    exposure: float = 0.8
    floor: float | None = None

    def __post_init__(self) -> None:
        """Check every bound."""
        ScoreParams.__post_init__(self)
        check_integer("top", self.top, 1, 10_000)
        check_share("exposure", self.exposure)
        if self.floor is not None:
            check_number("floor", self.floor)


class PortfolioMomentum(Strategy):
    """The top N by score, equally weighted."""

    Params = MomentumParams

    def __init__(self, params: MomentumParams, universe: Universe) -> None:
        super().__init__(params, universe)
        self.params: MomentumParams = params

    def indicators(self) -> Mapping[str, Indicator]:
        """What the score is made of."""
        return momentum.indicators(self.params, len(self.universe.symbols))

    def decide(self, view: View) -> TargetWeights:
        """The best tradable symbols. One that was chosen before and cannot be traded now keeps its place among them."""
        each = self.params.exposure / self.params.top
        places = self.params.top - round(sum(view.carried.values()) / each)
        numbers = view.columns or momentum.numbers(self.params, view.slice.close, view.rows)
        columns = view.tradable.nonzero()[0]
        symbols = [view.slice.symbols[column] for column in columns.tolist()]
        ranked = sorted(zip((-numbers["score"][columns]).tolist(), symbols, strict=True))[: max(places, 0)]
        lowest = -inf if self.params.floor is None else self.params.floor
        best = [symbol for score, symbol in ranked if -score >= lowest]
        return TargetWeights(dict.fromkeys(best, each), signals={} if view.silent else momentum.by_symbol(view.slice.symbols, numbers))

    def signals(self, view: View) -> dict[str, dict[str, float]]:
        """The four numbers of every symbol, each from the bar on at which everything it needs is there."""
        return momentum.by_symbol(view.slice.symbols, momentum.numbers(self.params, view.slice.close, view.rows))

    def columns(self, closes: Floats, rows: Mapping[str, Floats]) -> Columns:
        """The four numbers of every symbol at every slice."""
        return Columns(self.universe.symbols, momentum.numbers(self.params, closes, rows))
