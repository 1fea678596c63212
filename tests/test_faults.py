"""The list of faults is whole: each has its test, or the feature that it waits for."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent
TEXT: Final = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS: Final[list[tuple[str, str, str]]] = re.findall(r"^\| ([A-H]\d+) \| (.+?) \| (.+) \|$", TEXT, re.MULTILINE)
COUNTS: Final = {"A": 21, "B": 15, "C": 12, "D": 21, "E": 16, "F": 9, "G": 6, "H": 11}
LATER: Final[frozenset[str]] = frozenset()  # features that are not built yet


@cache
def names_in(path: str) -> frozenset[str]:
    """The functions of a file of tests."""
    file = TESTS / path
    tree = ast.parse(file.read_text(encoding="utf-8") if file.exists() else "")
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def wrong(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    """What is not as the list says, row by row."""
    for fault, _, shown in rows:
        named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", shown)
        yield from (f"{fault}: there is no {test} in {path}" for path, test in named if test not in names_in(path))
        if shown.startswith("later, ") != (fault in LATER):
            yield f"{fault}: {shown}"
        if not named and fault not in LATER:
            yield f"{fault} is shown by nothing"


def test_every_fault_is_listed_once() -> None:
    """All 111, in order, none twice."""
    assert [fault for fault, _, _ in ROWS] == [f"{group}{n}" for group, count in COUNTS.items() for n in range(1, count + 1)]


def test_every_fault_has_its_test() -> None:
    """What shows it exists under that name; what waits for a feature says so and is named here."""
    assert list(wrong(ROWS)) == []


def test_a_wrong_row_is_found() -> None:
    """A test that is not there, a fault that nothing shows, and one that is put off without a reason are offences."""
    rows = [("A1", "", "`test_faults.py::test_nothing`"), ("A2", "", "somehow"), ("A3", "", "later, perhaps")]
    assert len({sentence.split()[0].rstrip(":") for sentence in wrong(rows)}) == 3
