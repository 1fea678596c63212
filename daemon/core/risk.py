"""Limits: what a wish for weights may be at most.

Rule: a limit only takes away. It answers with the reason, and cutting one symbol never raises another. Order: sanity, single weight, gross.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import fsum, isfinite
from typing import Final


class Reason(StrEnum):
    """Why a weight was cut, in stable codes."""

    NOT_FINITE = "not_finite"
    UNKNOWN_SYMBOL = "unknown_symbol"
    SHORT_ON_SPOT = "short_on_spot"
    WEIGHT_MAX = "weight_max"
    GROSS = "gross"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on weights of equity: `gross` on the sum of their sizes, `weight_max` on each one's. `short`: they may be below 0."""

    gross: float = 1.0
    weight_max: float = 1.0
    short: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """One symbol's weight before and after a limit."""

    symbol: str
    wanted: float
    allowed: float
    reason: Reason


Weights = Mapping[str, float]
Limit = Callable[[Weights, Limits], tuple[dict[str, float], list[Cut]]]


def apply(weights: Weights, limits: Limits, symbols: frozenset[str]) -> tuple[dict[str, float], tuple[Cut, ...]]:
    """The weights that every limit allows, by symbol in order of symbol, and each cut on the way.

    A symbol outside `symbols` is dropped, with its cut.
    """
    kept: dict[str, float] = {}
    cuts: list[Cut] = []
    for symbol, weight in sorted(weights.items()):
        if symbol in symbols:
            kept[symbol] = weight
        else:
            cuts.append(Cut(symbol, weight, 0.0, Reason.UNKNOWN_SYMBOL))
    for limit in ORDER:
        kept, more = limit(kept, limits)
        cuts += more
    return kept, tuple(cuts)


def sane(weights: Weights, limits: Limits) -> tuple[dict[str, float], list[Cut]]:
    """A weight is a finite number, and on spot not below 0: nothing can be sold that is not held."""

    def reason(weight: float) -> Reason | None:
        if not isfinite(weight):
            return Reason.NOT_FINITE
        return Reason.SHORT_ON_SPOT if weight < 0 and not limits.short else None

    cuts = [Cut(s, w, 0.0, why) for s, w in weights.items() if (why := reason(w))]
    return {s: 0.0 if reason(w) else w for s, w in weights.items()}, cuts


def within_weight_max(weights: Weights, limits: Limits) -> tuple[dict[str, float], list[Cut]]:
    """No symbol holds more than `weight_max` of equity, long or short."""
    most = limits.weight_max
    kept = {s: min(max(w, -most), most) for s, w in weights.items()}
    return kept, [Cut(s, w, kept[s], Reason.WEIGHT_MAX) for s, w in weights.items() if abs(w) > most]


def within_gross(weights: Weights, limits: Limits) -> tuple[dict[str, float], list[Cut]]:
    """All symbols together hold at most `gross` of equity; beyond it each is scaled alike."""
    gross = fsum(abs(w) for w in weights.values())
    # Three equal shares of 1.0 add up to a little more than 1.0 in binary; that is not a breach worth a line in the log.
    if gross <= limits.gross * (1 + 1e-12):
        return dict(weights), []
    scale = limits.gross / gross
    return {s: w * scale for s, w in weights.items()}, [Cut(s, w, w * scale, Reason.GROSS) for s, w in weights.items() if w]


ORDER: Final[tuple[Limit, ...]] = (sane, within_weight_max, within_gross)
