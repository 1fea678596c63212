"""Walking forward: choices without hindsight, and their page, also in a real browser."""

from datetime import UTC, datetime, timedelta
from math import prod
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from daemon.core.model import epoch_ms
from daemon.parts import StartRefused
from daemon.research import runs
from daemon.research.sweep import page
from daemon.research.sweep.findings import choice, opened
from daemon.research.sweep.folds import Walk
from daemon.research.sweep.jobs import FIGURES
from daemon.research.sweep.sweeping import sweep
from daemon.routes import routes
from tests.process import browser
from tests.research.files import START, store, stored, walk
from tests.research.sweeps import LENGTH, OVER, SWEPT, SYMBOLS, Here, asked, figures_of, silent, table, variants
from tests.research.test_report_browser import OUTSIDE, OVERLAPS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three symbols, one with a gap."""
    return stored(tmp_path_factory.mktemp("data"), LENGTH, SYMBOLS, {"A/USDT": [60, 61]})


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A walk forward over the same."""
    folder = tmp_path_factory.mktemp("walked")
    sweep(variants(folder), asked(data, folder / "out", over=OVER), routes, Here(), silent)
    return folder / "out"


# --- walking forward -------------------------------------------------------------------------------------------------


def test_each_fold_chooses_the_best_of_its_train(walked: Path) -> None:
    """The chosen combination is the one whose train run has the highest objective, and its test begins at the bar after."""
    rows = table(walked)
    folds = sorted({row["fold"] for row in rows})
    assert len(folds) == (LENGTH - 120) // 72
    for fold in folds:
        trains, tests = ([row for row in rows if row["fold"] == fold and row["part"] == part] for part in ("train", "test"))
        best = max(range(len(trains)), key=lambda at: trains[at]["sharpe"])
        assert [row["chosen"] for row in trains] == [row["chosen"] for row in tests] == [at == best for at in range(len(trains))]
        assert {row["bars"] for row in trains} == {120}
        assert {row["bars"] for row in tests} == {72}
        assert {row["start"] for row in tests} == {trains[0]["end"] + 3_600_000}


def test_a_choice_knows_nothing_of_its_test(tmp_path: Path, data: Path, walked: Path) -> None:
    """With other prices from the first test on, the first fold's train rows and its choice are the same to the last digit."""
    until = epoch_ms(START) + 120 * 3_600_000  # opens before this have closed when the first choice is made
    for seed, symbol in enumerate(SYMBOLS):
        known = parquet.read_table(data / f"{symbol.replace('/', '_')}-1h.parquet").to_pydict()
        values = np.column_stack([known[name] for name in ("open", "high", "low", "close", "volume")])
        later = np.array(known["timestamp"]) >= until
        values[later] = walk(LENGTH, 77 + seed, values[~later][-1, 3])[: later.sum()]
        store(tmp_path / "data", symbol, known["timestamp"], values)
    sweep(variants(walked.parent), asked(tmp_path / "data", tmp_path / "out", over=OVER), routes, Here(), silent)
    before, after = ([row for row in table(out) if row["fold"] == 0] for out in (walked, tmp_path / "out"))
    assert [row for row in before if row["part"] == "train"] == [row for row in after if row["part"] == "train"]
    assert [row["chosen"] for row in before] == [row["chosen"] for row in after]
    assert [row for row in before if row["part"] == "test"] != [row for row in after if row["part"] == "test"]


def test_bars_before_a_fold_warm_it_up(data: Path, walked: Path, tmp_path: Path) -> None:
    """A test run trades from its first due time on, with the indicators of all that came before, as a backtest from there does."""
    row = next(row for row in table(walked) if row["fold"] == 2 and row["part"] == "test" and row["chosen"])
    changes = {path: row[path] for path in ("strategies.momo.params.lookback", "strategies.momo.params.top")}
    config = variants(walked.parent).config(changes)
    first, last = (datetime.fromtimestamp(row[name] / 1000, UTC) for name in ("start", "end"))
    summary = runs.backtest(config, data, tmp_path / "out", first, last, routes)
    assert {name: row[name] for name in FIGURES} == {name: summary[name] for name in FIGURES}


