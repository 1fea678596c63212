"""What the venue refuses, in Binance's codes and words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from daemon.venue.endpoints import REST, REST_ONLY, WS_API
from daemon.venue.errors import VenueError
from daemon.venue.params import Params
from tests.venue.wire import Desk

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
LIMIT = ORDER | {"type": "LIMIT", "timeInForce": "GTC", "price": "60000"}
ID = "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'."
FUNDS = "Account has insufficient balance for requested action."
BAD_ORDERS: list[tuple[dict[str, str | None], int, str]] = [
    ({"symbol": "NOPEUSDT"}, -1121, "Invalid symbol."),
    ({"symbol": "btc/usdt"}, -1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'."),
    ({"symbol": None}, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
    ({"side": "HOLD"}, -1117, "Invalid side."),
    ({"type": "STOP_LOSS"}, -1116, "Invalid orderType."),
    ({"quantity": "abc"}, -1100, r"Illegal characters found in parameter 'quantity'; legal range is '^([0-9]{1,20})(\.[0-9]{1,20})?$'."),
    ({"quantity": "0.123456789"}, -1111, "Parameter 'quantity' has too much precision."),
    ({"quantity": "0"}, -1013, "Invalid quantity."),
    ({"quantity": "0.000011"}, -1013, "Filter failure: LOT_SIZE"),
    ({"quantity": "99999"}, -1013, "Filter failure: LOT_SIZE"),
    ({"quantity": "0.00001"}, -1013, "Filter failure: NOTIONAL"),
    ({"quantity": "5"}, -2010, FUNDS),
    ({"side": "SELL"}, -2010, FUNDS),
    ({"quantity": None}, -1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"),
    ({"quoteOrderQty": "10"}, -1128, "Combination of optional parameters invalid."),
    ({"quantity": None, "quoteOrderQty": "4"}, -1013, "Filter failure: NOTIONAL"),
    ({"price": "60000"}, -1106, "Parameter 'price' sent when not required."),
    ({"timeInForce": "GTC"}, -1106, "Parameter 'timeInForce' sent when not required."),
    (
        {"newClientOrderId": "a b"},
        -1100,
        ID,
    ),
    (
        {"newClientOrderId": "x" * 37},
        -1100,
        ID,
    ),
    ({"newOrderRespType": "SHORT"}, -1136, "Invalid newOrderRespType."),
]
BAD_LIMITS: list[tuple[dict[str, str | None], int, str]] = [
    ({"timeInForce": None}, -1102, "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed."),
    ({"timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
    ({"price": None}, -1102, "Mandatory parameter 'price' was not sent, was empty/null, or malformed."),
    ({"price": "60000.001"}, -1013, "Filter failure: PRICE_FILTER"),
    ({"price": "1"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ({"price": "0"}, -1013, "Invalid price."),
    ({"quantity": "3"}, -2010, FUNDS),
]


def refusal(desk: Desk, method: str, path: str, params: dict[str, str | None]) -> tuple[int, str]:
    """Code and words of a refused request, of which nothing may be left in the books."""
    with pytest.raises(VenueError) as caught:
        desk.call(method, path, **{name: value for name, value in params.items() if value is not None})
    assert not any(desk.exchange.matching.orders.values())
    assert desk.exchange.account.of("USDT").free == 100_000
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(("change", "code", "message"), BAD_ORDERS)
def test_bad_market_order(change: dict[str, str | None], code: int, message: str) -> None:
    """A market order with one thing wrong is refused for that and leaves no trace."""
    assert refusal(Desk(), "POST", "order", {**ORDER, **change}) == (code, message)


@pytest.mark.parametrize(("change", "code", "message"), BAD_LIMITS)
def test_bad_limit_order(change: dict[str, str | None], code: int, message: str) -> None:
    """A limit order with one thing wrong is refused for that and leaves no trace."""
    assert refusal(Desk(), "POST", "order", {**LIMIT, **change}) == (code, message)


@pytest.mark.parametrize(
    ("method", "path", "params", "code"),
    [
        ("GET", "order", {"symbol": "BTCUSDT", "orderId": "7"}, -2013),
        ("GET", "order", {"symbol": "BTCUSDT", "origClientOrderId": "never"}, -2013),
        ("GET", "order", {"symbol": "BTCUSDT"}, -1102),
        ("DELETE", "order", {"symbol": "BTCUSDT", "origClientOrderId": "never"}, -2011),
        ("DELETE", "openOrders", {"symbol": "BTCUSDT"}, -2011),
        ("GET", "klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("GET", "klines", {"symbol": "BTCUSDT"}, -1102),
        ("GET", "klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "0"}, -1130),
        ("GET", "exchangeInfo", {"symbols": '["BTCUSDT","NOPEUSDT"]'}, -1121),
        ("GET", "exchangeInfo", {"symbols": '["BTCUSDT","BTCUSDT"]'}, -1151),
        ("GET", "exchangeInfo", {"symbols": "BTCUSDT"}, -1100),
        ("GET", "exchangeInfo", {"symbols": '["BTCUSDT"]', "symbol": "BTCUSDT"}, -1128),
        ("GET", "myTrades", {"symbol": "BTCUSDT", "fromId": "1", "startTime": "1"}, -1128),
        ("GET", "myTrades", {"symbol": "BTCUSDT", "startTime": "1", "endTime": "86400002"}, -1127),
    ],
)
def test_bad_question(method: str, path: str, params: dict[str, Any], code: int) -> None:
    """A question about what is not there, or asked wrongly, has Binance's code."""
    assert refusal(Desk(), method, path, params)[0] == code


def test_halted_market_takes_no_orders() -> None:
    """A halted market refuses new orders and says so in its rules."""
    desk = Desk()
    desk.fault("market", symbol="BTC/USDT", halted=True)
    assert refusal(desk, "POST", "order", dict(ORDER)) == (-2010, "Market is closed.")
    assert desk.call("GET", "exchangeInfo", symbol="BTCUSDT")["symbols"][0]["status"] == "BREAK"


def test_too_many_open_orders() -> None:
    """The 201st open order of a market is refused."""
    desk = Desk()
    price = (desk.exchange.last(desk.exchange.market("BTCUSDT")) / 2).quantize(Decimal("0.01"))
    for _ in range(200):
        desk.limit("BUY", "0.001", price)
    with pytest.raises(VenueError, match="MAX_NUM_ORDERS"):
        desk.limit("BUY", "0.001", price)


def test_unread_parameters_are_refused() -> None:
    """A parameter that an end point does not know is an error, as at Binance, not ignored."""
    with pytest.raises(VenueError) as caught:
        REST["GET", "/api/v3/time"].check_names(Params({"now": "1"}))
    assert caught.value.code == -1104


def test_both_interfaces_have_the_same_end_points() -> None:
    """Every name on the WebSocket API is an end point of REST, and every end point of the spot API has a name there."""
    assert {id(endpoint) for endpoint in (WS_API | REST_ONLY).values()} == {id(endpoint) for endpoint in REST.values()}
