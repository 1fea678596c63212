"""AccountPoller: reads balances and open orders at a steady pace, and at once when somebody asks.

Rule: a poll that fails is told as such and changes nothing; a poll that succeeds says from when to when it looked. While polls fail, the
venue is left alone ever longer, whoever asks.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta
from random import Random
from typing import Final

from daemon.core.events import AccountPolled, Event, HoldPlaced, MeasureClock, PollAccount, PollFailed
from daemon.core.model import AccountSnapshot
from daemon.core.states import Hold, Level
from daemon.io.clock import Clock
from daemon.io.exchange import Exchange, Reason, VenueError

# Balances and open orders together cost 100 of Binance's 6,000 request weights a minute: 30 polls a minute are half of the allowance.
SPACING_S = 2.0
# Two may follow sooner when somebody asks: after a start, the orders in doubt have been looked up by then. Each is saved up for again.
CLOSE_S: Final = 0.5
SPARE_MAX: Final = 2.0

# While the venue does not tell of our trades by itself, polls are all there is. Two more than this would be as many as are allowed.
UNTOLD_S: Final = 5.0

# After a failure 2, 4, 8, 16 and 32 seconds, so that an outage of a minute is asked about every half minute. A fifth more by chance:
# daemons that lost their venue together do not come back together.
FAILED_FIRST_S: Final = 2.0
FAILED_MAX_S: Final = 45.0
JITTER: Final = 0.2


class AccountPoller:
    """Publishes `AccountPolled` every `every`, or sooner after `PollAccount`, but no more often than every `SPACING_S` seconds, two aside.

    `told`: whether the venue tells of our trades by itself; while it does not, the account is polled every `UNTOLD_S` at least.
    """

    def __init__(
        self,
        exchange: Exchange,
        publish: Callable[[Event], None],
        clock: Clock,
        every: timedelta,
        told: Callable[[], bool],
        jitter: Random,
    ) -> None:
        self._exchange = exchange
        self._publish = publish
        self._clock = clock
        self._every_s = every.total_seconds()
        self._told = told
        self._jitter = jitter
        self._asked = asyncio.Event()
        self._refused = False
        self._failures = 0
        self._spare = SPARE_MAX  # polls that may follow closely
        self._polled_at = float("-inf")

    def accept(self, _: PollAccount) -> Iterable[Event]:
        """Somebody wants to know now."""
        self._asked.set()
        return ()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            self._asked.clear()
            self._failures = 0 if await self._poll() else self._failures + 1
            if self._failures:
                await self._clock.sleep(self._left_alone_s())
                continue
            pause_s = self._pause_s()
            await self._clock.sleep(pause_s)
            await self._wait(max(SPACING_S, self._every_s if self._told() else min(self._every_s, UNTOLD_S)) - pause_s)

    def _pause_s(self) -> float:
        """How soon the poll that was just made may be followed by another."""
        now = self._clock.monotonic()
        self._spare = min(SPARE_MAX, self._spare + (now - self._polled_at) / SPACING_S - 1)
        self._polled_at = now
        return CLOSE_S if self._spare >= 1 else SPACING_S

    def _left_alone_s(self) -> float:
        grown = min(FAILED_FIRST_S * 2.0 ** min(self._failures - 1, 10), FAILED_MAX_S)
        return grown * self._jitter.uniform(1.0, 1.0 + JITTER)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return

    async def _poll(self) -> bool:
        """Whether the account could be read."""
        asked_at = self._clock.now()
        try:
            balances = await self._exchange.balances()
            open_orders = await self._exchange.open_orders()
        except VenueError as error:
            self._publish(PollFailed(error.text, self._clock.now()))
            if error.reason is Reason.CLOCK_SKEW:
                # The next request is signed by the venue's time again, so that no order would be refused and tell of it.
                self._publish(MeasureClock(self._clock.now()))
            if error.reason in (Reason.CREDENTIALS, Reason.PERMISSION) and not self._refused:
                self._refused = True
                at = self._clock.now()
                text = f"the exchange refuses the credentials ({error.text}); correct them, restart, and resume"
                self._publish(HoldPlaced(Hold(level=Level.HALTED, code="credentials", text=text, since=at), at))
            return False
        at = self._clock.now()
        self._publish(AccountPolled(AccountSnapshot(balances, open_orders, asked_at, at), at))
        return True
