"""Worker: a process that does the jobs of a sweep, and the handle by which it is asked.

Rule: it ends when whoever asks it ends, however that happens; what it is doing then is lost, and nothing else.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from daemon.research.bars import DataError
from daemon.research.sweep.jobs import Bench, Job, Row, Task

# There are as many processes as cores: each of them computes alone.
ALONE: Final = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
PATIENCE_S: Final = 5.0


class Lost(Exception):
    """The process is gone, and with it what it was asked for."""


class Worker:
    """A process of its own, which does one piece of work at a time."""

    def __init__(self, task: Task, panel: Path | None = None) -> None:
        """Start it; it answers once it is ready. `panel`: where the panel is, if not where the task says."""
        self.connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-m", "daemon.research.sweep.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | ALONE,
            )
        self.pid = self._process.pid
        self._say((task, panel))

    def give(self, jobs: Sequence[Job]) -> None:
        """Ask for the rows of some jobs."""
        self._say(list(jobs))

    def answer(self) -> list[Row]:
        """The rows it was asked for, in the order of the jobs; none, when it has just become ready. Waits for them.

        Raises:
            Lost: the process has ended.
            DataError: it cannot open the panel.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            raise Lost from None
        if isinstance(answer, str):
            raise DataError(answer)
        rows: list[Row] = answer
        return rows

    def end(self) -> None:
        """End it, whatever it is doing."""
        self.connection.close()
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _say(self, message: object) -> None:
        try:
            self.connection.send(message)
        except OSError:
            return  # it has ended, which its answer will tell


def main(handle: int) -> None:
    """Do what is asked for over a connection, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks
    with Connection(handle) as connection:
        try:
            _serve(connection)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _serve(connection: Connection) -> None:
    task, panel = connection.recv()
    try:
        bench = Bench(task, task.panel.opened(panel))
    except DataError as error:
        connection.send(str(error))
        return
    connection.send([])
    while True:
        connection.send([bench.row(job) for job in connection.recv()])


if __name__ == "__main__":
    main(int(sys.argv[1]))
