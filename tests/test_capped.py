"""Style limit in the whole daemon: on a venue with a thin book over real sockets, across a stop, and in a backtest."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from daemon.app import routes
from daemon.config import load
from daemon.core.model import Order, OrderReport
from daemon.io.exchange import Urgency
from daemon.io.journal.reader import Reader
from daemon.parts import Parts
from daemon.research import runs
from daemon.venue import Venue, VenueSettings
from tests.oneprocess import at_work, opened, written
from tests.research import files

BTC: Final = "BTC/USDT"
CAP: Final = Decimal("0.003")
EXECUTION: Final = {"style": "limit", "price_cap": float(CAP)}


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    """2,000 USDT on every tenth of a percent: three levels within the cap."""
    async with Venue(
        VenueSettings(interval="1s", markets=4, history=200, depth_notional=Decimal(2000), slippage_bps=Decimal(10))
    ) as running:
        yield running
    assert running.audit() == []


def wanting(folder: Path, venue: Venue) -> Path:
    """Half of 100,000 USDT in one symbol, decided once."""
    strategy = {"name": "half", "use": "fixed_weights", "params": {"weights": {BTC: 0.5}}, "schedule": {"every": "24h", "at_start": True}}
    return written(folder, venue.ccxt_urls(), strategies=[strategy], execution=EXECUTION)


def waiting(retry_s: float) -> Callable[[Parts], None]:
    """Another round comes after twice so long, and then four times."""

    def change(parts: Parts) -> None:
        parts.manager.renew(replace(parts.manager.settings, retry=timedelta(seconds=retry_s)))

    return change


def intents(folder: Path) -> list[Order]:
    """What was to be sent, oldest first."""
    with Reader(folder / "momo.sqlite") as reader:
        return [record.order for record in reversed(reader.orders(100))]


def within(orders: list[Order], venue: Venue) -> None:
    """Each order has the limit that its price and the cap give, and none of its trades on the venue is beyond it."""
    limits = {order.id: order.limit for order in orders}
    for order in orders:
        assert order.limit is not None
        assert order.price <= order.limit <= order.price * (1 + CAP)
        assert order.reserve >= order.amount * order.limit
    state = venue.state()
    sent = {row["orderId"]: row for row in state["orders"]}
    assert {row["clientOrderId"] for row in sent.values()} == limits.keys()
    assert {(row["type"], row["timeInForce"]) for row in sent.values()} == {("LIMIT", "IOC")}
    assert len(state["trades"]) > len(sent)
    for trade in state["trades"]:
        limit = limits[sent[trade["orderId"]]["clientOrderId"]]
        assert limit is not None
        assert Decimal(trade["price"]) <= limit


async def test_a_thin_book_is_tried_three_times_and_named(venue: Venue, tmp_path: Path) -> None:
    """Three orders each take what lies within the cap of a fresh price; what is left has its code in the wave, and is told by part."""
    async with at_work(await opened(wanting(tmp_path, venue)), change=waiting(0.3)) as run:
        wave = await run.settled(sent=3)
        _, why = await run.get(f"/api/v1/why/{BTC}")
        _, orders = await run.get("/api/v1/orders")
    assert wave.left == {BTC: "price_cap"}
    assert wave.off_target[BTC] < -0.2
    traded = {trade["orderId"] for trade in venue.state()["trades"]}
    assert (wave.sent, wave.filled) == (3, len(traded))
    assert traded, "where no machine is slow, all three do; a price that has run away meanwhile fills none"
    assert wave.cost_parts["fee"] == pytest.approx(10, abs=0.5)
    assert -40 < wave.cost_parts["spread"] < float(CAP) * 10_000
    made = intents(tmp_path)
    assert len({order.price for order in made}) > 1, "each round starts from its own price"
    within(made, venue)
    assert "execution.price_cap" in str(why)
    assert {Decimal(row["limit"]) for row in orders} == {order.limit for order in made}


async def test_a_stop_between_two_rounds_forgets_nothing(venue: Venue, tmp_path: Path) -> None:
    """A start goes on with the wave that a stop has left: new attempts, new limits, and no order of before again."""
    config = await opened(wanting(tmp_path, venue))
    async with at_work(config, change=waiting(60)) as run:
        await run.until(lambda: run.parts.manager.wave is not None and run.parts.manager.wave.retry_at is not None)
    (first,) = intents(tmp_path)
    async with at_work(config, change=waiting(0.1)) as run:
        wave = await run.settled()
    assert wave.left == {BTC: "price_cap"}
    made = intents(tmp_path)
    assert (made[0], len(made), [order.attempt for order in made]) == (first, 4, [1, 2, 3, 4])
    within(made, venue)


async def test_an_order_whose_answer_a_crash_has_swallowed_is_the_same_afterwards(venue: Venue, tmp_path: Path) -> None:
    """A start finds it by its id, expired at its limit with what it has traded, and orders no more than the rest."""
    config = await opened(wanting(tmp_path, venue))

    def deaf(parts: Parts) -> None:
        submit = parts.exchange.submit

        async def unanswered(order: Order, urgency: Urgency) -> OrderReport:
            await submit(order, urgency)
            await asyncio.Event().wait()
            raise AssertionError("there is no answer")

        async def silent(_sink: object, connected: Callable[[], None]) -> None:
            connected()
            await asyncio.Event().wait()

        parts.exchange.submit = unanswered  # type: ignore[method-assign]
        parts.exchange.watch_account = silent  # type: ignore[method-assign, assignment]

    async with at_work(config, change=deaf) as run:
        await run.until(lambda: bool(venue.state()["orders"]))
        run.task.cancel()
        await asyncio.wait((run.task,))
    (first,) = intents(tmp_path)
    with Reader(tmp_path / "momo.sqlite") as reader:
        assert [order.limit for order, _ in reader.recover().open_orders] == [first.limit]
    async with at_work(config, change=waiting(0.1)) as run:
        await run.settled()
    made = intents(tmp_path)
    within(made, venue)
    assert made[0] == first
    traded = sum(Decimal(trade["qty"]) for trade in venue.state()["trades"] if trade["orderId"] == 1)
    assert 0 < traded < first.amount
    assert made[1].amount * made[1].price < first.amount * first.price - traded * first.price + 500


def test_a_backtest_fills_within_the_cap(tmp_path: Path) -> None:
    """No fill is further from its order's price than the cap; what opens too far away is tried again from there."""
    data = files.stored(tmp_path / "data", 200, ("A/USDT", "B/USDT", "C/USDT"))
    execution = {"band": 0.005, "style": "limit", "price_cap": 0.001}
    config = files.configured(tmp_path, ("A/USDT", "B/USDT", "C/USDT"), execution=execution)
    summary = runs.backtest(load(config, {}), data, tmp_path / "out", None, None, routes)
    orders: dict[str, Any] = {row["order_id"]: row for row in files.read(tmp_path / "out", "orders")}
    fills = files.read(tmp_path / "out", "fills")
    for fill in fills:
        order, sign = orders[fill["order_id"]], 1 if fill["side"] == "buy" else -1
        assert sign * (fill["price"] / order["price"] - 1) <= 0.001 + 1e-12
    assert len(fills) > 40
    assert len(orders) > len(fills) + 10, "some opened too far away"
    rounds = Counter((order["decision_id"], order["symbol"], order["side"]) for order in orders.values())
    assert max(rounds.values()) == 2, "from the open itself, slippage is within the cap"
    filled = {(orders[fill["order_id"]]["decision_id"], fill["symbol"]) for fill in fills}
    assert len({(order["decision_id"], order["symbol"]) for order in orders.values()} - filled) < 3, (
        "but where the zone was reached by itself"
    )
    assert summary["trades"] == len(fills)
    assert any("further than 0.001 from its price expires" in assumed["text"] for assumed in summary["assumptions"])
