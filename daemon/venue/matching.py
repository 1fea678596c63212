"""The matching engine: one account against the book.

Rule: an order is refused before anything has changed, or it is booked whole: its money locked, its trades and balances in step, an
event for each step. Resting orders fill at their own price when the opposite side of the book, moved along the tape since the
last look, has reached it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal

from daemon.venue.book import Book, Level
from daemon.venue.clearing import Clearing
from daemon.venue.errors import VenueError, cancel_rejected
from daemon.venue.faults import Filling
from daemon.venue.markets import MAX_OPEN_ORDERS, Market
from daemon.venue.money import ZERO, floor_to
from daemon.venue.orders import NewOrder, Order, Status, Trade
from daemon.venue.tape import Tape


class Matching:
    """Orders and trades of the account. `partial` is the probability that a fill comes in two parts."""

    def __init__(
        self,
        tape: Tape,
        book: Book,
        clearing: Clearing,
        *,
        partial: float,
        first_id: int,
        chance: random.Random,
        filling: Callable[[NewOrder], Filling | None] = lambda _new: None,
        judge: Callable[[Order, Decimal], None] = lambda _order, _before: None,
    ) -> None:
        self._tape, self._book, self._clearing = tape, book, clearing
        self._partial, self._chance = partial, chance
        self._filling, self._judge = filling, judge
        self._first_id = first_id
        self._looked: dict[int, int] = {}  # market -> until when (ms) its open orders have been matched
        self.orders: dict[str, list[Order]] = defaultdict(list)  # by symbol, in order of their ids
        self.trades: dict[str, list[Trade]] = defaultdict(list)
        self.open: dict[str, list[Order]] = {}  # symbols with open orders only

    def last(self, market: Market, now: int) -> Decimal:
        """The last price, exactly."""
        return market.exact(self._tape.last(market.index, now))

    def place(self, new: NewOrder, now: int) -> Order:
        """Book a new order and fill of it what can be filled at once."""
        self.advance(new.market, now)
        waiting = self.open.get(new.market.symbol, [])
        if any(order.client_id == new.client_id for order in waiting):
            raise VenueError(*self._clearing.refusals.duplicate)
        if len(waiting) >= MAX_OPEN_ORDERS:
            raise VenueError(*self._clearing.refusals.too_many)
        fills = self._crossing(new, now)
        self._clearing.admit(new, fills)
        return self._book_order(new, fills, now, self._filling(new))

    def cancel(self, order: Order, cancel_id: str, now: int) -> Order:
        """End an open order."""
        self.advance(order.market, now)
        if order.open and order.held is not None and order.held.at_cancel:
            self._let_go(order, now)
        if not order.open:
            raise cancel_rejected()
        order.cancel_id = cancel_id
        self._end(order, "CANCELED", now)
        self._clearing.tell_account(order.market, now)
        return order

    def expire(self, market: Market, now: int) -> None:
        """End all open orders of a market, as the venue does before it liquidates."""
        for order in list(self.open.get(market.symbol, ())):
            self._end(order, "EXPIRED", now)

    def force(self, new: NewOrder, level: Level, now: int) -> Order:
        """Book an order of the venue's own, filled whole at a price that is no book's."""
        order = self._booked(new, new.amount or ZERO, now)
        order.forced = True
        self._clearing.tell(order, "NEW")
        self._fill(order, level.price, level.amount, now, maker=False)
        self._settled(order.market, now)
        return order

    def advance(self, market: Market, now: int) -> None:
        """Fill the market's resting orders with what has happened since the last look."""
        waiting = self.open.get(market.symbol)
        since = self._looked.get(market.index, now)
        self._looked[market.index] = max(now, since)
        for order in [o for o in waiting or () if o.held_until is not None and now >= o.held_until]:
            self._let_go(order, now)
        if not waiting or now <= since:
            return
        seen = self._tape.span(market.index, since, now)
        if seen is None:
            return
        ask = self._book.ask(market, market.exact(seen[0]))
        bid = self._book.bid(market, market.exact(seen[1]))
        for order in [o for o in waiting if o.held is None and (ask <= o.price if o.side == "BUY" else bid >= o.price)]:
            self._fill_resting(order, now)

    def advance_all(self, now: int) -> None:
        """`advance` for every market with open orders."""
        for orders in list(self.open.values()):
            self.advance(orders[0].market, now)

    def _crossing(self, new: NewOrder, now: int) -> list[Level]:
        """What the order takes from the book at once; raises where its type forbids that."""
        last = self.last(new.market, now)
        taken: list[Level] = []
        cap = self._clearing.cap(new)
        amount, quote = new.amount if new.amount is None or cap is None else min(new.amount, cap), new.quote
        for price, available in self._book.levels(new.market, last, new.side):
            if new.price is not None and (price > new.price if new.side == "BUY" else price < new.price):
                break
            wanted = floor_to((quote or ZERO) / price, new.market.step) if amount is None else amount
            size = min(wanted, available)
            if size > 0:
                taken.append(Level(price, size))
            amount = None if amount is None else amount - size
            quote = None if quote is None else quote - size * price
            if size < available:
                break
        if new.post_only and taken:
            raise VenueError(*self._clearing.refusals.would_take)
        if new.life == "FOK" and new.kind == "LIMIT" and amount:
            if self._clearing.refusals.unfillable is not None:
                raise VenueError(*self._clearing.refusals.unfillable)
            return []
        return self._split(taken, new.market)

    def _split(self, taken: list[Level], market: Market) -> list[Level]:
        """The same fills, the first one in two trades if the dice say so."""
        if not taken or self._chance.random() >= self._partial:
            return taken
        price, size = taken[0]
        half = floor_to(size / 2, market.step)
        return [Level(price, half), Level(price, size - half), *taken[1:]] if half else taken

    def _book_order(self, new: NewOrder, fills: list[Level], now: int, filling: Filling | None) -> Order:
        before = self._heading_for(new.market)
        order = self._booked(new, _amount(new, fills), now)
        if filling is not None:
            order.held = filling
            order.held_until = None if filling.after_ms is None else now + filling.after_ms
            order.reference = fills[-1].price if fills else ZERO
            fills = _first(fills, floor_to(order.amount * filling.share, new.market.step))
        self._judge(order, before)
        self._clearing.tell(order, "NEW")
        for price, size in fills:
            self._fill(order, price, size, now, maker=False)
        if order.remaining or not order.executed:
            self._rest_or_expire(order, now)
        self._settled(order.market, now)
        return order

    def _booked(self, new: NewOrder, amount: Decimal, now: int) -> Order:
        """A new order in the books, nothing of it filled."""
        history = self.orders[new.market.symbol]
        order = Order(
            id=self._first_id + len(history),
            client_id=new.client_id,
            market=new.market,
            side=new.side,
            kind=new.kind,
            life=new.life,
            price=new.price or ZERO,
            amount=amount,
            quote=new.quote or ZERO,
            reduce_only=new.reduce_only,
            created=now,
            updated=now,
        )
        history.append(order)
        return order

    def _heading_for(self, market: Market) -> Decimal:
        """What the account will hold of the market once its open orders have filled."""
        waiting = self.open.get(market.symbol, ())
        return self._clearing.held(market) + sum((o.remaining if o.side == "BUY" else -o.remaining for o in waiting), ZERO)

    def _let_go(self, order: Order, now: int) -> None:
        """Fill what a fault has held back, as if it had just come, as far as there is money for it."""
        order.held = order.held_until = None
        self._clearing.unlock(order)
        rest = NewOrder(
            market=order.market,
            side=order.side,
            kind="LIMIT" if order.price else "MARKET",
            life=order.life,
            price=order.price or None,
            amount=order.remaining,
            quote=None,
            reduce_only=order.reduce_only,
            client_id=order.client_id,
        )
        self._close(order)
        for price, size in self._crossing(rest, now):
            if self._clearing.affords(order, price, size):
                self._fill(order, price, size, now, maker=False)
        if order.remaining:
            self._rest_or_expire(order, now)
        self._settled(order.market, now)

    def _rest_or_expire(self, order: Order, now: int) -> None:
        if order.held is None and not order.rests:
            self._end(order, "EXPIRED", now)
            return
        self._clearing.lock(order)
        self.open.setdefault(order.market.symbol, []).append(order)

    def _fill_resting(self, order: Order, now: int) -> None:
        """Fill a crossed order whole, or its first part if the dice say so; one that may not be filled has ended."""
        cap = self._clearing.cap(order)
        size = order.remaining if cap is None else min(order.remaining, cap)
        if not size:
            self._end(order, "EXPIRED", now)
            return
        half = floor_to(size / 2, order.market.step)
        if not order.parted and half and self._chance.random() < self._partial:
            order.parted, size = True, half
        self._clearing.unlock(order, size)
        self._fill(order, order.price, size, now, maker=True)
        if not order.open:
            self._close(order)
        self._settled(order.market, now)

    def _fill(self, order: Order, price: Decimal, size: Decimal, now: int, *, maker: bool) -> None:
        """Book one trade: order, account, event."""
        book = self.trades[order.market.symbol]
        trade = self._clearing.settle(self._first_id + len(book), order, Level(price, size), now, maker=maker)
        book.append(trade)
        order.trades.append(trade)
        order.executed += size
        order.spent += trade.quote
        order.status = "PARTIALLY_FILLED" if order.remaining else "FILLED"
        order.updated = now
        self._clearing.touch(now)
        self._clearing.tell(order, "TRADE", trade)

    def _settled(self, market: Market, now: int) -> None:
        """Tell what the account has now, and end the open orders that may not be filled any more."""
        self._clearing.tell_account(market, now)
        for order in list(self.open.get(market.symbol, ())):
            if self._clearing.cap(order) == 0:
                self._end(order, "EXPIRED", now)

    def _end(self, order: Order, status: Status, now: int) -> None:
        """Close an order that is not filled whole, and give its money back."""
        self._clearing.unlock(order)
        order.status = status
        order.updated = now
        self._clearing.touch(now)
        self._close(order)
        self._clearing.tell(order, status)

    def _close(self, order: Order) -> None:
        waiting = self.open.get(order.market.symbol, [])
        if order in waiting:
            waiting.remove(order)
        if not waiting:
            self.open.pop(order.market.symbol, None)


def _first(fills: Iterable[Level], amount: Decimal) -> list[Level]:
    """The first of these fills, up to an amount in base units."""
    taken: list[Level] = []
    for price, size in fills:
        part = min(size, amount)
        amount -= part
        if part:
            taken.append(Level(price, part))
    return taken


def _amount(new: NewOrder, fills: list[Level]) -> Decimal:
    """How much the order is about, base units: by quote what it fills, and what the emptied book still owes it."""
    if new.amount is not None:
        return new.amount
    if not fills:
        return ZERO
    left = (new.quote or ZERO) - sum((price * size for price, size in fills), ZERO)
    return sum((size for _, size in fills), ZERO) + floor_to(left / fills[-1].price, new.market.step)
