"""The door over real sockets: what leaves, what comes back, and what is known when nothing comes back."""

import asyncio
import decimal
import io
import logging
import traceback
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from daemon.core.model import Side, Status, epoch_ms, from_epoch_ms
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.clock import SystemClock
from daemon.io.exchange import Fatal, NotFound, NotSent, Reason, Refused, Unknown, Urgency, VenueError
from daemon.io.rategate import RateGate
from tests.io.ccxt_server import KEY, SECRET, Answer, an_order, broken, door, drop, filled, hang, market, open_end, said, serving

DIGITS = "18446744073.12345678"
HTML = "<html><h1>We will be back soon</h1></html>"


async def test_digits_survive() -> None:
    """Eighteen digits go out and come back as they were, as text and as JSON numbers; no float is on the way."""
    async with serving() as server, door(server.urls()) as exchange:
        server.answers["POST order"] = said(filled("r1", DIGITS, "1.00000001"))
        as_numbers = '{"balances": [{"asset": "BTC", "free": 18446744073.12345678, "locked": 0.00000001}]}'

        async def numbers(request: web.Request) -> web.Response:
            return web.Response(text=as_numbers, content_type="application/json")

        server.answers["GET account"] = numbers
        await exchange.connect()
        report = await exchange.submit(an_order("r1", amount=DIGITS), Urgency.GROW)
        sent = next(params for name, params in server.asked if name == "POST order")
        assert (sent["quantity"], sent["newClientOrderId"], sent["type"], sent["recvWindow"]) == (DIGITS, "r1", "MARKET", "5000")
        assert "quoteOrderQty" not in sent
        fill = report.fills[0]
        assert (report.status, report.filled, fill.amount, fill.trade_id) == (Status.FILLED, Decimal(DIGITS), Decimal(DIGITS), "56")
        assert fill.cost == Decimal(DIGITS) * Decimal("1.00000001")
        assert (await exchange.balances())["BTC"].free == Decimal(DIGITS)


AMBIGUOUS: dict[str, Answer] = {
    "timeout": hang(5),
    "dropped": drop(),
    "broken off": broken(),
    "502": said(HTML, 502),
    "503 -1000": said({"code": -1000, "msg": "An unknown error occurred"}, 503),
    "200 html": said(HTML),
    "200 empty": said(""),
    "200 without an id": said({}),
    "200 a list": said([]),
}


@pytest.mark.parametrize("fault", AMBIGUOUS)
async def test_a_lost_answer_to_an_order_is_unknown_and_not_repeated(fault: str) -> None:
    """Whatever comes instead of an answer, the order may exist: Unknown, after one request."""
    async with serving() as server, door(server.urls(), timeout=300) as exchange:
        await exchange.connect()
        server.answers["POST order"] = AMBIGUOUS[fault]
        with pytest.raises(Unknown):
            await exchange.submit(an_order(), Urgency.GROW)
        assert server.count("POST order") == 1


@pytest.mark.parametrize("fault", AMBIGUOUS)
async def test_an_unreadable_account_is_unknown_and_not_empty(fault: str) -> None:
    """Absence is not zero: no fault makes the account look empty, or free of orders and trades."""
    async with serving() as server, door(server.urls(), timeout=300) as exchange:
        await exchange.connect()
        for name in ("account", "openOrders", "myTrades"):
            server.answers[f"GET {name}"] = AMBIGUOUS[fault]
        with pytest.raises(Unknown):
            await exchange.balances()
        if fault != "200 a list":  # which is how these two say "none"
            with pytest.raises(Unknown):
                await exchange.open_orders()
            with pytest.raises(Unknown):
                await exchange.trades("BTC/USDT", datetime.now(UTC) - timedelta(hours=1))


async def test_a_refused_connection_is_not_sent() -> None:
    """Where nobody listens nothing was sent, and the same intent may be sent again."""
    async with AsyncExitStack() as stack:
        async with serving() as server:
            exchange = await stack.enter_async_context(door(server.urls()))
            await exchange.connect()
        await asyncio.sleep(0.1)  # for the client to see that its kept connection has ended
        with pytest.raises(NotSent):
            await exchange.submit(an_order(), Urgency.GROW)
        with pytest.raises(NotSent):
            await exchange.connect()


