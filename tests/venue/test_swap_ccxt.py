"""The unmodified ccxt.pro binanceusdm class trades swaps on the venue over real sockets, led there by `urls` alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from daemon.io.ccxt_library import ccxt
from daemon.venue import Venue, VenueSettings
from daemon.venue.swap.exchange import SwapExchange
from daemon.venue.urls import needed
from tests.venue.test_ccxt import refused
from tests.venue.wire import KEY, SECRET, HandClock, Listener, Wire, never

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
D = Decimal


@contextlib.asynccontextmanager
async def trading(mode: str = "live", **settings: Any) -> AsyncIterator[tuple[Venue, Any]]:
    """A venue of swaps and a client of it, markets loaded; the books must agree in the end, and nothing unknown have been asked for."""
    async with Venue(VenueSettings(market="swap", **settings)) as venue:
        exchange = ccxt.pro.binanceusdm(
            {
                "apiKey": KEY,
                "secret": SECRET,
                "urls": needed(venue.ccxt_urls(), "swap"),
                "enableRateLimit": False,
                "options": {"fetchCurrencies": False},
            }
        )
        exchange.options["fetchOpenOrders"] = {"warnWithoutSymbol": False}
        exchange.number = str
        if mode == "sandbox":
            exchange.set_sandbox_mode(True)
        try:
            await exchange.load_markets()
            yield venue, exchange
        finally:
            await exchange.close()
    assert venue.audit() == []
    assert venue.exchange.unknown == {}


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something that the venue tells nobody."""
    while not happened():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)


async def position(exchange: Any, symbol: str = BTC) -> Any:
    """What ccxt says is held of a market, None if nothing is."""
    return next(iter(await exchange.fetch_positions([symbol])), None)


@pytest.mark.parametrize("mode", ["live", "sandbox"])
async def test_opens_turns_and_closes_by_client_id(mode: str) -> None:
    """A long is opened, turned into a short by a sale of more, and closed reduce-only; the wallet moved by profits less commissions."""
    async with trading(mode) as (_, exchange):
        bought = await exchange.create_order(BTC, "market", "buy", "0.1", None, {"clientOrderId": "open"})
        assert (bought["clientOrderId"], bought["status"], D(bought["filled"])) == ("open", "closed", D("0.1"))
        assert (await exchange.fetch_order(None, BTC, {"origClientOrderId": "open"}))["id"] == bought["id"]
        held = await position(exchange)
        assert (held["side"], D(held["contracts"]), D(held["entryPrice"])) == ("long", D("0.1"), D(bought["average"]))
        await exchange.create_order(BTC, "market", "sell", "0.3", None, {"clientOrderId": "turn"})
        held = await position(exchange)
        assert (held["side"], D(held["contracts"]), held["marginMode"], held["hedged"]) == ("short", D("0.2"), "cross", False)
        closed = await exchange.create_order(BTC, "market", "buy", "0.2", None, {"clientOrderId": "close", "reduceOnly": True})
        assert closed["reduceOnly"]
        assert await position(exchange) is None
        trades = await exchange.fetch_my_trades(BTC)
        assert [(trade["order"], trade["side"], trade["fee"]["currency"]) for trade in trades] == [
            ("1", "buy", "USDT"),
            ("2", "sell", "USDT"),
            ("3", "buy", "USDT"),
        ]
        moved = sum(D(trade["info"]["realizedPnl"]) - D(trade["fee"]["cost"]) for trade in trades)
        assert D((await exchange.fetch_balance())["USDT"]["total"]) == 100_000 + moved
        ledger = await exchange.fetch_ledger("USDT")
        assert sum(D(entry["info"]["income"]) for entry in ledger) == moved
        assert {entry["info"]["incomeType"] for entry in ledger} == {"COMMISSION", "REALIZED_PNL"}
        assert [order["clientOrderId"] for order in await exchange.fetch_orders(BTC)] == ["open", "turn", "close"]


