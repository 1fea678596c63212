"""Bus: one total order of events, each run to completion.

Rule: a handler is synchronous, returns the events that follow, and never holds the bus; what it returns is queued behind what is already
there. Producers outside publish from the loop's own thread; the outermost publish drains the queue.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

E = TypeVar("E")
Handler = Callable[[E], Iterable[E]]


class CascadeError(RuntimeError):
    """Events kept causing events: a programmer's error, so the process ends and the journal keeps what was known."""


class Bus(Generic[E]):
    """Routes each event to the handlers of its type, in the order in which they were routed.

    `limit` bounds how many events one publish may cause. A wave over 500 symbols causes a few thousand; a loop causes infinitely many.
    """

    def __init__(self, routes: Sequence[tuple[type, Sequence[Handler[E]]]], limit: int = 100_000) -> None:
        self._routes: dict[type, tuple[Handler[E], ...]] = {}
        for kind, handlers in routes:
            self._routes[kind] = self._routes.get(kind, ()) + tuple(handlers)
        self._limit = limit
        self._queue: deque[E] = deque()
        self._running = False

    def publish(self, event: E) -> None:
        """Queue `event`; unless a drain is under way, run everything that follows from it.

        Raises:
            CascadeError: more than `limit` events followed from one.
        """
        self._queue.append(event)
        if not self._running:
            self._drain()

    def _drain(self) -> None:
        self._running = True
        handled = 0
        try:
            while self._queue:
                event = self._queue.popleft()
                handled += 1
                if handled > self._limit:
                    raise CascadeError(f"one event caused more than {self._limit} others; the last was {event!r}")
                for handle in self._routes.get(type(event), ()):
                    # Each handler has finished (a generator too) before the next one sees the event.
                    self._queue.extend(handle(event))
        finally:
            self._running = False
            self._queue.clear()
