"""What every Exchange must do, whoever implements it.

To add an implementation: an async context manager that yields a `Bench`, and its name in `BENCHES`. The tests use nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

import pytest

from daemon.core.events import PriceTicked
from daemon.core.model import AccountSnapshot, Balance, Fill, Instrument, Order, OrderReport, Side, Status
from daemon.io.clock import SystemClock
from daemon.io.exchange import AccountNews, BarUpdate, Exchange, NotFound, NotSent, Reason, Refused, Unknown, Urgency, VenueError
from daemon.io.paper_exchange import PaperExchange
from daemon.venue import Venue, VenueSettings
from tests.io.ccxt_server import door, until

SYMBOLS: Final = ("BTC/USDT", "ETH/USDT")
SECOND: Final = timedelta(seconds=1)


@dataclass
class Bench:
    """An implementation on the bench: connected, with quote money and bars of a second for SYMBOLS.

    `own_checks` are asked at the end and raise if the other side has a complaint.
    """

    exchange: Exchange
    instruments: Mapping[str, Instrument]
    own_checks: Callable[[], None] = lambda: None
    streams_account: bool = True

    async def price(self, symbol: str) -> Decimal:
        """The last price."""
        newest = (await self.exchange.bars(symbol, SECOND, limit=2))[-1]
        return Decimal(str(newest.bar.close))

    async def order(self, order_id: str, side: Side, notional: str = "500", symbol: str = "BTC/USDT") -> Order:
        """A market order of about that much quote money, on the grid."""
        price = await self.price(symbol)
        amount = self.instruments[symbol].floor(Decimal(notional) / price)
        reserve = Decimal(notional) * 2 if side is Side.BUY else amount
        return Order(
            id=order_id,
            symbol=symbol,
            side=side,
            amount=amount,
            price=price,
            reserve=reserve,
            decision_id="d",
            attempt=1,
            at=datetime.now(UTC),
        )


@asynccontextmanager
async def ccxt_on_the_venue() -> AsyncIterator[Bench]:
    """Ccxt's binance class on the embedded venue."""
    async with Venue(VenueSettings(markets=3)) as venue:
        urls = venue.ccxt_urls()["api"]
        async with door(urls, SYMBOLS, key=venue.settings.key, secret=venue.settings.secret) as exchange:
            yield Bench(exchange, await exchange.connect(), lambda: _complain(venue.audit()))


def _complain(complaints: list[str]) -> None:
    assert complaints == []


class Prompt(PaperExchange):
    """The paper exchange with a price after every order, so that an order fills as promptly as at the venue."""

    async def submit(self, order: Order, urgency: Urgency) -> OrderReport:
        """See Exchange.submit."""
        report = await super().submit(order, urgency)
        newest = (await self.bars(order.symbol, SECOND, limit=1))[-1]
        self.on_tick(PriceTicked(order.symbol, newest.bar.close, datetime.now(UTC)))
        return report


@asynccontextmanager
async def paper_on_the_venue() -> AsyncIterator[Bench]:
    """The account in memory, the market data of the embedded venue through a door without a key."""
    saved: list[str] = []

    async def save(state: str) -> None:
        saved[:] = [state]

    async with Venue(VenueSettings(markets=3)) as venue, door(venue.ccxt_urls()["api"], SYMBOLS, key="", secret="") as market:
        exchange = Prompt(
            market,
            balances={"USDT": Decimal(200_000)},
            fee=Decimal("0.001"),
            slippage_bps=Decimal(5),
            clock=SystemClock(),
            save=save,
            state=None,
        )
        async with asyncio.TaskGroup() as nest:
            jobs = [nest.create_task(job(), name=name) for name, job in exchange.jobs()]
            yield Bench(exchange, await exchange.connect(), lambda: _complain(venue.audit()))
            for job in jobs:
                job.cancel()


BENCHES: Final[Mapping[str, Callable[[], AbstractAsyncContextManager[Bench]]]] = {
    "ccxt": ccxt_on_the_venue,
    "paper": paper_on_the_venue,
}


