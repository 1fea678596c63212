"""The list of faults is whole: each has its test, or the feature that it waits for."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from tests import faultlist
from tests.faultlist import ROWS, named

TESTS: Final = Path(__file__).parent
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
        tests = named(shown)
        yield from (f"{fault}: there is no {test} in {path}" for path, test in tests if test not in names_in(path))
        if shown.startswith("later, ") != (fault in LATER):
            yield f"{fault}: {shown}"
        if not tests and fault not in LATER:
            yield f"{fault} is shown by nothing"


def test_every_fault_is_listed_once() -> None:
    """All 111, in order, none twice."""
    assert [fault for fault, _, _ in ROWS] == [f"{group}{n}" for group, count in COUNTS.items() for n in range(1, count + 1)]


def test_every_fault_has_its_test() -> None:
    """What shows it exists under that name; what waits for a feature says so and is named here."""
    assert list(wrong(ROWS)) == []


def test_a_row_holds_when_all_of_its_tests_have_passed_each_time() -> None:
    """`make faults` counts a test that has failed once, or that was not there, against its fault."""
    row = "`a.py::test_one` `b.py::test_two` and, elsewhere, `machines/c.py::test_three`"
    good = {("a.py", "test_one"): (3, 0), ("b.py", "test_two"): (1, 0)}
    assert faultlist.verdict(row, [good, good]) == "held"
    assert faultlist.verdict(row, [good, good | {("b.py", "test_two"): (0, 1)}]) == "failed: b.py::test_two"
    assert faultlist.verdict(row, [{("b.py", "test_two"): (1, 0)}]) == "failed: a.py::test_one"


def test_a_wrong_row_is_found() -> None:
    """A test that is not there, a fault that nothing shows, and one that is put off without a reason are offences."""
    rows = [("A1", "", "`test_faults.py::test_nothing`"), ("A2", "", "somehow"), ("A3", "", "later, perhaps")]
    assert len({sentence.split()[0].rstrip(":") for sentence in wrong(rows)}) == 3
