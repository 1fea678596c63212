"""The table of end points: what each is called, costs, needs and reads.

Rule: what is not in the table does not exist, and a parameter that would be ignored is refused. Weights are those of Binance's spot API
documentation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from daemon.venue import market_data, trading
from daemon.venue.errors import VenueError
from daemon.venue.params import Params

Handler = Callable[[Any, Params], Any]  # of the exchange of its kind of market
SIGNED: Final = frozenset({"timestamp", "recvWindow", "signature", "apiKey"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end point. `weight` in request weight units; `reads` are the parameters it knows."""

    handle: Handler
    weight: Callable[[Params], int]
    reads: frozenset[str]
    signed: bool = False
    keyed: bool = False  # needs the key, and no signature
    order: bool = False  # counts against the order limits

    def check_names(self, params: Params) -> None:
        """Refuse parameters that nobody would read."""
        known = self.reads | SIGNED if self.signed else self.reads
        unread = params.names() - known
        if unread:
            count = len(params.names())
            raise VenueError(-1104, f"Not all sent parameters were read; read '{count - len(unread)}' parameter(s) but was sent '{count}'.")


@dataclass(frozen=True, slots=True)
class Interface:
    """All end points of a kind of market: by method and path, and by name on the WebSocket API, empty where it is not spoken.

    `name_of`: what a fault calls them. `gone`: paths that the real one has ended.
    """

    rest: Mapping[tuple[str, str], Endpoint]
    calls: Mapping[str, Endpoint]
    name_of: Mapping[tuple[str, str], str]
    gone: frozenset[str] = frozenset()

    @property
    def private(self) -> frozenset[str]:
        """Names of what asks for a key."""
        return frozenset(name for key, name in self.name_of.items() if self.rest[key].signed or self.rest[key].keyed)


def _flat(weight: int) -> Callable[[Params], int]:
    return lambda _params: weight


def by_symbol(one: int, rest: int) -> Callable[[Params], int]:
    """A weight that depends on whether one market is asked for."""
    return lambda params: one if "symbol" in params else rest


def day_weight(params: Params) -> int:
    """The weight of the 24 h statistics."""
    if "symbol" in params:
        return 2
    if "symbols" not in params:
        return 80
    try:
        count = len(json.loads(params.text("symbols")))
    except ValueError:
        return 2
    return 2 if count <= 20 else 40 if count <= 100 else 80


def depth_weight(params: Params) -> int:
    """The weight of a book, by its levels."""
    limit = params.limit(100, 5000)
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250


def public(handle: Handler, weight: int | Callable[[Params], int], *reads: str) -> Endpoint:
    """An end point for everybody."""
    return Endpoint(handle, _flat(weight) if isinstance(weight, int) else weight, frozenset(reads))


def private(handle: Handler, weight: int | Callable[[Params], int], *reads: str, order: bool = False) -> Endpoint:
    """An end point for who signs."""
    return Endpoint(handle, _flat(weight) if isinstance(weight, int) else weight, frozenset(reads), signed=True, order=order)


NEW_ORDER: Final = ("symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId", "newOrderRespType")
SYMBOLS: Final = ("symbol", "symbols")

# Binance ended listen keys for spot on 2026-02-20: the user stream is asked for on the WebSocket API.
GONE: Final = frozenset({"/api/v3/userDataStream", "/api/v1/userDataStream"})

REST: Final[dict[tuple[str, str], Endpoint]] = {
    ("GET", "/api/v3/ping"): public(market_data.ping, 1),
    ("GET", "/api/v3/time"): public(market_data.time, 1),
    ("GET", "/api/v3/exchangeInfo"): public(market_data.exchange_info, 20, *SYMBOLS, "permissions"),
    ("GET", "/api/v3/klines"): public(market_data.klines, 2, "symbol", "interval", "startTime", "endTime", "limit"),
    ("GET", "/api/v3/ticker/price"): public(market_data.ticker_price, by_symbol(2, 4), *SYMBOLS),
    ("GET", "/api/v3/ticker/bookTicker"): public(market_data.book_ticker, by_symbol(2, 4), *SYMBOLS),
    ("GET", "/api/v3/ticker/24hr"): public(market_data.ticker_day, day_weight, *SYMBOLS),
    ("GET", "/api/v3/depth"): public(market_data.depth, depth_weight, "symbol", "limit"),
    ("GET", "/api/v3/account"): private(trading.account, 20, "omitZeroBalances"),
    ("GET", "/sapi/v1/account/apiRestrictions"): private(trading.key_rights, 1),
    ("GET", "/api/v3/account/commission"): private(trading.commission, 20, "symbol"),
    ("GET", "/api/v3/rateLimit/order"): private(trading.order_counts, 40),
    ("POST", "/api/v3/order"): private(trading.place, 1, *NEW_ORDER, order=True),
    ("POST", "/api/v3/order/test"): private(trading.test, 1, *NEW_ORDER),
    ("GET", "/api/v3/order"): private(trading.query, 4, "symbol", "orderId", "origClientOrderId"),
    ("DELETE", "/api/v3/order"): private(trading.cancel, 1, "symbol", "orderId", "origClientOrderId", "newClientOrderId"),
    ("GET", "/api/v3/openOrders"): private(trading.open_orders, by_symbol(6, 80), "symbol"),
    ("DELETE", "/api/v3/openOrders"): private(trading.cancel_all, 1, "symbol"),
    ("GET", "/api/v3/allOrders"): private(trading.all_orders, 20, "symbol", "orderId", "startTime", "endTime", "limit"),
    ("GET", "/api/v3/myTrades"): private(
        trading.my_trades,
        lambda params: 5 if "orderId" in params else 20,
        *("symbol", "orderId", "startTime", "endTime", "fromId", "limit"),
    ),
}

# The same end points by their names on the WebSocket API.
WS_API: Final[dict[str, Endpoint]] = {
    "ping": REST["GET", "/api/v3/ping"],
    "time": REST["GET", "/api/v3/time"],
    "exchangeInfo": REST["GET", "/api/v3/exchangeInfo"],
    "klines": REST["GET", "/api/v3/klines"],
    "ticker.price": REST["GET", "/api/v3/ticker/price"],
    "ticker.book": REST["GET", "/api/v3/ticker/bookTicker"],
    "ticker.24hr": REST["GET", "/api/v3/ticker/24hr"],
    "depth": REST["GET", "/api/v3/depth"],
    "account.status": REST["GET", "/api/v3/account"],
    "account.commission": REST["GET", "/api/v3/account/commission"],
    "account.rateLimits.orders": REST["GET", "/api/v3/rateLimit/order"],
    "order.place": REST["POST", "/api/v3/order"],
    "order.test": REST["POST", "/api/v3/order/test"],
    "order.status": REST["GET", "/api/v3/order"],
    "order.cancel": REST["DELETE", "/api/v3/order"],
    "openOrders.status": REST["GET", "/api/v3/openOrders"],
    "openOrders.cancelAll": REST["DELETE", "/api/v3/openOrders"],
    "allOrders": REST["GET", "/api/v3/allOrders"],
    "myTrades": REST["GET", "/api/v3/myTrades"],
}

# What the WebSocket API does not have; the name is ours, for faults.
REST_ONLY: Final[dict[str, Endpoint]] = {"account.apiRestrictions": REST["GET", "/sapi/v1/account/apiRestrictions"]}

SPOT: Final = Interface(
    rest=REST,
    calls=WS_API,
    name_of={key: next(name for name, known in {**WS_API, **REST_ONLY}.items() if known is endpoint) for key, endpoint in REST.items()},
    gone=GONE,
)
