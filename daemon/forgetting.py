"""Forgetting: once a day the journal lets go of detail that is older than the configuration keeps; a start has done so before."""

from datetime import timedelta
from typing import Final

import structlog

from daemon.io.clock import Clock
from daemon.io.journal import Journal

log = structlog.get_logger()

EVERY: Final = timedelta(days=1)


async def forgetting(journal: Journal, detail: timedelta, clock: Clock) -> None:
    """Remove what is older than `detail` every day, and say how much that was, until cancelled. JournalFailed: the disk did not take it."""
    while True:
        await clock.sleep(EVERY.total_seconds())
        log.info("journal.thinned", rows=await journal.thin_on(detail))
