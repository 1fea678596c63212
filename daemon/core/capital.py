"""Capital: how much of the account the weights are shares of.

Rule: what is set aside is set aside before any weight is applied; a deposit or a withdrawal changes the size of the next decision, never a
result.
"""

from dataclasses import dataclass
from decimal import Decimal

from daemon.core.model import ZERO

ONE = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capital:
    """What is put to work, in quote.

    `fixed`: at most so much, whatever the account is worth; None: no such bound. `share` of the equity is used, `buffer` (a share of what
    is used) and `floor` (quote) stay in cash. `compounding`: how much of the profit is put to work again, 0 to 1; losses count whole.
    """

    fixed: Decimal | None = None
    share: Decimal = ONE
    buffer: Decimal = ZERO
    floor: Decimal = ZERO
    compounding: Decimal = ONE

    def of(self, equity: Decimal, contributed: Decimal | None = None) -> Decimal:
        """The capital of an account that is worth `equity`; `contributed` is what was paid in, less what was taken out. At least 0."""
        if self.compounding < ONE and contributed is not None and equity > contributed:
            equity = contributed + self.compounding * (equity - contributed)
        used = equity * self.share
        if self.fixed is not None:
            used = min(used, self.fixed)
        return max(ZERO, min(used * (ONE - self.buffer), equity - self.floor))
