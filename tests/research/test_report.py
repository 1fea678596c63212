"""The report: its numbers are the summary's, what belongs together adds up, and the page is safe and whole by itself."""

import base64
import hashlib
import html
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from daemon.app import routes
from daemon.cli.main import app
from daemon.config import load
from daemon.core.model import epoch_ms
from daemon.research import runs
from daemon.research.report import making, measures
from daemon.research.report.run import Run, open_run
from daemon.research.report.thinning import evenly, extremes
from tests.research.files import HOUR, START, configured, read, stored

SYMBOLS = ("B/USDT", "A/USDT", "C/USDT", "D/USDT")
ROWS = 1500
MARKUP = "<b>&\"'</script><script>alert(1)</script>"
BAR = 3_600_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two months of two strategies over symbols with gaps, one of which begins late, under a limit; some coins are owned before."""
    folder = tmp_path_factory.mktemp("run")
    data = stored(folder / "data", ROWS, sorted(SYMBOLS), {"A/USDT": [60, 61, 300], "C/USDT": range(200)})
    config = configured(
        folder,
        SYMBOLS,
        risk={"weight_max": 0.3},
        paper={"balances": {"USDT": 10000, "B": 2}},
        strategies=[
            {"name": "momo", "use": "portfolio_momentum", "schedule": {"every": 4}, "share": 0.7, "params": {"lookback": 5, "top": 2}},
            {"name": "pair", "use": "pairs", "share": 0.3, "schedule": {"every": 4}, "params": PAIR},
        ],
    )
    runs.backtest(load(config, {}), data, folder / "out", START + 20 * HOUR, None, routes)
    return open_run(folder / "out")


PAIR = {"pair": ["A/USDT", "B/USDT"], "lookback": 10, "mode": "long_only", "size": 0.5}


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    """Its report."""
    return making.write(run.folder).read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    """What the script of a page reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    told: dict[str, Any] = json.loads(found.group(1))
    return told


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_the_headlines_are_the_summarys(run: Run, page: str) -> None:
    """Every figure of the first screen carries the very number of summary.json, and shows it rounded."""
    found = dict(re.findall(r'<dd data-key="(\w+)" data-value="([^"]*)"', page))
    assert {key: float(value) for key, value in found.items()} == {key: float(run.summary[key]) for key, *_ in making.HEADLINES}
    assert f">{run.summary['return']:.2%}".replace("%", " %") in page


def test_assumptions_and_warnings_stand_on_the_page(run: Run, page: str) -> None:
    """Each sentence and code of the summary is there, warnings before assumptions."""
    for kind in ("warnings", "assumptions"):
        assert run.summary[kind]
        for told in run.summary[kind]:
            assert f"{html.escape(told['text'])} <code>{told['code']}</code>" in page
    assert page.index('id="warnings"') < page.index('id="assumptions"') < page.index('id="equity"')


def test_contributions_add_up(run: Run) -> None:
    """Profits are the change of equity, fees the summary's, shares of risk are one, and weights at each bar the equity file's gross."""
    parts = measures.parts(run)
    equity = run.equity["equity"]
    assert sum(part.profit for part in parts) == pytest.approx(equity[-1] - equity[0], abs=1e-6)
    assert measures.unexplained(run, parts) == pytest.approx(0.0, abs=1e-6)
    assert sum(part.fees for part in parts) == pytest.approx(run.summary["fees"])
    assert sum(part.risk for part in parts) == pytest.approx(1.0)
    np.testing.assert_allclose(np.sum([np.abs(part.weights) for part in parts], axis=0), run.equity["gross"], atol=1e-9)
    assert sum(part.trades for part in parts) == run.summary["trades"]
    assert all(part.trades for part in parts)


def test_turnover_and_fees_are_the_summarys(run: Run) -> None:
    """What is drawn by month adds up to the whole."""
    assert measures.turnover(run).sum() == pytest.approx(run.summary["turnover"])
    assert measures.by_month(run, measures.turnover(run)).sum() == pytest.approx(run.summary["turnover"])
    assert measures.by_month(run, measures.fees(run)).sum() == pytest.approx(run.summary["fees"])


