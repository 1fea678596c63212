"""Ledger: what the account should hold, folded from every fill and flow that the journal has.

Rule: each trade and each flow counts once, whatever was doubled, replayed or reordered on the way; nothing else moves a holding.
"""

from collections import deque
from datetime import datetime
from decimal import Decimal
from typing import Final

from daemon.core.model import EXACT, ZERO, Fill, Flow, currencies

# The kind of flow that a first start books for what the account holds already.
OPENING: Final = "opening"

# The kind of flow that books coins which came without a trade or a transfer, and are kept apart.
RINGFENCED: Final = "ringfenced"

# Former holdings that are remembered by currency. A venue's balances lag by minutes at worst, and a minute has few trades in one currency.
FORMER_KEPT: Final = 64


class Ledger:
    """Holdings by currency, in Decimal. Currencies outside the universe (say, a third coin that fees are paid in) may go below 0."""

    def __init__(self) -> None:
        self.moves = 0  # how often a holding has changed
        self._held: dict[str, Decimal] = {}
        self._former: dict[str, deque[tuple[datetime, Decimal]]] = {}
        self._opened_at: datetime | None = None
        self._trades: set[tuple[str, str]] = set()
        self._flows: set[str] = set()

    @property
    def opened(self) -> bool:
        """Whether an opening balance has been booked: before that the ledger knows nothing of the account."""
        return self._opened_at is not None

    @property
    def flows(self) -> int:
        """How many flows have been booked."""
        return len(self._flows)

    def held(self, currency: str) -> Decimal:
        """Units of `currency` that the account should hold, free or locked."""
        return self._held.get(currency, ZERO)

    def held_until(self, currency: str, amount: Decimal) -> datetime | None:
        """When it last ceased to hold exactly so much of `currency`; None: not lately, or it does so now."""
        former = self._former.get(currency, ())
        return next((until for until, held in reversed(former) if held == amount), None) if self.held(currency) != amount else None

    def holdings(self) -> dict[str, Decimal]:
        """All holdings that are not 0, by currency."""
        return {c: amount for c, amount in sorted(self._held.items()) if amount}

    def has_trade(self, symbol: str, trade_id: str) -> bool:
        """Whether this trade has been booked."""
        return (symbol, trade_id) in self._trades

    def book(self, fill: Fill) -> bool:
        """Move base and quote by a trade, and whatever its fees were paid in. Whether it counted: it was not known.

        A trade of somebody else's hand from before the opening balance is in that balance already.
        """
        key = (fill.symbol, fill.trade_id)
        before = self._opened_at is None or fill.at <= self._opened_at
        if key in self._trades or (before and not fill.order_id):
            return False
        self._trades.add(key)
        base, quote = currencies(fill.symbol)
        moved = {base: fill.side.sign * fill.amount, quote: -fill.side.sign * fill.cost}
        for fee in fill.fees:
            moved[fee.currency] = EXACT.subtract(moved.get(fee.currency, ZERO), fee.amount)
        for currency, amount in moved.items():
            self._add(currency, amount, fill.at)
        return True

    def flow(self, flow: Flow) -> bool:
        """Move a currency by a flow. Whether it counted: it was not known."""
        if flow.id in self._flows:
            return False
        self._flows.add(flow.id)
        if flow.kind == OPENING:
            self._opened_at = self._opened_at or flow.at
        self._add(flow.currency, flow.amount, flow.at)
        return True

    def _add(self, currency: str, amount: Decimal, at: datetime) -> None:
        held = self._held.get(currency, ZERO)
        self._former.setdefault(currency, deque(maxlen=FORMER_KEPT)).append((at, held))
        self._held[currency] = EXACT.add(held, amount)
        self.moves += 1
