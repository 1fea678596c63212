"""Schedules: lengths of time from the epoch, and crons across daylight saving."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.cron import Cron
from daemon.core.schedule import Schedule

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def utc(text: str) -> datetime:
    """A moment as written, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fires(cron: Cron, since: datetime, until: datetime) -> list[datetime]:
    """Every due time after `since`, up to `until`."""
    found = []
    while (since := cron.after(since)) <= until:
        found.append(since)
    return found


# --- lengths of time -------------------------------------------------------------------------------------------------


def test_schedule_values() -> None:
    """A due time is due, the moment after is not; an interval has missed one exactly if it holds one, its end included."""
    schedule = Schedule(4 * HOUR)
    assert schedule.due(T0)
    assert not schedule.due(T0 + HOUR)
    assert not schedule.due(T0 + timedelta(microseconds=1))
    assert schedule.missed(T0, T0 + 4 * HOUR)
    assert not schedule.missed(T0, T0 + 3 * HOUR)
    assert schedule.after(T0 + 3 * HOUR) == T0 + 4 * HOUR
    assert schedule.after(T0 + 4 * HOUR) == T0 + 8 * HOUR


def test_a_period_ends() -> None:
    """An interval of nothing would be due for ever."""
    with pytest.raises(ValueError, match="longer than nothing"):
        Schedule(timedelta(0))


@given(bars=st.integers(1, 1000), timeframe_ms=st.sampled_from([1000, 60_000, 3_600_000]), n=st.integers(0, 10**7))
def test_due_times_are_multiples_of_the_period_in_ms(bars: int, timeframe_ms: int, n: int) -> None:
    """A close time is due exactly if its ms since the epoch are a multiple of bars times timeframe, as the contract says."""
    close_ms = n * timeframe_ms
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=close_ms)
    assert Schedule(bars * timedelta(milliseconds=timeframe_ms)).due(moment) == (close_ms % (bars * timeframe_ms) == 0)


# --- crons: what the fields say --------------------------------------------------------------------------------------

FIELDS: list[tuple[str, list[str]]] = [
    ("0 0 * * *", ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00"]),
    ("*/20 8-9 * * *", ["2026-01-01 08:00", "2026-01-01 08:20", "2026-01-01 08:40", "2026-01-01 09:00"]),
    ("5,35 */12 * * *", ["2026-01-01 00:05", "2026-01-01 00:35", "2026-01-01 12:05", "2026-01-01 12:35", "2026-01-02 00:05"]),
    ("0 10-20/5 * * *", ["2026-01-01 10:00", "2026-01-01 15:00", "2026-01-01 20:00", "2026-01-02 10:00"]),
    ("15 * * * *", ["2026-01-01 00:15", "2026-01-01 01:15"]),
    ("30 6 * * mon", ["2026-01-05 06:30", "2026-01-12 06:30"]),
    ("30 6 * * MON-wed", ["2026-01-05 06:30", "2026-01-06 06:30", "2026-01-07 06:30", "2026-01-12 06:30"]),
    ("0 0 * * 0", ["2026-01-04 00:00", "2026-01-11 00:00"]),
    ("0 0 * * 7", ["2026-01-04 00:00", "2026-01-11 00:00"]),
    ("0 0 * * 5-7", ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00", "2026-01-09 00:00"]),
    ("0 0 1 * *", ["2026-02-01 00:00", "2026-03-01 00:00"]),
    ("0 0 31 * *", ["2026-01-31 00:00", "2026-03-31 00:00", "2026-05-31 00:00"]),
    ("0 0 1 jan,Jul *", ["2026-07-01 00:00", "2027-01-01 00:00"]),
    ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
    ("0 * 29 2 *", ["2028-02-29 00:00", "2028-02-29 01:00"]),
    # Both day fields restricted: either will do. One of them a star, a step included: both must.
    ("0 0 13 * fri", ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00", "2026-01-16 00:00"]),
    ("0 0 */2 * fri", ["2026-01-09 00:00", "2026-01-23 00:00", "2026-02-13 00:00"]),
]


@pytest.mark.parametrize(("text", "first"), FIELDS, ids=[text for text, _ in FIELDS])
def test_fields_mean_what_cron_says(text: str, first: list[str]) -> None:
    """Each kind of field names the times that every cron would take it for."""
    moment = T0
    for expected in first:
        moment = Cron(text).after(moment)
        assert moment == utc(expected)


REFUSED = {
    "0 0 * *": "has 4 fields, not 5",
    "0 0 0 * * *": "has 6 fields, not 5",
    "@daily": "has 1 fields, not 5",
    "60 0 * * *": "no minute from 0 to 59",
    "0 24 * * *": "no hour from 0 to 23",
    "0 0 0 * *": "no day of the month from 1 to 31",
    "0 0 * 13 *": "no month from 1 to 12",
    "0 0 * * 8": "no day of the week from 0 to 7",
    "0 0 * * monday": "no day of the week",
    "0 -1 * * *": "no hour",
    "0 ٣ * * *": "no hour",
    "0 1, * * *": "no hour",
    "*/0 0 * * *": "a step that is no number above 0 in its minute",
    "5/15 0 * * *": "a step without a range in its minute; write the range too",
    "0 22-2 * * *": "runs backwards in its hour",
    "0 0 30 2 *": "a day that no month has",
    "0 0 31 4,6 *": "a day that no month has",
}


@pytest.mark.parametrize(("text", "says"), REFUSED.items(), ids=REFUSED.keys())
def test_what_is_no_cron_is_refused(text: str, says: str) -> None:
    """A slip is named, field and all, instead of becoming a time that never comes or another than was meant."""
    with pytest.raises(ValueError, match=re.escape(says)):
        Cron(text)


# --- crons: daylight saving ------------------------------------------------------------------------------------------

# Berlin: 29 March 2026 at 02:00 to 03:00, 25 October at 03:00 back to 02:00. New York: 8 March, 1 November, an hour's clock earlier.
DAYLIGHT: list[tuple[ZoneInfo, str, str, str]] = [
    (BERLIN, "30 2 * * *", "2026-03-29", "2026-03-29 01:00"),  # does not exist: 03:00, the first moment after the gap
    (BERLIN, "30 1 * * *", "2026-03-29", "2026-03-29 00:30"),  # before the gap
    (BERLIN, "30 2 * * *", "2026-10-25", "2026-10-25 00:30"),  # twice: the first time round
    (BERLIN, "30 3 * * *", "2026-10-25", "2026-10-25 02:30"),  # after both
    (NEW_YORK, "30 2 * * *", "2026-03-08", "2026-03-08 07:00"),  # does not exist
    (NEW_YORK, "0 3 * * *", "2026-03-08", "2026-03-08 07:00"),  # exists, and is that same moment
    (NEW_YORK, "30 1 * * *", "2026-11-01", "2026-11-01 05:30"),  # twice
    (NEW_YORK, "0 0 * * *", "2026-11-01", "2026-11-01 04:00"),  # midnight, a day of 25 hours ahead
]


@pytest.mark.parametrize(("zone", "text", "day", "expected"), DAYLIGHT)
def test_a_daily_time_comes_once_a_day(zone: ZoneInfo, text: str, day: str, expected: str) -> None:
    """On the day the clock changes, and on the days around it, a daily cron is due exactly once."""
    cron = Cron(text, zone)
    noon = datetime.fromisoformat(day).replace(hour=12, tzinfo=zone)
    found = fires(cron, (noon - timedelta(days=3)).astimezone(UTC), (noon + timedelta(days=3)).astimezone(UTC))
    assert [moment.astimezone(zone).date() for moment in found] == [noon.date() + timedelta(days=n) for n in (-2, -1, 0, 1, 2, 3)]
    assert utc(expected) in found


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("America/Havana"), UTC])
@pytest.mark.parametrize("text", ["0 0 * * *", "30 0 * * *", "30 1 * * *", "45 1 * * *", "30 2 * * *", "15 2 * * *", "59 23 * * *"])
def test_every_day_of_the_year_has_its_time(zone: ZoneInfo, text: str) -> None:
    """Over two years, wherever the clock jumps and by how much, no day is without its due time and none has two."""
    found = fires(Cron(text, zone), T0, T0 + 730 * DAY)
    days = [moment.astimezone(zone).date() for moment in found]
    assert len(days) >= 729
    assert all(b - a == DAY for a, b in pairwise(days))


@pytest.mark.parametrize(("day", "hours"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)])
def test_every_hour_means_every_hour(day: str, hours: int) -> None:
    """A rule for every hour is due after each real one, on the long day as on the short one."""
    begin = datetime.fromisoformat(day).replace(tzinfo=BERLIN)
    end = begin + DAY  # the same time on the next day's clock
    found = fires(Cron("30 * * * *", BERLIN), begin.astimezone(UTC), end.astimezone(UTC))
    assert len(found) == hours
    assert {b - a for a, b in pairwise(found)} == {HOUR}