def test_the_shortfall_is_against_the_planned_price(run: Run) -> None:
    """What fills cost more than at the closes of their decisions: by hand, from orders and fills, and nothing of who pays less is lost."""
    planned = {order["order_id"]: order["price"] for order in read(run.folder, "orders")}
    found = measures.shortfall(run)
    for value, fill in zip(found, read(run.folder, "fills"), strict=True):
        more = fill["price"] - planned[fill["order_id"]] if fill["side"] == "buy" else planned[fill["order_id"]] - fill["price"]
        assert value == pytest.approx(more * fill["amount"], abs=1e-9)
    assert found.min() < 0 < found.sum()


def test_months_make_the_return(run: Run, page: str) -> None:
    """Months multiply to years and to the return of the period, and the table has them."""
    months, years = measures.monthly(run)
    assert list(months) == [(2024, 1), (2024, 2), (2024, 3)]
    assert np.prod([1 + value for value in months.values()]) == pytest.approx(1 + run.summary["return"])
    assert np.prod([1 + value for value in years.values()]) == pytest.approx(1 + run.summary["return"])
    told = [float(value) for value in re.findall(r'<td class="[^"]*" data-value="([^"]+)"', page)]
    assert told == [*months.values(), *years.values()]


def test_the_bar_that_closes_at_midnight_ends_a_month() -> None:
    """Of three bars around the turn of a month, the one that closes at it belongs to the old month."""
    turn = epoch_ms(datetime(2024, 2, 1, tzinfo=UTC))
    names, last = measures.months(np.array([turn - BAR, turn, turn + BAR]))
    assert names == [(2024, 1), (2024, 2)]
    assert last.tolist() == [1, 2]


def test_rolling_measures_are_those_of_each_window(run: Run) -> None:
    """The last of them, worked out in two passes, is the same; the window is 30 days, or a third of a short run."""
    times, sharpe, volatility = measures.rolling(run)
    length = measures.window(run)
    assert length == (ROWS - 19) // 3
    moves = measures.returns_of(run.equity["equity"])
    for place in (0, 100, len(times) - 1):
        seen = moves[place : place + length]
        assert volatility[place] == pytest.approx(seen.std() * np.sqrt(8760))
        assert sharpe[place] == pytest.approx(seen.mean() * 8760 / volatility[place])
    assert times[-1] == run.equity["timestamp"][-1]


def test_benchmarks_hold_from_the_first_bar_on(run: Run) -> None:
    """Equal amounts of what has a price then (not of what comes later), and all of the configuration's first symbol."""
    parts = measures.parts(run)
    begun = run.equity["equity"][0]
    first, curve = measures.held_first(run, parts)
    closes = {symbol: run.closes(symbol) for symbol in run.symbols}
    assert (first, curve[-1]) == ("B/USDT", pytest.approx(begun * closes["B/USDT"][-1] / closes["B/USDT"][0]))
    there = [closes[symbol][-1] / closes[symbol][0] for symbol in ("A/USDT", "B/USDT", "D/USDT")]
    assert measures.held_equally(run, parts)[-1] == pytest.approx(begun * np.mean(there))


def test_thinning_keeps_peaks_and_ends() -> None:
    """The highest, the lowest, the first and the last value of a long curve are drawn, in order, and little else."""
    values = np.random.default_rng(1).normal(size=100_003).cumsum()
    rows = extremes(values, 500)
    assert len(rows) <= 502
    assert np.all(np.diff(rows) > 0)
    assert {0, len(values) - 1, int(values.argmax()), int(values.argmin())} <= set(rows.tolist())
    assert extremes(values[:400], 500).tolist() == list(range(400))
    assert evenly(10, 3).tolist() == [0, 4, 9]
    assert evenly(0, 3).tolist() in ([], [0])


# --- figures and trades ----------------------------------------------------------------------------------------------


