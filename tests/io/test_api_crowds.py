"""Clients that are slow, silent or many: each is bounded, and the daemon goes on answering the others."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from daemon.io import api as api_module
from daemon.io.api import CONNECTIONS_MAX
from daemon.io.api_events import CLIENTS_MAX
from tests.io.test_api import Commands, Views, serving

FOLLOW = b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
COMMAND = b"POST /api/v1/pause HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer open-sesame\r\nContent-Type: application/json\r\n"
CROWD = 1000

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(client: httpx.AsyncClient) -> AsyncIterator[Line]:
    """A connection of its own, to be used byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHo", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /hea"])
async def test_who_does_not_finish_a_request_is_let_go(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that does not come in time, the first or a later one on the connection, ends the connection."""
    monkeypatch.setattr(api_module, "IDLE_S", 0.2)
    async with serving(Views()) as client, connected(client) as (reader, writer), asyncio.timeout(10):
        writer.write(said)
        heard = await reader.read()
        assert heard.count(b"HTTP/1.1 ") == said.count(b"\r\n\r\n")
        assert (await client.get("/healthz")).status_code == 200


async def test_a_body_that_does_not_come_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever announces a body and keeps it is answered 408, and nothing is done."""
    monkeypatch.setattr(api_module, "BODY_S", 0.2)
    commands = Commands()
    async with serving(Views(), token="open-sesame", commands=commands) as client, connected(client) as (reader, writer):
        writer.write(COMMAND + b'Content-Length: 20\r\n\r\n{"by":')
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    assert commands.done == []


async def test_a_thousand_who_follow_are_a_bounded_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many follow, the next are refused, those beyond the bound of connections are hung up on, and all is well when they are gone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(api_module, "IDLE_S", 60)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * CROWD)), hard))
    lines: list[Line] = []
    try:
        async with serving(Views()) as client, asyncio.timeout(60):
            assert (await client.get("/healthz")).status_code == 200
            heads: list[bytes] = []
            for _ in range(CROWD):
                line = await asyncio.open_connection("127.0.0.1", client.base_url.port)
                lines.append(line)
                heads.append(await answered(line))
            followed, refused = (sum(head.startswith(b"HTTP/1.1 " + status) for head in heads) for status in (b"200", b"503"))
            assert (followed, refused) == (CLIENTS_MAX, CONNECTIONS_MAX - CLIENTS_MAX - 1)
            assert heads.count(b"") == CROWD - followed - refused
            assert (await client.get("/healthz")).status_code == 200
    finally:
        for _, writer in lines:
            writer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def answered(line: Line) -> bytes:
    """The first line of the answer to who wants to follow; nothing: hung up on."""
    reader, writer = line
    try:
        writer.write(FOLLOW)
        return await reader.readline()
    except ConnectionError:
        return b""