async def test_requests_are_what_the_gate_let_pass() -> None:
    """A read whose connection breaks is not sent again behind the gate's back."""
    async with serving() as server, door(server.urls()) as exchange:
        await exchange.connect()
        server.answers["GET account"] = drop()
        with pytest.raises(Unknown):
            await exchange.balances()
        assert server.count("GET account") == 1
        assert len(server.asked) == sum(count for name, count in exchange.calls.items() if not name.startswith("WS"))


async def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    """So it is where the host has no address."""
    async with door({"public": "http://venue.invalid/api/v3", "private": "http://venue.invalid/api/v3"}) as exchange:
        with pytest.raises(NotSent):
            await exchange.server_time()


@pytest.mark.parametrize(("status", "silence_s"), [(429, 35.0), (418, 35.0)])
async def test_silence_asked_for_is_kept(status: int, silence_s: float) -> None:
    """After a 429 or a ban nothing at all is sent until the venue's time is over."""
    gate = RateGate(SystemClock(), wait_max_s=1)
    async with serving() as server, door(server.urls(), gate=gate) as exchange:
        await exchange.connect()
        body = {"code": -1003, "msg": "Too much request weight used"}
        server.answers["POST order"] = said(body, status, {"Retry-After": "35"})
        with pytest.raises(Refused) as caught:
            await exchange.submit(an_order(), Urgency.GROW)
        assert (caught.value.reason, caught.value.retry_after_s) == (Reason.RATE_LIMITED, silence_s)
        asked = len(server.asked)
        for request in (exchange.server_time, exchange.balances, exchange.open_orders):
            with pytest.raises(NotSent):
                await request()
        assert len(server.asked) == asked
        assert gate.paused_for_s == pytest.approx(silence_s, abs=1)


async def test_a_ban_without_a_header_is_kept() -> None:
    """Where the venue names the end of a ban in its sentence alone, that counts."""
    gate = RateGate(SystemClock(), wait_max_s=1)
    async with serving() as server, door(server.urls(), gate=gate) as exchange:
        await exchange.connect()
        until_ms = epoch_ms(datetime.now(UTC)) + 600_000
        text = f"Way too much request weight used; IP banned until {until_ms}. Please use the websocket."
        server.answers["GET account"] = said({"code": -1003, "msg": text}, 418)
        with pytest.raises(Refused):
            await exchange.balances()
        assert gate.paused_for_s == pytest.approx(600, abs=2)


async def test_the_weight_is_counted_as_the_venue_counts() -> None:
    """The gate holds what was sent, in the venue's unit, and what the venue says that others sent."""
    gate = RateGate(SystemClock())
    async with serving() as server, door(server.urls(), gate=gate, key="", secret="") as exchange:
        await exchange.connect()
        assert gate.used("weight") == 2 * 1 + 20
        server.answers["GET time"] = said({"serverTime": 1_700_000_000_000}, headers={"X-MBX-USED-WEIGHT-1M": "500"})
        await exchange.server_time()
        assert gate.used("weight") == 500


async def test_orders_beyond_the_venues_count_wait() -> None:
    """New orders have a count of their own, stated by the venue."""
    limits = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 5}]
    async with serving() as server, door(server.urls(), gate=RateGate(SystemClock(), wait_max_s=0.2)) as exchange:
        server.answers["GET exchangeInfo"] = said({"symbols": [market("BTC"), market("ETH")], "rateLimits": limits})
        server.answers["POST order"] = said(filled("r1", "0.5", "1"))
        await exchange.connect()
        for number in range(4):
            await exchange.submit(an_order(f"r{number}"), Urgency.REDUCE)
        with pytest.raises(NotSent):
            await exchange.submit(an_order("r4"), Urgency.REDUCE)
        assert server.count("POST order") == 4


async def test_no_redirect_is_followed() -> None:
    """A redirect would carry the key to another host: it is an error."""
    async with serving() as other, serving() as server, door(server.urls()) as exchange:
        await exchange.connect()
        server.answers["GET account"] = said("", 302, {"Location": f"{other.url}/api/v3/account"})
        with pytest.raises(Unknown, match="redirected"):
            await exchange.balances()
        assert other.asked == []