def test_every_axis_has_a_unit(page: str) -> None:
    """Each axis of each figure has a title, which names a unit in brackets or is a name that has none."""
    figures = data_of(page)["figures"]
    assert {"equity", "drawdown", "weights", "sharpe", "volatility", "return", "risk", "turnover", "costs", "correlation"} == figures.keys()
    for key, figure in figures.items():
        assert figure["data"], key
        for axis in ("xaxis", "yaxis"):
            title = figure["layout"][axis]["title"]["text"]
            assert title == "symbol" or re.search(r"\(.+\)$", title), (key, axis, title)
        assert f'data-figure="{key}"' in page


def test_curves_end_where_the_files_do(run: Run, page: str) -> None:
    """What is drawn begins and ends with the numbers of equity.parquet, at their times."""
    curve, *_ = data_of(page)["figures"]["equity"]["data"]
    assert (curve["x"][0], curve["x"][-1]) == (run.equity["timestamp"][0], run.equity["timestamp"][-1])
    assert curve["y"][-1] == pytest.approx(run.summary["final_equity"], rel=1e-5)
    fall = data_of(page)["figures"]["drawdown"]["data"][0]
    assert min(fall["y"]) == pytest.approx(-run.summary["max_drawdown"], rel=1e-5)


def test_a_trade_tells_why(run: Run, page: str) -> None:
    """Signals with rank, wishes, cuts and target of a decision are those of the files, and the holding is that of the bar before."""
    told = data_of(page)["trades"]
    fills = read(run.folder, "fills")
    assert told["total"] == len(told["rows"]) == len(fills)
    signals, targets, limits = (read(run.folder, name) for name in ("signals", "targets", "limits"))
    gross = dict(zip(run.equity["timestamp"].tolist(), run.equity["gross"].tolist(), strict=True))
    seen: set[tuple[str, str]] = set()
    for fill, row in zip(reversed(fills), told["rows"], strict=True):
        symbol = told["symbols"][row[1]]
        assert (row[0], symbol, row[2]) == (fill["timestamp"], fill["symbol"], fill["side"])
        why = told["whys"][row[-1]]
        if (why["decision"], symbol) in seen or len(seen) > 30:
            continue
        seen.add((why["decision"], symbol))
        assert why["decision"] == fill["decision_id"]
        assert why["held"] <= gross[why["at"]] + 1e-9
        mine = {t["strategy"]: t["weight"] for t in targets if (t["timestamp"], t["symbol"]) == (why["at"], symbol)}
        assert why["target"] == pytest.approx(mine.pop("*"))
        assert dict(why["asked"]) == pytest.approx(mine)
        cuts = {(c["reason"], c["of"]) for c in limits if (c["decision_id"], c["symbol"]) == (why["decision"], symbol)}
        assert {(cut[0], "weight" if cut[2] == "weight" else "amount") for cut in why["limits"]} == cuts
        here = [s for s in signals if s["bar_open"] == why["at"] - BAR]
        scores = {s["symbol"]: s["value"] for s in here if s["name"] == "score"}
        known = {tuple(told["labels"][label]): (value, rank) for label, value, rank in why["signals"]}
        rank = 1 + sum(value > scores[symbol] for value in scores.values())
        assert known["momo", symbol, "score", len(scores)] == (pytest.approx(scores[symbol]), rank)
        assert any(label[0] == "pair" for label in known) == any(s["strategy"] == "pair" for s in here)
    assert any(why["limits"] for why in told["whys"])
    assert any(label[1] == "*" for label in told["labels"])


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_needs_and_runs_nothing_else(page: str) -> None:
    """No address is loaded, and the policy names the hash of each script there is and forbids all others."""
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy.group(1).startswith("default-src 'none'; script-src 'sha256-")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"'sha256-([^']+)'", policy.group(1)) == hashes
    assert len(hashes) == 2
    markup = page
    for script in scripts:
        markup = markup.replace(script, "")
    assert not re.search(r"(src|href|url)\s*[=(]", markup)


