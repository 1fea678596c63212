"""Equal weight: the same share for every symbol.

Idea: 1/N needs no estimate and so makes no error of estimation; out of sample it is hard to beat (V. DeMiguel, L. Garlappi and R. Uppal,
Optimal Versus Naive Diversification, Review of Financial Studies 22, 2009).

    weight = exposure / number of symbols configured

A symbol that is not listed yet leaves its share in cash.

Parameters, with their defaults: `exposure` (1.0, a share of the strategy's capital), `symbols` (those of the universe).

It fails when the symbols are alike: N of one kind are one bet. It gives the most volatile symbol the largest part of the risk.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.core.indicators import Indicator
from daemon.core.model import Floats, TargetWeights
from daemon.core.strategy import Columns, Strategy, Universe, View, check_share


@dataclass(frozen=True, slots=True)
class EqualWeightParams:
    """See the head of this file. ValueError: a sentence that names the parameter and its bound."""

    exposure: float = 1.0
    symbols: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the share, and that each symbol is there once."""
        check_share("exposure", self.exposure)
        if self.symbols is not None and not self.symbols:
            raise ValueError("symbols must name at least one symbol; leave it out for the whole universe")
        if self.symbols is not None and len(set(self.symbols)) < len(self.symbols):
            raise ValueError("symbols has a symbol more than once; name each once")


class EqualWeight(Strategy):
    """1/N of the exposure for each of N symbols."""

    Params = EqualWeightParams

    def __init__(self, params: EqualWeightParams, universe: Universe) -> None:
        super().__init__(params, universe)
        self._symbols = universe.symbols if params.symbols is None else params.symbols
        for symbol in self._symbols:
            if symbol not in universe.symbols:
                raise ValueError(f"symbols has {symbol}, which is not in universe.symbols; add it there, or leave it out here")
        self._exposure = params.exposure

    def indicators(self) -> Mapping[str, Indicator]:
        """None: the weights rest on no number."""
        return {}

    def decide(self, view: View) -> TargetWeights:
        """The same for each that is in the universe."""
        inside = dict(zip(view.slice.symbols, view.slice.inside.tolist(), strict=True))
        symbols = [symbol for symbol in self._symbols if inside[symbol]]
        return TargetWeights(dict.fromkeys(symbols, self._exposure / max(1, len(symbols))))

    def columns(self, closes: Floats, rows: Mapping[str, Floats]) -> Columns:
        """None, at any slice."""
        return Columns((), {})
