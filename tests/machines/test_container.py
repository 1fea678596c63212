"""The image, built from the locks on a base of Debian packages, and run as docs/container.md says: nothing to write to but its volume."""

import json
import resource
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest

from tests.machines.machine import KEPT, ROOT, lacking, made, patiently

REASON: Final = lacking(mmdebstrap="mmdebstrap", podman="podman", runc="runc")
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

STORE: Final = KEPT / "podman"
BASE, BUILDER, IMAGE, NAME = "localhost/base:1", "localhost/builder:1", "localhost/rebalanced:tried", "rebalanced-tried"
VERSION: Final = "9.8.7"
# As small as a Debian with a Python can be: no apt, no manuals, no translations.
LEAN: Final = ("--variant=essential", *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "info", "locale")))
NEEDED: Final = ("python3", "ca-certificates", "libstdc++6")  # numpy and pyarrow are linked to the last, as in any image of Python
SIZE_MAX: Final = 480e6  # of which the base is a third
# What docs/container.md gives it, and neither a network nor more files than this machine allows.
FILES: Final = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
CONFINED: Final = (
    "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --network none "
    f"--ulimit nofile={FILES}:{FILES} --ulimit nproc=1000:1000 -v rebalanced-tried:/var/lib/rebalanced"
).split()
PATIENCE_S: Final = 300.0  # a machine may be busy with other things
BUILD_S: Final = 3600.0
DEMO: Final = "/opt/rebalanced/lib/python3.11/site-packages/daemon/ready/demo.yaml"


def podman(*words: str, within_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Podman with a store of the test's own."""
    own = f"--root {STORE}/root --runroot {STORE}/run --storage-driver {driver()} --cgroup-manager cgroupfs --runtime runc".split()
    return subprocess.run(["podman", *own, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=within_s, cwd=ROOT)


@cache
def driver() -> str:
    """How the store keeps layers: one on top of the other where the file system can do that, else each as a whole copy."""
    asked = ["podman", "--root", f"{STORE}/asked", "--runroot", f"{STORE}/asking", "--storage-driver", "overlay", "info"]
    return "overlay" if subprocess.run(asked, capture_output=True).returncode == 0 else "vfs"


def must(*words: str, within_s: float = PATIENCE_S) -> str:
    done = podman(*words, within_s=within_s)
    assert done.returncode == 0, f"podman {' '.join(words)}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def events() -> set[str]:
    """What the daemon has said so far."""
    lines = podman("logs", NAME).stdout.splitlines()
    return {json.loads(line)["event"] for line in lines if line.startswith("{")}


def built(tag: str) -> dict[str, Any]:
    """The image, built from the locks without anything kept from an earlier time, as podman describes it."""
    trust = STORE / "pip.conf"
    trust.write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    mounts = ["-v", f"{trust}:/etc/pip.conf:ro", "-v", "/etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro"]
    given = [f"--build-arg={name}={value}" for name, value in {"BASE": BASE, "BUILDER": BUILDER, "VERSION": VERSION}.items()]
    how = ["--layers=false", "--timestamp=0", "--isolation=chroot", "--network=host", "--format=docker"]
    must("build", "--quiet", *how, *given, *mounts, "--tag", tag, ".", within_s=BUILD_S)
    (described,) = json.loads(must("image", "inspect", tag))
    found: dict[str, Any] = described
    return found


@pytest.fixture(scope="module")
def image() -> Iterator[dict[str, Any]]:
    """The image as podman describes it."""
    STORE.mkdir(parents=True, exist_ok=True)
    try:
        for name, tag, packages in (("lean", BASE, ()), ("builder", BUILDER, ("python3-venv",))):
            must("import", "--quiet", str(made(name, *NEEDED, *packages, options=LEAN)), tag, within_s=BUILD_S)
        yield built(IMAGE)
    finally:
        podman("rm", "--force", "--all")
        podman("volume", "rm", "--all", "--force")
        podman("rmi", "--all", "--force", within_s=600)
        shutil.rmtree(STORE, ignore_errors=True)


def test_the_image_says_what_it_is(image: dict[str, Any]) -> None:
    """A user without a name, the stop signal, labels, a health check by the program itself, and little beside it."""
    config = image["Config"]
    assert (config["User"], config["StopSignal"], config["Entrypoint"]) == ("65532:65532", "SIGTERM", ["rebalanced"])
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert (image.get("Healthcheck") or config["Healthcheck"])["Test"] == ["CMD", "rebalanced", "health"]
    assert image["Size"] < SIZE_MAX
    assert podman("run", "--rm", *CONFINED, "--entrypoint", "sh", IMAGE, "-c", "command -v pip hatchling gcc curl").stdout == ""


def test_it_trades_without_a_writable_root_and_ends_in_order(image: dict[str, Any]) -> None:
    """The demo starts, is healthy and trades with its volume alone to write to; SIGTERM ends it with code 0, and the journal is whole."""
    must("run", "--detach", "--name", NAME, "--env", "REBALANCED__LOGGING__FORMAT=json", *CONFINED, IMAGE)
    patiently(lambda: podman("exec", NAME, "rebalanced", "health").returncode == 0, PATIENCE_S)
    assert podman("healthcheck", "run", NAME).returncode == 0
    assert podman("exec", NAME, "sh", "-c", "touch /opt/x || touch /etc/x || touch /x").returncode != 0
    patiently(lambda: "order.filled" in events(), PATIENCE_S)
    must("stop", "--time", "60", NAME)
    assert must("inspect", "--format", "{{.State.ExitCode}}", NAME).strip() == "0"
    assert {"daemon.stopping", "daemon.none_open", "daemon.stopped"} <= events()
    assert "is whole" in must("run", "--rm", *CONFINED, IMAGE, "journal", "verify", DEMO)


def test_every_exchange_and_every_file_is_there_after_the_slimming(image: dict[str, Any]) -> None:
    """Each class of ccxt loads, a file is written and read, and a report finds its script; nothing needs what was taken out."""
    tried = must("run", "--rm", *CONFINED, "--entrypoint", "python", IMAGE, "-c", LOADS)
    assert int(tried) > 100


LOADS: Final = """
import pyarrow
from pyarrow import parquet
from daemon.io.ccxt_library import ccxt
from daemon.research.report.page import _plotly
found = {getattr(package, name) for package in (ccxt.pro, ccxt.async_support) for name in package.exchanges}
parquet.write_table(pyarrow.table({"a": [1, 2]}), "/tmp/tried.parquet", compression="zstd")
assert parquet.read_table("/tmp/tried.parquet").num_rows == 2 and len(_plotly()) > 1e6
print(len(found))
"""


def test_a_second_build_has_the_same_content(image: dict[str, Any]) -> None:
    """Built anew from the same tree and locks, every layer has the digest that it had."""
    assert built(f"{IMAGE}-again")["RootFS"]["Layers"] == image["RootFS"]["Layers"]
