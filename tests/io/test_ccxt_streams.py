"""Streams through the door: from the embedded venue, and from a server that misbehaves."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from daemon.core.model import OrderReport, Side, Status, epoch_ms
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.ccxt_streams import Forming, UnifiedStreams
from daemon.io.exchange import AccountNews, BarUpdate, Fatal, NotSent, Unknown, Urgency, VenueError
from daemon.venue import Venue, VenueSettings
from tests.io.ccxt_server import Server, an_order, door, open_end, said, serving, until

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
OPENS_MS = 1_700_000_040_000

Talk = Callable[[web.WebSocketResponse, web.Request], Awaitable[None]]


def kline(symbol: str = "BTCUSDT", close: str = "2", *, closed: bool = False, opens_ms: int = OPENS_MS, **other: Any) -> str:
    row = {"t": opens_ms, "s": symbol, "i": "1m", "o": "2", "c": close, "h": "3", "l": "1", "v": "5", "x": closed}
    return json.dumps({"e": "kline", "E": opens_ms, "s": symbol, "k": {**row, **other}})


def sends(*frames: str) -> Talk:
    """A server that answers the subscription with these frames and then keeps still."""

    async def talk(socket: web.WebSocketResponse, request: web.Request) -> None:
        for frame in frames:
            await socket.send_str(frame)
        await open_end(socket, request)

    return talk


async def watched(server: Server, exchange: CcxtExchange, *symbols: str) -> tuple[list[BarUpdate], "asyncio.Task[None]"]:
    """A watcher under way, and what it hears."""
    await exchange.connect()
    updates: list[BarUpdate] = []
    return updates, asyncio.create_task(exchange.watch_bars(symbols or ("BTC/USDT", "ETH/USDT"), MINUTE, updates.append))


async def ended(task: "asyncio.Task[None]", within_s: float = 1.0) -> VenueError:
    """How a watcher ended."""
    with pytest.raises(VenueError) as caught:
        await asyncio.wait_for(task, within_s)
    return caught.value


async def test_the_closed_flag_is_read() -> None:
    """A candle is closed when the venue says so, plain or in an envelope, and at once: not when the next one begins."""
    async with serving() as server, door(server.urls()) as exchange:
        wrapped = json.dumps({"stream": "ethusdt@kline_1m", "data": json.loads(kline("ETHUSDT", "3", closed=True))})
        server.talk = sends(kline(close="1.5"), kline(close="2.5", closed=True), wrapped, kline("XRPUSDT"))
        updates, task = await watched(server, exchange)
        await until(lambda: len(updates) >= 3)
        assert [(u.bar.symbol, u.bar.close, u.closed) for u in updates] == [
            ("BTC/USDT", 1.5, False),
            ("BTC/USDT", 2.5, True),
            ("ETH/USDT", 3.0, True),
        ]
        assert epoch_ms(updates[0].bar.closes_at) == OPENS_MS + 60_000
        await exchange.reset_streams()
        await ended(task)


async def test_one_message_subscribes_a_batch() -> None:
    """All symbols of a batch go in one SUBSCRIBE, and batches do not share a connection."""
    async with serving() as server, door(server.urls()) as exchange:
        server.talk = open_end
        _, first = await watched(server, exchange)
        _, second = await watched(server, exchange, "ETH/USDT")
        await until(lambda: len(server.heard) == 2)
        assert sorted(message["params"] for message in server.heard) == [["btcusdt@kline_1m", "ethusdt@kline_1m"], ["ethusdt@kline_1m"]]
        assert len(exchange._client.clients) == 2
        await exchange.reset_streams()
        await ended(first)
        await ended(second)


FRAMES = {
    "no JSON": '{"e": "kline", "k": {',
    "no candle": json.dumps({"e": "kline", "s": "BTCUSDT"}),
    "no number": kline(close="what?"),
    "refused": json.dumps({"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": 1}),
}


@pytest.mark.parametrize("frame", FRAMES)
async def test_a_frame_that_cannot_be_read_ends_the_watch(frame: str) -> None:
    """One malformed frame ends the connection, loudly and not in silence, and the next watch works."""
    async with serving() as server, door(server.urls()) as exchange:
        server.talk = sends(FRAMES[frame])
        _, task = await watched(server, exchange)
        assert isinstance(await ended(task), VenueError)
        server.talk = sends(kline())
        updates, again = await watched(server, exchange)
        await until(lambda: updates)
        await exchange.reset_streams()
        await ended(again)


async def test_a_candle_that_nobody_can_have_traded_is_passed_over() -> None:
    """A new listing's empty candle costs its neighbours nothing."""
    async with serving() as server, door(server.urls()) as exchange:
        server.talk = sends(kline("ETHUSDT", "0", o="0", h="0", l="0"), kline())
        updates, task = await watched(server, exchange)
        await until(lambda: updates)
        assert [update.bar.symbol for update in updates] == ["BTC/USDT"]
        await exchange.reset_streams()
        await ended(task)


