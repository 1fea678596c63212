"""Pulse: time as an event, and what only a look can find: surprises, strategies in trouble, a loop that lags, a machine that slept.

Rule: it looks ten times a second, and tells what has changed since.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog

from daemon.core import events as e
from daemon.core.slices import Aligner
from daemon.io.clockwatch import AWAY_S, ClockWatch
from daemon.io.exchange import VenueError
from daemon.parts import Parts
from daemon.telling.views import DaemonViews

log = structlog.get_logger()

# The clock event: a fifth of the shortest grace (0.5 s for bars of a second), so that no deadline is late by more.
TICK_S: Final = 0.1

# A loop that stands still for longer than this keeps bars and fills waiting; worth a line in the log.
LAG_MAX_S: Final = 0.2


class Pulse:
    """`look` is done at every beat, beside what is done here."""

    def __init__(
        self, parts: Parts, publish: Callable[[e.Event], None], views: DaemonViews, aligner: Aligner, look: Callable[[], None]
    ) -> None:
        self._parts = parts
        self._publish = publish
        self._views = views
        self._aligner = aligner
        self._look = look
        self.timed: Callable[[float], None] = lambda _seconds: None  # hears at each beat how late it was
        self._troubled: dict[str, str] = {}  # what was told of each strategy
        self._late = 0

    async def run(self) -> None:
        """Beat until cancelled.

        Raises:
            ClockSetBack: the wall clock was, and nothing that waits for a moment would come in time.
        """
        clock = self._parts.clock
        watch = ClockWatch(clock)
        while True:
            await clock.sleep(TICK_S)
            seen = watch.look(TICK_S)
            if seen.missed_s >= AWAY_S:
                await self.awake(seen.missed_s)
            else:
                self.lagged(seen.lag_s)
            self._publish(e.TimePassed(clock.now()))
            self._tell()
            self._look()

    async def awake(self, missed_s: float) -> None:
        """Begin again with everything that comes from outside: connections that have slept are none, whatever they say."""
        self.lagged(missed_s)
        self._publish(e.Awoken(timedelta(seconds=missed_s), self._parts.clock.now()))
        with suppress(VenueError):
            await self._parts.exchange.reset_streams()

    def lagged(self, lag_s: float) -> None:
        """The loop woke up this much later than it was asked to."""
        self._views.lag_max_s = max(self._views.lag_max_s, lag_s)
        self.timed(lag_s)
        if lag_s > LAG_MAX_S:
            self._publish(e.LoopLagged(timedelta(seconds=lag_s), self._parts.clock.now()))

    def _tell(self) -> None:
        surprises, problems = self._parts.manager.follower.surprises, self._parts.runner.problems
        while surprises:
            log.error("order.surprise", what=surprises.pop())
        for name, problem in problems.items():
            if self._troubled.get(name) != problem:
                log.error("strategy.failed", strategy=name, problem=problem)
        self._troubled = dict(problems)
        if self._aligner.late > self._late:
            log.warning("bar.late", bars=self._aligner.late - self._late)
            self._late = self._aligner.late
