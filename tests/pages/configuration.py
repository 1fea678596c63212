"""The keys of the configuration, a row each: type, default and meaning as the models have them, units as in the ready files."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from daemon.config import Config, SecretRef, json_schema
from daemon.config.values import DURATION as LENGTH
from daemon.config.values import duration_text

READY: Final = Path(__file__).resolve().parents[2] / "config"
# A line of a ready file with a key, whether or not the key is commented out: what is before it, the key, what is said about it.
KEY_LINE: Final = re.compile(r"(?P<before>[\s#-]*)(?P<key>[a-z_]+):(?:.*?\s#\s(?P<told>.*))?")
UNIT: Final = re.compile(r"(?!default|required|example)(?P<unit>[^;:]+); (?:default|required|example|of )")
DURATION: Final = "duration"

Place = tuple[str, ...]
Places = Mapping[type[BaseModel], Place]


def keys() -> str:
    """A table for each section, from the outside in."""
    schema = json_schema()
    units = units_told(READY / "sandbox.yaml") | units_told(READY / "paper.yaml")
    places = {model: path for path, model in sections(Config)}
    return "\n\n".join(_section(model, places, schema, units) for model in places)


def sections(model: type[BaseModel], path: Place = ()) -> Iterator[tuple[Place, type[BaseModel]]]:
    """A model and those of the sections in it, with where they stand: `[]` in a list, NAME below a name that the user chooses.

    What stands in several places is told with the first of them.
    """
    seen: set[type[BaseModel]] = set()
    waiting = [(path, model)]
    while waiting:
        place, found = waiting.pop(0)
        if found in seen:
            continue
        seen.add(found)
        yield place, found
        fields = found.model_fields.items()
        waiting = [
            *(((*place, key, *_steps(field.annotation)), inner) for key, field in fields if (inner := section_of(field)) is not None),
            *waiting,
        ]


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a key holds; None: it holds a value. Where a secret is counts as a value."""
    return next((each for each in _models_in(field.annotation) if each is not SecretRef), None)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _steps(annotation: Any) -> Place:
    """What stands between a key and the section below it."""
    if get_origin(annotation) is tuple:
        return ("[]",)
    return ("NAME",) if get_origin(annotation) is Mapping else ()


def _section(model: type[BaseModel], places: Places, schema: Mapping[str, Any], units: Mapping[Place, str]) -> str:
    shape = schema if model is Config else schema["$defs"].get(model.__name__) or model.model_json_schema()
    path, definitions = places[model], {**schema["$defs"], **shape.get("$defs", {})}
    rows = [_row((*path, key), field, shape["properties"][key], places, definitions, units) for key, field in model.model_fields.items()]
    head = f"### `{dotted(path)}`" if path else "### The outermost keys"
    return "\n".join([head, "", " ".join((model.__doc__ or "").split()), "", *HEAD, *rows])


HEAD: Final = ("| key | is | default | means |", "|---|---|---|---|")


def dotted(path: Place) -> str:
    """`("strategies", "[]", "schedule")` as strategies[].schedule."""
    return ".".join(path).replace(".[]", "[]")


def _row(
    path: Place,
    field: FieldInfo,
    told: Mapping[str, Any],
    places: Places,
    definitions: Mapping[str, Any],
    units: Mapping[Place, str],
) -> str:
    inner = section_of(field)
    is_what = kind(told, definitions)
    unit = units.get(tuple(step for step in path if step not in ("[]", "NAME")), "")
    if inner is not None:
        place = dotted(places[inner])
        is_what = f"{is_what}, see [`{place}`](#{re.sub(r'[^a-z_]', '', place.lower())})"
    elif unit and unit != is_what and not is_what.startswith(DURATION):
        is_what = f"{is_what}; {unit}"
    means = field.description or (inner.__doc__ if inner else "") or ""
    return f"| `{path[-1]}` | {cell(is_what)} | {cell(default_of(field))} | {cell(' '.join(means.split()))} |"


def cell(text: str) -> str:
    """A text that does not end its cell."""
    return text.replace("|", "\\|")


def kind(told: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """In words, which values a schema takes."""
    if "$ref" in told:
        return kind(definitions[told["$ref"].rpartition("/")[2]], definitions)
    for word in ("anyOf", "oneOf"):
        if word in told:
            found = [kind(each, definitions) for each in told[word] if each.get("type") != "null"]
            return " or ".join(each for each in dict.fromkeys(found) if each != "text" or "number" not in found)  # digits in quotes
    if "enum" in told or "const" in told:
        return " ".join(f"`{each}`" for each in told.get("enum", [told.get("const")]))
    if "x-shortest" in told:
        return f"{DURATION}, {told['x-shortest']} to {told['x-longest']}"
    if told.get("type") == "array":
        return f"list of {kind(told['items'], definitions)}" if "items" in told else "list"
    if told.get("type") == "object":
        return _mapping(told, definitions)
    return _scalar(told)


def _mapping(told: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if told.keys() >= {"properties", "title"} and "env" in told["properties"]:
        return "`{env: NAME}`, `{file: PATH}` or `{credential: NAME}`"
    inner = told.get("additionalProperties")
    return f"mapping to {kind(inner, definitions)}" if isinstance(inner, Mapping) and inner else "mapping"


def _scalar(told: Mapping[str, Any]) -> str:
    if told.get("pattern") == f"^{LENGTH.pattern}$":
        return DURATION
    name = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}.get(
        told.get("type", ""), "any value"
    )
    low, above, high = told.get("minimum"), told.get("exclusiveMinimum"), told.get("maximum")
    if above is not None:
        return f"{name} above {above:g}, at most {high:g}"
    return f"{name} from {low:g} to {high:g}" if low is not None and high is not None else name


def default_of(field: FieldInfo) -> str:
    """What counts where a key is left out, as it would be written."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "none"
    return "" if isinstance(value, BaseModel) else f"`{_written(value)}`"


def _written(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case timedelta():
            return duration_text(value) if value else "0s"
        case Decimal() | float():
            return f"{value:.12g}"
        case tuple() | list() | frozenset():
            return f"[{', '.join(map(_written, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{key}: {_written(each)}' for key, each in value.items())}}}"
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _written({each.name: getattr(value, each.name) for each in fields(value)})
    return str(value)


def units_told(path: Path) -> dict[Place, str]:
    """By the path of a key, in which unit a ready file says that it is."""
    found: dict[Place, str] = {}
    stack: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        read = KEY_LINE.fullmatch(line)
        if read is None:
            continue
        column = len(re.sub(r"# ?", "", read["before"]))
        stack = [*(each for each in stack if each[0] < column), (column, read["key"])]
        if (told := UNIT.match(read["told"] or "")) is not None:
            found[tuple(key for _, key in stack)] = told["unit"]
    return found
