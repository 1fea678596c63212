"""Mine: hold the few symbols that have risen most, as long as they stand above their own average.

This file is yours. It runs as it is: `rebalanced new strategy` has written it beside a configuration that uses it.

What you may rely on
    `indicators()` names numbers that are kept up for you, one per symbol, at every bar. Most are in daemon.core.indicators.
    `decide(view)` is asked when the schedule says so. It returns weights: shares of this strategy's capital, 0.25 is a quarter of it.
    A symbol that is not named is sold. Orders, fees, limits and restarts are the daemon's business.
What you must keep to
    A decision rests on its view alone. What `self` keeps is lost at a restart; what you tell as a signal is in the next `view.signals`.
    No weight may be NaN, and no symbol may be named that the universe does not have: that disables the strategy until the next start.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from daemon.core.indicators import SMA, Indicator, Momentum
from daemon.core.model import TargetWeights
from daemon.core.strategy import Strategy, View, check_integer, check_share


@dataclass(frozen=True)
class MineParams:
    """What the configuration may set below `params:`; every field has a default. A ValueError here becomes one clear sentence."""

    lookback: int = 20  # bars
    top: int = 3  # symbols
    exposure: float = 0.8  # share of the capital that may be invested; the rest stays in cash

    def __post_init__(self) -> None:
        """Refuse what makes no sense, before anything is traded."""
        check_integer("lookback", self.lookback, 2, 1000)
        check_integer("top", self.top, 1, 100)
        check_share("exposure", self.exposure)


class Mine(Strategy):
    """The `top` symbols by their return over `lookback` bars, equally weighted; those below their average are not held."""

    Params = MineParams
    params: MineParams

    def indicators(self) -> Mapping[str, Indicator]:
        """Fresh indicators, as wide as the universe. They also say how much history is read at the start."""
        width = len(self.universe.symbols)
        return {
            "change": Momentum(self.params.lookback, width),  # close / close[-lookback] - 1
            "average": SMA(self.params.lookback, width),  # mean of the last lookback closes
        }

    def decide(self, view: View) -> TargetWeights:
        """Rows are numpy arrays, one number per symbol in the order of `view.slice.symbols`, NaN where there is no value yet."""
        change, average, close = view.rows["change"], view.rows["average"], view.slice.close

        # `tradable`: a real bar now and every indicator warm. What was held and cannot be traded now stays held: it is in `carried`.
        wanted = np.flatnonzero(view.tradable & (close > average))
        best = sorted(wanted.tolist(), key=lambda column: -change[column])[: max(self.params.top - len(view.carried), 0)]

        symbols = view.slice.symbols
        each = self.params.exposure / self.params.top
        signals = {symbols[column]: {"change": float(change[column])} for column in np.flatnonzero(view.tradable)}
        return TargetWeights({symbols[column]: each for column in best}, signals=signals)
