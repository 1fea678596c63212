"""A Debian of the test's own: a root file system made of packages alone, and a real systemd booted in it.

What is made of packages is kept in build/machines/; each test begins with a fresh copy. Nothing outside that directory is changed.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = ROOT / "build" / "machines"
SUITE: Final = "bookworm"
MIRROR: Final = "http://deb.debian.org/debian"
PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE_S: Final = 120.0  # a machine boots within five seconds; the suite may run beside others

T = TypeVar("T")


def lacking(**packages: str) -> str:
    """Why no machine can be had here, in a sentence; "" if one can. `packages`: of each program, written with _, the package it is in."""
    if os.environ.get("REBALANCED_MACHINES") != "1":
        return "a machine of its own takes minutes: make systemd, make container"
    if os.geteuid() != 0:
        return "a machine of its own is made by root"
    missing = [package for program, package in packages.items() if shutil.which(program.replace("_", "-")) is None]
    return f"{', '.join(missing)} is not here: apt-get install {' '.join(missing)}" if missing else ""


def made(name: str, *packages: str, options: Sequence[str] = ("--variant=minbase",)) -> Path:
    """A tar of a root file system with these packages, kept from one run to the next. `options`: how mmdebstrap makes it."""
    path = KEPT / f"{name}.tar"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.tar")
        words = ["mmdebstrap", "--quiet", *options, f"--include={','.join(packages)}", SUITE, str(partial), MIRROR]
        subprocess.run(words, check=True)
        partial.rename(path)
    return path


def trusting(root: Path) -> None:
    """Have it reach what this machine reaches: its name servers, and whom it trusts."""
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")


def source(to: Path) -> None:
    """What a clone of this tree has."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


class Machine:
    """A root file system; once it has booted, with a systemd of its own and no network but its loopback."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps: list[tuple[str, float, float]] = []  # a user's commands, each with the seconds that it took and those of a processor
        self._leader = 0

    def does(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell as its root: in the booted machine, or before that with this machine's network."""
        inside = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "--"] if self._leader else ["chroot", str(self.root)]
        index = [f"{name}={value}" for name, value in os.environ.items() if name in {"PIP_CERT", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT"}]
        words = [*inside, "env", "-i", PATH, "HOME=/root", "DEBIAN_FRONTEND=noninteractive", *index, "sh", "-c", command]
        return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/")

    def must(self, command: str) -> str:
        """Its words, of a command that succeeds."""
        done = self.does(command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def step(self, command: str) -> str:
        """The words of a command that a user gives in the clone, and which is timed."""
        began, used = time.monotonic(), _used_s()
        said = self.must(f"cd /root/rebalanced && {command}")
        self.steps.append((command, time.monotonic() - began, _used_s() - used))
        return said

    @contextmanager
    def booted(self) -> Iterator[None]:
        """Its systemd, for as long as the block lasts."""
        words = ["systemd-nspawn", "-q", "-b", "-D", str(self.root), "--register=no", "--keep-unit", "--private-network", "--console=pipe"]
        with (self.root.parent / "console.log").open("wb") as console:
            running = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            self._leader = patiently(lambda: _leader(running.pid), PATIENCE_S)
            patiently(lambda: self.does("systemctl is-system-running").stdout.strip() in {"running", "degraded"}, PATIENCE_S)
            yield
        finally:
            self.does("systemctl poweroff")
            try:
                running.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
            self._leader = 0


def patiently(what: Callable[[], T], patience_s: float) -> T:
    """What is asked for until it is something, or no longer than this."""
    end = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < end, f"waited for {patience_s:g} s"
        time.sleep(0.2)
    return found


def _used_s() -> float:
    """Seconds that processors have worked for what was run here and has ended."""
    used = os.times()
    return used.children_user + used.children_system


def _leader(nspawn: int) -> int:
    """The machine's first process: the child in a name space of its own; 0 while there is none."""
    try:
        ours = Path("/proc/self/ns/pid").readlink()
        children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text(encoding="ascii").split()
        return next((int(child) for child in children if Path(f"/proc/{child}/ns/pid").readlink() != ours), 0)
    except OSError:
        return 0
