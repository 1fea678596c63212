"""What all verbs have in common: where the configuration is named, what machines are told, and completion in a shell."""

import json
import re
from pathlib import Path

import httpx
import pytest
import respx
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner, Result

from daemon import __version__
from daemon.cli import shared as cli_shared
from daemon.cli.main import app
from tests.oneprocess import written

URL = "http://127.0.0.1:8787"
READING = ("status", "positions", "targets", "orders", "fills", "analysis")
# Each with what it is about, where it wants to know that.
COMMANDING = {
    "pause": [],
    "resume": ["--yes"],
    "rebalance": [],
    "flatten": ["--yes"],
    "exclude": ["BTC/USDT"],
    "approve": [],
    "resolve": ["r1"],
    "reload": [],
    "stop": [],
}
# What serves, ends in a file or writes for people alone has nothing to tell a machine.
SPEAKS_TO_PEOPLE = {"run", "demo", "top", "schema", "venue", "download", "new strategy", "journal rebase", "init"} | {
    "health",
    "install-service",
    "uninstall-service",
}


def said(*arguments: str | Path) -> Result:
    """What a verb does."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def verbs(group: object, before: str = "") -> dict[str, TyperCommand]:
    """Every verb there is, by how it is typed."""
    assert isinstance(group, TyperGroup)
    found: dict[str, TyperCommand] = {}
    for name, command in group.commands.items():
        found |= {f"{before}{name}": command} if isinstance(command, TyperCommand) else verbs(command, f"{before}{name} ")
    return found


EVERY = verbs(typer.main.get_command(app))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that says where its daemon answers, and where its token is."""
    return written(tmp_path, {}, mode="paper", api={"port": 8787, "token": {"env": "TOKEN_HERE"}})


def test_every_verb_tells_machines_what_it_tells_people() -> None:
    """What prints figures or a result prints them as JSON too, by the same option everywhere."""
    silent = {name for name, verb in EVERY.items() if not any("--json" in option.opts for option in verb.params)}
    assert silent == SPEAKS_TO_PEOPLE & EVERY.keys()


def test_every_verb_and_option_is_explained() -> None:
    """A verb says in a sentence what it does, and each of its options and arguments what it is for."""
    for name, verb in EVERY.items():
        assert re.search(r"[.:)]$", (verb.help or "").strip()), name
        for option in verb.params:
            assert getattr(option, "help", ""), f"{name} {option.name}"


@pytest.mark.parametrize("how", [[], ["--config"]])
@pytest.mark.parametrize("verb", [*COMMANDING, "why", *READING])
def test_a_configuration_is_named_in_either_way(
    verb: str, how: list[str], config: Path, monkeypatch: pytest.MonkeyPatch, respx_mock: respx.MockRouter
) -> None:
    """Behind the verb or by --config: both lead to the daemon's address, with its token."""
    monkeypatch.setenv("TOKEN_HERE", "open-sesame-9")
    asked = respx_mock.route(host="127.0.0.1", port=8787).mock(return_value=httpx.Response(200, json={"done": "so", "state": "running"}))
    about = COMMANDING.get(verb, ["BTC"] if verb == "why" else [])
    said(verb, *about, *how, config, *([] if verb in COMMANDING else ["--json"]))
    assert asked.called
    assert asked.calls[0].request.headers["authorization"] == "Bearer open-sesame-9"


def test_two_configurations_are_one_too_many(config: Path) -> None:
    """Whoever names two different ones is asked which is meant, and nothing is sent."""
    answer = said("stop", config, "--config", "other.yaml")
    assert answer.exit_code == 2
    assert "two configurations" in answer.stderr


def test_a_pause_of_a_symbol_takes_a_configuration_behind_it(
    config: Path, monkeypatch: pytest.MonkeyPatch, respx_mock: respx.MockRouter
) -> None:
    """What a command is about comes first, then the configuration; a lone YAML file is no symbol."""
    monkeypatch.setenv("TOKEN_HERE", "open-sesame-9")
    paused = respx_mock.post(f"{URL}/api/v1/pause").mock(return_value=httpx.Response(200, json={"done": "so"}))
    for arguments, about in ((["BTC", config], "BTC"), ([config], None)):
        assert said("pause", *arguments).exit_code == 0
        assert json.loads(paused.calls.last.request.content).get("argument") == about


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_the_verbs(shell: str) -> None:
    """Completion offers the verbs that begin with what is typed, in each of the three shells."""
    environ = {"COMP_WORDS": "rebalanced po", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "rebalanced po"}
    environ |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_REBALANCED_COMPLETE": f"complete_{shell}"}
    answer = CliRunner().invoke(app, env=environ, prog_name="rebalanced")
    assert "positions" in answer.stdout
    assert "status" not in answer.stdout


def test_the_program_says_which_it_is() -> None:
    """--version is the version that the package, the log and `status` tell."""
    assert said("--version").stdout.strip() == f"rebalanced {__version__}"


def test_what_machines_are_told_is_json(config: Path) -> None:
    """Checking offline as JSON tells the same lines, and that the exchange was not asked."""
    (told,) = json.loads(said("check", "--offline", "--json", config).stdout)
    people = said("check", "--offline", config).stdout.splitlines()
    assert told["summary"] == people[:-1]
    assert told["exchange"] is None


def test_a_demo_of_mistakes_stays_in_words(config: Path) -> None:
    """A mistake is a sentence on stderr also where JSON was asked for."""
    config.write_text(config.read_text().replace('"timeframe"', '"timefrme"'))
    answer = said("check", "--offline", "--json", config)
    assert (answer.exit_code, answer.stdout) == (78, "")
    assert cli_shared.TOKEN not in answer.stderr
