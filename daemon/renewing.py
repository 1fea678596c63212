"""Renewing: how a running daemon takes up a changed configuration, and the strategies that it brings.

Rule: what counts after a reload is what a restart with the same file would have come to, and whoever is unchanged is not disturbed. New
strategies get ready beside those at work: they are fed the history and then every slice, so that none is missing when they take over.
"""

from collections.abc import Callable, Iterable
from typing import Final

import structlog

from daemon.core.events import Event, SliceClosed, StrategyDisabled, StrategyStarted
from daemon.core.model import Slice
from daemon.core.shares import ruled
from daemon.core.staff import Staff
from daemon.core.trading import Trading
from daemon.io.exchange import VenueError
from daemon.io.worker import Misconfigured, Together, Workers
from daemon.parts import Parts, ReloadRefused, Renewal
from daemon.warming import taught

log = structlog.get_logger()

# A reload in the middle of a start looks so often whether that is over.
LOOK_S: Final = 0.1


class Newcomers:
    """Strategies on the way to their desks, in the loop (`staff`) and in processes of their own (`workers`)."""

    def __init__(self, renewal: Renewal, p: Parts, publish: Callable[[Event], None]) -> None:
        self.staff = Staff([sleeve for sleeve in renewal.sleeves if sleeve.name in renewal.newcomers], p.symbols)
        self.workers = Workers(renewal.away, p.symbols, self._hear, p.clock)
        self._p = p
        self._publish = publish
        self._at_work = False
        self._told: list[Event] = []  # what the processes have said, which is news once they are at work
        self._listens = False
        self._missed: list[Slice] | None = []  # slices that have closed while the history was read; None: it has been

    async def get_ready(self, newest: Callable[[], SliceClosed | None], together: Together) -> None:
        """Start their processes and feed them the history, up to what is closed by now.

        Raises:
            ReloadRefused: one of them cannot be started, or fails at its history.
        """
        try:
            await self.workers.start(together)
            self._must_work()
            while (since := newest()) is None:
                await self._p.clock.sleep(LOOK_S)
            self._listens = True
            self.on_slice(since)
            # The newest slice came by the streams: a venue may be a little behind with it in its history.
            until = since.slice.closes_at - self._p.timeframe
            await taught(self._p, self.staff, self.workers, self.staff.need, until, together)
        except Misconfigured as error:
            raise ReloadRefused(str(error)) from None
        except VenueError as error:
            raise ReloadRefused(f"the exchange does not give the history that new strategies need: {error.text}") from None
        missed, self._missed = self._missed or [], None
        self.staff.warm(missed)
        self._must_work()

    def on_slice(self, event: SliceClosed) -> None:
        """One more slice, whether they are ready for it or not."""
        if not self._listens:
            return
        self.workers.on_slice(event)
        if self._missed is not None:
            self._missed.append(event.slice)
        else:
            self.staff.step(event.slice)

    def begin(self) -> None:
        """From now on what they say is heard at once."""
        self._at_work = True
        for event in self._told:
            self._publish(event)

    def _hear(self, event: Event) -> None:
        if self._at_work:
            self._publish(event)
            return
        if isinstance(event, StrategyStarted):
            self.staff.started(event.name, event.need)
        self._told.append(event)

    def _must_work(self) -> None:
        """A start disables what fails and trades on with the rest; here there is something better to go on with: what runs."""
        failed = self.staff.disabled | {event.name: event.problem for event in self._told if isinstance(event, StrategyDisabled)}
        for name, problem in failed.items():
            raise ReloadRefused(f"{self._p.source_file}: strategy {name} does not work: {problem}; what ran before stays in force")


class Renewing:
    """Gets ready what a changed configuration brings, and takes it up. At most one is under way; `workers` are those at work."""

    def __init__(self, p: Parts, workers: Workers, publish: Callable[[Event], None], together: Together) -> None:
        self._p = p
        self._workers = workers
        self._publish = publish
        self._together = together
        self._employ: Callable[[Workers], None] | None = None
        self._coming: Newcomers | None = None

    def open(self, employ: Callable[[Workers], None]) -> None:
        """The start is over: from now on strategies may change. `employ` has workers run, each until it is retired."""
        self._employ = employ

    async def prepare(self, renewal: Renewal) -> None:
        """Get its new strategies ready, after the start.

        Raises:
            ReloadRefused: one of them does not work, or has no history; nothing has changed.
        """
        coming = self._coming = Newcomers(renewal, self._p, self._publish)
        try:
            await coming.get_ready(self._newest, self._together)
        except BaseException:
            await self.dismiss()
            raise

    def _newest(self) -> SliceClosed | None:
        return None if self._employ is None else self._p.runner.newest

    async def dismiss(self) -> None:
        """What was got ready is not wanted any more."""
        coming, self._coming = self._coming, None
        if coming is not None:
            await coming.workers.close()

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """Those who are getting ready must not miss a slice. Before the runner, which may decide on it."""
        if self._coming is not None:
            self._coming.on_slice(event)
        return ()

    def take_up(self, renewal: Renewal) -> bool:
        """Have a configuration count whose strategies are ready; False while a start, a stop, a wave or a decision is under way."""
        p = self._p
        if self._employ is None or p.manager.trading is Trading.STOPPING or p.manager.wave is not None or p.runner.asking:
            return False
        self._change_strategies(renewal, self._employ)
        p.account.sizing = renewal.capital
        p.analyzer.market.watch.jump = renewal.correlation_jump
        p.manager.renew(renewal.settings)
        renewal.in_force()
        for text in renewal.remarks:
            log.warning("config.remark", text=text)
        now = p.clock.now()
        for event in (*p.manager.sleeves.hand_over(now), *p.breakers.renew(renewal.breakers, now)):
            self._publish(event)
        return True

    def _change_strategies(self, renewal: Renewal, employ: Callable[[Workers], None]) -> None:
        p = self._p
        coming, self._coming = self._coming or Newcomers(renewal, p, self._publish), None
        shares = {sleeve.name: sleeve.share for sleeve in renewal.sleeves}
        rule = ruled(shares, p.curves, inverse_volatility=renewal.inverse_volatility)
        p.runner.change(renewal.sleeves, coming.staff, rule, p.manager.decision)
        p.runner.restate = renewal.restate
        p.manager.sleeves.renew(shares, keep_removed=renewal.keep_removed)
        self._workers.change(shares.keys() - renewal.newcomers, coming.workers)
        employ(coming.workers)
        coming.begin()
