"""Rulebook: keeps the rules of the markets as the venue has them, at a steady pace and at once after a refusal that they should explain.

Rule: a listing that fails changes nothing; a market that is gone is known still, and not traded.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from decimal import Decimal
from typing import Final

import structlog

from daemon.core.events import Event, MarketsListed, ReadMarkets
from daemon.core.model import Instrument, currencies
from daemon.io.clock import Clock
from daemon.io.exchange import Exchange, VenueError

log = structlog.get_logger()

EVERY_S: Final = 3600.0
SHUT_S: Final = 300.0  # while one of our markets is listed and does not trade: halts last minutes, and nobody tells of their end
SPACING_S: Final = 5.0  # refusals may come by the dozen
VAIN_MAX_S: Final = (
    60.0  # a refusal that the rules do not explain comes again with each attempt, so each reading in vain doubles the spacing
)


def complete(listed: Mapping[str, Instrument], symbols: Iterable[str]) -> dict[str, Instrument]:
    """The rules of all these symbols; one that the venue does not have, or has no more, is known as closed, with none to speak of."""
    return {symbol: listed.get(symbol) or _gone(symbol) for symbol in symbols}


def _gone(symbol: str) -> Instrument:
    base, quote = currencies(symbol)
    finest = Decimal("1e-12")
    return Instrument(symbol=symbol, base=base, quote=quote, amount_step=finest, price_tick=finest, active=False)


class Rulebook:
    """Publishes `MarketsListed` every hour, sooner while one is shut, and after `ReadMarkets`, but only where something has changed."""

    def __init__(
        self, exchange: Exchange, publish: Callable[[Event], None], clock: Clock, known: Callable[[], Mapping[str, Instrument]]
    ) -> None:
        self._exchange = exchange
        self._publish = publish
        self._clock = clock
        self._known = known
        self._asked = asyncio.Event()
        self._shut = False

    def accept(self, _: ReadMarkets) -> Iterable[Event]:
        """Somebody doubts the rules."""
        self._asked.set()
        return ()

    async def run(self) -> None:
        """Read until cancelled. The start has just done so."""
        spacing_s = SPACING_S
        while True:
            try:
                async with asyncio.timeout(SHUT_S if self._shut else EVERY_S):
                    await self._asked.wait()
            except TimeoutError:
                spacing_s = SPACING_S
            self._asked.clear()
            spacing_s = SPACING_S if await self._changed() else min(2 * spacing_s, VAIN_MAX_S)
            await self._clock.sleep(spacing_s)

    async def _changed(self) -> bool:
        """Read once; whether the rules are others than they were."""
        try:
            listed = await self._exchange.markets()
        except VenueError as error:
            log.warning("markets.unread", error=error.text)
            return False
        known = self._known()
        self._shut = any(not market.active for symbol, market in listed.items() if symbol in known)
        now = {symbol: listed.get(symbol) or replace(market, active=False) for symbol, market in known.items()}
        for symbol in (symbol for symbol, market in now.items() if market != known[symbol]):
            log.warning("market.changed", symbol=symbol, listed=symbol in listed, changed=_changes(known[symbol], now[symbol]))
        if now == known:
            return False
        self._publish(MarketsListed(now, self._clock.now()))
        return True


def _changes(before: Instrument, now: Instrument) -> dict[str, str]:
    """What is different, as "from -> to" by the name of the rule."""
    pairs = ((f.name, getattr(before, f.name), getattr(now, f.name)) for f in fields(Instrument) if f.compare)
    return {name: f"{old} -> {new}" for name, old, new in pairs if old != new}
