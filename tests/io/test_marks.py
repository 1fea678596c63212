"""Mark prices: by a stream, by REST where it is silent, and a stream that says nothing any more is dialled again."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from random import Random

from daemon.core.events import Event, FundingTold, MarkTicked
from daemon.core.funding import FundingRate, Mark
from daemon.io.exchange import NotSent, Unknown
from daemon.io.marks import SILENT_S, Marks
from tests.io.tape_venue import START, VirtualClock, nest, run

SYMBOLS = ("A/USDT:USDT", "B/USDT:USDT", "C/USDT:USDT")


class Venue:
    """Streams a mark of 1 a second for some seconds a connection, then says nothing or ends; REST answers 2, or fails."""

    def __init__(self, clock: VirtualClock, speaks_s: float, *, streams: bool = True, ends: bool = False, answers: bool = True) -> None:
        self._clock = clock
        self._speaks_s = speaks_s
        self._streams = streams
        self._ends = ends
        self._answers = answers
        self.dialled: list[tuple[float, Sequence[str]]] = []
        self.asked: list[float] = []

    def funding(self, symbol: str) -> FundingRate | None:
        """Of two of them one, which changes after ten seconds."""
        late = self._clock.monotonic() > 10.5
        return FundingRate(0.0002 if late else 0.0001, START, timedelta(hours=8)) if symbol != SYMBOLS[2] else None

    async def marks(self, symbols: Sequence[str]) -> Mapping[str, Mark]:
        self.asked.append(self._clock.monotonic())
        if not self._answers:
            raise Unknown("no answer")
        return dict.fromkeys(symbols, Mark(2.0))

    async def watch_marks(self, symbols: Sequence[str], sink: Callable[[str, Mark], None]) -> None:
        began_at = self._clock.monotonic()
        self.dialled.append((began_at, symbols))
        if not self._streams:
            raise NotSent("refused")
        while self._clock.monotonic() - began_at < self._speaks_s:
            await self._clock.sleep(1.0)
            for symbol in symbols:
                sink(symbol, Mark(1.0, self.funding(symbol)))
        if self._ends:
            raise Unknown("ended")
        await asyncio.Event().wait()


def told(seconds: float, speaks_s: float, *, batch_max: int = 10, **kind: bool) -> tuple[list[MarkTicked], Venue]:
    """What is told within so many seconds."""
    clock = VirtualClock()
    events: list[Event] = []
    found: list[Venue] = []

    async def main() -> None:
        found.append(Venue(clock, speaks_s, **kind))
        await nest(Marks(found[0], SYMBOLS, batch_max, events.append, clock, Random(1)).jobs(), seconds)

    run(main())
    return [event for event in events if isinstance(event, MarkTicked)], found[0]


def test_a_stream_tells_all_marks() -> None:
    """While the streams stand, one for each batch, every symbol is told once a second and nothing is asked by REST."""
    marks, venue = told(30.0, 1e9, batch_max=2)
    assert [symbols for _, symbols in venue.dialled] == [SYMBOLS[:2], SYMBOLS[2:]]
    assert venue.asked == []
    assert {symbol: sum(mark.symbol == symbol for mark in marks) for symbol in SYMBOLS} == dict.fromkeys(SYMBOLS, 30 - 1)
    assert {mark.price for mark in marks} == {1.0}


def test_rest_stands_in_for_a_stream_that_is_refused() -> None:
    """Where there is no stream, all marks are asked for every few seconds, and the stream is tried ever more calmly."""
    marks, venue = told(60.0, 0.0, streams=False)
    assert {mark.price for mark in marks} == {2.0}
    assert 60 / SILENT_S - 3 <= len(venue.asked) <= 60 / SILENT_S
    assert len(venue.dialled) < 20


def test_a_silent_stream_is_dialled_again() -> None:
    """A connection that told marks and tells none any more is given up; until the next one speaks, REST tells them."""
    marks, venue = told(60.0, 8.0)
    assert len(venue.dialled) >= 3
    ages = [(later.at - earlier.at).total_seconds() for earlier, later in pairwise(marks)]
    assert max(ages) <= SILENT_S + 2


def test_a_line_that_is_down_is_tried_calmly() -> None:
    """Neither way works: nothing is told, and neither is asked more than now and then."""
    marks, venue = told(300.0, 0.0, streams=False, answers=False)
    assert marks == []
    assert len(venue.asked) < 40
    assert len(venue.dialled) < 40


def test_funding_is_told_when_it_is_new() -> None:
    """Of every symbol that has a rate: the first one, and each that is another, before the mark that came with it."""
    clock, events = VirtualClock(), list[Event]()

    async def main() -> None:
        await nest(Marks(Venue(clock, 1e9), SYMBOLS, 2, events.append, clock, Random(1)).jobs(), 30.0)

    run(main())
    told = [event for event in events if isinstance(event, FundingTold)]
    assert sorted((event.symbol, event.funding.rate) for event in told) == [(s, r) for s in SYMBOLS[:2] for r in (0.0001, 0.0002)]
    for place, event in enumerate(events):
        if isinstance(event, FundingTold):
            after = events[place + 1]
            assert isinstance(after, MarkTicked)
            assert after.symbol == event.symbol
