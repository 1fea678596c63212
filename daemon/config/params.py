"""Parameters of a strategy: the mapping of the file becomes the strategy's own frozen dataclass.

Rule: strategies know nothing of pydantic; their dataclass (names, types, defaults, `__post_init__`) is the whole specification.
A ValueError of `__post_init__` whose text begins with a field's name (`weights.rsi must be ...`) is reported at that place.
"""

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from functools import cache, reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ValidationError, ValidationInfo, create_model
from pydantic_core import ErrorDetails

from daemon.config.ownuse import NotThere, is_own, look
from daemon.config.section import Section
from daemon.config.sentences import UNKNOWN, explained, keys_beside
from daemon.config.values import Mistake, all_wrong, as_decimal, as_float, as_text, as_whole, choice, one_of, suggestion, truth, wrong

if TYPE_CHECKING:
    from daemon.core.strategy import Strategy

STRICT: Final[dict[Any, Any]] = {
    bool: Annotated[bool, BeforeValidator(truth)],
    int: Annotated[int, BeforeValidator(as_whole)],
    float: Annotated[float, BeforeValidator(as_float)],
    Decimal: Annotated[Decimal, BeforeValidator(as_decimal)],
    str: Annotated[str, BeforeValidator(as_text)],
}


def registry() -> Mapping[str, type["Strategy"]]:
    """The strategies that exist, by name."""
    # Imported when it is asked for: numpy comes with it, and verbs that only talk to a running daemon need neither.
    import strategies

    return strategies.REGISTRY


def named(name: Any, info: ValidationInfo) -> str:
    """The name of a strategy that exists, or a class in a user's file or package, of which no code is run here."""
    if isinstance(name, str) and is_own(name):
        source = info.context.get("source") if isinstance(info.context, Mapping) else None
        try:
            look(name, Path(source or "configuration").parent.absolute())
        except NotThere as error:
            raise wrong(error.what, error.remedy) from None
        return name
    known = sorted(registry())
    if not isinstance(name, str) or name not in known:
        meant = suggestion(name, known) if isinstance(name, str) else None
        own = " or a class of your own, as ./my_strategy.py:Class"
        raise wrong("is not a registered strategy", f"did you mean {meant}?" if meant else f"write {one_of(known)},{own}")
    return name


def usual_period(use: str) -> int:
    """Bars between two decisions of a strategy, unless the configuration says otherwise."""
    return 24 if is_own(use) else registry()[use].every


def parameters(use: str, given: Any) -> Any:
    """The strategy's dataclass, made of what is given and its defaults; of a user's own class, what is given: its code is not run here."""
    if is_own(use):
        if not isinstance(given, Mapping):
            raise wrong("is not a mapping", "write parameters and values below it, or leave params out")
        return given
    return built(use, registry()[use].Params, given)


def built(use: str, spec: type, given: Any) -> Any:
    """The dataclass `spec` of the strategy `use`, made of what is given and its defaults.

    Raises:
        ValidationError: each parameter that is wrong, in our words.
    """
    if isinstance(given, spec):
        return given
    if not isinstance(given, Mapping):
        raise wrong("is not a mapping", "write parameters and values below it, or leave params out")
    try:
        return _built(spec, model_of(spec).model_validate(given))
    except ValidationError as error:
        raise all_wrong(_explained(each, use, spec) for each in error.errors(include_url=False)) from None
    except ValueError as error:
        raise all_wrong([_refusal(str(error), spec)]) from None


@cache
def model_of(spec: type) -> type[Section]:
    """A pydantic model of the same fields as the dataclass, as strict as the rest of the configuration."""
    hints = get_type_hints(spec)
    shape: dict[str, Any] = {each.name: (_strictly(hints[each.name]), _default(each)) for each in dataclasses.fields(spec) if each.init}
    return create_model(spec.__name__, __base__=Section, **shape)


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return ... if field.default is dataclasses.MISSING else field.default


def _strictly(hint: Any) -> Any:
    """The type that takes the same values, but no number in quotes, no true for 1, no 20.0 for 20."""
    if hint in STRICT:
        return STRICT[hint]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return model_of(hint)
    if get_origin(hint) is Literal:
        return Annotated[hint, choice(*get_args(hint))]
    if not (origin := get_origin(hint)):
        return hint
    inside = tuple(each if each is Ellipsis else _strictly(each) for each in get_args(hint))
    return reduce(or_, inside) if origin in (Union, UnionType) else origin[inside]


def _built(spec: Any, parsed: BaseModel) -> Any:
    """The dataclass of the values that were given; its own defaults stand for the rest."""
    given = {name: getattr(parsed, name) for name in parsed.model_fields_set}
    hints = get_type_hints(spec)
    return spec(**{name: _built(hints[name], value) if isinstance(value, BaseModel) else value for name, value in given.items()})


def _explained(error: ErrorDetails, use: str, spec: type) -> Mistake:
    """A pydantic error in the words of parameters."""
    loc = tuple(error["loc"])
    if error["type"] != UNKNOWN:
        return explained(error, model_of(spec))
    known = keys_beside(loc, model_of(spec))
    meant = suggestion(str(loc[-1]), known)
    what = f"is not a parameter of {use}"
    return Mistake(loc, what, f"did you mean {meant}?" if meant else f"the keys here are {', '.join(known)}")


def _refusal(text: str, spec: type) -> Mistake:
    """What `__post_init__` had to say, as one sentence of two parts."""
    what, _, remedy = " ".join(text.split()).partition("; ")
    remedy = remedy.replace(";", ",") or "correct it, or leave it out for its default"
    place, _, rest = what.partition(" ")
    keys = place.split(".")
    if rest and keys[0] in {each.name for each in dataclasses.fields(spec)}:
        return Mistake(tuple(keys), rest, remedy)
    return Mistake((), what or "is refused by the strategy", remedy)


def misfit(index: int, params: object, text: str) -> Mistake:
    """What a strategy's constructor had to say: parameters that are right by themselves, and do not fit what is traded."""
    refusal = _refusal(text, type(params))
    if refusal.what.startswith("use "):
        return Mistake(("strategies", index, "use"), refusal.what.removeprefix("use "), refusal.remedy)
    return Mistake(("strategies", index, "params", *refusal.loc), refusal.what, refusal.remedy)
