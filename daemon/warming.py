"""Warming: the history that indicators, limits and the analyzer are fed before the first live bar.

Rule: what is known after a start is what an endless run would know; where prices stood still, that takes a longer history.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random

from daemon.core.model import Bar, Slice
from daemon.core.slices import align
from daemon.core.strategy import BARS_MAX
from daemon.io.exchange import VenueError
from daemon.io.warmup import Together, warm_up
from daemon.io.worker import Workers
from daemon.parts import Parts, StartRefused


async def warmed(p: Parts, workers: Workers, began: datetime, together: Together) -> list[Slice]:
    """Read the history and feed it to everything that wants it; its slices.

    Raises:
        StartRefused: the venue has no such bars.
    """
    slices: list[Slice] = []
    history: dict[str, list[Bar]] = {}
    asked, count = list(p.symbols), p.need
    while asked:
        history |= await _history(p, asked, count, together)
        # A bar may appear at the venue a little after its close: the newest is left to the streams, or one symbol's would be missing.
        slices = await asyncio.to_thread(_digest, p, history, began)
        short = p.runner.short | await workers.warm(slices, together)
        # Where prices stood still; a history that is shorter than was asked for has no more.
        asked = [symbol for symbol in asked if symbol in short and count <= len(history[symbol]) < BARS_MAX]
        count = min(2 * count, BARS_MAX)
    return await asyncio.to_thread(_tell, p, slices)


async def _history(p: Parts, symbols: Sequence[str], count: int, together: Together) -> dict[str, list[Bar]]:
    try:
        return await warm_up(p.exchange, symbols, p.timeframe, count, p.clock, p.progress, together=together, rng=Random(p.seed))
    except VenueError as error:  # waiting would not help: no such timeframe there, or no such market
        raise StartRefused(f"{p.source_file}: timeframe or universe.symbols: {error.text}", 78) from None


# Both run in a thread: 500 symbols take a second, and nobody else touches these parts yet.


def _digest(p: Parts, history: Mapping[str, Sequence[Bar]], began: datetime) -> list[Slice]:
    slices = align(history, p.symbols, until=began - p.grace)
    p.runner.renew()
    p.runner.warm(slices)
    return slices


def _tell(p: Parts, slices: Sequence[Slice]) -> list[Slice]:
    p.analyzer.warm(slices)
    p.manager.guard.gate.warm(slices)
    return p.breakers.warm(slices)
