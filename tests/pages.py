"""Pages that are made of the source: `make pages` writes them, and a test compares them with it.

Rule: a page is either written by hand or between two marks `<!-- NAME -->` and `<!-- end of NAME -->` made here, never both.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from daemon.io.api_document import document
from daemon.io.api_routes import ROUTES, Route

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"


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


# By page what stands between its marks.
MADE: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = {
    "api.md": {"routes": routes_table},
    "api-reference.md": {"shapes": shapes_reference},
}


def made(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """A page with its made parts as they are to be. ValueError: a mark is missing."""
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the marks of {name} are missing")
        text = f"{before}{begin}\n{part()}\n{end}{after}"
    return text


def pages() -> Iterator[tuple[Path, str, str]]:
    """Each page that has made parts: where it is, as it is, as it is to be."""
    for page, parts in MADE.items():
        text = (DOCS / page).read_text(encoding="utf-8")
        yield DOCS / page, text, made(text, parts)


if __name__ == "__main__":
    for path, _, text in pages():
        path.write_text(text, encoding="utf-8")
