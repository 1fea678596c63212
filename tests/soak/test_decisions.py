"""What holds a daemon's decisions against backtests finds what is there to find, and nothing else."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.app import routes
from daemon.config import Config, load
from daemon.core.model import epoch_ms
from daemon.research import bars as stored_bars
from daemon.research import runs
from daemon.research.bars import Bars
from tests.research.files import HOUR, START, configured, stored
from tests.soak.decisions import Decided, Life, as_seen, compare, paused, plain, unserved

SYMBOLS = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
EVERY = 4 * HOUR
ROWS = 240


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Momentum, due every four hours."""
    return load(configured(tmp_path, SYMBOLS), {})


@pytest.fixture
def bars(tmp_path: Path) -> Bars:
    """Ten days of hours."""
    return stored_bars.load(stored(tmp_path / "data", ROWS, SYMBOLS), SYMBOLS, HOUR)


def lived(first: int, last: int) -> Life:
    """A life with the slices of these hours, both included."""
    return Life(tuple(START + hour * HOUR for hour in range(first, last + 1)))


def told(life: Life, decided: Decided) -> Life:
    """The same with its decisions in the log."""
    return replace(life, decided=tuple(moment for moment in decided if life.slices[0] <= moment <= life.slices[-1]))


def as_seen_by(bars: Bars, life: Life) -> dict[str, list[int]]:
    """The close times of what this life had."""
    return {symbol: series.closes.tolist() for symbol, series in as_seen(bars, life).series.items()}


def test_without_a_pause_both_references_are_one(tmp_path: Path, config: Config, bars: Bars) -> None:
    """The paused backtest of a daemon that never was away takes the decisions of `rebalanced backtest`."""
    runs.backtest(config, tmp_path / "data", tmp_path / "out", START + 100 * HOUR, None, routes)
    whole = plain(tmp_path / "out", "momo")
    life = lived(100, ROWS)
    found = compare(whole, [told(life, whole)], 4 * 3_600_000, whole, paused(config, bars, [life], whole, None))
    assert (found.decided, found.due, found.same, found.farthest) == (36, 36, 36, 0.0)
    assert (found.apart, found.different, found.omitted, found.lost) == ((), (), (), ())
    assert found.varied > 5


def test_a_missed_due_time_is_made_up_for(config: Config, bars: Bars) -> None:
    """Away from hour 118 to 125, it owes the decision of 120 and of 124, takes one at 126, and is due again at 128."""
    lives = [lived(100, 117), lived(126, 140)]
    ahead = paused(config, bars, [lived(100, ROWS)], {START + 116 * HOUR}, None)
    decided = paused(config, bars, lives, ahead, None)
    assert sorted(decided) == [START + hour * HOUR for hour in (100, 104, 108, 112, 116, 126, 128, 132, 136, 140)]
    shared = decided.keys() & ahead.keys()
    assert len(shared) == 9
    assert {moment: decided[moment] for moment in shared} == {moment: ahead[moment] for moment in shared}


def test_a_slice_that_is_too_old_decides_nothing(config: Config, bars: Bars) -> None:
    """A due slice that was handled a minute after its close is made up for by the next."""
    due, after = START + 104 * HOUR, START + 105 * HOUR
    life = replace(lived(100, 110), handled={due: due + timedelta(minutes=1)})
    assert sorted(paused(config, bars, [life], {START + 100 * HOUR}, None)) == [START + 100 * HOUR, after, START + 108 * HOUR]


def test_a_late_bar_is_not_in_its_life(bars: Bars) -> None:
    """A bar that the log calls missing, and a whole slice that it does not have, are left out; what the warm-up read is not."""
    life = lived(100, 110)
    assert unserved(bars, life) == 0
    slices = life.slices[:3] + life.slices[4:]
    life = Life(slices, missing={life.slices[5]: frozenset({"B/USDT"})})
    assert unserved(bars, life) == 5
    last = {symbol: series.values[103, 3] for symbol, series in bars.series.items()}
    had = {symbol: series.values[104, 3] for symbol, series in bars.series.items()}
    assert as_seen_by(bars, Life(slices, shown={START + 105 * HOUR: had | {"B/USDT": last["B/USDT"]}})) == as_seen_by(bars, life)
    without = {symbol: set(bars.series[symbol].closes.tolist()).difference(there) for symbol, there in as_seen_by(bars, life).items()}
    gone, late = epoch_ms(START + 103 * HOUR), epoch_ms(START + 105 * HOUR)
    assert without == {symbol: {gone, late} if symbol == "B/USDT" else {gone} for symbol in SYMBOLS}


def test_what_is_not_as_it_should_be_is_named(config: Config, bars: Bars) -> None:
    """A weight that differs, a decision that nobody should have taken, one that is missing, and one that a kill has swallowed."""
    lives = [lived(100, 112), lived(113, 140)]
    right = paused(config, bars, lives, {START + 108 * HOUR}, None)
    wrong = dict(right)
    wrong[START + 104 * HOUR] = {**right[START + 104 * HOUR], "A/USDT": 0.123}
    wrong[START + 105 * HOUR] = {}
    del wrong[START + 112 * HOUR], wrong[START + 120 * HOUR]
    found = compare(wrong, [told(life, wrong) for life in lives], EVERY // timedelta(milliseconds=1), right, right)
    assert found.apart == (START + 104 * HOUR,)
    assert found.different == (START + 104 * HOUR, START + 105 * HOUR)
    assert found.omitted == (START + 120 * HOUR,)
    assert found.lost == (START + 112 * HOUR,)
    assert found.farthest > 0.1
