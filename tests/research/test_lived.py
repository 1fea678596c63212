"""Lived: what a daemon has done is told by the page of a backtest, and stands beside one over the same bars."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.config import load
from daemon.core.events import EquityMarked, FlowBooked, OrderFilled, WaveSettled
from daemon.core.ledger import OPENING
from daemon.core.model import Decision, Fill, Flow, Money, Order, Side, TargetWeights
from daemon.io.clock import SystemClock
from daemon.io.journal import Journal
from daemon.research.report.run import open_run
from tests.research.files import HOUR, START, configured, read, stored

SYMBOLS = ("BTC/USDT", "ETH/USDT")
D = Decimal


def marked(hours: int, equity: str, value: float, contributed: str = "1000") -> EquityMarked:
    return EquityMarked(D(equity), D(equity), D(contributed), 0.5, 0.5, value, 0.0, START + hours * HOUR)


async def lived(folder: Path, *marks: EquityMarked) -> Path:
    """A journal: 1000 USDT, one decision at the second hour, one trade of it, and an equity by the hour."""
    at = START + 2 * HOUR
    signals = {"BTC/USDT": {"score": 0.5}, "ETH/USDT": {"score": -0.25}}
    decision = Decision("d1", at, {"BTC/USDT": 0.5}, frozenset(), {"momo": TargetWeights({"BTC/USDT": 0.5}, signals=signals)}, at)
    size: dict[str, Any] = {"symbol": "BTC/USDT", "side": Side.BUY, "amount": D(5)}
    intent = Order(id="o1", price=D(100), reserve=D(505), decision_id="d1", attempt=1, at=at + timedelta(seconds=1), **size)
    traded: dict[str, Any] = {"order_id": "o1", "venue_id": "77", "trade_id": "1", "at": at + timedelta(seconds=2), **size}
    fill = Fill(price=D("100.2"), cost=D(501), fees=(Money(D("0.5"), "USDT"),), **traded)
    wave = WaveSettled(decision, {"BTC/USDT": 0.45}, D(1000), 1, 1, {}, {}, {}, 30.0, 2000, at + timedelta(seconds=2))
    path = folder / "stored.sqlite"
    with Journal.open(path, instance="stored", mode="paper", clock=SystemClock()) as journal:
        await journal.commit(FlowBooked(Flow("opening-USDT", "USDT", D(1000), OPENING, START), START))
        await journal.commit(decision, intent)
        await journal.commit(OrderFilled(fill, fill.at), wave, *marks)
    return path


def told(*arguments: object) -> Mapping[str, Any]:
    """What `report --json` answers."""
    result = CliRunner().invoke(app, ["report", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    answer: Mapping[str, Any] = json.loads(result.stdout)
    return answer


def text(path: str) -> str:
    return Path(path).read_text()


MARKS = (marked(1, "1000", 1.0), marked(2, "1000", 1.0), marked(3, "1050", 1.05), marked(4, "1155", 1.155))


async def test_a_journal_alone_makes_a_page(tmp_path: Path) -> None:
    """The figures of the page are those of the journal: equity, fees, the trade and the decision behind it, without a configuration."""
    out = tmp_path / "report"
    page = text(told(await lived(tmp_path, *MARKS), "--out", out)["report"])
    summary = open_run(out).summary
    assert summary["final_equity"] == pytest.approx(1155)
    assert (summary["return"], summary["fees"], summary["trades"]) == (pytest.approx(0.155), 0.5, 1)
    assert "Live stored" in page
    (row,) = read(out, "fills")
    assert (row["symbol"], row["price"], row["decision_id"]) == ("BTC/USDT", 100.2, "d1")
    assert [row["weight"] for row in read(out, "targets") if row["strategy"] == "*"] == [0.45, 0.0]
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    (story,) = data["trades"]["whys"]
    assert (story["asked"], story["target"]) == ([["momo", 0.5]], 0.45)
    assert [value for _, value, _ in story["signals"]] == [0.5]
    assert story["held"] == 0, "before the trade, which a later mark knows of"
    assert data["trades"]["rows"][0][7] == "unknown"


async def test_a_trade_after_the_last_known_equity_is_left_out(tmp_path: Path) -> None:
    """The page does not know yet what it came to, and says that there is one."""
    told(await lived(tmp_path, *MARKS[:2]), "--out", tmp_path / "report")
    summary = open_run(tmp_path / "report").summary
    assert summary["trades"] == 0
    assert summary["notes"] == ["1 trades are younger than the last close whose equity is known, and left out"]


async def test_money_that_comes_is_no_gain(tmp_path: Path) -> None:
    """A deposit moves the account and not the curve, and the page says so."""
    marks = (*MARKS[:3], marked(4, "2155", 1.155, contributed="2000"))
    told(await lived(tmp_path, *marks), "--out", tmp_path / "report")
    summary = open_run(tmp_path / "report").summary
    assert summary["final_equity"] == pytest.approx(1155)
    assert any("1000 USDT have come in" in note and "worth 2155.00" in note for note in summary["notes"])


async def test_live_stands_beside_a_backtest_on_the_same_bars(tmp_path: Path) -> None:
    """With bars and a configuration, a backtest of the same time and money is put beside it, and prices between decisions are the bars'."""
    data, config = stored(tmp_path / "data", 40, SYMBOLS), configured(tmp_path, SYMBOLS)
    marks = [replace(MARKS[0], at=START + hours * HOUR) for hours in range(1, 31)]
    out = tmp_path / "report"
    answer = told(await lived(tmp_path, *marks), "--config", config, "--data", data, "--out", out)
    live, again = open_run(out), open_run(out / "backtest")
    assert {key: live.summary["period"][key] for key in ("start", "end", "bars")} == {
        key: again.summary["period"][key] for key in ("start", "end", "bars")
    }
    assert live.closes("ETH/USDT").tolist() == again.closes("ETH/USDT").tolist()
    assert again.equity["equity"][0] == 1000
    page = text(answer["compare"])
    assert "stored (live)" in page
    assert "stored (backtest)" in page
    assert load(config, {}).paper.balances != again.summary["settings"]["paper"]["balances"]


async def test_what_cannot_be_told_is_a_sentence(tmp_path: Path) -> None:
    """A journal without an equity, bars without a configuration and a directory of several journals end with what to do."""
    path = await lived(tmp_path)

    def said(*arguments: object) -> str:
        result = CliRunner().invoke(app, ["report", *map(str, arguments)])
        assert result.exit_code == 2, result.output
        return result.stderr

    assert "no two closes with an equity" in said(path)
    assert "name it with --config" in said(path, "--data", tmp_path)
    (tmp_path / "other.sqlite").touch()
    assert "other.sqlite, stored.sqlite" in said(tmp_path)
