"""Configurations changed at random: each is taken whole, or refused in sentences, and no traceback reaches anybody."""

import json
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from daemon.config import ConfigError, load_all, resolve_secrets
from tests.fuzz.mutations import SEED, cases, mutated

READY: Final = sorted((Path(__file__).resolve().parents[2] / "config").glob("*.yaml"))


def trees() -> list[Any]:
    """The ready configurations, as plain values."""
    reader = YAML(typ="safe")
    return [reader.load(path.read_text(encoding="utf-8")) for path in READY]


def written(path: Path, tree: Any, chance: Random) -> None:
    """As YAML, of which a piece is missing or doubled now and then: an editor's slip, a half copied file."""
    path.write_text(json.dumps(tree, ensure_ascii=chance.random() < 0.5), encoding="utf-8", errors="surrogatepass")  # JSON is YAML
    if chance.random() < 0.2:
        text = path.read_bytes()
        begin, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        path.write_bytes(text[:begin] + text[end:] if chance.random() < 0.5 else text[:end] + text[begin:])


def part(tree: Any, chance: Random) -> Any:
    """Some of the sections, what every configuration needs among them: a whole file takes a tenth of a second to read."""
    needed = ("name", "mode", "exchange", "accounts", "universe", "timeframe", "strategies")
    return {key: value for key, value in tree.items() if key in needed or chance.random() < 0.3}


def refused(path: Path) -> list[str]:
    """Why a file is not taken; nothing: it is."""
    try:
        for config in load_all(path, {}):
            assert config.mode in ("paper", "sandbox", "shadow", "live")
            resolve_secrets(config, {})
    except ConfigError as error:
        return str(error).splitlines()
    return []


def test_no_configuration_breaks_the_program(tmp_path: Path) -> None:
    """Whatever stands where a value should, every complaint is a sentence that names the file, and nothing else comes of it."""
    chance, path, ready = Random(f"{SEED} config"), tmp_path / "fuzzed.yaml", trees()
    taken = 0
    for number in range(cases(60)):
        tree = mutated(part(chance.choice(ready), chance), chance)
        written(path, tree, chance)
        try:
            lines = refused(path)
        except Exception as error:
            pytest.fail(f"case {number}: {type(error).__name__}: {error} of {path.read_bytes()[:3000]!r}")
        taken += not lines
        for line in lines:
            assert line.startswith(str(path)), line
            assert "Traceback" not in line
            assert len(line) < 10_000
    assert taken < cases(60), "some are refused"
