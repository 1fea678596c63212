"""Websocket ends of the venue: market streams and the WebSocket API with the user data stream.

Rule: a connection that sends more than the limit is closed with 1008; whatever ends a connection, its subscriptions end with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiohttp import WSMsgType, web

from daemon.venue.endpoints import Endpoint
from daemon.venue.errors import VenueError
from daemon.venue.exchange import Exchange
from daemon.venue.faults import Refusal
from daemon.venue.limits import Sliding
from daemon.venue.market_data import Text
from daemon.venue.params import Params
from daemon.venue.signing import sorted_payload
from daemon.venue.sockets import Socket, counted, cut_off, frame, upgrade
from daemon.venue.streams import Hub

FIVE_MINUTES = 300_000
POLICY = 1008  # websocket close code: the other side breaks the rules
STREAMS = {"market": "market", "api": "user"}  # as faults name the streams of a kind of connection
LOOK_S = 0.05  # between two looks whether a broken line is whole again
METHODS = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"


class TurnedAway(web.HTTPException):
    """A handshake that a fault refuses."""

    def __init__(self, status: int) -> None:
        self.status_code = status
        super().__init__(text="refused on purpose")


def dumps(value: Any) -> str:
    """Compact JSON; text that is JSON already stays as it is."""
    return value if isinstance(value, Text) else json.dumps(value, separators=(",", ":"))


class Listeners:
    """All websocket connections of the venue."""

    def __init__(self, exchange: Exchange, hub: Hub, calls: Mapping[str, Endpoint]) -> None:
        self._exchange, self._hub, self._calls = exchange, hub, calls
        self.enabled = exchange.settings.streams
        self.market: set[Socket] = set()
        self.api: set[Socket] = set()
        self.users: dict[Socket, str] = {}  # connections with the user stream -> their listen key, empty where the protocol has none
        self.counts = {"market": counted(), "api": counted()}
        self._attempts = Sliding(FIVE_MINUTES, exchange.settings.connection_limit)
        exchange.listeners.append(self._publish)

    def _publish(self, event: dict[str, Any]) -> None:
        symbol = str(event.get("s") or event.get("o", {}).get("s", ""))
        for socket, key in list(self.users.items()):
            told = event if key else {"subscriptionId": 0, "event": event}
            socket.tell(frame(dumps(told).encode()), symbol)
            socket.flush()
            if event["e"] == "listenKeyExpired":
                self.users.pop(socket)

    def ping_all(self, now: int) -> None:
        """Ping every connection; the payload is the time."""
        for socket in (*self.market, *self.api):
            socket.ping(str(now).encode())

    async def close_all(self, code: int = 1001, kinds: Collection[str] = ("market", "user")) -> None:
        """End every connection of these kinds, all at once: each may take a second to agree."""
        await asyncio.gather(*(socket.close(code, "going away") for socket in (*self.market, *self.api) if socket.kind in kinds))

    async def _accept(self, request: web.Request, kind: str) -> tuple[web.WebSocketResponse, Socket]:
        counts = self.counts[kind]
        await self._cross(request, kind)
        if not self.enabled:
            counts["refused"] += 1
            raise web.HTTPServiceUnavailable(text="websockets are off")
        if not self._attempts.allow(self._exchange.now()):
            counts["refused"] += 1
            raise web.HTTPTooManyRequests(text="too many connection attempts", headers={"Retry-After": "300"})
        response = upgrade()
        await response.prepare(request)
        counts["connections"] += 1
        return response, Socket(self._exchange, STREAMS[kind], request, response)

    async def _cross(self, request: web.Request, kind: str) -> None:
        """What a fault does to a handshake: it is refused, or nobody answers for as long as the line is broken."""
        exchange = self._exchange
        refusal = exchange.faults.strike(Refusal, exchange.now(), STREAMS[kind])
        if refusal is not None:
            self.counts[kind]["refused"] += 1
            raise TurnedAway(refusal.status)
        while cut_off(exchange, STREAMS[kind]):
            if request.transport is None or request.transport.is_closing():
                raise web.HTTPServiceUnavailable
            await asyncio.sleep(LOOK_S)

    async def serve_stream(self, request: web.Request) -> web.StreamResponse:
        """A connection for streams: the user's if it names a listen key, else the market's."""
        key = request.query.get("listenKey") or request.match_info.get("name", "")
        known = key and key == self._exchange.listen_key
        return await (self._serve_user(request, key) if known or request.path.startswith("/private") else self.serve_market(request))

    async def _serve_user(self, request: web.Request, key: str) -> web.StreamResponse:
        """The user stream of a listen key until the connection ends; of a key that is none, silence."""
        response, socket = await self._accept(request, "api")
        self.api.add(socket)
        if key == self._exchange.listen_key:
            self.users[socket] = key
        return await self._talk(response, socket, lambda _text: "")

    async def serve_market(self, request: web.Request) -> web.StreamResponse:
        """A market stream connection until it ends: /ws, /ws/NAME, /stream, /stream?streams=A/B."""
        response, socket = await self._accept(request, "market")
        talk = MarketTalk(self._exchange, self._hub, socket, combined="/stream" in request.path)
        counts = self.counts["market"]
        self.market.add(socket)
        counts["open"] += 1
        try:
            talk.start(request)
            await self._listen(response, socket, talk.answer, counts, Sliding(1000, self._exchange.settings.message_limit), every=True)
        finally:
            counts["open"] -= 1
            self.market.discard(socket)
            talk.end()
        return response

    async def serve_api(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket API connection until it ends."""
        response, socket = await self._accept(request, "api")
        self.api.add(socket)
        return await self._talk(response, socket, lambda text: self._call(socket, text))

    async def _talk(self, response: web.WebSocketResponse, socket: Socket, answer: Callable[[str], str]) -> web.StreamResponse:
        """Answer on a connection of the account until it ends."""
        counts = self.counts["api"]
        counts["open"] += 1
        try:
            limit = Sliding(1000, self._exchange.settings.message_limit)
            await self._listen(response, socket, answer, counts, limit, every=False)
        finally:
            counts["open"] -= 1
            self.api.discard(socket)
            self.users.pop(socket, None)
        return response

    async def _listen(
        self, response: web.WebSocketResponse, socket: Socket, answer: Any, counts: dict[str, Any], limit: Sliding, *, every: bool
    ) -> None:
        """Answer messages until the connection ends. `every`: text counts against the limit too, not only pings and pongs."""
        async for message in response:
            counts["messages"] += 1
            is_text = message.type is WSMsgType.TEXT
            if (every or not is_text) and not limit.allow(self._exchange.now()):
                counts["closed_for_rate"] += 1
                await socket.close(POLICY, "Too many requests")
                return
            if is_text:
                reply = answer(message.data)
                if reply:
                    socket.send(reply)
            elif message.type is WSMsgType.PING:
                socket.queue(frame(message.data, 0xA))
                socket.flush()

    def _call(self, socket: Socket, text: str) -> str:
        """One request of the WebSocket API and its answer."""
        number: Any = None
        exchange = self._exchange
        try:
            request = json.loads(text)
            number, method, values = request.get("id"), request["method"], request.get("params") or {}
            result: Any = self._subscription(socket, method, values) if method.startswith("userDataStream.") else None
            if result is None:
                result = call(exchange, self._calls, method, values)
        except VenueError as error:
            return dumps({"id": number, "status": error.status, "error": error.body(), "rateLimits": []})
        except (ValueError, KeyError, AttributeError, TypeError):
            return dumps({"id": number, "status": 400, "error": VenueError(-1135, "Invalid JSON Request").body()})
        return f'{{"id":{json.dumps(number)},"status":200,"result":{dumps(result)},"rateLimits":[]}}'

    def _subscription(self, socket: Socket, method: str, values: dict[str, Any]) -> Any:
        """Begin or end the user data stream on this connection."""
        exchange = self._exchange
        exchange.limits.charge(2, exchange.now())
        exchange.count(f"WS {method}")
        if method == "userDataStream.unsubscribe":
            self.users.pop(socket, None)
            return {}
        if method != "userDataStream.subscribe.signature":
            raise VenueError(-1016, "This service is no longer available.", 410)
        check_signed(exchange, values)
        self.users[socket] = ""
        return {"subscriptionId": 0}


