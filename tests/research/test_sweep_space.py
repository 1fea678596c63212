"""What is swept: values as a person writes them, and a sentence for what cannot be one."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config import ConfigError, Variants, load
from daemon.parts import StartRefused
from daemon.research.sweep import folds
from daemon.research.sweep.space import Choices, Span, combinations, parameter, parameters
from daemon.research.sweep.sweeping import judged
from tests.research.files import configured

LOOKBACK = "strategies.momo.params.lookback"


@pytest.fixture
def variants(tmp_path: Path) -> Variants:
    """A configuration whose values are to be changed."""
    return Variants(configured(tmp_path, ["A/USDT", "B/USDT"], capital={"share": 0.9}), {})


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("20,40,60", (20, 40, 60)),
        ("0.1, 0.25", (Decimal("0.1"), Decimal("0.25"))),
        ("market,limit", ("market", "limit")),
        ("[A/USDT,B/USDT],[A/USDT]", (["A/USDT", "B/USDT"], ["A/USDT"])),
        ("true,false", (True, False)),
        ("null,0.2", (None, Decimal("0.2"))),
        ("10..30:10", (10, 20, 30)),
        ("0.1..0.35:0.1", (Decimal("0.1"), Decimal("0.2"), Decimal("0.3"))),
        ("-2..2:2", (-2, 0, 2)),
        ("5", (5,)),
    ],
)
def test_values_as_they_are_written(text: str, values: tuple[Any, ...]) -> None:
    """Lists and stepped ranges are their values, in order, whole numbers as such."""
    found = parameter("a.b", text)
    assert found == Choices("a.b", values)
    assert isinstance(found, Choices)
    assert [type(value) for value in found.values] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("a.b", "a.b is not PATH=VALUES"),
        ("a.b=", "a.b has no values"),
        ("a.b=1,,2", "a.b=1,,2 cannot be read"),
        ("a.b=1,1", "a.b has the value 1 twice"),
        ("a.b=5..1", "5..1 does not rise"),
        ("a.b=1..5:0", "no step, or too small a one"),
        ("a.b=0..5:log", "must begin above 0"),
        ("a.b=[1", "cannot be read"),
    ],
)
def test_what_is_no_value_is_a_sentence(written: str, told: str) -> None:
    """A slip on the command line is named, with what to write instead."""
    with pytest.raises(StartRefused, match="; ") as refused:
        combinations(parameters([written], None), 3, 1)
    assert told in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_file_says_the_same_as_the_command_line(tmp_path: Path) -> None:
    """`PATH: VALUES` of a file, as a list or as a text, is what `PATH=VALUES` is, and a key in both is refused."""
    file = tmp_path / "grid.yaml"
    file.write_text("a.b: [1, 2]\nc: 10..30:10\nd: 0.5\n")
    assert parameters([], file) == parameters(["a.b=1,2", "c=10..30:10", "d=0.5"], None)
    with pytest.raises(StartRefused, match=r"c is swept twice; write"):
        parameters(["c=1"], file)
    with pytest.raises(StartRefused, match=r"nothing is swept; add"):
        parameters([], None)


def test_a_grid_is_every_combination_once() -> None:
    """Every value meets every other, the last key changing fastest."""
    found = combinations(parameters(["a=1,2", "b=x,y,z"], None), None, 1)
    assert found == [{"a": a, "b": b} for a in (1, 2) for b in "xyz"]


def test_a_range_without_a_step_has_no_grid() -> None:
    """Endless values cannot all be tried, and the sentence says what can be done."""
    with pytest.raises(StartRefused, match=r"a: 1\.\.5 has no end of values; draw some with --random 100, or give it a step like 1\.\.5:1"):
        combinations(parameters(["a=1..5"], None), None, 1)


def test_too_many_runs_are_refused_before_they_are_made() -> None:
    """A grid of a billion combinations is a sentence, not a full memory."""
    with pytest.raises(StartRefused, match=r"1,000,000,000 runs are more than a sweep may have"):
        combinations(parameters([f"{key}=1..1000:1" for key in "abc"], None), None, 1)
    with pytest.raises(StartRefused, match=r"200,000 runs are more"):
        combinations(parameters(["a=1..9"], None), 200_000, 1)


def test_draws_are_different_repeatable_and_inside() -> None:
    """The same seed draws the same combinations, another seed others; none is drawn twice, and each value lies where it may."""
    space = parameters(["a=0.001..0.1:log", "b=1..6", "c=0.5..0.75", "d=x,y"], None)
    found = combinations(space, 300, 7)
    assert found == combinations(space, 300, 7)
    assert found[:50] == combinations(space, 50, 7)
    assert found != combinations(space, 300, 8)
    assert len({repr(each) for each in found}) == 300
    for each in found:
        assert Decimal("0.001") <= each["a"] <= Decimal("0.1")
        assert each["b"] in range(1, 7)
        assert Decimal("0.5") <= each["c"] <= Decimal("0.75")
        assert each["d"] in ("x", "y")
    counts = Counter(each["b"] for each in found)
    assert min(counts.values()) > 25, "whole numbers are drawn alike, the ends as well"
    below = sum(each["a"] < Decimal("0.01") for each in found)
    assert 110 < below < 190, "half of a range in logarithms lies below its geometric middle"


def test_no_more_is_drawn_than_there_is() -> None:
    """Ten different ones of four are refused instead of being sought for ever."""
    with pytest.raises(StartRefused, match=r"hardly more than 4 different combinations"):
        combinations(parameters(["a=1,2", "b=1,2"], None), 10, 1)


@given(low=st.integers(1, 50), more=st.integers(1, 500), seed=st.integers(0, 10**6), logarithmic=st.booleans())
def test_whole_ends_draw_whole_numbers(low: int, more: int, seed: int, logarithmic: bool) -> None:
    """Between two whole numbers only whole ones are drawn, never beyond the ends."""
    from random import Random

    drawn = Span("a", Decimal(low), Decimal(low + more), logarithmic).draw(Random(seed))
    assert isinstance(drawn, int)
    assert low <= drawn <= low + more


# --- paths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [LOOKBACK, "strategies[0].params.lookback", "strategies.0.params.lookback"])
def test_an_entry_goes_by_its_name_or_its_place(variants: Variants, path: str) -> None:
    """A path leads through a list by the name of an entry or by its number."""
    assert variants.config({path: 9}).strategies[0].params.lookback == 9
    assert variants.config({}).strategies[0].params.lookback == 5, "the file's own value is not changed by a variant"


def test_a_key_that_the_file_leaves_out_can_be_swept(variants: Variants) -> None:
    """Defaults may be swept as well as what is written."""
    assert variants.config({"execution.band": Decimal("0.07")}).execution.band == 0.07


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"strategies.mom.params.lookback": 9}, "strategies.mom.params.lookback has no entry mom; the entries are momo"),
        ({"strategies[3].share": 1}, "strategies[3].share has no entry 3; the entries are momo"),
        ({"universe.symbols[7]": "C/USDT"}, "universe.symbols[7] has no entry 7; use a number below 2"),
        ({"timeframe.length": 1}, "timeframe.length leads below a key that holds a single value; write"),
        ({"strategies..share": 1}, "strategies..share is not the path of a key; write it like"),
        (
            {"strategies.momo.params.lookbak": 9},
            "strategies[0].params.lookbak (from strategies.momo.params.lookbak=9) is not a parameter",
        ),
        ({LOOKBACK: 0}, f"strategies[0].params.lookback (from {LOOKBACK}=0)"),
        ({"risk.gros": 1}, "risk.gros (from risk.gros=1) is not a known key; did you mean gross?"),
        ({"execution.style": "twop"}, "execution.style (from execution.style) "),
        ({LOOKBACK: 5, "strategies[0].params": {"top": 1}}, f"strategies[0].params is changed by {LOOKBACK} as well; leave"),
    ],
)
def test_a_path_or_value_that_cannot_be_is_a_sentence(variants: Variants, changes: dict[str, Any], told: str) -> None:
    """What is wrong with a combination is said by the loader's own sentence, with the path as it was written."""
    with pytest.raises(ConfigError) as refused:
        variants.config(changes)
    assert any(told in problem for problem in refused.value.problems), refused.value.problems


