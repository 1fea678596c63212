"""The screen: it finds the pair that reverts, measures how fast, and lets nothing of the second half into the fit."""

import json
from datetime import timedelta
from itertools import combinations
from math import exp, inf, isnan, log
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.core.model import Floats
from daemon.research.screen import HALF_MIN, T_REVERTS, as_table, hedge, reversion, screen
from tests.research.files import configured, opens, store, stored, walk
from tests.test_screens import seen

SYMBOLS = ("A/USDT", "B/USDT", "C/USDT")


def an_ar1(seed: int, phi: float, count: int) -> Floats:
    """A series that keeps `phi` of its deviation a row."""
    rng = np.random.default_rng(seed)
    values = np.zeros(count)
    for k in range(1, count):
        values[k] = phi * values[k - 1] + 0.01 * rng.standard_normal()
    return values


def some_closes(seed: int = 4, count: int = 6000) -> Floats:
    """A walks, B follows A but for a spread with a half-life of 20 bars, C walks alone."""
    rng = np.random.default_rng(seed)
    a, c = (np.cumsum(0.01 * rng.standard_normal(count)) for _ in range(2))
    spread = an_ar1(seed + 1, 0.5 ** (1 / 20), count)
    closes: Floats = np.exp(np.stack((0.8 * a + spread, a, c), axis=1))
    return closes


def test_a_decay_without_noise_is_exact() -> None:
    """What loses a tenth a bar has half left after ln 2 / -ln 0.9 bars."""
    decay: Floats = 0.9 ** np.arange(50, dtype=np.float64)
    assert reversion(decay).half_life == pytest.approx(log(2) / -log(0.9), rel=1e-9)


@pytest.mark.parametrize("half_life", [5.0, 20.0, 100.0])
def test_the_half_life_of_a_known_process_is_found(half_life: float) -> None:
    """An AR(1) of known speed, many rows: found within a fifth, and surely reverting."""
    found = reversion(an_ar1(11, 0.5 ** (1 / half_life), 40_000))
    assert found.half_life == pytest.approx(half_life, rel=0.2)
    assert found.t < T_REVERTS


def test_t_is_that_of_the_regression() -> None:
    """Against the closed form by matrices: coefficient over its standard error, with a constant."""
    spread = an_ar1(3, 0.9, 300)
    x = np.stack((np.ones(299), spread[:-1]), axis=1)
    y = np.diff(spread)
    coefficients = np.linalg.solve(x.T @ x, x.T @ y)
    rest = y - x @ coefficients
    error = np.sqrt(rest @ rest / 297 * np.linalg.inv(x.T @ x)[1, 1])
    assert reversion(spread).t == pytest.approx(coefficients[1] / error, rel=1e-9)
    assert reversion(spread).half_life == pytest.approx(log(2) / -log(1 + coefficients[1]), rel=1e-9)


def test_what_does_not_come_back_has_no_half_life() -> None:
    """A series that runs away, one that stands still, and one that is back within the bar."""
    assert reversion(np.array([exp(k / 10) for k in range(50)])).half_life == inf
    still = reversion(np.ones(50))
    assert (still.half_life, isnan(still.t)) == (inf, True)
    assert reversion(np.array([1.0, -1.0] * 25)).half_life == 0.0


def test_random_walks_seldom_pass() -> None:
    """Of 200 walks about one in twenty is below the bound: its size is what it claims."""
    rng = np.random.default_rng(8)
    passed = sum(reversion(np.cumsum(rng.standard_normal(1000))).t < T_REVERTS for _ in range(200))
    assert 2 <= passed <= 20


def test_the_hedge_is_least_squares() -> None:
    """The slope with a constant; nothing to hedge with gives 0."""
    b = an_ar1(5, 0.99, 500)
    assert hedge(3.0 + 0.7 * b, b) == pytest.approx(0.7)
    assert hedge(b, np.ones(500)) == 0.0


def test_the_pair_that_reverts_is_first_and_has_held() -> None:
    """Of three symbols, the two that belong together, with the beta and the half-life they were made with."""
    best, *others = screen(some_closes(), SYMBOLS)
    assert (best.a, best.b, best.held) == ("A/USDT", "B/USDT", True)
    assert best.beta == pytest.approx(0.8, abs=0.05)
    assert best.half_life_first == pytest.approx(20, rel=0.35)
    assert not any(pair.held for pair in others)
    assert len(others) == 2


