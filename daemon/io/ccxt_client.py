"""The one ccxt instance behind the door: built for a mode, guarded at every way out and in.

Rule: no request leaves without a token of the gate, taken before it is signed; none goes to a host that the configuration does not imply;
an answer that is not JSON is an error, and so is a websocket frame that cannot be read. No amount or price passes through a float.
"""

import asyncio
import difflib
import json
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import localcontext
from types import SimpleNamespace
from typing import Any, Final, Protocol, cast

import aiohttp

from daemon.core.model import epoch_ms
from daemon.io.ccxt_address import address, endpoint, merged
from daemon.io.ccxt_errors import Answer
from daemon.io.ccxt_library import ccxt
from daemon.io.ccxt_types import Ccxt, Json, Socket
from daemon.io.clock import Clock
from daemon.io.exchange import LEAVING, Fatal, NotSent, Reason, Urgency, Usage

WEIGHT: Final = "weight"
ORDERS: Final = "orders"
MESSAGES: Final = "messages"

TIMEOUT_MS: Final = 10_000
RECV_WINDOW_MS: Final = 5_000  # ccxt's 10 s would let a request that nobody waits for any more still trade
KEEPALIVE_MS: Final = 4_000  # with the two misses that ccxt allows, a half-open connection ends 12 s after its last pong
CLOSE_S: Final = 1.0  # aiohttp would wait ten for a good-bye, which does not come where the other side hangs; a stop and a new dial do not
CACHE_ROWS: Final = 10  # ccxt keeps this many rows per stream, which nobody reads: bars are stored elsewhere
PAUSE_429_S: Final = 30.0  # where the venue says "too many" without saying for how long
PAUSE_418_S: Final = 120.0  # the shortest ban
PAUSE_MAX_S: Final = 3 * 86_400.0  # the longest ban of Binance's; a longer one is a figure of another unit
FIGURES_MAX: Final = 12  # of a number in a header
BANNED_UNTIL: Final = re.compile(r"banned until (\d{13})")  # ms; how Binance says it where no header does


class Gate(Protocol):
    """What the door needs of a RateGate. `told` hears of every silence that the venue asks for, in seconds."""

    told: Callable[[float], None]

    async def acquire(self, urgency: Urgency, charges: Mapping[str, float]) -> None:
        """Wait for a token, or NotSent."""
        ...

    def limit(self, lane: str, amount: float, window_s: float, *, tiered: bool = True) -> None:
        """State a limit of the venue."""
        ...

    def usage(self) -> Usage:
        """How much of the limits is used."""
        ...

    def learn(self, lane: str, used: float, age_s: float = 0.0) -> None:
        """Pass on what the venue says it has counted, in a window that began `age_s` ago."""
        ...

    def pause(self, seconds: float) -> None:
        """Be silent for that long."""
        ...

    def shut(self) -> None:
        """Let no new order pass any more."""
        ...


@dataclass(slots=True)
class Call:
    """One call through the door, while it is under way: what it is worth, and what became of it."""

    urgency: Urgency
    order: bool = False
    answer: Answer = field(default_factory=Answer)


CALL: Final[ContextVar[Call | None]] = ContextVar("ccxt_call", default=None)