def test_an_anchored_walk_begins_at_the_beginning(tmp_path: Path, data: Path) -> None:
    """Each fold chooses over all there was since the first bar."""
    over = Walk(timedelta(days=5), timedelta(days=4), anchored=True)
    sweep(variants(tmp_path), asked(data, tmp_path / "out", [SWEPT[1]], over=over), routes, Here(), silent)
    bars = [row["bars"] for row in table(tmp_path / "out") if row["part"] == "train"]
    assert bars == [120, 120, 216, 216]


def test_tests_are_joined_to_one_result(walked: Path) -> None:
    """The result out of sample is what the chosen combinations made one after the other."""
    found = opened(walked)
    rows = [row for row in table(walked) if row["chosen"] and row["part"] == "test"]
    grown, sharpe, above = found.outside
    assert grown == pytest.approx(prod(1 + row["return"] for row in rows) - 1)
    moves = np.concatenate([np.diff(row["curve"]) / row["curve"][:-1] for row in rows])
    assert sharpe == pytest.approx(moves.mean() / moves.std() * np.sqrt(365 * 24), rel=0.02)
    assert 0 < above < 1
    assert [step.rank for step in found.steps] == [
        sum(row["sharpe"] < own["sharpe"] for row in table(walked) if row["fold"] == own["fold"] and row["part"] == "test") / 5
        for own in rows
    ]


def test_a_period_too_short_for_a_fold_is_a_sentence(tmp_path: Path, data: Path) -> None:
    """A walk forward longer than the bars is refused before anything runs."""
    over = Walk(timedelta(days=50), timedelta(days=3), anchored=False)
    with pytest.raises(StartRefused, match=r"longer together than the period of 16\.\d+ days; make them shorter"):
        sweep(variants(tmp_path), asked(data, tmp_path / "out", over=over), routes, Here(), silent)


def test_nothing_is_chosen_of_nothing() -> None:
    """Of runs that have no objective none is chosen, and of equal ones the first is."""
    assert choice([float("nan")] * 3) is None
    assert choice([float("nan"), 1.0, 2.0, 2.0]) == 2


def test_the_page_of_a_walk_tells_folds_and_choices(walked: Path) -> None:
    """In sample against out of sample has a point for each combination in each fold, and the chosen ones apart."""
    found = opened(walked)
    drawn = figures_of(page.made(found))
    every, chosen = drawn["against"]["data"]
    assert len(every["x"]) == 6 * len(found.steps)
    assert len(chosen["x"]) == len(found.steps)
    assert {"forward", "choice-0", "choice-1", "stability-0", "map-0"} <= set(drawn)
    words = "\n".join(page.in_words(found))
    assert f"folds: {len(found.steps)}" in words
    assert "fold 1 chose lookback " in words
    numbers = page.in_numbers(found)
    assert numbers["folds"] == len(numbers["chosen"]) == len(found.steps)
    assert {"outside_sharpe", "overfitting"} <= numbers.keys()


@browser.needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_everything_is_drawn_and_nothing_overlaps(walked: Path, width: int, scheme: str) -> None:
    """Nothing is complained of, each figure is there, texts lie beside one another, and the page is as wide as the window."""
    with browser.opened(page.write(opened(walked)).as_uri(), width=width, scheme=scheme) as shown:
        figures = shown.page.locator("[data-figure]")
        assert figures.count() == 9
        for place in range(figures.count()):
            figures.nth(place).scroll_into_view_if_needed()
            figures.nth(place).locator(".main-svg .xtitle").first.wait_for()
        assert shown.page.evaluate("document.documentElement.scrollWidth") == width
        assert shown.page.evaluate(OVERLAPS) == []
        assert shown.page.evaluate(OUTSIDE) == []
        assert shown.complaints == []
