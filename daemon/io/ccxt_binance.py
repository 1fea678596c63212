"""What the door knows of Binance beyond ccxt: markets by name, stated limits, the closed flag of a candle, the user stream as it is.

Rule: nothing here replaces ccxt's signing, addressing or sockets; it reads messages before ccxt would drop half of them, and asks for less.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from daemon.core.model import ZERO, Fill, Instrument, Money, OrderReport, Side, Status
from daemon.io import ccxt_parse as parse
from daemon.io.ccxt_client import FIGURES_MAX, MESSAGES, ORDERS, WEIGHT, Guarded, heard
from daemon.io.ccxt_library import ccxt
from daemon.io.ccxt_streams import stream_error, timeframe_name
from daemon.io.ccxt_types import Json, Socket
from daemon.io.exchange import AccountNews, BarUpdate, KeyRights, NotSent, Reason, Unknown, Urgency, VenueError

FAMILY: Final = frozenset({"binance", "binanceus", "binanceusdm"})

BATCH: Final = 200  # streams a connection; ccxt's own figure, of the 1,024 that Binance allows
DIAL_S: Final = 10.0

# Names in one exchangeInfo request: a hundred make 2 kB of URL, where servers commonly refuse 8 kB.
NAMES_MAX: Final = 100

WEIGHT_PER_COST: Final = 5.0  # ccxt counts 1,200 a minute where Binance counts 6,000
INTERVAL_S: Final = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400}

RIGHTS: Final = "sapiGetAccountApiRestrictions"
RIGHTS_ASKED: Final = 3  # times, where no answer comes

# These answer with a list, an empty one if need be; {} is no answer to them, and would be read as "none".
LISTS: Final = frozenset({"klines", "myTrades", "openOrders", "allOrders"})

STATUS: Final = {
    "NEW": Status.OPEN,
    "PENDING_NEW": Status.OPEN,
    "PARTIALLY_FILLED": Status.OPEN,
    "PENDING_CANCEL": Status.OPEN,
    "FILLED": Status.FILLED,
    "CANCELED": Status.CANCELED,
    "EXPIRED": Status.EXPIRED,
    "EXPIRED_IN_MATCH": Status.EXPIRED,
    "REJECTED": Status.REJECTED,
}

SETTINGS: Final[Json] = {
    "options": {
        "fetchCurrencies": False,
        "fetchMargins": False,
        "fetchOpenOrders": {"warnWithoutSymbol": False},
        "warnOnFetchOpenOrdersWithoutSymbol": False,
        "ws": {"compress": 0},  # inflating 2,000 small frames a second costs more than the bytes do
    },
}


class BinanceGuarded(Guarded):
    """The REST half: weights as Binance counts them, and markets of the universe alone."""

    weight_per_cost = WEIGHT_PER_COST
    lists = LISTS

    def charges(self, path: str, api: Any, method: str, params: Any, config: Any) -> dict[str, float]:
        """Weight in Binance's own unit; a new order counts in a second lane."""
        cost = super().charges(path, api, method, params, config)[WEIGHT]
        charged = {WEIGHT: cost * self.weight_per_cost}
        return {ORDERS: 1.0, **charged} if path == "order" and method == "POST" else charged

    async def fetch2(self, path: str, api: Any = "public", method: str = "GET", params: Any = None, config: Any = None) -> Any:
        """As everywhere, and the shape of the answer is checked where a wrong one would be read as "none"."""
        answer = await super().fetch2(path, api, method, params, config)
        if path in self.lists and not isinstance(answer, list):
            raise ccxt.BadResponse(f"{self.id} answered {path} without a list")
        if path == "exchangeInfo":
            self._limits(answer.get("rateLimits") or ())
        return answer

    def on_rest_response(self, code: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str, *rest: object) -> str:
        """Learn from the venue's own count."""
        for name, value in headers.items():
            if (
                value.isascii()
                and value.isdigit()
                and len(value) < FIGURES_MAX
                and name.lower() in ("x-mbx-used-weight-1m", "x-mbx-order-count-10s")
            ):
                lane, window_ms = (WEIGHT, 60_000) if "weight" in name.lower() else (ORDERS, 10_000)
                # Its windows begin on the minute (and every ten seconds) of its own clock.
                self.house.gate.learn(lane, float(value), self.nonce() % window_ms / 1000)
        return super().on_rest_response(code, reason, url, method, headers, body, *rest)

    def _limits(self, stated: Sequence[Json]) -> None:
        for limit in stated:
            window_s, most = (
                INTERVAL_S.get(str(limit.get("interval")), 0) * int(limit.get("intervalNum", 1)),
                parse.positive(limit.get("limit")),
            )
            if most is None:
                continue  # what the venue says it allows lets nothing pass, or is no number: what was known of it holds
            if limit.get("rateLimitType") == "REQUEST_WEIGHT" and window_s == 60:
                self.house.gate.limit(WEIGHT, float(most), 60.0)
            if limit.get("rateLimitType") == "ORDERS" and 1 <= window_s <= 60:  # the count of a day needs no pacing
                self.house.gate.limit(ORDERS, float(most), float(window_s))

    async def listed(self, symbols: Sequence[str]) -> list[Json]:
        """The markets of these symbols, or all for none. By name, because 3,500 of them block the loop for a second and cost 80 MB.

        Raises:
            ccxt.BadRequest: the venue does not know one of them.
        """
        # A currency that ccxt has renamed makes a name that the venue refuses, and then all of them are loaded.
        names = sorted({symbol.replace("/", "") for symbol in symbols})
        markets: list[Json] = [] if names else await self.fetch_markets()
        for start in range(0, len(names), NAMES_MAX):
            asked = json.dumps(names[start : start + NAMES_MAX], separators=(",", ":"))
            markets += await self.fetch_markets({"symbols": asked})
        return markets


