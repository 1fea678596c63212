"""StoredVenue: the paper account in front of stored bars. An order fills in the next bar, by default at its open, the first price after it.

Rule: it is the one place of a backtest that looks at a bar before its close, and what it tells of it is the fill of an order that was made
before that bar began. The account itself is core.paper, the same that mode paper trades on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from daemon.core.events import (
    Event,
    FlowBooked,
    FundingTold,
    MarkTicked,
    OrderFilled,
    OrderNotFound,
    OrderRefused,
    OrderReported,
    OrderSent,
    PriceTicked,
)
from daemon.core.funding import FundingRate
from daemon.core.ledger import FUNDING
from daemon.core.liquidation import Takeover
from daemon.core.model import OPEN, VOLUME, ZERO, AccountSnapshot, Flow, Instrument, Order, OrderReport, epoch_ms
from daemon.core.paper import Denied, Depth, PaperAccount
from daemon.core.paper_orders import Deal, Draft
from daemon.core.planner_legs import Leg
from daemon.research.bars import Bars
from daemon.research.upkeep import NONE, Dues, Upkeep

MEAN_DIGITS: Final = 10  # significant ones: finer than any exchange's prices


@dataclass(frozen=True, slots=True)
class Terms:
    """How bars fill orders: at their mean (`twap`) instead of their open; `impact` and `volume_max` as the configuration has them."""

    twap: bool = False
    impact: Decimal = ZERO
    volume_max: Decimal | None = None


@dataclass(slots=True)
class Taken:
    """What orders have taken of a bar's volume (base units), the bar being known by its row."""

    row: int
    amount: Decimal = ZERO


