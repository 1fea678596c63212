"""Fault list: runs every test that docs/faults.md names, so many times, and says of each fault what came of it.

`python -m tests.faultlist --times 3`, or `make faults`. Rule: a fault holds when each of its tests has passed each time.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

ROOT: Final = Path(__file__).parents[1]
TEXT: Final = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS: Final[list[tuple[str, str, str]]] = re.findall(r"^\| ([A-H]\d+) \| (.+?) \| (.+) \|$", TEXT, re.MULTILINE)
MACHINES: Final = "machines/"  # want root and a system to install; `make systemd` runs them

Counts = Mapping[tuple[str, str], tuple[int, int]]


def named(shown: str) -> list[tuple[str, str]]:
    """The tests of a row, by file and name."""
    return re.findall(r"`([a-z_/0-9]+\.py)::(test_\w+)`", shown)


def run(paths: Iterable[str], folder: Path) -> Counts:
    """By file and name, how many cases of a test have passed and how many have not; whole files, since their tests share a world."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "--timeout", "0", f"--junitxml={report}", "-o", "junit_family=xunit1", *paths]
    subprocess.run(command, cwd=ROOT, check=False, stdout=sys.stderr)
    found: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
        key = str(case.get("file")).removeprefix("tests/"), str(case.get("name")).partition("[")[0]
        passed, not_passed = found[key]
        well = case.find("failure") is None and case.find("error") is None and case.find("skipped") is None
        found[key] = (passed + well, not_passed + (not well))
    return found


def verdict(shown: str, runs: Iterable[Counts]) -> str:
    """What came of a row: held, or what has not passed, or was not there to pass."""
    bad = [
        f"{path}::{test}"
        for path, test in named(shown)
        if not path.startswith(MACHINES)
        for counts in runs
        if counts.get((path, test), (0, 1))[1]
    ]
    return "failed: " + " ".join(dict.fromkeys(bad)) if bad else "held"


def main() -> int:
    """Run them, and print a line for each fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.faultlist")
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    paths = sorted({f"tests/{path}" for _, _, shown in ROWS for path, _ in named(shown) if not path.startswith(MACHINES)})
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        runs = [run(paths, Path(folder)) for _ in range(asked.times)]
    verdicts = {fault: verdict(shown, runs) for fault, _, shown in ROWS}
    for fault, said in verdicts.items():
        print(f"{fault:5}{said}")  # noqa: T201
    held = sum(said == "held" for said in verdicts.values())
    print(f"{held} of {len(verdicts)} held, {asked.times} times in a row")  # noqa: T201
    return 0 if held == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
