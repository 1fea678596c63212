"""The event stream as a client meets it: numbered, resumable, bounded."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from daemon.io import api_events
from daemon.io.api_feed import Feed
from daemon.io.clock import SystemClock
from tests.io.test_api import Views, serving
from tests.io.test_api_feed import said

Message = dict[str, str]


@asynccontextmanager
async def following(client: httpx.AsyncClient, **request: Any) -> AsyncIterator[AsyncIterator[Message]]:
    """The messages of a stream, field by field."""
    async with client.stream("GET", "/api/v1/events", **request) as answer:
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        yield messages(answer.aiter_lines())


async def messages(lines: AsyncIterator[str]) -> AsyncIterator[Message]:
    """Fields up to an empty line are one message."""
    message: Message = {}
    async for line in lines:
        name, _, value = line.partition(": ")
        if line:
            message[name] = value
        elif message:
            yield message
            message = {}


async def first(stream: AsyncIterator[Message], count: int) -> list[Message]:
    """So many messages with data."""
    found: list[Message] = []
    async with asyncio.timeout(10):
        async for message in stream:
            if "data" in message:
                found.append(message)
            if len(found) == count:
                return found
    raise AssertionError("the stream has ended")


async def test_lines_come_as_they_are_said() -> None:
    """Each message is a line of the log as JSON, with its number as the id."""
    feed = Feed(SystemClock())
    async with serving(Views(), feed=feed) as client, following(client) as stream:
        waiting = asyncio.create_task(first(stream, 2))
        await asyncio.sleep(0)
        while not waiting.done():
            said(feed, 1)
            await asyncio.sleep(0.01)
        one, two = await waiting
    assert (json.loads(one["data"])["event"], int(two["id"])) == ("test", int(one["id"]) + 1)


async def test_a_client_that_comes_back_misses_nothing() -> None:
    """`Last-Event-ID` goes on behind the line of that number."""
    feed = Feed(SystemClock())
    said(feed, 5)
    async with serving(Views(), feed=feed) as client, following(client, headers={"Last-Event-ID": str(feed.newest - 2)}) as stream:
        found = await first(stream, 2)
    assert [json.loads(message["data"])["n"] for message in found] == [3, 4]


async def test_a_client_that_comes_back_too_late_is_told() -> None:
    """Before the lines that are left comes a message that says how many are not."""
    feed = Feed(SystemClock(), kept=2)
    place = feed.newest
    said(feed, 5)
    async with serving(Views(), feed=feed) as client, following(client, headers={"Last-Event-ID": str(place)}) as stream:
        found = await first(stream, 3)
    assert (found[0]["event"], found[0]["data"]) == ("missed", "3")
    assert [json.loads(message["data"])["n"] for message in found[1:]] == [3, 4]


async def test_a_page_may_ask_for_what_was_just_said() -> None:
    """`?tail=` begins so many lines before the newest, or at the oldest that is kept; nobody has missed anything then."""
    feed = Feed(SystemClock(), kept=4)
    said(feed, 9)
    async with serving(Views(), feed=feed) as client:
        for tail, expected in ((2, [7, 8]), (100, [5, 6, 7, 8])):
            async with following(client, params={"tail": tail}) as stream:
                found = await first(stream, len(expected))
            assert [json.loads(message["data"])["n"] for message in found] == expected


async def test_a_thousand_clients_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the next is refused with a sentence, and takes a place that became free."""
    monkeypatch.setattr(api_events, "CLIENTS_MAX", 3)
    feed = Feed(SystemClock())
    async with serving(Views(), feed=feed) as client, AsyncExitStack() as others:
        for _ in range(3):
            await others.enter_async_context(following(client))
        refused = await client.get("/api/v1/events")
        assert (refused.status_code, "no place" in refused.json()["error"]) == (503, True)
        await others.aclose()
        await a_place(client, feed)


async def a_place(client: httpx.AsyncClient, feed: Feed) -> None:
    """Return once one more client is taken; one that is gone is noticed by writing to it."""
    async with asyncio.timeout(10):
        while True:
            said(feed, 1)
            async with client.stream("GET", "/api/v1/events") as answer:
                if answer.status_code == 200:
                    return


async def test_a_client_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds up neither the lines nor other clients, and its place is given to the next."""
    monkeypatch.setattr(api_events, "UNREAD_S", 0.2)
    monkeypatch.setattr(api_events, "CLIENTS_MAX", 2)
    feed = Feed(SystemClock())
    async with serving(Views(), feed=feed) as client:
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as deaf:
            deaf.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            async with following(client) as stream:
                for _ in range(200):
                    feed.hear({"event": "test", "text": "x" * 50_000})
                await first(stream, 200)
                await a_place(client, feed)
