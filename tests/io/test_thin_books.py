"""Limits over real ccxt on a venue whose book is thin: what is within the limit trades, the rest expires (fault D20)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

import pytest

from daemon.core.model import OrderReport, Side, Status
from daemon.core.planner_inputs import ONE, Rules
from daemon.core.planner_legs import Leg, bought, limited, smallest, sold
from daemon.io.exchange import AccountNews, Reason, Refused, Urgency
from daemon.venue import Venue, VenueSettings
from tests.io.ccxt_server import an_order, door, filled, said, serving, until
from tests.io.test_exchange_contract import SYMBOLS, Bench

BTC: Final = SYMBOLS[0]
CAP: Final = Decimal("0.005")
MINUTE: Final = timedelta(minutes=1)


class Quiet(Bench):
    """A venue whose prices move little while a test looks."""

    async def price(self, symbol: str) -> Decimal:
        """The last price."""
        newest = (await self.exchange.bars(symbol, MINUTE, limit=2))[-1]
        return Decimal(str(newest.bar.close))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A book with 500 USDT on every tenth of a percent, and an account that holds both sides."""
    balance = {"USDT": Decimal(100_000), "BTC": Decimal(3)}
    settings = VenueSettings(markets=3, interval="1m", depth_notional=Decimal(500), slippage_bps=Decimal(10), balance=balance)
    async with Venue(settings) as venue:
        async with door(venue.ccxt_urls()["api"], SYMBOLS, key=settings.key, secret=settings.secret) as exchange:
            yield Quiet(exchange, await exchange.connect())
        assert venue.audit() == []


async def leg(bench: Bench, side: Side, worth: str, cap: Decimal = CAP) -> Leg:
    """An order as the planner makes it, for so much quote."""
    price, market = await bench.price(BTC), limited(bench.instruments[BTC], cap)
    amount = market.floor(Decimal(worth) / price)
    return bought(market, amount, price, Rules()) if side is Side.BUY else sold(market, amount, price)


async def submitted(bench: Bench, order_id: str, made: Leg) -> OrderReport:
    order = await bench.order(order_id, made.side)
    order = replace(order, amount=made.amount, price=made.price, reserve=made.reserve, limit=made.limit)
    return await bench.exchange.submit(order, Urgency.GROW)


@pytest.mark.parametrize("side", Side)
async def test_an_order_larger_than_the_book_fills_in_part_and_expires(bench: Bench, side: Side) -> None:
    """What lies within the cap is taken, level by level; no trade and so no average is beyond it, and nothing stays open or locked."""
    made = await leg(bench, side, "20000")
    assert made.limit is not None
    report = await submitted(bench, f"r1{side.value}", made)
    assert report.status is Status.EXPIRED
    assert 1500 < report.cost < 3500, "five levels of 500, more or less"
    trades = report.fills
    assert len(trades) > 2
    assert sum(trade.amount for trade in trades) == report.filled < made.amount
    for trade in trades:
        assert side.sign * trade.price <= side.sign * made.limit
        assert side.sign * (trade.price - made.price) <= made.price * CAP
    assert await bench.exchange.open_orders(BTC) == ()
    assert all(balance.locked == 0 for balance in (await bench.exchange.balances()).values())
    assert (await bench.exchange.order(f"r1{side.value}", BTC)).status is Status.EXPIRED


async def test_a_cap_narrower_than_the_spread_trades_nothing(bench: Bench) -> None:
    """An order that reaches nothing expires empty, and the account is as it was."""
    before = await bench.exchange.balances()
    made = await leg(bench, Side.BUY, "1000", Decimal("0.00001"))
    report = await submitted(bench, "r1", made)
    assert (report.status, report.filled, report.fills) == (Status.EXPIRED, Decimal(0), ())
    assert await bench.exchange.balances() == before


async def test_an_order_within_the_book_fills_whole(bench: Bench) -> None:
    """A limit that the book can fill is filled like a market order, better than its limit."""
    made = await leg(bench, Side.BUY, "900")
    report = await submitted(bench, "r1", made)
    assert (report.status, report.filled) == (Status.FILLED, made.amount)
    assert made.limit is not None
    assert report.cost < made.amount * made.limit <= made.reserve


async def test_the_smallest_sell_of_the_planner_is_taken(bench: Bench) -> None:
    """The venue reckons a limit's notional at its limit; what the planner calls large enough is so there too, and a step less is not."""
    price, market = await bench.price(BTC), limited(bench.instruments[BTC], CAP)
    least = sold(market, smallest(market, price, ONE), price)
    assert (await submitted(bench, "r1", least)).filled > 0
    with pytest.raises(Refused) as refused:
        await submitted(bench, "r2", sold(market, least.amount - market.lot, price))
    assert refused.value.reason is Reason.NOTIONAL_MIN


async def test_the_stream_tells_how_a_limit_ended(bench: Bench) -> None:
    """Trades and end come by the account stream as they do in the answer."""
    heard: list[AccountNews] = []
    connected = asyncio.Event()
    watching = asyncio.create_task(bench.exchange.watch_account(heard.append, connected.set))
    await asyncio.wait_for(connected.wait(), 5)
    report = await submitted(bench, "r1", await leg(bench, Side.BUY, "20000"))
    await until(lambda: any(isinstance(each, OrderReport) and each.status is Status.EXPIRED for each in heard))
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    told = [fill.trade_id for each in heard if isinstance(each, OrderReport) for fill in each.fills]
    assert told == [fill.trade_id for fill in report.fills]


async def test_a_limit_is_sent_to_end_at_once() -> None:
    """A limit goes out as LIMIT, immediate or cancel, to the digit; one off the venue's grid does not go out at all."""
    async with serving() as server, door(server.urls()) as exchange:
        server.answers["POST order"] = said(filled("r1", "0.5", "1.00000001") | {"executedQty": "0.2", "status": "EXPIRED", "fills": []})
        await exchange.connect()
        report = await exchange.submit(replace(an_order("r1"), limit=Decimal("60299.99999999")), Urgency.GROW)
        sent = next(params for name, params in server.asked if name == "POST order")
        assert (sent["type"], sent["timeInForce"], sent["price"], sent["quantity"]) == ("LIMIT", "IOC", "60299.99999999", "0.5")
        assert (report.status, report.filled) == (Status.EXPIRED, Decimal("0.2"))
        with pytest.raises(Refused, match="not on the venue's grid") as refused:
            await exchange.submit(replace(an_order("r2"), limit=Decimal("60299.999999999")), Urgency.GROW)
        assert refused.value.reason is Reason.FILTER
        assert server.count("POST order") == 1


async def test_a_venue_that_would_keep_a_limit_open_gets_none() -> None:
    """Where ccxt knows of no orders that end at once, a limit is refused before it is sent."""
    async with door({}, exchange_id="coinone", sandbox=False) as exchange:
        assert not exchange.takes_limits
        with pytest.raises(Refused, match="coinone takes no limit orders that end at once") as refused:
            await exchange._limited(replace(an_order(), limit=Decimal(60_000)))
        assert refused.value.reason is Reason.BAD_REQUEST
