"""A server on loopback that answers a few of Binance's paths as a test wants, faults above all; and a door to it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aiohttp import WSMsgType, web

from daemon.core.model import Order, Side
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.clock import SystemClock
from daemon.io.rategate import RateGate

KEY, SECRET = "canary-key-1234567890", "canary-secret-0987654321"
API = "/api/v3/"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def market(base: str, quote: str = "USDT") -> dict[str, Any]:
    """A market as Binance lists it."""
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "permissions": ["SPOT"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.00000001", "maxPrice": "0.00", "tickSize": "0.00000001"},
            {"filterType": "LOT_SIZE", "minQty": "0.00000001", "maxQty": "900000000000", "stepSize": "0.00000001"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00", "maxQty": "90000000000", "stepSize": "0.00"},
            {"filterType": "NOTIONAL", "minNotional": "5.0", "applyMinToMarket": True},
        ],
    }


def said(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in JSON, or text as it is."""

    async def answer(request: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        kind = "text/html" if isinstance(body, str) else "application/json"
        return web.Response(status=status, text=text, content_type=kind, headers=headers)

    return answer


def hang(seconds: float) -> Answer:
    """No answer for a while."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(seconds)
        return web.json_response({})

    return answer


def drop() -> Answer:
    """The connection closed instead of an answer."""

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return answer


def broken() -> Answer:
    """A body that ends before its announced length."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"orderId": 1, "sym')
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


@dataclass
class Server:
    """What it answers by `METHOD path`, and what it was asked."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    talk: Callable[[web.WebSocketResponse, web.Request], Awaitable[None]] | None = None
    heard: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Answer what `connect` asks."""
        self.answers["GET time"] = self.time
        self.answers["GET exchangeInfo"] = said({"symbols": [market("BTC"), market("ETH")], "rateLimits": []})
        self.answers["GET openOrders"] = said([])

    async def time(self, request: web.Request) -> web.Response:
        return web.json_response({"serverTime": int(time.time() * 1000)})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.socket(request)
        name = f"{request.method} {request.path.removeprefix(API)}"
        self.asked.append((name, {**request.query, **{k: str(v) for k, v in (await request.post()).items()}}))
        answer = self.answers.get(name)
        return web.Response(status=404) if answer is None else await answer(request)

    async def socket(self, request: web.Request) -> web.StreamResponse:
        if self.talk is None:
            return web.Response(status=403, text="no websockets here")
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        talking = asyncio.get_running_loop().create_task(self.listen(socket))
        try:
            await self.talk(socket, request)
        finally:
            talking.cancel()
        return socket

    async def listen(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.heard.append(json.loads(message.data))

    def urls(self) -> dict[str, Any]:
        """As a user would name it."""
        ws = self.url.replace("http", "ws")
        return {
            "public": f"{self.url}/api/v3",
            "private": f"{self.url}/api/v3",
            "ws": {"spot": f"{ws}/stream", "ws-api": {"spot": f"{ws}/ws-api/v3"}},
        }

    def count(self, name: str) -> int:
        return sum(1 for asked, _ in self.asked if asked == name)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """A server for the length of a test."""
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    server.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def door(
    urls: dict[str, Any], symbols: tuple[str, ...] = ("BTC/USDT", "ETH/USDT"), *, key: str = KEY, secret: str = SECRET, **options: Any
) -> AsyncIterator[CcxtExchange]:
    """The door to a server, not connected yet; closed at the end."""
    clock = options.pop("clock", SystemClock())
    gate = options.pop("gate", RateGate(clock))
    sandbox = options.pop("sandbox", True)
    below = options.pop("below", "api")
    exchange_id = options.pop("exchange_id", "binance")
    # On loopback there is no TLS to be shut down gently.
    overrides = {"urls": {below: urls}, "timeout_on_exit": 0, "timeout": 1_000, **options}
    exchange = CcxtExchange(exchange_id, symbols, sandbox=sandbox, gate=gate, clock=clock, api_key=key, secret=secret, overrides=overrides)
    try:
        yield exchange
    finally:
        await exchange.close()


def an_order(order_id: str = "r0000test", symbol: str = "BTC/USDT", amount: str = "0.5", side: Side = Side.BUY) -> Order:
    """A small order."""
    return Order(
        id=order_id,
        symbol=symbol,
        side=side,
        amount=Decimal(amount),
        price=Decimal(60_000),
        reserve=Decimal(40_000),
        decision_id="d",
        attempt=1,
        at=datetime.now(UTC),
    )


def filled(order_id: str, amount: str, price: str) -> dict[str, Any]:
    """Binance's FULL answer to a market order that was filled at once."""
    cost = format(Decimal(amount) * Decimal(price), "f")
    return {
        "symbol": "BTCUSDT",
        "orderId": 28,
        "clientOrderId": order_id,
        "transactTime": 1_700_000_000_123,
        "price": "0.00000000",
        "origQty": amount,
        "executedQty": amount,
        "cummulativeQuoteQty": cost,
        "status": "FILLED",
        "timeInForce": "GTC",
        "type": "MARKET",
        "side": "BUY",
        "fills": [{"price": price, "qty": amount, "commission": "0.00000007", "commissionAsset": "BTC", "tradeId": 56}],
    }


async def until(true: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait for something that a socket brings."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - there is nobody who would set an event
            await asyncio.sleep(0.01)


async def open_end(socket: web.WebSocketResponse, request: web.Request) -> None:
    """A websocket that says nothing until the other side ends it."""
    await until(lambda: socket.closed, 60.0)
