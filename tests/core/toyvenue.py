"""ToyVenue: an exchange in memory for tests of the core, and the only witness of what really happened.

Rule: its books are exact, and chance comes from the generator given. It answers a submit, a look-up, a listing or a poll at once; how late,
how often and whether at all the answer is heard is for the caller to decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from random import Random

from daemon.core.model import (
    ZERO,
    AccountSnapshot,
    Balance,
    Fill,
    Instrument,
    Money,
    Order,
    OrderReport,
    Side,
    Status,
    currencies,
)
from daemon.core.styles import Touch

# What a market order pays beside its reference at most; below the planner's own allowance of 0.5 %.
SLIP_MAX = Decimal("0.004")


@dataclass(slots=True)
class Booked:
    """An order as the venue has it."""

    order: Order
    venue_id: str
    at: datetime
    status: Status = Status.OPEN
    fills: list[Fill] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        """Base units filled so far."""
        return sum((f.amount for f in self.fills), ZERO)

    def report(self, at: datetime, *, with_fills: bool) -> OrderReport:
        """What the venue says of it."""
        order = self.order
        return OrderReport(
            order_id=order.id,
            venue_id=self.venue_id,
            symbol=order.symbol,
            side=order.side,
            status=self.status,
            amount=order.amount,
            filled=self.filled,
            cost=sum((f.cost for f in self.fills), ZERO),
            at=at,
            fills=tuple(self.fills) if with_fills else (),
        )


class ToyVenue:
    """Balances, orders and trades. `ids` are all client ids that ever arrived: the same one twice is the sin that tests look for."""

    def __init__(self, rng: Random, markets: Mapping[str, Instrument], balances: Mapping[str, Decimal]) -> None:
        self.rng = rng
        self.markets = markets
        self.balances = dict(balances)
        self.orders: dict[str, Booked] = {}
        self.trades: list[Fill] = []
        self.ids: set[str] = set()
        self.prices: dict[str, Decimal] = {}
        self.foreign_locked: dict[str, Decimal] = {}
        self.history: list[tuple[datetime, dict[str, Decimal]]] = []
        self._seq = 0

    # --- orders ------------------------------------------------------------------------------------------------------

    def arrive(self, order: Order, at: datetime) -> Booked | None:
        """Take an order in; None if there is no money for it."""
        assert order.id not in self.ids, f"{order.id} arrived twice"
        self.ids.add(order.id)
        self._check_rules(order)
        if not self._affordable(order):
            return None
        self._seq += 1
        booked = self.orders[order.id] = Booked(order, str(self._seq), at)
        return booked

    def _check_rules(self, order: Order) -> None:
        market = self.markets[order.symbol]
        assert order.amount % market.amount_step == 0, f"{order} is off the grid"
        assert order.amount >= market.amount_min, f"{order} is below the minimum"
        assert order.limit is None or order.limit % market.price_tick == 0, f"{order} is off the grid of prices"
        assert market.amount_max is None or order.amount <= market.amount_max, f"{order} is above the maximum"

    def _affordable(self, order: Order) -> bool:
        base, quote = currencies(order.symbol)
        if order.side is Side.SELL:
            return order.amount <= self.balances.get(base, ZERO) - self.locked(base)
        worst = order.amount * (order.limit or self.prices[order.symbol] * (1 + SLIP_MAX))
        return worst <= self.balances.get(quote, ZERO) - self.locked(quote)

    def locked(self, currency: str) -> Decimal:
        """What stands in open orders."""
        total = self.foreign_locked.get(currency, ZERO)
        for booked in self.orders.values():
            if booked.status is Status.OPEN:
                base, quote = currencies(booked.order.symbol)
                rest = booked.order.amount - booked.filled
                if booked.order.side is Side.SELL and currency == base:
                    total += rest
                if booked.order.side is Side.BUY and currency == quote:
                    total += rest * (booked.order.limit or self.prices[booked.order.symbol] * (1 + SLIP_MAX))
        return total

    def fill(self, booked: Booked, share: float, at: datetime) -> Fill | None:
        """Trade a share of what is left of an order; all of it at 1."""
        order = booked.order
        rest = order.amount - booked.filled
        step = self.markets[order.symbol].amount_step
        amount = rest if share >= 1 else (rest * Decimal(str(share)) / step).to_integral_value(ROUND_FLOOR) * step
        if booked.status is not Status.OPEN or amount <= 0:
            return None
        slip = SLIP_MAX * Decimal(str(round(self.rng.random(), 3)))
        price = self.prices[order.symbol] * (1 + order.side.sign * slip)
        if order.limit is not None:
            price = order.limit if order.post_only else min(price, order.limit) if order.side is Side.BUY else max(price, order.limit)
        trade = self._trade(order.id, booked.venue_id, order.symbol, order.side, amount, price, at)
        booked.fills.append(trade)
        if booked.filled == order.amount:
            booked.status = Status.FILLED
        return trade

    def would_cross(self, order: Order) -> bool:
        """Whether an order that is to rest would trade at once."""
        return order.post_only and order.limit is not None and order.side.sign * (order.limit - self.prices[order.symbol]) >= 0

    def touch(self, symbol: str, at: datetime) -> Touch:
        """Best bid and ask, a tenth of a percent apart."""
        price, tick = self.prices[symbol], self.markets[symbol].price_tick
        half = max(tick, (price / 2000).quantize(tick))
        return Touch(symbol, price - half, price + half, at)

    def end(self, booked: Booked, status: Status) -> None:
        """Close an order that has not filled."""
        if booked.status is Status.OPEN:
            booked.status = status

    def _trade(self, order_id: str, venue_id: str, symbol: str, side: Side, amount: Decimal, price: Decimal, at: datetime) -> Fill:
        base, quote = currencies(symbol)
        cost = amount * price
        fee_rate = self.markets[symbol].taker_fee
        fee = Money(amount * fee_rate, base) if side is Side.BUY else Money(cost * fee_rate, quote)
        self._move(base, side.sign * amount, at)
        self._move(quote, -side.sign * cost, at)
        self._move(fee.currency, -fee.amount, at)
        self._seq += 1
        trade = Fill(
            order_id=order_id,
            venue_id=venue_id,
            trade_id=str(self._seq),
            symbol=symbol,
            side=side,
            amount=amount,
            price=price,
            cost=cost,
            fees=(fee,),
            at=at,
        )
        self.trades.append(trade)
        return trade

    # --- somebody else's hand ----------------------------------------------------------------------------------------

    def transfer(self, currency: str, amount: Decimal, at: datetime) -> Decimal:
        """A deposit or (negative) a withdrawal, of what is not locked at most. Answers what was moved."""
        amount = max(amount, -max(ZERO, self.balances.get(currency, ZERO) - self.locked(currency)))
        self._move(currency, amount, at)
        return amount

    def trade_by_hand(self, symbol: str, side: Side, at: datetime) -> Fill | None:
        """The owner trades a little by himself."""
        base, quote = currencies(symbol)
        have = self.balances.get(base if side is Side.SELL else quote, ZERO) - self.locked(base if side is Side.SELL else quote)
        price = self.prices[symbol]
        amount = self.markets[symbol].floor(have / 10 if side is Side.SELL else have / 10 / price)
        self._seq += 1
        return self._trade("", f"hand-{self._seq}", symbol, side, amount, price, at) if amount > 0 else None

    def _move(self, currency: str, amount: Decimal, at: datetime) -> None:
        if not self.history or self.history[-1][0] != at:
            self.history.append((at, dict(self.balances)))  # what stood before this moment
        self.balances[currency] = self.balances.get(currency, ZERO) + amount

    # --- answers -----------------------------------------------------------------------------------------------------

    def trades_of(self, symbol: str, since: datetime, lag: timedelta, at: datetime) -> list[Fill]:
        """The account's trades in a symbol, as a listing that lags shows them; the venue names orders by its own id there."""
        return [replace(f, order_id="") for f in self.trades if f.symbol == symbol and f.at >= since and f.at <= at - lag]

    def snapshot(self, lags: Mapping[str, timedelta], at: datetime, known_at: datetime) -> AccountSnapshot:
        """Balances, each as old as its lag says."""
        shown = {c: self._balance_at(c, at - lags.get(c, timedelta(0))) for c in self.balances}
        balances = {}
        for currency, total in shown.items():
            locked = min(self.locked(currency), total)
            balances[currency] = Balance(total - locked, locked)
        return AccountSnapshot(balances, (), at, known_at)

    def _balance_at(self, currency: str, moment: datetime) -> Decimal:
        """What was held at a moment: the balance before the first move after it."""
        for at, before in self.history:
            if at > moment:
                return before.get(currency, ZERO)
        return self.balances[currency]
