"""Trader: one account and everything that belongs to it, from its first request to its last row.

Rule: what happens on one account stays in its trader: door, streams, ledger, journal and trading state are its own, and no other waits for
it. It begins no task: it names its jobs, and app.py has them run. A start and a recovery are one path: orders, account, bars.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final, Protocol, TypeVar

import structlog

from daemon.commander import Commander
from daemon.core import events as e
from daemon.core import restraint
from daemon.core.bus import Bus, Handler
from daemon.core.model import EPOCH, Instrument, is_swap
from daemon.core.slices import Aligner
from daemon.forgetting import forgetting
from daemon.io import logs
from daemon.io.deadman import DeadMansSwitch, may_rest
from daemon.io.exchange import Countdown, Fatal, Hushed, Marking, Reason, SetUp, VenueError, Vetted
from daemon.io.gateway import Gateway
from daemon.io.marks import Marks
from daemon.io.paper_exchange import PaperExchange
from daemon.io.pollers import AccountPoller
from daemon.io.recorder import Recorder
from daemon.io.rulebook import Rulebook, complete
from daemon.io.settings import SettingsWatch
from daemon.io.streams import BarStreams, Job
from daemon.io.timekeeper import Timekeeper
from daemon.io.userstream import UserStream
from daemon.io.warmup import Together
from daemon.io.worker import Misconfigured, Worker, Workers
from daemon.lasting import PROBE_MAX_S
from daemon.parts import Joined, Parts, StartRefused, dangerous_key, refused_key
from daemon.pulse import Pulse
from daemon.renewing import Renewing
from daemon.restoring import restored
from daemon.stopping import READ_S, last_look
from daemon.telling.narrator import Narrator
from daemon.telling.teller import Teller
from daemon.telling.tracing import Tracer
from daemon.telling.views import DaemonViews, Freshness
from daemon.transport import Transport
from daemon.warming import warmed
from daemon.watching import marks

log = structlog.get_logger()

# Requests under way at once. Binance takes 100 orders in ten seconds; more side by side would only wait at the rate gate.
WORKERS: Final = 8

# Probing a venue that is away: quickly at first, then ever more calmly.
PROBE_FIRST_S: Final = 1.0

# Until when the venue has asked for silence, as the journal keeps it: who asks on, restarted or not, is banned for days.
SILENT: Final = "silent_until"

T = TypeVar("T")
Routes = Callable[[Joined], Sequence[tuple[type, Sequence[Handler[e.Event]]]]]


class Owner(Protocol):
    """The process, as far as a person may ask an account for it."""

    async def reload(self) -> str:
        """Read the configuration again; a sentence. Impossible: it cannot be taken up."""
        ...

    def stop(self) -> None:
        """End in order."""
        ...

    def settle(self) -> object:
        """Take a changed configuration up where that waits for nothing any more."""
        ...


class Hire(Protocol):
    """Has jobs run for as long as the process does."""

    def __call__(self, name: str, job: Callable[[], Coroutine[Any, Any, None]], over: Callable[[], bool] = ..., /) -> None:
        """Have one run, which may end once it is `over`."""
        ...


class Routed(Protocol):
    """A strategy that trades here and on other accounts."""

    def hear(self, account: str, event: e.Event) -> None:
        """What happens on an account, before it is handled there."""
        ...

    def ask(self, account: str, event: e.AskStrategy) -> Iterable[e.Event]:
        """Have it answer an account: now, or by `say` once the other accounts have come as far."""
        ...


class Trader:
    """One account. `live` starts it, `finish` lets its orders come to a known end, `close` closes its edges.

    `alone`: there is no other, so that an exchange which refuses us ends the process; else the others trade on, and it is asked again.
    """

    def __init__(self, parts: Parts, routes: Routes, together: Together, owner: Owner, *, alone: bool) -> None:
        """`routes` joins its parts, `together` runs coroutines side by side, `owner` is the process."""
        p = self.parts = parts
        restraint.restore(p.manager.states, p.recovered.holds)  # a halt is shown from the first moment on, also while the venue is away
        self.trace = Tracer(p.clock.stamp_ns)
        self._narrate = Narrator(self.trace.finish)
        self.teller = Teller(self._narrate, self.told, p.clock)
        self._together = together
        self._owner = owner
        self._routed: dict[str, Routed] = {}
        self._alone = alone
        self.aligner = Aligner(p.symbols, p.timeframe, p.grace, silent_max=p.membership.silent_max, judge=p.breakers.judged)
        self.poller = AccountPoller(p.exchange, self.publish, p.clock, p.poll_every, lambda: self.userstream.healthy, Random(p.seed))
        self.timekeeper = Timekeeper(p.exchange, self.publish, p.clock)
        self.rulebook = Rulebook(p.exchange, self.publish, p.clock, lambda: p.account.listed)
        sets_up = p.identity["mode"] != "shadow"  # which plans as if all were set
        venue = p.exchange if sets_up and isinstance(p.exchange, SetUp) else None
        self.settings = SettingsWatch(venue, self.publish, p.clock, partial(restraint.quarantine, p.manager.states))
        self.recorder = Recorder(p.journal, self.publish, p.clock, self.trace.finish)
        booked = p.ledger.has_trade, p.manager.may_send, p.ledger.has_flow
        self.gateway = Gateway(p.exchange, self.recorder, self._of_orders, p.clock, *booked, self.trace.journalled, self.trace.leaving)
        self.workers = Workers(p.away, p.symbols, self.publish, p.clock)
        self.renewing = Renewing(p, self.workers, self.publish, together)
        self.userstream = UserStream(p.exchange, self.gateway.learn, self.publish, p.clock, Random(p.seed), lambda: p.manager.idle)
        self.switch = self._switch(together)
        fresh = Freshness.of(p.timeframe, p.grace, p.poll_every)
        told = fresh, p.analyzer, p.runner.disabled, p.membership, p.account_name
        self.views = DaemonViews(p.identity, p.manager, p.account, p.reconciler, p.journal, p.clock, *told)
        self.transport = Transport(self.views, p.clock)
        self.pulse = Pulse(p, self.publish, self.views, self.aligner, self._look)
        self.bus: Bus[e.Event] = Bus(routes(self))
        self.commander = Commander(
            self.recorder,
            self.publish,
            p.clock,
            p.manager,
            p.symbols,
            lambda: p.portfolio.names,
            lambda: p.reconciler.differences,
            owner.reload,
            owner.stop,
            p.account_name,
        )
        if isinstance(p.exchange, Hushed):
            until = datetime.fromisoformat(p.recovered.values.get(SILENT, EPOCH.isoformat()))
            p.exchange.hush((until - p.clock.now()).total_seconds(), self._silenced)

    # --- the bus -----------------------------------------------------------------------------------------------------

    def publish(self, event: e.Event) -> None:
        """Put an event on the bus; returns when everything that follows from it has been handled."""
        for routed in self._routed.values():
            routed.hear(self.parts.account_name, event)
        self.bus.publish(event)

    def _of_orders(self, event: e.Event) -> None:
        """What the gateway has learnt, by whatever way; it shows whether the user stream tells all of it."""
        self.userstream.witness(event)
        self.publish(event)

    def join(self, name: str, routed: Routed) -> None:
        """Have a strategy that trades on other accounts, too, hear what happens here, and ask it when it is due."""
        self._routed[name] = routed

    def say(self, event: e.Event) -> None:
        """Put an event on the bus that another account has brought about."""
        with self.told():
            self.publish(event)

    def _asked(self, event: e.AskStrategy) -> Iterable[e.Event]:
        routed = self._routed.get(event.name)
        return self.workers.accept(event) if routed is None else routed.ask(self.parts.account_name, event)

    def tell(self, event: e.Event) -> Iterable[e.Event]:
        """Have an event logged under its stable name, once what follows from it is under way."""
        self.trace.hear(event)
        self.teller.hear(event)
        return ()

    def told(self) -> AbstractContextManager[None]:
        """What is logged in here says which account it is about."""
        return logs.about(self.parts.account_name)

    def _supervised(self, text: str) -> None:
        """Tell the supervisor how it stands, and of several accounts with which."""
        account = self.parts.account_name
        self.parts.notifier.status(f"{account}: {text}" if account else text)

    def paper_on(self, kind: type) -> list[Any]:
        """The simulated venue sees every price before anybody decides on it: that is its first price after the order."""
        exchange = self.parts.exchange
        if not isinstance(exchange, PaperExchange):
            return []
        hearers = {
            e.BarClosed: exchange.on_bar,
            e.PriceTicked: exchange.on_tick,
            e.MarkTicked: exchange.on_mark,
            e.FundingTold: exchange.on_funding,
        }
        return [hearers[kind]]

    def away_on(self, kind: type) -> list[Any]:
        """Strategies in processes of their own, and those to come: every slice reaches them before one of them is asked about it."""
        return [self.workers.on_slice, self.renewing.on_slice] if kind is e.SliceClosed else [self._asked]

    # --- start -------------------------------------------------------------------------------------------------------

    async def live(self, hire: Hire) -> None:
        """The start path; recovery is the same path with a longer journal.

        Raises:
            StartRefused: the venue refuses the credentials or the configuration, and there is no other account.
        """
        p = self.parts
        for text in p.remarks:
            log.warning("config.remark", text=text)
        markets = await self._allowed(self._connect)
        p.account.markets = complete(markets, p.symbols)
        p.unlisted = frozenset(p.symbols) - markets.keys()
        self._narrate.remember(order for order, _ in p.recovered.open_orders)
        conclusions = restored(p)
        for name, job in self.edges():
            hire(name, job)
        for event in conclusions:
            self.publish(event)
        self.settings.begin()
        await self._start_workers()
        streams, after = await self._allowed(self._warm)
        streams.start_from(after)
        self.transport.begin(streams)
        for name, job in [*streams.jobs(), *self._watch()]:
            hire(name, job)
        self._employ(hire, self.workers)
        self.renewing.open(lambda workers: self._employ(hire, workers))
        self.teller.flush()
        log.info("daemon.ready", symbols=len(p.symbols), timeframe_s=p.timeframe.total_seconds(), warm_up_bars=p.need)
        self._supervised(f"running, {len(p.symbols)} symbols")

    def _employ(self, hire: Hire, workers: Iterable[Worker]) -> None:
        """Have strategies in processes of their own at work, each until it is retired."""
        for worker in workers:
            hire(f"strategy.{worker.name}", worker.run, worker.is_retired)

    async def _allowed(self, step: Callable[[], Awaitable[T]]) -> T:
        """What a step of the start brings. Where the venue refuses us, the others trade on meanwhile, and it is asked again."""
        while True:
            try:
                return await step()
            except StartRefused as error:
                if self._alone:
                    raise
                self.views.trouble = str(error)
                log.error("account.refused", error=str(error), next_try_s=PROBE_MAX_S)
                await self.parts.clock.sleep(PROBE_MAX_S)

    def edges(self) -> list[Job]:
        """What runs beside the bars."""
        jobs: list[Job] = [
            ("narrator", self.teller.run),
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
        if self.switch is not None:
            jobs.append(("switch", self.switch.run))
        if self.parts.detail is not None:
            jobs.append(("retention", partial(forgetting, self.parts.journal, self.parts.detail, self.parts.clock)))
        jobs += self._of_swaps()
        return jobs + [(f"gateway.{n}", self.gateway.worker) for n in range(WORKERS)]

    def _switch(self, together: Together) -> DeadMansSwitch | None:
        """What has the exchange cancel our orders once we are dead, where that is wanted."""
        p = self.parts
        if p.countdown is None or not isinstance(p.exchange, Countdown):
            return None
        left = {order.symbol for order, _ in p.recovered.open_orders}
        return DeadMansSwitch(p.exchange, p.countdown, lambda: may_rest(p.manager.table), left, p.clock, together)

    def _of_swaps(self) -> list[Job]:
        """The mark prices of swaps, where the exchange has them, and how the account is set up for them."""
        p = self.parts
        swaps = [symbol for symbol in p.symbols if is_swap(symbol) and symbol not in p.unlisted]
        if not swaps or not isinstance(p.exchange, Marking):
            return []
        jobs = Marks(p.exchange, swaps, p.exchange.batch_max, self.publish, p.clock, Random(p.seed)).jobs()
        return [*jobs, ("settings", self.settings.run)] if self.settings.watches else jobs

    async def _connect(self) -> Mapping[str, Instrument]:
        """Load the rules and prove the key, probing calmly for as long as the venue is away."""
        pause = PROBE_FIRST_S
        while True:
            try:
                markets = await self.parts.exchange.connect()
                await self.parts.exchange.balances()
                await self._vet()
            except VenueError as error:
                if error.reason in (Reason.CREDENTIALS, Reason.PERMISSION):
                    raise StartRefused(refused_key(self.parts.source_file, self.parts.place, error), 77) from None
                if isinstance(error, Fatal):
                    raise StartRefused(f"{self.parts.source_file}: {error.text}", 78) from None
                self.views.trouble = f"the exchange does not answer ({error.text}); probing again every {PROBE_MAX_S:g} s at most"
                log.warning("exchange.unreachable", error=error.text, next_probe_s=pause)
                self._supervised("the exchange does not answer; probing")
                await self.parts.clock.sleep(max(pause, error.retry_after_s or 0.0))
                pause = min(PROBE_MAX_S, pause * 2)
            else:
                self.views.trouble = ""
                return markets

    async def _vet(self) -> None:
        """Refuse a key that may take the money away, where the venue tells."""
        p = self.parts
        if not (p.vets_key and isinstance(p.exchange, Vetted)):
            return
        rights = await p.exchange.rights()
        log.info("exchange.key_rights", told=rights is not None, bound=rights is not None and rights.bound)
        if rights is not None and rights.withdraws:
            raise StartRefused(dangerous_key(p.source_file, p.place), 77)

    async def _start_workers(self) -> None:
        """Have the strategies of the user's own loaded; those that cannot be are disabled, and the rest trades."""
        try:
            await self.workers.start(self._together)
        except Misconfigured as error:
            raise StartRefused(str(error), 78) from None

    async def _warm(self) -> tuple[BarStreams, Mapping[str, datetime | None]]:
        """Feed the indicators their history, then build the streams that go on from there."""
        p = self.parts
        began = p.clock.now()
        slices = await warmed(p, self.workers, began, self._together)
        if slices:
            self.aligner.resume(slices[-1])
            p.account.on_slice(e.SliceClosed(slices[-1], began))
            for symbol, price in p.breakers.doubted():
                p.account.mark_at(symbol, price, EPOCH)  # what is held of it is worth what it was, until its price is believed
        last, listed = slices[-1].closes_at if slices else None, tuple(s for s in p.symbols if s not in p.unlisted)
        terms: dict[str, Any] = {"rng": Random(p.seed), "source": p.source, "grace": p.grace, "received": self.trace.received}
        streams = BarStreams(p.exchange, listed, p.timeframe, self.publish, p.clock, **terms)
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
        self._owner.settle()
        self.transport.look(connected=self.userstream.healthy)

    def _silenced(self, for_s: float) -> None:
        """The venue wants to hear nothing for so long, a process after this one included."""
        at = self.parts.clock.now()
        log.warning("exchange.silence", for_s=round(for_s, 3))
        self.publish(e.KeepState(SILENT, (at + timedelta(seconds=for_s)).isoformat(), at))

    # --- stop --------------------------------------------------------------------------------------------------------

    async def finish(self, within_s: float, hurried: Callable[[], bool]) -> None:
        """Make no new plans, and let orders come to a known end."""
        p = self.parts
        self.publish(e.StopRequested(p.clock.now()))
        self.teller.flush()
        p.exchange.shut()
        began = p.clock.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not p.manager.idle and not hurried():
                    await p.clock.sleep(0.05)
        left_s = within_s - (p.clock.monotonic() - began)
        await last_look(p, max(READ_S, left_s), hurried)
        if self.switch is not None:
            await self.switch.end(keep=p.manager.keeps_open)

    async def close(self) -> None:
        """Write and tell what waits, then close every edge; each is closed even if one before it fails."""
        p = self.parts
        async with AsyncExitStack() as edges:
            edges.callback(self.teller.flush)
            edges.push_async_callback(p.exchange.close)
            edges.push_async_callback(self.workers.close)
            edges.push_async_callback(self.renewing.dismiss)
            if p.journal.failed is None:
                edges.push_async_callback(self.recorder.commit)
