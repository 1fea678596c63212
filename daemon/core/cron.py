"""Cron: due times as five fields say them, in a time zone, right across daylight saving.

Rule: no due time is lost and none comes twice. A time that a changed clock skips is due at the first moment after the gap; one that it
repeats is due the first time round. Only a rule for every hour follows the clock's real hours: 23 of them on one day, 25 on another.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import product
from typing import Final, NamedTuple

MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of each month, in a leap year


class _Field(NamedTuple):
    """One of the five fields: the numbers it takes, and the names that stand for them from `low` on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of the week", 0, 7, WEEKDAYS),
)


@dataclass(frozen=True)
class Cron:
    """Due at the minutes that `text` names: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).

    Each field is `*`, a number, a range `1-5`, a step `*/15` or `8-20/2`, or a list of these; months and days of the week have names too.
    Where both day fields are restricted (begin with something else than `*`), a day that either of them names is due, as in every cron.

    Raises ValueError, as a sentence, for a text that is no such thing or that no day of the calendar meets.
    """

    text: str
    zone: tzinfo = UTC
    _minutes: frozenset[int] = field(init=False, repr=False, compare=False)
    _hours: frozenset[int] = field(init=False, repr=False, compare=False)
    _days: frozenset[int] = field(init=False, repr=False, compare=False)
    _months: frozenset[int] = field(init=False, repr=False, compare=False)
    _weekdays: frozenset[int] = field(init=False, repr=False, compare=False)
    _either: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the text."""
        words = self.text.split()
        if len(words) != len(FIELDS):
            raise ValueError(f"has {len(words)} fields, not 5: minute, hour, day of the month, month, day of the week")
        minutes, hours, days, months, weekdays = (_numbers(word, wanted) for word, wanted in zip(words, FIELDS, strict=True))
        either = not words[2].startswith("*") and not words[4].startswith("*")
        if not either and not any(day <= LONGEST[month - 1] for month, day in product(months, days)):
            raise ValueError("names a day that no month has")
        parsed = {"_minutes": minutes, "_hours": hours, "_days": days, "_months": months, "_either": either}
        for name, value in {**parsed, "_weekdays": frozenset(day % 7 for day in weekdays)}.items():
            object.__setattr__(self, name, value)

    def after(self, moment: datetime) -> datetime:
        """The first due time after `moment`, UTC."""
        due = self._by_real_hours(moment) if len(self._hours) == 24 else self._by_the_clock(moment)
        return next(due)

    def _by_the_clock(self, moment: datetime) -> Iterator[datetime]:
        """Due times after `moment`, of fixed hours: each time of day once a day."""
        wall = moment.astimezone(self.zone).replace(tzinfo=None)
        times = sorted(60 * hour + minute for hour, minute in product(self._hours, self._minutes))
        # Clock times up to now have had their moment, whichever time round this is: the later ones are tried in order.
        first = bisect_right(times, 60 * wall.hour + wall.minute)
        for day in self._dates(wall.date()):
            for minutes in times[first if day == wall.date() else 0 :]:
                due = self._moment(datetime.combine(day, time()) + minutes * MINUTE)
                if due > moment:
                    yield due

    def _by_real_hours(self, moment: datetime) -> Iterator[datetime]:
        """Due times after `moment`, of every hour: a minute that the clock skips does not pass, one that it repeats passes twice."""
        at = moment.astimezone(UTC).replace(second=0, microsecond=0) + MINUTE
        while True:
            wall = at.astimezone(self.zone)
            if not self._on(wall.date()):
                at = self._moment(datetime.combine(next(self._dates(wall.date() + DAY)), time()))
                continue
            if wall.minute in self._minutes:
                yield at
            at += MINUTE

    def _dates(self, first: date) -> Iterator[date]:
        """The days that are due, from `first` on."""
        day = first
        while True:
            if self._on(day):
                yield day
            day += DAY

    def _on(self, day: date) -> bool:
        named, weekday = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        return day.month in self._months and ((named or weekday) if self._either else (named and weekday))

    def _moment(self, wall: datetime) -> datetime:
        """When the clock on the wall shows this time: the first time round, or at the end of the gap that skips it."""
        while True:
            moment = wall.replace(tzinfo=self.zone).astimezone(UTC)
            if moment.astimezone(self.zone).replace(tzinfo=None) == wall:
                return moment
            wall += MINUTE  # gaps are an hour, once or twice in history a day


def _numbers(word: str, wanted: _Field) -> frozenset[int]:
    """The numbers that one field names."""
    return frozenset(number for part in word.split(",") for number in _range(part, wanted))


def _range(part: str, wanted: _Field) -> range:
    """The numbers of one element of a list."""
    span, slash, step = part.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
        raise ValueError(f"has a step that is no number above 0 in its {wanted.name}")
    if span == "*":
        return range(wanted.low, wanted.high + 1, int(step or 1))
    first, dash, last = span.partition("-")
    if slash and not dash:
        raise ValueError(f"has a step without a range in its {wanted.name}; write the range too, as */15 or 8-20/4")
    low, high = _number(first, wanted), _number(last if dash else first, wanted)
    if low > high:
        raise ValueError(f"has a range that runs backwards in its {wanted.name}; write it as two ranges with a comma")
    return range(low, high + 1, int(step or 1))


def _number(text: str, wanted: _Field) -> int:
    if text.lower() in wanted.names:
        return wanted.low + wanted.names.index(text.lower())
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and wanted.low <= int(text) <= wanted.high):
        raise ValueError(f"has no {wanted.name} from {wanted.low} to {wanted.high} where one is wanted")
    return int(text)
