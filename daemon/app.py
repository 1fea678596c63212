"""The picture: what is joined to what (`routes`), what runs (`Daemon.run`), and in which order a daemon starts and ends.

Rule: every task of the program is born in this file, in one TaskGroup, and ends with it. Start-up and recovery are one path: journal, lock,
API, venue, orders, account, bars. Nothing is sent before account and ledger agree.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final

import structlog

from daemon.commander import Commander
from daemon.core import events as e
from daemon.core import restraint
from daemon.core.bus import Bus, Handler
from daemon.core.model import EPOCH, Instrument
from daemon.core.slices import Aligner
from daemon.io import logs
from daemon.io.alerts import Alerts
from daemon.io.api import Api
from daemon.io.exchange import Fatal, Hushed, Reason, VenueError
from daemon.io.gateway import Gateway
from daemon.io.paper_exchange import PaperExchange
from daemon.io.pollers import AccountPoller
from daemon.io.recorder import Recorder
from daemon.io.rulebook import Rulebook, complete
from daemon.io.streams import BarStreams, Job
from daemon.io.timekeeper import Timekeeper
from daemon.io.userstream import UserStream
from daemon.io.worker import Misconfigured, Worker, Workers
from daemon.lasting import PROBE_MAX_S, lasting
from daemon.narrator import Narrator
from daemon.parts import Joined, Parts, StartRefused, refused_key
from daemon.pulse import Pulse
from daemon.reloading import Reloading
from daemon.renewing import Renewing
from daemon.restoring import restored
from daemon.stopping import READ_S, last_look
from daemon.transport import Transport
from daemon.views import DaemonViews, Freshness
from daemon.warming import warmed
from daemon.watching import marks

log = structlog.get_logger()

# Requests under way at once. Binance takes 100 orders in ten seconds; more side by side would only wait at the rate gate.
WORKERS: Final = 8

# A stop waits this long for orders to come to a known end; the journal carries what is still unknown then. Below systemd's TimeoutStopSec.
STOP_S: Final = 15.0

# Probing a venue that is away: quickly at first, then ever more calmly.
PROBE_FIRST_S: Final = 1.0


# Until when the venue has asked for silence, as the journal keeps it: who asks on, restarted or not, is banned for days.
SILENT: Final = "silent_until"


class _Stopped(Exception):
    """Ends the TaskGroup in order."""


def routes(d: Joined) -> Sequence[tuple[type, Sequence[Handler[e.Event]]]]:
    """Who hears what, in which order. This table is the architecture; the backtest runs on it too."""
    p = d.parts
    table: list[tuple[type, list[Any]]] = [
        # market data
        (e.BarClosed, [*d.paper_on(e.BarClosed), d.aligner.on_bar]),
        (e.PriceTicked, [*d.paper_on(e.PriceTicked), p.account.on_tick, p.breakers.on_tick]),
        (e.StreamLost, [d.aligner.on_lost, p.breakers.on_lost]),
        (e.StreamCaughtUp, [d.aligner.on_caught_up, p.breakers.on_caught_up]),
        (
            e.SliceClosed,
            [
                *(*d.away_on(e.SliceClosed), p.account.on_slice, p.curves.on_slice, p.breakers.on_slice, d.views.on_slice),
                *(p.membership.on_slice, p.runner.on_slice, p.manager.on_slice, p.analyzer.on_slice),
            ],
        ),
        (e.TimePassed, [d.aligner.on_time, p.manager.on_time, p.reconciler.on_time, p.analyzer.on_time, p.breakers.on_time]),
        # decisions
        (e.UniverseChosen, [p.breakers.on_universe]),
        (e.AskStrategy, d.away_on(e.AskStrategy)),
        (e.StrategyStarted, [p.runner.on_started]),
        (e.StrategyAnswered, [p.runner.on_answered]),
        (e.StrategyDisabled, [p.runner.on_disabled]),
        (e.TargetsChosen, [p.analyzer.on_targets, p.manager.on_targets]),
        (e.TargetsUnchanged, [p.manager.on_unchanged]),
        (e.PlanWave, [p.manager.on_plan]),
        *((kind, [d.recorder.accept]) for kind in (e.RiskLimited, e.OrderLimited, e.RiskRefused)),
        *((kind, [d.recorder.accept]) for kind in (e.CorrelationHigh, e.CorrelationCalmed)),
        *((kind, [d.recorder.accept]) for kind in (e.PlanMade, e.GroupJudged)),
        (e.WaveSettled, [p.analyzer.on_settled, d.recorder.accept, p.membership.on_settled]),
        # requests to the edges
        *((kind, [d.gateway.accept]) for kind in (e.SubmitOrders, e.CancelOrder, e.QueryOrder, e.QueryTrades, e.RecallOrder)),
        *((kind, [d.gateway.accept]) for kind in (e.ReadTouch, e.BookFlows, e.BookSleeves)),
        (e.PollAccount, [d.poller.accept]),
        # what is known of orders
        (e.OrderFilled, [p.analyzer.on_fill, p.portfolio.on_fill, p.reconciler.on_fill, p.breakers.on_order, p.manager.on_order]),
        (e.OrderReported, [p.portfolio.on_reported, p.breakers.on_order, p.manager.on_order]),
        (e.OrderRefused, [p.breakers.on_order, p.manager.on_order]),
        *((kind, [p.manager.on_order]) for kind in (e.OrderSent, e.OrderNotSent, e.OrderUnknown, e.OrderNotFound, e.OrderGivenUp)),
        (e.OrderClosed, [p.manager.on_closed, d.recorder.accept]),
        (e.TradesListed, [p.reconciler.on_listed]),
        (e.TouchRead, [p.manager.on_touch]),
        (e.OrderRecalled, [p.reconciler.on_recalled]),
        # the account
        (e.AccountPolled, [d.views.on_polled, p.account.on_polled, p.reconciler.on_polled]),
        (e.PollFailed, [d.views.on_poll_failed]),
        (e.MarketsListed, [p.manager.on_markets, p.account.on_markets, p.membership.on_markets]),
        (e.BalanceMoved, [p.reconciler.on_moved]),
        (e.FlowBooked, [p.analyzer.on_flow, p.portfolio.on_flow, p.curves.on_flow, p.reconciler.on_flow]),
        (e.SleevesBooked, [p.analyzer.on_booked, p.portfolio.on_booked, p.curves.on_booked]),
        (e.AccountReconciled, [p.breakers.on_reconciled, p.manager.on_reconciled]),
        (e.DriftFound, [p.account.on_drift_found]),
        (e.DriftCleared, [p.account.on_drift_cleared]),
        # trading state
        (e.MeasureClock, [d.timekeeper.accept]),
        (e.ReadMarkets, [d.rulebook.accept]),
        (e.ClockMeasured, [p.breakers.on_clock]),
        (e.LoopLagged, [p.breakers.on_lag]),
        (e.Awoken, [p.account.on_awoken, p.breakers.on_awoken, p.manager.on_awoken]),
        (e.HoldPlaced, [d.recorder.accept, p.manager.on_hold]),
        (e.HoldLifted, [d.recorder.accept, p.reconciler.on_lifted, p.breakers.on_lifted, p.manager.on_lifted]),
        (e.RebalanceRequested, [p.runner.on_requested]),
        (e.ApprovalGiven, [p.manager.on_approved]),
        (e.StopRequested, [p.manager.on_stop, p.curves.on_stop]),
        (e.KeepState, [d.recorder.accept]),
        # told, and acted on by nobody
        *((kind, []) for kind in (e.ForeignOrdersSeen, e.TradingStarted, e.HoldWritten, e.ApprovalAsked, e.ApprovalLapsed)),
        *((kind, []) for kind in (e.ParentBegun, e.ParentEnded, e.SymbolWoundDown)),
    ]
    return [(kind, [d.tell, *handlers]) for kind, handlers in table]


class Daemon:
    """One instance, from its first request to its last row. `run` returns when it was stopped in order."""

    def __init__(self, parts: Parts) -> None:
        p = self.parts = parts
        restraint.restore(p.manager.states, p.recovered.holds)  # a halt is shown from the first moment on, also while the venue is away
        self._narrate = Narrator()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.aligner = Aligner(p.symbols, p.timeframe, p.grace, silent_max=p.membership.silent_max, judge=p.breakers.judged)
        self.poller = AccountPoller(p.exchange, self.publish, p.clock, p.poll_every, lambda: self.userstream.healthy, Random(p.seed))
        self.timekeeper = Timekeeper(p.exchange, self.publish, p.clock)
        self.rulebook = Rulebook(p.exchange, self.publish, p.clock, lambda: p.account.listed)
        self.recorder = Recorder(p.journal, self.publish, p.clock)
        self.gateway = Gateway(p.exchange, self.recorder, self._of_orders, p.clock, p.ledger.has_trade, p.manager.may_send)
        self.alerts = Alerts(p.webhooks, p.identity, p.clock, Random(p.seed))
        self.workers = Workers(p.away, p.symbols, self.publish, p.clock)
        self.renewing = Renewing(p, self.workers, self.publish, together)
        self.userstream = UserStream(p.exchange, self.gateway.learn, self.publish, p.clock, Random(p.seed))
        fresh = Freshness.of(p.timeframe, p.grace, p.poll_every)
        told = fresh, p.analyzer, p.runner.disabled, p.membership
        self.views = DaemonViews(p.identity, p.manager, p.account, p.reconciler, p.journal, p.clock, *told)
        self.transport = Transport(self.views, p.clock)
        self.pulse = Pulse(p, self.publish, self.views, self.aligner, self._look)
        self.bus: Bus[e.Event] = Bus(routes(self))
        host, port, token = p.listen
        self.reloading = Reloading(p.reread, self.renewing, p.notifier, p.clock)
        self.commander = Commander(
            self.recorder,
            self.publish,
            p.clock,
            p.manager,
            p.symbols,
            lambda: p.portfolio.names,
            lambda: p.reconciler.differences,
            self.reloading.reload,
            self.stop,
        )
        self.api = Api(self.views, self.commander, host, port, token)
        if isinstance(p.exchange, Hushed):
            until = datetime.fromisoformat(p.recovered.values.get(SILENT, EPOCH.isoformat()))
            p.exchange.hush((until - p.clock.now()).total_seconds(), self._silenced)

    # --- the bus -----------------------------------------------------------------------------------------------------

    def publish(self, event: e.Event) -> None:
        """Put an event on the bus; returns when everything that follows from it has been handled."""
        self.bus.publish(event)

    def _of_orders(self, event: e.Event) -> None:
        """What the gateway has learnt, by whatever way; it shows whether the user stream tells all of it."""
        self.userstream.witness(event)
        self.publish(event)

    def tell(self, event: e.Event) -> Iterable[e.Event]:
        """Log an event under its stable name."""
        for line in self._narrate(event):
            getattr(log, line.level)(line.name, **line.fields)
        return ()

    def paper_on(self, kind: type) -> list[Any]:
        """The simulated venue sees every price before anybody decides on it: that is its first price after the order."""
        exchange = self.parts.exchange
        if not isinstance(exchange, PaperExchange):
            return []
        return [exchange.on_bar if kind is e.BarClosed else exchange.on_tick]

    def away_on(self, kind: type) -> list[Any]:
        """Strategies in processes of their own, and those to come: every slice reaches them before one of them is asked about it."""
        return [self.workers.on_slice, self.renewing.on_slice] if kind is e.SliceClosed else [self.workers.accept]

    # --- start -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start, trade, and return once `stop` was called and everything has ended.

        Raises:
            CannotListen: the API could not be opened.
            ExceptionGroup: what ended a task. StartRefused: the venue refuses the credentials or the configuration. JournalError: the
                journal has failed, and nothing was sent after that. Anything else is a programmer's error.
        """
        p = self.parts
        await self.api.start()
        logs.listen(self.alerts)
        log.info("daemon.starting", **p.identity, api=f"http://{p.listen[0]}:{self.api.port}", symbols=len(p.symbols))
        for text in p.remarks:
            log.warning("config.remark", text=text)
        p.notifier.status("connecting to the exchange")
        p.notifier.ready()
        try:
            async with asyncio.TaskGroup() as nest:
                nest.create_task(self._end(), name="stop")
                for name, job in [("reload", self.reloading.run), ("renew", self.reloading.prepare), *self.alerts.jobs()]:
                    nest.create_task(lasting(name, job, p.clock), name=name)
                if p.watchdog_s is not None:
                    nest.create_task(self._heartbeat(p.watchdog_s), name="heartbeat")
                nest.create_task(self._live(nest), name="start")
        except* _Stopped:
            pass
        except* Exception as failures:
            log.error("daemon.failed", problems=[f"{type(error).__name__}: {error}" for error in failures.exceptions])
            raise
        finally:
            await self._close()

    async def _live(self, nest: asyncio.TaskGroup) -> None:
        """The start path; recovery is the same path with a longer journal."""
        p = self.parts
        markets = await self._connect()
        p.account.markets = complete(markets, p.symbols)
        p.unlisted = frozenset(p.symbols) - markets.keys()
        self._narrate.remember(order for order, _ in p.recovered.open_orders)
        conclusions = restored(p)
        for name, job in self._edges():
            nest.create_task(lasting(name, job, p.clock), name=name)
        for event in conclusions:
            self.publish(event)
        await self._start_workers()
        streams, after = await self._warm()
        streams.start_from(after)
        self.transport.begin(streams)
        for name, job in [*streams.jobs(), *self._watch()]:
            nest.create_task(lasting(name, job, p.clock), name=name)
        self._employ(nest, self.workers)
        self.renewing.open(partial(self._employ, nest))
        log.info("daemon.ready", symbols=len(p.symbols), timeframe_s=p.timeframe.total_seconds(), warm_up_bars=p.need)
        p.notifier.status(f"running, {len(p.symbols)} symbols")

    def _employ(self, nest: asyncio.TaskGroup, workers: Iterable[Worker]) -> None:
        """Have strategies in processes of their own at work, each until it is retired."""
        for worker in workers:
            name = f"strategy.{worker.name}"
            nest.create_task(lasting(name, worker.run, self.parts.clock, worker.is_retired), name=name)

    def _edges(self) -> list[Job]:
        """What runs beside the bars."""
        jobs: list[Job] = [
            ("clock", self.pulse.run),
            ("recorder", self.recorder.run),
            ("account", self.poller.run),
            ("timekeeper", self.timekeeper.run),
            ("rulebook", self.rulebook.run),
            ("userstream.watch", self.userstream.watch),
            ("userstream.digest", self.userstream.digest),
            ("userstream.guard", self.userstream.guard),
        ]
        if isinstance(self.parts.exchange, PaperExchange):
            jobs += self.parts.exchange.jobs()
        return jobs + [(f"gateway.{n}", self.gateway.worker) for n in range(WORKERS)]

    async def _connect(self) -> Mapping[str, Instrument]:
        """Load the rules and prove the key, probing calmly for as long as the venue is away."""
        pause = PROBE_FIRST_S
        while True:
            try:
                markets = await self.parts.exchange.connect()
                await self.parts.exchange.balances()
            except VenueError as error:
                if error.reason in (Reason.CREDENTIALS, Reason.PERMISSION):
                    raise StartRefused(refused_key(self.parts.source_file, error), 77) from None
                if isinstance(error, Fatal):
                    raise StartRefused(f"{self.parts.source_file}: {error.text}", 78) from None
                self.views.trouble = f"the exchange does not answer ({error.text}); probing again every {PROBE_MAX_S:g} s at most"
                log.warning("exchange.unreachable", error=error.text, next_probe_s=pause)
                self.parts.notifier.status("the exchange does not answer; probing")
                await self.parts.clock.sleep(max(pause, error.retry_after_s or 0.0))
                pause = min(PROBE_MAX_S, pause * 2)
            else:
                self.views.trouble = ""
                return markets

    async def _start_workers(self) -> None:
        """Have the strategies of the user's own loaded; those that cannot be are disabled, and the rest trades."""
        try:
            await self.workers.start(together)
        except Misconfigured as error:
            raise StartRefused(str(error), 78) from None

    async def _warm(self) -> tuple[BarStreams, Mapping[str, datetime | None]]:
        """Feed the indicators their history, then build the streams that go on from there."""
        p = self.parts
        began = p.clock.now()
        slices = await warmed(p, self.workers, began, together)
        if slices:
            self.aligner.resume(slices[-1])
            p.account.on_slice(e.SliceClosed(slices[-1], began))
        last, listed = slices[-1].closes_at if slices else None, tuple(s for s in p.symbols if s not in p.unlisted)
        streams = BarStreams(p.exchange, listed, p.timeframe, self.publish, p.clock, rng=Random(p.seed), source=p.source, grace=p.grace)
        return streams, dict.fromkeys(listed, last)

    def _watch(self) -> list[Job]:
        """Streams of what is watched; a close that the start has missed is missed by nobody."""
        p = self.parts
        if not p.watched:
            return []
        terms: dict[str, Any] = {"rng": Random(p.seed), "source": p.source, "grace": p.grace}
        streams = BarStreams(p.exchange, p.watched, p.timeframe, marks(self.publish), p.clock, **terms)
        streams.start_from(dict.fromkeys(p.watched))
        return [(f"watch.{name}", job) for name, job in streams.jobs()]

    # --- while it runs -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """See ten times a second to what tells nobody when it changes."""
        self.reloading.settle()
        self.transport.look(connected=self.userstream.healthy)

    def _silenced(self, for_s: float) -> None:
        """The venue wants to hear nothing for so long, a process after this one included."""
        at = self.parts.clock.now()
        log.warning("exchange.silence", for_s=round(for_s, 3))
        self.publish(e.KeepState(SILENT, (at + timedelta(seconds=for_s)).isoformat(), at))

    async def _heartbeat(self, every_s: float) -> None:
        """Tell the supervisor that the loop turns. An outage of the venue is no reason to be restarted."""
        while True:
            self.parts.notifier.watchdog()
            await self.parts.clock.sleep(every_s)

    # --- stop --------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask for an end in order; a second call does not wait for orders."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _end(self) -> None:
        """Wait to be stopped; then let orders come to a known end, and end everything."""
        await self._stop.wait()
        self.parts.notifier.stopping()
        self.publish(e.StopRequested(self.parts.clock.now()))
        self.parts.exchange.shut()
        began = self.parts.clock.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                while not self.parts.manager.idle and not self._hurry.is_set():
                    await self.parts.clock.sleep(0.05)
        left_s = STOP_S - (self.parts.clock.monotonic() - began)
        await last_look(self.parts, max(READ_S, left_s), self._hurry.is_set)
        raise _Stopped

    async def _close(self) -> None:
        """Write what waits, then close every edge; each is closed even if one before it fails."""
        p = self.parts
        async with AsyncExitStack() as edges:
            edges.callback(p.notifier.close)
            edges.push_async_callback(self.alerts.close, together)
            edges.callback(logs.listen, None)
            edges.push_async_callback(self.api.stop)
            edges.push_async_callback(p.exchange.close)
            edges.push_async_callback(self.workers.close)
            edges.push_async_callback(self.renewing.dismiss)
            if p.journal.failed is None:
                edges.push_async_callback(self.recorder.commit)
        log.info("daemon.stopped")


async def together(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run coroutines side by side, all of them to their end, or none of them after one has failed."""
    try:
        async with asyncio.TaskGroup() as nest:
            for job in jobs:
                nest.create_task(job)
    except* VenueError as group:
        raise group.exceptions[0] from None
