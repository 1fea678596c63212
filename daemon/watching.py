"""Watching: prices of markets that are followed and not traded: what further quote currencies are worth, and whatever else the user names.

Rule: a watched market marks its price and nothing else. No slice waits for it, no strategy hears of it, and its gaps trouble nobody.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random

from daemon.core.events import BarClosed, Event, PriceTicked
from daemon.io.clock import Clock
from daemon.io.exchange import Market
from daemon.io.warmup import Together, warm_up


def marks(publish: Callable[[PriceTicked], None]) -> Callable[[Event], None]:
    """Where the streams of watched markets publish to: their bars and ticks become prices, the rest is dropped."""

    def tell(event: Event) -> None:
        match event:
            case BarClosed(bar=bar):
                publish(PriceTicked(bar.symbol, bar.close, bar.closes_at))
            case PriceTicked():
                publish(event)
            case _:
                pass

    return tell


async def last_prices(
    market: Market, symbols: Sequence[str], timeframe: timedelta, clock: Clock, together: Together, rng: Random
) -> list[PriceTicked]:
    """The price of each market at its newest close, for a start; a market that has none is left out."""
    history = await warm_up(market, symbols, timeframe, 1, clock, lambda _done, _all: None, together=together, rng=rng)
    return [PriceTicked(symbol, bars[-1].close, bars[-1].closes_at) for symbol, bars in history.items() if bars]
