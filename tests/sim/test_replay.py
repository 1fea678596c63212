"""Replaying a daemon's life: the slices in its journal give the decisions in it, over kills and requests, or it is said where not."""

import shutil
from collections.abc import Sequence
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from daemon.app import Daemon
from daemon.cli.main import app
from daemon.config import load
from daemon.core.events import RebalanceRequested
from daemon.core.model import Cause
from daemon.core.paper import PaperAccount
from daemon.io.journal import Tables, verify
from daemon.io.journal import tape as tape_module
from daemon.tools.replaying import replayed
from tests.sim.trouble import TroubledExchange, at_bar, configured, live
from tests.sim.virtual import SimClock

SYMBOLS: Final = ("A/USDT", "B/USDT", "C/USDT")
ROWS: Final = 100
KILLED_AT, BACK_AT = 45, 50
MOMENTUM: Final = {"lookback": 5, "rsi_period": 2, "top": 2}
PAIRS: Final = {"pair": ["A/USDT", "B/USDT"], "mode": "long_only", "lookback": 8, "entry": 1.0, "size": 0.2}


def drifting(base: float, turn: int) -> Sequence[float]:
    """Closes that rise and fall at paces of their own, so that ranks change and ratios leave their means."""
    return [round(base * (1 + 0.03 * ((row * turn) % 17) / 17 + 0.02 * ((row // turn) % 3)), 6) for row in range(60 + ROWS)]


CLOSES: Final = {symbol: drifting(10.0 * (n + 1), 3 + 2 * n) for n, symbol in enumerate(SYMBOLS)}


def written(folder: Path, **momentum: Any) -> Path:
    """Momentum and a pair in one account; `momentum` are other parameters than those it was run with."""
    strategies = [
        {"name": "momo", "use": "portfolio_momentum", "share": 0.6, "schedule": {"every": 3}, "params": {**MOMENTUM, **momentum}},
        {"name": "pair", "use": "pairs", "share": 0.4, "schedule": {"every": 1}, "params": PAIRS},
    ]
    return configured(folder, CLOSES, {}, {}, strategies=strategies)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a journal whose first daemon was killed amid its work, and whose second one was asked for a decision and ended."""
    first, folder = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("lived")

    accounts: list[PaperAccount] = []

    async def killed(_daemon: Daemon, exchange: TroubledExchange, clock: SimClock) -> None:
        await clock.sleep((at_bar(KILLED_AT) - clock.now()).total_seconds() + 0.05)  # orders are on their way
        for path in first.glob("sim.sqlite*"):
            shutil.copy(path, folder / path.name)
        accounts.append(deepcopy(exchange.account))

    async def asked(daemon: Daemon, _exchange: TroubledExchange, clock: SimClock) -> None:
        for row in range(BACK_AT + 8, BACK_AT + 28):  # momentum is due at some of them only, and wants something else at others
            await clock.sleep((at_bar(row) - clock.now() + timedelta(seconds=5)).total_seconds())
            daemon.traders[0].publish(RebalanceRequested("ann", clock.now()))

    def missing(exchange: TroubledExchange) -> None:
        exchange.silent = lambda symbol, now: symbol == "C/USDT" and at_bar(20) <= now < at_bar(22)

    def with_the_account(exchange: TroubledExchange) -> None:
        exchange.account = accounts[0]

    live(written(first), CLOSES, missing, killed, "A/USDT")
    live(written(folder), CLOSES, with_the_account, asked, "A/USDT", begins=BACK_AT)
    return folder


def test_a_life_with_a_kill_is_the_same_once_more(lived: Path) -> None:
    """Every decision of momentum and a pair, before a kill and after it and on request, is made again from the journal alone."""
    outcome = replayed(lived / "sim.sqlite", load(written(lived), {}), None)
    assert outcome.differs == []
    assert outcome.decisions > 35
    assert outcome.plans > 20
    with Tables(lived / "sim.sqlite") as tables:
        made = list(tables.every_decision())
    assert len(made) == outcome.decisions
    assert Cause.OPERATOR in {decision.cause for decision in made}
    assert outcome.passed_over == {}


def test_a_changed_strategy_is_found_with_the_first_decision_that_differs(lived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another parameter each decision that it changes is named, the oldest first, with the strategy and what it wanted."""
    monkeypatch.chdir(lived)
    config = written(lived, lookback=7)
    content = config.read_text().replace('"api"', '"journal": {"path": "sim.sqlite"}, "api"')
    config.write_text(content)
    answer = CliRunner().invoke(app, ["journal", "replay", str(config)])
    assert answer.exit_code == 1
    lines = answer.stderr.splitlines()
    assert all((line.startswith("decision ") and "momo" in line) or " of " in line for line in lines)
    named = [line.split()[1] for line in lines]
    assert named == sorted(named)


def test_what_was_shown_is_whole_and_bounded(lived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slices are sealed as every row, those that a start has read again are not written twice, and only the newest are kept."""
    rows = verify(lived / "sim.sqlite")
    assert rows["tapes"] == 2
    assert rows["slices"] < 60 + ROWS + 30
    monkeypatch.setattr(tape_module, "TAPE_BYTES", 3000)
    monkeypatch.setattr(tape_module, "LOOK_EVERY", 5)
    config = written(tmp_path)
    live(config, CLOSES, lambda _: None, _nothing, "A/USDT")
    assert verify(tmp_path / "sim.sqlite")["slices"] < 30
    outcome = replayed(tmp_path / "sim.sqlite", load(config, {}), None)
    assert outcome.differs == []
    assert list(outcome.passed_over) == ["decisions whose slices the journal does not have (any more)"]


def test_a_market_that_closes_does_not_stop_the_others(tmp_path: Path) -> None:
    """With one of three markets halted the rest is decided on and traded, until it is back; replaying says what it cannot make again."""
    halted, opened = at_bar(20), at_bar(50)

    def halt(exchange: TroubledExchange) -> None:
        exchange.silent = lambda symbol, closes_at: symbol == "C/USDT" and halted < closes_at <= opened
        exchange.halted = lambda symbol, now: symbol == "C/USDT" and halted < now <= opened

    config = written(tmp_path)
    life = live(config, CLOSES, halt, _nothing, "C/USDT")
    changed = [line["changed"]["active"] for line in life.lines if line["event"] == "market.changed"]
    assert changed == ["True -> False", "False -> True"]
    with Tables(tmp_path / "sim.sqlite") as tables:
        made = [decision for decision in tables.every_decision() if halted < decision.as_of <= opened]
    assert len(made) > 15
    assert all("C/USDT" in decision.keep for decision in made)
    assert {order.symbol for at, order in life.sent if halted + timedelta(seconds=5) < at <= opened} == {"A/USDT", "B/USDT"}
    outcome = replayed(tmp_path / "sim.sqlite", load(config, {}), None)
    assert outcome.differs == []
    assert outcome.passed_over == {"decisions while a market was closed, which the journal does not tell": len(made)}


async def _nothing(_daemon: Daemon, _exchange: TroubledExchange, _clock: SimClock) -> None:
    """It is left alone."""
