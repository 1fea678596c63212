"""The feed: lines by number, from any thread, and what those who come late are told."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.io.api_feed import Feed
from daemon.io.clock import SystemClock
from tests.io.journal_facts import StillClock


def said(feed: Feed, count: int) -> None:
    """So many lines, one after the other."""
    for number in range(count):
        feed.hear({"event": "test", "n": number})


def test_a_reader_goes_on_where_it_was() -> None:
    """Each line comes once and in order, however the reader's questions cut the sequence."""
    feed = Feed(StillClock())
    place, heard = feed.newest, []
    said(feed, 7)
    while (news := feed.since(place, most=3)).entries:
        heard += [entry.line["n"] for entry in news.entries]
        place = news.last
    assert (heard, place) == (list(range(7)), feed.newest)


@given(kept=st.integers(1, 6), before=st.integers(0, 12), after=st.integers(0, 12))
def test_who_comes_late_is_told_how_many_lines_there_were(kept: int, before: int, after: int) -> None:
    """Lines missed and lines handed out are all lines since, whatever the ring still holds."""
    feed = Feed(StillClock(), kept)
    said(feed, before)
    place = feed.newest
    said(feed, after)
    news = feed.since(place)
    assert (news.missed + len(news.entries), news.last, news.anew) == (after, feed.newest, False)


@pytest.mark.parametrize("strange", [0, 10**15 * 9])
def test_a_number_of_another_life_begins_anew(strange: int) -> None:
    """A reader from before a restart, or from a clock that was ahead, gets everything there is, and is told so."""
    feed = Feed(StillClock())
    said(feed, 2)
    news = feed.since(strange)
    assert (news.anew, [entry.line["n"] for entry in news.entries]) == (True, [0, 1])


async def test_a_waiting_reader_is_woken_from_another_thread() -> None:
    """A line that a library's thread says is there for readers at once."""
    feed = Feed(SystemClock())
    waiting = [asyncio.create_task(feed.more(feed.newest, 10)) for _ in range(3)]
    await asyncio.sleep(0)
    threading.Thread(target=said, args=(feed, 1)).start()
    assert await asyncio.gather(*waiting) == [True, True, True]


async def test_nobody_waits_longer_than_it_wants_or_for_a_closed_feed() -> None:
    """Silence ends by itself, and so does everybody's wait when the daemon ends."""
    feed = Feed(SystemClock())
    assert not await feed.more(feed.newest, 0.01)
    waiting = asyncio.create_task(feed.more(feed.newest, 10))
    await asyncio.sleep(0)
    feed.close()
    assert not await waiting
