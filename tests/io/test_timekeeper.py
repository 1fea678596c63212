"""The timekeeper: steady, at once when asked, and sure of no more than the answers allow."""

from datetime import datetime, timedelta

from daemon.core.events import ClockMeasured, Event, MeasureClock
from daemon.io.exchange import Unknown
from daemon.io.timekeeper import EVERY_S, LOOKS, Timekeeper
from tests.io.scripted import ScriptedExchange
from tests.io.tape_venue import START, VirtualClock, nest, run


class Tower(ScriptedExchange):
    """A venue whose clock is ahead of ours, and whose answers take these times in turn; None fails."""

    def __init__(self, clock: VirtualClock, ahead_s: float, *takes_s: float | None) -> None:
        super().__init__()
        self._clock = clock
        self._ahead = timedelta(seconds=ahead_s)
        self._takes_s = takes_s
        self.asked: list[float] = []

    async def server_time(self) -> datetime:
        takes_s = self._takes_s[len(self.asked) % len(self._takes_s)]
        self.asked.append(self._clock.monotonic())
        if takes_s is None:
            raise Unknown("timed out")
        await self._clock.sleep(takes_s / 2)
        said = self._clock.now() + self._ahead
        await self._clock.sleep(takes_s / 2)
        return said


def watched(seconds: float, ahead_s: float, *takes_s: float | None, pokes_s: tuple[float, ...] = ()) -> tuple[list[ClockMeasured], Tower]:
    """What is told within so many seconds."""
    clock = VirtualClock()
    tower = Tower(clock, ahead_s, *takes_s)
    told: list[Event] = []
    keeper = Timekeeper(tower, told.append, clock)

    async def poke() -> None:
        for moment in pokes_s:
            await clock.sleep(moment - clock.monotonic())
            assert not list(keeper.accept(MeasureClock(clock.now())))

    run(nest([("timekeeper", keeper.run)], seconds, poke()))
    assert all(isinstance(event, ClockMeasured) for event in told)
    return [event for event in told if isinstance(event, ClockMeasured)], tower


def test_it_looks_at_once_and_every_ten_minutes() -> None:
    """The first comparison is immediate, further ones follow steadily, a few looks each."""
    told, tower = watched(2 * EVERY_S, 0.5, 0.1)
    assert len(told) == 2
    assert len(tower.asked) == 2 * LOOKS
    assert told[0].at - START < timedelta(seconds=1)


def test_it_looks_when_it_is_asked() -> None:
    """Asked for, it compares again at once; asked twice within a moment, it does so once."""
    told, _ = watched(120.0, 0.5, 0.1, pokes_s=(60.0, 60.01, 60.02))
    assert len(told) == 2


def test_the_quickest_answer_counts() -> None:
    """Of three looks the one that took least says most: the difference exactly, and half its time as doubt."""
    told, _ = watched(10.0, -1.5, 4.0, 0.2, 1.0)
    assert told[0].offset == timedelta(seconds=-1.5)
    assert told[0].uncertainty == timedelta(seconds=0.1)


def test_a_look_that_fails_says_nothing() -> None:
    """One that fails ends its turn, and those before it count; where there are none nothing is told, until the next turn."""
    told, _ = watched(10.0, 0.3, 0.2, None)
    assert [event.offset for event in told] == [timedelta(seconds=0.3)]
    told, tower = watched(EVERY_S + 10.0, 0.3, None)
    assert told == []
    assert len(tower.asked) == 2
