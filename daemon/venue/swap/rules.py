"""The rules of a swap, and a new order against them.

Rule: the same checks in the same order as Binance's; the first that fails is the answer.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from daemon.venue.errors import VenueError
from daemon.venue.markets import DECIMALS, MAX_OPEN_ORDERS, PRICE_MAX, Market
from daemon.venue.money import ZERO, brief, multiple
from daemon.venue.orders import NewOrder
from daemon.venue.swap.liquidation import FEE

FOR_EVER: Final = 4133404800000  # the delivery of what is never delivered, UTC ms
UP, DOWN = Decimal("1.15"), Decimal("0.85")  # how far from the mark price a limit may lie, as Binance's PERCENT_PRICE
PRECISION: Final = (-1111, "Precision is over the maximum defined for this asset.")


def rules(market: Market, notional_min: Decimal, listed: int) -> dict[str, Any]:
    """The market's entry in exchangeInfo; `listed` is since when, UTC ms."""
    return {
        "symbol": market.symbol,
        "pair": market.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": FOR_EVER,
        "onboardDate": listed,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": market.base,
        "quoteAsset": market.quote,
        "marginAsset": market.quote,
        "pricePrecision": market.price_decimals,
        "quantityPrecision": market.amount_decimals,
        "baseAssetPrecision": DECIMALS,
        "quotePrecision": DECIMALS,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": str(FEE),
        "marketTakeBound": "0.05",
        "filters": filters(market, notional_min),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def filters(market: Market, notional_min: Decimal) -> list[dict[str, Any]]:
    """The market's rules as the protocol's filters."""
    tick, step, most = brief(market.tick), brief(market.step), brief(market.amount_max)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": brief(PRICE_MAX), "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": most, "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": most, "stepSize": step},
        {"filterType": "MAX_NUM_ORDERS", "limit": MAX_OPEN_ORDERS},
        {"filterType": "MIN_NOTIONAL", "notional": brief(notional_min)},
        {"filterType": "PERCENT_PRICE", "multiplierUp": str(UP), "multiplierDown": str(DOWN), "multiplierDecimal": "4"},
    ]


def check(order: NewOrder, last: Decimal, mark: Decimal, notional_min: Decimal) -> None:
    """Raise the refusal of an order, if it has one."""
    _amount(order.market, order.amount or ZERO)
    if order.price is not None:
        _price(order, order.price, mark)
    worth = (order.amount or ZERO) * (last if order.price is None else order.price)
    if worth < notional_min and not order.reduce_only:
        raise VenueError(-4164, f"Order's notional must be no smaller than {brief(notional_min)} (unless you choose reduce only).")


def _amount(market: Market, amount: Decimal) -> None:
    if amount <= 0:
        raise VenueError(-4003, "Quantity less than or equal to zero.")
    if amount > market.amount_max:
        raise VenueError(-4005, "Quantity greater than max quantity.")
    if not multiple(amount, Decimal(1).scaleb(-market.amount_decimals)):
        raise VenueError(*PRECISION)
    if not multiple(amount, market.step):
        raise VenueError(-4023, "Qty not increased by step size.")


def _price(order: NewOrder, price: Decimal, mark: Decimal) -> None:
    market = order.market
    if price <= 0:
        raise VenueError(-4001, "Price less than 0.")
    if price > PRICE_MAX:
        raise VenueError(-4002, "Price greater than max price.")
    if not multiple(price, Decimal(1).scaleb(-market.price_decimals)):
        raise VenueError(*PRECISION)
    if not multiple(price, market.tick):
        raise VenueError(-4014, "Price not increased by tick size.")
    if order.side == "BUY" and price > mark * UP:
        raise VenueError(-4016, f"Limit price can't be higher than {brief(mark * UP)}.")
    if order.side == "SELL" and price < mark * DOWN:
        raise VenueError(-4024, f"Limit price can't be lower than {brief(mark * DOWN)}.")
