"""The command line: verbs that do not serve, and a user's mistakes as sentences with their exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from daemon.cli.main import app
from daemon.cli.shared import ready_config
from daemon.config import json_schema
from tests.io.journal_facts import open_journal
from tests.oneprocess import NOWHERE, written

ADDRESSES = {"public": f"{NOWHERE}/api/v3", "private": f"{NOWHERE}/api/v3"}
URLS = {"api": ADDRESSES, "test": ADDRESSES}


def said(*arguments: str | Path) -> Result:
    """What a verb does."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_help_names_every_verb() -> None:
    """Whoever types nothing learns what there is."""
    answer = said("--help")
    assert answer.exit_code == 0
    for verb in ("run", "demo", "check", "schema", "venue", "status", "positions", "targets", "orders", "fills"):
        assert verb in answer.stdout


@pytest.mark.parametrize("arguments", [["frobnicate"], ["run"], ["check", "--nonsense", "x"], ["orders", "--limit", "0"]])
def test_wrong_use_is_two(arguments: list[str]) -> None:
    """A verb, argument or option that does not exist is wrong use, exit code 2."""
    assert said(*arguments).exit_code == 2


def test_the_schema_is_the_configurations(tmp_path: Path) -> None:
    """What an editor is given is JSON, and that of the configuration itself."""
    answer = said("schema")
    assert answer.exit_code == 0
    assert json.loads(answer.stdout) == json_schema()


def test_check_offline_needs_neither_keys_nor_venue(tmp_path: Path) -> None:
    """The summary comes from the file alone, and what was not asked is said."""
    answer = said("check", "--offline", written(tmp_path, URLS))
    assert answer.exit_code == 0, answer.output
    assert "trades 3 symbols in USDT" in answer.stdout
    assert answer.stdout.rstrip().endswith("not asked: the exchange (--offline)")


@pytest.mark.parametrize("name", ["demo.yaml", "paper.yaml", "sandbox.yaml"])
def test_every_ready_configuration_passes_its_check(name: str) -> None:
    """What ships can be checked as it is."""
    assert said("check", "--offline", ready_config(name)).exit_code == 0


def test_a_wrong_file_is_78_with_a_sentence_a_mistake(tmp_path: Path) -> None:
    """Each mistake is one line that names the file and the key; there is no traceback, and nothing on stdout."""
    config = written(tmp_path, URLS, timefrme="1s", risk={"gross": 7})
    for verb in ("check", "run"):
        answer = said(verb, config)
        assert (answer.exit_code, answer.stdout) == (78, "")
        lines = answer.stderr.splitlines()
        assert len(lines) == 2
        assert any("timefrme" in line and "did you mean timeframe" in line for line in lines)
        assert any("risk.gross" in line for line in lines)


def test_a_missing_file_is_78() -> None:
    """A path that leads nowhere is a mistake in the configuration's place."""
    answer = said("check", "/nowhere/momo.yaml")
    assert answer.exit_code == 78
    assert len(answer.stderr.splitlines()) == 1


def test_a_missing_key_is_78_and_names_its_place(tmp_path: Path) -> None:
    """A key that is not in the environment is named by its place in the file; the other one too, in a line of its own."""
    answer = said("check", written(tmp_path, URLS))
    assert answer.exit_code == 78
    places = [line.partition(": ")[2].split()[0] for line in answer.stderr.splitlines()]
    assert places == ["exchange.credentials.api_key", "exchange.credentials.secret"]


def test_a_venue_that_does_not_answer_a_check_is_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file says is shown all the same."""
    monkeypatch.setenv("KEY", "canary-1d0c")
    monkeypatch.setenv("SECRET", "canary-77aa")
    answer = said("check", written(tmp_path, URLS))
    assert answer.exit_code == 1
    assert "trades 3 symbols" in answer.stdout
    assert len(answer.stderr.splitlines()) == 1
    assert "canary" not in answer.output


def test_a_held_journal_is_75(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second instance ends before it does anything, and says who holds the journal."""
    monkeypatch.chdir(tmp_path)
    with open_journal(tmp_path / "momo.sqlite"):
        answer = said("run", written(tmp_path, URLS, mode="paper"))
    assert answer.exit_code == 75
    assert "holds this journal" in answer.stderr


def test_a_journal_of_another_mode_is_65(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated and real trades never share a journal."""
    monkeypatch.chdir(tmp_path)
    open_journal(tmp_path / "momo.sqlite", mode="live").close()
    answer = said("run", written(tmp_path, URLS, mode="paper"))
    assert answer.exit_code == 65
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize("mode", ["paper", "sandbox", "live"])
def test_fresh_forgets_no_real_journal(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`demo --fresh` with a configuration that is not a demo's touches nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEY", "key")
    monkeypatch.setenv("SECRET", "secret")
    open_journal(tmp_path / "momo.sqlite", mode=mode).close()
    before = (tmp_path / "momo.sqlite").read_bytes()
    answer = said("demo", "--fresh", "--config", written(tmp_path, URLS, mode=mode))
    assert answer.exit_code == 78
    assert "not for a demo" in answer.stderr
    assert (tmp_path / "momo.sqlite").read_bytes() == before


@pytest.mark.parametrize("balance", ["USDT", "USDT=", "USDT=many", "=5", "USDT=nan", "USDT=inf"])
def test_a_balance_that_is_none_is_wrong_use(balance: str) -> None:
    """What is not ASSET=AMOUNT, with a number in it, is refused before anything listens."""
    answer = said("venue", "--balance", balance)
    assert answer.exit_code == 2
    assert "ASSET=AMOUNT" in answer.stderr


@pytest.mark.parametrize("arguments", [["--interval", "7s"], ["--market", "options"], ["--balance", "USDT=-5"]])
def test_a_venue_that_cannot_be_is_wrong_use(arguments: list[str]) -> None:
    """Options that do not go together, or are not there, end with one sentence."""
    answer = said("venue", "--port", "0", *arguments)
    assert answer.exit_code == 2
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", ["status", "positions", "targets", "orders", "fills"])
def test_a_daemon_that_does_not_answer_is_1(verb: str) -> None:
    """Reading what is not there is one sentence with the address in it."""
    answer = said(verb, "--url", NOWHERE)
    assert answer.exit_code == 1
    assert NOWHERE.removeprefix("http://") in answer.stderr
