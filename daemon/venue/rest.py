"""The REST side: from an HTTP request to an end point and back.

Rule: a request is counted, weighed, authenticated and read, in this order, before anything happens; every answer says how much weight
was used. What a fault does to a request is done around that, never inside.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from daemon.venue.endpoints import Endpoint, Interface
from daemon.venue.errors import VenueError
from daemon.venue.exchange import Exchange
from daemon.venue.faults import Mishap, Reply
from daemon.venue.listeners import dumps
from daemon.venue.params import Params
from daemon.venue.signing import payload_of

NOT_FOUND = "<html><head><title>Not Found</title></head><body><center><h1>Not Found</h1></center></body></html>"
LINGER_NOT = struct.pack("ii", 1, 0)  # close by a reset instead of an end in order

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    body: bytes
    status: int
    headers: dict[str, str]

    def response(self) -> web.Response:
        """As aiohttp sends it."""
        return web.Response(body=self.body, status=self.status, headers={"Content-Type": "application/json; charset=utf-8"} | self.headers)


async def serve(interface: Interface, exchange: Exchange, request: web.Request, sleep: Sleep) -> web.StreamResponse:
    """Answer any HTTP request that is not the venue's own."""
    endpoint = interface.rest.get((request.method, request.path))
    exchange.count(f"{request.method} {request.path}", known=endpoint is not None)
    if endpoint is None:
        return web.Response(status=410 if request.path in interface.gone else 404, text=NOT_FOUND, content_type="text/html")
    query = request.raw_path.partition("?")[2]
    body = await request.text()
    sent = "&".join(part for part in (query, body) if part)
    key = request.headers.get("X-MBX-APIKEY")
    mishap = _mishap(exchange, interface.name_of[request.method, request.path], sent)
    if mishap is None:
        return _answer(exchange, endpoint, key, sent).response()
    await _wait(mishap.before_ms, sleep)
    answer = _answer(exchange, endpoint, key, sent) if mishap.accepted else Answer(b"", 200, {})
    await _wait(mishap.after_ms, sleep)
    return answer.response() if mishap.reply is None else await _reply(request, mishap.reply, answer)


async def _wait(ms: int, sleep: Sleep) -> None:
    if ms:
        await sleep(ms / 1000)


def _mishap(exchange: Exchange, name: str, sent: str) -> Mishap | None:
    """What befalls a request, if anything does."""
    if not exchange.faults.any(Mishap):
        return None
    values = dict(parse_qsl(sent))
    return exchange.faults.strike(Mishap, exchange.now(), name, values.get("symbol", ""), values.get("side", ""))


async def _reply(request: web.Request, reply: Reply, answer: Answer) -> web.StreamResponse:
    """What a fault answers instead of `answer`."""
    if reply.status is None:
        return _reset(request)
    body = answer.body if reply.body is None else reply.body.encode()
    headers = {"Content-Type": "text/html" if body.startswith(b"<") else "application/json"} | dict(reply.headers)
    if not reply.cut:
        return web.Response(body=body, status=reply.status, headers=headers)
    response = web.StreamResponse(status=reply.status, headers=headers | {"Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _reset(request: web.Request) -> web.Response:
    """End the connection by a reset; the answer goes nowhere."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        request.transport.abort()
    return web.Response()


def _answer(exchange: Exchange, endpoint: Endpoint, key: str | None, sent: str) -> Answer:
    """What the exchange answers, and does."""
    try:
        text, status, extra = dumps(_result(exchange, endpoint, key, sent)), 200, {}
    except VenueError as error:
        text, status, extra = dumps(error.body()), error.status, error.headers
    return Answer(text.encode(), status, exchange.limits.headers(exchange.now(), order=endpoint.order) | extra)


def _result(exchange: Exchange, endpoint: Endpoint, key: str | None, sent: str) -> object:
    params = Params(_read(sent))
    exchange.limits.charge(_weight(endpoint, params), exchange.now())
    if endpoint.keyed:
        exchange.doorman.check_key(key)
    if endpoint.signed:
        exchange.doorman.check_key(key)
        exchange.doorman.check(params, *payload_of(sent), exchange.time())
    endpoint.check_names(params)
    if endpoint.order:
        exchange.limits.charge_order(exchange.now())
    return endpoint.handle(exchange, params)


def _weight(endpoint: Endpoint, params: Params) -> int:
    try:
        return endpoint.weight(params)
    except VenueError:
        return 1  # a malformed request costs little and is refused when it is read


def _read(sent: str) -> dict[str, str]:
    pairs = parse_qsl(sent, keep_blank_values=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise VenueError(-1101, "Duplicate values for a parameter detected.")
    return found
