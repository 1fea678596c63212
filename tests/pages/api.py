"""The API, out of its routes and its document."""

import re
from collections.abc import Mapping
from typing import Any

from daemon.io.api_document import document
from daemon.io.api_routes import ROUTES, Route


def routes_table() -> str:
    """What the API answers, a row a path."""
    rows = [f"| {_spelt(route)} | {route.access.value} | {route.says}{_asked(route)} |" for route in ROUTES]
    return "\n".join(["| path | who may ask | answers |", "|---|---|---|", *rows])


def _spelt(route: Route) -> str:
    path = re.sub(r"{(\w+)}", lambda found: found[1].upper(), route.path)
    return f"`{path}`" if route.method == "GET" else f"`{route.method} {path}`"


def _asked(route: Route) -> str:
    asked = [f"`?{param.name}=` {param.says}" for param in route.params if param.place == "query"]
    return f"; {'; '.join(asked)}" if asked else ""


def shapes_reference() -> str:
    """Every shape with its fields, in the order of the alphabet."""
    return "\n\n".join(_shape(name, schema) for name, schema in document()["components"]["schemas"].items())


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    rows = [
        f"| `{field}` | {_type(told)} | {'' if field in schema['required'] else 'not always there; '}{told.get('description', '')} |"
        for field, told in schema["properties"].items()
    ]
    return "\n".join([f"### {name}", "", schema["description"], "", "| field | is | means |", "|---|---|---|", *rows])


def _type(told: Mapping[str, Any]) -> str:
    if "$ref" in told:
        name = told["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in told:
        return " or ".join(_type(each) for each in told["anyOf"])
    if told["type"] == "array":
        return f"list of {_type(told['items'])}"
    if isinstance(told.get("additionalProperties"), dict):
        return f"map to {_type(told['additionalProperties'])}"
    return {"decimal": "decimal", "date-time": "time"}.get(told.get("format", ""), str(told["type"]))
