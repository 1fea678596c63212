"""The unmodified ccxt.pro binance class trades on the venue over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest

from daemon.venue import Venue, VenueSettings


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
async def trading(settings: VenueSettings, *, sandbox: bool = False) -> AsyncIterator[tuple[Venue, Any]]:
    """A venue and a client of it, markets loaded."""
    async with Venue(settings) as venue:
        exchange = client(venue)
        if sandbox:
            exchange.set_sandbox_mode(True)
        try:
            await exchange.load_markets()
            yield venue, exchange
        finally:
            await exchange.close()
    assert venue.audit() == []


@pytest.mark.parametrize("sandbox", [False, True])
async def test_buys_and_sells_by_client_id(sandbox: bool) -> None:
    """A market buy and a sell are filled at once, found by their client ids, and the balances are the trades' sum."""
    async with trading(VenueSettings(), sandbox=sandbox) as (venue, exchange):
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
