"""Demo: the embedded exchange beside the daemon, so that the main job can be watched with nothing prepared.

Rule: the daemon cannot tell. It reaches the exchange by real sockets, in mode sandbox, with keys made up for this run.
"""

import secrets as entropy
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from daemon.config import Config, Secret, Secrets
from daemon.core.ledger import Ledger
from daemon.io.clock import SystemClock
from daemon.io.journal import Recovered
from daemon.venue import Venue, VenueSettings

START: Final = {"USDT": Decimal(100_000)}
HISTORY: Final = 1000

# The exchange's prices are made anew from their seed up to now; two days of seconds take a moment, a month would take a minute.
HISTORY_MAX: Final = 200_000


def with_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with keys that nobody has used before."""
    return {**environ, "REBALANCED_DEMO_KEY": entropy.token_hex(16), "REBALANCED_DEMO_SECRET": entropy.token_hex(32)}


def forget(journal: Path) -> None:
    """Begin anew: remove the journal of earlier demos."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        journal.with_name(journal.name + suffix).unlink(missing_ok=True)


@asynccontextmanager
async def loopback(settings: Config, secrets: Secrets, recovered: Recovered) -> AsyncIterator[Config]:
    """An exchange on a free port of this machine for as long as the block lasts, and the configuration that leads to it."""
    async with Venue(venue_settings(settings, secrets, recovered, SystemClock().now())) as venue:
        urls = {"urls": venue.ccxt_urls()}
        exchange = settings.exchange.model_copy(update={"ccxt": {**settings.exchange.ccxt, **urls}})
        yield settings.model_copy(update={"exchange": exchange})


def venue_settings(settings: Config, secrets: Secrets, recovered: Recovered, now: datetime) -> VenueSettings:
    """An exchange that goes on where the journal says the last demo ended: the same account, the same prices, new trade numbers.

    The exchange ends with the demo and forgets; what the journal holds is what had happened, since both die together.
    """
    ledger = Ledger()
    for flow in recovered.flows:
        ledger.flow(flow)
    for fill in recovered.fills:
        ledger.book(fill)
    opened = min((flow.at for flow in recovered.flows), default=now)
    elapsed = int((now - opened).total_seconds())
    return VenueSettings(
        interval=settings.timeframe,
        markets=max(12, len(settings.universe.symbols)),
        history=HISTORY + elapsed if HISTORY + elapsed <= HISTORY_MAX else HISTORY,
        balance=ledger.holdings() if ledger.opened else START,
        first_id=int(now.timestamp()),
        key=_reveal(secrets.api_key),
        secret=_reveal(secrets.secret),
    )


def _reveal(key: Secret | None) -> str:
    if key is None:
        raise ValueError("the demo's configuration needs exchange.credentials.api_key and secret")
    return key.reveal()
