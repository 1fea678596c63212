"""The look-ahead check: strategies made to cheat are named with indicator and bar, honest ones pass."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from daemon.assembly.deciding import runner_of
from daemon.assembly.rosters import sleeves
from daemon.cli.main import app
from daemon.config import Config, load
from daemon.core.runner import StrategyRunner
from daemon.core.staff import Sleeve
from daemon.research.bars import Bars, Series
from daemon.research.lookahead import Report, examine
from tests import ownfiles
from tests.oneprocess import SYMBOLS, written

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
COUNT = 150

CENTRED = '''
class Centred(SMA):
    """Of a whole history it takes the mean around each bar; bar by bar it cannot."""
    def block(self, rows):
        values = super().block(rows)
        values[:-2] = values[2:]
        return values
'''
KEEPS = '''
SEEN = []
class Keeps(SMA):
    """It keeps whatever it was shown, in a global of its module."""
    def block(self, rows):
        SEEN.append(rows.copy())
        return super().block(rows)
'''
SHORT = '''
class Short(SMA):
    """Its recurrence never forgets, and it asks for a single bar."""
    def __init__(self, length, width):
        super().__init__(length, width)
        self.need, self.total = 1, np.zeros(width)
    def step(self, row):
        self.total = 0.9 * self.total + row
        return self.total
    def block(self, rows):
        return np.stack([self.step(row) for row in rows])
'''
BY_RANK = "return TargetWeights({view.slice.symbols[int(np.argmax(view.rows['average'] / view.slice.close))]: 0.5})"


def file_of(indicator: str, decide: str, more: str = "") -> str:
    """A strategy of one indicator."""
    text = ownfiles.HEAD.replace("class Mine(", more + "\nclass Mine(").replace('"average": SMA(', f'"average": {indicator}(')
    return f"{text}\n    count = 0\n    def decide(self, view):\n        {decide}\n"


def stored(count: int = COUNT) -> Bars:
    """Bars of three symbols as chance has them; the second one has gaps."""
    chance = np.random.default_rng(7)
    start = int(T0.timestamp() * 1000)
    series = {}
    for symbol in sorted(SYMBOLS):
        closes = start + 3_600_000 * np.arange(1, count + 1)
        prices = 100 * np.exp(np.cumsum(chance.normal(0, 0.01, count)))
        values = np.column_stack([prices, prices, prices, prices, np.ones(count)])
        there = chance.random(count) < (0.9 if symbol.startswith("ETH") else 1.1)
        series[symbol] = Series(closes[there], values[there])
    return Bars(tuple(sorted(SYMBOLS)), HOUR, series)


def configured(folder: Path, text: str) -> Config:
    """A configuration that decides every four hours by the file's class."""
    (folder / "my.py").write_text(text)
    own = {"name": "own", "use": "./my.py:Mine", "schedule": {"every": 4}}
    return load(written(folder, {}, mode="paper", timeframe="1h", strategies=[own]), {})


def report_on(config: Config, bars: Bars | None = None) -> Report:
    """What the check says of it."""

    def made() -> Sleeve:
        return sleeves(config)[0]

    def joined(some: Sequence[Sleeve]) -> StrategyRunner:
        return runner_of(config, some)

    return examine("own", made, joined, bars or stored())


def test_an_honest_strategy_passes(tmp_path: Path) -> None:
    """Gaps, synthetic bars and restarts change nothing that a strategy of the view alone has known."""
    report = report_on(configured(tmp_path, file_of("SMA", BY_RANK)))
    assert (report.findings, report.problem) == ((), "")
    assert (report.bars, report.decisions) == (COUNT, 37)
    assert str(report) == "own: no look-ahead; 37 decisions in 150 bars are the same without what came after them"


def test_a_centred_window_is_named(tmp_path: Path) -> None:
    """An indicator whose past changes with the bars after it is named with symbol and bar, and so is what it is when taken bar by bar."""
    report = report_on(configured(tmp_path, file_of("Centred", BY_RANK, CENTRED)))
    found = [str(each) for each in report.findings]
    assert any(line.startswith("own: indicator average of BTC/USDT at the bar that closes 2026-01-01T") for line in found)
    assert any(line.endswith("without them: it looks ahead") for line in found)
    assert any("`step` and `block` of this indicator differ" in line for line in found)
    ahead = next(each for each in report.findings if "looks ahead" in each.how)
    assert T0 < ahead.closes_at < T0 + COUNT * HOUR