async def test_a_reset_wakes_every_watcher_within_a_second() -> None:
    """`reset_streams` ends candles and account alike, as Unknown and not as a cancellation, and leaves no connection."""
    async with Venue(VenueSettings(markets=3)) as venue, door(venue.ccxt_urls()["api"], key="venue-key", secret="venue-secret") as exchange:
        await exchange.connect()
        news: list[AccountNews] = []
        standing = asyncio.Event()
        tasks = [
            asyncio.create_task(exchange.watch_bars(["BTC/USDT"], SECOND, lambda update: None)),
            asyncio.create_task(exchange.watch_account(news.append, standing.set)),
        ]
        await standing.wait()
        await exchange.reset_streams()
        assert [type(await ended(task)) for task in tasks] == [Unknown, Unknown]
        assert exchange._client.clients == {}


async def test_a_refused_websocket_is_not_sent() -> None:
    """A venue that refuses the handshake, or where nobody listens, is left to polling."""
    async with serving() as server, door(server.urls()) as exchange:
        _, task = await watched(server, exchange)
        assert isinstance(await ended(task), NotSent)
        assert isinstance(await ended(asyncio.create_task(exchange.watch_account(lambda news: None, lambda: None))), NotSent)
        where = exchange._client.house.address
        exchange._client.house.address = replace(where, hosts=where.hosts | {"127.0.0.1:1"})
        exchange._client.urls["api"]["ws"]["spot"] = "ws://127.0.0.1:1/stream"
        assert isinstance(await ended(asyncio.create_task(exchange.watch_bars(["BTC/USDT"], MINUTE, lambda update: None))), NotSent)


async def test_a_websocket_that_is_not_named_is_not_dialled() -> None:
    """A server of one's own without a websocket is polled: the real venue's stream is not mixed in."""
    async with serving() as server:
        rest = {key: url for key, url in server.urls().items() if key != "ws"}
        async with door(rest) as exchange:
            _, task = await watched(server, exchange)
            error = await ended(task)
            assert isinstance(error, NotSent)
            assert "name it under exchange.ccxt.urls" in error.text
            exchange._client.urls["api"]["ws"]["spot"] = "wss://evil.example/stream"
            assert isinstance(await ended(asyncio.create_task(exchange.watch_bars(["BTC/USDT"], MINUTE, lambda update: None))), Fatal)


async def test_a_closed_connection_ends_the_watch() -> None:
    """The venue's close is an end, and Unknown: what happened meanwhile has to be read by REST."""
    async with serving() as server, door(server.urls()) as exchange:

        async def talk(socket: web.WebSocketResponse, request: web.Request) -> None:
            await socket.close(code=1001)

        server.talk = talk
        _, task = await watched(server, exchange)
        assert isinstance(await ended(task), Unknown)


