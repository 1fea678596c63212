"""Market and user streams over real sockets, on a clock by hand."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.venue.wire import START, Floor, Listener

NOW = int(START * 1000)


async def heard(listener: Listener, count: int) -> list[dict[str, Any]]:
    """The next messages' candles."""
    return [(await listener.next())["data"]["k"] for _ in range(count)]


async def test_candles_form_and_close_once_in_order() -> None:
    """A candle is updated in the middle of its bar, closed once at the boundary, and what REST serves is the same."""
    async with Floor() as floor, floor.wire.stream("btcusdt@kline_1s") as listener:
        for _ in range(6):
            floor.pass_time(0.5)
        candles = await heard(listener, 6)
        assert [(k["t"], k["x"]) for k in candles] == [(NOW + i * 1000, closed) for i in range(3) for closed in (False, True)]
        _, bars, _ = await floor.wire.get("/api/v3/klines", symbol="BTCUSDT", interval="1s", startTime=NOW, limit=3)
        assert [[k["t"], k["o"], k["h"], k["l"], k["c"], k["v"]] for k in candles if k["x"]] == [bar[:6] for bar in bars]
        assert await listener.silent()


async def test_a_venue_that_was_held_up_still_closes_every_candle() -> None:
    """After a pause of five seconds the five candles come in order, none twice."""
    async with Floor() as floor, floor.wire.stream("ethusdt@kline_1s") as listener:
        floor.pass_time(5.2)
        assert [k["t"] for k in await heard(listener, 5)] == [NOW + i * 1000 for i in range(5)]


async def test_longer_candles_stream_too() -> None:
    """A minute's candle grows with its seconds and closes at the minute with REST's values."""
    async with Floor() as floor, floor.wire.stream("btcusdt@kline_1m") as listener:
        to_minute = 60 - int(START) % 60
        floor.pass_time(to_minute - 2)
        floor.pass_time(0.5)
        (forming,) = await heard(listener, 1)
        floor.pass_time(1.5)
        (closed,) = await heard(listener, 1)
        assert (forming["x"], closed["x"], closed["t"]) == (False, True, NOW // 60_000 * 60_000)
        _, bars, _ = await floor.wire.get("/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=closed["t"], limit=1)
        assert [closed[n] for n in "ohlc"] == bars[0][1:5]
        assert float(closed["h"]) >= float(forming["h"])


async def test_a_gap_is_silence() -> None:
    """A market without a row sends nothing for that bar."""
    async with Floor(gaps=0.5, markets=3) as floor, floor.wire.stream("btcusdt@kline_1s", "ethusdt@kline_1s") as listener:
        for _ in range(40):
            floor.pass_time(1)
        table = [floor.venue.exchange.tape.closed(market, 1000 + i) for i in range(40) for market in (0, 1)]
        wanted = [bar.start for bar in table if bar is not None]
        assert 20 < len(wanted) < 60
        assert [k["t"] for k in await heard(listener, len(wanted))] == wanted
        assert await listener.silent()


async def test_closed_only() -> None:
    """A venue told so sends nothing but closed candles."""
    names = ("btcusdt@kline_1s", "btcusdt@bookTicker")
    async with Floor(closed_only=True) as floor, floor.wire.stream(*names) as listener:
        for _ in range(4):
            floor.pass_time(0.5)
        assert [k["x"] for k in await heard(listener, 2)] == [True, True]
        assert await listener.silent()


async def test_tickers_say_a_thing_once() -> None:
    """Book and mini tickers come when they have changed, in Binance's shapes, raw on /ws."""
    async with Floor() as floor, floor.wire.stream("btcusdt@bookTicker", path="/ws") as listener:
        floor.pass_time(0.5)
        said = await listener.next()
        assert sorted(said) == ["A", "B", "a", "b", "s", "u"]
        assert Decimal(said["b"]) < Decimal(said["a"])
        floor.venue.pump()
        assert await listener.silent()
        await listener.socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@miniTicker"], "id": 2})
        assert (await listener.next())["id"] == 2
        floor.venue.pump()
        assert (await listener.next())["e"] == "24hrMiniTicker"


async def test_subscriptions_can_be_listed_and_ended() -> None:
    """LIST_SUBSCRIPTIONS names what is on, UNSUBSCRIBE ends it, nonsense is an error, an unknown market is silence."""
    async with Floor() as floor, floor.wire.stream("btcusdt@kline_1s", "nopeusdt@kline_1s") as listener:
        await listener.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 3})
        assert await listener.next() == {"result": ["btcusdt@kline_1s", "nopeusdt@kline_1s"], "id": 3}
        await listener.socket.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@kline_1s"], "id": 4})
        assert await listener.next() == {"result": None, "id": 4}
        await listener.socket.send_json({"method": "SUBSCRIBE", "params": ["what?"], "id": 5})
        assert (await listener.next())["error"]["code"] == 2
        floor.pass_time(1)
        assert await listener.silent()
        assert floor.venue.hub.streams == {}


async def test_streams_named_in_the_address() -> None:
    """/stream?streams=A/B and /ws/A subscribe without a message."""
    async with Floor() as floor:
        combined = floor.wire.stream(path="/stream?streams=btcusdt@kline_1s/ethusdt@kline_1s")
        async with combined as both, floor.wire.stream(path="/ws/solusdt@kline_1s") as raw:
            await floor.wire.get("/api/v3/ping")
            floor.pass_time(1)
            assert {k["s"] for k in await heard(both, 2)} == {"BTCUSDT", "ETHUSDT"}
            assert (await raw.next())["k"]["s"] == "SOLUSDT"


