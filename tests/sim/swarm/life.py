"""Life: the world of one seed: a venue, its faults, and a daemon that is started again whenever it has died.

Rule: the seed gives the whole story. The faults end, the daemon is given time, and then its record and the venue's books must agree.
"""

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

from daemon import pulse
from daemon.assembly.worlds import build
from daemon.assembly.worlds import process as shared
from daemon.config import Config, Secrets
from daemon.core.model import Instrument, Order, Side, Status, currencies, is_swap
from daemon.core.ordertable import State, client_id, tag
from daemon.core.states import ACCOUNT, Hold, Scope
from daemon.core.trading import Trading
from daemon.io.api import Impossible
from daemon.io.exchange import Refused
from daemon.io.journal import Journal, JournalError
from tests.core.builders import market
from tests.sim.swarm.books import Books, Prices
from tests.sim.swarm.door import SimExchange
from tests.sim.swarm.faults import CRASHES, Fault, Kind, Weather
from tests.sim.swarm.loop import SwarmLoop, run
from tests.sim.swarm.oracle import Oracle
from tests.sim.swarm.process import Process, SimWriter, watched
from tests.sim.swarm.setting import LENGTH, PROFILES, START, STYLES, SYMBOLS, WARM, blank, configured, intents
from tests.sim.virtual import SimClock

TICK_S: Final = 1.0  # the clock of the daemon, slower than in earnest
PATIENCE_S: Final = 900.0  # a story that is not calm so long after its last fault has hung
HELD_S: Final = 240.0
LOOK_S: Final = 5.0
ALLOWED: Final = ("unfunded", "below_minimum", "dust", "raised")
# What a style may leave to the next decision, in calm weather too.
UNHURRIED: Final = {"market": (), "limit": ("price_cap",), "maker_then_taker": ("unfilled", "moved"), "twap": ("unfilled", "moved")}


