"""No-trade zones: how far a holding may stand from its target before it is worth a trade, and where that trade goes.

Rule: a zone follows from targets and rules alone, so that a restart judges as the process before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final, Self

from daemon.core.model import ZERO, Instrument
from daemon.core.planner_inputs import ONE, Rules

# A width is no measurement: nine digits are plenty, and they are the same on every machine.
_COARSE: Final = Context(prec=9)
_SHORT: Final = Context(prec=20)

# A target is a float's worth of digits. Less than this share of the account off it is no distance, whatever the rules.
_NOTHING: Final = Decimal("1E-12")


@dataclass(frozen=True, slots=True)
class Zones:
    """The zones of one account: what it is worth, and the half-width that every zone has at least, both in money.

    With an equity of 1, all of it is in weights.
    """

    rules: Rules
    equity: Decimal
    common: Decimal

    @classmethod
    def of(cls, rules: Rules, equity: Decimal, weights: Iterable[Decimal]) -> Self:
        """The zones of these targets.

        `band_average` x the mean size of the targets that are not 0 does not shrink with the target, unlike `band_relative` (Carver,
        Systematic Trading: forecast and position method).
        """
        sizes = [abs(weight) for weight in weights if weight] if rules.band_average > 0 else []
        common = max(rules.band, rules.band_average * sum(sizes, ZERO) / len(sizes)) if sizes else rules.band
        return cls(rules, equity, max(common, _NOTHING) * equity)

    def plain(self, aimed: Decimal) -> Decimal:
        """Half the width of the zone about a target, in money, without what a trade would cost: never wider than `width`."""
        return max(self.common, self.rules.band_relative * abs(aimed))

    def width(self, aimed: Decimal, market: Instrument) -> Decimal:
        """Half the width of the zone about a target, in money: the widest of all rules."""
        rules, found = self.rules, self.plain(aimed)
        if not rules.risk_aversion or self.equity <= 0:
            return found
        size = _SHORT.divide(abs(aimed), self.equity)
        return max(found, self.equity * worthwhile(size, market.taker_fee + rules.slippage, rules.risk_aversion))


def worthwhile(size: Decimal, cost: Decimal, aversion: Decimal) -> Decimal:
    """The half-width, as a weight, within which a cost outweighs what a trade corrects: (3/(2 gamma) x c x w^2 x (1 - w)^2)^(1/3).

    The leading term for small costs, one risky asset and constant relative risk aversion gamma (Janecek and Shreve 2004; Gerhold, Guasoni,
    Muhle-Karbe and Schachermayer 2014). `size` is the target weight, `cost` is one way, as a share of what is traded.
    """
    spread = size * (ONE - size)
    return _cube_root(3 * cost * spread * spread / (2 * aversion))


def _cube_root(number: Decimal) -> Decimal:
    """By a float, whose last digits depend on the machine, and a step of Newton's, which makes them right."""
    near = Decimal(f"{float(number) ** (1 / 3):.9e}")
    if not near > 0:
        return ZERO
    square = near * near
    return _COARSE.plus(near - (near * square - number) / (3 * square))