@pytest.fixture(params=list(BENCHES))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Each implementation in turn."""
    async with BENCHES[request.param]() as bench:
        yield bench


async def ended(task: "asyncio.Task[None]") -> VenueError:
    with pytest.raises(VenueError) as caught:
        await asyncio.wait_for(task, 1.0)
    return caught.value


async def refusal(request: Awaitable[object]) -> VenueError:
    with pytest.raises(VenueError) as caught:
        await request
    return caught.value


# --- market ----------------------------------------------------------------------------------------------------------


async def test_instruments_are_the_configured_ones_with_a_grid(bench: Bench) -> None:
    """Exactly the configured symbols, each with steps above zero, a fee, and bounds that do not exclude each other."""
    assert set(bench.instruments) == set(SYMBOLS)
    for symbol, instrument in bench.instruments.items():
        assert symbol == instrument.symbol == f"{instrument.base}/{instrument.quote}"
        assert instrument.amount_step > 0
        assert instrument.price_tick > 0
        assert 0 <= instrument.taker_fee < 1
        assert instrument.amount_max is None or instrument.amount_min <= instrument.amount_max
        assert instrument.active


async def test_the_time_is_about_now(bench: Bench) -> None:
    """The venue's clock is aware, in UTC, and on this machine close to ours."""
    assert abs(await bench.exchange.server_time() - datetime.now(UTC)) < timedelta(seconds=2)


async def test_bars_are_in_order_without_gap(bench: Bench) -> None:
    """Candles come oldest first, each once; only the last may be forming."""
    updates = await bench.exchange.bars("BTC/USDT", SECOND, limit=50)
    assert 0 < len(updates) <= 50
    assert all(later.bar.closes_at - earlier.bar.closes_at == SECOND for earlier, later in pairwise(updates))
    assert all(update.closed for update in updates[:-1])


async def test_a_closed_bar_does_not_change(bench: Bench) -> None:
    """What was closed once is the same when it is read again."""
    first = [update.bar for update in await bench.exchange.bars("BTC/USDT", SECOND, limit=20) if update.closed]
    await asyncio.sleep(1.1)
    again = {update.bar.closes_at: update.bar for update in await bench.exchange.bars("BTC/USDT", SECOND, limit=40)}
    assert first == [again[bar.closes_at] for bar in first]


async def test_bars_since_a_moment_begin_there(bench: Bench) -> None:
    """With `since`, the first candle opens there, and as many follow as there are."""
    newest = (await bench.exchange.bars("ETH/USDT", SECOND, limit=1))[-1]
    since = newest.bar.closes_at - 31 * SECOND
    updates = await bench.exchange.bars("ETH/USDT", SECOND, since=since)
    assert updates[0].bar.closes_at == since + SECOND
    assert len(updates) >= 30


async def test_watched_bars_are_the_listed_ones(bench: Bench) -> None:
    """The stream's closed candles are those that the listing has; `reset_streams` ends the watch within a second."""
    assert bench.exchange.batch_max >= len(SYMBOLS)
    heard: list[BarUpdate] = []
    task = asyncio.create_task(bench.exchange.watch_bars(SYMBOLS, SECOND, heard.append))
    await until(lambda: {u.bar.symbol for u in heard if u.closed} == set(SYMBOLS))
    await bench.exchange.reset_streams()
    assert isinstance(await ended(task), Unknown | NotSent)
    for symbol in SYMBOLS:
        listed = {u.bar.closes_at: u.bar for u in await bench.exchange.bars(symbol, SECOND, limit=30)}
        assert all(listed[u.bar.closes_at] == u.bar for u in heard if u.closed and u.bar.symbol == symbol)


# --- orders ----------------------------------------------------------------------------------------------------------


def moved(before: Mapping[str, Balance], after: Mapping[str, Balance]) -> dict[str, Decimal]:
    nothing = Balance(Decimal(0), Decimal(0))
    names = {*before, *after}
    change = {name: after.get(name, nothing).total - before.get(name, nothing).total for name in names}
    return {name: amount for name, amount in change.items() if amount}


