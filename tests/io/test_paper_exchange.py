"""The paper exchange: an account that tells nothing before it is saved, and goes on after any stop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from daemon.core.events import BarClosed, MarkTicked, PriceTicked
from daemon.core.model import ZERO, Balance, Bar, Instrument, Order, OrderReport, Side, Status
from daemon.io.clock import SystemClock
from daemon.io.exchange import AccountNews, Exchange, NotFound, NotSent, Reason, Refused, Unknown, Urgency
from daemon.io.paper_exchange import PaperExchange
from tests.io.tape_venue import TapeVenue

D = Decimal
SYMBOL = "BTC/USDT"
CLOCK = SystemClock()


class PaperVenue(TapeVenue):
    """A venue that lists one market."""

    async def connect(self) -> Mapping[str, Instrument]:
        return {
            SYMBOL: Instrument(
                symbol=SYMBOL, base="BTC", quote="USDT", amount_step=D("0.001"), price_tick=D("0.01"), notional_min=D(5), taker_fee=D("0.9")
            )
        }


class Disk:
    """Keeps what was saved; a save can be held up."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.free = asyncio.Event()
        self.free.set()
        self.error: OSError | None = None

    async def save(self, state: str) -> None:
        await self.free.wait()
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        self.states.append(state)


class Desk:
    """An exchange at work: its disk, and what its account stream told."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.news: list[AccountNews] = []
        self.exchange = PaperExchange(
            PaperVenue(timedelta(seconds=1)),
            balances={"USDT": D(1000)},
            fee=(D(0), D("0.001")),
            slippage_bps=D(0),
            clock=CLOCK,
            save=disk.save,
            state=disk.states[-1] if disk.states else None,
        )

    async def watch(self, connected: asyncio.Event) -> None:
        """Keep the account stream open, like the daemon does."""
        while True:
            with suppress(Unknown):
                await self.exchange.watch_account(self.news.append, connected.set)

    def tick(self, price: float) -> None:
        self.exchange.on_tick(PriceTicked(SYMBOL, price, CLOCK.now()))

    def bar(self, opened: float, closes_in_s: float) -> None:
        closes_at = CLOCK.now() + timedelta(seconds=closes_in_s)
        self.exchange.on_bar(BarClosed(Bar(SYMBOL, closes_at, opened, opened, opened, opened, 1.0), CLOCK.now()))


@asynccontextmanager
async def at_work(disk: Disk | None = None) -> AsyncIterator[Desk]:
    """A desk whose jobs run."""
    desk = Desk(disk or Disk())
    await desk.exchange.connect()
    connected = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job()) for _, job in desk.exchange.jobs()]
        tasks.append(group.create_task(desk.watch(connected)))
        await connected.wait()
        yield desk
        for task in tasks:
            task.cancel()


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def buy(name: str, amount: str = "1", reserve: str = "110") -> Order:
    return Order(
        id=name,
        symbol=SYMBOL,
        side=Side.BUY,
        amount=D(amount),
        price=D(100),
        reserve=D(reserve),
        decision_id="d",
        attempt=1,
        at=CLOCK.now(),
    )


async def test_an_order_waits_and_fills_at_the_next_tick() -> None:
    """`submit` says open with its money set aside; the fill comes by the account stream, once, and the look-ups agree."""
    async with at_work() as desk:
        desk.tick(90)
        report = await desk.exchange.submit(buy("r1"), Urgency.GROW)
        assert (report.status, report.filled) == (Status.OPEN, ZERO)
        assert await desk.exchange.open_orders() == (report,)
        assert (await desk.exchange.balances())["USDT"] == Balance(D(890), D(110))
        desk.tick(101)
        desk.tick(102)
        await turns()
        (told,) = desk.news
        assert isinstance(told, OrderReport)
        assert (told.status, told.cost) == (Status.FILLED, D(101))
        assert await desk.exchange.order("r1", SYMBOL) == told
        assert await desk.exchange.trades(SYMBOL, report.at) == told.fills
        assert await desk.exchange.balances() == {"USDT": Balance(D(899), ZERO), "BTC": Balance(D("0.999"), ZERO)}


async def test_a_bar_fills_at_its_open_if_it_closed_after_the_order() -> None:
    """Where there are no ticks the next bar's open is the first price; a bar that was over before the order says nothing."""
    async with at_work() as desk:
        await desk.exchange.submit(buy("r1"), Urgency.GROW)
        desk.bar(50, closes_in_s=-0.1)
        await turns()
        assert desk.news == []
        desk.bar(103, closes_in_s=0.9)
        await turns()
        assert [news.cost for news in desk.news if isinstance(news, OrderReport)] == [D(103)]


