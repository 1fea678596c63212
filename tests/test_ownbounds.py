"""Own bounds: a call into a user's code ends within its budget, fails in one sentence with its place, and changes nothing otherwise."""

import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.config import ConfigError
from daemon.core.desk import Desk
from daemon.core.strategy import Failed, Universe
from daemon.io import worker
from daemon.own.bounds import LOAD_S, WARM_S, Bounds
from daemon.own.strategies import Own
from tests import ownfiles

UNIVERSE = Universe(("A/USDT", "B/USDT"), timedelta(hours=1))


def bounds_of(folder: Path, text: str = "", budget_s: float = 0.2) -> Bounds:
    """The guard of a file's class Mine."""
    (folder / "my.py").write_text(text or ownfiles.text_of("behaves"))
    return Bounds(Own("own", "./my.py:Mine", folder, {}, budget_s))


def said(guard: Bounds, code: Callable[[], object]) -> str:
    """The sentence of a decision that fails."""
    with pytest.raises(Failed) as caught:
        guard("decide", 1, code)
    return str(caught.value)


def sleeps() -> None:
    time.sleep(60)


def spins() -> None:
    while True:
        pass


def tries_for_ever() -> None:
    seen = []
    while True:
        try:
            time.sleep(60)
        except Exception as error:
            seen.append(error)


def catches_everything() -> None:
    while True:
        try:
            time.sleep(60)
        except BaseException as error:  # as `except:`
            str(error)


HANGS = [sleeps, spins, tries_for_ever, catches_everything]


@pytest.mark.parametrize("code", HANGS)
def test_whatever_hangs_is_interrupted(code: Callable[[], None], tmp_path: Path) -> None:
    """A call that sleeps, loops, or catches whatever comes on its way ends at its budget."""
    began = time.monotonic()
    assert said(bounds_of(tmp_path), code).startswith("deciding took longer than its budget of 0.2 s")
    assert time.monotonic() - began < 5


def test_what_no_signal_interrupts_is_judged_when_it_returns(tmp_path: Path) -> None:
    """A long call of compiled code ends when it ends, and its answer does not count."""
    assert "took longer than its budget of 0.01 s" in said(bounds_of(tmp_path, budget_s=0.01), lambda: sum(range(10**7)))


def test_a_process_that_was_stopped_has_lost_no_time(tmp_path: Path) -> None:
    """Time on the wall during which the process did not run, as after Ctrl-Z, counts as one tick and changes no result."""

    def stopped() -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as the kernel keeps signals for a stopped process: one of a kind
        time.sleep(0.5)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        return 1

    assert bounds_of(tmp_path)("decide", 1, stopped) == 1


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """After a call no timer runs and whoever had the signal has it again; what was printed went to stderr alone."""
    before = signal.getsignal(signal.SIGALRM)
    assert bounds_of(tmp_path)("decide", 1, lambda: 7) == 7
    assert (signal.getitimer(signal.ITIMER_REAL), signal.getsignal(signal.SIGALRM)) == ((0.0, 0.0), before)


def test_what_it_prints_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The verb's own answer on stdout stays readable for scripts."""
    bounds_of(tmp_path)("decide", 1, lambda: sys.stdout.write("hello"))
    assert capsys.readouterr() == ("", "hello")


def test_an_order_to_exit_is_a_failure_and_ctrl_c_is_not(tmp_path: Path) -> None:
    """sys.exit() in a user's code ends its strategy only; the user's own Ctrl-C ends the run."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    guard = bounds_of(tmp_path)
    assert said(guard, lambda: sys.exit(3)) == "SystemExit: 3 (./my.py:Mine)"
    with pytest.raises(KeyboardInterrupt):
        guard("decide", 1, interrupted)


def test_history_and_loading_have_limits_of_their_own(tmp_path: Path) -> None:
    """A thousand bars at once have more than one, and the place is named before the daemon's own patience with the process ends."""
    guard = bounds_of(tmp_path)
    assert [guard._limit("warm", bars) for bars in (1, 2, 1000, 1001)] == [0.2, WARM_S, WARM_S, 2 * WARM_S]
    assert guard._limit("load", 0) == guard._limit("indicators", 0) == LOAD_S < worker.START_S
    assert WARM_S <= worker.WARM_S


def test_a_mistake_of_the_configuration_stays_one(tmp_path: Path) -> None:
    """A parameter that the class does not have is told as what it is."""
    own = Own("own", "./my.py:Mine", tmp_path, {"lenght": 3}, 1.0)
    (tmp_path / "my.py").write_text(ownfiles.text_of("behaves"))
    with pytest.raises(ConfigError, match="did you mean length"):
        Bounds(own).hire(UNIVERSE)


SMA_OF_MINE = "SMA(self.params.length, len(self.universe.symbols))}"
UNUSABLE = {
    "no super": (
        ("    def indicators(", "    def __init__(self, params, universe):\n        self.x = 1\n    def indicators("),
        "Mine.__init__ must call super().__init__(params, universe); add that line (./my.py:Mine)",
    ),
    "no arguments": (
        ("    def indicators(", "    def __init__(self):\n        self.x = 1\n    def indicators("),
        "TypeError: Mine.__init__() takes 1 positional argument but 3 were given (./my.py:Mine)",
    ),
    "misspelt": (
        ("self.params.length", "self.params.lenght"),
        "AttributeError: 'MineParams' object has no attribute 'lenght' (my.py line 18, in indicators)",
    ),
    "one wide": (
        (SMA_OF_MINE, "SMA(3, 1)}"),
        (
            "its indicator average has a row of the shape (1,) where the universe has 2 symbols; "
            "make it len(self.universe.symbols) wide, or override `warm` (my.py line 17, in indicators)"
        ),
    ),
    "a list": (
        ('{"average": ' + SMA_OF_MINE, "[]"),
        "`indicators` must return a mapping of names to indicators, not list; return {} for none (my.py line 17, in indicators)",
    ),
    "all of history": (
        (SMA_OF_MINE, "__import__('daemon').core.indicators.EMA(10**9, len(self.universe.symbols))}"),
        (
            "its indicator average needs 21000000020 bars of history, more than 100000; let it look back less far "
            "(my.py line 17, in indicators)"
        ),
    ),
    "a function": (
        (SMA_OF_MINE, "abs}"),
        "its indicator average is no Indicator but builtin_function_or_method; derive it from Indicator (my.py line 17, in indicators)",
    ),
}


@pytest.mark.parametrize(("change", "expected"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_strategy_that_cannot_be_used_is_told_with_its_place(change: tuple[str, str], expected: str, tmp_path: Path) -> None:
    """What is wrong before the first bar is one sentence that says where in the user's file, and what to do."""
    text = ownfiles.text_of("behaves")
    assert change[0] in text
    guard = bounds_of(tmp_path, text.replace(*change))
    with pytest.raises(Failed) as caught:
        Desk(guard.hire(UNIVERSE), 2, guard)
    assert str(caught.value) == expected
