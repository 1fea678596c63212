"""Own strategies: what `use` may name, when the user's code runs, and what the user is told."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daemon.assembly.deciding import runner
from daemon.assembly.rosters import away, sleeves
from daemon.cli.main import app
from daemon.config import Config, ConfigError, load
from daemon.config.ownuse import NotThere
from daemon.core.strategy import Universe
from daemon.own.strategies import Own, blamed, hire
from daemon.tools.newstrategy import CannotWrite, write
from tests import ownfiles
from tests.oneprocess import written

READY = Path(__file__).parent.parent / "config"
UNIVERSE = Universe(("A/USDT", "B/USDT"), timedelta(hours=1))


def configured(folder: Path, use: str, **keys: Any) -> Config:
    """A paper configuration with one strategy of the user's own."""
    return load(written(folder, {}, mode="paper", strategies=[{"name": "own", "use": use, **keys}]), {})


def refused(folder: Path, use: str, **keys: Any) -> str:
    """What is said of it."""
    with pytest.raises(ConfigError) as caught:
        configured(folder, use, **keys)
    (problem,) = caught.value.problems
    return problem.partition(": ")[2]


# --- reading a configuration -----------------------------------------------------------------------------------------


def test_reading_a_configuration_runs_none_of_it(tmp_path: Path) -> None:
    """A file that would end the process is read, checked for its class, and not run."""
    (tmp_path / "my.py").write_text("import os\nos._exit(1)\nclass Mine: ...\n")
    config = configured(tmp_path, "./my.py:Mine", params={"anything": 1}, budget="250ms")
    (job,) = away(config)
    assert (job.name, job.budget_s) == ("own", 0.25)
    assert runner(config, contained=True).need == 1


@pytest.mark.parametrize(
    ("use", "said"),
    [
        ("./none.py:Mine", "strategies[0].use is not a file that can be read; the path starts at the directory of this configuration"),
        ("./my.py:Other", "strategies[0].use names a class that the file does not have; it has Mine, MineParams"),
        ("./my.py:", "strategies[0].use does not end in the name of a class; write ./my_strategy.py:Class or package.module:Class"),
        ("./my:Mine", "strategies[0].use is neither a Python file nor a module; write ./my_strategy.py:Class or package.module:Class"),
        (
            "no_such_package.module:Mine",
            (
                "strategies[0].use names a package that is not installed; "
                "install it beside the daemon, or name a file as ./my_strategy.py:Class"
            ),
        ),
    ],
)
def test_what_is_not_there_is_refused(use: str, said: str, tmp_path: Path) -> None:
    """A file, class or package that does not exist is a mistake of the configuration, told without running anything."""
    (tmp_path / "my.py").write_text(ownfiles.text_of("behaves"))
    assert refused(tmp_path, use) == said


def test_a_budget_is_for_own_strategies(tmp_path: Path) -> None:
    """A key that would be ignored is refused."""
    said = refused(tmp_path, "portfolio_momentum", budget="2s")
    assert said == "strategies[0].budget is for strategies of your own, and this one ships; leave it out"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"lenght": 3}, "strategies[0].params.lenght is not a parameter of ./my.py:Mine; did you mean length?"),
        ({"length": 0}, "strategies[0].params.length must be at least 1, not 0; correct it, or leave it out for its default"),
        (
            {"length": "3"},
            "strategies[0].params.length is text where a number is wanted; give a whole number, without quotes or signs around it",
        ),
    ],
)
def test_parameters_are_those_of_the_class(params: dict[str, object], said: str, tmp_path: Path) -> None:
    """Where the file is loaded, its dataclass checks the parameters, by the same sentences as those of a shipped strategy."""
    (tmp_path / "my.py").write_text(ownfiles.text_of("behaves"))
    with pytest.raises(ConfigError) as caught:
        runner(configured(tmp_path, "./my.py:Mine", params=params))
    assert caught.value.problems[0].partition(": ")[2] == said


# --- loading ---------------------------------------------------------------------------------------------------------


def test_it_runs_in_process_where_no_money_is(tmp_path: Path) -> None:
    """A backtest and a check have the strategy itself, with its parameters."""
    (tmp_path / "my.py").write_text(ownfiles.text_of("behaves"))
    config = configured(tmp_path, "./my.py:Mine", params={"length": 9})
    assert runner(config).need == 9
    assert [sleeve.strategy is None for sleeve in sleeves(config, contained=True)] == [True]