def test_what_comes_from_a_run_is_text(run: Run, tmp_path: Path) -> None:
    """Markup in a name or a note is shown as it is written, and ends no element."""
    folder = tmp_path / "out"
    folder.mkdir()
    for path in run.folder.glob("*.parquet"):
        (folder / path.name).write_bytes(path.read_bytes())
    summary = json.loads((run.folder / "summary.json").read_text())
    summary["settings"]["name"] = MARKUP
    summary["notes"] = [MARKUP]
    (folder / "summary.json").write_text(json.dumps(summary))
    page = making.write(folder).read_text()
    assert page.count("alert(1)") >= 3
    assert "<script>alert" not in page
    assert page.count("<script") == 3
    assert data_of(page)["figures"]["equity"]["data"][0]["name"] == MARKUP


def test_a_run_of_one_bar_and_no_trade_has_a_report(tmp_path: Path) -> None:
    """Where there is nothing to say, nothing is made up, and nothing breaks."""
    data = stored(tmp_path / "data", 5, SYMBOLS)
    config = configured(tmp_path, SYMBOLS)
    end = START + timedelta(hours=1)
    runs.backtest(load(config, {}), data, tmp_path / "out", None, end, routes)
    page = making.write(tmp_path / "out").read_text()
    assert '<dd data-key="sharpe" data-value="">–</dd>' in page
    assert data_of(page)["trades"]["rows"] == []


def test_the_verbs_write_it(tmp_path: Path) -> None:
    """`backtest` leaves a report, `report` makes the same one anew, and a folder that is no run is named in a sentence."""
    data = stored(tmp_path / "data", 60, SYMBOLS)
    config, out = configured(tmp_path, SYMBOLS), tmp_path / "out"
    done = CliRunner().invoke(app, ["backtest", str(config), "--data", str(data), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert f"report in {out / 'report.html'}" in done.output
    first = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    again = CliRunner().invoke(app, ["report", str(out)])
    assert (again.exit_code, again.output) == (0, f"report in {out / 'report.html'}\n")
    assert (out / "report.html").read_bytes() == first
    wrong = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert wrong.exit_code == 2
    assert "is not the folder of a backtest: it has no summary.json" in wrong.output
    (out / "equity.parquet").unlink()
    missing = CliRunner().invoke(app, ["report", str(out)])
    assert missing.exit_code == 2
    assert "equity.parquet is missing; run `rebalanced backtest` again" in missing.output


# --- two runs --------------------------------------------------------------------------------------------------------


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    """`compare` has the numbers of both summaries, what differs in the settings and no more, and says what makes them hard to compare."""
    data = stored(tmp_path / "data", 400, SYMBOLS)
    ends = (None, START + 300 * HOUR)
    for name, every, end in zip(("one", "two"), (4, 8), ends, strict=True):
        (tmp_path / name).mkdir()
        strategy = {"name": "momo", "use": "portfolio_momentum", "schedule": {"every": every}, "params": {"lookback": 5, "top": 2}}
        config = configured(tmp_path / name, SYMBOLS, strategies=[strategy])
        runs.backtest(load(config, {}), data, tmp_path / name, None, end, routes)
    verb = ["compare", *(str(tmp_path / name) for name in ("one", "two")), "--out", str(tmp_path / "both.html")]
    done = CliRunner().invoke(app, verb, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("one", "two")]
    page = (tmp_path / "both.html").read_text()
    for summary in summaries:
        for shown in (f"{summary['final_equity']:,.2f}", f"{summary['sharpe']:.2f}", f"{summary['trades']:,}"):
            assert shown in done.output
            assert f"<td>{shown}</td>" in page
    settings = re.findall(r"^(strategies\S+|[a-z_]+\.\S+) .*$", done.output, re.MULTILINE)
    assert settings == ["strategies.0.schedule.every"]
    assert "they end at different times: 2024-01-17T16:00:00Z and 2024-01-13T12:00:00Z" in done.output
    assert "Hard to compare" in page
    assert {trace["name"] for trace in data_of(page)["figures"]["equity"]["data"]} == {str(tmp_path / name) for name in ("one", "two")}
    wrong = CliRunner().invoke(app, ["compare", str(tmp_path / "one"), str(tmp_path)])
    assert (wrong.exit_code, "is not the folder of a backtest" in wrong.output) == (2, True)
