"""Clock: where time comes from. Nothing else in the program reads one.

Rule: moments are wall-clock UTC and may step; intervals are monotonic and may not.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as the edges see it; the simulation has one of its own."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never steps back."""
        ...

    def stamp_ns(self) -> int:
        """Nanoseconds since some fixed moment, to measure by: unlike `monotonic`, it goes on within one turn of the loop."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long on the monotonic clock."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """The running loop's monotonic clock, in seconds."""
        return asyncio.get_running_loop().time()

    def stamp_ns(self) -> int:
        """The machine's monotonic clock."""
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Wait that long on the monotonic clock."""
        await asyncio.sleep(seconds)
