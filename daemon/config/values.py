"""Scalars of the configuration: numbers, durations, words. Each refuses what it is not, and says what it is.

Rule: money is a Decimal made from the digits of the file; a text is never repeated in a message, a number may be.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

MISTAKE: Final = "mistake"  # the pydantic error type of every sentence of ours
UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
# Nine digits of the largest unit are beyond any bound below, and far from overflowing a timedelta.
DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")


def wrong(what: str, remedy: str) -> PydanticCustomError:
    """The error of a value that is refused: what is wrong with it, and what to do."""
    return PydanticCustomError(MISTAKE, "{what}; {remedy}", {"what": what, "remedy": remedy})


class Mistake(NamedTuple):
    """One thing that is wrong: where (keys and indexes from the outside in), what, and what to do."""

    loc: tuple[str | int, ...]
    what: str
    remedy: str


def some(value: Any) -> Any:
    """A list with something in it."""
    if isinstance(value, list | tuple) and not value:
        raise wrong("is empty", "name at least one")
    return value


def all_wrong(mistakes: Iterable[Mistake]) -> ValidationError:
    """One pydantic error of several mistakes, for validators that look at more than one key."""
    lines = [InitErrorDetails(type=wrong(each.what, each.remedy), loc=each.loc, input=None) for each in mistakes]
    return ValidationError.from_exception_data("configuration", lines, hide_input=True)


def suggestion(given: str, known: list[str]) -> str | None:
    """The known word that `given` was probably meant to be."""
    close = get_close_matches(given.strip().lower(), known, n=1, cutoff=0.7)
    return close[0] if close else None


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers a key takes: `low` to `high`, both included unless `above` excludes the lower one."""

    low: Decimal
    high: Decimal
    above: bool = False

    def __str__(self) -> str:
        return f"above {self.low} and at most {self.high}" if self.above else f"from {self.low} to {self.high}"

    def holds(self, value: float | Decimal) -> bool:
        """Whether `value` is inside."""
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def schema(self, kind: str) -> dict[str, Any]:
        """The JSON schema of these numbers."""
        return {"type": kind, "exclusiveMinimum" if self.above else "minimum": number(self.low), "maximum": number(self.high)}


def number(value: Decimal) -> int | float:
    """The plain number nearest to a Decimal, for those who cannot take one: JSON schema, ccxt, a strategy's float."""
    return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else float(value)


def plain(value: Any) -> Any:
    """The same tree with Decimals as plain numbers."""
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def finite(value: Any, wanted: str) -> int | float | Decimal:
    """`value` if it is a finite number; true, false, quoted digits and .nan are not."""
    if value is None:
        raise wrong("is empty", f"give {wanted}, or leave the key out")
    if isinstance(value, bool):
        raise wrong("is true or false where a number is wanted", f"give {wanted}")
    if isinstance(value, str):
        raise wrong("is text where a number is wanted", f"give {wanted}, without quotes or signs around it")
    if not isinstance(value, int | float | Decimal):
        raise wrong("is not a number", f"give {wanted}")
    if not Decimal(value).is_finite():
        raise wrong("is not a finite number", f"give {wanted}")
    return value


def within(value: Any, limits: Range, kind: str = "a number") -> int | float | Decimal:
    """`value` if it is a number inside the limits."""
    checked = finite(value, f"{kind} {limits}")
    if not limits.holds(checked):
        raise wrong(f"is {checked:.12g}" if isinstance(checked, Decimal) else f"is {checked}", f"give {kind} {limits}")
    return checked


def as_whole(value: Any, limits: Range | None = None) -> int:
    """A whole number; 20.0 and 1e3 are refused, since they tell of a value meant for another key."""
    checked = within(value, limits, "a whole number") if limits else finite(value, "a whole number")
    if not isinstance(checked, int):
        raise wrong(f"is {checked}, not a whole number", f"give a whole number {limits or ''}".rstrip())
    return checked


def as_float(value: Any, limits: Range | None = None) -> float:
    """A float, correctly rounded from the digits of the file."""
    result = float(within(value, limits) if limits else finite(value, "a number"))
    if result in (float("inf"), float("-inf")):
        raise wrong("is too large", "give a smaller number")
    return result


def as_decimal(value: Any, limits: Range | None = None) -> Decimal:
    """An exact Decimal; a Python float is refused, because its digits are no longer the user's."""
    checked = within(value, limits) if limits else finite(value, "a number")
    if isinstance(checked, float):
        raise wrong("came through a float", "give a Decimal")
    return Decimal(checked)


