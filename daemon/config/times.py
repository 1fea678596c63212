"""Times of the configuration: lengths in bars or in time, crons, time zones.

Rule: a zone is looked up here, where reading files is allowed; the core gets it as a value.
"""

from datetime import timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from daemon.config.values import DURATION, Range, as_duration, as_whole, between, duration_text, wrong
from daemon.core.cron import Cron

MAX_BARS: Final = 100_000  # eleven years of hours
LIKE: Final = 'write minute, hour, day of the month, month and day of the week, like "0 0 * * *"'


def bars_or_duration(least: int) -> tuple[BeforeValidator, PlainSerializer, WithJsonSchema]:
    """Annotations of a number of bars from `least` on, or of a length of time."""
    counts = between(str(least), str(MAX_BARS))
    bars = {"type": "integer", "minimum": least, "maximum": MAX_BARS}
    return (
        BeforeValidator(lambda value: _bars_or_duration(value, counts)),
        PlainSerializer(lambda value: duration_text(value) if isinstance(value, timedelta) else value),
        WithJsonSchema({"anyOf": [bars, {"type": "string", "pattern": f"^{DURATION.pattern}$"}]}),
    )


def _bars_or_duration(value: Any, counts: Range) -> int | timedelta:
    if isinstance(value, str | timedelta):
        return as_duration(value, timedelta(seconds=1), timedelta(days=366))
    return as_whole(value, counts)


def length(value: int | timedelta, bar_length: timedelta) -> timedelta:
    """So many bars, or a length of time, as a length of time."""
    return value if isinstance(value, timedelta) else value * bar_length


def cron_text(value: Any) -> str | None:
    """Five fields that name due times."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong("is not text", f"{LIKE}, in quotes")
    try:
        Cron(value)
    except ValueError as error:
        what, _, remedy = str(error).partition("; ")
        raise wrong(what, remedy or LIKE) from None
    return value


def zone_name(value: Any) -> str:
    """A time zone of the tz database, as this machine has it."""
    try:
        zone(value)
    except (KeyError, ValueError, TypeError, OSError):  # not there; no name; no text; a directory of zones, such as Europe
        raise wrong("is not a time zone that this machine knows", "write UTC, or a name like Europe/Berlin") from None
    return str(value)


def zone(name: str) -> tzinfo:
    """The zone of a name that was checked."""
    return ZoneInfo(name)