def test_every_wrong_combination_is_told_before_anything_runs(variants: Variants) -> None:
    """All of a grid is judged, the first sentences are told, and the rest are counted."""
    tried = combinations(parameters([f"{LOOKBACK}=-30..-1:1"], None), None, 1)
    with pytest.raises(ConfigError) as refused:
        judged(variants, tried)
    assert len(refused.value.problems) == 11
    assert f"(from {LOOKBACK}=-30)" in refused.value.problems[0]
    assert refused.value.problems[-1] == "and 20 more like these"


def test_a_rule_between_keys_names_all_that_was_swept(tmp_path: Path) -> None:
    """Where two values are right alone and wrong together, both are named."""
    path = configured(
        tmp_path,
        ["A/USDT", "B/USDT"],
        strategies=[{"name": n, "use": "equal_weight", "share": 0.5} for n in ("one", "two")],
    )
    with pytest.raises(ConfigError, match=r"strategies\.one\.share=0\.8 and strategies\.two\.share=0\.7"):
        Variants(path, {}).config({"strategies.one.share": Decimal("0.8"), "strategies.two.share": Decimal("0.7")})


def test_a_variant_without_changes_is_the_file(tmp_path: Path) -> None:
    """Overrides of the environment hold for variants, too."""
    path = configured(tmp_path, ["A/USDT", "B/USDT"])
    environ = {"REBALANCED__STRATEGIES__0__PARAMS__TOP": "1"}
    found = Variants(path, environ)
    assert found.config({}) == found.base == load(path, environ)
    assert found.config({LOOKBACK: 7}).strategies[0].params.top == 1


# --- folds -----------------------------------------------------------------------------------------------------------


@given(days=st.integers(10, 400), train=st.integers(1, 60), test=st.integers(1, 40), anchored=st.booleans())
def test_no_fold_chooses_in_what_judges_it(days: int, train: int, test: int, anchored: bool) -> None:
    """Each train window ends where its test begins, tests follow one another without a gap, and none leaves the period."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    end = begin + timedelta(days=days)
    found = list(folds.folds(folds.Walk(timedelta(days=train), timedelta(days=test), anchored), begin, end))
    assert len(found) == max(0, (days - train) // test)
    for fold in found:
        assert fold.train.until == fold.test.after
        assert fold.train.after is not None
        assert fold.train.until is not None
        assert fold.test.until is not None
        assert begin <= fold.train.after < fold.train.until < fold.test.until <= end
        assert fold.train.after == begin if anchored else fold.train.until - fold.train.after == timedelta(days=train)
    assert all(one.test.until == other.test.after for one, other in pairwise(found))
