"""StoredVenue: the paper account in front of stored bars. An order fills at the first price after it: the next bar's open.

Rule: it is the one place of a backtest that looks at a bar before its close, and what it tells of it is the fill of an order that was made
before that bar began. The account itself is core.paper, the same that mode paper trades on.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from daemon.core.events import Event, OrderFilled, OrderNotFound, OrderRefused, OrderReported, OrderSent, PriceTicked
from daemon.core.model import OPEN, AccountSnapshot, Instrument, Order, OrderReport, epoch_ms
from daemon.core.paper import Denied, PaperAccount
from daemon.research.bars import Bars


class StoredVenue:
    """Answers at once and for certain. An order whose symbol has no bar next (a halt, a gap) waits for the open of the one after."""

    def __init__(self, account: PaperAccount, markets: Mapping[str, Instrument], bars: Bars) -> None:
        self.markets = markets
        self._account = account
        self._bars = bars
        self._length_ms = bars.timeframe // timedelta(milliseconds=1)
        self._waiting: set[str] = set()  # symbols with open orders

    @property
    def waiting(self) -> int:
        """Orders that have found no price yet."""
        return len(self._account.open_orders())

    def snapshot(self, at: datetime) -> AccountSnapshot:
        """The account as a poll sees it."""
        return AccountSnapshot(self._account.balances, self._account.open_orders(), at, at)

    def submit(self, order: Order, at: datetime) -> Iterator[Event]:
        """Take an order, and fill it if its symbol's next bar opens now."""
        yield OrderSent(order.id, at)
        try:
            report = self._account.submit(order, self.markets[order.symbol], at)
        except Denied as denied:
            yield OrderRefused(order.id, denied.code, str(denied), at)
            return
        price = self._open(order.symbol, at)
        if price is None:
            self._waiting.add(order.symbol)
            yield OrderReported(report, "answer", at)
        else:
            yield from self._matched(order.symbol, price, at)

    def opened(self, at: datetime) -> Iterator[Event]:
        """Fill what has waited for a price, at the bars that open now. Prices are told first, since fills release more orders."""
        if not self._waiting:
            return
        opens = {symbol: self._open(symbol, at) for symbol in self._bars.symbols}
        for symbol, price in opens.items():
            if price is not None:
                yield PriceTicked(symbol, price, at)
        for symbol in sorted(self._waiting):
            price = opens[symbol]
            if price is not None:
                self._waiting.discard(symbol)
                yield from self._matched(symbol, price, at)

    def cancel(self, order_id: str, symbol: str, at: datetime) -> Iterator[Event]:
        """End an open order, then say how it ended."""
        self._account.cancel(order_id, self.markets[symbol], at)
        if all(report.symbol != symbol for report in self._account.open_orders()):
            self._waiting.discard(symbol)
        return self.query(order_id, at)

    def query(self, order_id: str, at: datetime) -> Iterator[Event]:
        """What became of an order."""
        report = self._account.order(order_id)
        yield OrderReported(report, "query", at) if report is not None else OrderNotFound(order_id, at, at)

    def trades(self, symbol: str, since: datetime, at: datetime) -> Iterator[Event]:
        """The trades in one symbol since a moment."""
        return (OrderFilled(fill, at) for fill in self._account.trades(symbol, since))

    def _open(self, symbol: str, at: datetime) -> float | None:
        """The open of the bar that begins at a moment, if the symbol has one."""
        series, closes = self._bars.series[symbol], epoch_ms(at) + self._length_ms
        row = int(np.searchsorted(series.closes, closes))
        return float(series.values[row, OPEN]) if row < len(series.closes) and series.closes[row] == closes else None

    def _matched(self, symbol: str, price: float, at: datetime) -> Iterator[Event]:
        for report in self._account.match(self.markets[symbol], Decimal(repr(price)), at):
            if not report.filled:
                yield PriceTicked(symbol, price, at)  # what it found too far away is what another order starts from
            yield from _told(report, at)


def _told(report: OrderReport, at: datetime) -> Iterator[Event]:
    """Trades first, so that an order which has ended has them all when its end is told."""
    yield from (OrderFilled(fill, at) for fill in report.fills)
    yield OrderReported(report, "answer", at)
