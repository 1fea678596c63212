"""Books: the simulated venue itself, exact to the last digit, and the only witness of what really happened.

Rule: what is booked follows from what arrives, from the prices and from the manner of the moment; how it is told is the door's affair.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from math import exp
from random import Random
from typing import Final

from daemon.core.model import ZERO, Balance, Bar, Fill, Instrument, Money, Order, OrderReport, Side, Status, currencies
from daemon.core.styles import Touch
from daemon.io.exchange import AccountNews, Reason, Refused
from tests.sim.swarm.faults import Kind

MOVE: Final = 0.006  # standard deviation of the move from bar to bar
FEE: Final = Decimal("0.001")
SLIP_MAX: Final = Decimal("0.003")  # a market order pays so much beside the price at most; the planner allows for 0.5 %
TICK: Final = Decimal("1e-10")  # so that no sum needs more than the 28 digits that Decimal keeps
HALF_SPREAD: Final = Decimal("0.0005")
LOCK: Final = Decimal("1.004")  # what an open buy locks, of its worth
SEEN: Final = timedelta(minutes=10)  # more than any answer lags

Later = Callable[[float, Callable[[], object]], None]


class Prices:
    """A random walk for each symbol, in bars, as far as it is asked for."""

    def __init__(self, seed: int, symbols: Sequence[str], begin: datetime, length: timedelta) -> None:
        self.length = length
        self._begin = begin
        self._chance = {symbol: Random(f"{seed}/prices/{symbol}") for symbol in symbols}
        self._rows: dict[str, list[Bar]] = {symbol: [] for symbol in symbols}
        self._told: dict[str, tuple[datetime, Decimal]] = {}  # the newest, since a moment's is asked for many times

    def _bars(self, symbol: str, rows: int) -> list[Bar]:
        """At least so many bars, and those behind them as far as they were made."""
        bars, chance = self._rows[symbol], self._chance[symbol]
        price = bars[-1].close if bars else chance.choice([0.0123, 1.07, 98.5, 31000.0])
        for row in range(len(bars), rows):
            close = float(f"{price * exp(chance.gauss(0.0, MOVE)):.6g}")
            bars.append(Bar(symbol, self._begin + (row + 1) * self.length, price, max(price, close), min(price, close), close, 1.0))
            price = close
        return bars

    def _row(self, moment: datetime) -> int:
        return (moment - self._begin) // self.length

    def closed(self, symbol: str, until: datetime) -> Sequence[Bar]:
        """All bars that have closed, oldest first."""
        row = self._row(until)
        return self._bars(symbol, row)[:row]

    def at_close(self, symbol: str, closes_at: datetime) -> Bar:
        """The bar with this close."""
        row = self._row(closes_at)
        return self._bars(symbol, row)[row - 1]

    def forming(self, symbol: str, now: datetime) -> Bar:
        """The bar that forms, as it stands."""
        row = self._row(now)
        bar = self._bars(symbol, row + 1)[row]
        price = float(self.now(symbol, now))
        return replace(bar, high=max(bar.open, price), low=min(bar.open, price), close=price, volume=0.5)

    def now(self, symbol: str, now: datetime) -> Decimal:
        """The price of this moment, between open and close of the bar that forms."""
        known = self._told.get(symbol)
        if known is None or known[0] != now:
            row = self._row(now)
            bar = self._bars(symbol, row + 1)[row]
            done = 1 - (bar.closes_at - now) / self.length
            known = self._told[symbol] = now, Decimal(f"{bar.open + (bar.close - bar.open) * done:.8g}")
        return known[1]


@dataclass(slots=True)
class Booked:
    """An order as the venue has it; `past` is its whole history: moment, status, number of trades."""

    id: str
    venue_id: str
    symbol: str
    side: Side
    amount: Decimal
    worst: Decimal
    at: datetime
    ours: bool
    rests: bool = False  # in the book, at its limit
    made_at: datetime | None = None  # what the venue says, where that is not `at`
    reduce_only: bool = False  # of a swap
    status: Status = Status.OPEN
    trades: list[Fill] = field(default_factory=list)
    past: list[tuple[datetime, Status, int]] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        """Base units filled so far."""
        return sum((trade.amount for trade in self.trades), ZERO)

    def seen(self, moment: datetime) -> tuple[Status, int] | None:
        """Status and number of trades at a moment; None: it did not exist yet."""
        row = bisect_right(self.past, moment, key=lambda entry: entry[0])
        return self.past[row - 1][1:] if row else None

    def stood(self, moment: datetime) -> bool:
        """Whether it stood open at a moment; what ended before it did not."""
        last_at, last, _ = self.past[-1]
        if last_at <= moment:
            return last is Status.OPEN
        seen = self.seen(moment)
        return seen is not None and seen[0] is Status.OPEN

    def report(self, moment: datetime, *, fills: bool) -> OrderReport | None:
        """What the venue says of it as of a moment."""
        seen = self.seen(moment)
        if seen is None:
            return None
        trades = self.trades[: seen[1]]
        return OrderReport(
            order_id=self.id,
            venue_id=self.venue_id,
            symbol=self.symbol,
            side=self.side,
            status=seen[0],
            amount=self.amount,
            filled=sum((trade.amount for trade in trades), ZERO),
            cost=sum((trade.cost for trade in trades), ZERO),
            at=moment,
            fills=tuple(trades) if fills else (),
            made_at=self.made_at or self.at,
        )

    def locks(self, moment: datetime) -> tuple[str, Decimal]:
        """Currency and amount that it holds locked as of a moment."""
        base, quote = currencies(self.symbol)
        seen = self.seen(moment)
        rest = ZERO
        if seen is not None and seen[0] is Status.OPEN:
            rest = self.amount - sum((trade.amount for trade in self.trades[: seen[1]]), ZERO)
        return (base, rest) if self.side is Side.SELL else (quote, rest * self.worst)


class Books:
    """Balances, orders, trades. `arrivals` counts how often each id of ours has arrived."""

    def __init__(self, seed: int, markets: Mapping[str, Instrument], opening: Mapping[str, Decimal], prices: Prices, later: Later) -> None:
        self.markets = dict(markets)
        self.prices = prices
        self.balances = dict(opening)
        self.opening = dict(opening)
        self.orders: dict[str, Booked] = {}
        self.by_number: dict[tuple[str, str], Booked] = {}  # by symbol and the venue's own id
        self._late: list[Booked] = []
        self.trades: list[Fill] = []
        self.arrivals: dict[str, int] = {}
        self.moved: list[tuple[datetime, str, Decimal]] = []
        self.transfers: dict[str, Decimal] = {}
        self.listeners: list[Callable[[AccountNews], None]] = []
        self.on_fill: Callable[[Booked, Fill], None] = lambda _booked, _fill: None
        self.foreign_hands = False
        self._seed = seed
        self._later = later
        self._numbers = 0

    def _number(self) -> str:
        self._numbers += 1
        return str(self._numbers)

    # --- orders ------------------------------------------------------------------------------------------------------

    def arrive(self, order: Order, manner: Kind | None, now: datetime) -> Booked:
        """Book an order of ours and fill of it what is to be filled at once. Refused: it is not booked."""
        self.arrivals[order.id] = self.arrivals.get(order.id, 0) + 1
        market = self.markets[order.symbol]
        if order.amount % market.amount_step:
            raise Refused("Filter failure: LOT_SIZE", Reason.FILTER)
        price = self.prices.now(order.symbol, now)
        if order.post_only and order.limit is not None and order.side.sign * (order.limit - price) >= 0:
            raise Refused("Order would immediately match and take.", Reason.WOULD_CROSS)
        return self.book(
            order.id,
            order.symbol,
            order.side,
            order.amount,
            manner,
            now,
            limit=order.limit,
            rests=order.post_only,
            reduce_only=order.reduce_only,
        )

    def touch(self, symbol: str, now: datetime) -> Touch:
        """The best bid and ask of this moment."""
        price, tick = self.prices.now(symbol, now), self.markets[symbol].price_tick
        bid = (price * (1 - HALF_SPREAD) / tick).to_integral_value(ROUND_FLOOR) * tick
        return Touch(symbol, bid, max((price * (1 + HALF_SPREAD)).quantize(tick), bid + tick), now)

    def book(
        self,
        order_id: str,
        symbol: str,
        side: Side,
        amount: Decimal,
        manner: Kind | None,
        now: datetime,
        *,
        ours: bool = True,
        limit: Decimal | None = None,
        rests: bool = False,
        reduce_only: bool = False,
    ) -> Booked:
        """Book an order of anybody. With a `limit` it trades within it and ends, or waits for it in the book (`rests`)."""
        price = self.prices.now(symbol, now)
        worst = limit if limit is not None else (price * LOCK).quantize(TICK) if side is Side.BUY else ZERO
        booked = Booked(order_id, self._number(), symbol, side, amount, worst, now, ours, rests, reduce_only=reduce_only)
        self._admit(booked, price, limit, now)
        self.orders[order_id] = booked
        self._note(booked, now)
        luck = Random(f"{self._seed}/fill/{order_id}")
        if limit is not None and not rests and side.sign * (price - limit) > 0:
            self.end(booked, Status.EXPIRED, now)
            return booked
        match manner:
            case None if rests:
                self._waits(booked, luck)
            case None:
                for share in (0.5, 1.0) if luck.random() < 0.3 else (1.0,):
                    self.fill(booked, share, now)
            case Kind.PARTIAL:
                self.fill(booked, luck.choice([0.0, 0.4]), now)
                self.end(booked, luck.choice([Status.EXPIRED, Status.CANCELED]), now)
            case Kind.TRICKLE:
                for part in range(1, 5):
                    self._later(luck.uniform(0.1, 3.0) * part, lambda n=part: self.fill(booked, 1.0 if n == 4 else 0.3))  # type: ignore[misc]
            case _:
                if luck.random() < 0.5:
                    self._later(luck.uniform(5.0, 90.0), lambda: self.fill(booked, luck.choice([0.5, 1.0])))
        return booked

    def _admit(self, booked: Booked, price: Decimal, limit: Decimal | None, now: datetime) -> None:
        """Refuse what the account does not cover."""
        base, quote = currencies(booked.symbol)
        need, currency = (booked.amount * booked.worst, quote) if booked.side is Side.BUY else (booked.amount, base)
        if need > self.free(currency, now):
            raise Refused("Account has insufficient balance for requested action.", Reason.INSUFFICIENT_FUNDS)

    def _may_fill(self, booked: Booked) -> Decimal:
        """How much of an order may still be filled."""
        return booked.amount - booked.filled

    def _waits(self, booked: Booked, luck: Random) -> None:
        """Fill a resting order, or a part of it, once the price has come to it."""
        if booked.status is Status.OPEN:
            if booked.side.sign * (booked.worst - self.prices.now(booked.symbol, self.now())) >= 0:
                self.fill(booked, luck.choice([0.4, 1.0]))
            self._later(1.0, lambda: self._waits(booked, luck))

    def fill(self, booked: Booked, share: float, now: datetime | None = None) -> None:
        """Trade a share of what is left of an order."""
        now = now or self.now()
        rest, step = self._may_fill(booked), self.markets[booked.symbol].amount_step
        amount = rest if share >= 1 else (rest * Decimal(str(share)) / step).to_integral_value(ROUND_FLOOR) * step
        if booked.status is not Status.OPEN or amount <= 0:
            return
        price = self._price(booked.symbol, booked.side, booked.worst, now, rests=booked.rests)
        self._booked(booked, self._trade(booked.id, booked.venue_id, booked.symbol, booked.side, amount, price, now), now)

    def _booked(self, booked: Booked, trade: Fill, now: datetime) -> None:
        """An order has traded."""
        booked.trades.append(trade)
        if booked.filled == booked.amount:
            booked.status = Status.FILLED
        self._note(booked, now)
        self.on_fill(booked, trade)
        self._tell(booked, (trade,), now)

    def end(self, booked: Booked, status: Status, now: datetime) -> bool:
        """Close an open order; whether it was open."""
        if booked.status is not Status.OPEN:
            return False
        booked.status = status
        self._note(booked, now)
        self._tell(booked, (), now)
        return True

    def _note(self, booked: Booked, now: datetime) -> None:
        if not booked.past:
            self._late.append(booked)
            self.by_number[booked.symbol, booked.venue_id] = booked
        booked.past.append((now, booked.status, len(booked.trades)))

    def _tell(self, booked: Booked, fills: tuple[Fill, ...], now: datetime) -> None:
        report = booked.report(now, fills=False)
        if report is not None:
            self.publish(replace(report, fills=fills))

    def publish(self, news: AccountNews) -> None:
        """Onto the user stream."""
        for listener in tuple(self.listeners):
            listener(news)

    def _price(self, symbol: str, side: Side, worst: Decimal, now: datetime, *, rests: bool = False) -> Decimal:
        """At which price the next trade is."""
        slip = SLIP_MAX * Decimal(str(round(Random(f"{self._seed}/slip/{self._numbers + 1}").random(), 3)))
        price = self.prices.now(symbol, now) * (1 + side.sign * slip)
        return (worst if rests else min(price, worst) if side is Side.BUY else max(price, worst)).quantize(self.tick(symbol))

    def tick(self, symbol: str) -> Decimal:
        """The grid of the prices of trades."""
        return TICK

    def _trade(self, order_id: str, venue_id: str, symbol: str, side: Side, amount: Decimal, price: Decimal, now: datetime) -> Fill:
        number = self._number()
        base, quote = currencies(symbol)
        cost = amount * price
        fee = Money(amount * FEE, base) if side is Side.BUY else Money(cost * FEE, quote)
        for currency, moved in ((base, side.sign * amount), (quote, -side.sign * cost), (fee.currency, -fee.amount)):
            self._move(currency, moved, now)
        trade = Fill(
            order_id=order_id,
            venue_id=venue_id,
            trade_id=number,
            symbol=symbol,
            side=side,
            amount=amount,
            price=price,
            cost=cost,
            fees=(fee,),
            at=now,
        )
        self.trades.append(trade)
        return trade

    def _move(self, currency: str, amount: Decimal, now: datetime) -> None:
        self.balances[currency] = self.balances.get(currency, ZERO) + amount
        self.moved.append((now, currency, amount))

    # --- other hands -------------------------------------------------------------------------------------------------

    def transfer(self, currency: str, amount: Decimal, now: datetime) -> Decimal:
        """A deposit or (negative) a withdrawal, of what is free at most; what was moved."""
        amount = max(amount, -max(ZERO, self.free(currency, now)))
        self.foreign_hands = True
        self._move(currency, amount, now)
        self.transfers[currency] = self.transfers.get(currency, ZERO) + amount
        return amount

    def by_hand(self, symbol: str, side: Side, now: datetime) -> None:
        """The owner trades a little himself."""
        base, quote = currencies(symbol)
        price = self.prices.now(symbol, now)
        have = self.free(base, now) if side is Side.SELL else self.free(quote, now) / price
        amount = self.markets[symbol].floor(have / 10)
        if amount > 0:
            self.foreign_hands = True
            venue_id = f"hand-{self._number()}"
            price = self._price(symbol, side, price * LOCK if side is Side.BUY else ZERO, now)
            self._trade("", venue_id, symbol, side, amount, price, now)

    def lately(self) -> list[Booked]:
        """The orders that stand, or did within the longest lag of an answer: no question about a moment needs more."""
        since = self.now() - SEEN
        self._late = [booked for booked in self._late if booked.status is Status.OPEN or booked.past[-1][0] > since]
        return self._late

    # --- answers -----------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The moment; given by the world."""
        raise AssertionError

    def total(self, currency: str, moment: datetime) -> Decimal:
        """What was held at a moment."""
        amount = self.balances.get(currency, ZERO)
        for at, moved, change in reversed(self.moved):
            if at <= moment:
                break
            if moved == currency:
                amount -= change
        return amount

    def locked(self, moment: datetime) -> dict[str, Decimal]:
        """What stood in open orders at a moment, by currency."""
        found: dict[str, Decimal] = {}
        for booked in self.lately():
            currency, amount = booked.locks(moment)
            if amount:
                found[currency] = found.get(currency, ZERO) + amount
        return found

    def free(self, currency: str, moment: datetime) -> Decimal:
        """What may be spent."""
        return self.total(currency, moment) - self.locked(moment).get(currency, ZERO)

    def snapshot(self, moments: Mapping[str, datetime], now: datetime) -> dict[str, Balance]:
        """Balances, each as of its moment."""
        found = {}
        for currency in self.balances:
            moment = moments.get(currency, now)
            total = self.total(currency, moment)
            locked = min(total, self.locked(moment).get(currency, ZERO))
            found[currency] = Balance(total - locked, locked)
        return found

    def listed(self, symbol: str, since: datetime, moment: datetime) -> list[Fill]:
        """The account's trades as of a moment; the venue names orders by its own id there."""
        return [replace(t, order_id="") for t in self.trades if t.symbol == symbol and since <= t.at <= moment]

    def audit(self) -> list[str]:
        """What is wrong with these books themselves: balances are the opening, the trades, their fees and the transfers."""
        held = dict(self.opening)
        for currency, amount in self.transfers.items():
            held[currency] = held.get(currency, ZERO) + amount
        for trade in self.trades:
            base, quote = currencies(trade.symbol)
            held[base] = held.get(base, ZERO) + trade.side.sign * trade.amount
            held[quote] = held.get(quote, ZERO) - trade.side.sign * trade.cost
            for fee in trade.fees:
                held[fee.currency] = held.get(fee.currency, ZERO) - fee.amount
        return [f"{c}: {self.balances.get(c)} instead of {amount}" for c, amount in held.items() if self.balances.get(c, ZERO) != amount]
