"""ClockWatch: what two looks at both clocks tell: how late the loop is, how long everything has stood still, whether the time was set back.

Rule: a suspended machine stops the monotonic clock and not the wall clock; a stopped process stops neither. Both have missed the market.
"""

from dataclasses import dataclass
from typing import Final

from daemon.io.clock import Clock

# The wall clock has gone on by so much more than it should: a suspended machine, a stopped process, or a clock that was set.
AWAY_S: Final = 5.0

# A daemon that hears nothing of this is not yet wrong: what waits for a moment waits so much longer.
SET_BACK_MAX_S: Final = 5.0


class ClockSetBack(Exception):
    """The wall clock was set back. Whatever waits for a moment would wait for so much longer; started anew, nothing waits."""


@dataclass(frozen=True, slots=True)
class Look:
    """How much later than asked the loop woke up, by the monotonic clock, and by either clock, in seconds."""

    lag_s: float
    missed_s: float


class ClockWatch:
    """Compares both clocks with its last look."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._mono = clock.now(), clock.monotonic()

    def look(self, asked_s: float) -> Look:
        """Look again, after a sleep of so many seconds.

        Raises:
            ClockSetBack: by more than a few seconds.
        """
        wall, mono = self._clock.now(), self._clock.monotonic()
        passed_s, ran_s = (wall - self._wall).total_seconds(), mono - self._mono
        self._wall, self._mono = wall, mono
        if passed_s < ran_s - SET_BACK_MAX_S:
            raise ClockSetBack(
                f"the clock of this machine was set back by {ran_s - passed_s:.0f} s; start again: the journal has everything"
            )
        return Look(ran_s - asked_s, max(ran_s, passed_s) - asked_s)
