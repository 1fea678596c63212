"""Tracing: how long each stage of a wave took, from the last bar of its slice to its last answer.

Rule: a stage is stamped where it ends, on a monotonic clock in nanoseconds, and nothing ever waits for a stamp. A wave that no bar has
brought about (a person asked, a limit let go) is counted from its decision. Of a stage that takes several steps the last one counts, but of
plans, of the journal and of bytes the first: what follows belongs to the stages after them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from daemon.core import events as e

# In the order in which they come.
STAGES: Final = ("received", "slice", "decided", "planned", "journalled", "first_byte", "acknowledged", "settled")
# A wave is under way and one may wait for it; what a few more were is still asked for when their last answers come.
WAVES_MAX: Final = 8


class Tracer:
    """Hears the events of one account and the stamps of its edges; `finish` gives a settled wave its stages."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        """`now_ns`: a monotonic clock that also goes on within one turn of the loop."""
        self._now_ns = now_ns
        self._received = 0
        self._slice: tuple[datetime | None, int, int] = (None, 0, 0)  # its close, its last bar and when it was complete
        self._waves: dict[str, dict[str, int]] = {}
        self._asked: dict[str, str] = {}  # orders without an answer, and the decision of each
        self._finished: e.WaveSettled | None = None

    def received(self) -> None:
        """A closed bar has come in, by whatever way."""
        self._received = self._now_ns()

    def journalled(self, decision_id: str) -> None:
        """The intents of a wave are on disk."""
        self._first(decision_id, "journalled")

    def leaving(self, decision_id: str) -> None:
        """The first byte of an order's request is being written."""
        self._first(decision_id, "first_byte")

    def hear(self, event: e.Event) -> None:
        """Stamp what an event ends."""
        match event:
            case e.SliceClosed(slice=closed):
                self._slice = closed.closes_at, self._received, self._now_ns()
            case e.TargetsChosen(decision=decision):
                self._begin(decision.id, decision.as_of)
            case e.PlanMade(decision_id=decision_id):
                self._first(decision_id, "planned")
            case e.SubmitOrders(orders=orders):
                self._asked |= {order.id: order.decision_id for order in orders}
            case e.OrderReported() | e.OrderRefused() | e.OrderUnknown() | e.OrderNotSent():
                self._answered(event.report.order_id if isinstance(event, e.OrderReported) else event.order_id)
            case _:
                return

    def finish(self, wave: e.WaveSettled) -> e.WaveSettled:
        """The same wave with its stages, in ms since the first of them; asked again about one, the same again."""
        if self._finished is None or (self._finished.decision.id, self._finished.at) != (wave.decision.id, wave.at):
            stamps = self._waves.pop(wave.decision.id, {})
            self._asked = {order: decision for order, decision in self._asked.items() if decision != wave.decision.id}
            self._finished = replace(wave, stages=_since_first(stamps | {"settled": self._now_ns()}) if stamps else {})
        return self._finished

    def _begin(self, decision_id: str, as_of: datetime) -> None:
        closes_at, received, complete = self._slice
        stamps = {"received": received or complete, "slice": complete} if closes_at == as_of else {}
        self._waves[decision_id] = stamps | {"decided": self._now_ns()}
        if len(self._waves) > WAVES_MAX:
            del self._waves[next(iter(self._waves))]

    def _first(self, decision_id: str, stage: str) -> None:
        stamps = self._waves.get(decision_id)
        if stamps is not None and stage not in stamps:
            stamps[stage] = self._now_ns()

    def _answered(self, order_id: str) -> None:
        stamps = self._waves.get(self._asked.pop(order_id, ""))
        if stamps is not None:
            stamps["acknowledged"] = self._now_ns()


def _since_first(stamps: Mapping[str, int]) -> dict[str, float]:
    """Milliseconds to the microsecond, in the order of the stages."""
    told = [stage for stage in STAGES if stage in stamps]
    return {stage: (stamps[stage] - stamps[told[0]]) // 1000 / 1000 for stage in told}