class Guarded(Ccxt):
    """Laid over a ccxt class: the ways out (`fetch2`, `fetch`, `client`) and in (`on_rest_response`, `handle_errors`, `handle_message`)."""

    number = str  # ccxt's parsers then keep the venue's digits: 18446744073.12345678 is no float

    def __init__(self, config: Mapping[str, object], clock: Clock, gate: Gate) -> None:
        self.house = SimpleNamespace(clock=clock, gate=gate, address=None)
        self.calls: Counter[str] = Counter()  # by end point: what was called how often
        self.taps: dict[str, Callable[[Any], bool]] = {}  # by websocket URL: who reads its messages first; True: read
        self.dialled: list[Callable[[], None]] = []  # told of every websocket that has been connected
        super().__init__(config)

    def milliseconds(self) -> int:
        """The house's wall clock, where ccxt would look at the machine's."""
        return epoch_ms(self.house.clock.now())

    def on_json_response(self, text: str) -> Any:
        """Numbers with a point stay text: a float would round them before anyone could parse them."""
        return json.loads(text, parse_float=str)

    def charges(self, path: str, api: Any, method: str, params: Any, config: Any) -> dict[str, float]:
        """What the request costs, by lane of the gate: here ccxt's own figure for the end point."""
        return {WEIGHT: float(self.calculate_rate_limiter_cost(api, method, path, params, config))}

    async def fetch2(self, path: str, api: Any = "public", method: str = "GET", params: Any = None, config: Any = None) -> Any:
        """Every REST request of ccxt: a token first, then the signature, so that no signed request ages in a queue."""
        params, config = params or {}, config or {}
        name = f"{method} {api if isinstance(api, str) else '.'.join(api)}/{path}"
        self.calls[name] += 1
        call = CALL.get()
        await self.house.gate.acquire(call.urgency if call else Urgency.DATA, self.charges(path, api, method, params, config))
        return await super().fetch2(path, api, method, params, config)

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """The request itself, to an implied host only. An answer that is not JSON is no answer: it may be anybody's page."""
        if not self.house.address.implies(url):
            raise Fatal(f"{endpoint(url)} is not a host that the configuration implies: not called", Reason.BAD_REQUEST)
        call = CALL.get()
        if call is not None:
            call.answer.sent = True
        answer = await _answered(super().fetch(url, method, headers, body))
        if not isinstance(answer, dict | list):
            status = call.answer.status if call is not None else None
            raise ccxt.BadResponse(f"{self.id} answered {status or ''} with something that is not JSON: {str(answer)[:80]!r}")
        return answer

    def on_rest_response(self, code: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str, *rest: object) -> str:
        """Note the status, and be silent for as long as the venue asks."""
        call = CALL.get()
        wait_s = _retry_after(headers) if code in (418, 429, 503) else None
        if code in (418, 429):
            wait_s = min(wait_s or self._ban_s(body) or (PAUSE_418_S if code == 418 else PAUSE_429_S), PAUSE_MAX_S)
            self.house.gate.pause(wait_s)
        if call is not None:
            call.answer.status, call.answer.retry_after_s = code, wait_s
        return super().on_rest_response(code, reason, url, method, headers, body, *rest)

    def _ban_s(self, body: str) -> float | None:
        until = BANNED_UNTIL.search(body)
        return max(1.0, (int(until[1]) - self.milliseconds()) / 1000) if until else None

    def handle_errors(self, code: int, reason: str, url: str, method: str, headers: Any, body: str, response: Any, *rest: object) -> object:
        """Note the venue's own code before ccxt turns it into a class."""
        call = CALL.get()
        if call is not None and isinstance(response, dict):
            said = response.get("code", response.get("retCode"))
            call.answer.code = None if said is None else str(said)
            call.answer.text = str(response.get("msg", response.get("retMsg", "")))
        return super().handle_errors(code, reason, url, method, headers, body, response, *rest)

    async def listed(self, symbols: Sequence[str]) -> list[Json]:
        """The venue's markets: at least those of `symbols`, where it has them; all for none."""
        return list((await self.load_markets(True)).values())  # noqa: FBT003 - ccxt's signature

    def open(self, lazy: bool = False) -> None:  # noqa: FBT001, FBT002 - ccxt's signature
        """A session like any of ccxt's, except that a redirect is refused: it would carry the key's header to another host."""
        fresh = self.session is None
        super().open(lazy)
        if fresh and self.session is not None:
            trace = aiohttp.TraceConfig()
            trace.on_request_redirect.append(_refuse_redirect)
            trace.on_request_headers_sent.append(_leaving)
            trace.freeze()
            self.session.trace_configs.append(trace)
            # aiohttp would send a GET or DELETE again by itself when a kept connection breaks, past the gate and with an aged signature.
            self.session._retry_connection = False  # noqa: SLF001 - it has no public switch

    def client(self, url: str) -> Socket:
        """A websocket to an implied host; one frame that cannot be read ends it, instead of its reader in silence."""
        if "://" in url and not self.house.address.implies(url):
            text = f"{endpoint(url)} is not a host that the configuration implies: name it under exchange.ccxt.urls"
            raise (NotSent if endpoint(url) in self.house.address.unnamed else Fatal)(text, Reason.BAD_REQUEST)
        fresh = url not in self.clients
        socket = super().client(url)
        if fresh:
            self.calls[f"WS {endpoint(url)}"] += 1
            socket.handle_message = _guarded(socket)
        return socket

    def handle_message(self, client: Socket, message: Any) -> None:
        """A message of a websocket: first to who taps it, then to ccxt."""
        tap = self.taps.get(client.url)
        if tap is None or not tap(message):
            super().handle_message(client, message)

    def on_connected(self, client: Socket, message: object = None) -> None:
        """A websocket stands."""
        super().on_connected(client, message)
        for told in tuple(self.dialled):
            told()

    async def drop(self, socket: Socket, error: Exception) -> None:
        """Close one websocket. Who waits on it gets `error`, where ccxt would have cancelled it like a task."""
        socket.error = socket.error or error
        if self.clients.get(socket.url) is socket:
            del self.clients[socket.url]
        for future in socket.futures.values():
            future.add_done_callback(heard)  # some of ccxt's own are awaited by nobody
        socket.reject(error)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await socket.close()


async def _answered(request: Coroutine[Any, Any, Any]) -> Any:
    """What a request comes to.

    In a task of its own: aiohttp leaves its timer twice, and takes a cancellation of its caller's that comes in the same turn of the loop
    for its own, so that a reading that was to end went on for as long as the exchange did not answer.
    """
    task = asyncio.create_task(request)
    task.add_done_callback(heard)
    try:
        await asyncio.wait((task,))
    finally:
        task.cancel()
    return task.result()


def heard(future: "asyncio.Future[Any]") -> None:
    """Look at how a future ended, so that asyncio does not report it as overlooked when its waiter has gone before."""
    if not future.cancelled():
        future.exception()


