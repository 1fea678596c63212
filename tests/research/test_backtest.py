"""The backtest: fills at the next open, money that adds up, nothing that knows the future, and the same bytes for the same inputs."""

import json
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from daemon.app import routes
from daemon.cli.main import app
from daemon.config import load
from daemon.core.model import epoch_ms, from_epoch_ms
from daemon.core.plain import rfc3339
from daemon.research import bars as stored_bars
from daemon.research import runs
from tests.research.files import HOUR, START, configured, opens, read, store, stored, walk

SYMBOLS = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
HOLES = {"A/USDT": [0, 1, 60, 61, 100], "B/USDT": [40, 100, 101], "C/USDT": [12, 13, 14, 100], "D/USDT": [100]}
FILES = ("equity", "targets", "signals", "orders", "fills", "limits", "funding", "closes", "returns", "correlations")
ROWS = 200


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four symbols with gaps, one of them common to all."""
    return stored(tmp_path_factory.mktemp("data"), ROWS, SYMBOLS, HOLES)


def run(
    folder: Path, data: Path, start: datetime | None = None, end: datetime | None = None, **sections: object
) -> tuple[Path, dict[str, Any]]:
    """One run; its directory and its summary."""
    folder.mkdir(parents=True, exist_ok=True)
    config = configured(folder, SYMBOLS, **{"execution": {"band": 0.005}} | sections)
    summary = runs.backtest(load(config, {}), data, folder / "out", start, end, routes)
    return folder / "out", summary


def test_fills_are_at_the_next_bars_open(tmp_path: Path, data: Path) -> None:
    """Every order fills at the open of its symbol's first bar after the decision, five basis points worse, and pays its fee."""
    out, _ = run(tmp_path, data)
    series = stored_bars.load(data, SYMBOLS, HOUR).series
    orders = {row["order_id"]: row for row in read(out, "orders")}
    fills = read(out, "fills")
    assert len(fills) > 40
    for fill in fills:
        order, bars = orders[fill["order_id"]], series[fill["symbol"]]
        opens = bars.closes - 3_600_000
        row = int(np.searchsorted(opens, order["timestamp"]))
        assert fill["timestamp"] == opens[row]
        sign = 1 if fill["side"] == "buy" else -1
        assert fill["price"] == pytest.approx(bars.values[row, 0] * (1 + sign * 0.0005), rel=1e-12)
        assert fill["decision_id"] == order["decision_id"]
        in_base = fill["side"] == "buy"
        assert fill["fee_asset"] == (fill["symbol"].split("/")[0] if in_base else "USDT")
        assert fill["fee"] == pytest.approx(fill["amount"] * (1 if in_base else fill["price"]) * 0.001, abs=1e-8)
    late = [f for f in fills if f["timestamp"] > orders[f["order_id"]]["timestamp"]]
    assert late, "some decision lies before a gap"


@pytest.mark.parametrize("backtest", [{}, {"fills": "twap", "impact": 0.3, "volume_max": 0.5}], ids=["open", "in parts"])
def test_equity_is_what_the_fills_leave_at_the_closes(tmp_path: Path, data: Path, backtest: dict[str, Any]) -> None:
    """Cash and holdings folded from the fills, valued at the last closes, are the equity of every row."""
    out, summary = run(tmp_path, data, backtest=backtest)
    series = stored_bars.load(data, SYMBOLS, HOUR).series
    fills = read(out, "fills")
    peak = 0.0
    for row in read(out, "equity"):
        held: dict[str, float] = defaultdict(float, {"USDT": 10_000.0})
        for fill in (f for f in fills if f["timestamp"] < row["timestamp"]):
            base, sign = fill["symbol"].split("/")[0], 1 if fill["side"] == "buy" else -1
            held[base] += sign * fill["amount"]
            held["USDT"] -= sign * fill["amount"] * fill["price"]
            held[fill["fee_asset"]] -= fill["fee"]
        values = {}
        for symbol, bars in series.items():
            last = int(np.searchsorted(bars.closes, row["timestamp"], side="right")) - 1
            values[symbol] = held[symbol.split("/")[0]] * bars.values[last, 3] if last >= 0 else 0.0
        equity = held["USDT"] + sum(values.values())
        peak = max(peak, equity)
        assert row["cash"] == pytest.approx(held["USDT"], abs=1e-6)
        assert row["equity"] == pytest.approx(equity, rel=1e-9)
        assert row["gross"] == pytest.approx(sum(map(abs, values.values())) / equity, abs=1e-9)
        assert row["drawdown"] == pytest.approx(1 - equity / peak, abs=1e-9)
    assert summary["final_equity"] == row["equity"]
    assert summary["trades"] == len(fills)


