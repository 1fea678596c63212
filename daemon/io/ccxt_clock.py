"""The venue's clock as seen from here: how far it is ahead of ours.

Rule: of the last few looks the quickest counts, since a slow answer says little about when it was written.
"""

from collections import deque
from datetime import datetime, timedelta
from typing import Final

LOOKS: Final = 5  # enough to pass over one slow answer; at one look in ten minutes they span less than an hour of drift
NOTHING: Final = timedelta(0)


class VenueClock:
    """Offset (venue minus ours) and its uncertainty, from timed answers."""

    def __init__(self) -> None:
        self._looks: deque[tuple[timedelta, timedelta]] = deque(maxlen=LOOKS)  # (half the round trip, offset)

    def saw(self, asked_at: datetime, venue: datetime, answered_at: datetime) -> None:
        """The venue said `venue`; by our clock it was asked and answered at these moments."""
        half = max(answered_at - asked_at, NOTHING) / 2
        look = (half, venue - asked_at - half)
        if self._looks and abs(look[1] - self.offset) > look[0] + self.uncertainty + timedelta(milliseconds=50):
            self._looks.clear()  # one of the two clocks was set: what was seen before is of another time
        self._looks.append(look)

    def forget(self) -> None:
        """The venue found our time wrong."""
        self._looks.clear()

    @property
    def known(self) -> bool:
        """Whether there has been a look."""
        return bool(self._looks)

    @property
    def offset(self) -> timedelta:
        """What has to be added to our clock to get the venue's."""
        return min(self._looks)[1] if self._looks else NOTHING

    @property
    def uncertainty(self) -> timedelta:
        """How wrong the offset may be, either way."""
        return min(self._looks)[0] if self._looks else NOTHING
