"""Waiting and watching: how calm attempts are, and when silence means something."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.model import Bar
from daemon.core.vigil import PAUSE_MAX_S, Backoff, Habits, Patience, Told

T0 = datetime(2024, 5, 6, 7, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def bar(k: float, volume: float = 1.0, symbol: str = "A/USDT") -> Bar:
    return Bar(symbol, T0 + k * SECOND, 1.0, 1.0, 1.0, 1.0, volume)


@given(st.integers(0, 1000))
def test_ten_minutes_of_refusals_are_at_most_thirty_attempts(seed: int) -> None:
    """Attempts keep their spacing, grow rarer, and never pause longer than a tenth above the cap."""
    backoff, now, tried = Backoff(Random(seed), first_s=1.0, spacing_s=1.0), 0.0, []
    while now < 600:
        tried.append(now)
        backoff.tried(now)
        backoff.failed(now, now)
        wait = backoff.wait_s(now)
        assert 1 - 1e-9 <= wait <= 1.1 * PAUSE_MAX_S + 1e-9
        now += wait
    assert len(tried) <= 30


def test_what_breaks_together_counts_once() -> None:
    """Several attempts that fail at one trouble lengthen the pause once; a time that the venue asks for is kept."""
    backoff = Backoff(Random(1), first_s=1.0, spacing_s=0.0)
    for _ in range(5):
        backoff.failed(0.0, 1.0)
    assert backoff.failures == 1
    backoff.failed(0.5, 1.0, at_least_s=35)
    assert backoff.wait_s(1.0) == 35
    backoff.recovered()
    assert backoff.failures == 0
    assert backoff.wait_s(1.0) <= 0


def test_patience_doubles_until_renewed() -> None:
    """A question without a new occasion waits twice as long each time."""
    patience, asked, now = Patience(0.5), [], 0.0
    while now < 10:
        if patience.ready(now):
            asked.append(now)
            patience.asked(now)
        now += 0.5
    assert asked == [0, 0.5, 1.5, 3.5, 7.5]
    patience.renew()
    assert patience.ready(now)


def chatting(every_s: float, seconds: float, habits: Habits) -> Told:
    """A connection on hourly bars that told of its forming candle that often."""
    told = Told(timedelta(hours=1), habits, through=T0, mono=0.0)
    for n in range(int(seconds / every_s) + 1):
        told.heard(bar(3600, volume=n + 1.0), closed=False, mono=n * every_s)
    return told


@pytest.mark.parametrize(("every_s", "limit_s"), [(0.1, 4.0), (2.0, 4.0), (3.0, 6.0), (5.0, 10.0), (20.0, 40.0)])
def test_a_stream_that_chats_is_missed_after_twice_its_longest_pause(every_s: float, limit_s: float) -> None:
    """Silence is suspicious by what this stream is used to."""
    told = chatting(every_s, 60, Habits())
    assert not told.suspicious(T0, 60 + limit_s - 0.1, 7.5)
    assert told.suspicious(T0, 60 + limit_s + 0.1, 7.5)


def test_a_stream_that_never_told_of_forming_candles_may_be_silent() -> None:
    """Between the closes of a venue that tells nothing else there is nothing to miss; after a close that it does not tell, there is."""
    told = Told(timedelta(minutes=1), Habits(), through=T0, mono=0.0)
    told.heard(bar(60), closed=True, mono=60.0)
    assert not told.suspicious(T0 + 119 * SECOND, 119.0, 7.5)
    assert not told.suspicious(T0 + 127 * SECOND, 127.0, 7.5)
    assert told.suspicious(T0 + 128 * SECOND, 128.0, 7.5)


def test_only_what_was_owed_is_missed() -> None:
    """A bar with trades is owed, one without only by a stream that has told such; the past before the connection is not."""
    told = Told(SECOND, Habits(), through=T0, mono=0.0)
    assert told.missed([bar(1)], None)
    assert not told.missed([bar(0)], None)
    assert not told.missed([bar(1, volume=0.0)], None)
    told.heard(bar(1, volume=0.0), closed=True, mono=1.0)
    assert told.missed([bar(2, volume=0.0)], None)
    assert not told.missed([], None)


def test_trades_that_a_chatting_stream_does_not_tell_are_missed() -> None:
    """A forming candle that has moved on at the venue is owed; what a new connection has never told is first looked at."""
    habits = Habits()
    told = chatting(1.0, 60, habits)
    assert not told.missed([], bar(3600, volume=61.0))
    assert told.missed([], bar(3600, volume=62.0))
    fresh = Told(timedelta(hours=1), habits, through=T0, mono=100.0)
    assert not fresh.missed([], bar(3600, volume=70.0))
    assert not fresh.missed([], bar(3600, volume=70.0))
    assert fresh.missed([], bar(3600, volume=71.0))


def test_the_busiest_symbol_speaks_for_its_batch() -> None:
    """The symbol most heard of is asked about; ties go by name."""
    habits = Habits()
    assert habits.busiest(["B", "A"]) == "A"
    told = Told(SECOND, habits, through=T0, mono=0.0)
    told.heard(bar(1, symbol="B"), closed=True, mono=1.0)
    assert habits.busiest(["A", "B"]) == "B"
