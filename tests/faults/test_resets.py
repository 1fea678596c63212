"""Testnets: an exchange that was reset between two breaths, and a journal that takes it as it is."""

from decimal import Decimal
from pathlib import Path

import pytest

from daemon.config import load, resolve_secrets
from daemon.core.memory import FORGOT
from daemon.io.clock import SystemClock
from daemon.io.journal import Journal
from daemon.tools.rebasing import rebase
from daemon.venue import Venue, VenueSettings
from tests.faults.world import World, config, quick
from tests.oneprocess import KEYS, at_work

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.io.pollers.SPACING_S", 0.3)


async def rebased(path: Path) -> list[str]:
    """Have the journal accept the account, as the verb does; the orders that are given up."""
    settings = load(path, {})
    with Journal.open(path.with_name("momo.sqlite"), instance="momo", mode="sandbox", clock=SystemClock()) as journal:
        found = await rebase(settings, resolve_secrets(settings, KEYS), journal.recover(), SystemClock())
        assert found.epoch is not None
        await journal.commit(*found.facts(SystemClock().now(), "ann"))
    return list(found.orders)


def held(venue: Venue, asset: str) -> Decimal:
    """Units that the exchange's own books have."""
    balance = venue.state()["balances"].get(asset, {"free": "0", "locked": "0"})
    return Decimal(balance["free"]) + Decimal(balance["locked"])


async def test_a_reset_testnet_halts_and_is_taken_as_it_is_by_a_rebase(tmp_path: Path) -> None:
    """It knows no order of ours and counts from 1 again: trading halts, is rebased, and no new trade is taken for an old one."""
    settings = VenueSettings(interval="1s", markets=4, history=200, volatility=0.0005, weight_limit=100_000)
    async with Venue(settings) as venue:
        path = await config(tmp_path, venue)
        async with at_work(path, KEYS, quick) as run:
            await run.until(lambda: run.daemon.views.ready()[0])
            place = World(venue, run)
            await place.wave(BTC=0.3, ETH=0.2)
            old = {trade.trade_id for trade in await run.journal.fills()}
            place.fault("reset")
            await place.until(lambda: [hold.code for hold in place.holds()] == [FORGOT])
            assert "`rebalanced journal rebase`" in place.holds()[0].text
            assert [line for line in place.told("flow.booked") if line.fields["kind"] == "unexplained"] == []
        await rebased(path)
        async with at_work(path, KEYS, quick) as run:
            await run.until(lambda: run.daemon.views.ready()[0])
            place = World(venue, run)
            wave = await place.wave(BTC=0.2, SOL=0.1)
            assert wave.filled == 2
            again = {trade.id for trades in venue.exchange.matching.trades.values() for trade in trades}
            assert {int(number) for number in old} & again
            await place.until(lambda: not len(run.parts.table))
            assert all(run.parts.ledger.held(asset) == held(venue, asset) for asset in ("USDT", "BTC", "ETH", "SOL"))
            await place.until(lambda: run.parts.reconciler.last_reconciled is not None and not run.parts.reconciler.differences)
        async with at_work(path, KEYS, quick) as run:
            await run.until(lambda: run.daemon.views.ready()[0])
            assert all(run.parts.ledger.held(asset) == held(venue, asset) for asset in ("USDT", "BTC", "ETH", "SOL"))


async def test_a_testnet_that_was_reset_between_two_lives_halts_the_second(tmp_path: Path) -> None:
    """It never begins to trade, says so with the remedy, and a rebase lets the third life trade."""
    settings = VenueSettings(interval="1s", markets=4, history=200, volatility=0.0005, weight_limit=100_000)
    async with Venue(settings) as venue:
        path = await config(tmp_path, venue)
        async with at_work(path, KEYS, quick) as run:
            await run.until(lambda: run.daemon.views.ready()[0])
            await World(venue, run).wave(BTC=0.3)
        venue.exchange.forget()
        async with at_work(path, KEYS, quick) as run:
            await run.until(lambda: [hold.code for hold in run.parts.manager.states.holds()] == [FORGOT])
            status = (await run.get("/api/v1/status"))[1]
            assert status["state"] == "halted"
            assert "`rebalanced journal rebase`" in status["reason"]
            assert not World(venue, run).booked
        assert await rebased(path) == []
        async with at_work(path, KEYS, quick) as run:
            await run.until(lambda: run.daemon.views.ready()[0])
            assert (await World(venue, run).wave(ETH=0.2)).filled == 1
