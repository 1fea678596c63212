"""Swap life: the world of one seed that tells of swaps: what the venue, the market and other people do there beside what they always do."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Final

from daemon.config import Config
from daemon.core.model import ZERO, Side, currencies
from daemon.core.restraint import UNLIKE
from daemon.core.states import Hold
from tests.sim.swarm.books import Books, Prices
from tests.sim.swarm.faults import Fault, Kind
from tests.sim.swarm.life import World
from tests.sim.swarm.oracle import Oracle
from tests.sim.swarm.process import Process
from tests.sim.swarm.setting import GROUPED, NEAREST, SWAP_PROFILES, SWAPS, near, swapping
from tests.sim.swarm.swapdoor import SwapDoor
from tests.sim.swarm.swaporacle import SwapOracle
from tests.sim.swarm.swaps import SwapBooks, instrument

TICK_S: Final = 1.0
FUNDED_S: Final = (15.0, 45.0)  # between two settlements of a market
FUNDED_UNTIL_S: Final = 150.0  # what is settled in the very end could not be booked before it is judged
PAID_IN_S: Final = 20.0  # after it has lost everything, somebody pays in again


class SwapWorld(World):
    """Everything of one seed of swaps."""

    symbols = SWAPS
    profiles = len(SWAP_PROFILES)
    books: SwapBooks
    oracle: SwapOracle

    def _venue(self, prices: Prices) -> tuple[Books, Oracle]:
        luck = Random(f"{self.seed}/swaps")
        self._isolated = luck.random() < 1 / 3
        self._leverage = luck.choice([3, 5])
        now = self.clock.now()
        markets = {s: instrument(s, prices.now(s, now), coarse=luck.random() < 0.5) for s in SWAPS}
        money = Decimal(luck.choice([1000, 10_000, 1_000_000]))
        books = SwapBooks(self.seed, markets, {"USDT": money} | {currencies(s)[0]: ZERO for s in SWAPS}, prices, self.later)
        books.now = self.clock.now  # type: ignore[method-assign]
        for symbol in SWAPS[:2] if luck.random() < 1 / 4 else ():
            books.traded_by_hand(symbol, luck.choice(list(Side)), now)
            books.opening[currencies(symbol)[0]] = books.position(symbol).amount
        oracle = SwapOracle(books, self.clock.now, lambda: self.weather.at_work(self.now_s))
        for symbol in SWAPS:
            oracle.moved_by_hand(symbol, when=bool(books.position(symbol).amount))
        return books, oracle

    @property
    def config(self) -> Config:
        if near(self.profile):
            return swapping(self.folder, self.profile, self.style, leverage=10, isolated=False)
        return swapping(self.folder, self.profile, self.style, leverage=self._leverage, isolated=self._isolated)

    def _door(self, process: Process) -> SwapDoor:
        chosen = self.config.exchange
        given = self, self.oracle, SWAPS, lambda: process.alive
        return SwapDoor(*given, leverage=chosen.leverage, isolated=chosen.margin_mode == "isolated")

    # --- what happens ------------------------------------------------------------------------------------------------

    async def story(self) -> None:
        if near(self.profile):  # what is several times the equity moves several times as fast
            self.oracle.nearest, self.leeway = Decimal(str(NEAREST)), 0.25
        self.oracle.groups = GROUPED.get(self.profile, ())
        luck = Random(f"{self.seed}/funding")
        for symbol in SWAPS:
            at = luck.uniform(*FUNDED_S)
            while at < FUNDED_UNTIL_S:
                rate = Decimal(str(round(luck.gauss(0.0001, 0.0005), 6)))
                self.later(at, lambda s=symbol, r=rate: self.books.fund(s, r))  # type: ignore[misc]
                at += luck.uniform(*FUNDED_S)
        self.later(TICK_S, self._tick)
        await super().story()

    def _tick(self) -> None:
        self.books.look()
        process = self.process
        self.oracle.look(process.daemon if process is not None and process.alive else None, TICK_S)
        self.later(TICK_S, self._tick)

    def _other_hand(self, fault: Fault) -> None:
        books, symbol = self.books, fault.symbol
        if fault.kind in (Kind.HAND_TRADE, Kind.FOREIGN_ORDER, Kind.ORPHAN):
            self.oracle.moved_by_hand(symbol)
        match fault.kind:
            case Kind.LIQUIDATION:
                self._doom(fault)
            case Kind.ADL:
                if books.deleverage(symbol, Decimal(str(fault.size))):
                    self.oracle.counts["deleveraged"] += 1
            case Kind.LEVERAGE | Kind.LEVERAGE_REFUSED:
                books.margin.setups[symbol].leverage = 1 + int(fault.size * 20)
            case Kind.LEG_REFUSED:
                self.refused_for_ever |= {symbol} if fault.size > 0.5 else set()
            case Kind.FUNDING:
                for each in SWAPS:
                    books.fund(each, Decimal(str(round((fault.size - 0.5) * 0.004, 6))))
            case _:
                super()._other_hand(fault)

    def _command(self, fault: Fault) -> None:
        if fault.kind in (Kind.PAUSE, Kind.FLATTEN):
            for symbol in SWAPS if fault.size <= 0.5 else (fault.symbol,):
                self.oracle.moved_by_hand(symbol)  # a person takes a leg out of its group
        super()._command(fault)

    def _doom(self, fault: Fault) -> None:
        """A mark price runs away until a position is liquidated, and comes back."""
        held = [s for s in (fault.symbol, *SWAPS) if self.books.position(s).amount]
        doomed = next((symbol for symbol in held if self.books.doom(symbol)), None)
        if doomed is None:
            return
        self.oracle.counts["liquidated"] += 1
        self.oracle.disturbed.add(doomed)
        self.later(min(fault.length, 5.0), lambda: self.books.skews.pop(doomed, None))
        self.later(PAID_IN_S, self._pay_in)

    def _pay_in(self) -> None:
        opening = self.books.opening["USDT"]
        if self.books.equity < opening / 3:
            self.books.transfer("USDT", opening, self.clock.now())

    # --- the end -----------------------------------------------------------------------------------------------------

    def _ends_by_itself(self, hold: Hold) -> bool:
        """A leverage that somebody has changed is set back; the margin mode of what is held cannot be."""
        isolated = self.config.exchange.margin_mode == "isolated"
        return hold.code == UNLIKE and self.books.margin.setups[hold.scope.symbol].isolated == isolated

    def _unrest(self, *, at_work: bool = True) -> str:
        """As always, and the leverage of every market is the one of the configuration again."""
        wanted = self.config.exchange.leverage
        found = [symbol for symbol, setup in self.books.margin.setups.items() if setup.leverage != wanted]
        return super()._unrest(at_work=at_work) or (f"leverage unlike configured: {found}" if found else "")

    def _settled_since(self, moment: datetime) -> bool:
        """What has been taken back waits for a while before it may be tried again."""
        if self.process is None or not super()._settled_since(moment):
            return False
        last = self.process.daemon.traders[0].parts.manager.last_wave
        return last is not None and (
            "group_pause" not in last.left.values() or any(not self.refused_for_ever.isdisjoint(group) for group in self._groups())
        )

    def _equity(self, worths: Mapping[str, Decimal]) -> Decimal:
        return self.books.equity

    def _excuses(self, symbol: str) -> Sequence[str]:
        shut = self.refused_for_ever
        found = {"bad_request"} if symbol in shut else set()
        if any(symbol in group and not shut.isdisjoint(group) for group in self._groups()):
            found |= {"group", "group_pause"}
        if near(self.profile):
            found.add("liquidation_room")  # the weights leave just enough of it before it cost something to get there
        return sorted(found)

    def _groups(self) -> Sequence[Sequence[str]]:
        pairs = (each["params"] for each in SWAP_PROFILES[self.profile] if each["use"] == "pairs")
        return [pair for params in pairs for pair in (params.get("pairs") or [params["pair"]])]
