"""Own worker: the process in which one strategy of a user's own runs. `python -m daemon.own.worker`, started by `daemon.io.worker`.

Rule: it ends when its daemon does, it answers every request with one frame, and what the user's code prints goes to stderr.
"""

import ctypes
import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from daemon.config.sentences import ConfigError
from daemon.core.desk import Desk, named
from daemon.core.model import Slice
from daemon.core.strategy import Universe
from daemon.io.worker_wire import PREFIX, Header, frame, parsed, sizes, targets_from, targets_to, unpack
from daemon.own.bounds import Bounds
from daemon.own.strategies import Own, blamed

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

Request = tuple[Header, bytes]


def errand(own: Own, universe: Universe, synthetic_max: int) -> bytes:
    """What a worker is told at its start. The daemon writes it and the worker alone reads it, so it may be a pickle."""
    return pickle.dumps((own, universe, synthetic_max))


class Bench:
    """The strategy at its desk. `serve` answers any request and never raises."""

    def __init__(self) -> None:
        self._desk: Desk | None = None
        self._symbols: tuple[str, ...] = ()
        self._synthetic_max = 0
        self._last: Slice | None = None

    def serve(self, header: Header, body: bytes) -> Header:
        """`wrong`: the configuration is; `failed`: the user's code has; else what was asked for."""
        try:
            return self._hire(body) if self._desk is None else self._serve(self._desk, header, body)
        except ConfigError as error:
            return {"wrong": "\n".join(error.problems)}
        except BaseException as error:  # nothing that is raised here may end the process without an answer
            return {"failed": blamed(error)}

    def _hire(self, body: bytes) -> Header:
        own, universe, self._synthetic_max = pickle.loads(body)  # noqa: S301 - the daemon's own words
        self._symbols = universe.symbols
        bounds = Bounds(own)
        self._desk = Desk(bounds.hire(universe), len(self._symbols), bounds)
        return {"need": self._desk.need}

    def _serve(self, desk: Desk, header: Header, body: bytes) -> Header:
        match header["op"]:
            case "warm":
                slices = unpack(header["closes"], body, self._symbols)
                if header["first"]:
                    desk.renew()
                desk.warm(np.stack([each.panel for each in slices]))
                self._last = slices[-1]
                return {"short": sorted(named(self._last, desk.short))}
            case "step":
                (self._last,) = unpack(header["closes"], body, self._symbols)
                desk.step(self._last.panel)
            case "decide" if self._last is not None:
                desk.targets = targets_from(header["last"])
                desk.held = header.get("held", {})
                targets = desk.decide(self._inside(self._last, header.get("outside", [])), self._synthetic_max)
                return {"targets": targets_to(targets), "warm": sorted(named(self._last, desk.warm_columns))}
            case other:
                raise RuntimeError(f"nothing to {other}")
        return {}

    def _inside(self, cross_section: Slice, outside: list[str]) -> Slice:
        """The slice with who is in the universe; everybody, unless some are not."""
        members = np.array([symbol not in outside for symbol in self._symbols], np.bool_)
        return replace(cross_section, members=members) if outside else cross_section


def main() -> None:
    """Serve until the pipe ends."""
    requests, answers = _pipes()
    _die_with_the_daemon()
    waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
    # A thread, so that the end of the daemon is seen while the user's code runs.
    threading.Thread(target=_listen, args=(requests, waiting.put), daemon=True).start()
    bench = Bench()
    while True:
        header, body = waiting.get()
        answers.write(frame(bench.serve(header, body)))
        answers.flush()


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The daemon's pipes, out of reach of `print` and `input`."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, answers


def _die_with_the_daemon() -> None:
    """Have the kernel end this process with its parent, and choose it first when memory runs out."""
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _listen(requests: BinaryIO, put: Callable[[Request], None]) -> None:
    while prefix := requests.read(PREFIX):
        header, body = sizes(prefix)
        put((parsed(requests.read(header)), requests.read(body)))
    os._exit(0)


if __name__ == "__main__":
    main()
