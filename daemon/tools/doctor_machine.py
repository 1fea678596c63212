"""Machine checks of `rebalanced doctor`: interpreter and packages, clock, disk, permissions, the journal.

Rule: what is written, is written beside the journal and removed at once; nothing of the daemon's is changed.
"""

import ctypes
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Final

from daemon.config import Config
from daemon.io import journal
from daemon.tools.findings import Finding, failed, ok, warning

PYTHON_MIN: Final = (3, 11)
FREE_MIN: Final = 100 << 20  # bytes: days of a busy journal
FREE_WISHED: Final = 1 << 30
FSYNC_WISHED_S: Final = 0.05  # an order waits for one: a usual disk takes some ms
FSYNC_MAX_S: Final = 1.0
FSYNC_TIMES: Final = 9
MINE_ALONE: Final = "chmod 600"

# adjtimex(2): the offset of `status` in struct timex of 64-bit Linux, and its bit "unsynchronised".
_STATUS_AT: Final = 40
_UNSYNC: Final = 0x40


def program() -> Iterator[Finding]:
    """The interpreter, and the packages against what the program was tried with."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON_MIN:
        yield failed("python", f"Python {version} is too old", "install Python 3.11 or newer, and the program anew under it")
    else:
        yield ok("python", f"Python {version}")
    old = [text for requirement in metadata.requires("rebalanced") or () if (text := _too_old(requirement))]
    if old:
        yield failed("packages", f"{'; '.join(old)}", "install the program anew, with the versions of requirements.lock")
    else:
        yield ok("packages", "every package is at least what was tried")


def _too_old(requirement: str) -> str:
    """What is wrong with a package that is needed, "" if nothing is; extras are not."""
    found = re.match(r"([A-Za-z0-9._-]+)>=([0-9.]+)$", requirement.strip())
    if found is None:
        return ""
    name, wanted = found.groups()
    try:
        have = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is missing"
    return f"{name} {have} is older than {wanted}" if _numbers(have) < _numbers(wanted) else ""


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)][:4]


def clock(status: Callable[[], int | None] | None = None) -> Finding:
    """Whether something keeps the clock of this machine right. `status`: as adjtimex tells, None where it does not."""
    told = (status or _kernel_status)()
    if told is None:
        return warning(
            "clock_service", "the kernel does not say whether the clock is kept right", "see that chrony or systemd-timesyncd runs"
        )
    if told & _UNSYNC:
        return warning("clock_service", "nothing keeps the clock of this machine right", "timedatectl set-ntp true, or install chrony")
    return ok("clock_service", "the clock of this machine is kept right")


def _kernel_status() -> int | None:
    """The status word of the kernel's clock; reading it needs no rights."""
    try:
        buffer = ctypes.create_string_buffer(512)
        if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    return int.from_bytes(buffer.raw[_STATUS_AT : _STATUS_AT + 4], sys.byteorder)


def disk(path: Path, timed: Callable[[Path], float] | None = None) -> Iterator[Finding]:
    """Room where the journal is, and how long it takes until something is on disk. `timed` does the latter, in seconds."""
    folder = next(each for each in (path.parent, *path.parent.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    said = f"{free / (1 << 30):.1f} GB are free at {folder}"
    if free < FREE_MIN:
        yield failed("disk_space", said, "make room: a journal that cannot be written ends the daemon")
    elif free < FREE_WISHED:
        yield warning("disk_space", said, "make room before it is less than 100 MB")
    else:
        yield ok("disk_space", said)
    try:
        took_s = (timed or synced)(folder)
    except OSError as error:
        yield failed(
            "disk_write", f"{folder} cannot be written ({error.strerror})", "give it to the user who runs the daemon, or set journal.path"
        )
        return
    said = f"a commit takes {took_s * 1000:.1f} ms at {folder}"
    if took_s > FSYNC_MAX_S:
        yield failed("disk_write", said, "use a local disk: every order waits for a commit")
    elif took_s > FSYNC_WISHED_S:
        yield warning("disk_write", said, "every order waits for a commit; a local solid-state disk takes a few")
    else:
        yield ok("disk_write", said)


def synced(folder: Path) -> float:
    """The median time until a page is on disk, in seconds. OSError: it cannot be written."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as out:
        for _ in range(FSYNC_TIMES):
            out.write(bytes(4096))
            out.flush()
            began = time.perf_counter()
            os.fsync(out.fileno())
            times.append(time.perf_counter() - began)
    return median(times)


def permissions(settings: Config, journal_path: Path) -> Iterator[Finding]:
    """Who may change what is configured, and read what is recorded."""
    source = settings.source
    loose = [path for path in (source, source.absolute().parent) if _mode(path) & stat.S_IWOTH and not _mode(path) & stat.S_ISVTX]
    if loose:
        yield failed("config_file", f"{loose[0]} can be changed by everybody", f"chmod o-w {loose[0]}: who changes it commands the money")
    else:
        yield ok("config_file", f"{source} is not everybody's to change")
    if not journal_path.exists():
        yield ok("journal_file", f"{journal_path} will be made for its owner alone")
    elif _mode(journal_path) & (stat.S_IRWXG | stat.S_IRWXO):
        yield failed("journal_file", f"{journal_path} can be read by others", f"{MINE_ALONE} {journal_path}")
    else:
        yield ok("journal_file", f"{journal_path} is its owner's alone")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def record(path: Path) -> Finding:
    """Whether the journal is whole."""
    if not path.exists():
        return ok("journal", "there is none yet; the first start makes it")
    try:
        rows = journal.verify(path)
    except journal.JournalError as error:
        return failed("journal", str(error), "see docs/journal.md; `rebalanced journal verify` tells the same")
    return ok("journal", f"{path} is whole: {sum(rows.values())} rows")
