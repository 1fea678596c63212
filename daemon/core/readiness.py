"""Readiness: how far the daemon has come, what opens trading, and in which word that is told.

Rule: nothing is sent before the account was read and agrees, after a start and after a long sleep alike.
"""

from datetime import datetime

from daemon.core.events import AccountReconciled
from daemon.core.states import Level, States
from daemon.core.trading import Trading


class Readiness:
    """`trading` says how far it has come; within that, the holds of `states` say what may be traded."""

    def __init__(self, states: States) -> None:
        self.trading = Trading.STARTING
        self._states = states
        self._awoken_at: datetime | None = None

    @property
    def reason(self) -> str:
        """Why trading is not what it could be, as a sentence; "" while nothing restricts the account."""
        match self.trading:
            case Trading.STARTING:
                worst = self._states.worst()
                if worst is not None and worst.level is Level.HALTED:
                    return worst.text  # what a person must do goes before what will come by itself
                return f"the account has not been read {'yet' if self._awoken_at is None else 'since a long sleep'}"
            case Trading.STOPPING:
                return "stopping"
            case Trading.RUNNING:
                worst = self._states.worst()
                return "" if worst is None else worst.text

    @property
    def word(self) -> str:
        """How trading stands: starting, running, reducing, paused, flattening, halted, stopping."""
        level = self._states.level()
        return level.told if self.trading is not Trading.STOPPING and level is not Level.ACTIVE else self.trading.value

    @property
    def planning(self) -> bool:
        """Whether new orders may be made at all; what each may be, the states say."""
        return self.trading is Trading.RUNNING and self._states.level() not in (Level.PAUSED, Level.HALTED)

    def read(self, event: AccountReconciled) -> bool:
        """Ledger and account were compared, with no old order left to look up; whether that opens trading.

        What an order in doubt may have done is held by itself.
        """
        since = self._awoken_at is None or event.asked_at >= self._awoken_at
        if self.trading is not Trading.STARTING or not since or not event.differences.keys() <= event.held:
            return False
        self.trading = Trading.RUNNING
        return True

    def awake(self, at: datetime) -> None:
        """Whatever happened in a long sleep, the account is to be read again."""
        if self.trading is Trading.RUNNING:
            self.trading, self._awoken_at = Trading.STARTING, at
