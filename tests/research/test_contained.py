"""Own strategies over stored bars: whatever one of them does, the run ends, says why in one sentence, the other trades as without it."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daemon.app import routes
from daemon.cli.main import app
from daemon.config import load
from daemon.research import runs
from tests import ownfiles
from tests.research.files import configured, read, stored

SYMBOLS = ("A/USDT", "B/USDT", "C/USDT")
ROWS = 48
MOMO = {"name": "momo", "use": "portfolio_momentum", "share": 0.5, "schedule": {"every": 4}, "params": {"lookback": 5, "rsi_period": 3}}
OWN = {"name": "own", "use": "./my.py:Mine", "share": 0.5, "schedule": {"every": 4}, "budget": "300ms"}
BEHAVES = ownfiles.text_of("behaves")

INDICATOR = '''
class Odd(Indicator):
    """Its shape is right, its rows are not, or not always."""
    def __init__(self, width):
        self.need, self.shape, self.bars = 3, (width,), 0
    def step(self, row):
        self.bars += 1
        if self.bars <= 20:
            return np.array(row)
        {0}

class Mine('''


def odd(step: str) -> str:
    """A file with an indicator of its own that behaves for twenty bars."""
    text = BEHAVES.replace("\nclass Mine(", INDICATOR.format(step))
    return text.replace("SMA(self.params.length, len(self.universe.symbols))", "Odd(len(self.universe.symbols))")


DECIDED = "no decision at 2024-01-01T20:00:00Z: "
STEPPED = "an indicator failed at 2024-01-01T21:00:00Z: in its indicator average: "

# The text of a file that fails after its targets have been taken, and what is said of it.
LATE = {
    "raises": (ownfiles.text_of("raises", after=18), f"{DECIDED}ZeroDivisionError: division by zero (my.py line 25, in decide)"),
    "nan": (ownfiles.text_of("nan", after=18), f"{DECIDED}ValueError: the weight of A/USDT is nan, which is not a finite number (my.py"),
    "unknown": (
        ownfiles.text_of("unknown", after=18),
        f"{DECIDED}a weight for DOGE/USDT, which the universe does not have; leave it out, or add it to universe.symbols (my.py line",
    ),
    "a dict": (ownfiles.text_of("nonsense", after=18), f"{DECIDED}decide must return TargetWeights, not dict; write return TargetWeights("),
    "percent": (ownfiles.text_of("percent", after=18), f"{DECIDED}the weights add up to 75, more than 10; they are shares of its capital"),
    "sleeps": (ownfiles.text_of("sleeps", after=18), f"{DECIDED}deciding took longer than its budget of 0.3 s (my.py line 25, in decide)"),
    "hangs": (ownfiles.text_of("hangs", after=18), f"{DECIDED}deciding took longer than its budget of 0.3 s (my.py line 25, in decide)"),
    "exits": (ownfiles.text_of("leaves", after=18), f"{DECIDED}SystemExit: 0 (my.py line"),
    "a short row": (odd("return row[:-1]"), f"{STEPPED}ValueError: its value has the shape (2,), where its `shape` promises (3,) (my.py"),
    "a list for a row": (odd("return list(row)"), f"{STEPPED}ValueError: its value must be a numpy array of numbers, not list (my.py line"),
    "a step that raises": (odd("return row / self.gone"), f"{STEPPED}AttributeError: 'Odd' object has no attribute 'gone' (my.py line"),
    "a step that hangs": (odd("time.sleep(60)"), "an indicator failed at 2024-01-01T21:00:00Z: taking in a bar took longer than its"),
}  # fmt: skip

# The text of a file that cannot be used from the start.
EARLY = {
    "no module": ("import no_such_module\n" + BEHAVES, "ModuleNotFoundError: No module named 'no_such_module' (my.py line 1, in <module>)"),
    "no syntax": (BEHAVES.replace("def decide(self, view):", "def decide(self, view)"), "SyntaxError: expected ':' (my.py line"),
    "wrong width": (BEHAVES.replace("len(self.universe.symbols)", "2"), "its indicator average has a row of the shape (2,) where the"),
    "no indicators": (BEHAVES.replace('return {"average"', 'x = {"average"'), "`indicators` must return a mapping of names to indicators"),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of three symbols."""
    return stored(tmp_path_factory.mktemp("data"), ROWS, SYMBOLS)


def run(folder: Path, data: Path, *strategies: object) -> tuple[list[dict[str, Any]], list[str]]:
    """The targets of one run, and what went wrong."""
    folder.mkdir(exist_ok=True)
    config = configured(folder, SYMBOLS, strategies=strategies)
    summary = runs.backtest(load(config, {}), data, folder / "out", None, None, routes)
    return read(folder / "out", "targets"), [warned["text"] for warned in summary["warnings"] if warned["code"] == "disabled"]


def of(name: str, targets: list[dict[str, Any]]) -> list[tuple[int, str, float]]:
    """One strategy's targets."""
    return [(row["timestamp"], row["symbol"], row["weight"]) for row in targets if row["strategy"] == name]


@pytest.mark.parametrize(("text", "said"), [*LATE.values(), *EARLY.values()], ids=[*LATE, *EARLY])
def test_the_rest_trades_on(text: str, said: str, tmp_path: Path, data: Path) -> None:
    """The one that fails is told once and held at its last targets, or never had any; momentum decides as it does alone."""
    (tmp_path / "my.py").write_text(text)
    alone, _ = run(tmp_path / "alone", data, MOMO)
    both, notes = run(tmp_path, data, MOMO, OWN)
    assert of("momo", both) == of("momo", alone)
    assert [note for note in notes if said not in note] == []
    assert len(notes) == 1
    assert notes[0].startswith("own was disabled, and its last targets stood from then on: ")
    if said.startswith((DECIDED, STEPPED)):
        held = [weight for _, symbol, weight in of("own", both) if symbol == "A/USDT"]
        assert held[-1] == 0.5


def test_nothing_left_is_a_mistake(tmp_path: Path, data: Path) -> None:
    """A run in which nobody could ever decide is refused, with the place in the configuration and in the file."""
    (tmp_path / "my.py").write_text(EARLY["no module"][0])
    config = configured(tmp_path, SYMBOLS, strategies=[OWN])
    done = CliRunner().invoke(app, ["backtest", str(config), "--data", str(data), "--out", str(tmp_path / "out")])
    assert done.exit_code == 78
    assert f"strategies[0].use cannot be loaded: {EARLY['no module'][1]}; correct the file" in done.stderr


CHECKED = {kind: each for kind, each in LATE.items() if kind != "a step that hangs"}  # a whole history may take half a minute


@pytest.mark.parametrize(("text", "said"), CHECKED.values(), ids=CHECKED)
def test_the_look_ahead_check_says_it_in_a_sentence(text: str, said: str, tmp_path: Path, data: Path) -> None:
    """What fails while it is checked is not passed: one sentence with its place, exit code 1, no traceback."""
    (tmp_path / "my.py").write_text(text)
    config = configured(tmp_path, SYMBOLS, strategies=[{**OWN, "share": 1, "schedule": {"every": 1}}])
    done = CliRunner().invoke(app, ["check", "--lookahead", str(config), "--data", str(data)])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert done.stderr.startswith("own: ")
    assert done.stderr.count("\n") == 1
    assert said.partition("Z: ")[2].partition(" (my.py")[0] in done.stderr
