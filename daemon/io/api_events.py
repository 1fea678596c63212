"""Events: the feed over HTTP, as Server-Sent Events (html.spec.whatwg.org/multipage/server-sent-events.html).

Rule: a client that does not read holds up nobody and is let go; there are only so many of them. Each message has the line's number as its
id, so that a client which comes back says where it was (`Last-Event-ID`), and is told when lines are missing in between.
"""

import asyncio
from typing import Final

from aiohttp import web

from daemon.io.api_feed import Feed, News

# Each holds a connection and up to some 200 kB that the kernel has not sent yet.
CLIENTS_MAX: Final = 50
# Below the minute after which proxies think that a connection is dead.
STILL_HERE_S: Final = 15.0
# One who has not read for so long is gone.
UNREAD_S: Final = 30.0
# Lines of one moment go in one write.
GATHER_S: Final = 0.05
DIGITS_MAX: Final = 16

_FULL: Final = "so many follow the events already that there is no place for another one; close a page, or ask again later"


class Events:
    """Answers `/api/v1/events`."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._clients = 0

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Send what comes, from where the client was, until one of both ends it. HTTPServiceUnavailable: there are too many."""
        if self._clients >= CLIENTS_MAX:
            raise web.HTTPServiceUnavailable(text=_FULL)
        self._clients += 1
        try:
            place = self._place(request)
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"})
            await response.prepare(request)
            await self._send(response, place)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()  # an end in order would wait for a client that does not read
        finally:
            self._clients -= 1
        return response

    def _place(self, request: web.Request) -> int:
        """After which number: as the client says, else after the newest; `?tail=200` begins so many lines earlier."""
        text, tail = request.headers.get("Last-Event-ID", ""), request.query.get("tail", "")
        if _is_number(text):
            return int(text)
        return max(self._feed.oldest - 1, self._feed.newest - int(tail)) if _is_number(tail) else self._feed.newest

    async def _send(self, response: web.StreamResponse, number: int) -> None:
        await _write(response, "retry: 2000\n\n")
        while not self._feed.closed:
            news = self._feed.since(number)
            number = news.last
            if news.entries:
                await _write(response, _messages(news))
            elif await self._feed.more(number, STILL_HERE_S):
                await asyncio.sleep(GATHER_S)
            else:
                await _write(response, ": still here\n\n")


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(UNREAD_S):
        await response.write(text.encode())


def _messages(news: News) -> str:
    missing = [f"event: missed\ndata: {news.missed}\n\n"] if news.missed or news.anew else []
    return "".join([*missing, *(f"id: {entry.number}\ndata: {entry.text}\n\n" for entry in news.entries)])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