def hanging(until: asyncio.Event) -> Callable[[web.WebSocketResponse, web.Request], Awaitable[None]]:
    """A peer that says one thing, and then reads nothing any more, pings included."""

    async def talk(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.send_str(kline())
        assert request.transport is not None
        request.transport.pause_reading()
        await until.wait()

    return talk


@pytest.mark.slow
async def test_a_half_open_connection_dies_within_seconds() -> None:
    """A peer that answers nothing any more, pings included, is given up after three keep-alives: by the door's own, within 12 s."""
    async with serving() as server, door(server.urls(), streaming={"keepAlive": 500}) as exchange:
        silent = asyncio.Event()
        server.talk = hanging(silent)
        updates, task = await watched(server, exchange)
        await until(lambda: updates)
        assert isinstance(await ended(task, 3.0), Unknown)
        silent.set()


async def test_a_peer_that_hangs_holds_up_no_end() -> None:
    """Given up by us, a connection whose other side reads nothing any more is gone within seconds, good-bye or not."""
    async with serving() as server, door(server.urls()) as exchange:
        silent = asyncio.Event()
        server.talk = hanging(silent)
        updates, task = await watched(server, exchange)
        await until(lambda: updates)
        task.cancel()
        done, _ = await asyncio.wait((task,), timeout=5.0)
        assert done
        silent.set()


async def test_the_user_stream_tells_orders_and_their_trades() -> None:
    """Each trade comes with its order, under our id, as the REST answers tell it."""
    async with Venue(VenueSettings(markets=3)) as venue, door(venue.ccxt_urls()["api"], key="venue-key", secret="venue-secret") as exchange:
        await exchange.connect()
        news: list[AccountNews] = []
        standing = asyncio.Event()
        task = asyncio.create_task(exchange.watch_account(news.append, standing.set))
        await standing.wait()
        answer = await exchange.submit(an_order("r1", amount="0.6"), Urgency.GROW)
        await until(lambda: any(isinstance(told, OrderReport) and told.status is Status.FILLED for told in news))
        reports = [told for told in news if isinstance(told, OrderReport)]
        told = [fill for report in reports for fill in report.fills]
        assert {report.order_id for report in reports} == {"r1"}
        assert (reports[-1].filled, reports[-1].cost) == (Decimal("0.6"), answer.cost)
        assert told == list(answer.fills)
        assert sum(fill.amount for fill in told) == Decimal("0.6")
        await exchange.reset_streams()
        await ended(task)


async def test_a_transfer_is_told() -> None:
    """Money that comes without a trade is told with its sign and an id of its own; the end of the stream ends the watch."""
    transfer = {"e": "balanceUpdate", "E": 1, "a": "USDT", "d": "-100.50000000", "T": 1_700_000_000_000}
    async with serving() as server, door(server.urls()) as exchange:

        async def talk(socket: web.WebSocketResponse, request: web.Request) -> None:
            await until(lambda: server.heard)
            await socket.send_json({"id": server.heard[-1]["id"], "status": 200, "result": {"subscriptionId": 0}})
            await socket.send_json({"subscriptionId": 0, "event": transfer})
            await asyncio.sleep(0.2)
            await socket.send_json({"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}})
            await open_end(socket, request)

        server.talk = talk
        await exchange.connect()
        news: list[AccountNews] = []
        error = await ended(asyncio.create_task(exchange.watch_account(news.append, lambda: None)))
        assert news == [("USDT", Decimal("-100.5"), "USDT-1700000000000--100.50000000")]
        assert isinstance(error, Unknown)


async def test_a_refused_user_stream_says_why() -> None:
    """A key that may not subscribe ends the watch with the venue's code."""
    async with serving() as server, door(server.urls()) as exchange:

        async def talk(socket: web.WebSocketResponse, request: web.Request) -> None:
            await until(lambda: server.heard)
            refusal = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
            await socket.send_json({"id": server.heard[-1]["id"], "status": 401, "error": refusal})
            await open_end(socket, request)

        server.talk = talk
        await exchange.connect()
        error = await ended(asyncio.create_task(exchange.watch_account(lambda news: None, lambda: None)))
        assert isinstance(error, Fatal)
        assert "-2015" in error.text
        assert "canary" not in error.text


async def test_bars_of_the_venue_come_closed_and_in_order() -> None:
    """On the embedded venue each symbol's closed candles follow each other without gap, at the boundary."""
    async with Venue(VenueSettings(markets=3)) as venue, door(venue.ccxt_urls()["api"], key="", secret="") as exchange:
        await exchange.connect()
        updates: list[BarUpdate] = []
        task = asyncio.create_task(exchange.watch_bars(["BTC/USDT", "ETH/USDT"], SECOND, updates.append))
        await until(lambda: sum(update.closed for update in updates) >= 6)
        await exchange.reset_streams()
        await ended(task)
        for symbol in ("BTC/USDT", "ETH/USDT"):
            closes = [update.bar.closes_at for update in updates if update.closed and update.bar.symbol == symbol]
            assert len(closes) >= 2
            assert all(later - earlier == SECOND for earlier, later in pairwise(closes))
        assert any(not update.closed for update in updates)
        assert venue.audit() == []


async def test_the_unified_way_tells_the_same() -> None:
    """Through ccxt's unified methods, which any exchange has, the same bars close, each when a later one appears."""
    async with Venue(VenueSettings(markets=3)) as venue, door(venue.ccxt_urls()["api"], key="venue-key", secret="venue-secret") as exchange:
        await exchange.connect()
        streams = UnifiedStreams(exchange._client, exchange._now, ())
        updates: list[BarUpdate] = []
        news: list[AccountNews] = []
        tasks = [
            asyncio.create_task(streams.bars(["BTC/USDT", "ETH/USDT"], SECOND, updates.append)),
            asyncio.create_task(streams.account(news.append, lambda: None)),
        ]
        await asyncio.sleep(0.3)
        await exchange.submit(an_order("r1", side=Side.BUY), Urgency.GROW)
        await until(lambda: sum(update.closed for update in updates) >= 6)
        await until(lambda: any(isinstance(told, OrderReport) and told.status is Status.FILLED for told in news))
        for symbol in ("BTC/USDT", "ETH/USDT"):
            listed = {u.bar.closes_at: u.bar for u in await exchange.bars(symbol, SECOND, limit=20)}
            closed = [update.bar for update in updates if update.closed and update.bar.symbol == symbol]
            assert closed == [listed[bar.closes_at] for bar in closed]
        assert {told.order_id for told in news if isinstance(told, OrderReport)} == {"r1"}
        await exchange.reset_streams()
        assert [type(await ended(task)) for task in tasks] == [Unknown, Unknown]


def test_forming_tells_each_close_once() -> None:
    """However often ccxt repeats its newest candles, each one closes once, with what it was last."""
    forming = Forming("BTC/USDT", MINUTE)
    first, second, third = ([OPENS_MS + n * 60_000, 2.0, 3.0, 1.0, 2.0, 5.0] for n in range(3))
    grown = [*first[:4], 2.5, 6.0]
    told = [
        forming.news([first]),
        forming.news([first]),
        forming.news([grown]),
        forming.news([grown, second]),
        forming.news([second, third]),
    ]
    closed = [(update.bar.closes_at, update.bar.close) for news in told for update in news if update.closed]
    assert [(epoch_ms(at) - 60_000, close) for at, close in closed] == [(OPENS_MS, 2.5), (OPENS_MS + 60_000, 2.0)]
    assert told[1] == []


async def test_an_unknown_timeframe_is_said() -> None:
    """A bar length that the venue does not have is named together with those that it has."""
    async with serving() as server, door(server.urls()) as exchange:
        server.answers["GET klines"] = said([])
        await exchange.connect()
        with pytest.raises(Fatal, match="no candles of 0:07:00, but 1s, 1m"):
            await exchange.bars("BTC/USDT", timedelta(minutes=7))
