"""The mutants are breaks of lines that are there; `make mutants` asks the suite about each."""

from tests.mutants.__main__ import ROOT
from tests.mutants.mutants import ASKED, MUTANTS


def test_the_lines_that_are_broken_are_there() -> None:
    """A mutant whose line has gone breaks nothing and proves nothing: at least fifty stand, each once in its file, and each has tests."""
    standing = [mutant for mutant in MUTANTS if (ROOT / mutant.path).read_text(encoding="utf-8").count(mutant.original) == 1]
    assert len(standing) >= 50
    assert all((ROOT / tests).exists() for mutant in MUTANTS for tests in ASKED[mutant.path])
