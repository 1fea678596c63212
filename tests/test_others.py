"""What the account holds that is not the daemon's: coins of no universe are left alone, and what others have locked is not spent."""

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.app import routes, together
from daemon.config import load, resolve_secrets
from daemon.io.journal import read
from daemon.tools.planning import planned
from daemon.venue import Venue
from daemon.venue.params import Params
from daemon.venue.trading import cancel, place
from tests.oneprocess import KEYS, Run, at_work, exchange, opened, written

D = Decimal


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    """XRP is listed and in no universe here; LUNC is listed nowhere."""
    async with exchange(XRP=1234, LUNC=5_000_000) as running:
        yield running


def by_hand(venue: Venue, **params: object) -> Any:
    """An order of somebody else in the same account."""
    return place(venue.exchange, Params({name: str(value) for name, value in params.items()}))


def strangers_order(venue: Venue) -> Any:
    """An order of somebody else that waits far below the market and locks half of the money."""
    limit = (venue.exchange.last(venue.exchange.market("ETHUSDT")) / 2).quantize(D("0.01"))
    amount = (D(50_000) / limit).quantize(D("0.001"))
    placed = by_hand(venue, symbol="ETHUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity=amount, price=limit)
    assert 49_000 < venue.exchange.account.balances["USDT"].locked <= 50_100
    return placed


async def status(run: Run) -> Mapping[str, Any]:
    told = (await run.get("/api/v1/status"))[1]
    assert isinstance(told, dict)
    return told


async def test_coins_of_no_universe_are_shown_and_never_sold(venue: Venue, tmp_path: Path) -> None:
    """They are in status and in no equity, their comings and goings are no flow and no drift, and no order ever touches them."""
    async with at_work(await opened(written(tmp_path, venue.ccxt_urls()))) as run:
        first = await run.settled()
        assert first.equity < 100_100
        assert (await status(run))["ringfenced"] == {"LUNC": "5000000", "XRP": "1234"}
        venue.exchange.transfer("XRP", D("-234"))
        venue.exchange.transfer("LUNC", D(-5_000_000))
        venue.exchange.transfer("BNB", D("0.5"))
        await run.until(lambda: run.parts.reconciler.ringfenced == {"BNB": D("0.5"), "XRP": D(1000)})
        await run.settled(sent=0, after=first.decision.id)
        told = await status(run)
        assert (told["ringfenced"], told["drift"], told["state"]) == ({"BNB": "0.5", "XRP": "1000"}, 0.0, "running")
        code, answer = await run.get("/api/v1/why/XRP")
        assert (code, answer["error"].partition("; ")[2]) == (404, "the account holds 1000 XRP, which is counted in nothing and left alone")
        assert not any(row["symbol"] == "XRP/USDT" for row in (await run.get("/api/v1/positions"))[1])
    assert {flow.currency for flow in read(run.path).flows} == {"USDT"}
    assert {order["symbol"] for order in venue.state()["orders"]} <= {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    held = venue.exchange.account.balances
    assert (held["XRP"].free, held["BNB"].free) == (D(1000), D("0.5"))


async def test_what_others_have_locked_is_told_and_not_spent(venue: Venue, tmp_path: Path) -> None:
    """A strange order that locks half of the money is warned of, the plan makes do with the rest, and nothing is refused for lack of it."""
    strange = strangers_order(venue)
    locked = venue.exchange.account.balances["USDT"].locked
    with capture_logs() as log:
        async with at_work(await opened(written(tmp_path, venue.ccxt_urls()))) as run:
            first = await run.settled()
            told = await status(run)
            assert {currency: D(amount) for currency, amount in told["foreign_locked"].items()} == {"USDT": locked}
            assert first.refused == {}
            spent = sum(fill.side.sign * fill.cost for fill in await run.journal.fills(1000))
            assert 0 < spent <= D(100_000) - locked
            cancel(venue.exchange, Params({"symbol": "ETHUSDT", "orderId": str(strange["orderId"])}))
            await run.until(lambda: run.parts.account.foreign_locked == {})
    (warned, ended) = [line["orders"] for line in log if line["event"] == "account.foreign_orders"]
    assert (warned, ended) == ({"ETH/USDT": 1}, {})
    assert not any(line["event"] == "order.rejected" for line in log)


async def test_a_plan_spends_nothing_that_others_have_locked(venue: Venue, tmp_path: Path) -> None:
    """What would be bought is what the free half pays for, and the rest is called unfunded."""
    strangers_order(venue)
    settings = load(written(tmp_path, venue.ccxt_urls()), {})
    plan = await planned(settings, resolve_secrets(settings, KEYS), None, routes, together)
    assert 0 < sum(row.value for row in plan.rows) <= D(100_000) - venue.exchange.account.balances["USDT"].locked
    assert {row.left for row in plan.rows if row.wanted} == {"unfunded"}
