"""Apportion: one amount, several who have a part in it, and a grid.

Rule: what is shared out adds up to the amount, to the last digit, and the same question always has the same answer.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from typing import Final

from daemon.core.model import EXACT, ZERO

# Money is shared out in these: finer than the smallest unit of any coin, so that nobody's rounding is worth anything.
GRAIN: Final = Decimal("1E-18")


def signed(sign: int, amount: Decimal) -> Decimal:
    """The amount, or what takes it away where `sign` is below 0. A product or a minus would round what has more than 28 digits."""
    return amount if sign > 0 else amount.copy_negate()


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    with localcontext(EXACT):
        return sum(amounts, ZERO)


def share_out(whole: Decimal, wants: Mapping[str, Decimal], step: Decimal) -> dict[str, Decimal]:
    """`whole` (at least 0) in proportion to `wants` (above 0 each), in whole steps; what is off the grid goes to the largest.

    By largest remainder (Hamilton's method): everybody has the whole steps of his quota, and of those that are left each of the largest
    broken ones has one. So nobody is a step or more away from his quota, and if wants are whole steps nobody has more than he wants of a
    whole that is no more than all want. Alike remainders go by size, then by name.
    """
    if not whole or not wants:
        return {}
    if len(wants) == 1:
        return dict.fromkeys(wants, whole)
    largest_first = sorted(wants, key=lambda name: (-wants[name], name))
    with localcontext(EXACT):
        divisor = sum(wants.values(), ZERO) * step
        quotas = {name: divmod(whole * wants[name], divisor) for name in largest_first}
        parts = {name: steps * step for name, (steps, _) in quotas.items()}
        left = whole - sum(parts.values(), ZERO)
        for name in sorted(quotas, key=lambda name: -quotas[name][1]):
            if left < step:
                break
            parts[name] += step
            left -= step
        if left:
            parts[largest_first[0]] += left
    return {name: part for name, part in parts.items() if part}
