"""The unmodified ccxt.pro binance class trades on the venue over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from daemon.io.ccxt_library import ccxt
from daemon.venue import Venue, VenueSettings, serve


def client(venue: Venue, **extra: Any) -> Any:
    """A ccxt.pro client for the venue."""
    exchange = ccxt.pro.binance(
        {
            "apiKey": venue.settings.key,
            "secret": venue.settings.secret,
            "urls": venue.ccxt_urls(),
            "enableRateLimit": False,
            "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False},
            **extra,
        }
    )
    exchange.number = str
    return exchange


@contextlib.asynccontextmanager
async def trading(settings: VenueSettings, mode: str = "live", **extra: Any) -> AsyncIterator[tuple[Venue, Any]]:
    """A venue and a client of it, markets loaded; the books must agree in the end."""
    async with Venue(settings) as venue:
        exchange = client(venue, **extra)
        if mode == "sandbox":
            exchange.set_sandbox_mode(True)
        if mode == "demo":
            exchange.enable_demo_trading(True)
        try:
            await exchange.load_markets()
            yield venue, exchange
        finally:
            await exchange.close()
    assert venue.audit() == []


@pytest.mark.parametrize("mode", ["live", "sandbox", "demo"])
async def test_buys_and_sells_by_client_id(mode: str) -> None:
    """A market buy and a sell are filled at once, found by their client ids, and the balances are the trades' sum."""
    async with trading(VenueSettings(), mode) as (venue, exchange):
        bought = await exchange.create_order("BTC/USDT", "market", "buy", "0.3", None, {"clientOrderId": "buy-1"})
        assert (bought["clientOrderId"], bought["status"], Decimal(bought["filled"])) == ("buy-1", "closed", Decimal("0.3"))
        found = await exchange.fetch_order(None, "BTC/USDT", {"origClientOrderId": "buy-1"})
        assert found["id"] == bought["id"]
        await exchange.create_order("BTC/USDT", "market", "sell", "0.1", None, {"clientOrderId": "sell-1"})
        trades = await exchange.fetch_my_trades("BTC/USDT")
        balance = await exchange.fetch_balance()
        bought_at, sold_at = trades
        cost = Decimal(bought_at["cost"]) - Decimal(sold_at["cost"])
        assert [trade["fee"]["currency"] for trade in trades] == ["BTC", "USDT"]
        fees = {trade["fee"]["currency"]: Decimal(trade["fee"]["cost"]) for trade in trades}
        assert Decimal(balance["USDT"]["free"]) == 100_000 - cost - fees["USDT"]
        assert Decimal(balance["BTC"]["free"]) == Decimal("0.2") - fees["BTC"]
        assert venue.exchange.unknown == {}


async def test_limit_order_rests_and_is_cancelled() -> None:
    """A limit far below the market locks its money until it is cancelled."""
    async with trading(VenueSettings()) as (_, exchange):
        last = Decimal((await exchange.fetch_ticker("ETH/USDT"))["last"])
        price = exchange.price_to_precision("ETH/USDT", str(last * Decimal("0.7")))
        order = await exchange.create_order("ETH/USDT", "limit", "buy", "1", price, {"clientOrderId": "rest"})
        assert order["status"] == "open"
        assert [o["clientOrderId"] for o in await exchange.fetch_open_orders("ETH/USDT")] == ["rest"]
        assert Decimal((await exchange.fetch_balance())["USDT"]["used"]) == Decimal(price)
        await exchange.cancel_order(None, "ETH/USDT", {"origClientOrderId": "rest"})
        assert (await exchange.fetch_order(None, "ETH/USDT", {"origClientOrderId": "rest"}))["status"] == "canceled"
        assert Decimal((await exchange.fetch_balance())["USDT"]["used"]) == 0
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.cancel_order(None, "ETH/USDT", {"origClientOrderId": "rest"})


async def test_streams_agree_with_rest() -> None:
    """A candle seen closed on the stream is the candle that REST serves."""
    async with trading(VenueSettings()) as (_, exchange):
        wanted = [["BTC/USDT", "1s"], ["SOL/USDT", "1s"], ["BTC/USDT", "1m"]]
        async with asyncio.timeout(8):
            # ccxt's race between symbols drops the losers' results, so the bars are read from its cache.
            while len(exchange.ohlcvs.get("SOL/USDT", {}).get("1s", ())) < 4:
                await exchange.watch_ohlcv_for_symbols(wanted)
        stored = {bar[0]: bar for bar in await exchange.fetch_ohlcv("SOL/USDT", "1s")}
        closed = list(exchange.ohlcvs["SOL/USDT"]["1s"])[:-1]
        assert [[float(x) for x in stored[bar[0]]] for bar in closed] == [[float(x) for x in bar] for bar in closed]
        assert len(stored) == 500
        assert exchange.ohlcvs["BTC/USDT"]["1m"]


