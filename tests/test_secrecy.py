"""What the memory of the program holds stays there: no core file, nothing under /proc for others of the same user."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from daemon import secrecy
from tests.oneprocess import at_work, exchange, written

PR_GET_DUMPABLE: Final = 3
# The program up to its first verb, which is replaced by an end without order.
ABORTS: Final = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
from daemon.cli import main as cli
cli.app = lambda: __import__("os").abort()
{}
"""


def dumped(code: str, folder: Path) -> bool:
    """Whether the kernel dumps the core of a program that aborts."""
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", f"import os; os.chdir({str(folder)!r})\n{code}"], os.environ)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGABRT
    return os.WCOREDUMP(status)


def test_h3_no_core_is_dumped_of_what_knows_keys(tmp_path: Path) -> None:
    """A verb that aborts leaves no core, whatever the limits of the shell are; without the precaution it would."""
    if not dumped(ABORTS.format("cli.app()"), tmp_path):
        pytest.skip("this machine dumps no cores at all: ulimit -H -c is 0, or core_pattern leads nowhere")
    assert not dumped(ABORTS.format("cli.main()"), tmp_path)


def test_h3_the_memory_is_roots_alone() -> None:
    """The kernel is told that this process is not to be looked into, which keeps /proc/PID/environ and ptrace from its user."""
    code = (
        f"import ctypes; from daemon.secrecy import keep_to_itself as k; k(); print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}, 0, 0, 0, 0))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "0"


def test_other_users_programs_cannot_read_the_environment(tmp_path: Path) -> None:
    """Another process of the same user does not find a secret in /proc/PID/environ."""
    if os.getuid() != 0:
        pytest.skip("only root can start the two processes of another user that this takes")
    source = tmp_path / "secrecy.py"
    source.write_text(Path(secrecy.__file__).read_text())
    system = Path("/usr/bin/python3")
    if not system.exists():
        pytest.skip("there is no /usr/bin/python3 that another user could run")
    found = [looked_into(system, source.read_text(), begins) for begins in ("keep_to_itself()", "pass")]
    assert found == [False, True]


def modes_in(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}


async def test_nothing_that_is_written_is_for_others(tmp_path: Path) -> None:
    """Whatever the umask, the journal with all that lies beside it is the owner's alone."""
    umask = os.umask(0)
    try:
        async with exchange() as venue, at_work(written(tmp_path, venue.ccxt_urls())) as run:
            await run.settled()
            modes = {name: mode for name, mode in modes_in(tmp_path).items() if name != "momo.yaml"}
    finally:
        os.umask(umask)
    assert {"momo.sqlite", "momo.sqlite-wal", "momo.sqlite.lock"} <= set(modes)
    assert set(modes.values()) == {"0o600"}, modes


def looked_into(program: Path, source: str, begins: str) -> bool:
    """Whether a process of the user nobody reads the canary in the environment of another one."""
    nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
    code = f"{source}\n{begins}\nprint('ready', flush=True)\ninput()"
    with subprocess.Popen(
        [program, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"SECRET": "canary"}, text=True, cwd="/", **nobody
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        reader = subprocess.run(["/bin/cat", f"/proc/{holder.pid}/environ"], capture_output=True, cwd="/", **nobody)
        holder.communicate("\n")
    return b"canary" in reader.stdout
