"""Lasting: what every job of the daemon has in common: it does not end by itself."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from daemon.io.clock import Clock
from daemon.io.exchange import VenueError

# A venue that does not answer, or answers what cannot be used, is asked again every half minute, for as long as it takes.
PROBE_MAX_S: Final = 30.0

log = structlog.get_logger()


async def lasting(name: str, job: Callable[[], Coroutine[Any, Any, None]], clock: Clock, over: Callable[[], bool] = lambda: False) -> None:
    """Run a job of the nest. One that ends by itself, or is cancelled by nobody here, would leave its work undone without a word.

    `over`: whether its work is done, so that it may end.

    What the venue says while the daemon runs does not end it: positions are open. The job begins anew after a pause, and a person is told.

    Raises:
        RuntimeError: it has ended without being asked to.
    """
    while True:
        try:
            await job()
        except VenueError as error:
            log.error("exchange.refused", job=name, error=error.text, next_try_s=PROBE_MAX_S)
            await clock.sleep(PROBE_MAX_S)
            continue
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
        if over():
            return
        raise RuntimeError(f"{name} has ended by itself")
