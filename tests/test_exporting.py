"""Journal tools: what a daemon has written comes out whole, adds up, and can be concluded once more."""

import csv
import json
import stat
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from daemon.cli.main import app
from daemon.config import load
from daemon.core.events import PlanMade
from daemon.core.planner import plan
from daemon.core.wave import intent
from daemon.io.journal import TABLES, read
from daemon.tools.exporting import COLUMNS
from daemon.tools.replaying import replayed
from daemon.venue.admin import dump
from tests.core.plans import some_case
from tests.io.journal_facts import START, a_decision, a_flow, an_order, life, open_journal, wave
from tests.oneprocess import at_work, exchange, written


def said(*arguments: str | Path) -> Result:
    """What `journal` does."""
    return CliRunner().invoke(app, ["journal", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
async def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose journal has an opening balance, a wave of three orders and two trades."""
    monkeypatch.chdir(tmp_path)
    first, second = an_order("BTC/USDT"), an_order("ETH/USDT")
    with open_journal(tmp_path / "momo.sqlite") as journal:
        await journal.commit(a_flow(amount="10000"), *wave(1))
        await journal.commit(*life(first, "7001", "42"), *life(second, "7002", "43"))
    return written(tmp_path, {}, mode="paper")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_every_table_is_a_file(form: str, config: Path, tmp_path: Path) -> None:
    """Each table has its columns, also where it has no rows, every row of the journal, and money to the last digit."""
    answer = said("export", config, "--out", tmp_path / "out", "--format", form, "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["rows"] == {"orders": 3, "fills": 2, "decisions": 3, "equity": 0, "flows": 1, "funding": 0}
    for name in TABLES:
        path = tmp_path / "out" / f"{name}.{form}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        rows: list[dict[str, Any]] = (
            list(csv.DictReader(path.read_text().splitlines())) if form == "csv" else parquet.read_table(path).to_pylist()
        )
        columns = path.read_text().splitlines()[0].split(",") if form == "csv" else parquet.read_table(path).column_names
        assert columns == list(COLUMNS[name])
        if name == "fills":
            assert [(row["trade_id"], row["amount"], row["fees"]) for row in rows] == [
                ("7001", "0.00120", "0.00000120 BTC"),
                ("7002", "0.00120", "0.00000120 BTC"),
            ]
        if name == "orders":
            assert [row["state"] or None for row in rows] == ["filled", "filled", None]


def test_what_cannot_be_exported_is_a_sentence(config: Path, tmp_path: Path) -> None:
    """A table, form or method that is not there, and a place that cannot be written, end in one sentence and leave no file."""
    (tmp_path / "file").touch()
    wrong = [
        (["export", "--out", "out", "--what", "orders,flils"], 2),
        (["export", "--out", "out", "--format", "xls"], 2),
        (["export", "--out", "file"], 1),
        (["trades", "--method", "lifo"], 2),
        (["trades", "--out", "file.xls"], 2),
    ]
    for (verb, *options), code in wrong:
        answer = said(verb, config, *options)
        assert (answer.exit_code, answer.stdout, len(answer.stderr.splitlines())) == (code, "", 1), (verb, options, answer.output)
    assert not (tmp_path / "out").exists()


def test_a_trade_table_of_a_year(config: Path, tmp_path: Path) -> None:
    """The fee in BTC of the purchase of ETH is named, since no such BTC had to be bought for it; other years have no rows."""
    out = tmp_path / "trades.csv"
    told = json.loads(said("trades", config, "--year", "2024", "--out", out, "--json").stdout)
    assert [(row["asset"], row["note"]) for row in told["rows"]] == [("BTC", "fee")]
    assert [row["note"] for row in csv.DictReader(out.read_text().splitlines())] == ["fee"]
    held = {each["asset"]: each for each in told["held"]}
    assert Decimal(held["BTC"]["amount"]) == Decimal("0.00120") - Decimal("0.00000240")
    assert json.loads(said("trades", config, "--year", "2023", "--json").stdout)["rows"] == []


# --- replay ----------------------------------------------------------------------------------------------------------


async def _with_plan(folder: Path, **changes: Any) -> Path:
    """A journal with one plan and the orders it makes, of which some are not as they were made."""
    inputs = some_case(5)
    made = plan(inputs)
    decision = a_decision()
    orders = tuple(intent("momo|paper", decision.id, leg, 1, START, {}) for leg in made.legs)
    told = PlanMade(decision.id, 1, orders, made.left, START, made.changed, made.needs, inputs)
    with open_journal(folder / "momo.sqlite") as journal:
        await journal.commit(decision, *changes.get("orders", lambda them: them)(orders), changes.get("plan", lambda it: it)(told))
    return written(folder, {}, mode="paper")


async def test_a_plan_is_the_same_once_more(tmp_path: Path) -> None:
    """The recorded inputs give the recorded orders and reasons, to the id."""
    config = await _with_plan(tmp_path)
    outcome = replayed(tmp_path / "momo.sqlite", load(config, {}), None)
    assert (outcome.plans, outcome.differs) == (1, [])
    assert outcome.passed_over == {"decisions whose slices the journal does not have (any more)": 1}


@pytest.mark.parametrize("what", ["an order is larger", "an order is missing", "other targets"])
async def test_where_a_plan_differs_is_said(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that the inputs do not give, one that is missing, or other targets: each is a sentence with its plan, and code 1."""
    monkeypatch.chdir(tmp_path)
    changes: dict[str, Any] = {
        "an order is larger": {"orders": lambda them: (replace(them[0], amount=them[0].amount * 2), *them[1:])},
        "an order is missing": {"orders": lambda them: them[1:]},
        "other targets": {"plan": lambda it: replace(it, changed={"NEW/USDT": 0.5})},
    }[what]
    answer = said("replay", await _with_plan(tmp_path, **changes))
    assert answer.exit_code == 1
    (line,) = answer.stderr.splitlines()
    assert line.startswith("plan 1 of decision-1 (inputs ")


async def test_a_daemons_life_is_the_same_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All plans that a daemon made over real sockets, and its decisions over the bars that the exchange has served, come out the same."""
    monkeypatch.chdir(tmp_path)
    async with exchange() as venue:
        config = written(tmp_path, venue.ccxt_urls())
        async with at_work(config) as run:
            first = await run.settled()
            await run.settled(sent=0, after=first.decision.id)
        (tmp_path / "bars").mkdir()
        dump(venue.exchange, tmp_path / "bars", venue.exchange.markets)
    settings = load(config, {})
    for data in (None, tmp_path / "bars"):
        outcome = replayed(run.path, settings, data)
        assert outcome.differs == []
        assert outcome.plans >= 1
        assert outcome.decisions >= 1
    record = read(run.path)
    assert len(json.loads(said("trades", config, "--json").stdout)["held"]) == len({fill.symbol for fill in record.fills})
    assert said("export", config, "--out", "out").exit_code == 0