def of_market_orders(market: Instrument, raw: Json) -> Instrument:
    """The rules with what the filters say of market orders and ccxt leaves out: their step, and whether bounds of the notional hold."""
    info = raw.get("info") or {}
    filters = {str(each.get("filterType")): each for each in info.get("filters") or () if isinstance(each, Mapping)}
    lots, notional, older = (filters.get(name, {}) for name in ("MARKET_LOT_SIZE", "NOTIONAL", "MIN_NOTIONAL"))
    least = notional.get("applyMinToMarket", older.get("applyToMarket", True))
    return replace(
        market,
        market_step=parse.positive(lots.get("stepSize")),  # 0 where it is that of all orders
        notional_min_market=least is not False,
        notional_max_market=notional.get("applyMaxToMarket", True) is not False,
    )


async def tickers_of_books(client: Guarded, symbols: Sequence[str]) -> Json:
    """Best bid and ask of these symbols, by symbol. Without the names, ccxt would have those of every market of the venue."""
    names = json.dumps([client.market(symbol)["id"] for symbol in symbols], separators=(",", ":"))
    found: Json = await client.fetch_bids_asks(symbols, {"symbols": names})
    return found


async def rights(ask: Callable[[], Awaitable[object]]) -> KeyRights | None:
    """What a key may do, as `account/apiRestrictions` says it; None: it says nothing of the kind, or does not answer several times."""
    answer: object = None
    for _ in range(RIGHTS_ASKED):
        try:
            answer = await ask()
        except Unknown:
            continue
        except VenueError:
            return None  # a test environment, and a server of one's own, have none of this
        break
    said = answer if isinstance(answer, Mapping) else {}
    withdraws, bound = said.get("enableWithdrawals"), said.get("ipRestrict")
    return KeyRights(withdraws=withdraws, bound=bound is True) if isinstance(withdraws, bool) else None


