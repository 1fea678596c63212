"""What is known after a call through ccxt failed: its exceptions become the house's five.

Rule: the venue's own code decides first, then ccxt's class, then the cause; what nobody decided is Unknown. The class alone misleads: ccxt
picks its table by host name, so on any other host than the venue's own the same code changes class. Texts carry no query string, no secret.
"""

import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from types import MappingProxyType
from typing import Any, Final, TypeVar

import aiohttp

from daemon.io.ccxt_library import ccxt
from daemon.io.exchange import Fatal, NotFound, NotSent, Reason, Refused, Unknown, VenueError

T = TypeVar("T")
Outcome = tuple[type[VenueError], Reason]

TEXT_MAX: Final = 300  # a maintenance page is a megabyte; its beginning names it
SECRET_MIN: Final = 6  # shorter is no secret that anybody keeps, and replacing it would shred every text

# What breaks over an answer that has anything where something else was expected.
UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

UNSURE: Final[Outcome] = (Unknown, Reason.OTHER)
# Our order exists already: that is no refusal of it, so only a look-up may end it.
DUPLICATE: Final[Outcome] = (Unknown, Reason.DUPLICATE_ID)

# Every class of ccxt's errors, decided one by one; a test fails on one that is missing.
BY_CLASS: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "BaseError": UNSURE,
        "ExchangeError": (Refused, Reason.OTHER),
        "AuthenticationError": (Fatal, Reason.CREDENTIALS),
        "PermissionDenied": (Fatal, Reason.PERMISSION),
        "AccountNotEnabled": (Fatal, Reason.PERMISSION),
        "AccountSuspended": (Fatal, Reason.PERMISSION),
        "ArgumentsRequired": (Refused, Reason.BAD_REQUEST),
        "BadRequest": (Refused, Reason.BAD_REQUEST),
        "BadSymbol": (Refused, Reason.BAD_REQUEST),
        "OperationRejected": (Refused, Reason.OTHER),
        "NoChange": (Refused, Reason.NO_CHANGE),
        "MarginModeAlreadySet": (Refused, Reason.NO_CHANGE),
        "MarketClosed": (Refused, Reason.MARKET_CLOSED),
        "ManualInteractionNeeded": (Refused, Reason.PERMISSION),
        "RestrictedLocation": (Fatal, Reason.PERMISSION),
        "InsufficientFunds": (Refused, Reason.INSUFFICIENT_FUNDS),
        "InvalidAddress": (Refused, Reason.BAD_REQUEST),
        "AddressPending": (Refused, Reason.BAD_REQUEST),
        "InvalidOrder": (Refused, Reason.FILTER),
        "OrderNotFound": (NotFound, Reason.OTHER),
        "OrderNotCached": UNSURE,  # ccxt's own memory has no such order, which the venue has not been asked about
        "OrderImmediatelyFillable": (Refused, Reason.WOULD_CROSS),
        "OrderNotFillable": (Refused, Reason.OTHER),
        "DuplicateOrderId": DUPLICATE,
        "ContractUnavailable": (Refused, Reason.MARKET_CLOSED),
        "NotSupported": (Fatal, Reason.BAD_REQUEST),
        "InvalidProxySettings": (Fatal, Reason.BAD_REQUEST),
        "ExchangeClosedByUser": (NotSent, Reason.OTHER),
        "OperationFailed": UNSURE,
        "NetworkError": UNSURE,
        "DDoSProtection": (Refused, Reason.RATE_LIMITED),
        "RateLimitExceeded": (Refused, Reason.RATE_LIMITED),
        "ExchangeNotAvailable": UNSURE,
        "OnMaintenance": (Refused, Reason.MAINTENANCE),
        "InvalidNonce": (Refused, Reason.CLOCK_SKEW),
        "ChecksumError": UNSURE,
        "RequestTimeout": UNSURE,
        "BadResponse": UNSURE,
        "NullResponse": UNSURE,
        "CancelPending": UNSURE,
        "UnsubscribeError": UNSURE,
    },
)

# These say no whatever the HTTP status; of any other refusal under a 5xx the venue itself says that the outcome is unknown.
SURE_UNDER_5XX: Final = frozenset({Reason.RATE_LIMITED, Reason.MAINTENANCE, Reason.CLOCK_SKEW})

