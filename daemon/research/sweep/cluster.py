"""Cluster: the jobs of a sweep over the workers of a Dask cluster, which may be on other machines.

Rule: the rows are those that this machine would have made, and a worker that is lost is nothing but lost time.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from daemon import __version__
from daemon.parts import StartRefused
from daemon.research.sweep.jobs import Job, Row, Task
from daemon.research.sweep.pool import LOST, Queue

LOCAL: Final = "local:"
PATIENCE_S: Final = 30.0
# Pieces that wait at each thread, so that it need not wait for us.
AHEAD: Final = 2


def _version() -> str:
    return __version__


def _why(error: BaseException) -> str:
    """Why a piece of work came to nothing: its process, or its Dask worker, was lost, or something that a cluster alone has."""
    return LOST if type(error).__name__ in ("Lost", "KilledWorker") else f"{type(error).__name__} on the cluster: {error}"


class Cluster:
    """A Dask cluster at an address (`tcp://host:8786`), or one that is made on this machine (`local:4`: of four processes)."""

    def __init__(self, address: str) -> None:
        """Raises StartRefused: it is no address, or Dask is not installed."""
        self.lost = 0
        self._address = address
        self._processes = 0
        if address.startswith(LOCAL):
            count = address.removeprefix(LOCAL)
            if not (count.isascii() and count.isdigit() and 0 < int(count) < 1000):
                raise StartRefused(f"--cluster {address} says no number of processes; write it like local:4", 2)
            self._processes = int(count)
        elif "://" not in address:
            raise StartRefused(f"--cluster {address} is no address; write tcp://HOST:8786 of a Dask scheduler, or local:4", 2)
        try:
            import distributed  # noqa: F401 - comes with an extra of its own
        except ImportError:
            raise StartRefused("--cluster needs Dask; install rebalanced[cluster], in a clone by `make cluster`", 2) from None

    def rows(self, task: Task, jobs: Sequence[Job]) -> Generator[Sequence[Row], None, None]:
        """The rows of all jobs.

        Raises:
            StartRefused: the cluster cannot be reached, has no workers or another version of this program, or went away.
        """
        queue = Queue(jobs)
        with self._connected() as client:
            equipment = self._equip(client, task)
            try:
                yield from self._done(client, equipment, queue)
            finally:
                if client.status == "running":
                    client.unregister_worker_plugin(equipment)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        from distributed import Client, LocalCluster

        if self._processes:
            with (
                LocalCluster(
                    n_workers=self._processes, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", silence_logs="CRITICAL"
                ) as cluster,
                Client(cluster) as client,
            ):
                yield client
            return
        try:
            client = Client(self._address, timeout=PATIENCE_S)
        except (OSError, ValueError) as error:
            raise StartRefused(f"--cluster {self._address} cannot be reached: {error}", 1) from None
        with client:
            yield client

    def _equip(self, client: Any, task: Task) -> str:
        """Give every worker, and each that comes later, what it needs; the name of that."""
        from daemon.research.sweep.equipment import Equipment  # which needs Dask, as all of this does

        try:
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError:
            raise StartRefused(f"--cluster {self._address} has no workers; start some with `dask worker {self._address}`", 1) from None
        versions = set(client.run(_version).values())
        if versions != {__version__}:
            told = ", ".join(sorted(map(str, versions)))
            raise StartRefused(f"the workers of {self._address} have rebalanced {told}, and this is {__version__}; install the same", 1)
        # The workers of a cluster may be elsewhere, those that come later as well, and are told the panel with the task.
        plugin = Equipment(task, None if self._processes else task.panel.path.read_bytes())
        client.register_plugin(plugin)
        return plugin.name

    def _done(self, client: Any, equipment: str, queue: Queue) -> Iterator[Sequence[Row]]:
        from distributed import as_completed

        from daemon.research.sweep.equipment import work

        held: dict[Any, list[Job]] = {}
        finished = as_completed()

        def hand_out() -> None:
            threads = max(1, sum(client.nthreads().values()))
            while len(held) < AHEAD * threads and (piece := queue.take(threads)):
                future = client.submit(work, equipment, piece, pure=False)
                held[future] = piece
                finished.add(future)

        hand_out()
        for future in finished:
            jobs = held.pop(future)
            if future.status == "finished":
                rows, took_s = future.result()
                queue.learn(len(jobs), took_s)
            elif future.status == "error":
                self.lost += 1
                rows = queue.put_back(jobs, _why(future.exception()))
            else:
                raise StartRefused(f"the cluster {self._address} went away; what is done is kept, so start the same sweep again", 1)
            hand_out()
            yield rows
