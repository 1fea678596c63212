"""The image, built from the locks on a base of Debian packages, and run as docs/container.md says: nothing to write to but its volume."""

import json
import resource
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.machines.machine import KEPT, ROOT, lacking, made, patiently

REASON: Final = lacking(mmdebstrap="mmdebstrap", podman="podman", runc="runc")
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

STORE: Final = KEPT / "podman"
BASE, IMAGE, NAME = "localhost/base:1", "localhost/rebalanced:tried", "rebalanced-tried"
VERSION: Final = "9.8.7"
# What docs/container.md gives it, and neither a network nor more files than this machine allows.
FILES: Final = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
CONFINED: Final = (
    "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --network none "
    f"--ulimit nofile={FILES}:{FILES} --ulimit nproc=1000:1000 -v rebalanced-tried:/var/lib/rebalanced"
).split()
DEMO: Final = "/opt/rebalanced/lib/python3.11/site-packages/daemon/ready/demo.yaml"


def podman(*words: str, within_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Podman with a store of the test's own."""
    own = [
        "--root",
        f"{STORE}/root",
        "--runroot",
        f"{STORE}/run",
        "--storage-driver",
        "vfs",
        "--cgroup-manager",
        "cgroupfs",
        "--runtime",
        "runc",
    ]
    return subprocess.run(["podman", *own, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=within_s, cwd=ROOT)


def must(*words: str, within_s: float = 120) -> str:
    done = podman(*words, within_s=within_s)
    assert done.returncode == 0, f"podman {' '.join(words)}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def events() -> set[str]:
    """What the daemon has said so far."""
    lines = podman("logs", NAME).stdout.splitlines()
    return {json.loads(line)["event"] for line in lines if line.startswith("{")}


@pytest.fixture(scope="module")
def image() -> Iterator[dict[str, Any]]:
    """The image as podman describes it."""
    STORE.mkdir(parents=True, exist_ok=True)
    trust = STORE / "pip.conf"
    trust.write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    mounts = ["-v", f"{trust}:/etc/pip.conf:ro", "-v", "/etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro"]
    try:
        must("import", "--quiet", str(made("base", "python3", "python3-venv", "ca-certificates")), BASE, within_s=600)
        given = ["--build-arg", f"BASE={BASE}", "--build-arg", f"VERSION={VERSION}", "--isolation", "chroot", "--network", "host", *mounts]
        must("build", "--quiet", "--format", "docker", *given, "--tag", IMAGE, ".", within_s=1800)
        (described,) = json.loads(must("image", "inspect", IMAGE))
        yield described
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
    assert image["Size"] < 900e6
    assert podman("run", "--rm", *CONFINED, "--entrypoint", "sh", IMAGE, "-c", "command -v pip hatchling gcc curl").stdout == ""


def test_it_trades_without_a_writable_root_and_ends_in_order(image: dict[str, Any]) -> None:
    """The demo starts, is healthy and trades with its volume alone to write to; SIGTERM ends it with code 0, and the journal is whole."""
    must("run", "--detach", "--name", NAME, "--env", "REBALANCED__LOGGING__FORMAT=json", *CONFINED, IMAGE)
    patiently(lambda: podman("exec", NAME, "rebalanced", "health").returncode == 0, 180)
    assert podman("healthcheck", "run", NAME).returncode == 0
    assert podman("exec", NAME, "sh", "-c", "touch /opt/x || touch /etc/x || touch /x").returncode != 0
    patiently(lambda: "order.filled" in events(), 180)
    must("stop", "--time", "60", NAME)
    assert must("inspect", "--format", "{{.State.ExitCode}}", NAME).strip() == "0"
    assert {"daemon.stopping", "daemon.none_open", "daemon.stopped"} <= events()
    assert "is whole" in must("run", "--rm", *CONFINED, IMAGE, "journal", "verify", DEMO)
