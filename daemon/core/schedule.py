"""Schedule: when a strategy is due.

Rule: due times hang on the epoch, never on the start of the process, so a restart changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.core.model import EPOCH


@dataclass(frozen=True, slots=True)
class Schedule:
    """Due at every whole multiple of `every` since 1970-01-01 UTC.

    `at_start`: the first full slice of a fresh journal is due too. N bars are `Schedule(N * timeframe)`.
    """

    every: timedelta
    at_start: bool = False

    def __post_init__(self) -> None:
        """Refuse an interval that never ends."""
        if self.every <= timedelta(0):
            raise ValueError(f"every must be longer than nothing, not {self.every}")

    def due(self, moment: datetime) -> bool:
        """Whether `moment` is a due time."""
        return self.latest(moment) == moment

    def latest(self, moment: datetime) -> datetime:
        """The last due time that is not after `moment`."""
        return moment - (moment - EPOCH) % self.every

    def missed(self, since: datetime, until: datetime) -> bool:
        """Whether there is a due time after `since` and not after `until`; how many makes no difference."""
        return self.latest(until) > since
