"""What a person sees of an analysis and of a decision's story, and what the verbs do when nobody answers."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import respx
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.core.events import PlanMade, RiskLimited
from daemon.core.model import Decision, TargetWeights
from daemon.core.plain import plain
from daemon.screens import show
from daemon.screens.stories import analysis_screen, why_screen
from daemon.telling.why import from_journal
from tests.core.test_analyzer import BTC, World
from tests.io.journal_facts import START, a_settling, an_order, life, open_journal

URL = "http://127.0.0.1:8787"
DECISION = Decision(
    "decision-1", START, {BTC: 0.35}, frozenset(), {"momo": TargetWeights({BTC: 0.35}, signals={BTC: {"score": 0.0617}})}, START
)


def seen(screen: RenderableType, width: int = 100) -> str:
    """As it appears on a terminal."""
    out = io.StringIO()
    Console(file=out, width=width).print(screen)
    return out.getvalue()


def an_analysis() -> dict[str, Any]:
    """Of three symbols over a week of hours."""
    world = World()
    rng = np.random.default_rng(2)
    closes = np.array([100.0, 50.0, 10.0])
    for _ in range(170):
        closes = closes * (1 + 0.01 * rng.standard_normal(3))
        world.bar(*closes.tolist())
    told = plain(asdict(world.analyzer.report()))
    assert isinstance(told, dict)
    return told


async def a_story(path: Path) -> Mapping[str, object]:
    """A decision that was cut, and bought."""
    order = an_order()
    cut = RiskLimited("decision-1", BTC, 0.35, 0.25, "weight_max", START)
    with open_journal(path / "momo.sqlite") as journal:
        plan = PlanMade("decision-1", 1, (order,), {}, START)
        await journal.commit(DECISION, cut, order, plan, *life(order, "7001", "42"), a_settling(DECISION))
    told = plain(from_journal(path / "momo.sqlite", BTC, None, [BTC]))
    assert isinstance(told, dict)
    return told


def test_an_analysis_fits_a_terminal() -> None:
    """In 80 columns: no line is wider, and no number is cut short."""
    text = seen(analysis_screen(an_analysis()), 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    for word in ("return", "costs", "effective bets", "momo", "BTC/USDT", "mean correlation"):
        assert word in text


def test_an_analysis_of_nothing_is_shown_as_such() -> None:
    """Right after the start there are no numbers, and no error."""
    told = plain(World(cash="0").analyzer.report().account.effective_bets)
    assert told is None
    text = seen(analysis_screen({"account": {}, "symbols": [], "strategies": [], "correlation": {}}))
    assert "account since it has been read" in text


def test_a_large_matrix_is_told_by_its_extremes() -> None:
    """More symbols than a terminal is wide: the most and the least correlated pairs."""
    count = 20
    symbols = [f"C{k}/USDT" for k in range(count)]
    matrix = [[1.0 if i == j else (i + j) / 100 for j in range(count)] for i in range(count)]
    text = seen(
        analysis_screen({"correlation": {"symbols": symbols, "window": matrix, "mean_short": 0.2, "mean_long": 0.19, "high": True}})
    )
    assert "C18/USDT C19/USDT" in text
    assert "C0/USDT C1/USDT" in text
    assert "high" in text


@pytest.mark.parametrize("count", [9, 12])
def test_a_matrix_that_does_not_fit_is_told_by_its_extremes(count: int) -> None:
    """Whether a matrix is shown depends on the terminal: none is cut off at its edge."""
    symbols = [f"COIN{k}/USDT" for k in range(count)]
    told = {"correlation": {"symbols": symbols, "window": [[0.5] * count] * count, "mean_short": 0.2, "mean_long": 0.19}}
    for width in (80, 140):
        text = seen(analysis_screen(told), width)
        assert ("most correlated" in text) == (width == 80 and count == 12)
        assert max(map(len, text.splitlines())) <= width


def test_a_story_says_who_is_disabled() -> None:
    """Also where there has been no decision, which may be the reason."""
    told = {"symbol": BTC, "decision_id": None, "summary": "there has been no decision yet", "disabled": {"own": "it raised"}}
    assert "own is disabled until the next start, its last targets stand: it raised" in seen(why_screen(told))


async def test_a_story_is_one_screen(tmp_path: Path) -> None:
    """Signals, weight asked, limit, plan, order, trade and end, within 40 lines."""
    text = seen(why_screen(await a_story(tmp_path)))
    for part in ("momo", "score", "0.0617", "35.00% -> 25.00%  weight_max", "round 1: 1 order", "trade 7001", "closed  filled", "settled"):
        assert part in text
    assert len(text.splitlines()) < 40


async def test_a_story_cannot_command_the_terminal(tmp_path: Path) -> None:
    """Words of a venue are text: no control characters, no markup."""
    told = dict(await a_story(tmp_path)) | {"summary": "\x1b[31m[bold]red"}
    text = seen(why_screen(told))
    assert "\x1b" not in text
    assert "[bold]red" in text


def test_a_symbol_without_a_decision_is_shown_as_it_stands() -> None:
    """Before the first decision there is the holding alone."""
    now = {"amount": "0.5", "price": "100", "weight": 0.1, "target": None}
    text = seen(why_screen({"symbol": BTC, "decision_id": None, "summary": "there has been no decision yet", "now": now}))
    assert "there has been no decision yet" in text
    assert "now 0.5 at 100, 10.00% of equity against a target of -" in text


def test_what_is_kept_apart_is_shown_with_its_reason() -> None:
    """How much, since when, and whose it was."""
    kept = [{"amount": "0.5", "strategy": "gone", "since": "2024-05-17T12:30:15Z", "says": "gone left it"}]
    text = seen(why_screen({"symbol": BTC, "decision_id": None, "summary": "nothing yet", "now": None, "kept_apart": kept}))
    assert "0.5 kept apart since 2024-05-17 12:30:15, not traded: gone left it" in text


@respx.mock
def test_why_asks_the_daemon() -> None:
    """The symbol is escaped, the decision is a query, and the answer is the API's own with --json."""
    asked = respx.get(f"{URL}/api/v1/why/BTC%2FUSDT", params={"decision": "d1"}).respond(json={"symbol": BTC, "decision_id": None})
    answer = CliRunner().invoke(app, ["why", BTC, "--decision", "d1", "--json"])
    assert (answer.exit_code, json.loads(answer.stdout)) == (0, {"symbol": BTC, "decision_id": None})
    assert asked.called


