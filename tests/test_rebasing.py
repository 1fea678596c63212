"""`rebalanced journal rebase`: a journal that takes the account as it is, where the exchange has forgotten what was there."""

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.config import load, resolve_secrets
from daemon.core.events import FlowBooked, HoldPlaced
from daemon.core.ledger import OPENING
from daemon.core.model import Flow
from daemon.core.reconciler import EMPTIED
from daemon.core.states import Hold, Level
from daemon.io.clock import SystemClock
from daemon.io.journal import Journal, read
from daemon.parts import StartRefused
from daemon.tools.rebasing import rebase
from tests.core.builders import decision, order
from tests.oneprocess import KEYS, at_work, exchange, written


async def remembered(config: Path, *facts: Any) -> Path:
    """A journal that knows of an account with bitcoins, and of more."""
    at = SystemClock().now()
    flows = [FlowBooked(Flow(f"opening-{c}", c, Decimal(amount), OPENING, at), at) for c, amount in (("USDT", 500), ("BTC", 3))]
    with Journal.open(config.with_name("momo.sqlite"), instance="momo", mode="sandbox", clock=SystemClock()) as journal:
        await journal.commit(*flows, *facts)
    return config


@pytest.fixture
def venue_urls() -> Iterator[dict[str, Any]]:
    """An exchange in a thread of its own, since the verb has a loop of its own."""
    found: dict[str, Any] = {}
    up, down = threading.Event(), threading.Event()

    async def serve() -> None:
        async with exchange() as running:
            found.update(running.ccxt_urls())
            up.set()
            await asyncio.to_thread(down.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(10)
    yield found
    down.set()
    thread.join()


def test_a_reset_account_is_taken_as_it_is_and_trading_goes_on(venue_urls: dict[str, Any], tmp_path: Path) -> None:
    """Differences are booked, forgotten orders given up, the halt is lifted, and the next start agrees at once."""
    config = written(tmp_path, venue_urls)
    halt = Hold(level=Level.HALTED, code=EMPTIED, text="it is empty", since=SystemClock().now())
    asyncio.run(remembered(config, decision({"BTC/USDT": 0.5}, "d1"), order("r-lost", decision_id="d1"), HoldPlaced(halt, halt.since)))
    journal = tmp_path / "momo.sqlite"
    verb = ["journal", "rebase", str(config)]
    environ = {"KEY": "venue-key", "SECRET": "venue-secret", "STATE_DIRECTORY": str(tmp_path)}
    before = read(journal)
    refused = CliRunner().invoke(app, verb, env=environ)
    assert (refused.exit_code, "add --yes" in refused.output) == (2, True), refused.output
    assert read(journal) == before
    done = CliRunner().invoke(app, [*verb, "--yes"], env=environ)
    assert done.exit_code == 0, done.output
    assert [line for line in ("BTC: -3 against", "USDT: +99500 against", "order r-lost: unknown") if line not in done.output] == []
    again = CliRunner().invoke(app, [*verb, "--yes"], env=environ)

    async def life() -> str:
        async with at_work(config) as run:
            await run.until(lambda: run.daemon.views.ready()[0])
            return str((await run.get("/api/v1/status"))[1]["state"])

    assert asyncio.run(life()) == "running"
    assert "nothing to do" in again.output


async def test_an_order_that_the_exchange_knows_is_not_given_up(tmp_path: Path) -> None:
    """It is the daemon's to follow; the verb changes nothing then."""
    async with exchange() as venue:
        config = written(tmp_path, venue.ccxt_urls())
        async with at_work(config) as run:
            await run.until(lambda: run.parts.manager.last_wave is not None)
        record = read(config.with_name("momo.sqlite"))
        (known, *_) = record.recent_orders
        settings = load(config, {})
        unfinished = type(record)(**{name: getattr(record, name) for name in record.__slots__} | {"open_orders": ((known, ()),)})
        with pytest.raises(StartRefused, match="start the daemon, which follows it"):
            await rebase(settings, resolve_secrets(settings, KEYS), unfinished, SystemClock())


def test_a_simulated_account_has_nothing_to_rebase(tmp_path: Path) -> None:
    """In paper the account is in the journal."""
    config = written(tmp_path, {"api": {"public": "http://127.0.0.1:9"}}, mode="paper")
    done = CliRunner().invoke(app, ["journal", "rebase", str(config), "--yes"], env={"STATE_DIRECTORY": str(tmp_path)})
    assert (done.exit_code, "in mode paper" in done.output) == (2, True), done.output