async def test_limit_orders_rest_and_end() -> None:
    """A post-only order rests under its client id and needs margin until it is cancelled; IOC and FOK leave nothing behind."""
    async with trading() as (_, exchange):
        order = await exchange.create_order(BTC, "limit", "buy", "0.1", "55000", {"clientOrderId": "rest", "postOnly": True})
        assert (order["status"], order["timeInForce"], order["postOnly"]) == ("open", "PO", True)
        assert [o["clientOrderId"] for o in await exchange.fetch_open_orders()] == ["rest"]
        assert [o["clientOrderId"] for o in await exchange.fetch_open_orders(BTC)] == ["rest"]
        assert D((await exchange.fetch_balance())["USDT"]["used"]) == 275
        cancelled = await exchange.cancel_order(None, BTC, {"origClientOrderId": "rest"})
        assert (cancelled["clientOrderId"], cancelled["status"]) == ("rest", "canceled")
        ioc = await exchange.create_order(BTC, "limit", "buy", "0.1", "55000", {"timeInForce": "IOC"})
        assert ioc["status"] == "expired"
        await exchange.create_order(BTC, "limit", "buy", "0.1", "55000")
        await exchange.cancel_all_orders(BTC)
        assert await exchange.fetch_open_orders(BTC) == []
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.cancel_order(None, BTC, {"origClientOrderId": "rest"})
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.fetch_order(None, BTC, {"origClientOrderId": "never"})


async def test_refusals_carry_the_codes_of_the_real_one() -> None:
    """Each refusal has Binance's code; ccxt finds its class where the code is not that of futures alone."""
    async with trading() as (_, exchange):
        await exchange.create_order(BTC, "market", "buy", "0.1")
        for code, order, params in (
            (-2022, ("market", "buy", "0.1", None), {"reduceOnly": True}),
            (-2019, ("market", "buy", "35", None), {}),
            (-5022, ("limit", "buy", "0.1", "64000"), {"postOnly": True}),
            (-5021, ("limit", "buy", "0.1", "55000"), {"timeInForce": "FOK"}),
            (-4016, ("limit", "buy", "0.1", "99000"), {}),
            (-4164, ("market", "buy", "0.00007", None), {}),
            (-4061, ("market", "buy", "0.1", None), {"positionSide": "LONG"}),
        ):
            with pytest.raises(ccxt.ExchangeError, match=f'"code":{code},'):
                await exchange.create_order(BTC, *order, params)
        assert await refused(exchange, BTC, "limit", "buy", "0.1", "64000", postOnly=True) is ccxt.InvalidOrder
        assert await refused(exchange, "BTC/USDT:USDT", "market", "buy", "0.1", None, clientOrderId="no spaces") is ccxt.BadRequest
        exchange.secret = "wrong"
        with pytest.raises(ccxt.AuthenticationError):
            await exchange.fetch_balance()


