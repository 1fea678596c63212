"""Api: the daemon's state over HTTP, and its commands, for scripts, the command line and whoever supervises it.

Rule: only those who may read, and only the bearer token commands. A page in somebody's browser may not: foreign hosts and origins are
refused. On a bind that other machines reach, what tells of money (/api/v1, /metrics) needs the token too; /healthz and /readyz never do.
"""

import asyncio
import errno
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from daemon.core.model import EPOCH
from daemon.core.plain import plain
from daemon.io.api_document import document
from daemon.io.api_errors import CannotListen as CannotListen
from daemon.io.api_errors import PortInUse as PortInUse
from daemon.io.api_events import Events
from daemon.io.api_feed import Feed
from daemon.io.api_page import Page
from daemon.io.api_routes import LIMIT_DEFAULT, LIMIT_MAX, ROUTES, TEXT_MAX, Route

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_MAX: Final = 4096  # bytes of a command: a verb has one short argument
BODY_S: Final = 10.0  # for a body to come
IDLE_S: Final = 30  # for a request's head to come, and for the next request on a connection
# Fifty who follow the events, and browsers with six connections each. Without a bound, idle ones could take every descriptor there is.
CONNECTIONS_MAX: Final = 200
VERB_MAX: Final = 20  # characters of a verb in the log
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
GUARDED: Final = ("/api/", "/metrics")  # what tells of money
ASKED: Final = ("argument", "by", "account")  # the keys of a command's body

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NO_MOMENT: Final = "since must be a moment with its time zone, such as 2026-01-31T00:00:00Z (a + is written %2B in an address)"
_NO_NUMBER: Final = f"limit must be a whole number from 1 to {LIMIT_MAX}"

log = structlog.get_logger()


class NotThere(Exception):
    """What was asked for does not exist. Its text is one sentence."""


class Impossible(Exception):
    """A command cannot be carried out as things stand. Its text is one sentence: why, and what can be done."""


class Commands(Protocol):
    """Who carries commands out."""

    async def command(self, verb: str, argument: str, by: str, account: str = "") -> Mapping[str, object]:
        """Do it, and say what was done; on all accounts unless one is named. NotThere: no such verb or argument. Impossible: not now."""
        ...


class Views(Protocol):
    """What there is to see. Decimals, datetimes, enums and NaN may be in what is returned; rows come newest first."""

    def status(self) -> Mapping[str, object]:
        """The state in one mapping."""
        ...

    def ready(self) -> tuple[bool, Sequence[str]]:
        """Whether trading may go on, and the checks that fail, a sentence each."""
        ...

    def positions(self) -> Sequence[Mapping[str, object]]:
        """Holdings, one row a symbol."""
        ...

    def targets(self) -> Sequence[Mapping[str, object]]:
        """What is wanted, one row a symbol."""
        ...

    async def orders(self, limit: int) -> Sequence[Mapping[str, object]]:
        """The last `limit` orders."""
        ...

    async def fills(self, limit: int) -> Sequence[Mapping[str, object]]:
        """The last `limit` fills."""
        ...

    async def equity(self, since: datetime, limit: int) -> Sequence[Mapping[str, object]]:
        """What the account was worth since then, thinned evenly to `limit` rows."""
        ...

    async def decisions(self, limit: int) -> Sequence[Mapping[str, object]]:
        """The last `limit` decisions, each with what became of it."""
        ...

    def analysis(self) -> Mapping[str, object]:
        """What the portfolio and its markets did."""
        ...

    async def why(self, symbol: str, decision_id: str | None, account: str = "") -> Mapping[str, object]:
        """What a decision (None: the last) meant for a symbol, and what came of it. NotThere: no such symbol, decision or account."""
        ...


class _Full(asyncio.Protocol):
    """There are connections enough: this one is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hang up."""
        transport.close()


