"""YAML and environment: what a text means, and what is said of one that means nothing."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.config import ConfigError, load
from daemon.config.yamltext import YamlMistake, parse
from tests.test_config import SAMPLE, SENTENCE, complaint, folder, read, refusals, toy_registry

__all__ = ["folder", "toy_registry"]  # fixtures, which count in this file too


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NO", "NO"),
        ("ON", "ON"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("010", 10),
        ("0o10", 8),
        ("1e3", Decimal("1e3")),
        ("0.1000", Decimal("0.1000")),
        ("123456789012345678.123456789", Decimal("123456789012345678.123456789")),
        ("2024-01-02", "2024-01-02"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ('"1.5"', "1.5"),
        ("~", None),
        ("true", True),
        ("-.inf", Decimal("-inf")),
        ("!!str 5", "5"),
    ],
)
def test_yaml_traps(written: str, meant: object) -> None:
    """YAML 1.2 means what a person reads, and a number keeps its digits."""
    value = parse(f"key: {written}").tree["key"]
    assert (value, type(value), str(value)) == (meant, type(meant), str(meant))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: !!python/object/apply:os.system ['true']", "line 1 has a tag"),
        ("a: !!timestamp 2024-01-02", "line 1 has a tag"),
        ("\na: &x 1\nb: *x", "line 2 has an anchor"),
        ("a: &x 1\nb: &x 2", "line 1 has an anchor"),
        ("a: &x [*x]", "line 1 has an anchor"),
        ('a: 1\nb: "\\ud800"', "line 2 has half of a character"),
        ('"\\udfff": 1', "line 1 has half of a character"),
        ("a: *canary", "line 1, column 4 is not YAML"),
        ("a:\n\tb: 1", "line 2 is indented with a tab"),
        ("a: [1", "line 1, column 6 is not YAML"),
        ("a: b: c", "line 1, column 5 is not YAML"),
        ('a: "\\UFFFFFFFF"', "the file is not YAML"),
        ("a: 1\n---\nb: 2", "line 2 begins a second document"),
        ("1: 2", "line 1 has a key that is not text"),
        ("? [a]\n: 2", "line 1 has a key that is not text"),
        ("a: " + "1" * 61, "line 1 has a number that cannot be read"),
        ("a: 1e9999999999999999999", "line 1 has a number that cannot be read"),
        ("a: " + "[" * 30 + "]" * 30, "line 1"),
        ("a: \x07", "line 1 has a character"),
        ("#" * 1_000_001, "the file is too long"),
    ],
)
def test_text_that_is_not_a_configuration(folder: Path, text: str, where: str) -> None:
    """What YAML cannot say, or should not, is one sentence with its line."""
    (problem,) = refusals(folder, text)
    assert problem.startswith(where)
    assert "canary" not in problem


def test_keys_that_stand_twice(folder: Path) -> None:
    """A repeated key is an error that names both lines, at any depth, and does not hide other mistakes."""
    problems = refusals(folder, SAMPLE + "risk: {gross: 1, gross: 0.5}\nmood: 1\n")
    assert problems[0].startswith("risk.gross stands in line 28 and again in line 28")
    assert problems[1].startswith("risk stands in line 22 and again in line 28")
    assert problems[2].startswith("mood is not a known key")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Each file that is no configuration is one sentence that names it."""
    for name, content in {"empty": b"", "comment": b"# nothing\n", "list": b"- a\n", "latin": b"a: 1\nb: \xe9\n", "word": b"word"}.items():
        refusals(tmp_path, content)
        assert name
    for path, what in (
        (tmp_path / "absent.yaml", "does not exist"),
        (tmp_path, "is a directory"),
        (Path("/dev/null/x.yaml"), "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=what) as refused:
            load(path, {})
        assert refused.value.problems[0].startswith(f"{path}: the file {what}")


def test_bom_and_windows_lines(folder: Path) -> None:
    """A file saved by a Windows editor is the same configuration."""
    assert read(folder, b"\xef\xbb\xbf" + SAMPLE.replace("\n", "\r\n").encode()) == read(folder, SAMPLE)


def test_environment_overrides_keys(folder: Path) -> None:
    """REBALANCED__A__B stands for a: {b: }, in lists by index, a whole section before a key in it."""
    config = read(
        folder,
        SAMPLE,
        REBALANCED__STRATEGIES__0__SHARE="0.50",
        REBALANCED__STRATEGIES__0__PARAMS__TOP="1",
        REBALANCED__RISK__WEIGHT_MAX="0.2",
        REBALANCED__RISK="{gross: 0.3}",
        REBALANCED__PAPER__BALANCES__ETH="1.50",
        REBALANCED__EXCHANGE__CCXT__urls__api='{"public": "http://127.0.0.1:1/api"}',
        REBALANCED__UNIVERSE__SYMBOLS__2="SOL/USDT",
        REBALANCED_API_KEY="not an override",
    )
    assert (config.strategies[0].share, config.strategies[0].params.top) == (Decimal("0.50"), 1)
    assert (config.risk.gross, config.risk.weight_max) == (0.3, 0.2)
    assert config.paper.balances == {"USDT": 10000, "BTC": Decimal("0.10"), "ETH": Decimal("1.50")}
    assert config.exchange.ccxt["urls"] == {"api": {"public": "http://127.0.0.1:1/api"}}
    assert config.universe.symbols[2] == "SOL/USDT"


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("REBALANCED__RISK__GROS", "1", "risk.gros (from REBALANCED__RISK__GROS) is not a known key; did you mean gross?"),
        ("REBALANCED__RISC__GROSS", "1", "risc (from REBALANCED__RISC__GROSS) is not a known key; did you mean risk?"),
        ("REBALANCED__RISK__GROSS", "2", "risk.gross (from REBALANCED__RISK__GROSS) is above 1, and spot cannot owe; write 1 or less"),
        ("REBALANCED__RISK__GROSS", "[", "REBALANCED__RISK__GROSS is not YAML; check indentation, colons, quotes and brackets there"),
        ("REBALANCED__RISK", "{gross: 1, gross: 1}", "REBALANCED__RISK has the same key twice; keep one of the two"),
        (
            "REBALANCED__STRATEGIES__9__SHARE",
            "1",
            "REBALANCED__STRATEGIES__9__SHARE does not name an entry of the list; use a number from 0 to 1 there",
        ),
        ("REBALANCED__MODE__X", "1", "REBALANCED__MODE__X lies below a key that holds a single value; correct the name of the variable"),
        ("REBALANCED__", "1", "REBALANCED__ names no key; write REBALANCED__A__B for the key b of a"),
    ],
)
def test_wrong_override_names_its_variable(folder: Path, variable: str, value: str, sentence: str) -> None:
    """An override that fits nowhere is an error like any other, and says where it came from."""
    assert refusals(folder, SAMPLE, **{variable: value}) == (sentence,)


def test_two_overrides_of_one_key(folder: Path) -> None:
    """Two variables for one key are an error, not a matter of order."""
    (problem,) = refusals(folder, SAMPLE, REBALANCED__MODE="paper", REBALANCED__mode="live")
    assert "gives the same key as" in problem


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_text_is_a_config_or_a_config_error(folder: Path, data: st.DataObject) -> None:
    """No text, however broken, ends in anything but a configuration or sentences."""
    start = data.draw(st.integers(0, len(SAMPLE)))
    end = data.draw(st.integers(start, min(len(SAMPLE), start + 12)))
    noise = data.draw(st.text(alphabet=st.sampled_from("aZ09.:,;{}[]\"'&*!|>-%@`#\\\t\n ~?\x00\ud7ff"), max_size=8))
    error = complaint(lambda: read(folder, SAMPLE[:start] + noise + SAMPLE[end:]))
    if isinstance(error, ConfigError):
        assert all(SENTENCE.fullmatch(each) for each in error.problems), error.problems


def test_yaml_mistake_is_an_exception_of_the_parser() -> None:
    """The parser's own error says the same as the sentence made of it."""
    with pytest.raises(YamlMistake) as refused:
        parse("a: [")
    assert refused.value.place == "line 1, column 5"
