"""Styles that work on an order over time, in the whole daemon: over real sockets, through a crash, on paper, and in a backtest."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from daemon.app import routes
from daemon.config import load
from daemon.core.model import Order
from daemon.core.styles import Parent
from daemon.io.journal.reader import Reader
from daemon.research import runs
from daemon.venue import Venue, VenueSettings
from daemon.venue.faultscript import read
from tests.oneprocess import Run, at_work, opened, written
from tests.research import files

BTC: Final = "BTC/USDT"
MAKER: Final[dict[str, Any]] = {
    "style": "maker_then_taker",
    "maker_then_taker": {"passive": "2s", "total": "30s", "min_reprice": "1s", "reprice_ticks": 1, "max_slip_bps": 50, "adverse_bps": 500},
}
TWAP: Final = {"style": "twap", "twap": {"horizon": "6s", "interval": "1s", "participation": None}}


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with Venue(VenueSettings(interval="1s", markets=4, history=200, partial=1.0)) as running:
        yield running
    assert running.audit() == []


def wanting(folder: Path, venue: Venue, execution: dict[str, Any], **more: Any) -> Path:
    """Half of 100,000 USDT in one symbol, decided once."""
    strategy = {"name": "half", "use": "fixed_weights", "params": {"weights": {BTC: 0.5}}, "schedule": {"every": "24h", "at_start": True}}
    return written(folder, venue.ccxt_urls(), strategies=[strategy], execution=execution, **more)


def recorded(folder: Path) -> tuple[list[Order], tuple[Parent, ...]]:
    """The intents of the journal, oldest first, and the parents of the newest decision."""
    with Reader(folder / "momo.sqlite") as reader:
        return [record.order for record in reversed(reader.orders(100))], reader.recover().parents


def one_at_a_time(venue: Venue, orders: list[Order]) -> None:
    """At the venue, no order was there before the one before it had ended, and together they are what was meant."""
    rows = sorted(venue.state()["orders"], key=lambda row: int(row["orderId"]))
    arrived = {row["clientOrderId"] for row in rows}
    orders = [order for order in orders if order.id in arrived]  # what would have traded at once was refused
    assert [row["clientOrderId"] for row in rows] == [order.id for order in orders]
    for before, after in pairwise(rows):
        assert before["status"] in ("FILLED", "CANCELED", "EXPIRED")
        assert int(before["updateTime"]) <= int(after["time"])
    assert [row["type"] == "LIMIT_MAKER" for row in rows] == [order.post_only for order in orders]


def traded(venue: Venue) -> Decimal:
    """Base units bought."""
    return sum((Decimal(row["executedQty"]) for row in venue.state()["orders"]), Decimal(0))


async def killed(run: Run) -> None:
    """The process is gone, and has told the venue nothing."""
    run.task.cancel()
    await asyncio.wait((run.task,))


async def test_it_rests_first_and_takes_the_rest(venue: Venue, tmp_path: Path) -> None:
    """Children rest at the bid and follow it one after the other, and what they do not get within two seconds is taken."""
    async with at_work(await opened(wanting(tmp_path, venue, MAKER))) as run:
        wave = await run.settled()
        _, shown = await run.get("/api/v1/orders")
    orders, (parent,) = recorded(tmp_path)
    assert orders[0].post_only
    assert wave.left == {}
    one_at_a_time(venue, orders)
    assert traded(venue) == parent.amount
    assert 0 <= wave.maker_ratio <= 1
    assert wave.cost_parts.keys() >= {"fee", "spread", "timing"}
    assert {row["post_only"] for row in shown} <= {True, False}
    makers = {row["orderId"] for row in venue.state()["orders"] if row["type"] == "LIMIT_MAKER"}
    assert all(trade["isMaker"] for trade in venue.state()["trades"] if trade["orderId"] in makers)


async def test_a_crash_beside_a_resting_order_is_survived(venue: Venue, tmp_path: Path) -> None:
    """The next start finds the order in the book, has it cancelled, and goes on by the clock of the first."""
    config = await opened(wanting(tmp_path, venue, MAKER))
    async with at_work(config) as run:
        await run.until(lambda: bool(venue.state()["orders"]))
        await killed(run)
    async with at_work(config) as run:
        wave = await run.settled(sent=0)  # the first may have filled before its cancel
    orders, parents = recorded(tmp_path)
    assert wave.left.keys() <= {BTC}
    assert len({(parent.at, parent.until) for parent in parents}) == 1, "one clock"
    one_at_a_time(venue, orders)
    assert traded(venue) <= parents[0].amount * Decimal("1.02"), "the rest is planned anew at a fresh price"
    assert venue.state()["orders"]
    assert all(row["status"] != "NEW" for row in venue.state()["orders"])


CROSSED: Final = '[{"symbol":"BTCUSDT","bidPrice":"70000.00","bidQty":"1","askPrice":"60000.00","askQty":"1"}]'


async def test_b5_a_crossed_book_is_quoted_by_nobody(venue: Venue, tmp_path: Path) -> None:
    """While the exchange tells of a bid above the ask nothing is sent, however often it is asked; once it makes sense again, orders go."""
    terms = MAKER | {"maker_then_taker": {**MAKER["maker_then_taker"], "passive": "20s", "total": "40s"}}
    exchange = venue.exchange
    crossed = read({"do": "http", "on": "ticker.book", "status": 200, "body": CROSSED}, "here").faults
    exchange.faults.add(crossed, exchange.now())
    async with at_work(await opened(wanting(tmp_path, venue, terms))) as run:
        await run.until(lambda: exchange.faults.told(exchange.now())[0]["hits"] >= 3)
        assert venue.state()["orders"] == []
        exchange.faults.clear()
        await run.until(lambda: bool(venue.state()["orders"]))
    first = venue.state()["orders"][0]
    assert (first["type"], first["side"]) == ("LIMIT_MAKER", "BUY")


async def test_parts_by_the_clock_through_a_crash(venue: Venue, tmp_path: Path) -> None:
    """Six parts in six seconds, no two in the same second, whoever dies meanwhile."""
    config = await opened(wanting(tmp_path, venue, TWAP))
    async with at_work(config) as run:
        await run.until(lambda: len(venue.state()["orders"]) == 2)
        await killed(run)
    async with at_work(config) as run:
        await run.settled(sent=0)
    orders, parents = recorded(tmp_path)
    one_at_a_time(venue, orders)
    slots = [(parents[0].at, parents[0].slice_at(order.at)) for order in orders if order.at < parents[0].until]
    assert len(slots) == len(set(slots))
    assert len(slots) >= 3
    largest = max(order.amount for order in orders)
    assert largest < parents[0].amount, "never everything at once"
    assert traded(venue) <= parents[0].amount * Decimal("1.02")


async def test_paper_rests_and_takes_by_the_same_core(venue: Venue, tmp_path: Path) -> None:
    """On a simulated account, too, a resting order pays the maker's fee, and the rest takes."""
    paper = {"mode": "paper", "paper": {"balances": {"USDT": 100000}, "fee": {"maker": 0.0002, "taker": 0.001}, "slippage_bps": 1}}
    async with at_work(await opened(wanting(tmp_path, venue, MAKER, **paper))) as run:
        wave = await run.settled()
    orders, (parent,) = recorded(tmp_path)
    assert orders[0].post_only
    assert wave.left.keys() <= {BTC}
    assert wave.filled >= 1
    assert parent.amount >= sum(order.amount for order in orders if not order.post_only)


@pytest.mark.parametrize("execution", [MAKER, TWAP], ids=lambda execution: execution["style"])
def test_a_backtest_trades_at_the_next_open_and_says_so(tmp_path: Path, execution: dict[str, Any]) -> None:
    """Bars show no book and no time between them: the orders are those of style market, and the summary says it."""
    names = ("A/USDT", "B/USDT", "C/USDT")
    data = files.stored(tmp_path / "data", 120, names)
    summaries = []
    for number, terms in enumerate((execution, {"style": "market"})):
        folder = tmp_path / str(number)
        folder.mkdir()
        config = load(files.configured(folder, names, execution=terms), {})
        summaries.append(runs.backtest(config, data, folder / "out", None, None, routes))
    worked, plain = summaries
    assert worked["final_equity"] == plain["final_equity"]
    assert any(f"orders of style {execution['style']} are market orders here" in each["text"] for each in worked["assumptions"])
