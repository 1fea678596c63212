"""Configurations changed at random: each is taken whole, or refused in sentences, and no traceback reaches anybody.

Most are changed as trees, since reading a file of YAML takes forty times as long as judging what is in it; the reader is tried by itself.
"""

from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from daemon.config import ConfigError, load_all, resolve_secrets
from daemon.config.accounts import each_account
from daemon.config.loading import validated
from daemon.config.yamltext import parse
from tests.fuzz.mutations import SEED, cases, mutated

READY: Final = sorted((Path(__file__).resolve().parents[2] / "config").glob("*.yaml"))
NAMED: Final = Path("fuzzed.yaml")


def trees() -> list[Any]:
    """The ready configurations, as the reader makes trees of them."""
    return [parse(path.read_text(encoding="utf-8")).tree for path in READY]


def part(tree: Any, chance: Random) -> Any:
    """Some of the sections, what every configuration needs among them: so that what is changed is often what is looked at."""
    needed = ("name", "mode", "exchange", "accounts", "universe", "timeframe", "strategies")
    return {key: value for key, value in tree.items() if key in needed or chance.random() < 0.3}


def as_read(value: Any) -> Any:
    """A tree as the reader would have made it: no floats, no keys that are no text, no halves of characters."""
    if isinstance(value, dict):
        return {as_read(str(key)): as_read(each) for key, each in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [as_read(each) for each in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


def judged(tree: Any) -> list[str]:
    """Why a tree is not taken; nothing: it is."""
    try:
        for config in each_account(validated(NAMED, tree, (), lambda _: None)):
            assert config.mode in ("paper", "sandbox", "shadow", "live")
            resolve_secrets(config, {})
    except ConfigError as error:
        return str(error).splitlines()
    return []


def read(path: Path) -> list[str]:
    """The same of a file."""
    try:
        for config in load_all(path, {}):
            resolve_secrets(config, {})
    except ConfigError as error:
        return str(error).splitlines()
    return []


def in_order(lines: list[str], named: Path) -> None:
    """What is said of a configuration is for a person, about the file, and not the size of a book."""
    for line in lines:
        assert line.startswith(str(named)), line
        assert "Traceback" not in line
        assert len(line) < 10_000


def test_no_configuration_breaks_the_program() -> None:
    """Whatever stands where a value should, every complaint is a sentence that names the file, and nothing else comes of it."""
    chance, ready = Random(f"{SEED} config"), trees()
    taken = 0
    for number in range(cases(300)):
        tree = as_read(mutated(part(chance.choice(ready), chance), chance))
        try:
            lines = judged(tree) if isinstance(tree, dict) else []
        except Exception as error:
            pytest.fail(f"case {number}: {type(error).__name__}: {error} of {str(tree)[:3000]}")
        taken += not lines
        in_order(lines, NAMED)
    assert 0 < taken < cases(300), "some are taken, and some are refused"


def damaged(text: str, chance: Random) -> bytes:
    """Some lines of a file, of which a piece is missing, doubled or something else: an editor's slip, a half copied file."""
    lines = text.splitlines(keepends=True)
    first = chance.randrange(len(lines))
    some = "".join(lines[first : first + chance.randint(3, 25)]).encode()
    begin, end = sorted(chance.randrange(len(some) + 1) for _ in range(2))
    what = chance.random()
    if what < 0.4:
        return some[:begin] + some[end:]
    if what < 0.7:
        return some[:end] + some[begin:]
    between = bytes(chance.choice(b'\x00\xff\t\n :-#&*!|>%@`{}[]"\\,?xA1') for _ in range(chance.randint(1, 8)))
    return some[:begin] + between + some[begin:]


def test_no_text_breaks_the_reader(tmp_path: Path) -> None:
    """Whatever bytes stand in the file, it is read as YAML or refused in a sentence that says where."""
    chance, path = Random(f"{SEED} text"), tmp_path / NAMED
    texts = [each.read_text(encoding="utf-8") for each in READY]
    for number in range(cases(40)):
        path.write_bytes(damaged(chance.choice(texts), chance))
        try:
            lines = read(path)
        except Exception as error:
            pytest.fail(f"case {number}: {type(error).__name__}: {error} of {path.read_bytes()[:3000]!r}")
        in_order(lines, path)
