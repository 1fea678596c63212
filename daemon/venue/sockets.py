"""One websocket connection, seen from the writing side.

Rule: a frame is made once and written whole; a reader that does not keep up is disconnected, never waited for.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Final, cast

from aiohttp import web

from daemon.venue.exchange import Exchange
from daemon.venue.faults import Garble, Silence

BUFFER_MAX: Final = 16 << 20  # bytes a connection may lag behind: some seconds of 1,000 streams
TEXT: Final = 0x1
PING: Final = 0x9


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """An unmasked, unfragmented websocket frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, length) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, length) + payload


class Socket:
    """A connection's outbox. Frames queued in one turn of the loop leave in one write. `kind`: market or user, as faults name it."""

    def __init__(self, exchange: Exchange, kind: str, request: web.Request, response: web.WebSocketResponse) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client left before the handshake was over")
        self._transport = cast("asyncio.WriteTransport", request.transport)  # uvloop's is none by class, only by its methods
        self._response = response
        self._exchange, self.kind = exchange, kind
        self._queue: list[bytes] = []
        self._turned: list[bytes] = []  # messages that wait for the next one to pass

    def queue(self, framed: bytes) -> None:
        """Put a ready frame into the outbox."""
        self._queue.append(framed)

    def tell(self, framed: bytes, symbol: str) -> None:
        """Put a message about a market or the account into the outbox, unless a fault sees to it."""
        faults = self._exchange.faults
        if not faults.any(Garble) and not faults.any(Silence):
            self._queue.append(framed)
            return
        now = self._exchange.now()
        if faults.strike(Silence, now, self.kind) is not None:
            return
        garble = faults.strike(Garble, now, self.kind, symbol)
        if garble is not None:
            self._queue += self._garbled(garble, framed)
        else:
            self._queue += [framed, *self._turned]
            self._turned = []

    def _garbled(self, garble: Garble, framed: bytes) -> list[bytes]:
        """What comes, now, instead of a message."""
        match garble.way:
            case "garbage":
                return [frame(garble.body.encode())]
            case "dup":
                return [framed, framed]
            case "lose":
                return []
            case "reorder":
                self._turned.append(framed)
                return []
            case "delay":
                asyncio.get_running_loop().call_later(garble.ms / 1000, self._late, framed)
                return []

    def _late(self, framed: bytes) -> None:
        self.queue(framed)
        self.flush()

    @property
    def cut_off(self) -> bool:
        """Whether the line is broken: nothing gets through, and nobody is told."""
        return cut_off(self._exchange, self.kind)

    def flush(self) -> None:
        """Write the outbox; a broken line loses it instead."""
        frames, self._queue = self._queue, []
        if not frames or self._transport.is_closing() or self.cut_off:
            return
        if self._transport.get_write_buffer_size() > BUFFER_MAX:
            self._transport.abort()
            return
        self._transport.write(b"".join(frames))

    def send(self, text: str) -> None:
        """Write one text message now."""
        self.queue(frame(text.encode()))
        self.flush()

    def ping(self, payload: bytes) -> None:
        """Write a ping now."""
        self.queue(frame(payload, PING))
        self.flush()

    async def close(self, code: int, reason: str = "") -> None:
        """End the connection in order."""
        await self._response.close(code=code, message=reason.encode())


def cut_off(exchange: Exchange, kind: str) -> bool:
    """Whether the lines of a kind are broken now."""
    return any(silence.way == "blackhole" for silence in exchange.faults.standing(Silence, exchange.now(), kind))


def upgrade() -> web.WebSocketResponse:
    """A websocket answer: pings are seen (they count as messages), nothing is compressed, a close waits one second."""
    return web.WebSocketResponse(autoping=False, compress=False, timeout=1.0, max_msg_size=1 << 20)


def counted() -> dict[str, Any]:
    """Counters of a kind of websocket, for the dump."""
    return {"connections": 0, "open": 0, "messages": 0, "closed_for_rate": 0, "refused": 0}
