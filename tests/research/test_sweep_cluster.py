"""A sweep on Dask: the same bytes as without it, though a worker of the cluster is lost."""

import importlib.util
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from daemon.parts import StartRefused
from daemon.research.sweep.cluster import Cluster
from daemon.research.sweep.sweeping import sweep
from daemon.routes import routes
from tests.research.sweeps import asked, bars, made_here, silent, variants

DASK = importlib.util.find_spec("distributed") is not None
needs_dask = pytest.mark.skipif(not DASK, reason="Dask is not installed: `make cluster` adds it and runs this")
# Dask closes what it has opened when the interpreter collects it.
its_own_warnings = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::DeprecationWarning"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three symbols."""
    return bars(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """The sweep as this process makes it."""
    return made_here(tmp_path_factory.mktemp("plain"), data)


@pytest.mark.skipif(DASK, reason="Dask is installed, so that nothing is missing")
def test_without_dask_the_way_to_it_is_told() -> None:
    """Who asks for a cluster without having Dask reads what to install."""
    with pytest.raises(StartRefused, match=r"--cluster needs Dask; install rebalanced\[cluster\], in a clone by `make cluster`") as refused:
        Cluster("local:2")
    assert refused.value.exit_code == 2


@needs_dask
@its_own_warnings
def test_a_local_cluster_makes_the_same_bytes_though_a_worker_is_lost(tmp_path: Path, data: Path, plain: Path) -> None:
    """Two workers of Dask, one of which is killed when the first rows are in, leave the file that one process leaves."""
    from distributed import get_client

    killed: list[int] = []

    def kill(done: int, _total: int) -> None:
        if done and not killed:
            pids: dict[str, int] = get_client().run(os.getpid)
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGKILL)

    sweep(variants(plain.parent), asked(data, tmp_path / "out"), routes, Cluster("local:2"), kill)
    assert killed
    assert (tmp_path / "out" / "sweep.parquet").read_bytes() == (plain / "sweep.parquet").read_bytes()


@needs_dask
@its_own_warnings
def test_workers_elsewhere_are_told_the_bars(tmp_path: Path, data: Path, plain: Path) -> None:
    """A cluster at an address, whose workers do not see our files, gets the panel with the task, and leaves the same file."""
    from distributed import LocalCluster

    class Elsewhere(Cluster):
        """One whose workers find no panel where the task says."""

        def _equip(self, client: Any, task: Any) -> str:
            equipment = super()._equip(client, task)
            task.panel.path.unlink()
            return equipment

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        sweep(variants(plain.parent), asked(data, tmp_path / "out"), routes, Elsewhere(cluster.scheduler_address), silent)
    assert (tmp_path / "out" / "sweep.parquet").read_bytes() == (plain / "sweep.parquet").read_bytes()


@needs_dask
@its_own_warnings
def test_a_cluster_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path, plain: Path) -> None:
    """An address where nobody answers ends the sweep with a sentence, and what was done before is kept."""
    monkeypatch.setattr("daemon.research.sweep.cluster.PATIENCE_S", 0.5)
    with pytest.raises(StartRefused, match=r"--cluster tcp://127\.0\.0\.1:9 cannot be reached"):
        sweep(variants(plain.parent), asked(data, tmp_path / "out"), routes, Cluster("tcp://127.0.0.1:9"), silent)