class BinanceStreams:
    """The streaming half. A connection per batch of candles, one for the account; messages are read before ccxt sees them."""

    batch_max = BATCH

    def __init__(self, client: Guarded, now: Callable[[], datetime], secrets: Sequence[str]) -> None:
        self._client = client
        self._now = now
        self._secrets = secrets
        self._slots: set[int] = set()  # of connections for market data that stand: each has a URL of its own, as ccxt numbers them

    async def bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        """One connection, one SUBSCRIBE."""
        name = timeframe_name(self._client, timeframe)
        ids = {self._client.market(symbol)["id"]: symbol for symbol in symbols}
        await self._channels([f"{market.lower()}@kline_{name}" for market in ids], Candles(ids, timeframe, sink))

    async def _channels(self, names: Sequence[str], tap: Callable[[Any], bool]) -> None:
        """Channels of the market data on a connection of their own, each message of which goes to `tap`, until it ends."""
        slot = next(number for number in range(len(self._slots) + 1) if number not in self._slots)
        url = self._candles(slot)
        self._slots.add(slot)
        self._client.taps[url] = tap
        try:
            await self._stand(url, {"method": "SUBSCRIBE", "params": list(names), "id": slot + 1})
        finally:
            self._slots.discard(slot)
            self._client.taps.pop(url, None)

    async def account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        """The user data stream of the WebSocket API, subscribed to by signature."""
        client = self._client
        if not client.apiKey:
            raise NotSent("without a key there is no account to watch", Reason.CREDENTIALS)
        url = self._url("ws-api", "spot")
        client.taps[url] = Account({str(market["id"]): symbol for symbol, market in (client.markets or {}).items()}, sink)
        try:
            await self._stand(url, None, connected)
        finally:
            client.taps.pop(url, None)

    def _candles(self, slot: int) -> str:
        return f"{self._url('spot')}/{slot}"

    def _url(self, *keys: str) -> str:
        where: Any = self._client.urls["api"].get("ws", {})
        for key in keys:
            where = where.get(key) if isinstance(where, Mapping) else None
        if not isinstance(where, str):
            raise NotSent(f"{self._client.id} has no websocket for {'.'.join(keys)} here", Reason.BAD_REQUEST)
        return where.rstrip("/")

    async def _stand(self, url: str, request: Json | None, connected: Callable[[], None] | None = None) -> None:
        """Connect, subscribe, and stay until the connection ends; then raise what ended it."""
        client = self._client
        failed: VenueError
        socket = client.client(url)
        end = socket.future("end")
        end.add_done_callback(heard)
        try:
            await self._dial(socket, end)
            await client.house.gate.acquire(Urgency.RECONCILE, {MESSAGES: 1.0})
            async with asyncio.timeout(DIAL_S):
                await self._subscribe(socket, request)
            if connected is not None:
                connected()
            await self._remain(end, request)
            failed = Unknown("the stream ended")
        except VenueError as error:
            failed = error
        except Exception as error:
            failed = stream_error(error, client.id, self._secrets)
        finally:
            await client.drop(socket, ccxt.NetworkError("the stream is given up"))
        raise failed

    async def _subscribe(self, socket: Socket, request: Json | None) -> None:
        await (self._client.authenticate({"type": "spot"}) if request is None else socket.send(request))

    async def _remain(self, end: "asyncio.Future[Any]", _request: Json | None) -> None:
        await end

    async def _asked(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """The answer to a request that a stream needs; what ccxt raises leaves as a stream's error."""
        try:
            return await request()
        except VenueError:
            raise
        except Exception as error:
            failed = stream_error(error, self._client.id, self._secrets)
        raise failed

    async def _dial(self, socket: Socket, end: "asyncio.Future[Any]") -> None:
        """Wait for the connection. ccxt never fails its `connected`, only what waits for messages, so both are watched."""
        # No back-off of ccxt's: whoever calls this again has waited, and knows better how long.
        dialled = socket.connect(self._client.session, 0)
        await asyncio.wait({dialled, end}, timeout=DIAL_S + 1, return_when=asyncio.FIRST_COMPLETED)
        if not dialled.done():
            refusal = end.exception() if end.done() and not end.cancelled() else None
            text = stream_error(refusal, self._client.id, self._secrets).text if isinstance(refusal, Exception) else "no answer"
            raise NotSent(f"the websocket was refused: {text}", Reason.OTHER, socket.last_retry_after)


class Candles:
    """Reads the messages of a candle connection: a closure over its symbols, called for every message, so it does little."""

    def __init__(self, ids: Mapping[str, str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        self._ids = ids
        self._timeframe = timeframe
        self._sink = sink

    def __call__(self, message: Any) -> bool:
        """Read a candle or a refusal; leave everything else to ccxt."""
        data = message.get("data", message)
        if data.get("e") == "kline":
            self._candle(data["k"])
            return True
        refusal(data)
        return "result" in data

    def _candle(self, k: Mapping[str, Any]) -> None:
        symbol = self._ids.get(k["s"])
        if symbol is not None:
            row = (k["t"], k["o"], k["h"], k["l"], k["c"], k["v"])
            update = parse.candle(symbol, row, self._timeframe, closed=bool(k.get("x")))
            if update is not None:
                self._sink(update)


class Account:
    """Reads the messages of the user stream."""

    def __init__(self, ids: Mapping[str, str], sink: Callable[[AccountNews], None]) -> None:
        self._ids = ids
        self._sink = sink

    def __call__(self, message: Any) -> bool:
        """Read an order, a trade or a transfer; leave the answers to requests to ccxt."""
        event = message.get("event")
        data = event if isinstance(event, dict) else message
        match data.get("e"):
            case "executionReport":
                symbol = self._ids.get(data["s"])
                if symbol is not None:
                    self._sink(execution(data, symbol))
            case "balanceUpdate":
                self._sink((str(data["a"]), parse.figure(data["d"], "a transfer"), f"{data['a']}-{data['T']}-{data['d']}"))
            case "outboundAccountPosition":
                pass  # the balances after a trade, which the executionReport beside it explains
            case "eventStreamTerminated" | "serverShutdown":
                raise ccxt.NetworkError("the venue ends the user stream")
            case _:
                refusal(data)
                return False
        return True


def refusal(data: Mapping[str, Any]) -> None:
    """Raise what a message says of a subscription that the venue does not make."""
    if data.get("error") is not None:
        raise ccxt.ExchangeError(f"the subscription was refused: {data['error']}")


@parse.reading("an order on the user stream")
def execution(data: Mapping[str, Any], symbol: str) -> OrderReport:
    """An executionReport: the order as it stands, with the trade that it tells, if it tells one."""
    # After a cancel `c` is the id of the cancel request and `C` the order's own; else `C` is empty, or null in letters as it once was.
    original = data.get("C")
    order_id = str(data["c"] if original in (None, "", "null") else original)
    at = parse.moment(data["T"])
    return OrderReport(
        order_id=order_id,
        venue_id=str(data["i"]),
        symbol=symbol,
        side=Side(data["S"].lower()),
        status=STATUS.get(data["X"], Status.OPEN),
        amount=parse.sized(data["q"], "an amount"),
        filled=parse.sized(data["z"], "what is filled"),
        cost=parse.sized(data["Z"], "a cost"),
        at=at,
        fills=(_trade(data, symbol, order_id, at),) if data.get("x") == "TRADE" else (),
        made_at=parse.moment(data["O"]) if data.get("O") else None,
    )


def _trade(data: Mapping[str, Any], symbol: str, order_id: str, at: datetime) -> Fill:
    amount, price = parse.sized(data["l"], "an amount", traded=True), parse.sized(data["L"], "a price", traded=True)
    fee = parse.figure(data.get("n") or ZERO, "a fee")
    return Fill(
        order_id=order_id,
        venue_id=str(data["i"]),
        trade_id=str(data["t"]),
        symbol=symbol,
        side=Side(data["S"].lower()),
        amount=amount,
        price=price,
        cost=parse.positive(data.get("Y")) or amount * price,
        fees=(Money(fee, str(data["N"])),) if fee and data.get("N") else (),
        at=at,
    )
