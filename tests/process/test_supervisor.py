"""Supervisor: what systemd is told of a start, a life and an end."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.io.journal import read
from tests.process.books import disagreements
from tests.process.support import PATIENCE_S, STOP_S, SYMBOLS, Daemon, Venue, environment, written


class Supervisor:
    """The other end of NOTIFY_SOCKET. It reads at once, as systemd does: the kernel keeps ten messages and drops the rest."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self.heard_at = 0.0  # monotonic seconds
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while message := self._socket.recv(4096):
            self.told.append(message.decode())
            self.heard_at = time.monotonic()

    def starved(self, watchdog_s: float) -> None:
        """Return once it has been told that the program lives, and then nothing for as long as systemd waits."""
        deadline = time.monotonic() + PATIENCE_S
        while "WATCHDOG=1" not in self.told or time.monotonic() - self.heard_at < watchdog_s:
            assert time.monotonic() < deadline, "the watchdog is fed for ever"
            time.sleep(0.05)

    def close(self) -> None:
        """End reading, by the empty message that nobody else sends."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()

    def environ(self, watchdog_s: float) -> dict[str, str]:
        """What systemd puts into a service's environment."""
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor that listens."""
    listening = Supervisor(tmp_path / "notify")
    yield listening
    listening.close()


def test_supervisor_is_told(supervisor: Supervisor, venue: Venue, tmp_path: Path) -> None:
    """READY once and before the first WATCHDOG, WATCHDOG while it runs, STOPPING once and at the end."""
    with Daemon(written(tmp_path, venue), supervisor.environ(0.6)) as daemon:
        daemon.settled()
        daemon.stop()
        ran_s = daemon.count("slice.closed")
    verbs = [message.partition("=")[0] for message in supervisor.told]
    assert (verbs.count("READY"), verbs.count("STOPPING")) == (1, 1)
    assert verbs.index("READY") < verbs.index("WATCHDOG") < verbs.index("STOPPING")
    assert verbs.count("WATCHDOG") >= 3 * ran_s, "a third of the interval lies between two"
    statuses = [message for message in supervisor.told if message.startswith("STATUS")]
    assert statuses == ["STATUS=connecting to the exchange", "STATUS=running, 4 symbols"]


def test_venue_outage_is_no_reason_for_a_restart(supervisor: Supervisor, tmp_path: Path) -> None:
    """Without its venue it is ready for the supervisor and keeps telling that it lives."""
    with Daemon(written(tmp_path, "http://127.0.0.1:9"), supervisor.environ(0.3)) as daemon:
        daemon.wait("exchange.unreachable", where=lambda line: line["next_probe_s"] > 1)
        daemon.stop()
    assert supervisor.told.count("READY=1") == 1
    assert supervisor.told.count("WATCHDOG=1") >= 5


def test_c12_a_loop_that_is_blocked_is_aborted_and_what_it_left_is_taken_up(supervisor: Supervisor, venue: Venue, tmp_path: Path) -> None:
    """A loop that stands still feeds no watchdog; the abort leaves its stack on stderr, and the next life loses and doubles nothing."""
    watchdog_s = 3.0  # a third of a heartbeat's interval each second, so that a busy machine is not taken for a blocked loop
    config = written(tmp_path, venue, every=2)
    frozen = ("tests.process.crashpoints", "freeze", "answer read, not handled", "2", "run")
    with Daemon(config, {**supervisor.environ(watchdog_s), "PYTHONFAULTHANDLER": "1"}, program=frozen) as daemon:
        supervisor.starved(watchdog_s)
        daemon.send(signal.SIGABRT)  # as systemd does
        assert daemon.end(at="when aborted") == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in daemon.stderr
        assert "in _freeze" in daemon.stderr, "the stack says where it stood"
    assert read(tmp_path / "momo.sqlite").open_orders, "the answer that was read is in no journal"
    with Daemon(config) as daemon:
        daemon.settled(2, within=2 * PATIENCE_S)
        daemon.stop()
    assert disagreements(venue.state(), tmp_path / "momo.sqlite", SYMBOLS) == []


def test_e14_a_pipe_that_nobody_reads_stops_nothing(venue: Venue, tmp_path: Path) -> None:
    """With the pipe of its log full and nobody reading, it trades on and ends in order."""
    config = written(tmp_path, venue, logging={"level": "debug"})
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)  # full within a second
    command = [sys.executable, "-m", "daemon", "run", str(config)]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=writing, stderr=subprocess.DEVNULL) as daemon:
        os.close(writing)
        deadline, orders = time.monotonic() + PATIENCE_S, 0
        while orders < 12:  # some waves: their lines would fill the pipe many times
            assert daemon.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
            orders = len(venue.state()["orders"])
        daemon.terminate()
        assert daemon.wait(STOP_S + 3.0) == 0  # the log is waited for, but not for ever
    with os.fdopen(reading, "rb") as pipe:
        assert len(pipe.read()) <= 2 * size
    assert read(tmp_path / "momo.sqlite").open_orders == ()
