"""The streams over real sockets: unmodified ccxt behind the door, the embedded venue in front of it."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest

from daemon.core.events import BarClosed, Event, StreamLost
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.clock import SystemClock
from daemon.io.rategate import RateGate
from daemon.io.streams import BarStreams
from daemon.io.warmup import warm_up
from daemon.venue import Venue, VenueSettings
from tests.io.tape_venue import nest

SECOND = timedelta(seconds=1)
CLOCK = SystemClock()


async def together(*jobs: object) -> None:
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(job)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        VenueSettings(markets=12, gaps=0.05),
        VenueSettings(markets=12, streams=False),
        VenueSettings(markets=12, closed_only=True),
    ],
    ids=["streamed", "polled", "closed candles only"],
)
async def test_bars_over_the_wire_are_the_venues(settings: VenueSettings) -> None:
    """From warm-up through a reset of all streams, what is published is what the venue lists, and in time."""
    heard: list[tuple[float, Event]] = []

    def publish(event: Event) -> None:
        heard.append(((CLOCK.now() - event.bar.closes_at).total_seconds() if isinstance(event, BarClosed) else 0.0, event))

    async with Venue(settings) as venue:
        symbols = [f"{market.base}/{market.quote}" for market in venue.exchange.markets]
        overrides = {"urls": venue.ccxt_urls()}
        exchange = CcxtExchange("binance", symbols, sandbox=True, gate=RateGate(CLOCK), clock=CLOCK, overrides=overrides)
        try:
            await exchange.connect()
            history = await warm_up(exchange, symbols, SECOND, 50, CLOCK, lambda done, of: None, together=together, rng=Random(1))
            streams = BarStreams(exchange, symbols, SECOND, publish, CLOCK, rng=Random(1), grace=SECOND / 2)
            streams.start_from({symbol: bars[-1].closes_at for symbol, bars in history.items()})

            async def reset() -> None:
                await asyncio.sleep(3)
                await exchange.reset_streams()

            await nest(streams.jobs(), 6, reset())
            for symbol in symbols:
                published = [event.bar for _, event in heard if isinstance(event, BarClosed) and event.bar.symbol == symbol]
                listed = [update.bar for update in await exchange.bars(symbol, SECOND, since=history[symbol][0].closes_at - SECOND)]
                whole = history[symbol] + published
                assert whole == listed[: len(whole)]
                assert len(published) >= 4
                assert all(a.closes_at < b.closes_at for a, b in pairwise(whole))
            late = sorted(delay for delay, event in heard if isinstance(event, BarClosed))
            assert late[len(late) // 2] < 0.5
            reasons = {event.reason for _, event in heard if isinstance(event, StreamLost)}
            assert "stale" not in reasons
            assert venue.audit() == []
        finally:
            await exchange.close()
