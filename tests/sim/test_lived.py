"""What a daemon has done, told by its journal, is what a backtest over the same bars says."""

from pathlib import Path

import pytest

from daemon.assembly.deciding import runner
from daemon.config import load
from daemon.research import lived, runs
from daemon.research.report.run import open_run
from daemon.routes import routes
from tests.sim import test_same_orders as same

quiet = same.quiet  # the fixture, for these tests too


def test_live_and_backtest_tell_the_same_result(tmp_path: Path) -> None:
    """Equity, fees, trades and what was wanted of the whole daemon in virtual time are those of a backtest that begins where it began."""
    config = same.configured(tmp_path, same.momentum())
    settings = load(config, {})
    need = runner(settings).need
    folder = same.data(tmp_path / "data", need, {})
    same.by_daemon(config, folder, need)
    diary = lived.opened(config.with_name("sim.sqlite"), settings.universe.symbols)
    summary = lived.write(diary, "sim", tmp_path / "live", settings, folder)
    again, start, end = lived.again(diary, settings)
    told = runs.backtest(again, folder, tmp_path / "again", start, end, routes)
    assert summary["trades"] == told["trades"] > 50
    for figure in ("final_equity", "return", "fees"):
        assert summary[figure] == pytest.approx(told[figure], rel=1e-9), figure
    live, other = open_run(tmp_path / "live"), open_run(tmp_path / "again")
    at = {moment: row for row, moment in enumerate(other.equity["timestamp"].tolist())}
    rows = [at[moment] for moment in live.equity["timestamp"].tolist()]
    assert live.equity["equity"].tolist() == pytest.approx(other.equity["equity"][rows].tolist(), rel=1e-9)
    assert live.closes("A/USDT").tolist() == other.closes("A/USDT")[rows].tolist()
