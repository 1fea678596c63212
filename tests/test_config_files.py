"""The ready configurations and the schema: what a newcomer starts from is true."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, SequenceNode

from daemon.config import Config, ConfigError, json_schema, load, load_all
from daemon.config.sentences import keys_beside, model_at
from daemon.config.yamltext import parse
from strategies import REGISTRY

READY = Path(__file__).parent.parent / "config"
FILES = sorted(READY.glob("*.yaml"))
FREE = (
    "balances",
    "fee",
    "ccxt",
    "params",
    "credentials",
    "route",
    "symbols",
    "token",
)  # their entries are the user's, or told at the key itself
ACKNOWLEDGED = {"REBALANCED__LIVE__I_UNDERSTAND": "true"}


def test_the_ready_files_are_there() -> None:
    """One file to watch, one to try, one to test, one to copy, one for two exchanges, and two for swaps."""
    ready = ["demo.yaml", "live.example.yaml", "momentum-swap.yaml", "multi-exchange.yaml", "pairs-swap.yaml", "paper.yaml", "sandbox.yaml"]
    assert [each.name for each in FILES] == ready


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_ready_files_load(path: Path) -> None:
    """Each ready file is a configuration, and is of the mode its name says."""
    modes = {"demo": "sandbox", "momentum-swap": "paper", "multi-exchange": "paper", "pairs-swap": "paper"}
    for config in load_all(path, ACKNOWLEDGED if "live" in path.name else {}):
        assert config.mode == modes.get(path.name.split(".")[0], path.name.split(".")[0])


def test_live_example_does_not_start_as_it_stands() -> None:
    """The one thing the live example lacks is the user's word."""
    with pytest.raises(ConfigError) as refused:
        load(READY / "live.example.yaml", {})
    assert [each.split(" ")[1] for each in refused.value.problems] == ["live.i_understand"]


def leaves(node: Any, loc: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Every key that holds a value rather than keys of ours, and its line."""
    for index, each in enumerate(node.value):
        key, value = each if isinstance(node, MappingNode) else (None, each)
        here = (*loc, key.value if key else index)
        if key and (key.value in FREE or not isinstance(value, MappingNode | SequenceNode)):
            yield here, key.start_mark.line
        elif isinstance(value, MappingNode | SequenceNode):
            yield from leaves(value, here)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_comments_tell_the_truth(path: Path) -> None:
    """Every key's comment says that it is required, or the default that counts when it is left out."""
    text = path.read_text()
    lines = text.splitlines()
    for loc, line in leaves(YAML(typ="safe", pure=True).compose(text)):
        if loc[-1] == "credentials":
            continue
        model = model_at(loc[:-1], Config)
        assert model, loc
        field = model.model_fields[str(loc[-1])]
        comment = lines[line].partition(" # ")[2]
        told = re.search(r"default (none|\{[^}]*\}|\S+?)[;:,]? ", f"{comment} ")
        if field.is_required():
            assert comment.startswith("required"), loc
        elif loc[-1] != "path":
            assert told, loc
            assert default_as_told(model, str(loc[-1]), told[1]), loc


def default_as_told(model: type[BaseModel], key: str, told: str) -> bool:
    """Whether the text of a comment, read as YAML, is the default of a key."""
    field = model.model_fields[key]
    default = field.get_default(call_default_factory=True, validated_data={})
    if told == "none":
        return default is None
    given = TypeAdapter(field.rebuild_annotation()).validate_python(parse(told).tree)
    return bool(given == default)


def test_every_key_is_shown() -> None:
    """No key exists that the ready files do not explain."""
    text = (READY / "paper.yaml").read_text() + (READY / "sandbox.yaml").read_text()
    for model in sections(Config):
        for name in model.model_fields:
            assert re.search(rf"\b{name}:", text), f"{model.__name__}.{name}"
    for use, strategy in REGISTRY.items():
        for each in dataclasses.fields(strategy.Params):
            assert re.search(rf"\b{each.name}:", text), f"{use}.{each.name}"


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for name in keys_beside(("x",), model):
        inner = model_at((name,), model)
        if inner:
            yield from sections(inner)


def test_no_secret_is_shipped() -> None:
    """The ready files hold references and no values."""
    for path in FILES:
        for config in load_all(path, ACKNOWLEDGED):
            keys = config.exchange.credentials
            assert all(each is None or each.file is None for each in (keys.api_key, keys.secret, keys.password))


def test_demo_is_a_demo() -> None:
    """The demo decides every few seconds and takes the keys and the address it is given."""
    urls = '{"urls": {"api": {"public": "http://127.0.0.1:1/api/v3"}}}'
    config = load(READY / "demo.yaml", {"REBALANCED__EXCHANGE__CCXT": urls, "REBALANCED__API__PORT": "0"})
    assert config.exchange.ccxt["urls"]["api"]["public"] == "http://127.0.0.1:1/api/v3"
    assert (config.timeframe, config.strategies[0].schedule.every, config.api.port) == ("1s", 12, 0)
    assert len(config.universe.symbols) == 8


def test_schema_explains_every_key() -> None:
    """An editor can tell what each key is, and which keys there are."""
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    models = [schema, *(schema["$defs"][each] for each in schema["$defs"] if each.endswith("Config"))]
    assert len(models) > 10
    for model in models:
        assert model["additionalProperties"] is False
        assert all("description" in each or "$ref" in each for each in model["properties"].values())
    by_use = {each["if"]["properties"]["use"]["const"]: each["then"] for each in schema["$defs"]["StrategyConfig"]["allOf"]}
    assert by_use.keys() == REGISTRY.keys()
    assert "lookback" in by_use["portfolio_momentum"]["properties"]["params"]["properties"]


def test_schema_has_numbers_for_numbers() -> None:
    """A default in the schema is of the type that the schema asks for."""
    for each in nodes(json_schema()):
        if each.get("type") in ("number", "integer") and "default" in each:
            assert isinstance(each["default"], int | float)


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from nodes(each)