def as_text(value: Any) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise wrong("is not text", "put it in quotes")
    return value


def truth(value: Any) -> bool:
    """True or false; YAML 1.2 has no yes, no, on and off."""
    if not isinstance(value, bool):
        raise wrong("is neither true nor false", "write true or false")
    return value


def between(low: str, high: str) -> Range:
    """The numbers from `low` to `high`."""
    return Range(Decimal(low), Decimal(high))


def above(low: str, high: str) -> Range:
    """The numbers above `low`, up to `high`."""
    return Range(Decimal(low), Decimal(high), above=True)


def whole(limits: Range) -> tuple[BeforeValidator, WithJsonSchema]:
    """Annotations of an int."""
    return BeforeValidator(lambda value: as_whole(value, limits)), WithJsonSchema(limits.schema("integer"))


def approximate(limits: Range) -> tuple[BeforeValidator, WithJsonSchema]:
    """Annotations of a float: weights and bands."""
    return BeforeValidator(lambda value: as_float(value, limits)), WithJsonSchema(limits.schema("number"))


def exact(limits: Range) -> tuple[BeforeValidator, WithJsonSchema]:
    """Annotations of a Decimal: money, shares, fees."""
    return BeforeValidator(lambda value: as_decimal(value, limits)), WithJsonSchema(limits.schema("number"))


def parse_duration(text: str) -> timedelta | None:
    """A length of time such as 500ms, 3s, 5m, 24h or 1d; None when `text` is not one."""
    found = DURATION.fullmatch(text)
    return int(found[1]) * UNITS[found[2]] if found else None


def duration_text(value: timedelta) -> str:
    """The shortest way to write a length of time."""
    unit = next(name for name, length in reversed(UNITS.items()) if value % length == timedelta(0))
    return f"{value // UNITS[unit]}{unit}"


def as_duration(value: Any, low: timedelta, high: timedelta) -> timedelta:
    """A length of time between two bounds."""
    span = f"from {duration_text(low)} to {duration_text(high)}"
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        raise wrong("has no unit", f"write a length of time {span}, like 30s")
    length = value if isinstance(value, timedelta) else parse_duration(value) if isinstance(value, str) else None
    if length is None:
        raise wrong("is not a length of time", f"write a whole number and ms, s, m, h or d, {span}")
    if not low <= length <= high:
        raise wrong(f"is {duration_text(length)}", f"write a length of time {span}")
    return length


def duration(low: str, high: str) -> tuple[BeforeValidator, PlainSerializer, WithJsonSchema]:
    """Annotations of a timedelta."""
    least, most = parse_duration(low), parse_duration(high)
    if least is None or most is None:
        raise ValueError("the bounds of a duration are durations")  # a programmer's error
    return (
        BeforeValidator(lambda value: as_duration(value, least, most)),
        PlainSerializer(duration_text, return_type=str),
        WithJsonSchema({"type": "string", "pattern": f"^{DURATION.pattern}$", "x-shortest": low, "x-longest": high}),
    )


def words(pattern: str, what: str, like: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """Annotations of a text of one form: `what` it is, and an example of it."""

    def check(value: Any) -> str:
        if value is None:
            raise wrong("is empty", f"write {what} like {like}")
        if not isinstance(value, str):
            raise wrong("is not text", f"write {what} like {like}, in quotes if it looks like a number")
        if not re.fullmatch(pattern, value):
            raise wrong(f"is not {what}", f"write it like {like}")
        return value

    return BeforeValidator(check), WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


def is_loopback(host: str) -> bool:
    """Whether what listens at this address or name can be reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def choice(*options: str) -> BeforeValidator:
    """Annotation of a word out of a few."""

    def check(value: Any) -> Any:
        if value not in options or not isinstance(value, str):
            meant = suggestion(value, list(options)) if isinstance(value, str) else None
            raise wrong(f"is not {one_of(options)}", f"did you mean {meant}?" if meant else f"write {one_of(options)}")
        return value

    return BeforeValidator(check)


def one_of(options: tuple[str, ...] | list[str]) -> str:
    """Words for a sentence: `a`, `a or b`, `a, b or c`."""
    *first, last = options
    return f"{', '.join(first)} or {last}" if first else last