async def test_settings_are_set_and_read_back() -> None:
    """Leverage, margin type and position mode are read back as they were set; what is set already is told as such."""
    async with trading() as (venue, exchange):
        assert not (await exchange.fetch_position_mode())["hedged"]
        with pytest.raises(ccxt.ExchangeError, match="-4059"):
            await exchange.set_position_mode(False)
        await exchange.set_leverage(7, BTC)
        await exchange.set_margin_mode("isolated", BTC)
        with pytest.raises(ccxt.MarginModeAlreadySet):
            await exchange.set_margin_mode("isolated", BTC)
        found = await exchange.fetch_leverages([BTC, ETH])
        assert [(found[s]["longLeverage"], found[s]["marginMode"]) for s in (BTC, ETH)] == [(7, "isolated"), (20, "cross")]
        assert (await exchange.fetch_leverage(BTC))["longLeverage"] == 7
        assert (await exchange.fetch_margin_mode(BTC))["marginMode"] == "isolated"
        await exchange.create_order(BTC, "market", "buy", "0.1")
        held = await position(exchange)
        assert (held["marginMode"], round(D(held["info"]["isolatedWallet"]), 6)) == ("isolated", round(D(held["entryPrice"]) / 70, 6))
        older = (await exchange.fetch_positions([BTC], {"method": "account"}))[0]
        assert older["contracts"] == held["contracts"]
        exchange.options["fetchPositionsRisk"] = {"useV2": True}
        assert (await position(exchange))["leverage"] == "7"
        exchange.options["fetchBalance"] = {"useV2": True}
        balance = await exchange.fetch_balance()
        assert D(balance["USDT"]["total"]) == venue.exchange.account.of("USDT").free + D(balance["info"]["totalUnrealizedProfit"])
        with pytest.raises(ccxt.ExchangeError, match="-4048"):
            await exchange.set_margin_mode("cross", BTC)
        tiers = (await exchange.fetch_leverage_tiers([BTC]))[BTC]
        assert [tier["maxLeverage"] for tier in tiers] == ["125", "50", "20", "5"]
        assert (await exchange.fetch_trading_fee(BTC))["taker"] == "0.0005"
        await exchange.set_margin_mode("isolated", ETH)
        await exchange.create_order(BTC, "market", "sell", "0.1", None, {"reduceOnly": True})
        await exchange.set_position_mode(True)
        with pytest.raises(ccxt.ExchangeError, match="-4061"):
            await exchange.create_order(BTC, "market", "buy", "0.1")


async def test_market_data_of_swaps() -> None:
    """Markets are linear swaps of one unit; candles of trades and marks, tickers, mark price and funding come in ccxt's shapes."""
    async with trading(funding="1m", history=300) as (_, exchange):
        market = exchange.market(BTC)
        assert (market["swap"], market["linear"], market["contractSize"], market["active"]) == (True, True, "1", True)
        assert (market["precision"]["amount"], market["precision"]["price"], market["limits"]["cost"]["min"]) == ("0.00001", "0.01", "5")
        assert len(await exchange.fetch_ohlcv(BTC, "1s", None, 1500)) >= 300
        marks = await exchange.fetch_mark_ohlcv(BTC, "1m", None, 3)
        assert [len(bar) for bar in marks] == [6, 6, 6]
        rate = await exchange.fetch_funding_rate(BTC)
        assert rate["fundingTimestamp"] % 60_000 == 0
        assert 0.9 < float(rate["markPrice"]) / float((await exchange.fetch_ticker(BTC))["last"]) < 1.1
        history = await exchange.fetch_funding_rate_history(BTC)
        assert [each["timestamp"] % 60_000 for each in history] == [0] * len(history)
        assert len(history) >= 4
        assert (await exchange.fetch_funding_interval(BTC))["interval"] == "1h"
        assert len(await exchange.fetch_funding_rates()) == len(await exchange.fetch_tickers()) == 12
        assert D((await exchange.fetch_bids_asks([BTC]))[BTC]["bid"]) > 0
        assert (await exchange.fetch_order_book(BTC, 5))["asks"]
        assert D((await exchange.fetch_last_prices([BTC]))[BTC]["price"]) > 0
        assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 10_000


async def test_streams_of_candles_marks_and_books() -> None:
    """Candles, mark price and best prices arrive on the streams, and a closed candle is that of REST."""
    async with trading() as (_, exchange), asyncio.timeout(20):
        marked, asked = await asyncio.gather(exchange.watch_mark_price(BTC), exchange.watch_bids_asks([ETH]))
        assert D(marked["markPrice"]) > 0
        assert D(asked[ETH]["ask"]) > D(asked[ETH]["bid"])
        while len(exchange.ohlcvs.get(ETH, {}).get("1s", ())) < 3:
            await exchange.watch_ohlcv_for_symbols([[BTC, "1s"], [ETH, "1s"]])
        stored = {bar[0]: [float(x) for x in bar] for bar in await exchange.fetch_ohlcv(ETH, "1s")}
        closed = list(exchange.ohlcvs[ETH]["1s"])[:-1]
        assert [stored[bar[0]] for bar in closed] == [[float(x) for x in bar] for bar in closed]


