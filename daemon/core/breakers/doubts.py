"""Doubts: what nobody knows about our own affairs for too long: orders whose fate is open, differences that nothing explains.

Rule: each doubt restricts its own symbol by itself; here is judged whether it has become more than that.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from daemon.core.account import Account
from daemon.core.breakers.breaker import Breaker, Change
from daemon.core.breakers.rules import Code, DriftRule, Rule
from daemon.core.model import ZERO, Order, currencies
from daemon.core.ordertable import OrderTable, State
from daemon.core.resolver import BY_HAND
from daemon.core.states import States

# A deposit stands as a difference until quiet polls have seen it: half a minute, or two where the daemon trades every ten seconds.
EXPLAINED: Final = timedelta(minutes=5)


class UnknownOrders:
    """Trips when an order has been in doubt for `limit` seconds of this process."""

    def __init__(self, rule: Rule, states: States, table: OrderTable) -> None:
        self.breaker = Breaker(Code.UNKNOWN_ORDER, rule, states)
        self._table = table

    def on_time(self, at: datetime) -> Iterator[Change]:
        """Look at the order that has been in doubt for longest."""
        doubted = [(t.doubted_at or t.order.at, t.order) for t in self._table if t.state is State.UNKNOWN]
        since, order = min(doubted, key=lambda each: each[0], default=(at, None))
        age_s = (at - since).total_seconds() if order is not None else 0.0
        yield from self.breaker.read(age_s, at, lambda: _unresolved(order, age_s))


def _unresolved(order: Order | None, age_s: float) -> str:
    order_id = "" if order is None else order.id
    return f"nobody knows what became of order {order_id} since {age_s:.0f} s; {BY_HAND.format(order_id)}"


class Drifts:
    """Trips when there is a difference for too long, or when those that are no passing deposit are too many or too large.

    A difference counts from its first sight on a quiet account, also where it changes from poll to poll and is never found to be drift.
    """

    def __init__(self, rule: DriftRule, states: States, account: Account) -> None:
        self.breaker = Breaker(Code.DRIFT, rule, states)
        self._rule = rule
        self._account = account
        self._since: dict[str, datetime] = {}
        self._amounts: Mapping[str, Decimal] = {}

    def compared(self, differences: Mapping[str, Decimal], at: datetime, *, quiet: bool) -> None:
        """Account less ledger by currency, where it is not 0; on an account that moves a difference says nothing."""
        if quiet or not differences:
            self._since = {currency: self._since.get(currency, at) for currency in differences}
            self._amounts = differences

    def on_time(self, at: datetime) -> Iterator[Change]:
        """Look how long they have stood, how many and how large they are."""
        standing = {c: at - since for c, since in self._since.items() if at - since >= EXPLAINED}
        oldest_s = max((at - since for since in self._since.values()), default=timedelta(0)).total_seconds()
        limit = self._rule.limit
        many = len(standing) > self._rule.currencies
        large = self._share(standing) >= self._rule.share
        value = max(oldest_s, limit) if many or large else oldest_s
        yield from self.breaker.read(value, at, lambda: self._says(oldest_s))

    def _share(self, standing: Mapping[str, timedelta]) -> float:
        """Worth of the differences, as a share of equity; 0 where that is not known."""
        if not standing:
            return 0.0
        equity = self._account.equity()
        worth = sum((abs(self._amounts[c]) * self._price(c) for c in standing), ZERO)
        return float(worth / equity) if equity > 0 else 0.0

    def _price(self, currency: str) -> Decimal:
        if currency in self._account.quotes:
            return self._account.rate(currency) or ZERO
        return next((self._account.worth(s) for s in self._account.markets if currencies(s)[0] == currency), ZERO)

    def _says(self, oldest_s: float) -> str:
        named = ", ".join(sorted(self._since))
        return f"the account differs from the books in {named}, and nothing has explained it for {oldest_s:.0f} s"