@pytest.mark.parametrize(
    ("indicator", "decide", "more"),
    [
        pytest.param(
            "SMA", "whole = view.slice.panel.base; at = self.find(whole, view.slice.panel)", "", id="reads the array behind its slice"
        ),
        pytest.param("Keeps", "whole = SEEN[0]; at = self.find(whole, view.slice.panel)", KEEPS, id="keeps what it was shown"),
    ],
)
def test_peeking_is_named(indicator: str, decide: str, more: str, tmp_path: Path) -> None:
    """Whoever reaches the next bar, by whatever way, decides otherwise when it is not there: the decision and its bar are told."""
    finder = """
    def find(self, whole, panel):
        if whole is None:
            return None
        closes = whole[:, CLOSE] if whole.ndim == 3 else whole
        return int(np.flatnonzero((closes[:, 0] == panel[CLOSE, 0]) & (closes[:, 2] == panel[CLOSE, 2]))[0])
"""
    choose = """
        closes = whole if whole is None else whole[:, CLOSE] if whole.ndim == 3 else whole
        if whole is None or at + 1 >= len(closes):
            return TargetWeights({})
        return TargetWeights({view.slice.symbols[int(np.argmax(closes[at + 1, [0, 2]] / closes[at, [0, 2]])) * 2]: 0.5})
"""
    report = report_on(configured(tmp_path, file_of(indicator, decide + choose, more) + finder))
    assert report.problem == ""
    first = report.findings[0]
    assert (first.what, first.closes_at.hour % 4) == ("the weight", 0)
    assert first.how.endswith("with the bars after it and 0 without them: it looks ahead")


def test_a_short_warm_up_is_named(tmp_path: Path) -> None:
    """An indicator that would need more history than it asks for is named, with the values after all and after its own."""
    report = report_on(configured(tmp_path, file_of("Short", BY_RANK, SHORT)))
    assert [each.what for each in report.findings] == ["indicator average"]
    assert "after the 1 bars that the warm-up reads: its `need` is too short" in report.findings[0].how


def test_a_memory_that_a_restart_loses_is_named(tmp_path: Path) -> None:
    """A decision that rests on what the object itself has counted is not the same after a restart, and the check says so."""
    report = report_on(
        configured(tmp_path, file_of("SMA", "self.count += 1; return TargetWeights({view.slice.symbols[0]: 0.01 * self.count})"))
    )
    assert {each.what for each in report.findings} == {"the weight"}
    assert "after a restart: it remembers what is neither in its indicators nor in its view" in report.findings[0].how


def test_a_memory_that_alternates_is_named(tmp_path: Path) -> None:
    """Where every other decision is what a restart would give, those that are compared must not all be such."""
    decide = "self.count += 1; return TargetWeights({view.slice.symbols[0]: 0.5 if self.count % 2 else 0.25})"
    report = report_on(configured(tmp_path, file_of("SMA", decide)), stored(4 * (11 * 4 + 1)))
    assert report.decisions == 11 * 4 + 1
    assert [each.how.endswith("it remembers what is neither in its indicators nor in its view") for each in report.findings] == [True]


def saved(folder: Path, bars: Bars) -> Path:
    """The bars as files."""
    folder.mkdir()
    for symbol, each in bars.series.items():
        columns = {"timestamp": each.closes - 3_600_000} | dict(zip(("open", "high", "low", "close", "volume"), each.values.T, strict=True))
        parquet.write_table(pa.table(columns), folder / f"{symbol.replace('/', '_')}-1h.parquet")
    return folder


def test_the_verb_ends_with_its_verdict(tmp_path: Path) -> None:
    """`check --lookahead` ends with 0 where nothing is found, with 1 and the findings on stderr where something is, with 2 without data."""
    data = saved(tmp_path / "bars", stored(60))
    codes = []
    for text in (file_of("SMA", BY_RANK), file_of("Centred", BY_RANK, CENTRED)):
        config = configured(tmp_path, text)
        done = CliRunner().invoke(app, ["check", "--lookahead", str(config.source), "--data", str(data)])
        codes.append(done.exit_code)
    assert codes == [0, 1]
    assert "indicator average of" in done.stderr
    assert CliRunner().invoke(app, ["check", "--lookahead", str(config.source)]).exit_code == 2
    (tmp_path / "my.py").write_text("import no_such_module\n" + ownfiles.text_of("behaves"))
    broken = CliRunner().invoke(app, ["check", "--offline", str(config.source)])
    assert broken.exit_code == 78
    assert "strategies[0].use cannot be loaded: ModuleNotFoundError" in broken.stderr


def test_a_strategy_that_raises_is_told(tmp_path: Path) -> None:
    """A check that compared nothing is not passed."""
    report = report_on(configured(tmp_path, ownfiles.text_of("raises", after=3)))
    assert report.problem.startswith("own: no decision at ")
    assert "ZeroDivisionError" in str(report)


def test_too_little_data_is_told(tmp_path: Path) -> None:
    """Without a decision nothing was compared, and that is what it says."""
    assert "nothing was compared" in str(report_on(configured(tmp_path, file_of("SMA", BY_RANK)), stored(3)))
