"""D: the exchange changes the rules of a market, closes it, or takes it off its list, while the daemon trades on it."""

import asyncio

import pytest

from daemon.core import events as e
from tests.faults.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.io.rulebook.SPACING_S", 0.1)


async def read_again(place: World) -> None:
    """Have the rules read now, as every hour."""
    place.run.daemon.traders[0].publish(e.ReadMarkets(place.run.parts.clock.now()))


async def test_d7_a_coarser_step_is_refused_once_and_kept_from_then_on(place: World) -> None:
    """One order at most is refused; the rules are read at once, and the same decision trades on the new grid, without another."""
    place.fault("market", symbol="BTC/USDT", step="0.01")
    place.want(BTC=0.1)
    manager = place.run.parts.manager
    await place.until(lambda: manager.wave is None and manager.last_wave is not None and manager.last_wave.targets["BTC/USDT"] == 0.1)
    await place.until(lambda: manager.last_wave is not None and (manager.last_wave.refused, manager.last_wave.filled) == ({}, 1))
    assert str(place.run.parts.account.markets["BTC/USDT"].amount_step) == "0.01"
    assert len(place.told("order.rejected")) == 1
    place.mend()
    await read_again(place)
    await place.until(lambda: str(place.run.parts.account.markets["BTC/USDT"].amount_step) != "0.01")


async def test_d10_a_market_that_is_taken_off_the_list_is_left_alone_and_the_rest_trades(place: World) -> None:
    """Its holding is kept and counted, nothing of it is sent, the other symbols reach their targets, and it comes back with the listing."""
    await place.wave(BTC=0.1, ETH=0.1)
    place.fault("market", symbol="BTC/USDT", delisted=True)
    await read_again(place)
    await place.until(lambda: not place.run.parts.account.markets["BTC/USDT"].active)
    before = len(place.booked)
    wave = await place.wave(ETH=0.2, SOL=0.1)
    assert wave.left["BTC/USDT"] == "not_tradable"
    assert (wave.filled, len(place.booked) - before) == (2, 2)
    assert not place.run.task.done()
    place.mend()
    await read_again(place)
    await place.until(lambda: place.run.parts.account.markets["BTC/USDT"].active)
    assert (await place.wave(ETH=0.2, SOL=0.1)).filled >= 1
    await asyncio.sleep(0)