async def test_user_stream_reports_orders_and_balances() -> None:
    """Orders, fills and balances arrive on the user stream as they happen."""
    async with trading(VenueSettings()) as (venue, exchange):
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            orders, balance = group.create_task(exchange.watch_orders()), group.create_task(exchange.watch_balance())
            await exchange.authenticate({"type": "spot"})
            await exchange.create_order("SOL/USDT", "market", "buy", "3", None, {"clientOrderId": "seen"})
        assert {order["clientOrderId"] for order in orders.result()} == {"seen"}
        assert Decimal(balance.result()["SOL"]["free"]) == Decimal("2.997")
        assert venue.exchange.unknown == {}


async def test_fills_arrive_as_trades() -> None:
    """The trades of the user stream are those that REST lists."""
    async with trading(VenueSettings(partial=1.0)) as (_, exchange):
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            watched = group.create_task(exchange.watch_my_trades())
            await exchange.authenticate({"type": "spot"})
            await exchange.create_order("BTC/USDT", "market", "buy", "0.1")
        listed = await exchange.fetch_my_trades("BTC/USDT")
        cached = {trade["id"]: trade for trade in exchange.myTrades}
        assert len(listed) == 2
        assert watched.result()
        for trade in listed:
            same = cached[trade["id"]]
            assert [Decimal(trade[n]) for n in ("amount", "price")] == [Decimal(same[n]) for n in ("amount", "price")]
            assert Decimal(trade["fee"]["cost"]) == Decimal(same["fee"]["cost"])


async def test_orders_over_the_websocket_api() -> None:
    """The WebSocket API takes orders and answers about them and the balance like REST does."""
    async with trading(VenueSettings()) as (venue, exchange):
        order = await exchange.create_order_ws("ETH/USDT", "limit", "buy", "1", "1000", {"newClientOrderId": "ws-1"})
        assert order["clientOrderId"] == "ws-1"
        assert [o["id"] for o in await exchange.fetch_open_orders_ws("ETH/USDT")] == [order["id"]]
        balances = (await exchange.fetch_balance_ws())["info"]["balances"]
        assert [b["locked"] for b in balances if b["asset"] == "USDT"] == ["1000.00000000"]
        await exchange.cancel_order_ws(order["id"], "ETH/USDT")
        assert (await exchange.fetch_order(order["id"], "ETH/USDT"))["status"] == "canceled"
        assert venue.exchange.unknown == {}


async def refused(exchange: Any, *order: Any, **params: Any) -> type[BaseException]:
    """The class of what ccxt raises for an order."""
    with pytest.raises(ccxt.BaseError) as caught:
        await exchange.create_order(*order, params)
    return caught.type


async def test_refusals_have_the_classes_of_the_real_one() -> None:
    """What ccxt knows of Binance's codes holds here: each refusal is the exception it would be there."""
    async with trading(VenueSettings(order_limit=6)) as (_, exchange):
        buy = ("BTC/USDT", "market", "buy")
        far = ("BTC/USDT", "limit", "buy", "0.01", "30000")
        await exchange.create_order(*far, {"clientOrderId": "twin"})
        assert await refused(exchange, *buy, "9", None) is ccxt.InsufficientFunds
        assert await refused(exchange, *far, clientOrderId="twin") is ccxt.InvalidOrder
        assert await refused(exchange, "BTC/USDT", "limit", "buy", "0.01", "99000", postOnly=True) is ccxt.OrderImmediatelyFillable
        assert await refused(exchange, *buy, "0.00001", None) is ccxt.BadRequest
        assert await refused(exchange, *buy, "0.01", None, clientOrderId="no spaces") is ccxt.BadRequest
        assert await refused(exchange, *buy, "0.01", None) is ccxt.DDoSProtection
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.fetch_order(None, "BTC/USDT", {"origClientOrderId": "never"})
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.cancel_order("77", "BTC/USDT")
        exchange.secret = "wrong"
        with pytest.raises(ccxt.AuthenticationError):
            await exchange.fetch_balance()


async def test_a_clock_that_is_off_is_told() -> None:
    """A client ten seconds late is refused as InvalidNonce."""
    async with trading(VenueSettings()) as (_, exchange):
        exchange.options["recvWindow"] = 5000
        exchange.nonce = lambda: exchange.milliseconds() - 10_000
        with pytest.raises(ccxt.InvalidNonce):
            await exchange.fetch_balance()


async def test_ccxt_knows_every_market_by_its_name() -> None:
    """Of 3,500 markets none is renamed, and precision and limits are those of the filters."""
    async with trading(VenueSettings(markets=3500)) as (venue, exchange):
        assert {f"{market.base}/{market.quote}" for market in venue.exchange.markets} == set(exchange.symbols)
        bitcoin = exchange.market("BTC/USDT")
        assert (bitcoin["precision"]["amount"], bitcoin["precision"]["price"]) == ("0.00001000", "0.01000000")
        assert Decimal(bitcoin["limits"]["cost"]["min"]) == 5
        assert bitcoin["active"]


async def test_serve_ends_quickly_when_cancelled() -> None:
    """A served venue with an open stream ends within two seconds of being told to."""
    started: asyncio.Future[Venue] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(serve(VenueSettings(), ready=started.set_result))
        exchange = client(await started)
        try:
            await exchange.watch_ohlcv("BTC/USDT", "1s")
            begun = time.monotonic()
            running.cancel()
            await asyncio.wait((running,))
            assert time.monotonic() - begun < 2
        finally:
            await exchange.close()