class Api:
    """The HTTP server. It runs on the loop that called `start`."""

    def __init__(
        self,
        views: Views,
        commands: Commands,
        feed: Feed,
        host: str,
        port: int,
        token: str | None = None,
        metrics: Callable[[], bytes] = bytes,
    ) -> None:
        """Port 0 is any free one, `metrics` what Prometheus reads. ValueError: other machines could reach `host`, and there is no token."""
        if not is_loopback(host) and not token:
            raise ValueError(f"api.host {host} can be reached by other machines: set api.token, or api.host to 127.0.0.1")
        self._views, self._commands, self._host, self._port = views, commands, host, port
        self._token = token
        self._metrics_text = metrics
        self._feed, self._events, self._page = feed, Events(feed), Page()
        self._reads_freely = is_loopback(host)
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. PortInUse or CannotListen: it cannot be done; nothing is left open."""
        # A request that hangs must not hold up the end of the process; every answer takes milliseconds.
        limits: dict[str, Any] = {"shutdown_timeout": 1.0, "keepalive_timeout": IDLE_S}
        self._runner = web.AppRunner(self._application(), access_log=None, handle_signals=False, **limits)
        await self._runner.setup()
        try:
            self._listener = await asyncio.get_running_loop().create_server(self._welcome, self._host, self._port)
        except OSError as error:
            await self.stop()
            raise _cannot_listen(error, self._host, self._port) from error
        self._port = self._listener.sockets[0].getsockname()[1]

    def _welcome(self) -> asyncio.BaseProtocol:
        """Who talks with a new connection."""
        server = self._runner.server if self._runner else None
        return _Full() if server is None or len(server.connections) >= CONNECTIONS_MAX else server()

    async def stop(self) -> None:
        """Close every connection, and the feed that some of them follow. Harmless when not started."""
        self._feed.close()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        return self._port

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[_answer_in_json, self._guard], client_max_size=BODY_MAX)
        application.on_response_prepare.append(_harden)
        application.add_routes([self._routed(route) for route in ROUTES])
        # Without it the route of the commands would call what is not there a wrong method.
        application.router.add_get("/api/v1/{unknown:.*}", _nothing)
        return application

    def _routed(self, route: Route) -> web.RouteDef:
        pages = {"page": self._page.index, "file": self._page.file, "events": self._events.follow}
        handler: Handler = pages.get(route.name) or getattr(self, f"_{route.name}")
        return {"GET": web.get, "POST": web.post}[route.method](route.pattern or route.path, handler)

    # --- who may ask ---

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not self._is_our_name(host):
            raise web.HTTPMisdirectedRequest(text="this host name is not served here")
        if _comes_from_a_foreign_page(request, host):
            raise web.HTTPForbidden(text="pages of other origins may not read this")
        commands = request.method not in ("GET", "HEAD")
        if commands and not self._token:
            raise web.HTTPForbidden(text="commands need a bearer token, and none is configured; set api.token and restart")
        if request.path.startswith(GUARDED) and (commands or not self._reads_freely) and not _carries(request, self._token or ""):
            if commands:
                log.warning(
                    "command.refused", verb=request.path.rpartition("/")[2][:VERB_MAX], by=_remote(request), reason="no or a wrong token"
                )
            raise web.HTTPUnauthorized(text="a bearer token is needed (api.token)", headers={"WWW-Authenticate": "Bearer"})
        return await handler(request)

    def _is_our_name(self, host: str) -> bool:
        """Whether a browser can have got here without DNS rebinding: by a loopback name, the configured host, or a number."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in _LOOPBACK or name == self._host.lower().strip("[]"):
            return True
        # Bound to every interface, the machine has numbers that we do not know; a number cannot be rebound, only a name can.
        return self._host in ("0.0.0.0", "::") and _is_number(name)  # noqa: S104 - compared, not bound

    # --- what there is to see ---

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _json({"ok": True})

    async def _readyz(self, _request: web.Request) -> web.Response:
        ready, failing = self._views.ready()
        return _json({"ready": ready, "failing": failing}, status=200 if ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics_text(), headers={"Content-Type": METRICS_TYPE})

    async def _document(self, _request: web.Request) -> web.Response:
        return _json(document())

    async def _status(self, _request: web.Request) -> web.Response:
        ready, failing = self._views.ready()
        return _json({**self._views.status(), "ready": ready, "failing": failing})

    async def _positions(self, _request: web.Request) -> web.Response:
        return _json(self._views.positions())

    async def _targets(self, _request: web.Request) -> web.Response:
        return _json(self._views.targets())

    async def _orders(self, request: web.Request) -> web.Response:
        return _json(await self._views.orders(_limit(request)))

    async def _fills(self, request: web.Request) -> web.Response:
        return _json(await self._views.fills(_limit(request)))

    async def _equity(self, request: web.Request) -> web.Response:
        return _json(await self._views.equity(_since(request), _limit(request)))

    async def _decisions(self, request: web.Request) -> web.Response:
        rows = await self._views.decisions(_limit(request))
        return await asyncio.to_thread(_json, rows)  # thirty of 500 symbols are a fifth of a second of work, for which no order waits

    async def _analysis(self, _request: web.Request) -> web.Response:
        return _json(self._views.analysis())

    async def _why(self, request: web.Request) -> web.Response:
        try:
            decision, account = request.query.get("decision") or None, request.query.get("account", "")
            return _json(await self._views.why(request.match_info["symbol"], decision, account))
        except NotThere as error:
            return _json({"error": str(error)}, 404)

    # --- what there is to do ---

    async def _command(self, request: web.Request) -> web.Response:
        argument, user, account = await _asked(request)
        by = f"{user}@{_remote(request)}" if user else _remote(request)
        try:
            return _json(await self._commands.command(request.match_info["verb"], argument, by, account))
        except NotThere as error:
            return _json({"error": str(error)}, 404)
        except Impossible as error:
            return _json({"error": str(error)}, 409)


