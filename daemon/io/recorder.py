"""Recorder: writes to the journal what the core concludes by itself, behind the events.

Rule: nothing waits for these rows and nothing depends on their being written at once: after a crash the same start path concludes the
same again. What must be on disk before it counts goes through the gateway.
"""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from daemon.core.events import (
    CorrelationCalmed,
    CorrelationHigh,
    Event,
    HoldLifted,
    HoldPlaced,
    KeepState,
    OrderClosed,
    OrderLimited,
    PlanMade,
    RiskLimited,
    RiskRefused,
    WaveSettled,
)

Cut = RiskLimited | OrderLimited | RiskRefused
Watch = CorrelationHigh | CorrelationCalmed
Conclusion = OrderClosed | PlanMade | Cut | Watch | HoldPlaced | HoldLifted | KeepState | WaveSettled


class Record(Protocol):
    """What the recorder needs of the journal."""

    async def commit(self, *facts: Conclusion) -> None:
        """Return once all of these are on disk, a wave with the decision that it worked off."""
        ...


class Recorder:
    """Takes conclusions from the bus; `run` writes them in order. Bounded by the symbols and orders of a wave: it waits for its orders."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._queue: asyncio.Queue[Conclusion] = asyncio.Queue()

    def accept(self, event: Conclusion) -> Iterable[Event]:
        """Take a conclusion."""
        self._queue.put_nowait(event)
        return ()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._write([await self._queue.get(), *self._waiting()])

    async def flush(self) -> None:
        """Write what still waits; called once, when `run` has ended."""
        await self._write(self._waiting())

    def _waiting(self) -> list[Conclusion]:
        """What is there already, together in one transaction: a limit on the sum of all weights cuts every one of them."""
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    async def _write(self, events: list[Conclusion]) -> None:
        if events:
            await self._record.commit(*events)
