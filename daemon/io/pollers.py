"""AccountPoller: reads balances and open orders at a steady pace, and at once when somebody asks.

Rule: a poll that fails is told as such and changes nothing; a poll that succeeds says from when to when it looked.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta

from daemon.core.events import AccountPolled, Event, HoldPlaced, PollAccount, PollFailed
from daemon.core.model import AccountSnapshot
from daemon.core.states import Hold, Level
from daemon.io.clock import Clock
from daemon.io.exchange import Exchange, Reason, VenueError

# Balances and open orders together cost 100 of Binance's 6,000 request weights a minute: 30 polls a minute are half of the allowance.
SPACING_S = 2.0


class AccountPoller:
    """Publishes `AccountPolled` every `every`, or sooner after `PollAccount`, but never more often than every `SPACING_S` seconds."""

    def __init__(self, exchange: Exchange, publish: Callable[[Event], None], clock: Clock, every: timedelta) -> None:
        self._exchange = exchange
        self._publish = publish
        self._clock = clock
        self._every_s = every.total_seconds()
        self._asked = asyncio.Event()
        self._refused = False

    def accept(self, _: PollAccount) -> Iterable[Event]:
        """Somebody wants to know now."""
        self._asked.set()
        return ()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            self._asked.clear()
            await self._poll()
            await self._clock.sleep(SPACING_S)
            await self._wait(max(0.0, self._every_s - SPACING_S))

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return

    async def _poll(self) -> None:
        asked_at = self._clock.now()
        try:
            balances = await self._exchange.balances()
            open_orders = await self._exchange.open_orders()
        except VenueError as error:
            self._publish(PollFailed(error.text, self._clock.now()))
            if error.reason in (Reason.CREDENTIALS, Reason.PERMISSION) and not self._refused:
                self._refused = True
                at = self._clock.now()
                text = f"the exchange refuses the credentials ({error.text}); correct them, restart, and resume"
                self._publish(HoldPlaced(Hold(level=Level.HALTED, code="credentials", text=text, since=at), at))
            return
        at = self._clock.now()
        self._publish(AccountPolled(AccountSnapshot(balances, open_orders, asked_at, at), at))