def test_the_second_half_does_not_reach_the_fit() -> None:
    """Whatever happens in the second half, what is said of the first stays to the bit; and the second half's change is seen."""
    closes = some_closes()
    other = closes.copy()
    rng = np.random.default_rng(9)
    other[3000:, 0] = closes[3000, 0] * np.exp(np.cumsum(0.02 * rng.standard_normal(3000)))
    before = {(pair.a, pair.b): pair for pair in screen(closes, SYMBOLS)}[("A/USDT", "B/USDT")]
    after = {(pair.a, pair.b): pair for pair in screen(other, SYMBOLS)}[("A/USDT", "B/USDT")]
    for name in ("beta", "correlation_first", "half_life_first", "t_first"):
        assert getattr(before, name) == getattr(after, name)
    assert (before.held, after.held) == (True, False)


def test_only_common_history_counts() -> None:
    """A pair is judged from the later one's first bar on; with too little in common it is left out."""
    closes = some_closes(count=1000)
    closes[:400, 0] = np.nan
    closes[: 1000 - 2 * HALF_MIN + 1, 2] = np.nan
    assert [(pair.a, pair.b, pair.bars) for pair in screen(closes, SYMBOLS)] == [("A/USDT", "B/USDT", 600)]


def test_a_symbol_that_never_moves_ends_nothing() -> None:
    """A dead market makes no pair, and the others are ranked as without it."""
    closes = some_closes(count=1000)
    closes[:, 2] = 1.0
    pairs = screen(closes, SYMBOLS)
    assert pairs == screen(closes[:, :2], SYMBOLS[:2])
    text = seen(as_table(pairs, 3, timedelta(hours=1), 3), 80)
    assert text.splitlines()[2].split()[1:3] == ["A/USDT", "B/USDT"]
    assert "left out, with fewer than 200 bars in common or a price that stands still: 2 pairs" in " ".join(text.split())


def test_the_verb_prints_a_table_or_everything(tmp_path: Path) -> None:
    """A row a pair, as many as asked for; with --json every pair, and null for what is infinite."""
    symbols = ["BTC/USDT", "ETH/USDT", "SOL/USDT"]
    data = str(stored(tmp_path / "data", 500, symbols))
    config = str(configured(tmp_path, symbols))
    table = CliRunner().invoke(app, ["screen", config, "--data", data, "--top", "1"])
    assert table.exit_code == 0
    assert "2 more pairs with --json or --top" in table.stdout
    pairs = json.loads(CliRunner().invoke(app, ["screen", config, "--data", data, "--json"]).stdout)
    assert {(pair["a"], pair["b"], pair["bars"]) for pair in pairs} == {(a, b, 500) for a, b in combinations(symbols, 2)}


def two(folder: Path, rows: int, first: int, second: int) -> Path:
    """Two symbols, each with its own part of the time; the prices of the second one never move."""
    times = opens(rows)
    store(folder, "BTC/USDT", times[:first], walk(rows, 1)[:first])
    store(folder, "ETH/USDT", times[rows - second :], np.full((second, 5), 7.0))
    return folder


def test_the_verb_says_what_is_missing(tmp_path: Path) -> None:
    """Whatever keeps it from ranking a single pair is one sentence that says what to do."""
    symbols = ["BTC/USDT", "ETH/USDT"]
    config = configured(tmp_path, symbols)
    alone = tmp_path / "alone.yaml"
    alone.write_text(config.read_text().replace(', "ETH/USDT"', ""))
    for which, data, said in (
        (config, tmp_path, "BTC_USDT-1h.parquet"),
        (config, tmp_path / "nowhere", "nowhere is not a directory; name the one that has BTC_USDT-1h.parquet by --data"),
        (config, stored(tmp_path / "few", 50, symbols), "BTC/USDT and ETH/USDT have 50, the others no more; store longer histories"),
        (config, two(tmp_path / "apart", 900, 500, 500), "BTC/USDT and ETH/USDT have 100, the others no more"),
        (config, two(tmp_path / "never", 900, 400, 400), "BTC/USDT and ETH/USDT have 0, the others no more"),
        (config, two(tmp_path / "still", 900, 900, 900), "of no two symbols of"),
        (alone, tmp_path / "few", "universe.symbols has one symbol, and a pair has two; add others"),
    ):
        answer = CliRunner().invoke(app, ["screen", str(which), "--data", str(data)])
        assert (answer.exit_code, len(answer.stderr.splitlines())) == (2, 1)
        assert said in answer.stderr


def test_pairs_that_are_left_out_are_counted(tmp_path: Path) -> None:
    """A young symbol's pairs are not there, and that is said; the bars of those that are there differ, and that too."""
    symbols = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT"]
    data = stored(tmp_path / "data", 500, symbols, {"SOL/USDT": range(200), "XRP/USDT": range(400)})
    done = CliRunner().invoke(app, ["screen", str(configured(tmp_path, symbols)), "--data", str(data)])
    assert done.exit_code == 0
    assert "a price that stands still: 3 pairs" in " ".join(done.stdout.split())
    assert "of 300 to 500 bars of 1h" in done.stdout
