"""The analyzer beside a backtest: two counts of the same run, one from equity and one from fills and holdings, agree."""

from datetime import timedelta
from functools import partialmethod
from math import isnan, nan
from pathlib import Path

import pytest

from daemon.app import routes
from daemon.assembly import deciding as deciding_parts
from daemon.config import load
from daemon.core.analyzer import Analyzer
from daemon.parts import Core
from daemon.research import runs
from daemon.research.backtest import Backtest
from daemon.research.performance import performance
from tests.research.files import HOUR, START, configured, stored

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> list[Core]:
    """The parts of the runs that follow, which look at every slice: the analyzer reports nothing of those that are taken at once."""
    made: list[Core] = []

    def kept(*args: object, **named: object) -> Core:
        made.append(deciding(*args, **named))  # type: ignore[arg-type]
        return made[-1]

    deciding = deciding_parts.deciding
    monkeypatch.setattr(runs, "deciding", kept)
    monkeypatch.setattr(Backtest, "run", partialmethod(Backtest.run, skims=False))
    return made


def test_the_market_is_known_from_before_the_start(tmp_path: Path, cores: list[Core]) -> None:
    """A run that starts later has measured the bars before it, and the account from there on."""
    data = stored(tmp_path / "data", 400, SYMBOLS)
    runs.backtest(load(configured(tmp_path, SYMBOLS), {}), data, tmp_path / "out", START + 300 * HOUR, None, routes)
    told = cores[0].analyzer.report()
    assert (told.history_since, told.bars) == (START + HOUR, 400)
    assert told.since == START + 300 * HOUR


def test_the_analyzer_and_the_summary_tell_the_same_run(tmp_path: Path, cores: list[Core]) -> None:
    """Return, deepest fall, volatility and fees are the summary's, and what fills cost beyond the next open is the configured slippage."""
    config = load(configured(tmp_path, SYMBOLS), {})
    data = stored(tmp_path / "data", 1500, SYMBOLS, {"SOL/USDT": range(700, 712)})
    summary = runs.backtest(config, data, tmp_path / "out", None, None, routes)
    analyzer: Analyzer = cores[0].analyzer
    told = analyzer.report()
    assert summary["trades"] > 10
    assert told.account.total_return == pytest.approx(summary["return"], rel=1e-9)
    assert told.account.drawdown_max == pytest.approx(summary["max_drawdown"], rel=1e-9)
    assert told.account.volatility == pytest.approx(summary["volatility"], rel=1e-3)  # of all bars but the first, and population
    assert told.account.costs.fee == pytest.approx(summary["fees"], rel=1e-9)
    # Bought at 1 + s and sold at 1 - s times the open: of what was traded it is s in the middle.
    assert told.account.costs.spread == pytest.approx(told.account.traded * float(config.paper.slippage_bps) / 10_000, rel=1e-3)
    assert told.account.turnover == pytest.approx(summary["turnover"], rel=1e-9)
    assert sum(row.contribution for row in told.symbols) == pytest.approx(summary["return"], rel=1e-9)
    assert sum(row.profit for row in told.strategies) == pytest.approx(told.account.profit, rel=1e-9)


def test_minutes_have_no_growth_a_year() -> None:
    """Ten minutes that gained a tenth would grow beyond every number in a year: that is not said, and everything else is."""
    told = performance([1.0 + 0.1 * i / 600 for i in range(601)], timedelta(minutes=10), timedelta(seconds=1))
    assert isnan(told.cagr)
    assert isnan(told.calmar)
    assert told.total_return == pytest.approx(0.1)


def test_the_words_leave_out_a_year_that_tells_nothing(tmp_path: Path) -> None:
    """Growth a year is said of a run that has one, and left out where it is none or has dozens of digits."""
    config = load(configured(tmp_path, SYMBOLS), {})
    summary = runs.backtest(config, stored(tmp_path / "data", 100, SYMBOLS), tmp_path / "out", None, None, routes)
    assert ", a year 12.00%\n" in runs.in_words(summary | {"cagr": 0.12}, tmp_path)
    for cagr in (nan, 1e200):
        assert "a year" not in runs.in_words(summary | {"cagr": cagr}, tmp_path)
