"""Recorder: writes to the journal what the core concludes by itself, behind the events.

Rule: what was concluded is on disk no later than what follows from it: an order never without the hold that has it sold, an answer never
before what it tells of. Nothing else waits for these rows; after a crash the same start path concludes the same again. A hold counts as
soon as it is known, and is told once it is on disk: nobody has heard of a halt that a kill could undo. Slices go along with what follows
from them, or by so many: each alone would cost a commit, and a crash takes only such as nothing has followed from.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from daemon.core.events import (
    CorrelationCalmed,
    CorrelationHigh,
    EquityMarked,
    Event,
    GroupJudged,
    HoldLifted,
    HoldPlaced,
    HoldWritten,
    KeepState,
    OrderClosed,
    OrderLimited,
    PlanMade,
    RiskLimited,
    RiskRefused,
    SliceClosed,
    WaveSettled,
)
from daemon.io.clock import Clock

Settled = Callable[[WaveSettled], WaveSettled]
Cut = RiskLimited | OrderLimited | RiskRefused
Watch = CorrelationHigh | CorrelationCalmed
Conclusion = OrderClosed | PlanMade | GroupJudged | Cut | Watch | HoldPlaced | HoldLifted | KeepState | EquityMarked | WaveSettled


SLICES_MAX: Final = 60  # that wait for something that follows from them


class Record(Protocol):
    """What the recorder needs of the journal."""

    async def commit(self, *facts: Any) -> None:
        """Return once all of these are on disk, a wave with the decision that it worked off, and all that was committed before."""
        ...


class Recorder:
    """Takes conclusions from the bus; `run` writes them in order. Bounded by the symbols and orders of a wave: it waits for its orders."""

    def __init__(self, record: Record, publish: Callable[[Event], None], clock: Clock, traced: Settled = lambda wave: wave) -> None:
        """`traced` completes a settled wave by what was measured of it."""
        self._record = record
        self._publish = publish
        self._clock = clock
        self._traced = traced
        self._queue: asyncio.Queue[Conclusion | SliceClosed] = asyncio.Queue()
        self._slices: list[SliceClosed] = []
        self._untold: deque[HoldPlaced | HoldLifted] = deque()
        self._offered = self._told = 0  # how many holds went to the journal, and how many of them were told

    def accept(self, event: Conclusion | SliceClosed) -> Iterable[Event]:
        """Take a conclusion, or what some may be drawn from."""
        if not isinstance(event, SliceClosed):
            self._queue.put_nowait(self._traced(event) if isinstance(event, WaveSettled) else event)
            return ()
        self._slices.append(event)
        if len(self._slices) >= SLICES_MAX:
            self._queue.put_nowait(self._slices.pop())
        return ()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._write([await self._queue.get(), *self._waiting()])

    async def commit(self, *facts: Any) -> None:
        """Return once these facts, of any kind that the journal takes, are on disk, and everything that was concluded before them."""
        await self._write(self._waiting(), facts)

    def _waiting(self) -> list[Conclusion | SliceClosed]:
        """What is there already, together in one transaction: a limit on the sum of all weights cuts every one of them."""
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    async def _write(self, concluded: list[Conclusion | SliceClosed], facts: tuple[Any, ...] = ()) -> None:
        changes = [change for change in concluded if isinstance(change, HoldPlaced | HoldLifted)]
        self._untold += changes
        self._offered += len(changes)
        due = self._offered
        slices, self._slices = self._slices, []
        await self._record.commit(*slices, *concluded, *facts)
        while self._told < due:  # those of a caller that was cancelled meanwhile too: they are on disk before this
            self._told += 1
            self._publish(HoldWritten(self._untold.popleft(), self._clock.now()))