# developers.binance.com/docs/binance-spot-api-docs/errors, and the futures' codes that a spot host has been seen to answer.
BINANCE: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "-1000": UNSURE,
        "-1001": UNSURE,
        "-1002": (Fatal, Reason.PERMISSION),
        "-1003": (Refused, Reason.RATE_LIMITED),
        "-1004": UNSURE,
        "-1006": UNSURE,  # "Execution status unknown", says the venue
        "-1007": UNSURE,  # likewise
        "-1008": (Refused, Reason.RATE_LIMITED),  # overloaded, and certain not to have been executed
        "-1010": (Refused, Reason.OTHER),
        "-1013": (Refused, Reason.FILTER),
        "-1014": (Refused, Reason.BAD_REQUEST),
        "-1015": (Refused, Reason.RATE_LIMITED),
        "-1016": (Refused, Reason.MAINTENANCE),
        "-1020": (Refused, Reason.BAD_REQUEST),
        "-1021": (Refused, Reason.CLOCK_SKEW),
        "-1022": (Fatal, Reason.CREDENTIALS),
        "-1034": (Refused, Reason.RATE_LIMITED),
        "-2008": (Fatal, Reason.CREDENTIALS),
        "-2010": (Refused, Reason.OTHER),
        "-2011": (Refused, Reason.OTHER),
        "-2013": (NotFound, Reason.OTHER),
        "-2014": (Fatal, Reason.CREDENTIALS),
        "-2015": (Fatal, Reason.CREDENTIALS),
        "-1121": (Refused, Reason.MARKET_CLOSED),  # "Invalid symbol", which was listed when its rules were read
        "-2016": (Refused, Reason.MARKET_CLOSED),
        "-2018": (Refused, Reason.INSUFFICIENT_FUNDS),
        "-2019": (Refused, Reason.INSUFFICIENT_FUNDS),
        "-2020": (Refused, Reason.OTHER),  # nobody was there to trade with
        "-2022": (Refused, Reason.REDUCE_ONLY),
        "-2023": (Refused, Reason.OTHER),  # while a liquidation is under way
        "-2026": (NotFound, Reason.OTHER),
        "-4116": DUPLICATE,
        "-4046": (Refused, Reason.NO_CHANGE),  # the margin type is set already
        "-4059": (Refused, Reason.NO_CHANGE),  # and the position mode
        "-4108": (Refused, Reason.MARKET_CLOSED),  # being settled or delivered, closed, or not open yet
        "-4140": (Refused, Reason.MARKET_CLOSED),  # likewise, of what would grow
        "-4164": (Refused, Reason.NOTIONAL_MIN),
        "-5022": (Refused, Reason.WOULD_CROSS),
        "-5028": (Refused, Reason.CLOCK_SKEW),  # the matching engine's own look at the time
    },
)
BINANCE_RANGES: Final[tuple[tuple[int, int, Outcome], ...]] = (
    (-1199, -1100, (Refused, Reason.BAD_REQUEST)),
    (-4033, -4000, (Refused, Reason.FILTER)),
)

# One code, several meanings: the venue's sentence tells them apart. Why an order is not taken is said under any of PLACING, by whichever
# part of the venue has noticed first: "Market is closed." mostly comes as -1013.
PLACING: Final = frozenset({"-1010", "-1013", "-2010"})
BINANCE_TEXTS: Final[tuple[tuple[frozenset[str], str, Outcome], ...]] = (
    (PLACING, "duplicate order", DUPLICATE),
    (PLACING, "immediately match", (Refused, Reason.WOULD_CROSS)),
    (PLACING, "insufficient balance", (Refused, Reason.INSUFFICIENT_FUNDS)),
    (PLACING, "market is closed", (Refused, Reason.MARKET_CLOSED)),
    (PLACING, "not permitted", (Refused, Reason.PERMISSION)),
    (PLACING, "restricted for this account", (Refused, Reason.PERMISSION)),
    (PLACING, "disabled on this account", (Fatal, Reason.PERMISSION)),
    (PLACING, "may not place", (Fatal, Reason.PERMISSION)),
    (PLACING, "trading is not enabled", (Fatal, Reason.PERMISSION)),
    (PLACING, "notional", (Refused, Reason.NOTIONAL_MIN)),
    (frozenset({"-2011"}), "unknown order", (NotFound, Reason.OTHER)),
)

BINANCE_FAMILY: Final = frozenset({"binance", "binanceus", "binancecoinm", "binanceusdm"})


