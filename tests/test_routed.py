"""A strategy over two accounts at two exchanges, over real sockets: each trades its symbols, by what the strategy has in all."""

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.assembly.worlds import renewal
from daemon.config import load_all
from daemon.parts import ReloadRefused
from daemon.reloading import Reloader
from tests.oneprocess import SYMBOLS, exchange
from tests.test_several import Run, configured, several

BTC, ETH, SOL = SYMBOLS


def routed(path: Path, **keys: Any) -> Path:
    """One strategy on both accounts: BTC on the one, ETH on the other, three tenths of what it has in each."""
    content = json.loads(path.read_text())
    plain = {"name": "both", "use": "fixed_weights", "schedule": {"every": 1, "at_start": True}}
    weights = {"params": {"weights": {BTC: 0.2, ETH: 0.3}}, "route": {BTC: "one", ETH: "two"}}
    content["strategies"] = [{**plain, **weights, **keys}]
    path.write_text(json.dumps(content))
    return path


def held(run: Run, account: str, symbol: str) -> float:
    """What an account holds of a symbol, in money."""
    book = run.trader(account).parts.account
    return float(book.held(symbol)) * float(book.mark(symbol) or 0)


async def test_each_account_trades_its_symbols(tmp_path: Path) -> None:
    """Weights are shares of both accounts together, wherever the money lies; after a restart it goes on from what it wanted."""
    async with exchange(USDT=100_000) as one, exchange(USDT=50_000) as two:
        path = routed(configured(tmp_path, one, two))
        async with several(path) as run:
            await run.until(lambda: abs(held(run, "one", BTC) - 30_000) < 600 and abs(held(run, "two", ETH) - 45_000) < 900)
            assert (held(run, "one", ETH), held(run, "two", BTC)) == (0.0, 0.0)
            _, targets = await run.ask("GET", "/api/v1/targets")
            weights = {(row["account"], row["symbol"]): row["weight"] for row in targets if row["weight"]}
            assert weights == pytest.approx({("one", BTC): 0.3, ("two", ETH): 0.9}, rel=0.02)
        async with several(path) as again:
            newest = [each.recovered.last_decision for each in again.parts]
            assert all(each is not None and each.by_strategy["both"].whole == {BTC: 0.2, ETH: 0.3} for each in newest)
            await again.trades("one")
            assert held(again, "one", BTC) == pytest.approx(30_000, rel=0.03)


async def test_the_other_half_goes_on_alone(tmp_path: Path) -> None:
    """While one of its exchanges is away, the strategy decides at every close on the other, with the frozen weights of the first."""
    async with exchange() as one, exchange() as two, several(routed(configured(tmp_path, one, two))) as run:
        manager = run.trader("one").parts.manager
        await run.until(lambda: held(run, "one", BTC) > 0 and held(run, "two", ETH) > 0)
        await two.__aexit__(None, None, None)
        before = manager.decision
        assert before is not None
        await run.until(lambda: manager.decision is not None and (manager.decision.as_of - before.as_of).total_seconds() >= 3)
        assert manager.decision is not None
        assert manager.decision.by_strategy["both"].whole == {BTC: 0.2, ETH: 0.3}
        assert manager.state == "running"


def test_another_route_needs_a_restart(tmp_path: Path) -> None:
    """The desk of such a strategy is set up at a start; its share may change at any time."""
    path = routed(configured(tmp_path, None, None))
    reread = Reloader(load_all(path, {}), {}, renewal)
    routed(path, share=0.5)
    assert [found.changed for found in reread()] == [("strategies.both.share",)] * 2
    routed(path, params={"weights": {BTC: 0.1}})
    with pytest.raises(ReloadRefused, match="both changed, which needs a restart"):
        reread()