def booked(fills: tuple[Fill, ...]) -> dict[str, Decimal]:
    change: dict[str, Decimal] = {}
    for fill in fills:
        base, quote = fill.symbol.split("/")
        for name, amount in (
            (base, fill.side.sign * fill.amount),
            (quote, -fill.side.sign * fill.cost),
            *((fee.currency, -fee.amount) for fee in fill.fees),
        ):
            change[name] = change.get(name, Decimal(0)) + amount
    return {name: amount for name, amount in change.items() if amount}


async def test_a_market_order_is_filled_and_the_account_moves_by_its_trades(bench: Bench) -> None:
    """The answer names our id, and the balances change by exactly what the listed trades say, to the last digit."""
    before = await bench.exchange.balances()
    since = await bench.exchange.server_time() - timedelta(seconds=5)
    order = await bench.order("rbuy01", Side.BUY)
    report = await bench.exchange.submit(order, Urgency.GROW)
    assert (report.order_id, report.symbol, report.side, report.amount) == ("rbuy01", order.symbol, Side.BUY, order.amount)
    report = await bench.exchange.order("rbuy01", order.symbol)
    assert (report.status, report.filled) == (Status.FILLED, order.amount)
    fills = await bench.exchange.trades(order.symbol, since)
    assert {fill.venue_id for fill in fills} == {report.venue_id}
    assert sum(fill.amount for fill in fills) == report.filled
    assert sum(fill.cost for fill in fills) == report.cost
    assert moved(before, await bench.exchange.balances()) == booked(fills)


async def test_a_sell_pays_what_its_trades_say(bench: Bench) -> None:
    """Selling is the mirror image."""
    await bench.exchange.submit(await bench.order("rbuy02", Side.BUY, "1000"), Urgency.GROW)
    before = await bench.exchange.balances()
    order = await bench.order("rsell2", Side.SELL)
    await bench.exchange.submit(order, Urgency.REDUCE)
    fills = tuple(f for f in await bench.exchange.trades(order.symbol, datetime.now(UTC) - timedelta(minutes=1)) if f.side is Side.SELL)
    assert sum(fill.amount for fill in fills) == order.amount
    assert moved(before, await bench.exchange.balances()) == booked(fills)


async def test_trades_in_the_answer_are_those_of_the_listing(bench: Bench) -> None:
    """Whatever trades come with an answer have the ids, amounts, costs and fees under which the listing has them."""
    report = await bench.exchange.submit(await bench.order("rbuy03", Side.BUY, "60000"), Urgency.GROW)
    listed = {fill.trade_id: fill for fill in await bench.exchange.trades(report.symbol, datetime.now(UTC) - timedelta(minutes=1))}
    for fill in report.fills:
        same = listed[fill.trade_id]
        assert (fill.amount, fill.price, fill.cost, fill.fees) == (same.amount, same.price, same.cost, same.fees)
        assert fill.order_id == "rbuy03"
        assert same.order_id in ("", "rbuy03")


async def test_an_order_without_money_is_refused(bench: Bench) -> None:
    """What the account cannot pay is Refused for that reason, and leaves no trace."""
    before = await bench.exchange.balances()
    error = await refusal(bench.exchange.submit(await bench.order("rpoor1", Side.BUY, "900000"), Urgency.GROW))
    assert (type(error), error.reason) == (Refused, Reason.INSUFFICIENT_FUNDS)
    assert isinstance(await refusal(bench.exchange.order("rpoor1", "BTC/USDT")), NotFound)
    assert await bench.exchange.balances() == before


async def test_an_order_below_the_minimum_is_refused(bench: Bench) -> None:
    """So is what the venue finds too small."""
    if bench.instruments["BTC/USDT"].notional_min > 0:
        error = await refusal(bench.exchange.submit(await bench.order("rtiny1", Side.BUY, "1.5"), Urgency.GROW))
        assert isinstance(error, Refused)
        assert error.reason in (Reason.NOTIONAL_MIN, Reason.FILTER)