def test_some_hours_on_the_short_and_the_long_day() -> None:
    """Times of a skipped hour come together at the end of the gap, once; those of a repeated hour come the first time round."""
    cron = Cron("0,30 1-3 * * *", BERLIN)
    short = fires(cron, utc("2026-03-28 23:00"), utc("2026-03-29 22:00"))
    assert [moment.astimezone(BERLIN).strftime("%H:%M") for moment in short] == ["01:00", "01:30", "03:00", "03:30"]
    long = fires(cron, utc("2026-10-24 22:00"), utc("2026-10-25 23:00"))
    assert [moment.astimezone(BERLIN).strftime("%H:%M") for moment in long] == ["01:00", "01:30", "02:00", "02:30", "03:00", "03:30"]


def test_a_day_that_a_country_skipped() -> None:
    """Samoa had no 30 December 2011: its due time and the next day's are one."""
    found = fires(Cron("0 0 * * *", ZoneInfo("Pacific/Apia")), utc("2011-12-28 12:00"), utc("2012-01-01 12:00"))
    assert found == [utc("2011-12-29 10:00"), utc("2011-12-30 10:00"), utc("2011-12-31 10:00"), utc("2012-01-01 10:00")]


@pytest.mark.parametrize("text", ["30 2 * * *", "*/7 1-3 * * *", "10 * * * *", "0 0,12 * * sun", "0 2 */3 * *"])
@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, ZoneInfo("Asia/Kathmandu")])
def test_due_times_do_not_depend_on_when_one_asks(text: str, zone: ZoneInfo) -> None:
    """From any moment the next due time is the first of the whole list that lies after it: asking in between changes nothing."""
    cron, rng = Cron(text, zone), Random(text)
    for begin in (utc("2026-03-06 00:00"), utc("2026-03-27 00:00"), utc("2026-10-23 00:00"), utc("2026-10-30 00:00")):
        every = fires(cron, begin, begin + 15 * DAY)
        assert all(a < b for a, b in pairwise(every))
        for _ in range(40):
            moment = begin + rng.random() * 4 * DAY
            assert cron.after(moment) == next(due for due in every if due > moment)
            assert Schedule(cron).due(cron.after(moment))
