"""Clearing: who keeps the money. What an order needs, what a fill moves, and what the user stream hears of it.

Rule: the matching engine knows nothing of balances or margin; a clearing knows nothing of the book. One of them belongs to each kind of
market.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

from daemon.venue import reports
from daemon.venue.accounts import Account
from daemon.venue.book import Level
from daemon.venue.markets import Market
from daemon.venue.money import ZERO, share
from daemon.venue.orders import NewOrder, Order, Trade

Publish = Callable[[dict[str, Any]], None]
Words = tuple[int, str]  # code and message of a refusal


@dataclass(frozen=True, slots=True)
class Fees:
    """Rates, fractions of what is traded."""

    taker: Decimal
    maker: Decimal

    def of(self, value: Decimal, *, maker: bool) -> Decimal:
        """The fee on a value, in its units."""
        return share(value, self.maker if maker else self.taker)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """How the matching engine says no. `unfillable` None: a fill-or-kill that cannot be filled whole expires instead."""

    duplicate: Words
    too_many: Words
    would_take: Words
    unfillable: Words | None = None


class Clearing(Protocol):
    """What the matching engine needs of a kind of market."""

    refusals: Refusals

    def held(self, market: Market) -> Decimal:
        """What the account holds of a market, base units; below zero where it is short."""
        ...

    def cap(self, order: NewOrder | Order) -> Decimal | None:
        """How much of an order may be filled now, base units; None: all of it."""
        ...

    def admit(self, new: NewOrder, fills: Sequence[Level]) -> None:
        """Refuse what the account does not cover."""
        ...

    def affords(self, order: Order, price: Decimal, size: Decimal) -> bool:
        """Whether a fill that was not foreseen is covered."""
        ...

    def lock(self, order: Order) -> None:
        """Set aside what the rest of an order needs while it rests."""
        ...

    def unlock(self, order: Order, size: Decimal | None = None) -> None:
        """Give back what was set aside for so many base units, or all of it."""
        ...

    def settle(self, number: int, order: Order, level: Level, now: int, *, maker: bool) -> Trade:
        """Move the money of a fill, and say what was booked."""
        ...

    def touch(self, now: int) -> None:
        """Something about the account has changed."""
        ...

    def tell(self, order: Order, what: str, trade: Trade | None = None) -> None:
        """Tell the user stream of an order's step."""
        ...

    def tell_account(self, market: Market, now: int) -> None:
        """Tell the user stream what the account has now of a market."""
        ...


SPOT_REFUSALS: Final = Refusals(
    duplicate=(-2010, "Duplicate order sent."),
    too_many=(-1013, "Filter failure: MAX_NUM_ORDERS"),
    would_take=(-2010, "Order would immediately match and take."),
)


class SpotClearing:
    """Balances of assets: a buy pays quote for base, a sell base for quote, and the fee comes off what is received."""

    refusals = SPOT_REFUSALS

    def __init__(self, account: Account, fees: Fees, publish: Publish) -> None:
        self._account, self._fees, self._publish = account, fees, publish

    def held(self, market: Market) -> Decimal:
        """See `Clearing.held`."""
        balance = self._account.of(market.base)
        return balance.free + balance.locked

    def cap(self, order: NewOrder | Order) -> Decimal | None:
        """See `Clearing.cap`."""
        return None

    def admit(self, new: NewOrder, fills: Sequence[Level]) -> None:
        """See `Clearing.admit`; Binance reckons a limit order at its limit."""
        if new.side == "SELL":
            amount = sum((size for _, size in fills), ZERO) if new.amount is None else new.amount
            self._account.require(new.market.base, amount)
        elif new.price is not None and new.amount is not None:
            self._account.require(new.market.quote, new.price * new.amount)
        else:
            spent = sum((price * size for price, size in fills), ZERO)
            self._account.require(new.market.quote, max(spent, new.quote or ZERO))

    def affords(self, order: Order, price: Decimal, size: Decimal) -> bool:
        """See `Clearing.affords`."""
        return self._account.of(order.pays).free >= (price * size if order.side == "BUY" else size)

    def lock(self, order: Order) -> None:
        """See `Clearing.lock`."""
        order.locked = order.sets_aside
        self._account.lock(order.pays, order.locked)

    def unlock(self, order: Order, size: Decimal | None = None) -> None:
        """See `Clearing.unlock`."""
        freed = order.locked if size is None else size * (order.price if order.side == "BUY" else 1)
        order.locked -= freed
        self._account.unlock(order.pays, freed)

    def settle(self, number: int, order: Order, level: Level, now: int, *, maker: bool) -> Trade:
        """See `Clearing.settle`."""
        quote = level.price * level.amount
        gets, gives = (level.amount, quote) if order.side == "BUY" else (quote, level.amount)
        fee = self._fees.of(gets, maker=maker)
        self._account.credit(order.pays, -gives)
        self._account.credit(order.receives, gets - fee)
        return Trade(
            id=number,
            order_id=order.id,
            market=order.market,
            side=order.side,
            price=level.price,
            amount=level.amount,
            quote=quote,
            fee=fee,
            fee_asset=order.receives,
            at=now,
            maker=maker,
        )

    def touch(self, now: int) -> None:
        """See `Clearing.touch`."""
        self._account.updated = now

    def tell(self, order: Order, what: str, trade: Trade | None = None) -> None:
        """See `Clearing.tell`."""
        self._publish(reports.execution(order, what, trade))

    def tell_account(self, market: Market, now: int) -> None:
        """See `Clearing.tell_account`."""
        self._publish(reports.position(self._account, (market.base, market.quote), now))