async def test_an_unknown_order_is_not_found(bench: Bench) -> None:
    """To ask for, or to cancel, an order that never was is answered, by NotFound."""
    assert isinstance(await refusal(bench.exchange.order("rnever", "BTC/USDT")), NotFound)
    assert isinstance(await refusal(bench.exchange.cancel("rnever", "BTC/USDT")), NotFound)


async def test_a_filled_order_cannot_be_cancelled(bench: Bench) -> None:
    """A cancel that comes too late says that there is no such open order, and changes nothing."""
    order = await bench.order("rdone1", Side.BUY)
    await bench.exchange.submit(order, Urgency.GROW)
    assert isinstance(await refusal(bench.exchange.cancel("rdone1", order.symbol)), NotFound)
    assert (await bench.exchange.order("rdone1", order.symbol)).status is Status.FILLED
    assert await bench.exchange.open_orders() == ()


async def test_trades_begin_at_the_moment_asked_for(bench: Bench) -> None:
    """Older trades are left out, and the rest is oldest first."""
    for number in range(3):
        await bench.exchange.submit(await bench.order(f"rmany{number}", Side.BUY, "100"), Urgency.GROW)
    everything = await bench.exchange.trades("BTC/USDT", datetime.now(UTC) - timedelta(minutes=1))
    assert [fill.at for fill in everything] == sorted(fill.at for fill in everything)
    assert len({fill.trade_id for fill in everything}) == len(everything) >= 3
    assert await bench.exchange.trades("BTC/USDT", datetime.now(UTC) + timedelta(seconds=30)) == ()
    assert await bench.exchange.trades("ETH/USDT", datetime.now(UTC) - timedelta(minutes=1)) == ()


async def test_the_account_stream_agrees_with_the_answers(bench: Bench) -> None:
    """Every trade of ours is told, once connected, with the figures of the listing; the last report of an order is its end."""
    if not bench.streams_account:
        pytest.skip("this one has no account stream")
    news: list[AccountNews] = []
    standing = asyncio.Event()
    task = asyncio.create_task(bench.exchange.watch_account(news.append, standing.set))
    await asyncio.wait_for(standing.wait(), 5)
    order = await bench.order("rnews1", Side.BUY)
    await bench.exchange.submit(order, Urgency.GROW)
    await until(lambda: any(isinstance(told, OrderReport) and told.status.ended for told in news))
    fills = {told.trade_id: told for told in news if isinstance(told, Fill)}
    fills |= {fill.trade_id: fill for told in news if isinstance(told, OrderReport) for fill in told.fills}
    listed = await bench.exchange.trades(order.symbol, datetime.now(UTC) - timedelta(minutes=1))
    assert [(f.trade_id, f.amount, f.cost, f.fees) for f in fills.values()] == [(f.trade_id, f.amount, f.cost, f.fees) for f in listed]
    assert [told.order_id for told in news if isinstance(told, OrderReport)][-1] == "rnews1"
    await bench.exchange.reset_streams()
    await ended(task)


async def test_a_snapshot_can_be_taken(bench: Bench) -> None:
    """Balances and open orders are what an AccountSnapshot wants, and the other side has no complaint about us."""
    asked_at = datetime.now(UTC)
    snapshot = AccountSnapshot(await bench.exchange.balances(), await bench.exchange.open_orders(), asked_at, datetime.now(UTC))
    assert snapshot.balances["USDT"].free > 0
    bench.own_checks()


async def test_a_closed_exchange_sends_nothing(bench: Bench) -> None:
    """After `close`, a request is not sent, and `close` may be called again."""
    order = await bench.order("rlate1", Side.BUY)
    await bench.exchange.close()
    assert isinstance(await refusal(bench.exchange.submit(order, Urgency.GROW)), NotSent)
    await bench.exchange.close()