def test_same_inputs_same_bytes(tmp_path: Path, data: Path) -> None:
    """Two runs differ in nothing but the time they took."""
    (one, first), (two, second) = run(tmp_path / "one", data), run(tmp_path / "two", data)
    for name in FILES:
        assert (one / f"{name}.parquet").read_bytes() == (two / f"{name}.parquet").read_bytes(), name
    for summary in (first, second):
        assert summary.pop("wall_s") > 0
        assert summary.pop("symbol_bars_per_s") > 0
    assert first == second


def test_the_future_changes_nothing(tmp_path: Path, data: Path) -> None:
    """A run that ends earlier is the beginning of one that goes on; only fills need the bar after."""
    end = START + 120 * HOUR
    (whole, _), (cut, _) = run(tmp_path / "whole", data), run(tmp_path / "cut", data, end=end)
    until = epoch_ms(end)
    for name, time in (("equity", "timestamp"), ("targets", "timestamp"), ("signals", "bar_open"), ("orders", "timestamp")):
        last = until - 3_600_000 if time == "bar_open" else until
        expected, found = ([row for row in read(out, name) if row[time] <= last] for out in (whole, cut))
        if name == "orders":  # what the last decision had to pay for, and with which fill, is known later
            expected, found = ([row for row in rows if row[time] < last] for rows in (expected, found))
        assert found == expected, name
        assert found
    assert all(row["timestamp"] < until for row in read(cut, "fills"))


def test_history_starts_at_the_first_bar(tmp_path: Path, data: Path) -> None:
    """A later start decides later, on the very numbers that the whole run has; the account begins there."""
    start = START + 100 * HOUR
    (whole, _), (late, summary) = run(tmp_path / "whole", data), run(tmp_path / "late", data, start=start)
    opened = epoch_ms(start) - 3_600_000
    assert read(late, "signals") == [row for row in read(whole, "signals") if row["bar_open"] >= opened]
    assert min(row["timestamp"] for row in read(late, "targets")) >= epoch_ms(start)
    assert summary["period"]["start"] == "2024-01-05T04:00:00Z"
    assert summary["symbol_bars"] == stored_bars.load(data, SYMBOLS, HOUR).symbol_bars
    assert read(late, "equity")[0]["equity"] == 10_000.0


def test_signals_are_on_every_bar_once_warm(tmp_path: Path, data: Path) -> None:
    """The momentum score of every bar, due or not, synthetic or real, equals one computed from forward-filled closes in two passes."""
    out, _ = run(tmp_path, data)
    found = {(row["bar_open"], row["symbol"]): row["value"] for row in read(out, "signals") if row["name"] == "score"}
    bars = stored_bars.load(data, SYMBOLS, HOUR)
    times = sorted({close for each in bars.series.values() for close in each.closes.tolist()})
    expected = {}
    for symbol, each in bars.series.items():
        known = [time for time in times if time >= each.closes[0]]
        closes = np.array([each.values[np.searchsorted(each.closes, time, side="right") - 1, 3] for time in known])
        for i in range(5, len(known)):
            momentum = closes[i] / closes[i - 5] - 1
            trend = 1 if closes[i] > closes[i - 4 : i + 1].mean() else -1
            expected[known[i] - 3_600_000, symbol] = 0.5 * momentum + 0.003 * (50 - _rsi(closes[: i + 1], 3)) + 0.1 * trend
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=1e-9), key


