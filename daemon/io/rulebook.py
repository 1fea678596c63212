"""Rulebook: keeps the rules of the markets as the venue has them, at a steady pace and at once after a refusal that they should explain.

Rule: a listing that fails changes nothing; a market that is gone is known still, and not traded.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import Final

import structlog

from daemon.core.events import Event, MarketsListed, ReadMarkets
from daemon.core.model import Instrument
from daemon.io.clock import Clock
from daemon.io.exchange import Exchange, VenueError

log = structlog.get_logger()

EVERY_S: Final = 3600.0
SPACING_S: Final = 60.0  # refusals may come by the dozen


class Rulebook:
    """Publishes `MarketsListed` every hour, and after `ReadMarkets`, but only where something has changed."""

    def __init__(
        self, exchange: Exchange, publish: Callable[[Event], None], clock: Clock, known: Callable[[], Mapping[str, Instrument]]
    ) -> None:
        self._exchange = exchange
        self._publish = publish
        self._clock = clock
        self._known = known
        self._asked = asyncio.Event()

    def accept(self, _: ReadMarkets) -> Iterable[Event]:
        """Somebody doubts the rules."""
        self._asked.set()
        return ()

    async def run(self) -> None:
        """Read until cancelled. The start has just done so."""
        while True:
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            await self._read()
            await self._clock.sleep(SPACING_S)

    async def _read(self) -> None:
        try:
            listed = await self._exchange.markets()
        except VenueError as error:
            log.warning("markets.unread", error=error.text)
            return
        known = self._known()
        now = {symbol: listed.get(symbol) or replace(market, active=False) for symbol, market in known.items()}
        for symbol in (symbol for symbol, market in now.items() if market != known[symbol]):
            log.warning("market.changed", symbol=symbol, listed=symbol in listed, changed=_changes(known[symbol], now[symbol]))
        if now != known:
            self._publish(MarketsListed(now, self._clock.now()))


def _changes(before: Instrument, now: Instrument) -> dict[str, str]:
    """What is different, as "from -> to" by the name of the rule."""
    pairs = ((f.name, getattr(before, f.name), getattr(now, f.name)) for f in fields(Instrument) if f.compare)
    return {name: f"{old} -> {new}" for name, old, new in pairs if old != new}
