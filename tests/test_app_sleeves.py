"""Several strategies in one account, over real sockets: what is told of each adds up, and a removed one is unwound."""

from collections.abc import AsyncIterator
from decimal import Decimal
from json import loads
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.core.ledger import Ledger
from daemon.core.model import ZERO
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import Portfolio
from daemon.io.journal import read
from daemon.venue import Venue
from tests.oneprocess import Run, at_work, exchange, written

OFTEN: Final = {"use": "portfolio_momentum", "share": 0.4, "schedule": {"every": 1, "at_start": True}}
QUICK: Final = {"lookback": 5, "rsi_period": 2, "top": 1}
FOLLOWS: Final = {"name": "follows", **OFTEN, "params": QUICK | {"rsi_sign": "momentum"}}
DOUBTS: Final = {"name": "doubts", **OFTEN, "params": QUICK | {"weights": {"price": -0.5}}}
HOLDS: Final = {"name": "holds", "use": "equal_weight", "share": 0.2, "schedule": {"every": 3, "at_start": True}}


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with exchange() as running:
        yield running


async def answers(run: Run, *views: str) -> list[Any]:
    """What the API says, one view after the other."""
    return [(await run.get(f"/api/v1/{view}"))[1] for view in views]


def journalled(path: Path) -> Portfolio:
    """The sleeves as the journal has them."""
    record = read(path)
    found = Portfolio(("follows", "doubts", "holds"), Ledger(), OrderTable())
    found.restore(record.flows, record.fills, record.bookings, record.splits, record.order_ids)
    assert not found.left_over()
    return found


def left_to(run: Run, name: str) -> Decimal:
    """What the coins of a sleeve are worth."""
    account, held = run.parts.account, run.parts.portfolio.holdings()
    return sum((abs(held.get((name, m.base), ZERO)) * account.worth(s) for s, m in account.markets.items()), ZERO)


async def test_three_strategies_share_one_account(venue: Venue, tmp_path: Path) -> None:
    """Their equities are the account's, what they hold is what it holds, what met inside is told, and one that is removed is unwound."""
    sections: dict[str, Any] = {"execution": {"band": 0.001}}
    config = written(tmp_path, venue.ccxt_urls(), strategies=[FOLLOWS, DOUBTS, HOLDS], **sections)
    async with at_work(config) as run:
        await run.until(lambda: bool(run.parts.portfolio.crossed) and run.parts.manager.wave is None)
        status, positions, analysis = await answers(run, "status", "positions", "analysis")
        rows = {row["name"]: row for row in status["strategies"]}
        assert rows.keys() >= {"follows", "doubts", "holds"}
        assert (rows["follows"]["share"], rows["follows"]["state"]) == (0.4, "running")
        assert abs(sum(Decimal(row["equity"]) for row in rows.values()) - Decimal(status["equity"])) < Decimal("1e-6")
        for row in positions:
            assert sum(map(Decimal, row["strategies"].values())) == Decimal(row["amount"]), row["symbol"]
        assert analysis["account"]["crossed"] > 0
        cross = next(booking for booking in read(run.path).bookings if booking.kind == "cross")
        story = (await run.get(f"/api/v1/why/{cross.entries[0].currency}?decision={cross.id.partition('-cross-')[0]}"))[1]
        assert {row["name"] for row in story["strategies"] if Decimal(row["crossed"])} & {e.sleeve for e in cross.entries}
        await run.until(lambda: left_to(run, "doubts") > 0)
    journalled(run.path)
    config = written(tmp_path, venue.ccxt_urls(), strategies=[FOLLOWS | {"share": 0.8}, HOLDS], **sections)
    async with at_work(config) as again:
        await again.until(lambda: again.parts.reconciler.last_reconciled is not None)
        removed = [row for row in (await again.get("/api/v1/status"))[1]["strategies"] if row["name"] == "doubts"]
        assert [row["state"] for row in removed] in ([], ["removed"])
        await again.until(lambda: left_to(again, "doubts") < 10)  # nobody takes an order for less
    journalled(run.path)


def one_coin(name: str, symbol: str) -> dict[str, Any]:
    """A strategy that holds a third of the account in this."""
    return {
        "name": name,
        "use": "fixed_weights",
        "share": 0.4,
        "schedule": {"every": 100_000, "at_start": True},
        "params": {"weights": {symbol: 0.8}},
    }


async def test_why_tells_whose_a_kept_coin_was(venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a removed strategy has left, and is kept, is told with its name by API and CLI, of the running daemon and of its journal."""
    stays, goes = one_coin("stays", "ETH/USDT"), one_coin("goes", "BTC/USDT")
    async with at_work(written(tmp_path, venue.ccxt_urls(), strategies=[stays, goes])) as run:
        await run.settled(sent=2)
        held = run.parts.portfolio.held("goes", "BTC")
        assert (await run.get("/api/v1/why/BTC"))[1]["kept_apart"] == []
    config = written(tmp_path, venue.ccxt_urls(), strategies=[stays], removed_strategies="keep")
    async with at_work(config) as again:
        await again.until(lambda: again.parts.account.kept_apart == {"BTC": held})
        (kept,) = (await again.get("/api/v1/why/BTC"))[1]["kept_apart"]
        assert (Decimal(kept["amount"]), kept["strategy"], kept["reason"]) == (held, "goes", "removed_strategy")
        assert (await again.get("/api/v1/why/ETH"))[1]["kept_apart"] == []
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["why", "BTC", "--config", str(config), "--json"])
    assert told.exit_code == 0, told.stderr
    story = loads(told.stdout)
    assert story["kept_apart"] == [kept]
    assert f"{held.normalize():f} of it is kept apart: goes left it" in story["summary"]
    written(tmp_path, venue.ccxt_urls(), strategies=[stays])  # unwound, and no daemon has done so yet
    assert loads(CliRunner().invoke(app, ["why", "BTC", "--config", str(config), "--json"]).stdout)["kept_apart"] == []