async def test_the_user_stream_tells_orders_trades_positions_and_wallets() -> None:
    """What an order does arrives on the stream of the listen key: itself, its trades, the position and the wallet."""
    async with trading(partial=1.0) as (venue, exchange), asyncio.timeout(20):
        exchange.options["watchPositions"]["fetchPositionsSnapshot"] = False
        exchange.options["watchPositions"]["awaitPositionsSnapshot"] = False
        watching = [asyncio.ensure_future(watch()) for watch in (exchange.watch_orders, exchange.watch_my_trades, exchange.watch_balance)]
        watching.append(asyncio.ensure_future(exchange.watch_positions([BTC])))
        await until(lambda: bool(venue.listeners.users))
        await exchange.create_order(BTC, "market", "buy", "0.1", None, {"clientOrderId": "seen"})
        _, _, balance, positions = await asyncio.gather(*watching)
        assert D(balance["USDT"]["total"]) == venue.exchange.account.of("USDT").free
        assert (positions[0]["side"], D(positions[0]["contracts"])) == ("long", D("0.1"))
        listed = await exchange.fetch_my_trades(BTC)
        cached = {trade["id"]: trade for trade in exchange.myTrades}
        assert len(listed) == 2
        for trade in listed:
            same = cached[trade["id"]]
            assert [D(trade[n]) for n in ("amount", "price")] == [D(same[n]) for n in ("amount", "price")]
            assert D(trade["fee"]["cost"]) == D(same["fee"]["cost"])
        assert {(order["clientOrderId"], order["status"]) for order in exchange.orders} == {("seen", "closed")}


async def test_funding_is_booked_and_listed() -> None:
    """The funding that the venue pays is what fetch_funding_history lists, once a settlement, and the wallet moved by it."""
    async with trading(funding="1s", fee=D(0)) as (venue, exchange), asyncio.timeout(20):
        await exchange.create_order(BTC, "market", "buy", "0.1")
        assert isinstance(venue.exchange, SwapExchange)
        incomes = venue.exchange.margin.incomes
        await until(lambda: sum(each.kind == "FUNDING_FEE" for each in incomes) >= 2)
        await exchange.create_order(BTC, "market", "sell", "0.1")
        paid = await exchange.fetch_funding_history(BTC)
        assert len({each["timestamp"] for each in paid}) == len(paid) >= 2
        assert {(each["symbol"], each["code"], each["timestamp"] % 1000) for each in paid} == {(BTC, "USDT", 0)}
        profit = sum(D(trade["info"]["realizedPnl"]) for trade in await exchange.fetch_my_trades(BTC))
        assert D((await exchange.fetch_balance())["USDT"]["total"]) == 100_000 + profit + sum(D(each["amount"]) for each in paid)


async def test_a_liquidation_is_told_and_listed() -> None:
    """A mark price that falls takes the position, and ccxt sees the liquidation on the stream, in the orders and in the trades."""
    async with trading(balance={"USDT": D(4000)}) as (venue, exchange), asyncio.timeout(20):
        await exchange.create_order(BTC, "market", "buy", "0.9")
        watched = asyncio.ensure_future(exchange.watch_my_liquidations(BTC))
        await until(lambda: bool(venue.listeners.users))
        async with exchange.session.post(f"{venue.url}/venue/faults", json={"do": "mark", "symbol": "BTC/USDT", "by": -0.2}) as answer:
            assert (await answer.json())["added"] == [1]
        assert [each["side"] for each in await watched] == ["sell"]
        assert await position(exchange) is None
        assert [each["side"] for each in await exchange.fetch_my_liquidations(BTC)] == ["sell"]
        last = (await exchange.fetch_my_trades(BTC))[-1]
        assert (D(last["amount"]), D(last["fee"]["cost"])) == (D("0.9"), D(0))
        assert (await exchange.fetch_orders(BTC))[-1]["clientOrderId"].startswith("autoclose-")
        assert D((await exchange.fetch_balance())["USDT"]["total"]) == 0


