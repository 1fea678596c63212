"""The door to ccxt, where a venue counts from 1 again: its numbers are told apart from those that the journal has from before.

Rule: since a journal was rebased on a venue that had forgotten everything, the venue's numbers of orders and trades carry the epoch's own;
a trade from before is in the balances that were taken over, and is not told again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

from daemon.core.model import Fill, Order, OrderReport
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.exchange import AccountNews, Urgency

# Under which the journal keeps the newest.
KEY: Final = "epoch"


@dataclass(frozen=True, slots=True)
class Epoch:
    """The `number`-th time that a venue was taken as it is, a first start being the first, from `began` on by the venue's clock."""

    number: int
    began: datetime

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self | None:
        """The one that a journal is in, by what it keeps; None: the first."""
        number, _, began = values.get(KEY, "").partition(" ")
        return cls(int(number), datetime.fromisoformat(began)) if number else None

    @classmethod
    def after(cls, last: Self | None, began: datetime) -> Self:
        """The next one."""
        return cls(2 if last is None else last.number + 1, began)

    def __str__(self) -> str:
        """As the journal keeps it."""
        return f"{self.number} {self.began.isoformat()}"

    def name(self, number: str) -> str:
        """What a number of the venue is called in the journal; "" stays what it is."""
        return f"{self.number}/{number}" if number else ""

    def fills(self, fills: Sequence[Fill]) -> tuple[Fill, ...]:
        """The trades of this epoch."""
        return tuple(replace(f, venue_id=self.name(f.venue_id), trade_id=self.name(f.trade_id)) for f in fills if f.at >= self.began)

    def report(self, report: OrderReport) -> OrderReport:
        """An order, with its trades of this epoch."""
        return replace(report, venue_id=self.name(report.venue_id), fills=self.fills(report.fills))

    def news(self, item: AccountNews) -> Sequence[AccountNews]:
        """What a user stream tells, if it is of this epoch."""
        match item:
            case Fill():
                return self.fills((item,))
            case OrderReport():
                return (self.report(item),)
            case _:
                return (item,)


class Renumbered(CcxtExchange):
    """The venue in an epoch. Our own ids are the same on both sides of the door."""

    def __init__(self, *given: Any, epoch: Epoch, **named: Any) -> None:
        super().__init__(*given, **named)
        self._epoch = epoch

    async def submit(self, order: Order, urgency: Urgency) -> OrderReport:
        """See Exchange.submit."""
        return self._epoch.report(await super().submit(order, urgency))

    async def order(self, order_id: str, symbol: str) -> OrderReport:
        """See Exchange.order."""
        return self._epoch.report(await super().order(order_id, symbol))

    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        """See Exchange.open_orders."""
        return tuple(map(self._epoch.report, await super().open_orders(symbol)))

    async def trades(self, symbol: str, since: datetime) -> tuple[Fill, ...]:
        """See Exchange.trades."""
        return self._epoch.fills(await super().trades(symbol, since))

    async def watch_account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        """See Exchange.watch_account."""

        def told(item: AccountNews) -> None:
            for each in self._epoch.news(item):
                sink(each)

        await super().watch_account(told, connected)