async def test_no_other_host_is_called() -> None:
    """A request to a host that the configuration does not imply is Fatal before it leaves."""
    async with serving() as server, door(server.urls()) as exchange:
        await exchange.connect()
        asked = len(server.asked)
        for url in ("https://api.binance.com/api/v3/account", "https://evil.example/api/v3/account"):
            exchange._client.urls["api"]["private"] = url.removesuffix("/account")
            with pytest.raises(Fatal, match="not a host that the configuration implies"):
                await exchange.balances()
        assert len(server.asked) == asked


@pytest.mark.parametrize(("sandbox", "below"), [(True, "test"), (True, "api"), (False, "api")])
async def test_only_known_end_points_are_called(sandbox: bool, below: str) -> None:
    """With a few URLs alone, in either mode, the door calls these end points of that host and nothing else."""
    async with serving() as server, door(server.urls(), sandbox=sandbox, below=below) as exchange:
        server.answers["GET account"] = said({"balances": [{"asset": "BTC", "free": "1", "locked": "0"}]})
        server.answers["GET klines"] = said([])
        server.answers["GET myTrades"] = said([])
        await exchange.connect()
        await exchange.balances()
        await exchange.open_orders()
        await exchange.bars("BTC/USDT", timedelta(minutes=1))
        await exchange.trades("BTC/USDT", datetime.now(UTC))
        assert set(exchange.calls) == {
            "GET public/time",
            "GET public/exchangeInfo",
            "GET private/openOrders",
            "GET private/account",
            "GET public/klines",
            "GET private/myTrades",
        }


