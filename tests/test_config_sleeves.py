"""The keys of shares and sleeves: what is taken, what is refused, what comes of it, and in which words."""

from pathlib import Path

import pytest

from daemon.assembly.deciding import deciding
from daemon.config import load
from daemon.core.curves import HALF_LIFE, Curve
from tests.test_config import changed, read, refusals

SECOND = "  - {name: other, use: equal_weight, share: %s}\nrisk: {gross"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sleeves")


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (
            "even",
            "0.4",
            "strategies[0].share is neither a number nor a rule; write a number above 0 and at most 1, or equal, or inverse_volatility",
        ),
        ("equal", "0.4", "strategies[1].share is 0.4, and another's is equal; give all the same rule, or numbers"),
        (
            "equal",
            "inverse_volatility",
            "strategies[1].share is inverse_volatility, and another's is equal; give all the same rule, or numbers",
        ),
        ("0.6", "0.5", "strategies have shares that sum to 1.1, more than 1; lower some of them"),
    ],
)
def test_shares_are_numbers_or_one_rule(folder: Path, first: str, second: str, sentence: str) -> None:
    """Numbers sum to at most 1; a rule holds for all."""
    text = changed(("share: 0.6", f"share: {first}"), ("risk: {gross", SECOND % second))
    assert list(refusals(folder, text)) == [sentence]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("name: momo", "name: unassigned", "strategies[0].name stands for what no strategy has; give the strategy another name"),
        ("risk: {gross", "removed_strategies: sell\nrisk: {gross", "removed_strategies is not one of unwind, keep; write unwind or keep"),
    ],
)
def test_what_cannot_be_is_said(folder: Path, old: str, new: str, sentence: str) -> None:
    """In a sentence with the key and the remedy."""
    (said,) = refusals(folder, changed((old, new)))
    assert said.partition(" ")[0] == sentence.partition(" ")[0]
    assert sentence.partition("; ")[2].split()[-1] in said


def test_a_rule_divides_the_whole_capital(folder: Path) -> None:
    """Equal is alike from the first decision on; by volatility as well, until each has moved in bars enough to be judged."""
    for rule in ("equal", "inverse_volatility"):
        text = changed(("share: 0.6", f"share: {rule}"), ("risk: {gross", SECOND % rule))
        core = deciding(read(folder, text))
        assert core.runner.shares() == {"momo": 0.5, "other": 0.5}
        core.curves.sleeves.update(momo=Curve(bars=HALF_LIFE, variance=0.0001), other=Curve(bars=HALF_LIFE - 1, variance=0.0009))
        assert core.runner.shares() == {"momo": 0.5, "other": 0.5}
        core.curves.sleeves["other"].bars = HALF_LIFE
        expected = {"momo": 0.75, "other": 0.25} if rule == "inverse_volatility" else {"momo": 0.5, "other": 0.5}
        assert core.runner.shares() == pytest.approx(expected)


def test_shares_of_the_environment_are_read_alike(folder: Path) -> None:
    """A rule may come from a variable, as any key."""
    path = folder / "momentum.yaml"
    path.write_text(changed(("mode: sandbox", "mode: paper")).replace("share: 0.6", "share: 0.5"))
    assert load(path, {"REBALANCED__REMOVED_STRATEGIES": "keep"}).removed_strategies == "keep"
