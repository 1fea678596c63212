"""What the venue's tests share: a clock by hand, an exchange without sockets, and a raw client of the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp

from daemon.venue import Venue, VenueSettings
from daemon.venue.faces import FACES
from daemon.venue.faultscript import read
from daemon.venue.params import Params
from daemon.venue.signing import signature, sorted_payload
from daemon.venue.swap.exchange import SwapExchange
from daemon.venue.swap.positions import Position

KEY, SECRET = "venue-key", "venue-secret"
START = 1_700_000_000.0  # on a second


class HandClock:
    """A clock that a test moves."""

    def __init__(self, at: float = START) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.at = round(self.at + seconds, 6)


async def never(_seconds: float) -> None:
    """A sleep from which nobody wakes: the test pumps by hand."""
    await asyncio.Event().wait()


class Desk:
    """An exchange without sockets, called by end point; events of the user stream are kept."""

    market = "spot"
    root = "/api/v3/"

    def __init__(self, **settings: Any) -> None:
        self.clock = HandClock()
        self.face = FACES[self.market]
        self.exchange = self.face.exchange(VenueSettings(market=self.market, **settings), self.clock)
        self.events: list[dict[str, Any]] = []
        self.exchange.listeners.append(self.events.append)

    def call(self, method: str, path: str, **params: Any) -> Any:
        """An answered request; raises VenueError for a refused one."""
        endpoint = self.face.interface.rest[method, f"{self.root}{path}"]
        answer = endpoint.handle(self.exchange, Params({name: str(value) for name, value in params.items()}))
        return json.loads(answer) if isinstance(answer, str) else answer

    def fault(self, do: str, **values: Any) -> None:
        """Put a fault into force."""
        self.exchange.faults.add(read({"do": do, **values}, "here").faults, self.exchange.now())

    def order(self, side: str, amount: Any, kind: str = "MARKET", symbol: str = "BTCUSDT", **params: Any) -> Any:
        """A new order."""
        return self.call("POST", "order", symbol=symbol, side=side, type=kind, quantity=amount, **params)

    def limit(self, side: str, amount: Any, price: Any, symbol: str = "BTCUSDT", life: str = "GTC", **params: Any) -> Any:
        """A new limit order."""
        return self.order(side, amount, "LIMIT", symbol, price=price, timeInForce=life, **params)


class SwapDesk(Desk):
    """The same of swaps; paths begin with their version."""

    market = "swap"
    root = "/fapi/"
    exchange: SwapExchange

    def order(self, side: str, amount: Any, kind: str = "MARKET", symbol: str = "BTCUSDT", **params: Any) -> Any:
        """A new order, and what has become of it."""
        values = {"newOrderRespType": "RESULT", **params}
        return self.call("POST", "v1/order", symbol=symbol, side=side, type=kind, quantity=amount, **values)

    def pass_time(self, seconds: float) -> None:
        """Let time pass and do what is due."""
        self.clock.move(seconds)
        self.exchange.advance(self.exchange.now())

    @property
    def wallet(self) -> Decimal:
        """What the account has without its positions."""
        return self.exchange.account.of("USDT").free

    def held(self, symbol: str = "BTCUSDT") -> Position:
        """What is held of a market."""
        return self.exchange.margin.positions[symbol]

    def mark(self, symbol: str = "BTCUSDT") -> Decimal:
        """A market's mark price."""
        return self.exchange.mark(self.exchange.market(symbol))

    def incomes(self, kind: str) -> list[Decimal]:
        """What moved the wallets for a reason."""
        return [Decimal(each["income"]) for each in self.call("GET", "v1/income", incomeType=kind)]

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind on the user stream, oldest first."""
        return [event for event in self.events if event["e"] == kind]


class Wire:
    """A raw client: no library between the test and the protocol."""

    def __init__(self, venue: Venue, session: aiohttp.ClientSession, clock: Any = time.time) -> None:
        self.venue, self.session, self.clock = venue, session, clock

    async def get(self, path: str, **params: Any) -> tuple[int, Any, Any]:
        """Status, JSON body and headers of a public request."""
        return await self._send("GET", path, urlencode(params), {})

    async def post(self, path: str, **body: Any) -> Any:
        """JSON body of a request to the venue's own end points."""
        async with self.session.post(self.venue.url + path, json=body) as response:
            return await response.json()

    async def fault(self, *faults: dict[str, Any]) -> Any:
        """Put faults into force; the answer."""
        async with self.session.post(f"{self.venue.url}/venue/faults", json=list(faults)) as response:
            return await response.json()

    async def mend(self, number: int | None = None) -> Any:
        """Lift one fault, or all; the answer."""
        query = "" if number is None else f"?id={number}"
        async with self.session.delete(f"{self.venue.url}/venue/faults{query}") as response:
            return await response.json()

    async def signed(self, method: str, path: str, *, key: str = KEY, secret: str = SECRET, **params: Any) -> tuple[int, Any, Any]:
        """Status, JSON body and headers of a signed request; parameters may override timestamp and signature."""
        query = urlencode({"timestamp": int(self.clock() * 1000)} | {n: v for n, v in params.items() if n != "signature"})
        query += f"&signature={params.get('signature', signature(secret, query))}"
        return await self._send(method, path, query, {"X-MBX-APIKEY": key} if key else {})

    async def _send(self, method: str, path: str, query: str, headers: dict[str, str]) -> tuple[int, Any, Any]:
        url = f"{self.venue.url}{path}?{query}"
        async with self.session.request(method, url, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if "json" in response.content_type else text, response.headers

    @contextlib.asynccontextmanager
    async def stream(self, *names: str, path: str = "/stream/0") -> AsyncIterator[Listener]:
        """A market stream connection that has subscribed to the names."""
        async with self.session.ws_connect(self.venue.ws_url + path, autoping=True) as socket:
            listener = Listener(socket)
            if names:
                await socket.send_json({"method": "SUBSCRIBE", "params": list(names), "id": 1})
                assert await listener.next() == {"result": None, "id": 1}
            yield listener

    def unanswered(self, path: str) -> Any:
        """A connection that shows pings instead of answering them."""
        return self.session.ws_connect(self.venue.ws_url + path, autoping=False)

    @contextlib.asynccontextmanager
    async def user(self) -> AsyncIterator[Listener]:
        """A connection with the user data stream."""
        async with self.session.ws_connect(self.venue.ws_url + "/ws-api/v3") as socket:
            listener = Listener(socket)
            values: dict[str, Any] = {"apiKey": KEY, "timestamp": int(self.clock() * 1000)}
            values["signature"] = signature(SECRET, sorted_payload(values))
            await socket.send_json({"id": "1", "method": "userDataStream.subscribe.signature", "params": values})
            assert (await listener.next())["result"] == {"subscriptionId": 0}
            yield listener


class Listener:
    """One websocket, read with patience of three seconds."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def receive(self, patience: float = 3.0) -> aiohttp.WSMessage:
        """The next message, whatever it is."""
        return await self.socket.receive(patience)

    async def next(self) -> Any:
        """The next message as JSON."""
        message = await self.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return json.loads(message.data)

    async def silent(self, patience: float = 0.1) -> bool:
        """Whether nothing comes for a while."""
        try:
            await self.receive(patience)
        except TimeoutError:
            return True
        return False


class Floor:
    """A venue on a clock by hand with a raw client: `async with Floor() as floor`."""

    def __init__(self, **settings: Any) -> None:
        self.clock = HandClock()
        self.venue = Venue(VenueSettings(**settings), self.clock, never)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.venue)
        session = await self._stack.enter_async_context(aiohttp.ClientSession())
        self.wire = Wire(self.venue, session, self.clock)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def pass_time(self, seconds: float) -> None:
        """Let time pass and do what is due."""
        self.clock.move(seconds)
        self.venue.pump()
