"""Requests at random against a real server: no 500, nothing that does not end, and no command that was not meant."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

from structlog.testing import capture_logs

from daemon.io.api_routes import ROUTES, VERBS
from tests.fuzz.mutations import POISON, SEED, cases, mutated
from tests.io.test_api import Commands, Views, serving

METHODS: Final = ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW", "P\x7fST", "")
PIECES: Final = (
    "api",
    "v1",
    "status",
    "why",
    "BTC",
    "USDT",
    "..",
    ".",
    "%2e%2e",
    "%2F",
    "%00",
    "%ff",
    "static",
    "main.js",
    "✓",
    "a" * 300,
    "",
)
NAMES: Final = ("limit", "since", "tail", "decision", "account", "x", "")
HEADERS: Final = (
    *("Host", "Origin", "Authorization", "Content-Type", "Content-Length", "Last-Event-ID", "Sec-Fetch-Site", "If-None-Match", "Range"),
    *("Transfer-Encoding", "Expect", "Connection", "Upgrade", "Cookie", "X" * 100),
)
VALUES: Final = (
    *("127.0.0.1", "evil.example", "http://evil.example", "Bearer open-sesame", "Bearer x", "application/json", "0", "-1", "999999999"),
    *("bytes=0-9999999", "bytes=9-1", "chunked", "100-continue", "close", "websocket", '"x"', "\xff\xfe", "a\tb", "", "1" * 7000),
)
BODY: Final = {"argument": "BTC/USDT", "by": "ann", "account": ""}
ENDS: Final = frozenset({200, 206, 304, 400, 401, 403, 404, 405, 408, 409, 411, 413, 415, 416, 417, 421, 431, 501, 503})
AT_ONCE: Final = 20


class Told(Views):
    """Views of which none fails."""

    def targets(self) -> Sequence[Mapping[str, object]]:
        return []


def asked(chance: Random) -> tuple[bytes, bool]:
    """A request as it stands on the wire, and whether it could be a command that is meant."""
    method = chance.choice(METHODS) if chance.random() < 0.3 else chance.choice(("GET", "POST"))
    target = path(chance)
    headers = {"Host": "127.0.0.1", "Connection": "close"}
    if chance.random() < 0.5:
        headers |= {"Authorization": "Bearer open-sesame", "Content-Type": "application/json"}
    headers |= {chance.choice(HEADERS): chance.choice(VALUES) for _ in range(chance.choice((0, 0, 1, 3)))}
    body = content(chance) if method == "POST" or chance.random() < 0.1 else b""
    if body and chance.random() < 0.9:
        headers["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    meant = headers.get("Authorization") == "Bearer open-sesame" and method == "POST"
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogatepass") + body, meant


def path(chance: Random) -> str:
    """A path that there is, or a few pieces of some; and what is asked."""
    if chance.random() < 0.6:
        found = (
            chance.choice(ROUTES)
            .path.replace("{verb}", chance.choice(list(VERBS)))
            .replace("{name}", "main.js")
            .replace("{symbol}", "BTC/USDT")
        )
    else:
        found = "/" + "/".join(chance.choice(PIECES) for _ in range(chance.randint(0, 6)))
    pairs = [f"{chance.choice(NAMES)}={wire(chance.choice(POISON))}" for _ in range(chance.choice((0, 0, 1, 2)))]
    return found + (f"?{'&'.join(pairs)}" if pairs else "")


def wire(value: object) -> str:
    """As somebody would put it into an address, escaped or not."""
    return str(value).replace(" ", "%20").replace("\x00", "%00")[:2000]


def content(chance: Random) -> bytes:
    """A body: a command's, changed at random, in JSON; or something else."""
    if chance.random() < 0.2:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(200)))
    return json.dumps(mutated(BODY, chance)).encode()


async def answered(port: int, request: bytes) -> tuple[int, bytes]:
    """Status and what was heard; 0: the connection was closed without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        if writer.can_write_eof():
            writer.write_eof()
        heard = await asyncio.wait_for(reader.read(65536), 10)
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    return (int(heard.split(b" ", 2)[1]) if heard.startswith(b"HTTP/1.") else 0), heard


async def test_no_request_breaks_the_api() -> None:
    """Every request ends with a status that is meant, tells nothing of the insides, and commands nothing without the token."""
    chance, commands = Random(f"{SEED} api"), Commands()
    meant = 0
    with capture_logs() as lines:
        async with serving(Told(), token="open-sesame", commands=commands) as client:
            port = client.base_url.port or 0
            for _ in range(cases(800) // AT_ONCE):
                some = [asked(chance) for _ in range(AT_ONCE)]
                answers = await asyncio.gather(*(answered(port, request) for request, _ in some))
                for (request, may), (status, heard) in zip(some, answers, strict=True):
                    assert status in ENDS | {0}, f"{status} of {request[:500]!r}"
                    assert b"Traceback" not in heard
                    meant += may
                lines[:] = [line for line in lines if line["event"] != "command.refused"]
                assert not [line for line in lines if line["log_level"] in ("error", "critical")], lines
            assert (await client.get("/healthz")).status_code == 200
    assert len(commands.done) <= meant


def test_the_requests_are_what_they_are_meant_to_be() -> None:
    """Most could reach a handler, and some are no HTTP at all: else nothing would be tried."""
    chance: Any = Random(1)
    made = [asked(chance)[0] for _ in range(500)]
    assert sum(request.startswith((b"GET /", b"POST /")) for request in made) > 300
    assert sum(b"Bearer open-sesame" in request for request in made) > 100