def _guarded(socket: Socket) -> Callable[[Any], None]:
    read = socket.handle_message

    def handle(message: Any) -> None:
        if socket.error is not None:
            return  # what is still in the buffer of a connection that has been given up
        try:
            read(message)
        except Exception as error:
            # ccxt reads in a callback of the loop: an exception there would end the reading, and nobody would ever be told.
            known = isinstance(error, ccxt.BaseError)
            socket.on_error(error if known else ccxt.NetworkError(f"unreadable frame: {type(error).__name__}: {error}"))

    return handle


async def _refuse_redirect(session: object, context: object, params: aiohttp.TraceRequestRedirectParams) -> None:
    raise ccxt.BadResponse(f"{params.method} {params.url} was redirected, which no API does: not followed")


async def _leaving(_session: object, _context: object, _params: aiohttp.TraceRequestHeadersSentParams) -> None:
    LEAVING.get()()


def _retry_after(headers: Mapping[str, str]) -> float | None:
    said = next((value for key, value in headers.items() if key.lower() == "retry-after"), "")
    return float(said) if said.isascii() and said.isdigit() and len(said) < FIGURES_MAX else None


@asynccontextmanager
async def calling(urgency: Urgency, *, order: bool = False) -> AsyncIterator[Call]:
    """The frame of one call. ccxt's rounding sets the current decimal context: here that is a copy, so that no other sum changes."""
    call = Call(urgency, order)
    token = CALL.set(call)
    try:
        with localcontext():
            yield call
    finally:
        CALL.reset(token)


def build(
    venue: str,
    layer: type[Guarded],
    settings: Mapping[str, object],
    overrides: Mapping[str, object],
    *,
    sandbox: bool,
    clock: Clock,
    gate: Gate,
    kind: str = "spot",
) -> Guarded:
    """A guarded instance of ccxt's class `venue`, in its mode, with `overrides` over `settings` over the door's own, deeply.

    `kind` of its markets: spot, or swap.

    Raises:
        Fatal: ccxt has no such exchange, or the mode cannot be had (see ccxt_address).
    """
    base = class_of(venue)
    plain = base({"number": str})
    given = overrides.get("urls")
    hostname = str(overrides.get("hostname") or plain.hostname or "")
    where = address(plain.urls, given if isinstance(given, Mapping) else {}, venue=venue, hostname=hostname, sandbox=sandbox)
    own = {"options": _one_kind(plain.options, kind)}
    config = merged(merged(merged(_defaults(kind), own), settings), {**overrides, "urls": where.urls})
    client = cast("Guarded", type(venue, (layer, base), {})(config, clock, gate))
    if where.switch is not None:
        getattr(client, where.switch)(True)  # noqa: FBT003 - ccxt's signature; before anything else
    client.house.address = where
    client.verbose = False  # ccxt would print the key
    client.has = {**client.has, "fetchCurrencies": False}  # a keyed load of currencies asks margin end points for things we never use
    # At DEBUG ccxt logs the key and the signed body; this cap holds whatever the program's own level is.
    logging.getLogger("ccxt").setLevel(logging.INFO)
    return client


def class_of(venue: str) -> Any:
    """The class of ccxt for an exchange. Fatal: it has none."""
    known = sorted({*ccxt.pro.exchanges, *ccxt.async_support.exchanges})
    if venue not in known:
        near = difflib.get_close_matches(venue, known, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; it has {len(known)} others, e.g. binance, kraken, okx"
        raise Fatal(f"ccxt has no exchange {venue!r}{hint}", Reason.BAD_REQUEST)
    return getattr(ccxt.pro if venue in ccxt.pro.exchanges else ccxt.async_support, venue)


def _one_kind(options: Json, kind: str) -> Json:
    """The option that loads one kind of market alone, in the shape that this class has it."""
    types = options["fetchMarkets"].get("types") if isinstance(options.get("fetchMarkets"), dict) else None
    if isinstance(types, list):
        return {"fetchMarkets": {"types": [kind]}}
    if isinstance(types, dict):
        return {"fetchMarkets": {"types": {each: each == kind for each in types if not isinstance(types[each], dict)}}}
    return {}


def _defaults(kind: str) -> Json:
    return {
        "enableRateLimit": False,  # the gate stands in front; ccxt's own throttler delays the twelfth order by 121 ms
        "timeout": TIMEOUT_MS,
        "newUpdates": True,
        "streaming": {"keepAlive": KEEPALIVE_MS, "maxPingPongMisses": 2},
        "options": {
            "maxRetriesOnFailure": 0,  # a retry of ccxt's own would buy twice
            "recvWindow": RECV_WINDOW_MS,
            "defaultType": kind,
            "adjustForTimeDifference": False,  # one single measurement, at load; the door measures by itself
            "OHLCVLimit": CACHE_ROWS,
            "tradesLimit": CACHE_ROWS,
            "ordersLimit": CACHE_ROWS * 10,
        },
    }
