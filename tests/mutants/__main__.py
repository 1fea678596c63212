"""Mutants: breaks the safety core line by line in a copy, and says which breaks no test notices. `make mutants`."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutants.mutants import ASKED, MUTANTS, Mutant

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("daemon", "strategies", "tests", "config", "docs", "pyproject.toml")
AIM: Final = 0.85
PATIENCE_S: Final = 240.0  # one that hangs is noticed too


def copied(folder: Path) -> None:
    """Put what the tests need into a folder, where it may be broken."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def fails(folder: Path, files: Sequence[str]) -> bool:
    """Whether one of these tests fails there."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    try:
        return (
            subprocess.run(
                command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, timeout=PATIENCE_S
            ).returncode
            != 0
        )
    except subprocess.TimeoutExpired:
        return True


def noticed(mutant: Mutant, folder: Path, *, near: bool) -> str:
    """What became of a mutant: noticed, survived, or gone, where its line is not there any more."""
    file = folder / mutant.path
    text = file.read_text(encoding="utf-8")
    if text.count(mutant.original) != 1:
        return "gone"
    file.write_text(text.replace(mutant.original, mutant.changed), encoding="utf-8")
    try:
        asked = ASKED[mutant.path][:1] if near else ASKED[mutant.path]
        return "noticed" if any(fails(folder, (tests,)) for tests in asked) else "survived"
    finally:
        file.write_text(text, encoding="utf-8")


def main() -> int:
    """Break one line after the other, and tell what was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--near", action="store_true", help="ask the nearest tests alone, which is quick")
    parser.add_argument("--part", default="0/1", help="1/4: every fourth, from the second on")
    given = parser.parse_args()
    first, step = map(int, given.part.split("/"))
    began, found = time.monotonic(), {"noticed": 0, "survived": 0, "gone": 0}
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        folder = Path(temporary)
        copied(folder)
        for tests in sorted({each for asked in ASKED.values() for each in (asked[:1] if given.near else asked)}):
            assert not fails(folder, (tests,)), f"{tests} fails as it is"
        for mutant in MUTANTS[first::step]:
            what = noticed(mutant, folder, near=given.near)
            found[what] += 1
            print(".", end="", flush=True)  # noqa: T201
            if what != "noticed":
                print(f"\n{what}: {mutant.path}: {mutant.original.strip()!r} -> {mutant.changed.strip()!r}", flush=True)  # noqa: T201
    share = found["noticed"] / (found["noticed"] + found["survived"])
    print(f"\n{found}, {share:.0%} noticed, {time.monotonic() - began:.0f} s")  # noqa: T201
    return 0 if share >= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
