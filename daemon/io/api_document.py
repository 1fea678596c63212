"""Document: the API as OpenAPI 3.1 describes it, made of the routes and of the types of what they answer.

Rule: nothing is written here by hand that the routes or the shapes know.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from http import HTTPStatus
from inspect import getdoc
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from daemon import __version__
from daemon.io.api_routes import ROUTES, TEXT_MAX, Access, Media, Param, Route
from daemon.io.api_shapes import Problem

Schema = dict[str, Any]
Shapes = dict[Any, Schema]
"""By type its schema, of those that have a name."""

_PLAIN: Final[Mapping[Any, Schema]] = MappingProxyType({
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    dict: {"type": "object"},
    NoneType: {"type": "null"},
    Decimal: {"type": "string", "format": "decimal", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"},
    datetime: {"type": "string", "format": "date-time"},
})  # fmt: skip

_VALUES: Final = "Money and quantities are decimal strings, other numbers JSON numbers, times RFC 3339 UTC; what is not known is null."
_REFUSALS: Final = {
    401: "the token is missing or wrong",
    403: "a page of another origin asks, or no token is configured and so nobody commands",
    421: "the host name is not ours",
    500: "the daemon failed to answer; its log says why",
}
_OF_EVERYTHING: Final = (403, 421)
_OPEN_TO: Final = {Access.OPEN: [{}], Access.READ: [{}, {"token": []}], Access.COMMAND: [{"token": []}]}


@cache
def document() -> Mapping[str, Any]:
    """The whole of it, ready for JSON."""
    shapes: Shapes = {}
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, shapes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rebalanced",
            "version": __version__,
            "summary": "A daemon that trades a portfolio to target weights.",
            "description": _VALUES,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": _by_name(shapes),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "api.token of the configuration"}},
        },
    }


def _by_name(shapes: Shapes) -> dict[str, Schema]:
    named = {kind.__name__: schema for kind, schema in sorted(shapes.items(), key=lambda each: str(each[0].__name__))}
    if len(named) < len(shapes):
        raise ValueError("two shapes have one name")
    return named


def schema_of(kind: Any, shapes: Shapes) -> Schema:
    """The JSON schema of a type; what has a name is put into `shapes` and referred to."""
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return schema_of(inner[0], shapes) | {"description": inner[1]}
    if origin is NotRequired:
        return schema_of(inner[0], shapes)
    if origin in (Union, UnionType):
        return {"anyOf": [schema_of(each, shapes) for each in inner]}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1], shapes)}
    if origin is not None and issubclass(origin, Sequence):
        return {"type": "array", "items": schema_of(inner[0], shapes)}
    return _named(kind, shapes)


def _named(kind: Any, shapes: Shapes) -> Schema:
    if kind not in shapes:
        shapes[kind] = {}  # a shape may hold itself
        described = dict(_fields(kind))
        required = sorted(kind.__required_keys__) if is_typeddict(kind) else list(described)
        shapes[kind] = {
            "type": "object",
            "description": (getdoc(kind) or "").partition("\n\n")[0].replace("\n", " "),
            "properties": {key: schema_of(each, shapes) for key, each in described.items()},
            "required": required,
            "additionalProperties": False,
        }
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _fields(kind: Any) -> Iterator[tuple[str, Any]]:
    """Names and types. The figures of a dataclass may be NaN, which is null in JSON."""
    hints = get_type_hints(kind, include_extras=True)
    if is_dataclass(kind):
        yield from ((each.name, _or_null(hints[each.name])) for each in fields(kind))
    elif is_typeddict(kind):
        yield from hints.items()
    else:
        raise TypeError(f"{kind} has no fields")


def _or_null(kind: Any) -> Any:
    if kind is float:
        return float | None
    origin, inner = get_origin(kind), get_args(kind)
    return origin[(*inner[:-1], _or_null(inner[-1]))] if origin in (Sequence, Mapping) else kind


def _operation(route: Route, shapes: Shapes) -> Schema:
    operation = {
        "operationId": route.name,
        "summary": route.says,
        "security": _OPEN_TO[route.access],
        "parameters": [_parameter(each) for each in route.params],
        "responses": dict(_responses(route, shapes)),
    }
    return operation | {"requestBody": _BODY} if route.access is Access.COMMAND else operation


def _parameter(param: Param) -> Schema:
    return {
        "name": param.name,
        "in": param.place,
        "required": param.place == "path",
        "description": param.says,
        "schema": dict(param.schema),
    }


def _responses(route: Route, shapes: Shapes) -> Iterator[tuple[str, Schema]]:
    answer = {"schema": schema_of(route.answer, shapes)} if route.answer is not None else {}
    yield "200", {"description": "done" if route.access is Access.COMMAND else route.says, "content": {route.media.value: answer}}
    problem = {Media.JSON.value: {"schema": schema_of(Problem, shapes)}}
    refusals = {status: text for status, text in _REFUSALS.items() if route.access is not Access.OPEN or status in _OF_EVERYTHING}
    for status, text in sorted({**refusals, **route.also}.items()):
        when_not = {Media.JSON.value: {"schema": schema_of(route.when_not, shapes)}} if route.when_not is not None else problem
        content = {} if status == HTTPStatus.NOT_MODIFIED else when_not if status == HTTPStatus.SERVICE_UNAVAILABLE else problem
        yield str(status), {"description": text, **({"content": content} if content else {})}


_BODY: Final = {
    "required": False,
    "content": {
        Media.JSON.value: {
            "schema": {
                "type": "object",
                "properties": {
                    "argument": {"type": "string", "maxLength": TEXT_MAX, "description": "what it is about; empty: everything"},
                    "by": {"type": "string", "maxLength": TEXT_MAX, "description": "who asks, for the journal"},
                    "account": {"type": "string", "maxLength": TEXT_MAX, "description": "which of several accounts; empty: all"},
                },
                "additionalProperties": False,
            }
        }
    },
}