async def test_nothing_is_told_before_it_is_saved() -> None:
    """Neither an acceptance nor a fill nor any look-up shows what a stop could still undo."""
    async with at_work() as desk:
        await desk.exchange.balances()
        desk.disk.free.clear()
        sent = asyncio.ensure_future(desk.exchange.submit(buy("r1"), Urgency.GROW))
        seen = asyncio.ensure_future(desk.exchange.balances())
        await turns()
        desk.tick(101)
        await turns()
        assert not sent.done()
        assert not seen.done()
        assert desk.news == []
        desk.disk.free.set()
        assert (await sent).status is Status.OPEN
        assert (await seen)["BTC"].total == D("0.999")
        await turns()
        assert len(desk.news) == 1


async def test_many_who_wait_are_saved_together() -> None:
    """A wave costs a few writes, not one for each order."""
    async with at_work() as desk:
        await desk.exchange.balances()
        before = len(desk.disk.states)
        await asyncio.gather(*(desk.exchange.submit(buy(f"r{n}", "0.1", "11"), Urgency.GROW) for n in range(50)))
        assert len(desk.disk.states) - before <= 3


async def test_the_account_survives_a_stop() -> None:
    """What was told before a stop is there after it: balances, trades, ids, and open orders that fill at the first price."""
    disk = Disk()
    async with at_work(disk) as desk:
        first = await desk.exchange.submit(buy("r1"), Urgency.GROW)
        desk.tick(100)
        await turns()
        await desk.exchange.submit(buy("r2"), Urgency.GROW)
        balances = await desk.exchange.balances()
    async with at_work(disk) as desk:
        assert await desk.exchange.balances() == balances
        assert len(await desk.exchange.trades(SYMBOL, first.at)) == 1
        with pytest.raises(Refused) as caught:
            await desk.exchange.submit(buy("r1"), Urgency.GROW)
        assert caught.value.reason is Reason.DUPLICATE_ID
        desk.tick(105)
        await turns()
        assert (await desk.exchange.order("r2", SYMBOL)).cost == D(105)
        ids = [fill.trade_id for fill in await desk.exchange.trades(SYMBOL, first.at)]
        assert len(set(ids)) == 2


async def test_a_fresh_account_is_on_disk_before_it_is_seen() -> None:
    """The opening balances are saved first, so that a changed configuration cannot change an account that was seen."""
    async with at_work() as desk:
        assert desk.disk.states == []
        assert await desk.exchange.balances() == {"USDT": Balance(D(1000), ZERO)}
        assert len(desk.disk.states) == 1


async def test_a_cancel_is_told_and_what_is_unknown_is_not_found() -> None:
    """A cancelled order ends on the account stream; orders that do not exist are NotFound, another market is refused."""
    async with at_work() as desk:
        await desk.exchange.submit(buy("r1"), Urgency.GROW)
        await desk.exchange.cancel("r1", SYMBOL)
        await turns()
        assert [news.status for news in desk.news if isinstance(news, OrderReport)] == [Status.CANCELED]
        for call in (desk.exchange.cancel("r1", SYMBOL), desk.exchange.cancel("r9", "X/Y"), desk.exchange.order("r9", SYMBOL)):
            with pytest.raises(NotFound):
                await call
        with pytest.raises(Refused):
            await desk.exchange.submit(replace(buy("r3"), symbol="X/Y"), Urgency.GROW)


