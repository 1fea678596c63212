"""What is known after a call failed: every class of ccxt's errors, and what Binance has been seen to answer."""

import json
from collections.abc import Iterator
from types import SimpleNamespace

import aiohttp
import pytest

from daemon.io.ccxt_client import RECV_WINDOW_MS, Guarded, build, calling
from daemon.io.ccxt_errors import BY_CLASS, Answer, classify, redact
from daemon.io.ccxt_library import ccxt
from daemon.io.clock import SystemClock
from daemon.io.exchange import Fatal, NotFound, NotSent, Reason, Refused, Unknown, Urgency, VenueError
from daemon.io.rategate import RateGate

KEY, SECRET = "canary-key-1234567890", "canary-secret-0987654321"


def subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for child in kind.__subclasses__():
        yield from subclasses(child)


ALL = sorted({kind for kind in subclasses(ccxt.BaseError) if kind.__module__.startswith("ccxt")}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_of_ccxt_is_decided(kind: type[ccxt.BaseError]) -> None:
    """No class of ccxt's errors is left to chance: a new one fails here until somebody decides it."""
    assert kind.__name__ in BY_CLASS
    outcome = classify(kind("x"), venue="kraken", answer=Answer(sent=True, status=400), order=True)
    assert type(outcome) in (Refused, NotFound, NotSent, Unknown, Fatal)


def test_no_decision_is_left_over() -> None:
    """The table has no class that ccxt has dropped."""
    assert set(BY_CLASS) == {kind.__name__ for kind in ALL}


def client() -> Guarded:
    clock = SystemClock()
    settings = {"apiKey": KEY, "secret": SECRET}
    return build("binance", Guarded, settings, {}, sandbox=True, clock=clock, gate=RateGate(clock))


async def answered(status: int, body: str, *, order: bool) -> VenueError | None:
    """What a recorded answer means, through ccxt's own reading of it."""
    exchange = client()
    url = f"http://127.0.0.1:9/api/v3/order?timestamp=1&signature={'f' * 64}"
    async with calling(Urgency.GROW, order=order) as call:
        call.answer.sent = True
        exchange.on_rest_response(status, "reason", url, "POST", {}, body, {}, "")
        try:
            exchange.handle_errors(status, "reason", url, "POST", {}, body, exchange.parse_json(body), {}, "")
            exchange.handle_http_status_code(status, "reason", url, "POST", body)
        except ccxt.BaseError as error:
            return classify(error, venue="binance", answer=call.answer, order=order, secrets=(KEY, SECRET))
    return None


def said(code: int, text: str) -> str:
    return json.dumps({"code": code, "msg": text})


RECORDED = [
    (503, said(-1000, "An unknown error occurred while processing the request."), Unknown, Reason.OTHER),
    (400, said(-1001, "Internal error; unable to process your request. Please try again."), Unknown, Reason.OTHER),
    (400, said(-1002, "You are not authorized to execute this request."), Refused, Reason.PERMISSION),
    (429, said(-1003, "Too much request weight used; current limit is 6000 request weight per 1 MINUTE."), Refused, Reason.RATE_LIMITED),
    (418, said(-1003, "Way too much request weight used; IP banned until 1700000000000."), Refused, Reason.RATE_LIMITED),
    (400, said(-1006, "An unexpected response was received from the message bus. Execution status unknown."), Unknown, Reason.OTHER),
    (400, said(-1007, "Timeout waiting for response from backend server. Send status unknown."), Unknown, Reason.OTHER),
    (503, said(-1008, "Server is currently overloaded with other requests."), Refused, Reason.RATE_LIMITED),
    (400, said(-1013, "Filter failure: LOT_SIZE"), Refused, Reason.FILTER),
    (400, said(-1013, "Filter failure: PRICE_FILTER"), Refused, Reason.FILTER),
    (400, said(-1013, "Filter failure: NOTIONAL"), Refused, Reason.NOTIONAL_MIN),
    (400, said(-1015, "Too many new orders; current limit is 100 orders per 10 SECOND."), Refused, Reason.RATE_LIMITED),
    (400, said(-1016, "This service is no longer available."), Refused, Reason.MAINTENANCE),
    (400, said(-1021, "Timestamp for this request is outside of the recvWindow."), Refused, Reason.CLOCK_SKEW),
    (400, said(-1022, "Signature for this request is not valid."), Fatal, Reason.CREDENTIALS),
    (400, said(-1100, "Illegal characters found in parameter 'price'."), Refused, Reason.BAD_REQUEST),
    (400, said(-1121, "Invalid symbol."), Refused, Reason.MARKET_CLOSED),
    (400, said(-2010, "Account has insufficient balance for requested action."), Refused, Reason.INSUFFICIENT_FUNDS),
    (400, said(-2010, "Duplicate order sent."), Unknown, Reason.DUPLICATE_ID),
    (400, said(-2010, "Market is closed."), Refused, Reason.MARKET_CLOSED),
    (400, said(-1013, "Market is closed."), Refused, Reason.MARKET_CLOSED),
    (400, said(-1010, "Market is closed."), Refused, Reason.MARKET_CLOSED),
    (400, said(-1013, "Account has insufficient balance for requested action."), Refused, Reason.INSUFFICIENT_FUNDS),
    (400, said(-1013, "Invalid quantity."), Refused, Reason.FILTER),
    (400, said(-2010, "This symbol is not permitted for this account."), Refused, Reason.PERMISSION),
    (400, said(-2010, "This symbol is restricted for this account."), Refused, Reason.PERMISSION),
    (400, said(-2010, "This account may not place or cancel orders."), Refused, Reason.PERMISSION),
    (400, said(-2011, "Unknown order sent."), NotFound, Reason.OTHER),
    (400, said(-2013, "Order does not exist."), NotFound, Reason.OTHER),
    (401, said(-2014, "API-key format invalid."), Fatal, Reason.CREDENTIALS),
    (401, said(-2015, "Invalid API-key, IP, or permissions for action."), Fatal, Reason.CREDENTIALS),
    (400, said(-2019, "Margin is insufficient."), Refused, Reason.INSUFFICIENT_FUNDS),
    (400, said(-2022, "ReduceOnly Order is rejected."), Refused, Reason.REDUCE_ONLY),
    (400, said(-4116, "ClientOrderId is duplicated."), Unknown, Reason.DUPLICATE_ID),
    (400, said(-4140, "Invalid symbol status for opening position."), Refused, Reason.MARKET_CLOSED),
    (400, said(-2023, "User in liquidation mode now."), Refused, Reason.OTHER),
    (400, said(-5028, "Timestamp for this request is outside of the ME recvWindow."), Refused, Reason.CLOCK_SKEW),
    (400, said(-4164, "Order's notional must be no smaller than 5.0 (unless you choose reduce only)"), Refused, Reason.NOTIONAL_MIN),
    (
        400,
        said(-5022, "Due to the order could not be executed as maker, the Post Only order is rejected."),
        Refused,
        Reason.WOULD_CROSS,
    ),
    (400, said(-2010, "Order would immediately match and take."), Refused, Reason.WOULD_CROSS),
    (400, said(-9999, "A code that nobody knows."), Refused, Reason.OTHER),
    (500, said(-9999, "A code that nobody knows."), Unknown, Reason.OTHER),
    (502, "<html><h1>502 Bad Gateway</h1></html>", Unknown, Reason.OTHER),
    (503, "<html><h1>503 Service Unavailable</h1></html>", Unknown, Reason.OTHER),
    (403, "<html>blocked by the firewall</html>", Unknown, Reason.OTHER),
    (404, "<html>Not Found</html>", Unknown, Reason.OTHER),
    (451, said(0, "Service unavailable from a restricted location."), Refused, Reason.PERMISSION),
]


@pytest.mark.parametrize(("status", "body", "kind", "reason"), RECORDED, ids=lambda value: str(value)[:60])
async def test_what_binance_answers_to_an_order(status: int, body: str, kind: type[VenueError], reason: Reason) -> None:
    """A recorded answer to an order means what the venue means by it, on whatever host it comes."""
    outcome = await answered(status, body, order=True)
    assert outcome is not None
    assert (type(outcome), outcome.reason) == (kind, reason)


@pytest.mark.parametrize(("status", "body"), [(400, said(-1002, "not authorized")), (451, said(0, "restricted"))])
async def test_a_missing_permission_to_read_is_fatal(status: int, body: str) -> None:
    """Where one order is refused for want of a permission others may pass; an account that may not be read will not be."""
    outcome = await answered(status, body, order=False)
    assert isinstance(outcome, Fatal)


async def test_minus_2015_stays_fatal_after_a_success() -> None:
    """After one success ccxt takes a revoked key for a ban; the code says what it is."""
    exchange = client()
    exchange.options["hasAlreadyAuthenticatedSuccessfully"] = True
    body = said(-2015, "Invalid API-key, IP, or permissions for action.")
    async with calling(Urgency.RECONCILE) as call:
        with pytest.raises(ccxt.DDoSProtection) as caught:
            exchange.handle_errors(401, "", "http://127.0.0.1", "GET", {}, body, json.loads(body), {}, "")
        outcome = classify(caught.value, venue="binance", answer=call.answer)
    assert (type(outcome), outcome.reason) == (Fatal, Reason.CREDENTIALS)


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


REFUSED_CONNECTION = aiohttp.ClientConnectorError(
    SimpleNamespace(host="h", port=1, is_ssl=False, ssl=None),  # type: ignore[arg-type]
    ConnectionRefusedError(111, "refused"),
)


@pytest.mark.parametrize(
    ("error", "sent", "kind"),
    [
        (caused(ccxt.ExchangeNotAvailable("x"), REFUSED_CONNECTION), True, NotSent),
        (caused(ccxt.RequestTimeout("x"), aiohttp.ConnectionTimeoutError()), True, NotSent),
        (caused(ccxt.RequestTimeout("x"), aiohttp.SocketTimeoutError()), True, Unknown),
        (caused(ccxt.RequestTimeout("x"), TimeoutError()), True, Unknown),
        (caused(ccxt.ExchangeNotAvailable("x"), aiohttp.ServerDisconnectedError()), True, Unknown),
        (caused(ccxt.ExchangeError("x"), aiohttp.ClientPayloadError()), True, Unknown),
        (ccxt.OperationFailed("x"), True, Unknown),
        (ccxt.InvalidOrder("amount too small, says ccxt itself"), False, Refused),
        (KeyError("fills"), True, Unknown),
        (KeyError("market"), False, NotSent),
    ],
    ids=lambda value: getattr(value, "__name__", None) or repr(value)[:50],
)
def test_the_cause_tells_whether_it_was_sent(error: Exception, sent: bool, kind: type[VenueError]) -> None:
    """Only a connection that was never made proves that nothing was sent; a break after that proves nothing."""
    assert type(classify(error, venue="binance", answer=Answer(sent=sent), order=True)) is kind


def test_texts_carry_no_signature_and_no_secret() -> None:
    """A signed URL loses its query, a secret its digits, a page its length."""
    url = f"http://127.0.0.1:1/api/v3/order?symbol=X&timestamp=1&signature={'ab' * 32}"
    text = redact(f"binance POST {url} 502 {SECRET} X-MBX-APIKEY: {KEY} <html>{'x' * 5_000}", (KEY, SECRET))
    assert "signature" not in text
    assert "canary" not in text
    assert "http://127.0.0.1:1/api/v3/order" in text
    assert len(text) <= 300


def test_an_own_error_passes_unchanged() -> None:
    """What the gate or the door itself said needs no reading."""
    own = NotSent("no room", Reason.RATE_LIMITED, 3.0)
    assert classify(own, venue="binance", answer=Answer()) is own


async def test_the_order_window_is_short() -> None:
    """A request signed by the door is void at the venue after five seconds, unless the user says otherwise."""
    assert client().options["recvWindow"] == RECV_WINDOW_MS == 5_000
