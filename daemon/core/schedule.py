"""Schedule: when a strategy is due.

Rule: due times hang on the epoch or on the calendar, never on the start of the process, so a restart changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.core.cron import Cron
from daemon.core.model import EPOCH

INSTANT = timedelta(microseconds=1)  # the smallest difference between two moments


@dataclass(frozen=True, slots=True)
class Schedule:
    """Due at every whole multiple of a length of time since 1970-01-01 UTC, or at the times of a cron.

    N bars are `Schedule(N * timeframe)`. A due time of a cron may lie between two slices: the next one meets it.
    `at_start`: the first full slice of a fresh journal is due too.
    """

    times: timedelta | Cron
    at_start: bool = False

    def __post_init__(self) -> None:
        """Refuse an interval that never ends."""
        if isinstance(self.times, timedelta) and self.times <= timedelta(0):
            raise ValueError(f"every must be longer than nothing, not {self.times}")

    def after(self, moment: datetime) -> datetime:
        """The first due time after `moment`."""
        if isinstance(self.times, Cron):
            return self.times.after(moment)
        return moment - (moment - EPOCH) % self.times + self.times

    def due(self, moment: datetime) -> bool:
        """Whether `moment` is a due time."""
        return self.after(moment - INSTANT) == moment

    def missed(self, since: datetime, until: datetime) -> bool:
        """Whether there is a due time after `since` and not after `until`; how many makes no difference."""
        return self.after(since) <= until

    def fits(self, timeframe: timedelta) -> bool:
        """Whether slices of this length can meet its due times when they come: a period must be a whole number of bars."""
        return isinstance(self.times, Cron) or not self.times % timeframe


class DueTimes:
    """A schedule as a clock is asked: again and again, about ever later moments. A cron is worked out once between two decisions."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._since: datetime | None = None
        self._next = EPOCH

    def missed(self, since: datetime, until: datetime) -> bool:
        """As `Schedule.missed`."""
        if since != self._since:
            self._since, self._next = since, self._schedule.after(since)
        return self._next <= until
