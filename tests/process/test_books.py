"""The judge is judged: what the process tests rest on finds what is planted."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.io.clock import SystemClock
from daemon.io.journal import Journal
from tests.process.books import Booked, Waves, disagreements

RULES = {"BTC/USDT": (0.001, 5.0), "ETH/USDT": (0.01, 5.0)}
CASH = {"USDT": Decimal(1000)}


def line(event: str, second: int, **fields: Any) -> dict[str, Any]:
    return {"event": event, "ts": f"2026-01-01T00:00:{second:02d}.000000Z", **fields}


def wave(bought: str, targets: dict[str, float], left: dict[str, str] | None = None) -> float:
    """The excess of a wave that bought so many BTC at 100 each with 1000 USDT."""
    at = datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)
    trade = Booked(at, "BTC/USDT", "1", Decimal(bought), Decimal(bought) * 100, Decimal(0), "BTC")
    lines = [
        line("slice.closed", 1, prices={"BTC/USDT": 100.0, "ETH/USDT": 10.0}),
        line("plan.made", 1, decision_id="D", attempt=1, orders=[]),
        line("wave.settled", 3, decision_id="D", targets=targets, left=left or {}, refused={}),
    ]
    return Waves(lines, [trade], CASH, RULES).excess()["D"]


@pytest.mark.parametrize(
    ("bought", "targets", "beyond"),
    [("5", {"BTC/USDT": 0.5}, False), ("4.5", {"BTC/USDT": 0.5}, False), ("4.4", {"BTC/USDT": 0.5}, True), ("0.1", {}, True)],
    ids=["on target", "in the band", "beyond the band", "held but not wanted"],
)
def test_excess(bought: str, targets: dict[str, float], beyond: bool) -> None:
    """A holding is judged by its distance from the target beyond the band, and one that is not wanted has none."""
    assert (wave(bought, targets) > 0) == beyond


def test_excused_symbols_are_not_judged() -> None:
    """A distance that the wave gives an outside reason for is told, not judged."""
    assert wave("1", {"BTC/USDT": 0.5}, left={"BTC/USDT": "order_unknown"}) <= 0


def test_disagreements(tmp_path: Path) -> None:
    """Money, trades and orders that one side alone has are found, and so is an id used twice."""
    path = tmp_path / "a.sqlite"
    Journal.open(path, instance="a", mode="live", clock=SystemClock()).close()
    order = {"clientOrderId": "a", "origQty": "1"}
    trade = {
        "symbol": "BTCUSDT",
        "id": 1,
        "isBuyer": True,
        "time": 0,
        "qty": "1",
        "quoteQty": "5",
        "commission": "0",
        "commissionAsset": "BTC",
    }
    state: dict[str, Any] = {
        "violations": ["planted"],
        "balances": {"BTC": {"free": "1", "locked": "0"}},
        "trades": [trade],
        "orders": [order, order],
    }
    found = disagreements(state, path, ["BTC/USDT"])
    assert [sentence.split(" ")[0] for sentence in found] == ["planted", "BTC:", "a", "client", "the"], found
