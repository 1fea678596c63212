"""ClockWatch: a lag, a sleep of the machine and a step of the clock are told apart."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from daemon.io.clockwatch import ClockSetBack, ClockWatch, Look

START = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class TwoClocks:
    """Clocks that are set by hand: seconds since the start."""

    wall: float = 0.0
    mono: float = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.wall)

    def monotonic(self) -> float:
        return self.mono

    def stamp_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


@pytest.mark.parametrize(
    ("wall", "mono", "look"),
    [
        (1.0, 1.0, Look(0.0, 0.0)),  # as asked
        (1.5, 1.5, Look(0.5, 0.5)),  # a busy loop
        (121.0, 121.0, Look(120.0, 120.0)),  # a stopped process: both clocks went on
        (121.0, 1.0, Look(0.0, 120.0)),  # a suspended machine: the monotonic clock stood still with it
        (-3.0, 1.0, Look(0.0, 0.0)),  # a clock set back by what does no harm
        (-3.0, 9.0, "set back by 12 s"),
        (-3599.0, 1.0, "set back by 3600 s"),
    ],
)
def test_what_two_looks_tell(wall: float, mono: float, look: Look | str) -> None:
    """What was missed is the longer of both clocks beyond what was asked; a wall clock that was set back by more than 5 s is refused."""
    clocks = TwoClocks()
    watch = ClockWatch(clocks)
    clocks.wall, clocks.mono = wall, mono
    if isinstance(look, str):
        with pytest.raises(ClockSetBack, match=look):
            watch.look(1.0)
    else:
        assert watch.look(1.0) == look


def test_each_look_is_at_what_came_since_the_last() -> None:
    """A step is told once."""
    clocks = TwoClocks()
    watch = ClockWatch(clocks)
    clocks.wall, clocks.mono = 100.0, 1.0
    assert watch.look(1.0).missed_s == 99.0
    clocks.wall, clocks.mono = 101.0, 2.0
    assert watch.look(1.0) == Look(0.0, 0.0)
