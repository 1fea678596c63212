"""Plain: how values are written for machines, in log lines and answers of the API alike.

Rule: money and quantities are decimal strings, other numbers JSON numbers (never NaN or infinity: null), times RFC 3339 UTC.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite

import numpy as np

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]


def rfc3339(moment: datetime, *, microseconds: bool = False) -> str:
    """An aware moment as RFC 3339 in UTC, ending in Z; always six digits of a second with `microseconds`, else as few as it needs."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds" if microseconds else "auto").removesuffix("+00:00") + "Z"


def _as_it_is(text: str) -> str:
    return text


def plain(value: object, text: Callable[[str], str] = _as_it_is) -> Plain:
    """`value` in JSON's own types. Every string of the result, keys included, has passed through `text`.

    Durations are seconds. What has no rule here is written as its `str`.
    """
    if isinstance(value, Enum):
        return plain(value.value, text)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool | int | float | None | np.generic):
        return _number(value)
    if isinstance(value, Mapping):
        return {text(str(plain(key))): plain(item, text) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return [plain(item, text) for item in sorted(value, key=str)]
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain(item, text) for item in value]
    return text(_words(value))


def _number(value: bool | float | np.generic | None) -> Plain:  # noqa: FBT001 - a value, not a switch
    if isinstance(value, np.generic):
        return plain(value.item())
    return value if not isinstance(value, float) or isfinite(value) else None


def _words(value: object) -> str:
    match value:
        case Decimal():
            return format(value.normalize(), "f") if value.is_finite() else str(value)  # 2.50000000 tells no more than 2.5
        case datetime():
            return rfc3339(value)
        case timedelta():
            return format(value.total_seconds(), "g")
        case _:
            return str(value)
