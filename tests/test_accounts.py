"""Accounts small and large, and in two currencies: the daemon over real sockets, against the exchange."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.core.model import Order, OrderReport
from daemon.core.planner import replay
from daemon.io.exchange import Urgency
from daemon.io.journal import ask
from daemon.parts import Parts
from daemon.venue import Venue, VenueSettings
from tests.oneprocess import Run, at_work, written

NO_LIMITS: Mapping[str, object] = {}
STRATEGY = {"name": "even", "use": "equal_weight", "schedule": {"every": 1, "at_start": True}}
TWELVE = tuple(f"{base}/USDT" for base in ("ADA", "BCH", "BTC", "COMP", "DOT", "ETH", "LINK", "LTC", "SOL", "UNI", "XRP", "AAVE"))


def config(folder: Path, venue: Venue, symbols: tuple[str, ...], breakers: Mapping[str, object] = NO_LIMITS, **universe: object) -> Path:
    """Equal weights of these symbols at every bar of a second; the account is measured in USDT."""
    sections: dict[str, Any] = {
        "universe": {"quote": "USDT", "symbols": list(symbols), **universe},
        "strategies": [STRATEGY],
        "execution": {"band": 0.005},
        "risk": {"breakers": breakers},
    }
    return written(folder, venue.ccxt_urls(), **sections)


def exchange(balance: Mapping[str, Decimal], **other: Any) -> Venue:
    """One whose prices hardly move."""
    return Venue(VenueSettings(interval="1s", markets=12, history=60, balance=balance, volatility=0.0002, **other))


async def later(run: Run, count: int) -> None:
    """Wait for so many further settled decisions."""
    for _ in range(count):
        wave = run.parts.manager.last_wave
        await run.until(lambda known=wave: run.parts.manager.last_wave is not known)  # type: ignore[misc]


async def test_sixty_dollars_with_twelve_targets(tmp_path: Path) -> None:
    """Nine positions that the exchange takes in its steps, three targets that say what they need, and no decision after that flips any."""
    async with exchange({"USDT": Decimal(60)}) as venue:
        async with at_work(config(tmp_path, venue, TWELVE)) as run:
            first = await run.settled()
            await later(run, 3)
            small = {symbol for symbol, why in first.left.items() if why == "small_account"}
            stories = [(await run.get(f"/api/v1/why/{s.replace('/', '-')}?decision={first.decision.id}"))[1] for s in small]
            assert (await run.get("/api/v1/status"))[1]["state"] == "running"
        assert venue.audit() == []
        held = {asset for asset, balance in venue.exchange.account.balances.items() if balance.free + balance.locked}
        orders = venue.state()["orders"]
    assert (first.sent, first.refused) == (9, {})
    assert len(small) == 3
    assert {why for symbol, why in first.left.items() if symbol not in small} == {"raised"}
    assert len(held - {"USDT"}) == 9
    assert all(float(story["plans"][0]["needs_equity"]) > 60 for story in stories)
    assert all("it needs an equity of" in story["summary"] for story in stories)
    assert {(order["side"], order["status"]) for order in orders} == {("BUY", "FILLED")}
    plans = ask(run.path, lambda reader: reader.story(TWELVE[0], first.decision.id)).plans
    assert len(replay(plans[0].inputs).grows) == 9


async def test_ten_million_in_twelve_targets(tmp_path: Path) -> None:
    """Every target is reached within the band, by orders that the book and the exchange can take, with nothing refused."""
    async with exchange({"USDT": Decimal(10_000_000)}) as venue:
        async with at_work(config(tmp_path, venue, TWELVE)) as run:
            first = await run.settled()
            await later(run, 1)
            rows = (await run.get("/api/v1/positions"))[1]
        assert venue.audit() == []
    assert first.sent >= 12
    assert (first.refused, {why for why in first.left.values() if why != "in_band"}) == ({}, set())
    weights = {row["symbol"]: row["weight"] for row in rows if row["symbol"] != "USDT"}
    assert all(weight == pytest.approx(1 / 12, abs=0.01) for weight in weights.values()), weights


@pytest.mark.parametrize("amount", [1000, -900])
async def test_money_that_comes_or_goes_in_the_middle_of_a_wave(tmp_path: Path, amount: int) -> None:
    """The wave ends as it was planned, what it cannot pay for with its reason; the next has the new size, and nobody calls it profit."""
    async with exchange({"USDT": Decimal(2000)}) as venue:

        def interrupted(parts: Parts) -> None:
            submit, sent = parts.exchange.submit, iter(range(1000))

            async def moved(order: Order, urgency: Urgency) -> OrderReport:
                if next(sent) == 6:
                    venue.exchange.transfer("USDT", Decimal(amount))
                return await submit(order, urgency)

            parts.exchange.submit = moved  # type: ignore[method-assign]

        losses = {"drawdown": {"limit": 0.05}, "daily_loss": {"limit": 0.05, "action": "halt"}}
        async with at_work(config(tmp_path, venue, TWELVE, losses), change=interrupted) as run:
            first = await run.settled()
            await run.until(lambda: max(map(abs, run.parts.account.off_target(first.targets).values())) < 0.005)
            await run.until(lambda: not run.parts.reconciler.differences and run.parts.manager.wave is None)
            status = (await run.get("/api/v1/status"))[1]
            whys = [(await run.get(f"/api/v1/why/{s.replace('/', '-')}?decision={first.decision.id}"))[1] for s in TWELVE]
        assert venue.audit() == []
    assert first.sent == 12
    assert set(first.targets) <= first.left.keys() | first.refused.keys(), "everything is away from its target, and says why"
    assert set(first.refused.values()) == ({"insufficient_funds"} if amount < 0 else set())
    assert {first.left[symbol] for symbol in first.targets.keys() - first.refused.keys()} == {"moved"}
    assert all(why["left"] and why["left_says"] for why in whys)
    assert (status["state"], status["holds"], status["drift"]) == ("running", [], 0)
    assert float(status["equity"]) == pytest.approx(2000 + amount, rel=0.01)
    assert abs(float(status["strategies"][0]["pnl"])) < 20


def recorded(folder: Path, prices: Mapping[str, float]) -> Path:
    """Files of bars that hardly move, one a market."""
    parquet, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    folder.mkdir()
    rng = np.random.default_rng(1)
    for symbol, price in prices.items():
        close = price * (1 + 0.0002 * rng.standard_normal(2000))
        table = {"timestamp": np.arange(2000, dtype=np.int64) * 1000, **dict.fromkeys(("open", "high", "low", "close"), close)}
        parquet.write_table(pa.table(table | {"volume": np.full(2000, 100.0)}), folder / f"{symbol.replace('/', '_')}-1s.parquet")
    return folder


async def test_two_currencies_pay_for_their_own(tmp_path: Path) -> None:
    """Coins in USDT are bought with USDT and coins in USDC with USDC, to weights of the sum of both; no order is refused."""
    data = recorded(tmp_path / "data", {"BTC/USDT": 100.0, "ETH/USDC": 10.0, "SOL/USDC": 5.0, "USDC/USDT": 0.8})
    async with exchange({"USDT": Decimal(2000), "USDC": Decimal(2500)}, data=data) as venue:
        settings = config(tmp_path, venue, ("BTC/USDT", "ETH/USDC", "SOL/USDC"), quotes={"USDC": "USDC/USDT"})
        async with at_work(settings) as run:
            first = await run.settled()
            await later(run, 1)
            rows = {row["symbol"]: row for row in (await run.get("/api/v1/positions"))[1]}
            status = (await run.get("/api/v1/status"))[1]
        assert venue.audit() == []
    assert first.refused == {}
    assert float(status["equity"]) == pytest.approx(4000, rel=0.01)
    assert rows["BTC/USDT"]["weight"] == pytest.approx(1 / 3, abs=0.01)
    # 2500 USDC are worth 2000, half of the account, where two thirds are wanted.
    assert rows["ETH/USDC"]["weight"] == pytest.approx(0.25, abs=0.01)
    assert rows["SOL/USDC"]["weight"] == pytest.approx(0.25, abs=0.01)
    assert first.left["ETH/USDC"] == first.left["SOL/USDC"] == "unfunded"
    assert float(rows["USDC"]["amount"]) < 30
    assert float(rows["USDC"]["price"]) == pytest.approx(0.8, rel=0.01)
