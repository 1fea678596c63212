"""Faults of the venue over real sockets: each does what it says, to whom it says, as often as it says; the books stay right."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from daemon.venue import Venue, VenueSettings
from daemon.venue.audit import audit
from daemon.venue.faultscript import read
from daemon.venue.signing import signature
from tests.venue.wire import KEY, SECRET, START, Desk, Floor, Listener, Wire

NOW = int(START * 1000)
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
PLACE = ("POST", "/api/v3/order")


def booked(floor: Floor) -> list[str]:
    """Client ids of the orders in the books."""
    return [order["clientOrderId"] for order in floor.venue.state()["orders"]]


async def placed(floor: Floor, name: str, **more: Any) -> tuple[int, Any, Any]:
    """Status, body and headers of the answer to an order under that name."""
    return await floor.wire.signed(*PLACE, **{**ORDER, "newClientOrderId": name, **more})


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("do", "exists"), [("accept_drop", True), ("lose", False)])
async def test_a_connection_that_breaks(do: str, exists: bool) -> None:
    """The connection is reset instead of an answer, and the order is in the books or is not, as the fault says."""
    async with Floor() as floor:
        await floor.wire.fault({"do": do, "count": 1})
        with pytest.raises(aiohttp.ClientOSError):
            await placed(floor, "one")
        assert booked(floor) == (["one"] if exists else [])
        assert (await placed(floor, "two"))[0] == 200
        assert floor.venue.audit() == []


@pytest.mark.parametrize(
    ("fault", "status", "answer", "exists"),
    [
        ({"do": "accept_502"}, 502, "<html>", True),
        ({"do": "reject", "code": -2010}, 400, '{"code":-2010,"msg":"Account has', False),
        ({"do": "reject", "code": -2010, "message": 'Say "no".', "accepted": True}, 400, '"Say \\"no\\"."', True),
        ({"do": "http", "status": 200, "body": "<html>captive</html>", "accepted": True}, 200, "captive", True),
        ({"do": "http", "status": 200, "body": ""}, 200, "", False),
        ({"do": "http", "status": 418, "headers": {"Retry-After": 120}, "body": "{}"}, 418, "{}", False),
    ],
)
async def test_an_answer_that_is_none(fault: dict[str, Any], status: int, answer: str, exists: bool) -> None:
    """What the script says is answered with its status and headers, and the request has done its work or has not."""
    async with Floor() as floor:
        await floor.wire.fault(fault)
        query = f"timestamp={NOW}&" + "&".join(f"{name}={value}" for name, value in ORDER.items())
        if exists:
            query = signed(query)
        async with floor.wire.session.post(f"{floor.venue.url}{PLACE[1]}?{query}", headers={"X-MBX-APIKEY": KEY}) as response:
            assert (response.status, answer in await response.text()) == (status, True)
            assert response.headers.get("Retry-After") == ("120" if status == 418 else None)
        assert len(booked(floor)) == exists


def signed(query: str) -> str:
    """A query with its signature."""
    return f"{query}&signature={signature(SECRET, query)}"


async def test_an_answer_that_breaks_off() -> None:
    """Half of the true answer comes, then the connection ends, and the order is in the books."""
    async with Floor() as floor:
        await floor.wire.fault({"do": "http", "truncated": True, "on": "order.place"})
        with pytest.raises(aiohttp.ClientPayloadError):
            await placed(floor, "one")
        assert booked(floor) == ["one"]


async def test_late_answers_and_late_arrivals() -> None:
    """An accepted order may be answered late; one that arrives late does so though its client has long gone, unless it is too old then."""
    async with Venue(VenueSettings(markets=2)) as venue, aiohttp.ClientSession() as session:
        wire = Wire(venue, session)
        await wire.fault({"do": "accept_late", "delay": "200ms", "count": 1})
        asking = asyncio.create_task(wire.signed(*PLACE, **ORDER, newClientOrderId="one"))
        await asyncio.sleep(0.1)
        assert [o["clientOrderId"] for o in venue.state()["orders"]] == ["one"]
        assert not asking.done()
        assert (await asking)[0] == 200
        await wire.fault({"do": "arrive_late", "delay": "200ms"})
        for name, window in (("two", 5000), ("three", 100)):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await wire.signed(*PLACE, **ORDER, newClientOrderId=name, recvWindow=window)
        await asyncio.sleep(0.3)
        assert [o["clientOrderId"] for o in venue.state()["orders"]] == ["one", "two"]


# --- to whom, how often, when ----------------------------------------------------------------------------------------


async def test_scope_count_and_time() -> None:
    """A fault strikes its end point, symbol and side alone, so often, within its time, and the list says how often."""
    fault = {"do": "reject", "code": -1000, "symbol": "BTC/USDT", "side": "BUY", "count": 2, "from": "1s", "until": "5s"}
    async with Floor() as floor:
        assert await floor.wire.fault(fault) == {"added": [1]}

        async def struck(**more: str) -> bool:
            return (await placed(floor, "x" * (len(booked(floor)) + 1), **more))[0] == 400

        assert not await struck()
        floor.pass_time(1)
        assert not await struck(symbol="ETHUSDT")
        assert not await struck(side="SELL", quantity="0.01")
        assert await struck()
        floor.pass_time(3.9)
        assert await struck()
        assert not await struck()
        await floor.wire.mend(1)
        await floor.wire.fault({**fault, "count": 5})
        floor.pass_time(5)
        assert not await struck()
        listed = (await floor.wire.get("/venue/faults"))[1]["faults"]
        assert listed == [{"id": 2, **fault, "count": 5, "active": False, "seen": 0, "hits": 0}]


def test_every_other_and_by_chance() -> None:
    """`every: 2` alternates; a probability strikes about so often, the same ones for the same seed, whatever else is in force."""
    desk = Desk(seed=3)
    desk.fault("fill", every=2)
    states = [desk.order("BUY", "0.01")["status"] for _ in range(4)]
    assert states == ["FILLED", "NEW", "FILLED", "NEW"]

    def struck(seed: int, *before: dict[str, Any]) -> list[str]:
        faults = read([{"do": "fill", "probability": 0.3, "symbol": "BTCUSDT"}, *before], "here")
        desk = Desk(seed=seed, faults=faults)
        return [desk.order("BUY", "0.001")["status"] for _ in range(200)]

    assert struck(1) == struck(1, {"do": "fill", "symbol": "ETHUSDT"}) != struck(2)
    assert 40 < struck(1).count("NEW") < 80


# --- look-ups --------------------------------------------------------------------------------------------------------


async def test_lookups_that_lag() -> None:
    """Orders, trades and balances are shown as they were; each lags by itself, and the engine is never late."""
    one = {"symbol": "BTCUSDT", "origClientOrderId": "one"}
    async with Floor() as floor:

        async def seen() -> tuple[Any, int, int, Decimal]:
            order = (await floor.wire.signed("GET", "/api/v3/order", **one))[1]
            every = (await floor.wire.signed("GET", "/api/v3/allOrders", symbol="BTCUSDT"))[1]
            trades = (await floor.wire.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT"))[1]
            account = (await floor.wire.signed("GET", "/api/v3/account", omitZeroBalances="true"))[1]
            held = next((b["free"] for b in account["balances"] if b["asset"] == "BTC"), "0")
            return order.get("status", order.get("code")), len(every), len(trades), Decimal(held)

        for of, delay in (("orders", "10s"), ("trades", "20s"), ("balances", "30s")):
            await floor.wire.fault({"do": "lag", "of": of, "delay": delay})
        floor.pass_time(60)
        await placed(floor, "one")
        assert await seen() == (-2013, 0, 0, Decimal(0))
        floor.pass_time(10)
        assert await seen() == ("FILLED", 1, 0, Decimal(0))
        floor.pass_time(10)
        assert await seen() == ("FILLED", 1, 1, Decimal(0))
        floor.pass_time(10)
        assert await seen() == ("FILLED", 1, 1, Decimal("0.0999"))


def test_the_past_of_a_resting_order() -> None:
    """A cancel that look-ups do not show yet leaves the order open and its money locked there, and free in truth."""
    desk = Desk()
    price = (desk.exchange.last(desk.exchange.market("BTCUSDT")) * Decimal("0.9")).quantize(Decimal("0.01"))
    desk.clock.move(60)
    desk.limit("BUY", "0.1", price, newClientOrderId="one")
    desk.clock.move(60)
    desk.call("DELETE", "order", symbol="BTCUSDT", origClientOrderId="one")
    desk.fault("lag", of="orders", delay="30s")
    desk.fault("lag", of="balances", delay="30s")
    assert [order["status"] for order in desk.call("GET", "openOrders")] == ["NEW"]
    locked = {b["asset"]: Decimal(b["locked"]) for b in desk.call("GET", "account", omitZeroBalances="true")["balances"]}
    assert locked["USDT"] == price * Decimal("0.1")
    desk.clock.move(31)
    assert desk.call("GET", "openOrders") == []
    assert desk.call("GET", "order", symbol="BTCUSDT", origClientOrderId="one")["status"] == "CANCELED"


# --- the exchange itself ---------------------------------------------------------------------------------------------


def test_what_is_filled_in_part() -> None:
    """The share fills at once; the rest when its time comes, never, or in the moment of the cancel; each is booked exactly."""
    desk = Desk()

    def placed(name: str, **fault: Any) -> str:
        desk.fault("fill", share="0.4", count=1, **fault)
        order = desk.order("BUY", "0.1", newClientOrderId=name)
        assert (order["status"], Decimal(order["executedQty"])) == ("PARTIALLY_FILLED", Decimal("0.04"))
        desk.clock.move(1)
        return str(desk.call("GET", "order", symbol="BTCUSDT", origClientOrderId=name)["status"])

    assert placed("late", after="1s") == "FILLED"
    assert placed("never") == "PARTIALLY_FILLED"
    canceled = desk.call("DELETE", "order", symbol="BTCUSDT", origClientOrderId="never")
    assert (canceled["status"], Decimal(canceled["executedQty"])) == ("CANCELED", Decimal("0.04"))
    assert placed("raced", at_cancel=True) == "PARTIALLY_FILLED"
    with pytest.raises(Exception, match="Unknown order"):
        desk.call("DELETE", "order", symbol="BTCUSDT", origClientOrderId="raced")
    assert desk.call("GET", "order", symbol="BTCUSDT", origClientOrderId="raced")["status"] == "FILLED"
    desk.fault("fill", count=1)
    assert desk.order("SELL", "0.1", newClientOrderId="sale")["status"] == "NEW"
    assert audit(desk.exchange) == []


async def test_rules_that_change_and_markets_that_go() -> None:
    """A patch counts while it is in force: another grid, another minimum, no listing; then the market is as it was."""
    async with Floor(markets=3) as floor:

        async def asked() -> tuple[list[str], int]:
            info = (await floor.wire.get("/api/v3/exchangeInfo"))[1]
            return [m["symbol"] for m in info["symbols"]], (await placed(floor, "x" * (len(booked(floor)) + 1), quantity="0.015"))[0]

        everything, _ = await asked()
        await floor.wire.fault({"do": "market", "symbol": "BTC/USDT", "step": "0.01", "until": "10s"})
        rules = (await floor.wire.get("/api/v3/exchangeInfo", symbol="BTCUSDT"))[1]["symbols"][0]
        assert {f["filterType"]: f for f in rules["filters"]}["LOT_SIZE"]["stepSize"] == "0.01000000"
        assert (await asked())[1] == 400
        floor.pass_time(10)
        assert (await asked())[1] == 200
        await floor.wire.fault({"do": "market", "symbol": "BTC/USDT", "delisted": True})
        assert await asked() == ([name for name in everything if name != "BTCUSDT"], 400)
        await floor.wire.mend()
        await floor.wire.fault({"do": "market", "notional_min": "2000"})
        assert (await asked())[1] == 400


async def test_a_clock_that_is_wrong() -> None:
    """The shifted clock is what the venue tells and judges requests by, as long as it lasts."""
    async with Floor() as floor:
        await floor.wire.fault({"do": "clock", "offset": "-2s", "until": "5s"})
        assert (await floor.wire.get("/api/v3/time"))[1] == {"serverTime": NOW - 2000}
        assert (await placed(floor, "one"))[1]["code"] == -1021
        floor.pass_time(5)
        assert (await placed(floor, "one"))[0] == 200


async def test_what_happens_once() -> None:
    """Deposits, orders of nobody and bans come at their time, once, through the books; what the exchange refuses is noted."""
    async with Floor() as floor:
        await floor.wire.fault(
            {"do": "deposit", "asset": "BTC", "amount": "0.5", "from": "1s"},
            {"do": "deposit", "asset": "ETH", "amount": -1},
            {"do": "order", "symbol": "BTC/USDT", "side": "SELL", "amount": "0.2", "client_id": "ghost", "from": "2s"},
            {"do": "ban", "for": "10s", "from": "3s"},
        )
        faults = (await floor.wire.get("/venue/faults"))[1]["faults"]
        assert [fault.get("failed", "") for fault in faults] == ["", "Account has insufficient balance for requested action.", "", ""]
        for _ in range(3):
            floor.pass_time(1)
        state = floor.venue.state()
        assert [(t["asset"], t["amount"]) for t in state["transfers"]] == [("BTC", "0.50000000")]
        assert [(o["clientOrderId"], o["status"]) for o in state["orders"]] == [("ghost", "NEW")]
        assert (await floor.wire.get("/api/v3/time"))[0] == 418
        floor.pass_time(11)
        assert (await floor.wire.get("/api/v3/time"))[0] == 200
        assert len(floor.venue.state()["transfers"]) == 1


async def test_an_exchange_that_forgets_everything() -> None:
    """After a reset there are no orders, no trades and no transfers, the account holds what it began with, and trading begins anew."""
    async with Floor() as floor:
        await placed(floor, "one")
        await floor.wire.post("/venue/deposit", asset="ETH", amount="2")
        await floor.wire.fault({"do": "reset"})
        state = floor.venue.state()
        assert (state["orders"], state["trades"], state["transfers"]) == ([], [], [])
        assert state["balances"] == {"USDT": {"free": "100000.00000000", "locked": "0.00000000"}}
        assert (await placed(floor, "one"))[0] == 200
        assert floor.venue.audit() == []


# --- streams ---------------------------------------------------------------------------------------------------------


async def told(listener: Listener, count: int) -> list[int]:
    """Opens of the next candles, in seconds from the start; -1 for what is none."""
    found = []
    for _ in range(count):
        message = await listener.receive()
        found.append((int(message.json()["data"]["k"]["t"]) - NOW) // 1000 if message.data.endswith("}}}") else -1)
    return found


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"do": "ws.lose", "every": 2}, [0, 2, 4]),
        ({"do": "ws.dup", "count": 1}, [0, 0, 1, 2, 3]),
        ({"do": "ws.reorder", "every": 2}, [0, 2, 1, 4, 3]),
        ({"do": "ws.garbage", "count": 1}, [-1, 1, 2]),
        ({"do": "ws.freeze", "from": "2s", "until": "4s"}, [0, 0, 0, 3, 4]),
        ({"do": "ws.lose", "on": "user"}, [0, 1, 2]),
        ({"do": "ws.lose", "symbol": "ETHUSDT"}, [0, 1, 2]),
    ],
)
async def test_messages_that_go_wrong(fault: dict[str, Any], expected: list[int]) -> None:
    """Lost, doubled, out of order, garbage or frozen: the messages of the stream and the symbol that the script says, and no others."""
    async with Floor(closed_only=True) as floor, floor.wire.stream("btcusdt@kline_1s") as listener:
        await floor.wire.fault(fault)
        for _ in range(6):
            floor.pass_time(1)
        assert await told(listener, len(expected)) == expected


async def test_the_user_stream_may_be_late() -> None:
    """A delayed message comes so much later, the others in time."""
    async with Floor() as floor, floor.wire.user() as listener:
        await floor.wire.fault({"do": "ws.delay", "delay": "200ms", "on": "user", "count": 1})
        await placed(floor, "one")
        assert (await listener.next())["event"]["x"] == "TRADE"
        assert (await listener.next())["event"]["e"] == "outboundAccountPosition"
        assert (await listener.next())["event"]["x"] == "NEW"


# --- the judge -------------------------------------------------------------------------------------------------------


async def test_orders_away_from_a_declared_target_are_found() -> None:
    """An order that leads away from the declared target is named, one towards it is not, nor one that the venue has planted."""
    async with Floor(balance={"USDT": Decimal(100_000), "BTC": Decimal(1)}) as floor:
        assert await floor.wire.post("/venue/targets", **{"BTC/USDT": "0.5"}) == {
            "BTCUSDT": {"amount": "0.50000000", "tolerance": "0.00000000"}
        }
        await placed(floor, "towards", side="SELL", quantity="0.6")
        await floor.wire.fault({"do": "order", "symbol": "BTC/USDT", "side": "SELL", "type": "MARKET", "amount": "0.1"})
        assert floor.venue.audit() == []
        await placed(floor, "away", side="SELL", quantity="0.1")
        assert [finding.split()[3] for finding in floor.venue.audit()] == ["(away)"]
        await floor.wire.post("/venue/targets", BTCUSDT=None)
        await placed(floor, "free", side="SELL", quantity="0.1")
        assert len(floor.venue.audit()) == 1
