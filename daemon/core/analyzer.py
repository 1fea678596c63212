"""Analyzer: what the portfolio and its markets did, measured as it happens.

Rule: it only listens. A slice is kept when it closes and measured at the next tick of the clock, so that no order waits for statistics, or
before the first trade after it, so that the holdings are those of the close. Memory does not grow with time. The market is known from the
warm-up on, the account from `since`: a restart begins a new account.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np

from daemon.core.account import Account
from daemon.core.allocation import bars_a_year
from daemon.core.analyzer_books import Books, Trade
from daemon.core.analyzer_market import CorrelationWatch, Market
from daemon.core.analyzer_report import Analysis, Period, SleeveState, analyse
from daemon.core.analyzer_sleeves import SleeveBooks, Stake
from daemon.core.curves import Curves
from daemon.core.events import (
    CorrelationCalmed,
    CorrelationHigh,
    FlowBooked,
    OrderFilled,
    SleevesBooked,
    SliceClosed,
    TargetsChosen,
    TimePassed,
    WaveSettled,
)
from daemon.core.ledger import POSITION
from daemon.core.model import Decision, Fill, Floats, Money, Slice, currencies
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import UNASSIGNED, UNPAID
from daemon.core.risk import Moments

# Slices that wait to be measured: the clock ticks ten times a second, so more than one waits only while history is caught up with.
PENDING_MAX: Final = 64
# Decisions whose closes are remembered for the delay of their fills; a wave ends or is superseded within a few of them.
DECISIONS_MAX: Final = 8


Watched = CorrelationHigh | CorrelationCalmed


class Analyzer:
    """Listens to slices, fills, flows and waves; answers `report`, and the limits, to whom it is the market.

    `slippage`: what a simulated venue's fills cost beyond the price of the moment, a
    fraction; there the price at the order is not the last one before it, since the next bar's open may lie apart. `jump`: see the watch.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        timeframe: timedelta,
        account: Account,
        table: OrderTable,
        curves: Curves,
        *,
        jump: float,
        slippage: float | None = None,
    ) -> None:
        self.market = Market(len(symbols), CorrelationWatch(jump))
        self.books = Books(len(symbols))
        self.sleeves = SleeveBooks(curves.portfolio)
        self.since: datetime | None = None
        self.fees_elsewhere: dict[str, float] = {}
        self.symbols = tuple(symbols)
        self._column = {symbol: column for column, symbol in enumerate(symbols)}
        self._of_base = {currencies(symbol)[0]: symbol for symbol in symbols}
        self._timeframe = timeframe
        self._account, self._table = account, table
        self.portfolio, self.curves = curves.portfolio, curves
        self._slippage = slippage
        self._skims = self._idles = False
        self._pending: list[Slice] = []
        self._decided: dict[str, Floats] = {}
        self._judged = 0
        self._told = False  # whether the last that was told of the watch was that it is high
        self._history_since: datetime | None = None
        self._as_of: datetime | None = None

    # --- what happens ------------------------------------------------------------------------------------------------

    def warm(self, slices: Sequence[Slice]) -> None:
        """Take the history before the first `on_slice`."""
        if self._skims and slices:
            self.skim(np.array([cross_section.close for cross_section in slices]))
            return
        self.market.extend(cross_section.close for cross_section in slices)
        if slices:
            self._history_since = self._history_since or slices[0].closes_at
            self._as_of = slices[-1].closes_at

    def restore(self, *, high: bool) -> None:
        """Go on after a restart, with what the watch has said last. Before `warm`."""
        self.market.watch.restore(high=high)
        self._told = high

    def resume(self, decision: Decision, targets: Mapping[str, float]) -> None:
        """Go on after a restart: what was wanted last is in force."""
        self.books.follow(decision, targets, self.symbols)

    def on_slice(self, event: SliceClosed) -> Iterable[Watched]:
        """Keep the slice for the next tick."""
        if self._idles:
            return ()
        self._pending.append(event.slice)
        return self._measure(event.at) if len(self._pending) >= PENDING_MAX else ()

    def spare(self, *, measured: bool) -> None:
        """Keep from here on only what the limits ask of the newest slices: there is no report, and no watch. `measured`: they ask it."""
        self._digest()
        self._skims, self._idles = True, not measured

    def skim(self, closes: Floats) -> None:
        """Take slices (times, symbols) for that."""
        if not self._idles:
            self._digest()
            self.market.skim(closes)

    def on_time(self, event: TimePassed) -> Iterable[Watched]:
        """Measure what has closed since the last tick."""
        return self._measure(event.at)

    def on_targets(self, event: TargetsChosen) -> Iterable[Watched]:
        """Remember the prices of a decision, for the delay of its fills."""
        newest = self._pending[-1].close if self._pending else self.market.last
        self._decided[event.decision.id] = newest
        while len(self._decided) > DECISIONS_MAX:
            del self._decided[next(iter(self._decided))]
        return ()

    def on_settled(self, event: WaveSettled) -> Iterable[Watched]:
        """These targets are in force now."""
        self.books.follow(event.decision, event.targets, self.symbols)
        return ()

    def on_fill(self, event: OrderFilled) -> Iterable[Watched]:
        """Book what a trade moved and cost; somebody else's moves the holding, but is no turnover of ours. Before the ledger does."""
        self._digest()
        fill, column = event.fill, self._column.get(event.fill.symbol)
        if column is None or not self.books.begun or self._skims:
            return ()
        rate = self._rate(fill.symbol)
        self.books.pay(column, fill.side.sign * float(fill.cost) * rate)
        fee = sum(self._fee(column, fill, money) for money in fill.fees)
        tracked = self._table.get(fill.order_id, fill.symbol, fill.venue_id)
        if tracked is not None:
            decided = self._decided.get(tracked.order.decision_id)
            arrival = self._arrival(fill, float(tracked.order.price)) * rate
            known = decided is not None and decided[column] == decided[column]
            sign, amount, cost = fill.side.sign, float(fill.amount), float(fill.cost) * rate
            at_decision = float(decided[column]) * rate if known and decided is not None else arrival
            self.books.trade(Trade(column, sign, amount, cost, fee, arrival, at_decision))
        return ()

    def on_flow(self, event: FlowBooked) -> Iterable[Watched]:
        """What comes or goes without a trade is no profit. Quote needs no word: equity before the bar's profit counts it. As `on_fill`."""
        self._digest()
        flow = event.flow
        if flow.symbol and flow.kind != POSITION:  # what a position has paid is its cost, like a fee
            if self.books.begun and flow.symbol in self._column:
                self.books.pay(self._column[flow.symbol], -self._worth(flow.amount, flow.currency))
            return ()
        symbol = self._of_base.get(flow.currency)
        if self.books.begun:
            self.sleeves.pay(UNASSIGNED, self._worth(flow.amount, flow.currency))
        if symbol is not None and self.books.begun:
            self.books.pay(self._column[symbol], float(flow.amount) * self._price(symbol))
        return ()

    def on_booked(self, event: SleevesBooked) -> Iterable[Watched]:
        """What one sleeve gives another is paid to it, unless they trade. Before the portfolio counts it."""
        self._digest()
        for entry in event.booking.entries if event.booking.kind not in UNPAID and self.books.begun else ():
            self.sleeves.pay(entry.sleeve, self._worth(entry.amount, entry.currency))
        return ()

    # --- the arithmetic ----------------------------------------------------------------------------------------------

    def _fee(self, column: int, fill: Fill, fee: Money) -> float:
        """What a fee is worth in quote; it counts against the symbol that was traded, whatever it was paid in."""
        base, quote = currencies(fill.symbol)
        rate = self._rate(fill.symbol)
        if fee.currency == base:
            return float(fee.amount * fill.price) * rate  # the holding is smaller by it already
        elsewhere = self._of_base.get(fee.currency)
        if fee.currency != quote and elsewhere is None:
            self.fees_elsewhere[fee.currency] = self.fees_elsewhere.get(fee.currency, 0.0) + float(fee.amount)
            return 0.0
        worth = float(fee.amount) * (rate if elsewhere is None or fee.currency == quote else self._price(elsewhere))
        self.books.pay(column, worth)
        if fee.currency != quote and elsewhere is not None:
            self.books.pay(self._column[elsewhere], -worth)
        return worth

    def _arrival(self, fill: Fill, reference: float) -> float:
        if self._slippage is None:
            return reference
        return float(fill.cost / fill.amount) / (1.0 + fill.side.sign * self._slippage)

    def _price(self, symbol: str) -> float:
        """What a unit of a symbol's base is worth in the account's currency."""
        return float(self._account.worth(symbol))

    def _worth(self, amount: Decimal, currency: str) -> float:
        """What an amount of any currency is worth; 0 of one that is no part of the equity."""
        symbol = self._of_base.get(currency)
        return float(amount) * (self._price(symbol) if symbol is not None else float(self._account.rate(currency) or 0))

    def _rate(self, symbol: str) -> float:
        """What a unit of a symbol's quote is worth in the account's currency."""
        return float(self._account.rate(currencies(symbol)[1]) or 0)

    def _measure(self, at: datetime) -> Iterable[Watched]:
        self._watch()
        state, self._told = self.market.watch.state, self._told
        if state.high == self._told:
            return ()
        self._told = state.high
        return ((CorrelationHigh if state.high else CorrelationCalmed)(state.short, state.long, at),)

    def _watch(self) -> None:
        """Measure what has closed, and have the watch judge it: of slices that were caught up with, only the newest."""
        self._digest()
        news, self._judged = self._judged < self.market.bars, self.market.bars
        if news and self.market.full and not self._skims:
            self.market.watch.judge(self.market.window())

    def _digest(self) -> None:
        waiting, self._pending = self._pending, []
        if self._skims and waiting:
            self.market.skim(np.array([cross_section.close for cross_section in waiting]))
            return
        for cross_section in waiting:
            closes = cross_section.close
            moves = self.market.step(closes)
            self._history_since = self._history_since or cross_section.closes_at
            self._as_of = cross_section.closes_at
            self._book(closes, moves)

    def _value(self, symbol: str, held: float, close: float) -> float:
        """What a holding is worth at a close; where there is none (NaN), at its last price."""
        if not held:
            return 0.0
        return held * (close * self._rate(symbol) if close == close else self._price(symbol))

    def _book(self, closes: Floats, moves: Floats) -> None:
        account = self._account
        if not self.books.begun and (account.unvalued or account.equity() <= 0):
            return
        held = [float(account.held(symbol)) for symbol in self.symbols]
        values = np.array([self._value(*each) for each in zip(self.symbols, held, closes.tolist(), strict=True)])
        stakes = self._stakes(closes)
        if self.books.begun:
            self.sleeves.close(stakes, self.books.close(values, float(account.cash), moves))
        else:
            self.books.begin(values, float(account.cash))
            self.sleeves.begin(stakes)
            self.since = self._as_of

    def _stakes(self, closes: Floats) -> dict[str, Stake]:
        """What every sleeve holds at these closes."""
        values: dict[str, Floats] = {}
        cash: dict[str, float] = {}
        for (sleeve, currency), amount in self.portfolio.holdings().items():
            row = values.setdefault(sleeve, np.zeros(len(self.symbols)))
            symbol = self._of_base.get(currency)
            if symbol is not None:
                row[self._column[symbol]] = self._value(symbol, float(amount), float(closes[self._column[symbol]]))
            else:
                cash[sleeve] = cash.get(sleeve, 0.0) + self._worth(amount, currency)
        return {sleeve: Stake(row, cash.get(sleeve, 0.0)) for sleeve, row in values.items()}

    # --- what can be said --------------------------------------------------------------------------------------------

    @property
    def high(self) -> bool:
        """Whether the correlation watch, as of the newest slice, has fired and not calmed."""
        self._watch()
        return self.market.watch.state.high

    def moments(self, symbols: Sequence[str]) -> Moments:
        """How these symbols have moved over the window, as of the newest slice; nothing while that has fewer returns than the short one."""
        self._digest()
        return self.market.moments(np.array([self._column[symbol] for symbol in symbols], np.int64), bars_a_year(self._timeframe))

    def report(self) -> Analysis:
        """Everything at the newest slice. The watch is left to the clock, whose events are heard."""
        self._digest()
        period = Period(self.since, self._history_since, self._as_of)
        return analyse(self.symbols, self._timeframe, self.market, self.books, self._sleeves(), period, self.fees_elsewhere)

    def _sleeves(self) -> list[SleeveState]:
        """Each sleeve, with what its own curve says of it."""
        names = self.sleeves.names
        values = self.sleeves.values(names, len(self.symbols))
        found = []
        for name, row in zip(names, values, strict=True):
            curve, dealt = self.curves.of(name), self.sleeves.dealings(name)
            made = self.sleeves.profit.get(name, 0.0), self.sleeves.contribution.get(name, 0.0)
            found.append(SleeveState(name, curve, *made, float(dealt.traded), float(dealt.crossed), row))
        return found
