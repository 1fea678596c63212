"""Downloading: bars of the configured symbols from the exchange into the store, of swaps with marks and funding, several side by side.

Rule: it may be stopped at any moment and goes on from there; an exchange that is away is asked again, calmly; one that refuses is named.
"""

import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, TypeVar

from daemon.assembly.worlds import door
from daemon.config import Config, Secrets
from daemon.core.model import Instrument, is_swap
from daemon.core.plain import plain
from daemon.core.vigil import Backoff
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.ccxt_swapmarket import SwapMarket
from daemon.io.clock import Clock
from daemon.io.exchange import Fatal, NotSent, Refused, Unknown, VenueError
from daemon.io.warmup import PASSING, WORKERS, Together
from daemon.parts import StartRefused
from daemon.research import csvbars
from daemon.research.bars import MARKETS_FILE, DataError
from daemon.research.store import RateShelf, Shelf, told

# Pages between two savings: some seconds' work, so that little is asked for twice after a stop.
SAVED_EVERY: Final = 50

Progress = Callable[[int], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Period:
    """Bars that open at `since` or later, and close at `until` or before."""

    since: datetime
    until: datetime


async def download(
    config: Config, folder: Path, period: Period, clock: Clock, *, together: Together, progress: Progress, rng: Random
) -> list[str]:
    """Fill the store with what is missing of the period; what there is of each market then, a line each.

    `progress` is told how many bars of the period have been gone through. Stopped on the way, it has saved what it had.

    Raises:
        DataError: a file of the store is damaged, or cannot be written.
        StartRefused: the exchange does not know a symbol, has no bars of this length, or does not answer at all.
    """
    shelves = {symbol: Shelf(folder, symbol, config.bar_length) for symbol in sorted(config.universe.symbols)}
    swaps = [symbol for symbol in shelves if is_swap(symbol)]
    marks = {symbol: Shelf(folder, symbol, config.bar_length, marks=True) for symbol in swaps}
    rates = {symbol: RateShelf(folder, symbol) for symbol in swaps}
    unpaid = deque(rates.items())
    exchange = door(config, Secrets(), clock)
    try:
        rules = await exchange.connect()
        _state_rules(folder, rules)
        waiting = deque((symbol, shelf, "") for symbol, shelf in shelves.items())
        marks = marks if not isinstance(exchange, SwapMarket) or exchange.mark_bars else {}
        waiting += [(symbol, shelf, "mark") for symbol, shelf in marks.items()]
        line = _Line(exchange, config.bar_length, clock, Backoff(rng, first_s=0.5, spacing_s=0.0), progress)

        async def work() -> None:
            while waiting:
                symbol, shelf, price = waiting.popleft()
                await line.fill(symbol, shelf, period, price)
            while unpaid:
                await line.settle(*unpaid.popleft(), period)

        await together(*(work() for _ in range(min(WORKERS, len(shelves)))))
    except VenueError as error:
        raise _refused(config, error) from None
    finally:
        await exchange.close()
    return [*(told(shelf) for shelf in (*shelves.values(), *marks.values())), *(each.told() for each in rates.values())]


def import_csv(config: Config, folder: Path, source: Path) -> list[str]:
    """Add the CSV files of another folder to the store; what there is of each market then, a line each.

    Raises:
        DataError: a file is missing or wrong. Files before it in the order of symbols have been taken.
    """
    lines = []
    for symbol in sorted(config.universe.symbols):
        shelf = Shelf(folder, symbol, config.bar_length)
        csvbars.take(source, shelf, symbol, config.bar_length)
        shelf.save()
        lines.append(told(shelf))
    return lines


def _refused(config: Config, error: VenueError) -> StartRefused:
    if isinstance(error, Fatal):
        return StartRefused(f"{config.source}: {error.text}", 78)
    return StartRefused(f"{config.exchange.id} does not give bars of {config.timeframe} ({error.text}); what was read so far is kept", 1)


@dataclass(frozen=True, slots=True)
class _Line:
    """The way to the exchange, shared by all who ask."""

    exchange: CcxtExchange
    timeframe: timedelta
    clock: Clock
    backoff: Backoff
    progress: Progress

    async def fill(self, symbol: str, shelf: Shelf, period: Period, price: str) -> None:
        """Read what lies before the first bar that is there, and what lies after the last; gaps between are the exchange's own.

        `price`: as of `CcxtExchange.page`. The progress counts bars of the traded price alone.
        """
        first, end = shelf.first, shelf.end
        parts = [(period.since, period.until)]
        if first is not None and end is not None:
            before, after = (period.since, min(first, period.until)), (max(end, period.since), period.until)
            parts = [(since, until) for since, until in (before, after) if since < until]
            known = period.until - period.since - sum((b - a for a, b in parts), timedelta())
            self._count(max(0, known // self.timeframe), price)
        try:
            for since, until in parts:
                await self._read(symbol, shelf, since, until, price)
        finally:
            shelf.save()

    async def _read(self, symbol: str, shelf: Shelf, since: datetime, until: datetime, price: str) -> None:
        pages = 0
        while since + self.timeframe <= until:
            bars = [
                bar
                for bar in await self._asked(partial(self.exchange.page, symbol, self.timeframe, since, price))
                if bar.closes_at <= until
            ]
            shelf.add(bars)
            # A page without a bar is a time without trades, or before the listing: what comes after it is asked for all the same.
            reached = min(bars[-1].closes_at if bars else since + self.exchange.page_bars * self.timeframe, until)
            self._count((reached - since) // self.timeframe, price)
            since = reached
            pages += 1
            if pages % SAVED_EVERY == 0:
                shelf.save()

    def _count(self, bars: int, price: str) -> None:
        if not price:
            self.progress(bars)

    async def settle(self, symbol: str, shelf: RateShelf, period: Period) -> None:
        """Read the funding settlements of the period that are not there yet."""
        exchange, since = self.exchange, shelf.next(period.since)
        if not (isinstance(exchange, SwapMarket) and exchange.past_funding):
            return
        try:
            while since <= period.until:
                page = await self._asked(partial(exchange.settlements, symbol, since))
                shelf.add([each for each in page if each[0] <= period.until])
                if not page:
                    break
                since = page[-1][0] + timedelta(milliseconds=1)
        finally:
            shelf.save()

    async def _asked(self, request: Callable[[], Awaitable[T]]) -> T:
        """An answer, however long that takes.

        Raises:
            VenueError: a refusal that does not pass.
        """
        while True:
            while (wait_s := self.backoff.wait_s(self.clock.monotonic())) > 0:
                await self.clock.sleep(wait_s)
            asked_at = self.clock.monotonic()
            try:
                answer = await request()
            except (NotSent, Unknown, Refused) as error:
                if isinstance(error, Refused) and error.reason not in PASSING:
                    raise
                self.backoff.failed(asked_at, self.clock.monotonic(), error.retry_after_s or 0.0)
                continue
            self.backoff.recovered()
            return answer


def _state_rules(folder: Path, rules: Mapping[str, Instrument]) -> None:
    """Write the rules of the markets into the store; those of others there stay as they are.

    Raises:
        DataError: the file is damaged, or cannot be written.
    """
    path = folder / MARKETS_FILE
    try:
        stated = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; remove it, and it is written anew") from None
    stated |= {
        symbol: {name: plain(getattr(rule, name)) for name in ("amount_step", "price_tick", "amount_min", "notional_min")}
        for symbol, rule in sorted(rules.items())
    }
    partial = path.with_name(path.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); name another directory with --data") from None