async def _nothing(_request: web.Request) -> web.Response:
    raise web.HTTPNotFound


async def _asked(request: web.Request) -> tuple[str, str, str]:
    """Argument, user and account of a command: a JSON object, `{"argument": "BTC/USDT", "by": "ann", "account": "main"}`, all optional."""
    if not request.can_read_body:
        return "", "", ""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="a command's body is application/json")
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.json()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body has not come") from None
    except (ValueError, LookupError, RecursionError):  # no JSON, an encoding that nobody knows, brackets without end
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(body, dict) or not body.keys() <= set(ASKED):
        raise web.HTTPBadRequest(text='a command\'s body is a JSON object with "argument", "by" and "account", each a string and optional')
    texts = [body.get(name, "") for name in ASKED]
    if not all(isinstance(text, str) and len(text) <= TEXT_MAX and (not text or text.isprintable()) for text in texts):
        raise web.HTTPBadRequest(text=f"argument, by and account are printable strings of at most {TEXT_MAX} characters")
    argument, user, account = texts
    return argument, user, account


def _remote(request: web.Request) -> str:
    return request.remote or "unknown"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a listener on `host`."""
    return host.lower() == "localhost" or (_is_number(host) and ip_address(host.strip("[]")).is_loopback)


def _is_number(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _comes_from_a_foreign_page(request: web.Request, host: str) -> bool:
    """Browsers say where a request comes from; scripts say nothing."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "none")
    if request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate":
        return False  # a link to the dashboard; who follows it sees our page, and nobody else reads it
    return site not in ("none", "same-origin") or (origin is not None and origin not in (f"http://{host}", f"https://{host}"))


def _carries(request: web.Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(LIMIT_DEFAULT))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LIMIT_MAX)) and 1 <= int(text) <= LIMIT_MAX):
        raise web.HTTPBadRequest(text=_NO_NUMBER)
    return int(text)


def _since(request: web.Request) -> datetime:
    """From when on, as `?since=`: RFC 3339, with a time zone; from the beginning unless it is given."""
    text = request.query.get("since")
    if text is None:
        return EPOCH
    try:
        since = datetime.fromisoformat(text)
    except ValueError:
        raise web.HTTPBadRequest(text=_NO_MOMENT) from None
    if since.tzinfo is None:
        raise web.HTTPBadRequest(text=_NO_MOMENT)
    return since


def _json(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    text = json.dumps(plain(data), allow_nan=False)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


@web.middleware
async def _answer_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors are JSON too: {"error": one sentence}."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        told = {name: value for name, value in error.headers.items() if name in ("Allow", "WWW-Authenticate")}
        return _json({"error": _sentence(error, request.path)}, error.status, told)
    except Exception:  # a view that fails must not end the trading it looks at; the line says that a person must look
        log.exception("api.failed", path=request.path)
        return _json({"error": "the daemon failed to answer this; its log says why"}, 500)


def _sentence(error: web.HTTPException, path: str) -> str:
    match error.status:
        case 404:
            return f"there is nothing at {path}"
        case 405:
            return f"{path} is not asked for in this way; what is read takes GET, a command POST"
        case _:
            return error.text or error.reason


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.popall("Server", None)  # names and versions of libraries are for us to know


def _cannot_listen(error: OSError, host: str, port: int) -> CannotListen:
    where = f"api: cannot listen on {host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"{where}, another program does; set api.port to another one, or to 0 for any that is free")
    reason = error.strerror or str(error)
    return CannotListen(f"{where} ({reason}); set api.host to an address of this machine and api.port to a port from 1024 to 65535")
