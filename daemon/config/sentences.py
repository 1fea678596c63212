"""Sentences: each mistake of a configuration as `FILE: yaml.path[0].key what is wrong; remedy`.

Rule: keys and numbers may be repeated, texts never.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails

from daemon.config.values import MISTAKE, Mistake, suggestion, wrong

Loc = tuple[str | int, ...]
ROOT: Final = "the file"
UNKNOWN: Final = "extra_forbidden"


class ConfigError(Exception):
    """The configuration is wrong; `problems` holds one sentence per mistake."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: tuple[str, ...] = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def sentence(source: str, place: str, what: str, remedy: str) -> str:
    """One mistake for a person."""
    return f"{source}: {place} {what}; {remedy}"


def dotted(loc: Loc) -> str:
    """`("strategies", 0, "share")` as strategies[0].share."""
    path = ""
    for key in loc:
        path += f"[{key}]" if isinstance(key, int) else f".{_key(key)}"
    return path.removeprefix(".") or ROOT


def _key(key: str) -> str:
    """A key as written if it looks like one; else quoted, so that a space in it can be seen, and not at any length."""
    return key if re.fullmatch(r"[\w/:|-]{1,40}", key) else repr(key[:40]).replace(";", ",")


def mistakes_of(error: ValidationError, root: type[BaseModel]) -> list[Mistake]:
    """Every mistake pydantic found, except missing keys that are there with a slip of the pen."""
    details = error.errors(include_url=False)
    slips = {(*loc[:-1], suggestion(str(loc[-1]), keys_beside(loc, root))) for loc in _unknown(details)}
    return [explained(each, root) for each in details if each["type"] != "missing" or each["loc"] not in slips]


def _unknown(details: list[ErrorDetails]) -> list[Loc]:
    return [each["loc"] for each in details if each["type"] == UNKNOWN]


def explained(error: ErrorDetails, root: type[BaseModel]) -> Mistake:
    """One pydantic error in our words; its own message is never used, since some of them repeat the input."""
    loc = tuple(key for key in error["loc"] if key != "[key]")
    if error["type"] == MISTAKE:
        context: Mapping[str, str] = error.get("ctx", {})
        return Mistake(loc, context["what"], context["remedy"])
    if error["type"] == UNKNOWN:
        return _unknown_key(loc, root)
    if error["type"] == "missing":
        return Mistake(loc, "is missing", _how_to_add(loc, root))
    if error["input"] is None:
        return Mistake(loc, "is empty", "give it a value, or leave the key out")
    return Mistake(loc, *WORDS.get(error["type"], ("is not what belongs here", "see the schema that `rebalanced schema` prints")))


WORDS: Final = {
    "model_type": ("is not a mapping", "write its keys below it, each as `key: value`"),
    "mapping_type": ("is not a mapping", "write its keys below it, each as `key: value`"),
    "dict_type": ("is not a mapping", "write its keys below it, each as `key: value`"),
    "tuple_type": ("is not a list", "write it as [A, B], or one `- A` a line"),
    "list_type": ("is not a list", "write it as [A, B], or one `- A` a line"),
    "too_long": ("has too many entries", "leave some out"),
}


def _unknown_key(loc: Loc, root: type[BaseModel]) -> Mistake:
    known = keys_beside(loc, root)
    meant = suggestion(str(loc[-1]), known)
    return Mistake(loc, "is not a known key", f"did you mean {meant}?" if meant else f"the keys here are {', '.join(known)}")


def _how_to_add(loc: Loc, root: type[BaseModel]) -> str:
    model = model_at(loc[:-1], root)
    examples = model.model_fields[str(loc[-1])].examples if model else None
    return f"add it, for example `{loc[-1]}: {examples[0]}`" if examples else "add it"


def keys_beside(loc: Loc, root: type[BaseModel]) -> list[str]:
    """The keys that are known where `loc` is."""
    model = model_at(loc[:-1], root)
    return list(model.model_fields) if model else []


def model_at(loc: Loc, root: type[BaseModel]) -> type[BaseModel] | None:
    """The section that a place of the file belongs to."""
    model: type[BaseModel] | None = root
    named = False
    for key in loc:
        if named:
            named = False  # a name of the user's, below which the section is
        elif isinstance(key, str) and model is not None:
            field: FieldInfo | None = model.model_fields.get(key)
            model = next(_models_in(field.annotation), None) if field else None
            named = field is not None and get_origin(field.annotation) is Mapping
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def combined(error: ValidationError | None, more: Iterable[Mistake]) -> ValidationError:
    """What pydantic found and what our own rules found, as one error."""
    lines = [_again(each) for each in error.errors(include_url=False)] if error else []
    lines += [InitErrorDetails(type=wrong(each.what, each.remedy), loc=each.loc, input=None) for each in more]
    return ValidationError.from_exception_data("configuration", lines, hide_input=True)


def _again(error: ErrorDetails) -> InitErrorDetails:
    context = error.get("ctx", {})
    kind = wrong(context["what"], context["remedy"]) if error["type"] == MISTAKE else error["type"]
    return InitErrorDetails(type=kind, loc=error["loc"], input=error["input"], ctx=context)


def sentences(mistakes: Iterable[Mistake], source: str, given_by: Callable[[Loc], str | None]) -> list[str]:
    """The sentences of some mistakes; one that an environment variable brought in names it."""
    found = []
    for each in mistakes:
        variable = given_by(each.loc)
        place = dotted(each.loc) + (f" (from {variable})" if variable else "")
        found.append(sentence(source, place, each.what, each.remedy))
    return found
