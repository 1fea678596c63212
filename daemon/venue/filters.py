"""The market's filters, applied to a new order before it reaches the matching engine.

Rule: the same checks in the same order as Binance's; the first that fails is the answer.
"""

from __future__ import annotations

from decimal import Decimal

from daemon.venue.errors import VenueError, filter_failure
from daemon.venue.markets import NOTIONAL_MAX, PRICE_BAND, PRICE_MAX, Market
from daemon.venue.money import ZERO, multiple
from daemon.venue.orders import NewOrder


def check(order: NewOrder, last: Decimal, notional_min: Decimal) -> None:
    """Raise the filter failure of an order, if it has one. `last` is the market's last price."""
    if order.amount is not None:
        _amount(order.market, order.amount)
    if order.price is not None:
        _price(order.market, order.price, last)
    _notional(order, last, notional_min)


def _amount(market: Market, amount: Decimal) -> None:
    if amount <= 0:
        raise VenueError(-1013, "Invalid quantity.")
    if amount < market.step or amount > market.amount_max or not multiple(amount, market.step):
        raise filter_failure("LOT_SIZE")


def _price(market: Market, price: Decimal, last: Decimal) -> None:
    if price <= 0:
        raise VenueError(-1013, "Invalid price.")
    if price < market.tick or price > PRICE_MAX or not multiple(price, market.tick):
        raise filter_failure("PRICE_FILTER")
    if not last / PRICE_BAND <= price <= last * PRICE_BAND:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _notional(order: NewOrder, last: Decimal, notional_min: Decimal) -> None:
    price = last if order.price is None else order.price
    notional = order.quote or ZERO if order.amount is None else order.amount * price
    if notional < notional_min or (order.price is not None and notional > NOTIONAL_MAX):
        raise filter_failure("NOTIONAL")
