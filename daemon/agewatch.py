"""Age watch: where one of several accounts has not been read for too long, the others only reduce.

Rule: what such an account holds, and what it is worth, is a guess by then; nobody takes new risk beside it. Its first reading ends that.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from daemon.core.events import HoldLifted, HoldPlaced
from daemon.core.plain import rfc3339
from daemon.core.states import ACCOUNT, DAEMON, Hold, Level
from daemon.io.clock import Clock
from daemon.trader import Trader

CODE: Final = "account_stale"
LOOK_S: Final = 1.0


class AgeWatch:
    """Looks once a second. `age_max`: how long an account may go unread, counted from the start of the process where it never was."""

    def __init__(self, traders: Sequence[Trader], clock: Clock, age_max: timedelta) -> None:
        self._traders = {trader.parts.account_name: trader for trader in traders}
        self._clock = clock
        self._age_max = age_max
        self._began = clock.now()
        self._told: set[str] = set()  # accounts that were held; a person who lifts that is not overruled

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Hold the others where one is stale, and let them go when none is."""
        now = self._clock.now()
        stale = {name: since for name, trader in self._traders.items() if now - (since := self._read(trader)) > self._age_max}
        for name, trader in self._traders.items():
            others = {other: since for other, since in stale.items() if other != name}
            held = any(hold.code == CODE for hold in trader.parts.manager.states.holds(ACCOUNT))
            if others and not held and name not in self._told:
                trader.say(HoldPlaced(_hold(others, now), now))
            elif held and not others:
                trader.say(HoldLifted(ACCOUNT, CODE, DAEMON, now))
            if others:
                self._told.add(name)
            else:
                self._told.discard(name)

    def _read(self, trader: Trader) -> datetime:
        return trader.parts.reconciler.last_reconciled or self._began


def _hold(stale: dict[str, datetime], now: datetime) -> Hold:
    told = " and ".join(f"{name} (since {rfc3339(since)})" for name, since in sorted(stale.items()))
    text = f"nobody has been able to read account {told}; until somebody can, the others only reduce"
    return Hold(level=Level.REDUCING, code=CODE, text=text, since=now)
