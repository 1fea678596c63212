"""An environment of its own for every peer: its exact versions, made once, and left out with a word where it cannot be."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
BUILD: Final = HERE.parents[2] / "build" / "peers"
PATIENCE_S: Final = 900.0


class NotThere(Exception):
    """The peer cannot be run here. Its text says why."""


def python(name: str) -> Path:
    """The interpreter of a peer's environment, which is made if it is not there or its versions have changed.

    Raises:
        NotThere: its packages cannot be installed.
    """
    lock, folder = HERE / f"{name}.txt", BUILD / name
    made, interpreter = folder / "made", folder / "bin" / "python"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest() + sys.version
    if made.exists() and made.read_text() == wanted:
        return interpreter
    told(f"Installing {name} into {folder}.")
    for command in (
        [sys.executable, "-m", "venv", "--clear", folder],
        [interpreter, "-m", "pip", "install", "-q", "--no-deps", "-r", lock],
    ):
        try:
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise NotThere(f"{name} was not installed within {PATIENCE_S:g} s") from None
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines() or ["no reason was given"]
            raise NotThere(f"{name} does not install: {errors[0]}")
    made.write_text(wanted)
    return interpreter


def run(interpreter: Path, *arguments: str | Path, module: str = "") -> str:
    """What a fresh process says: a script of this folder, or a module of the tests. NotThere: it fails."""
    command = [interpreter, *(["-m", module] if module else [HERE / arguments[0]]), *(arguments if module else arguments[1:])]
    quiet = {"PYTHONWARNINGS": "ignore", "PYTHONPATH": "" if not module else str(HERE.parents[2])}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=os.environ | quiet, cwd=HERE.parents[2])
    if done.returncode:
        raise NotThere((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return done.stdout.strip().splitlines()[-1]


def told(text: str) -> None:
    """A line of progress, beside the tables."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - it is a program