async def test_a_connection_that_talks_too_much_is_closed() -> None:
    """The sixth message within a second ends the connection with 1008, pings counted, and the dump knows it."""
    async with Floor() as floor, floor.wire.stream() as listener:
        for number in range(4):
            await listener.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        await listener.socket.ping()
        await listener.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 9})
        kinds = [(await listener.receive()).type for _ in range(5)]
        assert kinds == [aiohttp.WSMsgType.TEXT] * 4 + [aiohttp.WSMsgType.CLOSE]
        assert listener.socket.close_code == 1008
        assert floor.venue.state()["websockets"]["market"]["closed_for_rate"] == 1


async def test_five_messages_a_second_are_fine() -> None:
    """A client that keeps to the limit is never closed."""
    async with Floor() as floor, floor.wire.stream() as listener:
        for number in range(20):
            await listener.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
            assert (await listener.next())["id"] == number
            floor.clock.move(0.25)


async def test_too_many_streams_on_a_connection() -> None:
    """The 1,025th stream of a connection is refused, and those before stay."""
    async with Floor(stream_limit=3) as floor, floor.wire.stream("a@trade", "b@trade", "c@trade") as listener:
        await listener.socket.send_json({"method": "SUBSCRIBE", "params": ["d@trade"], "id": 2})
        assert (await listener.next())["error"]["code"] == 2


async def test_connections_are_limited_and_can_be_refused() -> None:
    """Beyond the attempts allowed, or with streams off, the handshake fails with 429 or 503."""
    async with Floor(connection_limit=2) as floor, floor.wire.stream(), floor.wire.stream():
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            await floor.wire.stream().__aenter__()
    async with Floor(streams=False) as floor:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await floor.wire.stream().__aenter__()
        assert floor.venue.state()["websockets"]["market"]["refused"] == 1


async def test_streams_can_be_refused_and_closed() -> None:
    """What is open is closed with the code that the script says and what comes is refused; once that is lifted they work."""
    async with Floor() as floor:
        async with floor.wire.stream("btcusdt@kline_1s") as listener:
            await floor.wire.fault({"do": "ws.refuse", "status": 502}, {"do": "ws.close", "code": 1012})
            closed = await listener.receive()
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1012)
            with pytest.raises(aiohttp.WSServerHandshakeError, match="502"):
                await floor.wire.stream().__aenter__()
        await floor.wire.mend()
        async with floor.wire.stream("btcusdt@kline_1s") as listener:
            floor.pass_time(1)
            assert (await heard(listener, 1))[0]["x"]


async def test_a_broken_line_stays_open_and_silent() -> None:
    """A muted stream pings and says nothing else, over a broken line nothing comes at all, and a handshake waits until it is mended."""
    async with Floor(ping_s=1.0) as floor, floor.wire.unanswered("/ws/btcusdt@kline_1s") as socket:
        listener = Listener(socket)
        await floor.wire.fault({"do": "ws.mute", "on": "market"})
        floor.pass_time(1)
        assert (await listener.receive()).type is aiohttp.WSMsgType.PING
        await floor.wire.mend()
        await floor.wire.fault({"do": "ws.blackhole", "on": "market"})
        floor.pass_time(1)
        assert await listener.silent()
        dialling = asyncio.create_task(floor.wire.stream().__aenter__())
        await asyncio.sleep(0.1)
        assert not dialling.done()
        await floor.wire.mend()
        await asyncio.wait_for(dialling, 3.0)
        floor.pass_time(1)
        assert [(await listener.receive()).type for _ in range(2)] == [aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING]


async def test_user_stream_reports_an_order_from_birth_to_end() -> None:
    """NEW, TRADE and the balances of a market order, NEW and CANCELED of a limit, then a deposit: each in its envelope."""
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1", "newClientOrderId": "one"}
    async with Floor() as floor, floor.wire.user() as listener:
        await floor.wire.signed("POST", "/api/v3/order", **order)
        limit = order | {"type": "LIMIT", "timeInForce": "GTC", "price": "30000", "newClientOrderId": "two"}
        await floor.wire.signed("POST", "/api/v3/order", **limit)
        await floor.wire.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="two")
        await floor.wire.post("/venue/deposit", asset="USDT", amount="12.5")
        said = [await listener.next() for _ in range(9)]
        assert {message["subscriptionId"] for message in said} == {0}
        events = [message["event"] for message in said]
        assert [event.get("x") or event["e"] for event in events] == [
            *("NEW", "TRADE", "outboundAccountPosition"),
            *("NEW", "outboundAccountPosition", "CANCELED", "outboundAccountPosition"),
            *("balanceUpdate", "outboundAccountPosition"),
        ]
        assert [(event["c"], event["C"]) for event in events if event.get("x") in ("NEW", "TRADE")] == [("one", "")] * 2 + [("two", "")]
        assert [event["C"] for event in events if event.get("x") == "CANCELED"] == ["two"]


async def test_user_stream_needs_a_signature() -> None:
    """A wrong signature on the WebSocket API is refused with Binance's code, and no event follows."""
    async with Floor() as floor, floor.wire.session.ws_connect(floor.venue.ws_url + "/ws-api/v3") as socket:
        listener = Listener(socket)
        values = {"apiKey": "venue-key", "timestamp": NOW, "signature": "0" * 64}
        await socket.send_json({"id": 1, "method": "userDataStream.subscribe.signature", "params": values})
        answer = await listener.next()
        assert (answer["status"], answer["error"]["code"]) == (400, -1022)
        assert floor.venue.listeners.users == {}