class World:
    """Everything of one seed."""

    symbols: Sequence[str] = SYMBOLS
    profiles = len(PROFILES)
    leeway = 0.1  # of a weight: what prices may have moved since it was traded

    def __init__(self, seed: int, faults: Sequence[Fault], folder: Path, loop: SwarmLoop) -> None:
        self.seed = seed
        self.loop = loop
        self.context = copy_context()
        self.clock = SimClock(START + WARM * LENGTH + LENGTH / 2)
        self.weather = Weather(seed, faults)
        self.chance = Random(f"{seed}/world")
        self.folder = folder
        self.refused_for_ever: set[str] = set()
        self.style = Random(f"{seed}/style").randrange(len(STYLES))
        self.books, self.oracle = self._venue(Prices(seed, self.symbols, START, LENGTH))
        self.process: Process | None = None
        self._armed: tuple[Kind, int] | None = None
        self._lives = 0
        self._over = False
        self.profile = self.chance.randrange(self.profiles)
        self.path = folder / f"{seed}.sqlite"

    def _venue(self, prices: Prices) -> tuple[Books, Oracle]:
        """The venue's books, and who judges by them."""
        books = Books(self.seed, self._markets(), self._opening(prices), prices, self.later)
        books.now = self.clock.now  # type: ignore[method-assign]
        return books, Oracle(books, self.clock.now, lambda: self.weather.at_work(self.now_s))

    @property
    def config(self) -> Config:
        """What the daemon is to do."""
        return configured(self.folder, self.profile, self.style)

    def _door(self, process: Process) -> SimExchange:
        return SimExchange(self, self.oracle, self.symbols, lambda: process.alive)

    def _markets(self) -> dict[str, Instrument]:
        steps = [self.chance.choice(["0.00001", "0.001"]) for _ in SYMBOLS]
        return {s: replace(market(s, step=step), price_tick=Decimal("1e-6")) for s, step in zip(SYMBOLS, steps, strict=True)}

    def _opening(self, prices: Prices) -> dict[str, Decimal]:
        """Money; and in every third story coins of two of the markets."""
        money = {"USDT": Decimal(self.chance.choice([1000, 10_000, 1_000_000]))} | {s.partition("/")[0]: Decimal(0) for s in SYMBOLS}
        if self.chance.random() > 1 / 3:
            return money
        worths = {symbol: money["USDT"] / 5 / prices.now(symbol, self.clock.now()) for symbol in SYMBOLS[:2]}
        return money | {currencies(symbol)[0]: round(worth, 6) for symbol, worth in worths.items()}

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return self.loop.time()

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something after a while, whoever lives then."""
        self.loop.call_later(seconds, act, context=self.context)

    # --- processes ---------------------------------------------------------------------------------------------------

    def point(self, name: Kind) -> None:
        """Here a process may be killed."""
        if self._armed is None or self._armed[0] is not name:
            return
        left = self._armed[1] - 1
        self._armed = (name, left) if left else None
        if not left:
            self.crash(name.value)

    def crash(self, why: str) -> None:
        """Kill the process where it stands."""
        process = self.process
        if process is not None and process.alive:
            self.oracle.counts["crashes"] += 1
            process.leave(f"killed: {why}")

    def _boot(self) -> Process:
        config = self.config
        if not self.path.exists():
            shutil.copy(blank(self.folder), self.path)
        journal = Journal.open(self.path, instance=config.name, mode=config.mode, clock=self.clock)
        journal._writer.stop()
        journal._store._connection.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug here
        self._lives += 1
        process = Process(self._lives, self, journal, self.loop.create_future())
        journal._writer = SimWriter(journal._store, process)
        record = journal.recover()
        process.exchange = self._door(process)
        parts = build(config, Secrets(), journal, record, self.clock, lambda _done, _all: None, exchange=process.exchange)
        process.daemon = watched(shared([(config, Secrets())], self.clock, {}), parts, process)
        self.oracle.begins(process.daemon, record)
        process.task(process.main())
        return process

    async def _keep(self) -> None:
        """The supervisor: whatever has ended is started again."""
        while True:
            self.process = self._boot()
            why = await self.process.ended
            self.process = None
            if self._over:
                return
            await asyncio.sleep(self.chance.uniform(0.5, 6.0) if "StartRefused" not in why else 30.0)

    # --- faults that are done, not met -------------------------------------------------------------------------------

    def _strike(self, fault: Fault) -> None:
        """A fault begins."""
        self.oracle.note(f"FAULT {fault}")
        self.oracle.strikes([fault])
        if fault.kind is Kind.CRASH:
            self.crash("at a moment")
        elif fault.kind in CRASHES:
            self._armed = (fault.kind, 1 + int(fault.size * 12))
        elif fault.kind in (Kind.AWAY, Kind.UNREACHED, Kind.BANNED, Kind.USER_DOWN, Kind.BARS_CLOSED):
            if self.process is not None:
                self.process.exchange.cut()
        elif fault.kind in (Kind.STOP, Kind.PAUSE, Kind.FLATTEN, Kind.RELOAD):
            self._command(fault)
        else:
            self._other_hand(fault)

    def _other_hand(self, fault: Fault) -> None:
        now, books, share = self.clock.now(), self.books, Decimal(str(round(0.01 + fault.size * 0.15, 3)))
        base = fault.symbol.partition("/")[0]
        match fault.kind:
            case Kind.DEPOSIT | Kind.WITHDRAWAL | Kind.COINS:
                currency = base if fault.kind is Kind.COINS else "USDT"
                sign = -1 if fault.kind is Kind.WITHDRAWAL or (fault.kind is Kind.COINS and fault.size > 0.5) else 1
                worth = books.balances[currency] if currency == "USDT" or sign < 0 else Decimal(20) / books.prices.now(fault.symbol, now)
                moved = books.transfer(currency, (sign * worth * share).quantize(Decimal("1e-8")), now)
                if moved and fault.length > 10 and not is_swap(fault.symbol):
                    books.publish((currency, moved, f"m{fault.at}"))
            case Kind.HAND_TRADE:
                books.by_hand(fault.symbol, Side.SELL if fault.size > 0.5 else Side.BUY, now)
            case Kind.FOREIGN_ORDER | Kind.ORPHAN | Kind.TWIN:
                self._foreign_order(fault, share)
            case Kind.NEW_STEP:
                known = books.markets[fault.symbol]
                books.markets[fault.symbol] = replace(known, amount_step=known.amount_step * 10)

    def _foreign_order(self, fault: Fault, share: Decimal) -> None:
        """An order that hangs until its fault is over.

        It is somebody else's, or one with our prefix that no record knows: of an earlier life, or of another instance.
        """
        now, books = self.clock.now(), self.books
        instance = f"{self.config.name}|{self.config.mode}"
        order_id = f"web-{fault.at}"
        if fault.kind is Kind.ORPHAN:
            order_id = "r" + tag(instance) + f"orphan{int(fault.at * 1000):016d}"
        elif fault.kind is Kind.TWIN:
            order_id = client_id(f"twin-of-{instance}", f"of another machine at {fault.at}", fault.symbol, Side.BUY, 1)
            self.oracle.twins.add(order_id)
        amount = books.markets[fault.symbol].floor(books.free("USDT", now) * share / books.prices.now(fault.symbol, now))
        if amount <= 0:
            return
        books.foreign_hands = True
        try:
            booked = books.book(order_id, fault.symbol, Side.BUY, amount, Kind.STUCK, now, ours=False)
        except Refused:
            return
        if fault.kind is Kind.ORPHAN:
            booked.made_at = START  # before any life that this story tells
        self.later(fault.length, lambda: books.end(booked, Status.CANCELED, self.clock.now()))

    def _command(self, fault: Fault) -> None:
        process = self.process
        if process is None or not process.alive:
            return
        process.task(self._commanded(process, fault))

    async def _commanded(self, process: Process, fault: Fault) -> None:
        argument = fault.symbol if fault.kind in (Kind.PAUSE, Kind.FLATTEN) and fault.size > 0.5 else ""
        scope = Scope(symbol=argument) if argument else ACCOUNT
        if fault.kind is Kind.FLATTEN:
            self.oracle.paused.discard(scope)  # it says so: whoever asks for this wants out all the same
        if await self._ordered(process, fault.kind.value, argument) and fault.kind is Kind.PAUSE:
            self.oracle.paused.add(scope)

    # --- the end -----------------------------------------------------------------------------------------------------

    async def story(self) -> None:
        """The whole of it."""
        for fault in self.weather.faults:
            self.later(fault.at, lambda f=fault: self._strike(f))  # type: ignore[misc]
        keeper = self.loop.create_task(self._keep())
        last = max((fault.until for fault in self.weather.faults), default=60.0)
        while self.now_s < last and not self.oracle.problems:
            await asyncio.sleep(min(LOOK_S, last - self.now_s))
            self._fell(keeper)
            self._meanwhile()
        self._armed = None
        await self._converge(keeper, last)
        self._over = True
        if not self.oracle.problems:
            self._judge()

    def _meanwhile(self) -> None:
        """A person's look between two faults: in a story of minutes nobody comes before its last one."""

    @staticmethod
    def _fell(keeper: "asyncio.Task[None]") -> None:
        if keeper.done():
            keeper.result()

    async def _converge(self, keeper: "asyncio.Task[None]", last: float) -> None:
        """Nothing goes wrong any more: wait until all that was begun has come to its end, and a later decision too."""
        calm_at: datetime | None = None
        while not self.oracle.problems:
            self._fell(keeper)
            if self.now_s > last + PATIENCE_S:
                self.oracle.broken(f"it does not come to rest: {self._unrest()}")
                return
            self._look_after(last)
            if self._unrest():
                # What is worked on over time is under way at most looks, in calm weather too.
                calm_at = calm_at if self._unrest(at_work=False) == "" else None
            elif calm_at is None:
                calm_at = self.clock.now()
            elif self._settled_since(calm_at):
                return
            await asyncio.sleep(LOOK_S)

    def _look_after(self, last: float) -> None:
        """A person looks after what has been restricted, and later on after orders that nobody finds."""
        process = self.process
        if process is None or not process.alive:
            return
        manager = process.daemon.traders[0].parts.manager
        if manager.trading is Trading.RUNNING:
            for scope in {hold.scope: None for hold in manager.states.holds() if not self._ends_by_itself(hold)}:
                self.oracle.paused.discard(scope)
                process.task(self._ordered(process, "resume", scope.symbol or scope.strategy))
        if self.now_s > last + HELD_S:
            for tracked in manager.table:
                if tracked.state is State.UNKNOWN and self._only_a_person_can_tell(tracked.order):
                    process.task(self._ordered(process, "resolve", tracked.order.id))

    def _ends_by_itself(self, _hold: Hold) -> bool:
        """Whether a hold is the daemon's own business to the end."""
        return False

    def _only_a_person_can_tell(self, order: Order) -> bool:
        """Whether somebody else has traded or moved money as this order would have, so that nobody can say whose doing that was."""
        ours = {booked.id for booked in self.books.orders.values() if booked.ours}
        others = any((trade.symbol, trade.side) == (order.symbol, order.side) for trade in self.books.trades if trade.order_id not in ours)
        moved = not self.books.transfers.keys().isdisjoint(currencies(order.symbol))
        return (others or moved) and order.id not in self.books.orders

    async def _ordered(self, process: Process, verb: str, argument: str) -> bool:
        """Have a person give a command; whether it was carried out."""
        try:
            await process.daemon.traders[0].commander.command(verb, argument, "a person")
        except (Impossible, JournalError) as error:
            self.oracle.note(f"COMMAND {verb} {argument} is refused: {error}")
            return False
        self.oracle.note(f"COMMAND {verb} {argument}")
        self.oracle.counts[f"command {verb}"] += 1
        return True

    def _unrest(self, *, at_work: bool = True) -> str:
        """What is not as it should be once all is calm; "" if all is. `at_work`: what is under way counts as well."""
        process = self.process
        if process is None or not process.alive:
            return "no process"
        p = process.daemon.traders[0].parts
        others = [c for c, amount in self.books.balances.items() if p.ledger.wallet(c) != amount]
        reasons = {
            "not running": p.manager.trading is not Trading.RUNNING,
            f"held: {p.manager.reason}": bool(p.manager.states.holds()),
            "a wave is under way": at_work and p.manager.wave is not None,
            f"orders: {[(t.order.id, t.state.value) for t in p.table]}": at_work and bool(len(p.table)),
            f"drift: {p.account.drift}": bool(p.account.drift),
            f"other balances: {others}": at_work and bool(others),
        }
        return "; ".join(reason for reason, holds in reasons.items() if holds)

    def _settled_since(self, moment: datetime) -> bool:
        process = self.process
        assert process is not None
        wave = process.daemon.traders[0].parts.manager.last_wave
        return wave is not None and wave.decision.as_of > moment

    def _judge(self) -> None:
        process = self.process
        assert process is not None
        record = process.journal.recover()
        self.oracle.judge(record, intents(self.path))
        self._on_target(process)

    def _on_target(self, process: Process) -> None:
        """What is held is what the newest decision wants, or there is a reason that a calm venue allows."""
        wave = process.daemon.traders[0].parts.manager.last_wave
        assert wave is not None
        books, now = self.books, self.clock.now()
        kept = process.daemon.traders[0].parts.account.aside
        coins = {s: s.partition("/")[0] for s in self.symbols}
        worths = {s: (books.balances[coin] - kept(coin)) * books.prices.now(s, now) for s, coin in coins.items()}
        equity = self._equity(worths)
        for symbol, worth in worths.items():
            weight = wave.targets.get(symbol, 0.0)
            step = float(books.markets[symbol].amount_step * books.prices.now(symbol, now) / equity)
            distance = abs(float(worth / equity) - weight)
            allowed = max(0.02, self.leeway * abs(weight)) + step + 0.01
            reason = wave.left.get(symbol) or wave.refused.get(symbol)
            excused = (*ALLOWED, *UNHURRIED[STYLES[self.style]["style"]], *self._excuses(symbol))
            if distance > allowed and reason not in excused:
                self.oracle.broken(f"{symbol} is {distance:.3f} off its target {weight:.3f} in calm weather ({reason})")

    def _equity(self, worths: Mapping[str, Decimal]) -> Decimal:
        """What the account is worth; `worths` are those of its holdings."""
        return self.books.balances["USDT"] + sum(worths.values(), Decimal(0))

    def _excuses(self, _symbol: str) -> Sequence[str]:
        """What else may keep a symbol from its target to the end."""
        return ()


def tell(seed: int, faults: Sequence[Fault], folder: Path, *, world: type[World] = World, aloud: bool = False) -> Oracle:
    """The story of a seed under these faults, in a world of spot or of swaps."""
    tick_s, pulse.TICK_S = pulse.TICK_S, TICK_S  # type: ignore[misc]

    async def main(loop: SwarmLoop) -> Oracle:
        life = world(seed, faults, folder, loop)
        if aloud:
            life.oracle.told = []
        await life.story()
        if life.process is not None and life.process.alive:
            life.process.leave("the end")
        return life.oracle

    try:
        return run(main)
    finally:
        pulse.TICK_S = tick_s  # type: ignore[misc]
        for path in folder.glob(f"{seed}.sqlite*"):
            path.unlink()
