"""Recorder: writes to the journal what the core concludes by itself, behind the events.

Rule: nothing waits for these rows and nothing depends on their being written at once: after a crash the same start path concludes the
same again. What must be on disk before it counts goes through the gateway.
"""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from daemon.core.events import Event, OrderClosed, TradingHalted, WaveSettled
from daemon.core.model import Decision


class Record(Protocol):
    """What the recorder needs of the journal."""

    async def commit(self, *facts: Decision | OrderClosed | TradingHalted | WaveSettled) -> None:
        """Return once all of these are on disk."""
        ...


class Recorder:
    """Takes conclusions from the bus; `run` writes them in order. Bounded by the orders of one wave, since a wave waits for its orders."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._queue: asyncio.Queue[OrderClosed | TradingHalted | WaveSettled] = asyncio.Queue()

    def accept(self, event: OrderClosed | TradingHalted | WaveSettled) -> Iterable[Event]:
        """Take a conclusion."""
        self._queue.put_nowait(event)
        return ()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._write([await self._queue.get()])

    async def flush(self) -> None:
        """Write what still waits; called once, when `run` has ended."""
        await self._write([self._queue.get_nowait() for _ in range(self._queue.qsize())])

    async def _write(self, events: list[OrderClosed | TradingHalted | WaveSettled]) -> None:
        facts: list[Decision | OrderClosed | TradingHalted | WaveSettled] = []
        for event in events:
            if isinstance(event, WaveSettled):
                facts.append(event.decision)  # a wave that had nothing to send has not been written yet
            facts.append(event)
        if facts:
            await self._record.commit(*facts)
