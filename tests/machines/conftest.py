"""Machines for the tests: a fresh Debian, on which a user has done what the README says."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.machines.machine import ROOT, Machine, made, source, trusting

# What a Debian has at least, whoever installs it.
FRESH = ("systemd", "systemd-sysv", "dbus", "ca-certificates")


def commands(heading: str, block: int = 0) -> list[str]:
    """The lines of a block of shell below a heading of the README, the first unless told, as root types them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"\n((?:    .+\n)+)", text)
    assert len(found) > block, f"the README has too few commands below {heading}"
    return [line.strip().split("  #")[0].removeprefix("sudo ") for line in found[block].splitlines()]


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A fresh Debian that has booted after the README's first commands; the last two, which need a systemd, are left to a test."""
    tar = made("debian", *FRESH)
    folder = ROOT / "build" / "machines" / tmp_path_factory.mktemp("machine").name
    root = folder / "root"
    shutil.rmtree(folder, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        subprocess.run(["tar", "-C", root, "-xf", tar], check=True)
        trusting(root)
        source(root / "root/rebalanced")
        made_here = Machine(root)
        for command in commands("## As a service")[:-2]:
            made_here.step(command)
        with made_here.booted():
            yield made_here
    finally:
        shutil.rmtree(folder, ignore_errors=True)