def _rsi(closes: np.ndarray[Any, Any], period: int) -> float:
    """Wilder's, from the first close on."""
    moves = np.diff(closes)
    up, down = np.maximum(moves, 0.0), np.maximum(-moves, 0.0)
    gain, loss = up[:period].mean(), down[:period].mean()
    for i in range(period, len(moves)):
        gain, loss = (gain * (period - 1) + up[i]) / period, (loss * (period - 1) + down[i]) / period
    return 50.0 if gain == loss == 0 else float(100.0 * gain / (gain + loss))


def test_the_rules_of_the_venue_are_kept(tmp_path: Path) -> None:
    """With markets.json every amount lies on its grid and is worth its minimum; without it the summary says that there were no rules."""
    data = stored(tmp_path / "data", ROWS, SYMBOLS)
    _, summary = run(tmp_path / "without", data)
    assert any("markets.json states no rules for A/USDT" in assumed["text"] for assumed in summary["assumptions"])
    rules = {symbol: {"amount_step": "0.5", "price_tick": "0.01", "amount_min": "0.5", "notional_min": "50"} for symbol in SYMBOLS}
    (data / "markets.json").write_text(json.dumps(rules))
    out, summary = run(tmp_path / "with", data)
    orders = read(out, "orders")
    assert orders
    assert all(row["amount"] % 0.5 == 0 and row["amount"] * row["price"] >= 50 for row in orders)
    assert not any("no rules" in assumed["text"] for assumed in summary["assumptions"])


def test_targets_are_a_full_set(tmp_path: Path, data: Path) -> None:
    """At each decision every symbol has a row for the strategy and one for the netted account, whose weights the limits have cut."""
    out, summary = run(tmp_path, data, risk={"weight_max": 0.3})
    targets = read(out, "targets")
    times = sorted({row["timestamp"] for row in targets})
    assert len(targets) == len(times) * 2 * len(SYMBOLS)
    assert all(time % (4 * 3_600_000) == 0 for time in times)
    assert max(row["weight"] for row in targets if row["strategy"] == "momo") == 0.4
    assert max(row["weight"] for row in targets if row["strategy"] == "*") == 0.3
    assert any("weights cut: weight_max" in note for note in summary["notes"])
    cuts = read(out, "limits")
    assert {(row["of"], row["reason"], row["wanted"], row["allowed"]) for row in cuts} == {("weight", "weight_max", 0.4, 0.3)}
    assert {row["decision_id"] for row in cuts} >= {row["decision_id"] for row in read(out, "orders") if row["side"] == "buy"}


def test_returns_and_correlations_are_of_the_period(tmp_path: Path, data: Path) -> None:
    """Returns are between closes, correlations a symmetric matrix with ones on its diagonal."""
    out, _ = run(tmp_path, data)
    matrix = {(row["symbol_a"], row["symbol_b"]): row["correlation"] for row in read(out, "correlations")}
    assert len(matrix) == len(SYMBOLS) ** 2
    for (a, b), value in matrix.items():
        assert value == matrix[b, a]
        assert -1 <= value <= 1
        assert a != b or value == pytest.approx(1.0)
    known = read(out, "closes")
    assert [row["timestamp"] for row in known] == [row["timestamp"] for row in read(out, "equity")]
    assert np.isnan(known[0]["A/USDT"])
    b = [row["return"] for row in read(out, "returns") if row["symbol"] == "B/USDT"]
    closes = stored_bars.load(data, SYMBOLS, HOUR).series["B/USDT"].values[:, 3]
    assert np.prod(np.array(b) + 1) == pytest.approx(closes[-1] / closes[0])
    assert list(dict.fromkeys(row["B/USDT"] for row in known)) == list(dict.fromkeys(closes.tolist()))