def test_a_package_beside_the_configuration(tmp_path: Path) -> None:
    """`package.module:Class` is found beside the configuration file, and may import what lies beside it."""
    (tmp_path / "mypack").mkdir()
    (tmp_path / "mypack" / "helper.py").write_text("LENGTH = 4\n")
    text = ownfiles.text_of("behaves").replace("length: int = 3", "length: int = LENGTH")
    (tmp_path / "mypack" / "inside.py").write_text("from mypack.helper import LENGTH\n" + text)
    assert runner(configured(tmp_path, "mypack.inside:Mine")).need == 4


def test_every_load_begins_anew(tmp_path: Path) -> None:
    """What one run has left in the file's own globals, or in those of its helpers, another does not find."""
    (tmp_path / "keeps.py").write_text("SEEN = []\n")
    (tmp_path / "my.py").write_text("import keeps\nOWN = []\n" + ownfiles.text_of("behaves"))
    own = Own("own", "./my.py:Mine", tmp_path, {}, 1.0)
    first = sys.modules[type(hire(own, UNIVERSE)).__module__]
    first.OWN.append(1)
    first.keeps.SEEN.append(1)
    again = sys.modules[type(hire(own, UNIVERSE)).__module__]
    assert (again.OWN, again.keeps.SEEN) == ([], [])
    assert sys.modules["numpy"] is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Mine: ...", "is not a strategy; name a class derived from daemon.core.strategy.Strategy"),
        (f"{ownfiles.HEAD}\n", "is not complete: it lacks decide; write them, as `rebalanced new strategy` shows"),
        (
            ownfiles.text_of("behaves") + "\n    Params = int\n",
            "has Params that are no dataclass; decorate them with @dataclass(frozen=True)",
        ),
    ],
)
def test_what_is_no_strategy_is_refused(text: str, said: str, tmp_path: Path) -> None:
    """A class that could never decide is told before it is asked."""
    (tmp_path / "my.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        hire(Own("own", "./my.py:Mine", tmp_path, {}, 1.0), UNIVERSE)
    assert caught.value.problems == (f"use {said}",)


def test_what_a_file_raises_names_its_line(tmp_path: Path) -> None:
    """The sentence has the user's own file and line, not ours."""
    (tmp_path / "my.py").write_text("import no_such_module\n" + ownfiles.text_of("behaves"))
    with pytest.raises(ConfigError, match=r"strategies\[0\].use cannot be loaded: ModuleNotFoundError: .* \(my.py line 1, in <module>\)"):
        runner(configured(tmp_path, "./my.py:Mine"))
    assert blamed(ValueError("two\nlines")) == "ValueError: two lines"
    assert str(NotThere("a", "b")) == "a; b"


# --- a first file ----------------------------------------------------------------------------------------------------


def test_the_first_file_runs_as_it_is(tmp_path: Path) -> None:
    """The written strategy is used by the configuration beside it, which has a journal and a name of its own."""
    config = load(write(tmp_path / "my_first.py", READY / "demo.yaml"), {})
    assert (config.name, config.strategies[0].use, config.journal.path) == ("my-first", "./my_first.py:Mine", "var/my-first.sqlite")
    assert runner(config).need == 21


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A file of the user's is worth more than an example."""
    (tmp_path / "my.yaml").write_text("mine")
    with pytest.raises(CannotWrite, match="exists and is not overwritten"):
        write(tmp_path / "my.py", READY / "demo.yaml")
    assert not (tmp_path / "my.py").exists()
    assert (tmp_path / "my.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["my.txt", "my", "1.py", "my-strategy.py"])
def test_a_name_that_python_cannot_load_is_refused(name: str, tmp_path: Path) -> None:
    """The file must be importable by its name."""
    with pytest.raises(CannotWrite, match="has a name like my_strategy"):
        write(tmp_path / name, READY / "demo.yaml")


def test_the_verb_says_what_comes_next(tmp_path: Path) -> None:
    """`new strategy FILE` ends with 0 and the next commands, a second time with 2 and one sentence."""
    target = str(tmp_path / "my.py")
    first, second = (CliRunner().invoke(app, ["new", "strategy", target]) for _ in range(2))
    assert first.exit_code == 0
    assert f"rebalanced demo --config {tmp_path / 'my.yaml'}" in first.stdout
    assert (second.exit_code, second.stderr) == (2, f"{target} exists and is not overwritten; choose another name\n")
