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
from daemon.io.clock import SystemClock
from daemon.io.journal import Recovered
from daemon.io.journal.errors import failed
from daemon.io.journal.lock import JournalLock
from daemon.parts import StartRefused
from daemon.venue import Venue, VenueSettings

KEY, SECRET = "REBALANCED_DEMO_KEY", "REBALANCED_DEMO_SECRET"

# Known to everybody: a demo listens on loopback only and trades play money. One from the environment comes first.
TOKEN, DEMO_TOKEN = "REBALANCED_TOKEN", "demo"

START: Final = {"USDT": Decimal(100_000)}
HISTORY: Final = 1000

# In bars. The prices are made anew from their seed up to now; two days of seconds take a moment, a month would take a minute.
HISTORY_MAX: Final = 200_000


def with_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with keys that nobody has used before, and with the token that its commands take."""
    return {TOKEN: DEMO_TOKEN, **environ, KEY: entropy.token_hex(16), SECRET: entropy.token_hex(32)}


def refuse_others(settings: Config) -> None:
    """A journal of real trades is never gone on with, or forgotten, by a demo.

    Raises:
        StartRefused: this is no demo's configuration.
    """
    keys = settings.exchange.credentials
    named = [ref.env for ref in (keys.api_key, keys.secret) if ref is not None]
    if settings.mode != "sandbox" or named != [KEY, SECRET]:
        raise StartRefused(f"{settings.source}: this is not for a demo (mode sandbox, keys from {KEY} and {SECRET}); copy demo.yaml", 78)


def forget(journal: Path) -> None:
    """Begin anew: remove the journal of earlier demos. Its lock file stays: a new one beside one that is held would be two locks.

    Raises:
        JournalLocked: a demo is running on it.
        JournalFailed: it cannot be removed.
    """
    path = journal.resolve()
    lock = JournalLock.acquire(path)
    try:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise failed(path, error) from error
    finally:
        lock.release()


@asynccontextmanager
async def loopback(settings: Config, secrets: Secrets, recovered: Recovered) -> AsyncIterator[Config]:
    """An exchange on a free port of this machine for as long as the block lasts, and the configuration that leads to it.

    Raises:
        StartRefused: a configuration that the embedded exchange cannot serve.
    """
    try:
        wanted = venue_settings(settings, secrets, recovered, SystemClock().now())
    except ValueError as error:
        raise StartRefused(f"{settings.source}: {error}", 78) from None
    async with Venue(wanted) as venue:
        urls = {"urls": venue.ccxt_urls()}
        exchange = settings.exchange.model_copy(update={"ccxt": {**settings.exchange.ccxt, **urls}})
        yield settings.model_copy(update={"exchange": exchange})


def venue_settings(settings: Config, secrets: Secrets, recovered: Recovered, now: datetime) -> VenueSettings:
    """An exchange that goes on where the journal says the last demo ended: the same account, the same prices, new trade numbers.

    The exchange ends with the demo and forgets; what the journal holds is what had happened, since both die together.

    Raises:
        ValueError: the embedded exchange cannot be made for this configuration.
    """
    ledger = recovered.ledger()
    opened = min((flow.at for flow in recovered.flows), default=now)
    elapsed = (now - opened) // settings.bar_length  # bars since the first demo began: one row each
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