async def test_the_rules_carry_the_fee_that_is_charged() -> None:
    """A plan made from the instruments reckons with the paper account's fee, not with the venue's."""
    async with at_work() as desk:
        markets = await desk.exchange.connect()
        assert markets[SYMBOL].taker_fee == D("0.001")


async def test_a_shut_account_accepts_nothing_and_answers_on() -> None:
    """After `shut`, and after `close`, an order is not sent; one that was accepted may still be cancelled and looked up."""
    for end in ("shut", "close"):
        async with at_work() as desk:
            await desk.exchange.submit(buy("r1"), Urgency.GROW)
            if end == "shut":
                desk.exchange.shut()
            else:
                await desk.exchange.close()
            with pytest.raises(NotSent):
                await desk.exchange.submit(buy("r2"), Urgency.GROW)
            await desk.exchange.cancel("r1", SYMBOL)
            assert (await desk.exchange.order("r1", SYMBOL)).status is Status.CANCELED


async def test_a_reset_ends_the_account_stream() -> None:
    """Like every other stream it ends by raising, and may be opened again."""
    async with at_work() as desk:
        standing = asyncio.Event()
        watching = asyncio.ensure_future(desk.exchange.watch_account(lambda _: None, standing.set))
        await standing.wait()
        with pytest.raises(Unknown):
            await asyncio.gather(desk.exchange.reset_streams(), watching)


async def test_a_price_that_is_none_fills_nothing() -> None:
    """NaN, zero, negative and infinite prices are no prices."""
    async with at_work() as desk:
        await desk.exchange.submit(buy("r1"), Urgency.GROW)
        for price in (float("nan"), 0.0, -1.0, float("inf")):
            desk.tick(price)
        await turns()
        assert desk.news == []


async def test_a_save_that_fails_is_not_an_answer() -> None:
    """Where the state cannot be written the call raises as it is, and nothing is told."""
    async with at_work() as desk:
        await desk.exchange.balances()
        desk.disk.error = OSError("disk full")
        with pytest.raises(OSError, match="disk full"):
            await desk.exchange.submit(buy("r1"), Urgency.GROW)
        with pytest.raises(OSError, match="disk full"):
            await desk.exchange.balances()
        assert desk.news == []


_: type[Exchange] = PaperExchange


async def test_what_is_not_covered_any_more_is_liquidated() -> None:
    """A mark at which the money behind a swap does not cover it has the position taken over, which is saved, told and booked once."""
    symbol = "BTC/USDT:USDT"
    swap = Instrument(
        symbol=symbol, base="BTC", quote="USDT", amount_step=D("0.001"), price_tick=D("0.01"), buy_fee_in_base=False, shortable=True
    )
    disk = Disk()
    async with at_work(disk) as desk:
        exchange = desk.exchange
        exchange._markets[symbol] = swap
        exchange._account.pay("USDT", D(2000))
        exchange._account.pay("BTC", D(-30))  # sold at 100, with 1000 of its own
        exchange.on_mark(MarkTicked(symbol, 98.5, CLOCK.now()))
        assert exchange._account.held("BTC") == -30
        exchange.on_mark(MarkTicked(symbol, 99.5, CLOCK.now()))
        exchange.on_mark(MarkTicked(symbol, 99.6, CLOCK.now()))
        await turns()
        (report,) = desk.news
        assert isinstance(report, OrderReport)
        assert (report.side, report.filled, report.order_id[:10]) == (Side.BUY, D(30), "autoclose-")
        assert report.order_id in disk.states[-1]
        assert (await exchange.balances())["BTC"].total == 0
