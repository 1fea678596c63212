"""Own bounds: every call into a user's own code, in its process and in a backtest, ends within its budget and fails in one sentence.

Rule: what such code raises, SystemExit included, comes out as Failed with the place in the user's file. A call that takes too long is
interrupted by a timer of the process, so only the main thread may call; what it prints goes to stderr.
"""

import signal
import sys
import time
from collections.abc import Callable, Mapping
from math import ceil
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Final

from daemon.config.sentences import ConfigError
from daemon.core.desk import T, Work
from daemon.core.strategy import Failed, Strategy, Universe
from daemon.own.strategies import Own, blamed, defined, hire, traced

if TYPE_CHECKING:
    from _typeshed import TraceFunction

# The daemon waits 30 s for a process that starts, and Python itself has its part of them.
LOAD_S: Final = 25.0
# Of history, a thousand bars: as long as the daemon waits for a process to digest them.
WARM_S: Final = 30.0
WARM_BARS: Final = 1000
# The timer ticks so often within a limit. A process that was stopped meanwhile, by Ctrl-Z or a debugger, has missed ticks, not time.
TICKS: Final = 10

DOING: Final[Mapping[Work, str]] = {
    "load": "loading it",
    "indicators": "naming its indicators",
    "warm": "reading its history",
    "step": "taking in a bar",
    "decide": "deciding",
    "signals": "telling its signals",
}
METHOD: Final[Mapping[Work, str]] = {
    "indicators": "indicators",
    "warm": "indicators",
    "step": "indicators",
    "decide": "decide",
    "signals": "decide",
}


class _TooSlow(BaseException):
    """Out of time. Not an Exception, so that a user's `except Exception` does not hold it up."""


def _trace(function: "TraceFunction | None") -> None:
    """Have Python call this at every line. It refuses that once where a tick has come while another was being installed."""
    try:
        sys.settrace(function)
    except RuntimeError:
        sys.settrace(function)


def _raise(_frame: FrameType, event: str, _told: object) -> "TraceFunction":
    """Trace until the next line begins, and raise there.

    Not at the event of an exception, which is told while the `try:` around it still holds, and would be caught by that for ever.
    """
    if event == "line":
        raise _TooSlow
    return _raise


def _above(frame: FrameType | None, code: CodeType) -> list[FrameType]:
    """The frames of what a function has called, the newest first; none outside of it."""
    frames: list[FrameType] = []
    while frame is not None and frame.f_code is not code:
        frames.append(frame)
        frame = frame.f_back
    return frames if frame is not None else []


class Bounds:
    """The guard of one strategy: `hire` makes it, the desk calls it through this."""

    def __init__(self, own: Own) -> None:
        self._own = own
        self._strategy: Strategy | None = None
        self._limit_s = 0.0
        self._began_s = 0.0
        self._ticks = 0
        self._raised = False

    def hire(self, universe: Universe) -> Strategy:
        """The strategy itself, in this process.

        Raises:
            ConfigError: what the configuration says of it is wrong, a sentence a mistake; places begin below the strategy.
            Failed: its code cannot be loaded.
        """
        self._strategy = self("load", 0, lambda: hire(self._own, universe))
        return self._strategy

    def __call__(self, work: Work, bars: int, code: Callable[[], T]) -> T:
        """What `code` returns.

        Raises:
            ConfigError: while it is loaded.
            Failed: it has raised, or taken longer than it may.
        """
        self._limit_s = self._limit(work, bars)
        before = signal.signal(signal.SIGALRM, self._tick)
        try:
            return self._timed(code)
        except (ConfigError, KeyboardInterrupt):
            raise
        except _TooSlow as error:
            raise Failed(self._too_slow(work, error)) from None
        except BaseException as error:  # sys.exit() in a user's code must not look like an order from outside
            raise Failed(blamed(error, self._defined(work))) from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _timed(self, code: Callable[[], T]) -> T:
        self._ticks, self._raised, self._began_s = 0, False, time.thread_time()
        stdout, tracing = sys.stdout, sys.gettrace()
        sys.stdout = sys.stderr
        signal.setitimer(signal.ITIMER_REAL, self._limit_s / TICKS, self._limit_s / TICKS)
        try:
            value = code()
        finally:
            sys.stdout = stdout
            if self._raised:
                _trace(tracing)
        if self._overdue():
            raise _TooSlow  # it came back from a call that no signal interrupts
        return value

    def _tick(self, _number: int, frame: FrameType | None) -> None:
        self._ticks += 1
        theirs = _above(frame, Bounds._timed.__code__)
        if not (theirs and self._overdue()):
            return
        if self._raised:
            # And it was caught, by an `except:` in a loop, which cannot catch what is raised at the next line: that is its own.
            for each in theirs:
                each.f_trace = _raise
            _trace(_raise)
        self._raised = True
        raise _TooSlow

    def _overdue(self) -> bool:
        return self._ticks >= TICKS or time.thread_time() - self._began_s > self._limit_s

    def _limit(self, work: Work, bars: int) -> float:
        if work in ("load", "indicators"):
            return LOAD_S
        return self._own.budget_s if bars == 1 else max(self._own.budget_s, WARM_S * ceil(bars / WARM_BARS))

    def _too_slow(self, work: Work, error: BaseException) -> str:
        where = traced(error) or self._defined(work)
        if work in ("load", "indicators", "warm"):
            return f"{DOING[work]} took longer than {self._limit_s:g} s{where}"
        return f"{DOING[work]} took longer than its budget of {self._limit_s:g} s{where}; make it faster, or raise its `budget`"

    def _defined(self, work: Work) -> str:
        """Where the user's method begins, for what no line of theirs has raised."""
        return f" ({self._own.use})" if self._strategy is None else defined(self._strategy, METHOD[work])
