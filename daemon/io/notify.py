"""Notify: tells systemd how the daemon is (sd_notify).

Rule: telling never disturbs trading. Without a NOTIFY_SOCKET nothing happens; a message that cannot be delivered at once is lost.
"""

import os
import socket
from collections.abc import Mapping


class Notifier:
    """The service's side of systemd's notify protocol, over a non-blocking datagram socket. No method raises."""

    def __init__(self, address: str | None) -> None:
        """`address` is NOTIFY_SOCKET: a path, or @NAME in the abstract namespace. None or anything else makes every message a no-op."""
        self._address = _socket_address(address or "")
        self._socket: socket.socket | None = None
        self._sent: set[str] = set()
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def ready(self) -> None:
        """READY=1: started. Only the first call is sent."""
        self._once("READY=1")

    def reloading(self, monotonic_s: float) -> None:
        """RELOADING=1: the configuration is being read again; `reloaded` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_s * 1e6)}")

    def reloaded(self) -> None:
        """READY=1 once more: whatever came of it, the reload is over."""
        self._send("READY=1")

    def stopping(self) -> None:
        """STOPPING=1: ending in order. Only the first call is sent."""
        self._once("STOPPING=1")

    def status(self, text: str) -> None:
        """STATUS=text, one line, as `systemctl status` shows it."""
        self._send("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> None:
        """WATCHDOG=1: alive. The caller decides what alive means."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Release the socket; later messages go nowhere."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _once(self, message: str) -> None:
        if message not in self._sent:
            self._sent.add(message)
            self._send(message)

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError:
            return  # systemd is gone, slow or was never there; orders matter more


def _socket_address(address: str) -> str:
    if address.startswith("@"):
        return "\0" + address[1:]
    # The protocol knows vsock addresses too; they occur in virtual machines without a local systemd, where nobody of ours listens.
    return address if address.startswith("/") else ""


def watchdog_interval(environ: Mapping[str, str], pid: int | None = None) -> float | None:
    """Seconds between two WATCHDOG=1: a third of WATCHDOG_USEC, so that two may be late. None where systemd expects none from `pid`.

    `pid` is this process unless given. A WATCHDOG_PID of another process means that the request is not for us.
    """
    wanted = environ.get("WATCHDOG_PID")
    if wanted is not None and wanted != str(os.getpid() if pid is None else pid):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    if not (usec.isascii() and usec.isdigit()) or int(usec) == 0:
        return None
    return int(usec) / 3e6
