"""A sweep: the same rows whoever makes them and however often they are killed, choices without hindsight, and its page."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.config import Variants, load
from daemon.core.model import epoch_ms
from daemon.research import runs
from daemon.research.bars import DataError
from daemon.research.sweep import page, worker
from daemon.research.sweep.files import PANEL, ROWS, Folder
from daemon.research.sweep.folds import Window
from daemon.research.sweep.jobs import FIGURES, Bench, Job, Task
from daemon.research.sweep.panel import Needs, written
from daemon.research.sweep.pool import ATTEMPTS, Local, Queue
from daemon.research.sweep.sweeping import sweep
from daemon.routes import routes
from tests.research.files import HOUR, START, configured, store, stored, walk
from tests.research.sweeps import LENGTH, SWEPT, SYMBOLS, Here, asked, bars, figures_of, made_here, momentum, silent, table, variants


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three symbols, one with a gap."""
    return bars(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A grid of six, made in this process."""
    return made_here(tmp_path_factory.mktemp("plain"), data)


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_row_is_the_backtest_of_its_combination(tmp_path: Path, data: Path, plain: Path) -> None:
    """Each row has the very numbers that a backtest with these values writes into its summary."""
    rows = table(plain)
    assert len(rows) == 6
    for row in (rows[0], rows[-1]):
        strategy = momentum(lookback=row["strategies.momo.params.lookback"], top=row["strategies.momo.params.top"])
        config = configured(tmp_path, SYMBOLS, strategies=[strategy], execution={"band": 0.005})
        summary = runs.backtest(load(config, {}), data, tmp_path / "out", None, None, routes)
        equity = parquet.read_table(tmp_path / "out" / "equity.parquet").to_pydict()
        assert {name: row[name] for name in FIGURES} == {name: summary[name] for name in FIGURES}
        assert row["warnings"].split() == sorted({each["code"] for each in summary["warnings"]})
        assert (row["start"], row["end"], row["bars"]) == (equity["timestamp"][0], equity["timestamp"][-1], len(equity["timestamp"]))
        assert row["curve"][0] == equity["equity"][0]
        assert row["curve"][-1] == equity["equity"][-1]
        assert len(row["curve"]) == 257
        moves = np.diff(equity["equity"]) / equity["equity"][:-1]
        scaled = (moves - moves.mean()) / moves.std()
        assert row["skewness"] == pytest.approx((scaled**3).mean())
        assert row["kurtosis"] == pytest.approx((scaled**4).mean())


def test_a_period_is_that_of_a_backtest(tmp_path: Path, data: Path) -> None:
    """`--start` and `--end` mean the same as there: decisions between them, bars before them warm up."""
    first, last = START + 100 * HOUR, START + 300 * HOUR
    found = sweep(variants(tmp_path), asked(data, tmp_path / "out", start=first, end=last), routes, Here(), silent)
    config = load(tmp_path / "stored.yaml", {})
    summary = runs.backtest(config, data, tmp_path / "one", first, last, routes)
    row = table(tmp_path / "out")[found.table["strategies.momo.params.lookback"].index(5) + 1]
    assert row["final_equity"] == summary["final_equity"]
    assert row["start"] == epoch_ms(first)
    assert row["end"] == epoch_ms(last)


def test_processes_make_the_same_bytes_though_one_is_killed(tmp_path: Path, data: Path, plain: Path) -> None:
    """Two processes over the same mapped bars, one of them killed and replaced, leave the file that this process leaves, and no other."""
    crew = Local(2)
    killed: list[int] = []

    def kill(done: int, _total: int) -> None:
        if done and not killed:
            killed.append(crew.pids[0])
            os.kill(killed[0], signal.SIGKILL)

    sweep(variants(plain.parent), asked(data, tmp_path / "out"), routes, crew, kill)
    assert crew.lost == 1
    assert crew.pids == []
    assert (tmp_path / "out" / "sweep.parquet").read_bytes() == (plain / "sweep.parquet").read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["sweep.json", "sweep.parquet"]


def test_a_sweep_that_was_stopped_goes_on(tmp_path: Path, data: Path, plain: Path) -> None:
    """What has run is not run again, a line that was cut off is, and the file is the one of a sweep that was never stopped."""
    wanted = asked(data, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        sweep(variants(plain.parent), wanted, routes, Here(most=3), silent)
    with (tmp_path / "out" / ROWS).open("ab") as stream:
        stream.write(b'{"run": 3, "return": 0.')
    told: list[tuple[int, int]] = []
    crew = Here()
    sweep(variants(plain.parent), wanted, routes, crew, lambda done, total: told.append((done, total)))
    assert crew.done == [3, 4, 5]
    assert told == [(3, 6), (4, 6), (5, 6), (6, 6)]
    assert (tmp_path / "out" / "sweep.parquet").read_bytes() == (plain / "sweep.parquet").read_bytes()
    again = Here()
    sweep(variants(plain.parent), wanted, routes, again, silent)
    assert again.done == [], "a sweep that is done is only told again"


@pytest.mark.slow
def test_kill_nine_in_the_middle_and_run_again(tmp_path: Path, data: Path, plain: Path) -> None:
    """The program itself, killed while rows come in, has kept those, and who goes on leaves the same file."""
    out = tmp_path / "out"
    words = ["sweep", str(plain.parent / "stored.yaml"), *SWEPT, "--data", str(data), "--out", str(out), "--processes", "1"]
    first = subprocess.Popen([sys.executable, "-m", "daemon", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (out / ROWS).is_file() or not (out / ROWS).read_bytes():
        assert first.poll() is None, first.stderr and first.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    first.kill()
    first.communicate()
    left = Here()
    sweep(variants(plain.parent), asked(data, out), routes, left, silent)
    assert len(left.done) < 6
    assert (out / "sweep.parquet").read_bytes() == (plain / "sweep.parquet").read_bytes()


def test_a_run_that_fails_is_a_row(tmp_path: Path, data: Path) -> None:
    """A combination for which there are too few bars fails by itself, with its sentence, and the others are as they are."""
    store(tmp_path / "data", "A/USDT", [epoch_ms(START) + 3_600_000 * i for i in range(60)], walk(60, 1))
    store(tmp_path / "data", "B/USDT", [epoch_ms(START) + 3_600_000 * i for i in range(200)], walk(200, 2))
    wanted = asked(tmp_path / "data", tmp_path / "out", ["universe.symbols=[A/USDT],[B/USDT]"], start=START + 100 * HOUR)
    Path(tmp_path / "c").mkdir()
    found = sweep(Variants(configured(tmp_path / "c", ["A/USDT", "B/USDT"]), {}), wanted, routes, Here(), silent)
    bad, good = table(tmp_path / "out")
    assert "no bar closes at or after --start" in bad["error"]
    assert bad["sharpe"] is None
    assert bad["universe.symbols"] == '["A/USDT"]'
    assert good["error"] is None
    assert good["trades"] > 0
    assert found.best == 1
    assert any(code == "failed" and "1 of 2 runs failed" in text for code, text in page.doubts(found))


def test_whatever_is_raised_is_the_row_of_its_run(data: Path, tmp_path: Path) -> None:
    """A defect of the program in one run does not end the others."""
    known = variants(tmp_path)
    needs = Needs()
    needs.add(known.base)
    panel = written(tmp_path / PANEL, needs, data)

    def broken(_: object) -> Any:
        raise ZeroDivisionError("of all\nthings")

    row = Bench(Task(known, data, panel, broken), panel.opened()).row(Job(4, {}, Window(None, None)))
    assert row == {"run": 4, "error": "ZeroDivisionError: of all things"}


# --- who may not go on -----------------------------------------------------------------------------------------------


def test_another_sweep_is_not_mixed_in(tmp_path: Path, data: Path, plain: Path) -> None:
    """A directory with another sweep, or the same over other bars, is refused with what differs."""
    out = tmp_path / "out"
    known = variants(plain.parent)
    with pytest.raises(KeyboardInterrupt):
        sweep(known, asked(data, out), routes, Here(most=1), silent)
    with pytest.raises(DataError, match="has another sweep, which differs in runs, swept; name another directory with --out"):
        sweep(known, asked(data, out, SWEPT[:1]), routes, Here(), silent)
    other = stored(tmp_path / "data", LENGTH, SYMBOLS)
    with pytest.raises(DataError, match="which differs in assumptions, data"):
        sweep(known, asked(other, out), routes, Here(), silent)


def test_two_sweeps_do_not_write_into_one_directory(tmp_path: Path, data: Path, plain: Path) -> None:
    """While one is under way, a second one in the same directory is refused."""
    folder = Folder(tmp_path)
    with folder.rows(), pytest.raises(DataError, match="is being written by another sweep"), folder.rows():
        pass


def test_a_panel_that_is_not_whole_is_refused(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker does not compute on half a file, and what is mapped cannot be written."""
    needs = Needs()
    needs.add(variants(tmp_path).base)
    panel = written(tmp_path / PANEL, needs, data)
    bars = panel.opened().stored(variants(tmp_path).base).bars
    assert not bars.series["A/USDT"].values.flags.writeable
    assert panel.digest == written(tmp_path / "again.bin", needs, data).digest
    (tmp_path / PANEL).write_bytes((tmp_path / PANEL).read_bytes()[:-64])
    with pytest.raises(DataError, match="is not whole"):
        panel.opened()
    (tmp_path / PANEL).unlink()
    with pytest.raises(DataError, match="cannot be mapped"):
        panel.opened()
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send((Task(variants(tmp_path), data, panel, routes), None))
        worker.main(os.dup(theirs.fileno()))
        assert "cannot be mapped" in ours.recv()


def test_a_job_that_takes_its_process_down_is_given_up(tmp_path: Path) -> None:
    """Lost jobs are tried again one by one, and one that is lost again and again becomes a row with the reason."""
    jobs = [Job(run, {}, Window(None, None)) for run in range(40)]
    queue = Queue(jobs)
    assert queue.take(2) == [jobs[0]], "nobody knows yet how long a job takes"
    queue.learn(1, 0.001)
    piece = queue.take(2)
    assert 1 < len(piece) <= 5, "some pieces are left for each worker"
    assert queue.put_back(piece) == []
    for _ in range(ATTEMPTS - 2):
        assert queue.take(2) == [piece[0]], "by itself"
        assert queue.put_back([piece[0]]) == []
    assert queue.take(2) == [piece[0]]
    (given_up,) = queue.put_back([piece[0]])
    assert given_up["run"] == piece[0].run
    assert "lost 3 times" in given_up["error"]


# --- the command line and the page -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "nothing is swept; add what is"),
        (["strategies.mo.share=1"], 78, "strategies.mo.share has no entry mo; the entries are momo"),
        (["strategies.momo.params.lookback=0,5"], 78, "(from strategies.momo.params.lookback=0)"),
        (["strategies.momo.params.top=1", "--by", "luck"], 2, "--by luck is not one of sharpe, sortino"),
        (["strategies.momo.params.top=1", "--train", "5d"], 2, "--train and --test go together"),
        (["strategies.momo.params.top=1", "--anchored"], 2, "add --train 180d --test 30d"),
        (["strategies.momo.params.top=1", "--train", "5", "--test", "1d"], 2, "--train 5 is not a length of time"),
        (["strategies.momo.params.top=1", "--cluster", "local:2", "--processes", "2"], 2, "leave one of the two out"),
        (["strategies.momo.params.top=1", "--cluster", "here"], 2, "--cluster here is no address"),
        (["strategies.momo.params.top=1", "--cluster", "local:x"], 2, "says no number of processes"),
        (["paper.balances={BTC: 1}"], 78, "paper.balances (from paper.balances) has nothing of universe.quote"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(tmp_path: Path, data: Path, words: list[str], code: int, told: str) -> None:
    """Every slip ends before anything runs, with what to do and the documented exit code."""
    config = configured(tmp_path, SYMBOLS)
    ended = CliRunner().invoke(app, ["sweep", str(config), *words, "--data", str(data), "--out", str(tmp_path / "out")])
    assert ended.exit_code == code, ended.stderr
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


def test_the_page_of_a_grid_tells_the_table(plain: Path) -> None:
    """Best run, heat map and stability are those of the rows, and the page can be made anew."""
    ended = CliRunner().invoke(app, ["report", str(plain)])
    assert ended.exit_code == 0, ended.output
    html = (plain / "sweep.html").read_text()
    rows = table(plain)
    best = max(rows, key=lambda row: row["sharpe"])
    assert f'data-key="best" data-value="{best["sharpe"]!r}"' in html
    drawn = figures_of(html)
    (heat,) = drawn["map-0"]["data"]
    assert (heat["x"], heat["y"]) == (["3", "5", "8"], ["1", "2"])
    by = {(row["strategies.momo.params.lookback"], row["strategies.momo.params.top"]): row["sharpe"] for row in rows}
    for at, top in enumerate((1, 2)):
        assert heat["z"][at] == pytest.approx([by[lookback, top] for lookback in (3, 5, 8)], rel=1e-5)
    median = next(trace for trace in drawn["stability-0"]["data"] if trace["name"] == "median")
    assert median["x"] == [3, 5, 8]
    assert median["y"] == pytest.approx([(by[lookback, 1] + by[lookback, 2]) / 2 for lookback in (3, 5, 8)], rel=1e-5)
    assert set(drawn) == {"curves", "spread", "stability-0", "stability-1", "map-0", "overfitting"}
    assert "<code>few_decisions" not in html
    assert html.count("http") == 0 or "default-src 'none'" in html


def test_drawn_values_are_grouped_and_seeded(tmp_path: Path, data: Path) -> None:
    """A random sweep keeps what it drew in its rows, and tells many values of a key in groups."""
    swept = ["strategies.momo.params.lookback=2..40", "execution.band=0.001..0.1:log"]
    found = sweep(variants(tmp_path), asked(data, tmp_path / "out", swept, draws=16, seed=3, end=START + 99 * HOUR), routes, Here(), silent)
    rows = table(tmp_path / "out")
    assert len({row["execution.band"] for row in rows}) == 16
    assert all(isinstance(row["strategies.momo.params.lookback"], int) for row in rows)
    groups = found.groups("execution.band")
    assert 1 < len(groups) <= 12
    assert sum(len(group.scores) for group in groups) == 16
    assert "drawn with seed 3" in page.made(found)
    assert 0 <= found.explained("execution.band") <= 1
