"""REST over real sockets: signatures, times, limits, headers, and what does not exist."""

from __future__ import annotations

import aiohttp
import pytest

from daemon.venue import Venue, VenueSettings
from tests.venue.wire import START, Floor

ACCOUNT = "/api/v3/account"
NOW = int(START * 1000)


@pytest.mark.parametrize(
    ("change", "status", "code", "message"),
    [
        ({"key": ""}, 401, -2014, "API-key format invalid."),
        ({"key": "somebody"}, 401, -2015, "Invalid API-key, IP, or permissions for action."),
        ({"secret": "wrong"}, 400, -1022, "Signature for this request is not valid."),
        ({"signature": ""}, 400, -1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed."),
        ({"timestamp": NOW - 5001}, 400, -1021, "Timestamp for this request is outside of the recvWindow."),
        ({"timestamp": NOW - 8000, "recvWindow": 8001}, 200, None, None),
        ({"timestamp": NOW + 1000}, 400, -1021, "Timestamp for this request was 1000ms ahead of the server's time."),
        ({"recvWindow": 60001}, 400, -1131, "recvWindow must be less than 60000"),
        ({"colour": "red"}, 400, -1104, "Not all sent parameters were read; read '2' parameter(s) but was sent '3'."),
    ],
)
async def test_who_may_ask(change: dict[str, str], status: int, code: int | None, message: str | None) -> None:
    """A private request needs the right key, an exact signature and a timely stamp, and says so in Binance's words."""
    async with Floor() as floor:
        answered, body, _ = await floor.wire.signed("GET", ACCOUNT, **change)
        assert (answered, body.get("code"), body.get("msg")) == (status, code, message)


async def test_weight_is_counted_and_limited() -> None:
    """Each answer states the used weight; beyond the limit 429 with Retry-After, and after stubborn asking a ban."""
    async with Floor(weight_limit=45) as floor:
        used = [(await floor.wire.get("/api/v3/exchangeInfo"))[2]["X-MBX-USED-WEIGHT-1M"] for _ in range(2)]
        assert used == ["20", "40"]
        statuses = []
        for _ in range(12):
            status, body, headers = await floor.wire.get("/api/v3/exchangeInfo")
            statuses.append(status)
            assert body["code"] == -1003
            assert 0 < int(headers["Retry-After"]) <= 120
        assert statuses == [429] * 10 + [418] * 2
        floor.clock.move(121)
        assert (await floor.wire.get("/api/v3/ping"))[0] == 200


async def test_orders_are_limited() -> None:
    """The order counts are in the headers; one order too many in ten seconds is refused with 429 and -1015."""
    async with Floor(order_limit=2) as floor:
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
        answers = [await floor.wire.signed("POST", "/api/v3/order", **order) for _ in range(3)]
        assert [(status, headers["X-MBX-ORDER-COUNT-10S"]) for status, _, headers in answers] == [(200, "1"), (200, "2"), (429, "3")]
        assert answers[2][1] == {"code": -1015, "msg": "Too many new orders; current limit is 2 orders per 10 SECOND."}
        floor.clock.move(10)
        assert (await floor.wire.signed("POST", "/api/v3/order", **order))[0] == 200


async def test_what_does_not_exist_is_counted() -> None:
    """An unknown path is 404, an ended one 410, and both can be read from the dump."""
    async with Floor() as floor:
        assert [(await floor.wire.get(path))[0] for path in ("/sapi/v1/system/status", "/api/v3/userDataStream")] == [404, 410]
        await floor.wire.get("/api/v3/time")
        state = (await floor.wire.get("/venue/state"))[1]
        assert state["unknown_paths"] == {"GET /sapi/v1/system/status": 1, "GET /api/v3/userDataStream": 1}
        assert state["requests"] == {"GET /api/v3/time": 1}


async def test_klines_end_with_the_forming_candle() -> None:
    """The last kline contains the present moment; a limit above 1,000 gives 1,000; numbers are text as at Binance."""
    async with Floor(history=1200) as floor:
        floor.pass_time(0.4)
        _, bars, _ = await floor.wire.get("/api/v3/klines", symbol="BTCUSDT", interval="1s", limit=1500)
        assert len(bars) == 1000
        assert [bar[0] for bar in bars] == list(range(NOW - 999_000, NOW + 1, 1000))
        assert [type(value) for value in bars[-1]] == [int, str, str, str, str, str, int, str, int, str, str, str]
        floor.pass_time(0.6)
        _, later, _ = await floor.wire.get("/api/v3/klines", symbol="BTCUSDT", interval="1s", startTime=NOW, endTime=NOW)
        assert later[0][1] == bars[-1][1]
        assert float(later[0][2]) >= float(bars[-1][2])
        assert float(later[0][5]) > float(bars[-1][5])


async def test_tickers_and_depth_agree() -> None:
    """Price, book ticker, statistics and depth of one moment tell the same story, for one market, some, and all."""
    async with Floor() as floor:
        get = floor.wire.get
        price = (await get("/api/v3/ticker/price", symbol="SOLUSDT"))[1]["price"]
        book = (await get("/api/v3/ticker/bookTicker", symbol="SOLUSDT"))[1]
        day = (await get("/api/v3/ticker/24hr", symbols='["SOLUSDT","ETHUSDT"]'))[1][0]
        depth = (await get("/api/v3/depth", symbol="SOLUSDT", limit=5))[1]
        assert day["lastPrice"] == price
        assert [book["bidPrice"], book["bidQty"]] == depth["bids"][0]
        assert [book["askPrice"], book["askQty"]] == depth["asks"][0]
        assert len(depth["asks"]) == 5
        assert float(book["bidPrice"]) < float(price) < float(book["askPrice"])
        assert [len((await get(f"/api/v3/ticker/{name}"))[1]) for name in ("price", "bookTicker", "24hr")] == [12, 12, 12]


async def test_port_in_use_is_an_error() -> None:
    """A second venue on the same port says so and leaves nothing behind."""
    async with Venue(VenueSettings()) as venue:
        other = Venue(VenueSettings())
        with pytest.raises(OSError, match="address already in use"):
            await other.start(port=int(venue.url.rpartition(":")[2]))
        await other.stop()


async def test_a_stopped_venue_is_gone() -> None:
    """After stop nothing listens and nothing runs."""
    async with Venue(VenueSettings()) as venue:
        url = venue.url
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
