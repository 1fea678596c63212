"""The picture: what is joined to what (`routes.py`), what runs (`Daemon.run`), and in which order a daemon starts and ends.

Rule: every task of the program is born in this file, in one TaskGroup, and ends with it. Start-up and recovery are one path: journal, lock,
API, and of each account (`Trader`) venue, orders, account, bars. Nothing is sent before account and ledger agree.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from typing import Any, Final

import structlog

from daemon.agewatch import AgeWatch
from daemon.commands import Commands
from daemon.io import logs
from daemon.io.alerts import Alerts
from daemon.io.alerts_heartbeat import Heartbeat
from daemon.io.api import Api
from daemon.io.api_feed import Feed
from daemon.io.exchange import VenueError
from daemon.io.metrics import Metrics
from daemon.lasting import lasting
from daemon.parts import Parts, Process
from daemon.reloading import Reloading
from daemon.routes import routes as routes
from daemon.spreading import spread
from daemon.telling.gauges import Gauges, Seen
from daemon.telling.overview import overview
from daemon.trader import Trader

log = structlog.get_logger()

# A stop waits this long for orders to come to a known end; the journal carries what is still unknown then. Below systemd's TimeoutStopSec.
STOP_S: Final = 15.0


class _Stopped(Exception):
    """Ends the TaskGroup in order."""


class Daemon:
    """One instance with its accounts, from its first request to its last row. `run` returns when it was stopped in order."""

    def __init__(self, process: Process, accounts: Sequence[Parts], trader: type[Trader] = Trader) -> None:
        p = self.process = process
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.traders = [trader(parts, routes, together, self, alone=len(accounts) == 1) for parts in accounts]
        self.ages = AgeWatch(self.traders, p.clock, p.age_max)
        self.spreads = spread(p.routings, self.traders, p.clock, together)
        self.alerts = Alerts(p.recipients, p.identity, p.clock, Random(p.seed))
        self.heartbeat = Heartbeat(p.beat, p.clock)
        renewing = {trader.parts.account_name: trader.renewing for trader in self.traders}
        self.reloading = Reloading(p.reread, renewing, p.notifier, p.clock)
        self.views = overview(p.identity, {trader.parts.account_name: trader.views for trader in self.traders})
        self.commands = Commands([trader.commander for trader in self.traders], self.views.status)
        host, port, token = p.listen
        self.feed = Feed(p.clock)
        self.metrics = self._measured()
        self.api = Api(self.views, self.commands, self.feed, host, port, token, self.metrics.text)

    def _measured(self) -> Metrics:
        """What is counted, and what is read of the accounts whenever that is asked for."""
        seen = {t.parts.account_name: Seen(t.views, t.parts.exchange, t.parts.timeframe) for t in self.traders}
        metrics = Metrics(seen, self.process.clock.now())
        metrics.add(Gauges(self.process.identity, seen))
        self.traders[0].pulse.timed = metrics.lag.observe  # they share a loop
        for trader in self.traders:
            trader.parts.journal.timed = metrics.commits.labels(trader.parts.account_name).observe
        return metrics

    # --- start -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start, trade, and return once `stop` was called and everything has ended.

        Raises:
            CannotListen: the API could not be opened.
            ExceptionGroup: what ended a task. StartRefused: the venue refuses the credentials or the configuration. JournalError: the
                journal has failed, and nothing was sent after that. Anything else is a programmer's error.
        """
        p = self.process
        await self.api.start()
        logs.listen(self.alerts, self.feed, self.metrics)
        symbols = sum(len(trader.parts.symbols) for trader in self.traders)
        log.info("daemon.starting", **p.identity, api=f"http://{p.listen[0]}:{self.api.port}", symbols=symbols)
        p.notifier.status("connecting to the exchange")
        p.notifier.ready()
        try:
            async with asyncio.TaskGroup() as nest:
                nest.create_task(self._end(), name="stop")
                for name, job in [*self.reloading.jobs(), *self.alerts.jobs(), *self.heartbeat.jobs()]:
                    nest.create_task(lasting(name, job, p.clock), name=name)
                if p.watchdog_s is not None:
                    nest.create_task(self._heartbeat(p.watchdog_s), name="heartbeat")
                if len(self.traders) > 1:
                    self._hire(nest, "ages", self.ages.run)
                for each in self.spreads:
                    self._hire(nest, f"route.{each.name}", each.run, each.over)
                for trader in self.traders:
                    with trader.told():
                        nest.create_task(trader.live(partial(self._hire, nest)), name="start")
        except* _Stopped:
            pass
        except* Exception as failures:
            for trader in self.traders:
                trader.teller.flush()
            log.error("daemon.failed", problems=[f"{type(error).__name__}: {error}" for error in failures.exceptions])
            raise
        finally:
            await self._close()

    def _hire(
        self, nest: asyncio.TaskGroup, name: str, job: Callable[[], Coroutine[Any, Any, None]], over: Callable[[], bool] = lambda: False
    ) -> None:
        """Have a job of an account run, which says in the log whose it is."""
        nest.create_task(lasting(name, job, self.process.clock, over), name=name)

    async def reload(self) -> str:
        """Read the configuration again, as of Reloading."""
        return await self.reloading.reload()

    def settle(self) -> object:
        """Take up what was read again, as of Reloading."""
        return self.reloading.settle()

    async def _heartbeat(self, every_s: float) -> None:
        """Tell the supervisor that the loop turns. An outage of the venue is no reason to be restarted."""
        while True:
            self.process.notifier.watchdog()
            await self.process.clock.sleep(every_s)

    # --- stop --------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask for an end in order; a second call does not wait for orders."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _end(self) -> None:
        """Wait to be stopped; then let orders come to a known end, on all accounts at once, and end everything."""
        await self._stop.wait()
        self.process.notifier.stopping()
        await together(*(trader.finish(STOP_S, self._hurry.is_set) for trader in self.traders))
        raise _Stopped

    async def _close(self) -> None:
        """Each account and each edge is closed even if one before it fails."""
        async with AsyncExitStack() as edges:
            edges.callback(self.process.notifier.close)
            edges.push_async_callback(self.alerts.close, together)
            edges.callback(logs.listen)
            edges.push_async_callback(self.api.stop)
            for trader in self.traders:
                edges.push_async_callback(trader.close)
        log.info("daemon.stopped")


async def together(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run coroutines side by side, all of them to their end, or none of them after one has failed."""
    try:
        async with asyncio.TaskGroup() as nest:
            for job in jobs:
                nest.create_task(job)
    except* VenueError as group:
        raise group.exceptions[0] from None