async def test_secrets_stay_inside() -> None:
    """Neither texts nor tracebacks nor a log at DEBUG hold the key, the secret or a signature, whatever fails."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # the test server's own
        async with serving() as server, door(server.urls(), timeout=300) as exchange:
            await exchange.connect()
            faults: list[Answer] = [*AMBIGUOUS.values(), said({"code": -1022, "msg": f"bad {SECRET}"}, 400), said(f"<b>{KEY}</b>", 403)]
            for fault in faults:
                for name in ("POST order", "GET order", "GET account", "DELETE order"):
                    server.answers[name] = fault
                for call in (
                    exchange.submit(an_order(), Urgency.GROW),
                    exchange.order("r1", "BTC/USDT"),
                    exchange.balances(),
                    exchange.cancel("r1", "BTC/USDT"),
                ):
                    try:
                        await call
                    except VenueError as error:
                        written.write("".join(traceback.format_exception(error)) + repr(error.__context__))
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        logging.getLogger("aiohttp.access").setLevel(logging.NOTSET)
    assert "canary" not in written.getvalue()
    assert "signature=" not in written.getvalue()


async def test_a_skewed_clock_is_measured_again() -> None:
    """A refusal for the clock's sake makes the next signed call look at the venue's clock first; signatures then bear its time."""

    class Late(SystemClock):
        shift = timedelta(0)

        def now(self) -> datetime:
            return super().now() + self.shift

    clock = Late()
    async with serving() as server, door(server.urls(), clock=clock) as exchange:
        await exchange.connect()
        clock.shift = timedelta(hours=-1)
        server.answers["GET account"] = said({"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}, 400)
        with pytest.raises(Refused) as caught:
            await exchange.balances()
        assert caught.value.reason is Reason.CLOCK_SKEW
        server.answers["GET account"] = said({"balances": [{"asset": "BTC", "free": "1", "locked": "0"}]})
        await exchange.balances()
        stamp = int(next(params for name, params in reversed(server.asked) if name == "GET account")["timestamp"])
        assert abs(stamp - epoch_ms(datetime.now(UTC))) < 500
        assert exchange.clock_offset == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=1))


async def test_what_is_off_the_grid_does_not_leave() -> None:
    """An amount that ccxt would silently round is refused here: what is sent is what was planned."""
    async with serving() as server, door(server.urls()) as exchange:
        await exchange.connect()
        with pytest.raises(Refused) as caught:
            await exchange.submit(an_order(amount="0.123456789"), Urgency.GROW)
        assert caught.value.reason is Reason.FILTER
        assert server.count("POST order") == 0


async def test_an_unknown_symbol_is_fatal_with_a_suggestion() -> None:
    """A symbol that the venue does not list is named together with the nearest that it does."""
    async with serving() as server, door(server.urls(), ("BTC/USDT", "ETH/USTD")) as exchange:

        async def listed(request: web.Request) -> web.Response:
            if "symbols" in request.query:
                return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
            return web.json_response({"symbols": [market("BTC"), market("ETH")], "rateLimits": []})

        server.answers["GET exchangeInfo"] = listed
        with pytest.raises(Fatal, match="binance has no market ETH/USTD; did you mean ETH/USDT"):
            await exchange.connect()


async def test_an_unknown_exchange_is_fatal_with_a_suggestion() -> None:
    """A misspelt exchange is named with the nearest that ccxt has."""
    with pytest.raises(Fatal, match="no exchange 'binanc'; did you mean binance"):
        CcxtExchange("binanc", ["BTC/USDT"], sandbox=True, gate=RateGate(SystemClock()), clock=SystemClock())


async def test_five_hundred_symbols_are_asked_for_in_short_urls() -> None:
    """A large universe is loaded by name, each request well below the 8 kB of URL that servers commonly take."""
    bases = [f"COIN{number:03}" for number in range(500)]
    async with serving() as server, door(server.urls(), tuple(f"{base}/USDT" for base in bases)) as exchange:
        asked: list[int] = []

        async def listed(request: web.Request) -> web.Response:
            asked.append(len(str(request.rel_url)))
            names = set(request.query["symbols"].strip("[]").replace('"', "").split(","))
            return web.json_response({"symbols": [market(b) for b in bases if f"{b}USDT" in names], "rateLimits": []})

        server.answers["GET exchangeInfo"] = listed
        assert len(await exchange.connect()) == 500
        assert (len(asked), max(asked) < 4_000) == (5, True)


async def test_a_bad_key_is_fatal_at_once() -> None:
    """A key that the venue refuses is found out when connecting."""
    async with serving() as server, door(server.urls()) as exchange:
        server.answers["GET openOrders"] = said({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, 401)
        with pytest.raises(Fatal) as caught:
            await exchange.connect()
        assert caught.value.reason is Reason.CREDENTIALS


async def test_without_a_key_nothing_is_signed() -> None:
    """A keyless door is a Market: it connects, and refuses what needs an account before asking."""
    async with serving() as server, door(server.urls(), key="", secret="") as exchange:
        await exchange.connect()
        with pytest.raises(Fatal) as caught:
            await exchange.balances()
        assert caught.value.reason is Reason.CREDENTIALS
        assert {name for name, _ in server.asked} == {"GET time", "GET exchangeInfo"}


async def test_trades_are_complete_beyond_a_page() -> None:
    """More trades than a page holds are read in windows, each once, in order, however old they are."""
    now_ms = epoch_ms(datetime.now(UTC))
    stamps = [now_ms - 5 * 86_400_000 + number * 200_000 for number in range(2_050)]
    stamps[990:1_010] = [stamps[990]] * 20  # across the edge of a page, many in one millisecond
    everything = [
        {"symbol": "BTCUSDT", "id": number, "orderId": 7, "price": "2", "qty": "3", "quoteQty": "6", "commission": "0.1"}
        | {"commissionAsset": "BNB", "time": stamp, "isBuyer": True, "isMaker": False}
        for number, stamp in enumerate(stamps)
    ]

    async def listed(request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", 500))
        if "startTime" not in request.query:
            return web.json_response(everything[-limit:])
        start, end = int(request.query["startTime"]), int(request.query["endTime"])
        assert end - start <= 86_400_000, "the venue refuses windows of more than a day"
        return web.json_response([trade for trade in everything if start <= int(str(trade["time"])) <= end][:limit])

    async with serving() as server, door(server.urls()) as exchange:
        server.answers["GET myTrades"] = listed
        await exchange.connect()
        fills = await exchange.trades("BTC/USDT", datetime.now(UTC) - timedelta(days=8))
        assert [fill.trade_id for fill in fills] == [str(number) for number in range(2_050)]
        assert (fills[0].venue_id, fills[0].order_id, fills[0].side, fills[0].cost) == ("7", "", Side.BUY, Decimal(6))
        assert [(fee.amount, fee.currency) for fee in fills[0].fees] == [(Decimal("0.1"), "BNB")]
        asked = server.count("GET myTrades")
        recent = await exchange.trades("BTC/USDT", from_epoch_ms(now_ms) - timedelta(days=2))
        assert len(recent) == sum(1 for stamp in stamps if stamp >= now_ms - 2 * 86_400_000)
        assert server.count("GET myTrades") == asked + 1


async def test_bars_are_complete_beyond_a_page_and_closed_for_certain() -> None:
    """Candles come in pages without gap or repetition; the one that is still forming says so, and never the other way round."""
    minute = 60_000
    now_ms = epoch_ms(datetime.now(UTC))
    newest = now_ms - now_ms % minute
    opens = [newest - back * minute for back in range(2_500, -1, -1)]

    async def klines(request: web.Request) -> web.Response:
        limit, start = int(request.query["limit"]), int(request.query.get("startTime", -1))
        rows = [[at, "2", "3", "1", "2", "5"] for at in opens if at >= start]
        return web.json_response(rows[:limit] if start >= 0 else rows[-limit:])

    async with serving() as server, door(server.urls()) as exchange:
        server.answers["GET klines"] = klines
        await exchange.connect()
        bars = await exchange.bars("BTC/USDT", timedelta(minutes=1), since=datetime.fromtimestamp(opens[0] / 1000, UTC))
        assert [epoch_ms(update.bar.closes_at) - minute for update in bars] == opens
        assert [update.closed for update in bars] == [True] * 2_500 + [False]
        assert server.count("GET klines") == 3
        assert len(await exchange.bars("BTC/USDT", timedelta(minutes=1), limit=1_800)) == 1_800
        assert len(await exchange.bars("BTC/USDT", timedelta(minutes=1), limit=3)) == 3


async def test_a_listing_that_has_not_traded_gives_no_bars() -> None:
    """A candle at price zero is left out: nobody can have traded there."""
    async with serving() as server, door(server.urls()) as exchange:
        server.answers["GET klines"] = said([[1_700_000_000_000, "0", "0", "0", "0", "0"]])
        await exchange.connect()
        assert await exchange.bars("BTC/USDT", timedelta(minutes=1), limit=3) == []


async def test_the_lost_order_is_not_found() -> None:
    """A look-up that finds nothing says so, and a cancel likewise."""
    async with serving() as server, door(server.urls()) as exchange:
        await exchange.connect()
        server.answers["GET order"] = said({"code": -2013, "msg": "Order does not exist."}, 400)
        server.answers["DELETE order"] = said({"code": -2011, "msg": "Unknown order sent."}, 400)
        with pytest.raises(NotFound):
            await exchange.order("r1", "BTC/USDT")
        with pytest.raises(NotFound):
            await exchange.cancel("r1", "BTC/USDT")


async def test_nobody_elses_sums_change() -> None:
    """Ccxt sets the rounding of the current decimal context: that of the program stays as it was."""
    before = repr(decimal.getcontext())
    async with serving() as server, door(server.urls()) as exchange:
        server.answers["POST order"] = said(filled("r1", "0.5", "1"))
        await exchange.connect()
        await exchange.submit(an_order("r1"), Urgency.GROW)
    assert repr(decimal.getcontext()).split("flags")[0] == before.split("flags")[0]


async def test_nothing_is_left_open() -> None:
    """After `close` no task of the door is alive, even with requests and streams under way."""
    async with serving() as server:
        server.talk = open_end
        tasks: list[asyncio.Task[Any]] = []
        async with door(server.urls()) as exchange:
            await exchange.connect()
            tasks = [
                asyncio.create_task(exchange.watch_bars(["BTC/USDT"], timedelta(minutes=1), print)),
                asyncio.create_task(exchange.watch_account(print, lambda: None)),
            ]
            await asyncio.sleep(0.1)
        ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
        assert all(isinstance(error, VenueError) for error in ended)
    await asyncio.sleep(0.05)
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()