async def test_a_deleveraging_and_a_lost_answer_are_faults() -> None:
    """The faults of spot strike futures too: an order whose answer is lost is found by its id, and then a share is deleveraged."""
    async with trading() as (venue, exchange):
        faults = [{"do": "accept_drop", "count": 1}, {"do": "lag", "of": "balances", "delay": "1h", "on": "account.position", "count": 1}]
        async with exchange.session.post(f"{venue.url}/venue/faults", json=faults):
            pass
        with pytest.raises(ccxt.NetworkError):
            await exchange.create_order(BTC, "market", "buy", "1", None, {"clientOrderId": "lost"})
        assert (await exchange.fetch_order(None, BTC, {"origClientOrderId": "lost"}))["status"] == "closed"
        assert await position(exchange) is None
        async with exchange.session.post(f"{venue.url}/venue/faults", json={"do": "adl", "symbol": "BTC/USDT", "share": 0.25}):
            pass
        assert D((await position(exchange))["contracts"]) == D("0.75")
        assert (await exchange.fetch_orders(BTC))[-1]["clientOrderId"] == "adl_autoclose"
        foreign = {"do": "order", "symbol": "ETH/USDT", "side": "SELL", "amount": 2, "type": "MARKET", "client_id": "by-hand"}
        async with exchange.session.post(f"{venue.url}/venue/faults", json=foreign):
            pass
        assert ((await position(exchange, ETH))["side"], (await exchange.fetch_orders(ETH))[0]["clientOrderId"]) == ("short", "by-hand")


async def test_the_state_of_swaps_is_the_whole_truth() -> None:
    """The dump has wallets, positions, incomes, orders and trades."""
    async with trading() as (venue, exchange):
        await exchange.create_order(ETH, "market", "sell", "1", None, {"clientOrderId": "short"})
        state = venue.state()
        assert [(each["symbol"], each["positionAmt"]) for each in state["positions"]] == [("ETHUSDT", "-1.00000000")]
        assert [each["incomeType"] for each in state["incomes"]] == ["COMMISSION"]
        assert D(state["wallets"]["USDT"]) == 100_000 + D(state["incomes"][0]["income"])
        assert [each["clientOrderId"] for each in state["orders"]] == ["short"]
        assert state["violations"] == []


async def test_a_listen_key_ends_unless_it_is_kept() -> None:
    """A key is prolonged by asking again; when its time is over the stream says so and tells nothing more, and a new key is another."""
    clock, headers = HandClock(), {"X-MBX-APIKEY": KEY}
    async with Venue(VenueSettings(market="swap"), clock, never) as venue, aiohttp.ClientSession() as session:
        wire, url = Wire(venue, session, clock), f"{venue.url}/fapi/v1/listenKey"

        async def ask(method: str) -> Any:
            async with session.request(method, url, headers=headers) as answer:
                return await answer.json()

        assert (await ask("PUT"))["code"] == -1125
        key = (await ask("POST"))["listenKey"]
        assert (await ask("POST"))["listenKey"] == key
        here, there = f"{venue.ws_url}/private/ws?listenKey={key}", f"{venue.ws_url}/ws/{key}"
        async with session.ws_connect(here) as socket, session.ws_connect(there) as other:
            listener, second = Listener(socket), Listener(other)
            clock.move(3599)
            assert (await ask("PUT"))["listenKey"] == key
            clock.move(3599)
            order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
            assert (await wire.signed("POST", "/fapi/v1/order", **order))[0] == 200
            assert [(await listener.next())["e"] for _ in range(3)] == ["ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"]
            assert [(await second.next())["e"] for _ in range(3)][-1] == "ACCOUNT_UPDATE"
            clock.move(2)
            venue.pump()
            ended = await listener.next()
            assert (ended["e"], ended["listenKey"]) == ("listenKeyExpired", key)
            assert (await ask("POST"))["listenKey"] != key
            assert (await wire.signed("POST", "/fapi/v1/order", **order))[0] == 200
            assert await listener.silent()
        async with session.post(url) as answer:
            assert (await answer.json())["code"] == -2014
