"""Occasion: why there should be a decision although no strategy was due.

Rule: it follows from the account, the limits and the last wave, never from how long this process has run.
"""

from dataclasses import dataclass
from datetime import datetime

from daemon.core.account import Account
from daemon.core.events import WaveSettled
from daemon.core.guard import Guard
from daemon.core.model import Cause, Decision
from daemon.core.rebalancing import Cooldown, strayed
from daemon.core.trading import Settings
from daemon.core.wave import RETRYABLE


@dataclass(frozen=True, slots=True)
class Occasion:
    """What there is to judge by: the account under its limits, and `last_wave`, the newest that has settled."""

    account: Account
    guard: Guard
    settings: Settings
    cooldown: Cooldown
    last_wave: WaveSettled | None

    def cause(self, wanted: Decision, last: Decision, at: datetime) -> Cause | None:
        """Why there should be a decision although nobody was due; None: there is no reason."""
        over = self.cooldown.over(wanted.as_of)
        if self.guard.alarmed or (self.guard.calmed and over):
            return Cause.CORRELATION
        if self.guard.due_again(self.last_wave, at):
            return Cause.LIMITED
        if over and last.exits_until is not None:
            return Cause.COOLDOWN_OVER
        return Cause.OFF_TARGET if over and self._strayed(wanted, at) else None

    def _strayed(self, wanted: Decision, at: datetime) -> bool:
        limit = self.settings.off_target
        if limit is None or not self.account.valued(at):
            return False
        refused = {} if self.last_wave is None else {s: why for s, why in self.last_wave.refused.items() if why not in RETRYABLE}
        weights = self.guard.weights(wanted)
        return strayed(weights, wanted.keep, self.account, self.settings, self.guard.allows, limit=limit, refused=refused, at=at)