def check_signed(exchange: Exchange, values: dict[str, Any]) -> None:
    """Refuse a WebSocket API request whose key, time or signature is wrong."""
    exchange.doorman.check_key(values.get("apiKey"))
    params = Params({name: str(value) for name, value in values.items()})
    exchange.doorman.check(params, sorted_payload(values), str(values.get("signature", "")), exchange.time())


def call(exchange: Exchange, calls: Mapping[str, Endpoint], method: str, values: dict[str, Any]) -> Any:
    """An end point by its name on the WebSocket API."""
    endpoint: Endpoint | None = calls.get(method)
    exchange.count(f"WS {method}", known=endpoint is not None)
    if endpoint is None:
        raise VenueError(-1016, "This service is no longer available.", 404)
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items() if name != "returnRateLimits"}
    params = Params(texts)
    exchange.limits.charge(endpoint.weight(params), exchange.now())
    if endpoint.signed:
        check_signed(exchange, values)
    endpoint.check_names(params)
    if endpoint.order:
        exchange.limits.charge_order(exchange.now())
    return endpoint.handle(exchange, params)


class MarketTalk:
    """What a market stream connection has asked for."""

    def __init__(self, exchange: Exchange, hub: Hub, socket: Socket, *, combined: bool) -> None:
        self._exchange, self._hub, self._socket = exchange, hub, socket
        self._combined = combined
        self.names: dict[str, None] = {}

    def start(self, request: web.Request) -> None:
        """Subscribe to what the URL names; ccxt's numbers there (/stream/0) are no stream."""
        listed = request.query.get("streams") or request.path.partition("/")[2].partition("/")[2]
        self._subscribe([name for name in listed.split("/") if "@" in name])

    def end(self) -> None:
        """Forget every subscription."""
        for name in self.names:
            self._hub.unsubscribe(self._socket, name)

    def answer(self, text: str) -> str:
        """The answer to one message."""
        try:
            request = json.loads(text)
        except ValueError:
            return dumps({"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}})
        number = request.get("id") if isinstance(request, dict) else None
        try:
            return dumps({"result": self._answer(request), "id": number})
        except VenueError as error:
            return dumps({"error": error.body(), "id": number})

    def _answer(self, request: Any) -> Any:
        method = request.get("method") if isinstance(request, dict) else None
        names = request.get("params", []) if isinstance(request, dict) else []
        if not isinstance(names, list):
            raise VenueError(2, "Invalid request: params must be a list")
        match method:
            case "SUBSCRIBE":
                return self._subscribe([str(name) for name in names])
            case "UNSUBSCRIBE":
                return self._unsubscribe([str(name) for name in names])
            case "LIST_SUBSCRIPTIONS":
                return list(self.names)
            case "GET_PROPERTY":
                return self._combined
            case "SET_PROPERTY":
                raise VenueError(0, "Unknown property")
            case _:
                raise VenueError(2, f"Invalid request: unknown variant `{method}`, expected one of {METHODS}")

    def _subscribe(self, names: list[str]) -> None:
        wanted = self.names | dict.fromkeys(names)
        if len(wanted) > self._exchange.settings.stream_limit:
            raise VenueError(2, f"Invalid request: more than {self._exchange.settings.stream_limit} streams on a connection")
        for name in names:
            if not self._hub.subscribe(self._socket, name, combined=self._combined):
                raise VenueError(2, "Invalid request: invalid stream")
            self.names[name] = None

    def _unsubscribe(self, names: list[str]) -> None:
        for name in names:
            self._hub.unsubscribe(self._socket, name)
            self.names.pop(name, None)