def test_the_verb_runs_and_answers(tmp_path: Path, data: Path) -> None:
    """`rebalanced backtest` writes its files and prints what came of it; a person's mistake is one sentence and its exit code."""
    config = configured(tmp_path, SYMBOLS)
    verb = ["backtest", str(config), "--data", str(data), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*verb, "--start", "2024-01-03", "--end", "2024-01-08T00:00Z"])
    assert done.exit_code == 0, done.output
    assert "2024-01-03T00:00:00Z to 2024-01-08T00:00:00Z" in done.output
    written = {*(f"{name}.parquet" for name in FILES), "summary.json", "report.html"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == written
    for more, code, sentence in (
        (["--start", "soon"], 2, "--start soon is not a moment"),
        (["--data", str(tmp_path)], 2, "there is no A_USDT-1h.parquet"),
        (["--start", "2030-01-01"], 2, "no bar closes at or after --start"),
    ):
        wrong = CliRunner().invoke(app, [*verb, *more])
        assert (wrong.exit_code, sentence in wrong.output) == (code, True), wrong.output


def test_prices_of_any_length_leave_no_drift(tmp_path: Path) -> None:
    """Amounts without steps times prices of all the digits that a float has are booked alike by account and ledger: trading goes on."""
    for seed, symbol in enumerate(SYMBOLS):
        store(tmp_path, symbol, opens(ROWS), walk(ROWS, seed, 10.0 ** (seed + 1)) * (1 + 1e-3 / 7))
    _, summary = run(tmp_path, tmp_path, paper={"balances": {"USDT": 1234567.891}})
    assert not [note for note in summary["notes"] if "drift" in note], summary["notes"]
    assert summary["trades"] > ROWS / 4


def test_an_account_without_quote_is_refused(tmp_path: Path, data: Path) -> None:
    """Where nothing can be bought there is nothing to test."""
    config = configured(tmp_path, SYMBOLS, mode="live", live={"i_understand": True}, paper={"balances": {"EUR": 5}})
    text = json.loads(config.read_text())
    text["exchange"]["credentials"] = {"api_key": {"env": "K"}, "secret": {"env": "S"}}
    config.write_text(json.dumps(text))
    wrong = CliRunner().invoke(app, ["backtest", str(config), "--data", str(data), "--out", str(tmp_path / "out")])
    assert (wrong.exit_code, "paper.balances has no USDT" in wrong.output) == (78, True), wrong.output


def test_a_drawdown_halts_a_backtest_to_its_end(tmp_path: Path, data: Path) -> None:
    """The breaker of the daemon acts here too, at the close that reaches its limit, and the notes say from when on nothing was traded."""
    out, summary = run(tmp_path / "halted", data, risk={"drawdown_halt": 0.03})
    (note,) = [warned["text"] for warned in summary["warnings"] if warned["code"] == "halted"]
    assert "since nobody resumes here: drawdown" in note
    below = [row for row in read(out, "equity") if row["drawdown"] >= 0.03]
    assert rfc3339(from_epoch_ms(below[0]["timestamp"])) in note
    assert max(row["timestamp"] for row in read(out, "orders")) <= below[0]["timestamp"]
    free, unhindered = run(tmp_path / "free", data, risk={"drawdown_halt": 0.99})
    assert not [warned for warned in unhindered["warnings"] if warned["code"] == "halted"]
    assert len(read(free, "orders")) > len(read(out, "orders"))


def test_an_account_that_grows_beyond_all_sense_is_one_sentence(tmp_path: Path) -> None:
    """Where prices grow till no amount can be kept exactly, the run ends with the time and what to look for, not with wrong digits."""
    rows = 120
    close = 100.0 * 3.0 ** np.arange(rows)
    opened = np.concatenate([[100.0], close[:-1]])
    absurd = np.column_stack([opened, close, opened, close, np.full(rows, 1e9)])
    for symbol in SYMBOLS:
        store(tmp_path / "data", symbol, opens(rows), absurd)
    with pytest.raises(stored_bars.DataError, match=r"at 2024-01-0\dT\d\d:00:00Z an amount needs more digits .* absurd prices"):
        run(tmp_path, tmp_path / "data", risk={"breakers": {"price_spike": {"limit": 1000}}})
