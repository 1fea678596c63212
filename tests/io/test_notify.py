"""What systemd hears, over a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.io.notify import Notifier, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd holds one, and the address it puts into NOTIFY_SOCKET."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@rebalanced-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address if address[0] == "/" else "\0" + address[1:])
        receiver.settimeout(2)
        yield receiver, address


def test_messages_arrive_in_order(ear: tuple[socket.socket, str]) -> None:
    """A life tells STATUS, READY, WATCHDOG and STOPPING in just that order, READY and STOPPING once however often they are said."""
    receiver, address = ear
    notifier = Notifier(address)
    notifier.status("starting:\nmarkets")
    notifier.ready()
    notifier.ready()
    notifier.watchdog()
    notifier.stopping()
    notifier.stopping()
    notifier.watchdog()
    notifier.close()
    heard = [receiver.recv(4096).decode() for _ in range(5)]
    assert heard == ["STATUS=starting: markets", "READY=1", "WATCHDOG=1", "STOPPING=1", "WATCHDOG=1"]


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative", "/nowhere/at/all", "/" + 200 * "long"])
def test_nobody_listening_disturbs_nothing(address: str | None) -> None:
    """Without a socket, or with one that cannot be reached, every message is silently lost."""
    notifier = Notifier(address)
    notifier.ready()
    notifier.status("fine")
    notifier.close()
    notifier.watchdog()


def test_a_full_socket_does_not_block(ear: tuple[socket.socket, str]) -> None:
    """A systemd that does not read cannot stop the loop: messages beyond its buffer are lost."""
    notifier = Notifier(ear[1])
    for _ in range(10_000):
        notifier.watchdog()
    notifier.close()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
    ],
)
def test_the_watchdog_is_fed_three_times_a_period(environ: dict[str, str], seconds: float | None) -> None:
    """The interval is a third of WATCHDOG_USEC, and none when systemd means another process or says nothing usable."""
    assert watchdog_interval(environ, pid=7) == seconds