@respx.mock
def test_analysis_asks_the_daemon() -> None:
    """As every reading verb."""
    respx.get(f"{URL}/api/v1/analysis").respond(json=an_analysis())
    answer = CliRunner().invoke(app, ["analysis"])
    assert answer.exit_code == 0
    assert "effective bets" in answer.stdout


@respx.mock
def test_without_a_daemon_why_reads_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --config the file says where the record is; without, or where there is none, one sentence says what is missing."""
    respx.get(url__startswith=URL).mock(side_effect=httpx.ConnectError("refused"))
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "momo.yaml"
    settings = {
        "name": "momo",
        "mode": "paper",
        "exchange": {"id": "binance"},
        "universe": {"quote": "USDT", "symbols": [BTC]},
        "timeframe": "1h",
        "strategies": [{"name": "momo", "use": "portfolio_momentum"}],
        "journal": {"path": str(tmp_path / "momo.sqlite")},
    }
    config.write_text(json.dumps(settings))
    bare = CliRunner().invoke(app, ["why", BTC])
    assert (bare.exit_code, "(with a CONFIG, the journal is read without one)" in bare.stderr) == (1, True)
    without = CliRunner().invoke(app, ["why", BTC, "--config", str(config)])
    assert (without.exit_code, "there is no journal" in without.stderr) == (1, True)
    with open_journal(tmp_path / "momo.sqlite"):
        pass
    empty = CliRunner().invoke(app, ["why", BTC, "--config", str(config), "--json"])
    assert json.loads(empty.stdout)["summary"] == "there has been no decision yet"
    unknown = CliRunner().invoke(app, ["why", "DOGE", "--config", str(config)])
    assert (unknown.exit_code, unknown.stderr) == (1, "DOGE is not in the universe, which has BTC/USDT\n")


@respx.mock
def test_a_daemon_that_refuses_is_not_bypassed() -> None:
    """An answer of the daemon, a refusal too, is the answer: the file is read only while nobody is there."""
    respx.get(url__startswith=URL).respond(404, json={"error": "DOGE is not in the universe"})
    with pytest.raises(show.NoAnswer, match="DOGE is not in the universe"):
        show.fetch_why(URL, "DOGE", None)
