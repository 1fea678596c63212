"""Clearing of swaps: a fill moves a position, and the wallet gets its profit and pays its fee, both in the quote asset.

Rule: only what makes the larger side of a market larger needs margin; what brings a position nearer to nothing is never refused for want of
it. A reduce-only order is filled as far as it reduces, and ends when it would not.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from daemon.venue.book import Level
from daemon.venue.clearing import Fees, Publish, Refusals
from daemon.venue.errors import VenueError
from daemon.venue.markets import Market
from daemon.venue.money import ZERO
from daemon.venue.orders import NewOrder, Order, Trade
from daemon.venue.swap import reports
from daemon.venue.swap.margin import Margin
from daemon.venue.swap.positions import cut, notional_cap

REFUSALS: Final = Refusals(
    duplicate=(-4116, "ClientOrderId is duplicated."),
    too_many=(-2025, "Reach max open order limit."),
    would_take=(-5022, "Due to the order could not be executed as maker, the Post Only order will be rejected."),
    unfillable=(-5021, "Due to the order could not be filled immediately, the FOK order has been rejected."),
)


class SwapClearing:
    """See `Clearing`."""

    refusals = REFUSALS

    def __init__(self, margin: Margin, fees: Fees, publish: Publish) -> None:
        self._margin, self._fees, self._publish = margin, fees, publish
        self._moved: set[str] = set()  # markets whose position has changed since the user stream heard of it

    def held(self, market: Market) -> Decimal:
        """See `Clearing.held`."""
        return self._margin.positions[market.symbol].amount

    def cap(self, order: NewOrder | Order) -> Decimal | None:
        """See `Clearing.cap`."""
        if not order.reduce_only:
            return None
        return self._margin.positions[order.market.symbol].closes(order.side, order.amount or ZERO)

    def admit(self, new: NewOrder, fills: Sequence[Level]) -> None:
        """See `Clearing.admit`."""
        if new.reduce_only:
            if not self.cap(new):
                raise VenueError(-2022, "ReduceOnly Order is rejected.")
            return
        amount = new.amount or ZERO
        taken = sum((size for _, size in fills), ZERO)
        worth = sum((price * size for price, size in fills), ZERO) + (amount - taken) * (new.price or ZERO)
        exposure = self._margin.exposure(new.market, new.side, worth)
        grows = exposure > self._margin.exposure(new.market)
        if grows and exposure > notional_cap(self._margin.setups[new.market.symbol].leverage):
            raise VenueError(-2027, "Exceeded the maximum allowable position at current leverage.")
        if grows and self._wanting(new.market, new.side, worth, fills) > 0:
            raise VenueError(-2019, "Margin is insufficient.")

    def _wanting(self, market: Market, side: str, worth: Decimal, fills: Sequence[Level]) -> Decimal:
        """How much margin is missing for an order: what it needs, what it loses against the mark price at once, and its fee."""
        margin, mark = self._margin, self._margin.mark(market)
        more = margin.needed(market, side, worth) - margin.needed(market)
        direction = 1 if side == "BUY" else -1
        lost = sum((max((price - mark) * direction, ZERO) * size for price, size in fills), ZERO)
        fee = self._fees.of(worth, maker=not fills)
        return more + lost + fee - margin.figures(market.quote).available

    def affords(self, order: Order, price: Decimal, size: Decimal) -> bool:
        """See `Clearing.affords`."""
        cap = self.cap(order)
        if cap is not None:
            return size <= cap
        closes = self._margin.positions[order.market.symbol].closes(order.side, size)
        return closes == size or self._wanting(order.market, order.side, price * size, [Level(price, size)]) <= 0

    def lock(self, order: Order) -> None:
        """See `Clearing.lock`; margin of open orders is reckoned, not moved."""

    def unlock(self, order: Order, size: Decimal | None = None) -> None:
        """See `Clearing.unlock`."""

    def settle(self, number: int, order: Order, level: Level, now: int, *, maker: bool) -> Trade:
        """See `Clearing.settle`."""
        margin, market, quote = self._margin, order.market, level.price * level.amount
        position, setup = margin.positions[market.symbol], margin.setups[market.symbol]
        opened = level.amount - position.closes(order.side, level.amount)
        realized = position.fill(order.side, level.price, level.amount)
        if setup.isolated:
            position.margin += cut(opened * level.price / setup.leverage)
        position.updated = now
        fee = ZERO if order.forced else self._fees.of(quote, maker=maker)
        if realized:
            margin.book("REALIZED_PNL", market, market.quote, realized, now, trade_id=number)
        if fee:
            margin.book("COMMISSION", market, market.quote, -fee, now, trade_id=number)
        self._moved.add(market.symbol)
        return Trade(
            id=number,
            order_id=order.id,
            market=market,
            side=order.side,
            price=level.price,
            amount=level.amount,
            quote=quote,
            fee=fee,
            fee_asset=market.quote,
            at=now,
            maker=maker,
            realized=realized,
        )

    def touch(self, now: int) -> None:
        """See `Clearing.touch`."""
        self._margin.account.updated = now

    def tell(self, order: Order, what: str, trade: Trade | None = None) -> None:
        """See `Clearing.tell`."""
        self._publish(reports.execution(order, what, trade))

    def tell_account(self, market: Market, now: int) -> None:
        """See `Clearing.tell_account`; Binance says nothing where an order came or went and no position changed."""
        if market.symbol in self._moved:
            self._moved.discard(market.symbol)
            self._publish(reports.account_update(self._margin, "ORDER", [market.quote], [market], now))
