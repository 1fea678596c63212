"""Equipment: what a sweep has on a Dask worker. The only module that needs Dask to be imported.

Rule: each thread of a Dask worker has a process of its own, the same program as without a cluster: a run that takes its process down takes
nothing else with it, and a strategy of the user's own is in the main thread, where it can be interrupted.
"""

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from distributed import WorkerPlugin, get_worker

from daemon.research.bars import DataError
from daemon.research.sweep.jobs import Job, Row, Task
from daemon.research.sweep.worker import Lost, Worker


# Dask is not installed where types are checked.
class Equipment(WorkerPlugin):  # type: ignore[misc]
    """What a Dask worker has for a sweep: the task, the panel, and a process for each of its threads."""

    idempotent = True

    def __init__(self, task: Task, panel: bytes | None) -> None:
        """`panel`: the file itself, for workers on other machines; these have a copy each, since what lies at its path there is another."""
        self.name = f"rebalanced-{uuid4().hex}"  # a cluster may have several sweeps
        self._task = task
        self._panel = panel
        self._copy: Path | None = None
        self._processes: dict[int, Worker] = {}

    def setup(self, worker: Any) -> None:
        """The Dask worker has come."""
        if self._panel is not None:
            with tempfile.NamedTemporaryFile(prefix=f"{self.name}-", delete=False) as stream:
                stream.write(self._panel)
            self._copy = Path(stream.name)
        self._panel = None

    def teardown(self, worker: Any) -> None:
        """It goes."""
        for process in self._processes.values():
            process.end()
        if self._copy is not None:
            self._copy.unlink(missing_ok=True)

    def rows(self, jobs: Sequence[Job]) -> list[Row]:
        """Do some jobs in the process of this thread. Raises Lost: it has ended over them."""
        thread = threading.get_ident()
        try:
            if thread not in self._processes:
                self._processes[thread] = Worker(self._task, self._copy)
                self._processes[thread].answer()
            self._processes[thread].give(jobs)
            return self._processes[thread].answer()
        except (Lost, DataError):
            self._processes.pop(thread).end()
            raise


def work(name: str, jobs: Sequence[Job]) -> tuple[list[Row], float]:
    """Some jobs in a Dask worker, by its equipment of this name; their rows, and the seconds that took."""
    began = monotonic()
    equipment: Equipment = get_worker().plugins[name]
    return equipment.rows(jobs), monotonic() - began
