"""Small accounts: more targets than the money can buy, each at least as large as the venue takes.

Rule: rather fewer whole positions than many orders that are refused. Which ones follows from targets, prices and holdings alone, and what
is held has an advantage over what is not, so that decisions that differ little keep the same positions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final

from daemon.core.model import ZERO, Instrument
from daemon.core.planner_inputs import ONE
from daemon.core.planner_legs import NOTIONAL_MARGIN, Standing, reaches_minimum, smallest
from daemon.core.planner_zones import Zones

# A new position is begun this far above the venue's minimum: after a fall of a tenth, it can still be sold.
ROOM: Final = Decimal("1.10")
_AMPLE: Final = ROOM * NOTIONAL_MARGIN

# A position that is not held must be wanted so many times as much to take the place of one that is.
NEWCOMER: Final = Decimal("1.25")

# A number for a person: six digits, rounded so that it suffices.
_ENOUGH: Final = Context(prec=6, rounding=ROUND_CEILING)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What an account can hold: how many times its own weight each target becomes, and the equity that each dropped one would need."""

    factor: Decimal = ONE
    needs: Mapping[str, Decimal] = field(default_factory=dict)


def fit(standings: Iterable[Standing], zones: Zones) -> Fitted:
    """The largest set of targets that can be held, and the factor that gives them the part of the others.

    What cannot be held is dropped, the smallest first; the rest share its weight in proportion, none beyond its cap or `raise_max` times
    its own. What is within its zone needs no order and is never dropped, nor what is held, as long as the venue would still take its sale.
    """
    able = [s for s in standings if (s.wished > 0 or (s.wished < 0 and s.market.shortable)) and not s.still]
    if zones.equity <= 0 or all(_holds(s, ONE, zones) for s in able):
        return Fitted()
    most = zones.rules.raise_max
    needs = {s.symbol: _need(s) for s in able if not _holds(s, most, zones)}
    total, rest = _sum(able), _sum(s for s in able if s.symbol not in needs)
    newcomers: list[Standing] = []  # what is to be begun; it gives way to what is held and counts for more
    for s in _smallest_first([s for s in able if s.symbol not in needs]):
        held = _is_held(s)
        while s.symbol not in needs and not _holds(s, min(total / rest, most), zones):
            goes = newcomers.pop(0) if held and newcomers else s
            needs[goes.symbol] = max(_need(goes), _need(s))
            rest -= abs(goes.wished)
        if not held and s.symbol not in needs:
            newcomers.append(s)
    factor = min(total / rest, most) if rest > 0 else ONE
    return Fitted(factor, {symbol: _ENOUGH.plus(need) for symbol, need in needs.items()})


def raised(s: Standing, factor: Decimal) -> Decimal:
    """The target weight so many times as large, as far as the limits allow."""
    if factor == 1:
        return s.wished
    weight = s.wished * factor
    if factor < 1 or s.cap is None or abs(weight) <= s.cap:
        return weight
    return s.wished if abs(s.wished) >= s.cap else s.cap.copy_sign(s.wished)


def _sum(standings: Iterable[Standing]) -> Decimal:
    return sum((abs(s.wished) for s in standings), ZERO)


def is_ample(aimed: Decimal, worth: Decimal, rate: Decimal, market: Instrument) -> bool:
    """Whether so much money is above all that could be asked of a position, whatever the rounding to lots. This is quick to see.

    `worth` is what a unit of base is worth in money, `rate` a unit of quote.
    """
    return aimed >= (market.lot + market.least) * ROOM * worth + market.worth_least * _AMPLE * rate


def _holds(s: Standing, factor: Decimal, zones: Zones) -> bool:
    """Whether the account can hold the target, so many times as large."""
    aimed = raised(s, factor) * zones.equity
    bar = smallest(s.market, s.price, ONE) * s.worth if _is_held(s) else _to_begin(s)
    return abs(aimed) >= bar or abs(s.value - aimed) <= zones.width(aimed, s.market)


def _is_held(s: Standing) -> bool:
    """Whether there is a position on the target's side that is more than dust."""
    return s.held * s.wished > 0 and reaches_minimum(s.market, abs(s.held), s.price)


def _need(s: Standing) -> Decimal:
    """The equity at which the target, as it is, could be begun."""
    return _to_begin(s) / abs(s.wished)


def _to_begin(s: Standing) -> Decimal:
    """What a position must be worth to be begun."""
    return smallest(s.market, s.price) * s.worth * ROOM


def _smallest_first(standings: Sequence[Standing]) -> list[Standing]:
    """In the order in which they give way: what is held counts for more; of equals, the last by name goes first."""
    by_name = sorted(standings, key=lambda s: s.symbol, reverse=True)
    return sorted(by_name, key=lambda s: abs(s.wished) * (NEWCOMER if _is_held(s) else ONE))
