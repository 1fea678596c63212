"""Warming: the history that strategies, limits and the analyzer are fed before they see a live bar.

Rule: what is known afterwards is what an endless run would know; where prices stood still, that takes a longer history.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Protocol

from daemon.core.model import Bar, Slice
from daemon.core.slices import align
from daemon.core.strategy import BARS_MAX
from daemon.io.exchange import VenueError
from daemon.io.journal import Warmed
from daemon.io.warmup import Together, warm_up
from daemon.io.worker import Workers
from daemon.parts import Parts, StartRefused


class Learns(Protocol):
    """Strategies before they are at work: those of a start, or those that a changed configuration brings."""

    @property
    def short(self) -> frozenset[str]:
        """Symbols whose history was too short for what was in it."""
        ...

    def renew(self) -> None:
        """Forget the history, to be fed a longer one."""
        ...

    def warm(self, slices: Sequence[Slice]) -> None:
        """Take a history in."""
        ...


async def warmed(p: Parts, workers: Workers, began: datetime, together: Together) -> list[Slice]:
    """Read the history of a start and feed it to everything that wants it; its slices.

    Raises:
        StartRefused: the venue has no such bars.
    """
    try:
        # A bar may appear at the venue a little after its close: the newest is left to the streams, or one symbol's would be missing.
        slices = await taught(p, p.runner, workers, p.need, began - p.grace, together)
    except VenueError as error:  # waiting would not help: no such timeframe there, or no such market
        raise StartRefused(f"{p.source_file}: timeframe or universe.symbols: {error.text}", 78) from None
    await p.journal.commit(Warmed(tuple(slices)))
    return await asyncio.to_thread(_tell, p, slices)


async def taught(p: Parts, strategies: Learns, workers: Workers, need: int, until: datetime, together: Together) -> list[Slice]:
    """Feed the history up to the close time `until` to strategies, in the loop and in processes; `need` bars, more where that is too short.

    Raises:
        VenueError: the venue has no such bars.
    """
    slices: list[Slice] = []
    history: dict[str, list[Bar]] = {}
    asked, count = [symbol for symbol in p.symbols if symbol not in p.unlisted], need
    while asked:
        history |= await warm_up(p.exchange, asked, p.timeframe, count, p.clock, p.progress, together=together, rng=Random(p.seed))
        slices = await asyncio.to_thread(_digest, p, strategies, history, until)
        short = strategies.short | await workers.warm(slices, together)
        # Where prices stood still; a history that is shorter than was asked for has no more.
        asked = [symbol for symbol in asked if symbol in short and count <= len(history[symbol]) < BARS_MAX]
        count = min(2 * count, BARS_MAX)
    return slices


# Both run in a thread: 500 symbols take a second, and nobody else touches these parts yet.


def _digest(p: Parts, strategies: Learns, history: Mapping[str, Sequence[Bar]], until: datetime) -> list[Slice]:
    slices = align(history, p.symbols, until=until)
    strategies.renew()
    strategies.warm(slices)
    return slices


def _tell(p: Parts, slices: Sequence[Slice]) -> list[Slice]:
    p.analyzer.warm(slices)
    p.manager.guard.gate.warm(slices)
    judged = p.breakers.warm(slices)
    p.membership.warm_up(judged)
    return judged
