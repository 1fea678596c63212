"""Approval: the first waves wait for a person's word.

Rule: silence is no consent: a wave that nobody has approved in time is not worked on, and a newer decision asks anew. What must be sold
because a hold says so does not wait.
"""

from datetime import datetime, timedelta

from daemon.core.model import Cause, Decision


class Approval:
    """Counts the words that have been given. `needed`: so many waves wait, each for `within` at most."""

    def __init__(self, needed: int, within: timedelta) -> None:
        self._needed = needed
        self._within = within
        self.given = 0
        self.asked: str = ""
        self.until: datetime | None = None
        self._approved = ""

    def renew(self, needed: int, within: timedelta) -> None:
        """Changed terms; words that have been given still count."""
        self._needed, self._within = needed, within

    @property
    def reason(self) -> str:
        """What is waited for, as a sentence; "" while nothing is."""
        return f"the wave of decision {self.asked} waits for `rebalanced approve`" if self.asked else ""

    def waits(self, decision: Decision) -> bool:
        """Whether this decision may not be worked on yet."""
        return decision.cause is not Cause.FLATTENING and self.given < self._needed and decision.id != self._approved

    def ask(self, decision: Decision, at: datetime) -> datetime | None:
        """Ask about a decision, once; until when its answer is waited for. None: it has been asked about already."""
        if self.asked == decision.id:
            return None
        self.asked, self.until = decision.id, at + self._within
        return self.until

    def give(self, decision_id: str) -> bool:
        """A person's word; False where nobody has asked about this decision."""
        if not decision_id or decision_id != self.asked:
            return False
        self._approved, self.asked, self.until = decision_id, "", None
        return True

    def spend(self, decision: Decision) -> None:
        """The wave begins: one word is used up."""
        if decision.id == self._approved:
            self.given += 1
            self._approved = ""

    def lapsed(self, at: datetime) -> bool:
        """Whether the time for an answer is over; it is then not waited for any more."""
        if self.until is None or at < self.until:
            return False
        self.asked, self.until = "", None
        return True
