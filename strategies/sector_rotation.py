"""Sector rotation: hold the sectors that have risen most.

Idea: momentum is stronger between industries than between the stocks of one (T. Moskowitz and M. Grinblatt, Do Industries Explain
Momentum?, Journal of Finance 54, 1999). For each sector

    sector_return = mean over its symbols of close / close[-lookback] - 1

over the symbols with that much history, close[-lookback] being the close `lookback` bars before the current one. The `best` sectors get
exposure / best each; where fewer can be traded, each of these still gets no more. Inside a sector the weight is the same for all symbols
that can be traded, or in inverse proportion to their volatility (population deviation of simple returns over `lookback` bars). Ties break
by name. With a `margin`, a sector that is held gives way only to one whose return is higher by more than that.

Parameters, with their defaults: `sectors` ({NAME: [SYMBOL, ...]}; those of the universe), `lookback` (30 bars), `best` (1 sector), `inside`
(equal; or inverse_volatility), `exposure` (0.8, a share of the strategy's capital), `margin` (0.0, a return: 0.01 is 1 %).

It fails when all sectors move as one, which in this market is often: the choice is then noise, and every change of it costs fees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, nan
from typing import Literal

import numpy as np

from daemon.core.allocation import inverse_volatility
from daemon.core.indicators import Indicator, Momentum, Volatility
from daemon.core.model import Floats, TargetWeights
from daemon.core.sectors import check_once, within
from daemon.core.strategy import BARS_MAX, Columns, Strategy, Universe, View, check_choice, check_integer, check_number, check_share


@dataclass(frozen=True, slots=True)
class SectorParams:
    """See the head of this file. ValueError: a sentence that names the parameter and its bound."""

    sectors: Mapping[str, tuple[str, ...]] | None = None
    lookback: int = 30
    best: int = 1
    inside: Literal["equal", "inverse_volatility"] = "equal"
    exposure: float = 0.8
    margin: float = 0.0

    def __post_init__(self) -> None:
        """Check every bound."""
        if self.sectors is not None:
            check_once(self.sectors)
        check_integer("lookback", self.lookback, 2, BARS_MAX - 1)
        check_integer("best", self.best, 1, 10_000)
        check_choice("inside", self.inside, "equal", "inverse_volatility")
        check_share("exposure", self.exposure)
        check_number("margin", self.margin)
        if self.margin < 0:
            raise ValueError(f"margin must be at least 0, not {self.margin}")


class SectorRotation(Strategy):
    """The best K sectors by mean return."""

    Params = SectorParams
    every = 48

    def __init__(self, params: SectorParams, universe: Universe) -> None:
        super().__init__(params, universe)
        self.params: SectorParams = params
        sectors, remarks = within(universe.sectors if params.sectors is None else params.sectors, universe.symbols)
        if params.sectors is not None:
            self.remarks = remarks  # the universe's own are told with the universe
        if not sectors:
            raise ValueError("sectors has no symbol of the universe; write sectors in universe.sectors, as {NAME: [SYMBOL, ...]}")
        place = {symbol: column for column, symbol in enumerate(universe.symbols)}
        self._columns = {sector: [place[symbol] for symbol in sectors[sector]] for sector in sorted(sectors)}

    def indicators(self) -> Mapping[str, Indicator]:
        """Return over the lookback, and the volatility where it weighs."""
        width = len(self.universe.symbols)
        momentum: dict[str, Indicator] = {"momentum": Momentum(self.params.lookback, width)}
        return momentum | ({"volatility": Volatility(self.params.lookback, width)} if self.params.inside == "inverse_volatility" else {})

    def decide(self, view: View) -> TargetWeights:
        """The best sectors of those in which something can be traded, or is held and stays."""
        signals = self.signals(view)
        share = self.params.exposure / self.params.best
        wanted: dict[str, float] = {}
        for sector in self._ranked(signals, view)[: self.params.best]:
            wanted |= self._inside(sector, share, view)
        # What stays of another sector has its part of the exposure already.
        spare, total = self.params.exposure - fsum(view.carried.values()), fsum(wanted.values())
        if total > spare:
            wanted = {symbol: weight * max(spare, 0.0) / total for symbol, weight in wanted.items()}
        return TargetWeights(wanted, signals=signals)

    def signals(self, view: View) -> dict[str, dict[str, float]]:
        """The mean return of every sector with a symbol that is warm."""
        momentum = view.rows["momentum"].tolist()
        means = {sector: _mean([momentum[column] for column in columns]) for sector, columns in self._columns.items()}
        return {sector: {"sector_return": mean} for sector, mean in means.items() if mean == mean}

    def columns(self, closes: Floats, rows: Mapping[str, Floats]) -> Columns:
        """The same at every slice."""
        means = [[_mean(returns) for returns in rows["momentum"][:, columns].tolist()] for columns in self._columns.values()]
        return Columns(tuple(self._columns), {"sector_return": np.array(means).T})

    def _ranked(self, signals: Mapping[str, Mapping[str, float]], view: View) -> list[str]:
        symbols = self.universe.symbols

        def rank(sector: str) -> tuple[float, bool, str]:
            favoured = self.params.margin > 0 and any(view.weights.get(symbols[column]) for column in self._columns[sector])
            return -(signals[sector]["sector_return"] + (self.params.margin if favoured else 0.0)), not favoured, sector

        def is_open(sector: str) -> bool:
            return any(view.tradable[column] or view.carried.get(symbols[column]) for column in self._columns[sector])

        return sorted((sector for sector in signals if is_open(sector)), key=rank)

    def _inside(self, sector: str, share: float, view: View) -> dict[str, float]:
        """The sector's share, less what of it stays as it is, among the symbols that can be traded."""
        columns, symbols = self._columns[sector], self.universe.symbols
        tradable = [column for column in columns if view.tradable[column]]
        if not tradable:
            return {}
        left = max(share - fsum(view.carried.get(symbols[column], 0.0) for column in columns), 0.0)
        return {symbols[column]: left * part for column, part in zip(tradable, self._parts(tradable, view), strict=True)}

    def _parts(self, columns: Sequence[int], view: View) -> list[float]:
        if self.params.inside == "equal":
            return [1.0 / len(columns)] * len(columns)
        parts: list[float] = inverse_volatility(view.rows["volatility"][np.asarray(columns)]).tolist()
        return parts


def _mean(returns: Sequence[float]) -> float:
    """The mean of those that there are, NaN for none."""
    known = [each for each in returns if each == each]
    return fsum(known) / len(known) if known else nan
