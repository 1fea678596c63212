"""The REST side: from an HTTP request to an end point and back.

Rule: a request is counted, weighed, authenticated and read, in this order, before anything happens; every answer says how much weight
was used.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from aiohttp import web

from daemon.venue.endpoints import GONE, REST, Endpoint
from daemon.venue.errors import VenueError
from daemon.venue.exchange import Exchange
from daemon.venue.listeners import dumps
from daemon.venue.params import Params
from daemon.venue.signing import payload_of

NOT_FOUND = "<html><head><title>Not Found</title></head><body><center><h1>Not Found</h1></center></body></html>"


async def serve(exchange: Exchange, request: web.Request) -> web.Response:
    """Answer any HTTP request that is not the venue's own."""
    endpoint = REST.get((request.method, request.path))
    exchange.count(f"{request.method} {request.path}", known=endpoint is not None)
    if endpoint is None:
        return web.Response(status=410 if request.path in GONE else 404, text=NOT_FOUND, content_type="text/html")
    query = request.raw_path.partition("?")[2]
    body = await request.text()
    sent = "&".join(part for part in (query, body) if part)
    try:
        text, status, extra = dumps(_answer(exchange, endpoint, request, sent)), 200, {}
    except VenueError as error:
        text, status, extra = dumps(error.body()), error.status, error.headers
    headers = exchange.limits.headers(exchange.now(), order=endpoint.order) | extra
    return web.Response(body=text.encode(), status=status, headers=headers, content_type="application/json", charset="utf-8")


def _answer(exchange: Exchange, endpoint: Endpoint, request: web.Request, sent: str) -> object:
    params = Params(_read(sent))
    exchange.limits.charge(_weight(endpoint, params), exchange.now())
    if endpoint.signed:
        exchange.doorman.check_key(request.headers.get("X-MBX-APIKEY"))
        exchange.doorman.check(params, *payload_of(sent), exchange.now())
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
