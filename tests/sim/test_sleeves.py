"""Three strategies with opposite wishes in one account, over recorded bars: what they cross inside is not traded."""

import os
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from pyarrow import parquet

from daemon.app import Daemon, routes
from daemon.assembly.deciding import runner
from daemon.config import load
from daemon.core.apportion import total
from daemon.core.ledger import Ledger
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import Portfolio
from daemon.io.journal import Recovered
from daemon.io.journal import read as recovered
from daemon.research import runs
from tests.research import files
from tests.sim.test_same_orders import LENGTH, LIVE, RULES, configured, intents, quiet, taped, traded, worked_off
from tests.sim.virtual import run

__all__ = ["quiet"]

SYMBOLS: Final = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
NAMES: Final = ("follows", "doubts", "holds")


def opposite() -> list[dict[str, Any]]:
    """One buys what rises, one what has fallen, and one holds everything alike; they change their minds at different times."""
    plain = {"lookback": 5, "rsi_period": 3, "top": 2}
    often = {"use": "portfolio_momentum", "share": 0.4, "schedule": {"every": 4}}
    return [
        {"name": "follows", **often, "params": plain | {"rsi_sign": "momentum"}},
        {"name": "doubts", **often, "params": plain | {"weights": {"price": -0.5}}},
        {"name": "holds", "use": "equal_weight", "share": 0.2, "schedule": {"every": 12}},
    ]


def real(folder: Path, rows: int) -> Path:
    """Recorded hours, told as bars of ten seconds: a day passes in four minutes."""
    source = os.environ.get("REBALANCED_DATA")
    if not source:
        pytest.skip("REBALANCED_DATA does not name a folder with BASE_QUOTE-1h.parquet files: no recorded bars to trade on")
    for symbol in SYMBOLS:
        kept = parquet.read_table(Path(source) / f"{symbol.replace('/', '_')}-1h.parquet").slice(1000, rows)
        values = np.column_stack([kept[name].to_numpy() for name in ("open", "high", "low", "close", "volume")])
        files.store(folder, symbol, files.opens(rows, timeframe=LENGTH), values, name="10s")
    (folder / "markets.json").write_text(str(dict.fromkeys(SYMBOLS, RULES)).replace("'", '"'))
    return folder


def folded(record: Recovered) -> Portfolio:
    """What a start would make of the journal."""
    found = Portfolio(NAMES, Ledger(), OrderTable())
    found.restore(record.flows, record.fills, record.bookings, record.splits, record.order_ids)
    return found


def test_opposite_wishes_cross_instead_of_trading(tmp_path: Path) -> None:
    """The account trades less than its three strategies would alone, by exactly what was crossed; daemon and backtest cross the same."""
    config = configured(tmp_path, *opposite(), symbols=SYMBOLS)
    need = runner(load(config, {})).need
    folder = real(tmp_path / "data", need + LIVE)
    exchange, clock = taped(folder, need, SYMBOLS)
    told: dict[str, Any] = {}

    async def analysed(daemon: Daemon) -> None:
        await worked_off(exchange, clock)
        told.update(daemon.views.analysis())

    run(traded(config, exchange, clock, analysed))
    sent = intents(config.with_name("sim.sqlite"))
    record = recovered(config.with_name("sim.sqlite"))
    portfolio = folded(record)
    cost = total(fill.cost for fill in record.fills)
    crossed = total(abs(e.amount) for b in record.bookings if b.kind == "cross" for e in b.entries if e.currency == "USDT")
    assert crossed > cost / 20
    assert total((*portfolio.traded.values(), *portfolio.crossed.values())) - cost == crossed
    assert (told["account"]["traded"], told["account"]["crossed"]) == pytest.approx((float(cost), float(crossed)), rel=1e-12)
    assert not portfolio.left_over()
    assert all(split.keys() <= {*NAMES, "unassigned"} for split in record.splits.values())
    since = files.START + (need + 1) * LENGTH
    summary = runs.backtest(load(config, {}), folder, tmp_path / "out", since, None, routes)
    assert [row["order_id"] for row in files.read(tmp_path / "out", "orders")] == [order.id for order in sent]
    for name in NAMES:
        assert summary["strategies"][name]["crossed"] == float(portfolio.crossed[name])
        assert summary["strategies"][name]["traded"] == float(portfolio.traded[name])
    final = Decimal(repr(summary["final_equity"]))
    assert abs(sum(made["pnl"] for made in summary["strategies"].values()) - float(final - 10_000)) < 1e-6
    alone = sum(traded_alone(strategy, folder, tmp_path / str(strategy["name"]), since) for strategy in opposite())
    # Alone, none has the others' profits and losses in its capital, and each has a no-trade zone to itself.
    assert alone - float(cost) == pytest.approx(float(crossed), rel=0.1)


def traded_alone(strategy: dict[str, Any], data: Path, folder: Path, since: datetime) -> float:
    """What a strategy trades in an account of its own over the same bars."""
    folder.mkdir()
    config = load(configured(folder, strategy, symbols=SYMBOLS), {})
    runs.backtest(config, data, folder / "out", since, None, routes)
    return float(sum(row["amount"] * row["price"] for row in files.read(folder / "out", "fills")))
