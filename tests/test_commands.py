"""What a person commands, by the client of the verbs, in the whole daemon: each does what it says, and is journalled."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.core import events as e
from daemon.core.states import Level, Scope
from daemon.io.journal.reader import ask
from daemon.screens import show
from daemon.venue import Venue, VenueSettings
from tests.test_limits import BTC, ETH, Desk, desk


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    """Prices that stand still, books that agree in the end."""
    async with Venue(VenueSettings(interval="1s", markets=4, history=100, volatility=0.0)) as running:
        yield running
    assert running.audit() == []


async def ann(at: Desk, verb: str, argument: str = "") -> None:
    """A person's command."""
    url = f"http://127.0.0.1:{at.run.daemon.api.port}"
    await asyncio.to_thread(show.command, url, verb, argument, "ann", token="open-sesame")


async def test_one_symbol_is_left_out_or_sold_and_the_rest_goes_on(venue: Venue, tmp_path: Path) -> None:
    """Excluded it keeps what it has, resumed it trades again, flattened it alone is sold and halted; who asked stands in the journal."""
    async with desk(venue, tmp_path) as at:
        await at.decide()
        account, states = at.run.parts.account, at.run.parts.manager.states
        btc, eth = account.held(BTC), account.held(ETH)
        await ann(at, "exclude", "eth")
        await at.limit(weight_max=0.3)
        decided = await at.decide()
        assert (account.held(ETH), account.held(BTC) < btc) == (eth, True)
        _, why = await at.run.get(f"/api/v1/why/{ETH}?decision={decided}")
        assert (why["left"], why["now"]["hold"]) == ("exclude", "exclude")
        await ann(at, "resume", "ETH")
        await at.decide()
        assert account.held(ETH) < eth
        await ann(at, "flatten", "BTC")
        await at.run.until(lambda: states.level(Scope(symbol=BTC)) is Level.HALTED)
        assert (account.held(BTC) * account.worth(BTC) < 1, account.held(ETH) > 0, at.run.parts.manager.state) == (True, True, "running")
        await at.decide()
        assert account.held(BTC) * account.worth(BTC) < 1
        told = await at.run.journal.commands()
    assert [(each.verb, each.argument) for each in reversed(told) if each.verb != "reload"] == [
        ("exclude", "eth"),
        ("resume", "ETH"),
        ("flatten", "BTC"),
    ]
    assert {each.by for each in told if each.verb != "reload"} == {"ann@127.0.0.1"}


async def test_a_pause_keeps_a_decision_until_it_is_resumed_and_a_stop_ends_in_order(venue: Venue, tmp_path: Path) -> None:
    """What is decided meanwhile is worked on afterwards; the stop of a person ends the process like a signal."""
    async with desk(venue, tmp_path) as at:
        manager, account = at.run.parts.manager, at.run.parts.account
        await ann(at, "pause")
        at.run.daemon.traders[0].publish(e.RebalanceRequested("test", at.run.parts.clock.now()))
        await at.run.until(lambda: manager.decision is not None)
        views = at.run.daemon.views
        closed = views.status()["last_slice"]
        await at.run.until(lambda: views.status()["last_slice"] != closed)
        assert manager.wave is None
        assert venue.state()["orders"] == []
        await ann(at, "resume")
        await at.run.until(lambda: manager.last_wave is not None and manager.wave is None)
        assert account.held(BTC) > 0
        await ann(at, "stop")
        assert await at.run.end() is None
        path = at.run.path
    told = ask(path, lambda reader: reader.commands(10))
    assert [(each.verb, each.by) for each in told] == [(verb, "ann@127.0.0.1") for verb in ("stop", "resume", "pause")]