class StoredVenue:
    """Answers at once and for certain.

    An order whose symbol has no bar next (a halt, a gap), or none with volume left for it, waits for the one after.
    """

    def __init__(
        self, account: PaperAccount, markets: Mapping[str, Instrument], bars: Bars, upkeep: Upkeep = NONE, terms: Terms = Terms()
    ) -> None:
        self.markets = markets
        self._account = account
        self._bars = bars
        self._length_ms = bars.timeframe // timedelta(milliseconds=1)
        self._first = {symbol: int(each.closes[0]) if len(each.closes) else 0 for symbol, each in bars.series.items()}
        self._terms = terms
        self._taken: dict[str, Taken] = {}
        self._dues = Dues(upkeep, bars)
        self._expected: dict[str, FundingRate] = {}
        self._waiting: set[str] = set()  # symbols with open orders
        self.taken: list[tuple[datetime, Takeover]] = []  # positions that were liquidated

    @property
    def waiting(self) -> int:
        """Orders that have found no price yet."""
        return self._account.open_count

    @property
    def takes_all(self) -> bool:
        """Whether a bar fills any order, at a price that none of them moves, and for a fee that what was traded before does not change."""
        return self._terms.volume_max is None and not self._terms.impact and not self._account.tiered

    def draft(self) -> Draft:
        """What trades of a wave are written on, as of the account."""
        return self._account.draft()

    def keep(self, draft: Draft) -> None:
        """Have them count."""
        self._account.keep(draft)

    def trade(self, legs: Sequence[Leg], at: datetime, draft: Draft) -> list[Deal] | None:
        """`submit` in one with what comes of it, where the bars that open now fill these orders whole; None: they do not."""
        prices, closes = [], epoch_ms(at) + self._length_ms
        for leg in legs:
            row = self._row_of(leg.symbol, closes)
            if row is None:
                return None
            prices.append(self._price(leg.symbol, row))
        return self._account.trade(legs, self.markets, prices, at, draft)

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
        row = self._row(order.symbol, at)
        if row is None or not self._depth(report, row).amount:
            self._waiting.add(order.symbol)
            yield OrderReported(report, "answer", at)
        else:
            yield from self._matched(order.symbol, row, at)

    def opened(self, at: datetime) -> Iterator[Event]:
        """Fill what has waited for a price, at the bars that open now. Prices are told first, since fills release more orders."""
        if not self._waiting:
            return
        rows = {symbol: self._row(symbol, at) for symbol in self._bars.symbols}
        for symbol, row in rows.items():
            if row is not None:
                yield PriceTicked(symbol, float(self._bars.series[symbol].values[row, OPEN]), at)
        for symbol in sorted(self._waiting):
            row = rows[symbol]
            if row is not None:
                self._waiting.discard(symbol)
                yield from self._matched(symbol, row, at)

    def settled(self, until: datetime) -> Iterator[Event]:
        """Pay what funding has become due until a moment, by the positions of now."""
        for at, symbol, rate in self._dues.settlements(until):
            market = self.markets[symbol]
            held = self._account.held(market.base)
            if held:
                paid = self._dues.payment(symbol, held, rate, at)
                self._account.pay(market.quote, paid)
                yield FlowBooked(Flow(f"{FUNDING}-{symbol}-{epoch_ms(at)}", market.quote, paid, FUNDING, at, symbol), at)

    def marked(self, at: datetime) -> Iterator[Event]:
        """The mark prices of a close, and the funding that it lets expect."""
        for symbol, expected in self._dues.expected(at):
            if self._expected.get(symbol) != expected:
                self._expected[symbol] = expected
                yield FundingTold(symbol, expected, at)
        yield from (MarkTicked(symbol, price, at) for symbol, price in self._dues.marks(at))

    def liquidated(self, at: datetime) -> Iterator[Event]:
        """Take over positions that are not covered any more at the marks of a close, until what is left is."""
        while (taken := self._account.due(self.markets.values(), lambda symbol: self._dues.mark(symbol, at))) is not None:
            self.taken.append((at, taken))
            for report in self._account.take_over(taken, at):
                yield from _told(report, at)

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

    def _row(self, symbol: str, at: datetime) -> int | None:
        """The row of the bar that begins at a moment, if the symbol has one."""
        return self._row_of(symbol, epoch_ms(at) + self._length_ms)

    def _row_of(self, symbol: str, moment: int) -> int | None:
        """The row of the bar that closes at a moment (UTC ms)."""
        closes = self._bars.series[symbol].closes
        row = (moment - self._first[symbol]) // self._length_ms  # as long as none is missing
        if 0 <= row < len(closes) and closes.item(row) == moment:
            return row
        row = int(closes.searchsorted(moment))
        return row if row < len(closes) and closes.item(row) == moment else None

    def _depth(self, report: OrderReport, row: int) -> Depth:
        """How much of an order the bar takes, and how far that moves it: in proportion to the bar's volume, of which it is all at most."""
        if self._terms.volume_max is None and not self._terms.impact:
            return Depth(report.amount)
        volume, amount = Decimal(repr(float(self._bars.series[report.symbol].values[row, VOLUME]))), report.amount
        if self._terms.volume_max is not None:
            taken = self._taken.get(report.symbol)
            left = volume * self._terms.volume_max - (taken.amount if taken is not None and taken.row == row else ZERO)
            lot = self.markets[report.symbol].lot
            amount = min(amount, max(left, ZERO) // lot * lot)
        share = min(float(amount) / float(volume), 1.0) if volume else 1.0
        return Depth(amount, Decimal(f"{float(self._terms.impact) * share:.6f}"))

    def _matched(self, symbol: str, row: int, at: datetime) -> Iterator[Event]:
        price = self._price(symbol, row)

        def depth(report: OrderReport) -> Depth:
            return self._depth(report, row)

        for report in self._account.match(self.markets[symbol], price, at, depth=depth):
            self._take(report, row)
            if not report.filled:
                yield PriceTicked(symbol, float(price), at)  # what it found too far away is what another order starts from
            yield from _told(report, at)
        if any(report.symbol == symbol for report in self._account.open_orders()):
            self._waiting.add(symbol)

    def _price(self, symbol: str, row: int) -> Decimal:
        """At what a bar fills orders."""
        bars = self._bars.series[symbol].values
        if not self._terms.twap:
            return Decimal(repr(bars.item(row, OPEN)))
        # A mean has as many digits as a float, and the account, kept exactly, would carry them for ever.
        return Decimal(repr(float(f"{bars[row, :VOLUME].mean():.{MEAN_DIGITS}g}")))

    def _take(self, report: OrderReport, row: int) -> None:
        taken = self._taken.get(report.symbol)
        if taken is None or taken.row != row:
            taken = self._taken[report.symbol] = Taken(row)
        taken.amount += report.filled


def _told(report: OrderReport, at: datetime) -> Iterator[Event]:
    """Trades first, so that an order which has ended has them all when its end is told."""
    yield from (OrderFilled(fill, at) for fill in report.fills)
    yield OrderReported(report, "answer", at)
