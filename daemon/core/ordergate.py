"""OrderGate: what has been ordered lately, and what the next order may therefore be.

Rule: everything counts by the moment the order was made, as the journal has it, so a restart changes nothing. An order counts whole until
it has ended, and from then on with what it traded.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.account import Account
from daemon.core.margin import Margins
from daemon.core.model import CLOSE, EPOCH, VOLUME, ZERO, Bools, Floats, Order, Slice, epoch_ms, from_epoch_ms
from daemon.core.planner_inputs import ONE
from daemon.core.planner_legs import Leg, quote_of, smallest
from daemon.core.risk_orders import Judged, OrderLimits, Situation, judge

MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)  # also the longest bar
UNLIMITED: Final = OrderLimits()

# The arguments of OrderGate.learn, when they are asked for.
Learnt = Callable[[], tuple[tuple[str, ...], Floats, NDArray[np.int64], Bools]]


@dataclass(frozen=True, slots=True)
class Traded:
    """What counts of an order: base units and units of its quote currency."""

    at: datetime
    amount: Decimal
    notional: Decimal


class Traffic:
    """Orders by minute, by UTC day, and by symbol. Time only goes on; memory holds the orders of two days at most."""

    def __init__(self) -> None:
        self._made: deque[datetime] = deque()
        self._symbols: dict[str, str] = {}  # of every order that is remembered
        self._open: dict[str, dict[str, Traded]] = {}  # by symbol and order
        self._ended: dict[str, deque[Traded]] = {}
        self._told: dict[str, Traded] = {}  # by order that has ended, what it had traded then: more may become known
        self._day = EPOCH
        self._in_day: dict[str, Decimal] = {}  # by quote currency

    def made(self, order: Order) -> None:
        """There is an intent."""
        self._turn(order.at)
        self._made.append(order.at)
        self._symbols[order.id] = order.symbol
        counted = Traded(order.at, order.amount, order.amount * order.price)
        self._open.setdefault(order.symbol, {})[order.id] = counted
        self._count(order.symbol, counted.at, counted.notional)

    def ended(self, order_id: str, amount: Decimal, cost: Decimal) -> None:
        """It has ended after trading this much (base units, quote); told again where a trade came later than its end."""
        symbol = self._symbols.get(order_id)
        if symbol is None:
            return
        planned = self._open[symbol].pop(order_id, None)
        counted = planned or self._told[order_id]
        self._count(symbol, counted.at, cost - counted.notional)
        self._told[order_id] = Traded(counted.at, amount, cost)
        if more := amount if planned else amount - counted.amount:
            self._ended.setdefault(symbol, deque()).append(Traded(counted.at, more, cost))

    def in_minute(self, at: datetime) -> int:
        """How many orders were made in the 60 s before `at`."""
        while self._made and self._made[0] <= at - MINUTE:
            self._made.popleft()
        return len(self._made)

    def in_day(self, at: datetime) -> Mapping[str, Decimal]:
        """Worth of the orders of the UTC day of `at`, by quote currency in units of that."""
        self._turn(at)
        return self._in_day

    def since(self, symbol: str, moment: datetime) -> Decimal:
        """Base units of a symbol that were ordered at or after a moment, at most a day ago."""
        ended = self._ended.get(symbol, deque())
        while ended and ended[0].at < moment:
            ended.popleft()
        return sum((each.amount for each in (*ended, *self._open.get(symbol, {}).values()) if each.at >= moment), ZERO)

    def _count(self, symbol: str, at: datetime, notional: Decimal) -> None:
        """So much more was ordered by an order made then."""
        if at >= self._day:
            quote = quote_of(symbol)
            self._in_day[quote] = self._in_day.get(quote, ZERO) + notional

    def _turn(self, at: datetime) -> None:
        """Begin a new day, if there is one."""
        day = at - (at - EPOCH) % DAY
        if day <= self._day:
            return
        self._day, self._in_day = day, {}
        for ended in self._ended.values():
            while ended and ended[0].at < at - DAY:
                ended.popleft()
        for order_id in [order_id for order_id, told in self._told.items() if told.at < at - DAY]:
            del self._told[order_id], self._symbols[order_id]


class OrderGate:
    """Judges each leg right before there is an intent, by what was ordered before it and by the last bars."""

    def __init__(self, limits: OrderLimits) -> None:
        self.limits = limits
        self.traffic = Traffic()
        self._place: dict[str, int] = {}
        self._known = np.zeros((2, 0)), np.zeros(0, np.int64)
        self._to_learn: Learnt | None = None

    def warm(self, slices: Sequence[Slice]) -> None:
        """Take the history: a price is believed by the bars before the start too."""
        if not slices:
            return
        real = np.array([cross_section.age == 0 for cross_section in slices])
        newest = len(slices) - 1 - real[::-1].argmax(axis=0)  # the row of each symbol's last bar, any where there is none
        bars = np.array([slices[row].panel[[CLOSE, VOLUME], column] for column, row in enumerate(newest.tolist())]).T
        closed_at = np.array([epoch_ms(slices[row].closes_at) for row in newest.tolist()])
        self.learn(slices[-1].symbols, bars, closed_at, np.logical_or.reduce(real))

    def judge(self, leg: Leg, account: Account, position: Decimal, equity: Decimal, at: datetime, *, opposing: bool) -> Judged:
        """How much of the leg may be ordered at this moment; `position`, `equity` and `opposing` are those of `Situation`."""
        if self.limits == UNLIMITED and not opposing:
            return Judged(leg.amount)
        close, volume, closed_at = self._bar(leg.symbol)
        market = account.markets[leg.symbol]
        # A currency whose rate is missing counts as it is, as it does in the turnover of a rebalance.
        in_day = sum((amount * (account.rate(quote) or ONE) for quote, amount in self.traffic.in_day(at).items()), ZERO)
        situation = Situation(
            market=market,
            position=position,
            smallest=smallest(market, leg.price),
            equity=equity,
            close=close,
            volume=volume,
            opposing=opposing,
            in_bar=self.traffic.since(leg.symbol, closed_at),
            in_minute=self.traffic.in_minute(at),
            in_day=in_day,
            rate=account.rate(leg.quote) or ONE,
            room=self._room(leg, account),
        )
        return judge(leg, self.limits, situation)

    def _room(self, leg: Leg, account: Account) -> Decimal | None:
        """Base units that leave every position of a swap far enough from its liquidation; None: nobody asks."""
        market, least = account.markets[leg.symbol], self.limits.liquidation_min
        if least is None or leg.reduce_only or not market.shortable:
            return None
        return Margins.of(account, pending=True).room(leg, market, least, self.limits.slippage)

    def take(self, cross_section: Slice) -> None:
        """Remember the close and the volume of every real bar."""
        closed_at = np.full(len(cross_section.symbols), epoch_ms(cross_section.closes_at))
        self.learn(cross_section.symbols, cross_section.panel[[CLOSE, VOLUME]], closed_at, cross_section.age == 0)

    def learn(self, symbols: tuple[str, ...], bars: Floats, closed_at: NDArray[np.int64], real: Bools) -> None:
        """The same in columns: the newest `bars` (close and volume, symbols) with their close times (ms), of the symbols in `real`."""
        known, times = self._newest
        if len(self._place) != len(symbols):
            self._place = {symbol: column for column, symbol in enumerate(symbols)}
            known, times = np.full((2, len(self._place)), np.nan), np.zeros(len(self._place), np.int64)
        self._known = np.where(real, bars, known), np.where(real, closed_at, times)

    def learn_later(self, told: Learnt) -> None:
        """What `learn` would be told, once somebody asks. What an earlier call would have told, and nobody has asked for, it tells too."""
        self._to_learn = told

    @property
    def _newest(self) -> tuple[Floats, NDArray[np.int64]]:
        """Close and volume of every symbol's last real bar (2, symbols), and its close time (ms)."""
        waiting, self._to_learn = self._to_learn, None
        if waiting is not None:
            self.learn(*waiting())
        return self._known

    def closes(self) -> dict[str, float]:
        """The close of every symbol's last real bar."""
        newest = self._newest[0][0].tolist()  # may bring symbols that had no place before
        return {symbol: close for symbol, close in zip(self._place, newest, strict=True) if close == close}

    def volume(self, symbol: str) -> Decimal | None:
        """Base units of a symbol's last real bar; None: there was none."""
        return self._bar(symbol)[1]

    def _bar(self, symbol: str) -> tuple[Decimal | None, Decimal | None, datetime]:
        """Close, volume and close time of a symbol's last real bar."""
        (bars, closed_at), column = self._newest, self._place.get(symbol)
        if column is None:
            return None, None, EPOCH
        close, volume = bars[:, column].tolist()
        if close != close or volume != volume:  # there was none
            return None, None, EPOCH
        return Decimal(repr(close)), Decimal(repr(volume)), from_epoch_ms(int(closed_at[column]))
