"""The JSON schema of the configuration, for editors: completion, explanation and a red line under a slip."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from daemon.config.models import Config
from daemon.config.params import model_of, registry

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
NUMBERS: Final = {"number", "integer"}


def json_schema() -> dict[str, Any]:
    """Draft 2020-12; the parameters of each registered strategy included."""
    schema = _with_plain_defaults(Config.model_json_schema())
    strategy = schema["$defs"]["StrategyConfig"]
    own = {"pattern": r"^\S.*:[A-Za-z_]\w*$"}  # ./my_strategy.py:Class, package.module:Class
    strategy["properties"]["use"]["anyOf"] = [{"enum": sorted(registry())}, own]
    strategy["allOf"] = [_parameters(name, schema["$defs"]) for name in sorted(registry())]
    return {"$schema": DIALECT, **schema}


def _parameters(use: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """If `use` is this strategy, `params` are its parameters."""
    params = deepcopy(model_of(registry()[use].Params).model_json_schema(ref_template="#/$defs/{model}"))
    definitions.update(params.pop("$defs", {}))
    params["title"] = f"Parameters of {use}"
    return {"if": {"properties": {"use": {"const": use}}}, "then": {"properties": {"params": params}}}


def _with_plain_defaults(node: Any) -> Any:
    """Decimals are texts in pydantic's defaults; in YAML they are numbers."""
    if isinstance(node, list):
        return [_with_plain_defaults(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    plain = {key: _with_plain_defaults(each) for key, each in node.items()}
    if plain.get("type") in NUMBERS and isinstance(plain.get("default"), str):
        plain["default"] = float(plain["default"])
    return plain