@dataclass(slots=True)
class Answer:
    """What came back of one request, as far as it matters for its outcome. `sent`: the request was handed to the transport."""

    sent: bool = False
    status: int | None = None
    code: str | None = None
    text: str = ""
    retry_after_s: float | None = None


def classify(error: Exception, *, venue: str, answer: Answer, order: bool = False, secrets: Iterable[str] = ()) -> VenueError:
    """The outcome of a call that ended with `error`. `order`: it was an order of ours, so a permission missing concerns that order only."""
    if isinstance(error, VenueError):
        return error
    kind, reason = _outcome(error, venue, answer)
    if order and kind is Fatal and reason is Reason.PERMISSION:
        kind = Refused
    return kind(_sentence(error, secrets), reason, answer.retry_after_s)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` on one line and not too long, without query strings, signatures and `secrets`."""
    for secret in secrets:
        if len(secret) >= SECRET_MIN:
            text = text.replace(secret, "***")
    text = re.sub(r"://[^/\s@]+@", "://", text)  # a proxy's password
    text = re.sub(r"((?:https?|wss?)://[^\s?'\"]*)\?[^\s'\"]*", r"\1", text)
    text = re.sub(r"(?i)\b(signature|apikey|api_key|secret|listenkey)([\"']?\s*[=:]\s*[\"']?)[\w%+/=.-]+", r"\1\2***", text)
    return " ".join(text.split())[:TEXT_MAX]


def _sentence(error: Exception, secrets: Iterable[str]) -> str:
    said = redact(str(error), secrets)
    cause = error.__cause__
    why = f" ({type(cause).__name__})" if cause is not None else ""
    return f"{said}{why}" if isinstance(error, ccxt.BaseError) and said else f"{type(error).__name__}: {said}{why}"


def _outcome(error: Exception, venue: str, answer: Answer) -> Outcome:
    if answer.status in (418, 429):
        return Refused, Reason.RATE_LIMITED
    by_code = _by_code(venue, answer)
    if by_code is not None:
        return by_code
    if answer.status == 451:
        return Fatal, Reason.PERMISSION  # refused for the country, before anything looked at the request
    return _by_class(error, answer)


def _by_code(venue: str, answer: Answer) -> Outcome | None:
    if venue not in BINANCE_FAMILY or answer.code is None:
        return None
    text = answer.text.lower()
    for codes, words, outcome in BINANCE_TEXTS:
        if answer.code in codes and words in text:
            return outcome
    if answer.code in BINANCE:
        return BINANCE[answer.code]
    number = int(answer.code) if re.fullmatch(r"-?\d+", answer.code) else 0
    return next((outcome for low, high, outcome in BINANCE_RANGES if low <= number <= high), None)


def _by_class(error: Exception, answer: Answer) -> Outcome:
    if _never_connected(error):
        return NotSent, Reason.OTHER
    if not isinstance(error, ccxt.BaseError):
        return UNSURE if answer.sent else (NotSent, Reason.OTHER)
    kind, reason = BY_CLASS.get(type(error).__name__, UNSURE)
    if kind is Refused and reason not in SURE_UNDER_5XX and ((answer.status or 0) >= 500 or error.__cause__ is not None):
        return UNSURE  # a 5xx, or an answer that broke off on its way
    return kind, reason


def _never_connected(error: BaseException) -> bool:
    """Whether the cause proves that no connection was made, so that nothing was sent on it."""
    seen = error.__cause__ or error
    if isinstance(seen, aiohttp.ClientConnectorError | socket.gaierror | ConnectionRefusedError):
        return True
    return isinstance(seen, aiohttp.ConnectionTimeoutError) and not isinstance(seen, aiohttp.SocketTimeoutError)


@contextmanager
def reading() -> Iterator[None]:
    """Within this, an answer is read. Unknown: it has something where something else must be, so that nothing is known of what it tells."""
    try:
        yield
    except UNREADABLE as error:
        raise Unknown(f"the venue's answer cannot be read ({type(error).__name__})") from None


def judged(door: type[T]) -> type[T]:
    """Have every question of a door end with an answer or a VenueError, whatever the venue says. Streams see to that themselves."""
    for name, method in list(vars(door).items()):
        if iscoroutinefunction(method) and not name.startswith(("_", "watch_")):
            setattr(door, name, _judged(method))
    return door


def _judged(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def call(*given: Any, **named: Any) -> Any:
        with reading():
            return await method(*given, **named)

    return call
