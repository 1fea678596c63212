"""Swap oracle: what must hold of swaps beside what always must: settlements, reduce-only, distances, legs that belong together.

Rule: as of the oracle: by the venue's books, and by what was told.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from daemon.app import Daemon
from daemon.core import events as e
from daemon.core.model import ZERO, Fill, Order, currencies
from daemon.core.ordertable import State
from daemon.core.trading import Trading
from daemon.io.journal import Recovered
from daemon.venue.swap.positions import maintenance
from tests.sim.swarm.books import Booked
from tests.sim.swarm.faults import Fault
from tests.sim.swarm.oracle import Oracle
from tests.sim.swarm.setting import SLICE, WITHIN_S
from tests.sim.swarm.swaps import SwapBooks

# How much nearer to a liquidation an order may bring a position than its plan foresaw: prices go on, by some percent within half a minute.
MOVED: Final = Decimal("0.06")
# What legs of forty percent of the equity drift apart by themselves, in the minutes of a story.
DRIFT: Final = Decimal("0.08")
# Shares of ways are compared, not worths: with prices that have moved, legs that stand level there are apart by half a slice at most.
NEARLY: Final = 0.05
# In calm weather: completed within its time, else taken back within as long again, and some rounds that are waited for.
APART_MAX_S: Final = 2 * WITHIN_S + 90.0


class SwapOracle(Oracle):
    """All that must hold over one story of swaps.

    `nearest`: the least distance to a liquidation; `groups`: legs that only one strategy trades.
    """

    books: SwapBooks

    def __init__(self, books: SwapBooks, now: Callable[[], datetime], at_work: Callable[[], Iterable[Fault]]) -> None:
        super().__init__(books, now, at_work)
        self.nearest: Decimal | None = None
        self.groups: Sequence[Sequence[str]] = ()
        self.disturbed: set[str] = set()  # symbols that somebody beside the daemon has traded, the venue itself included
        self.by_hand: set[str] = set()  # those that a person has traded, or took out of their groups
        self._equities: deque[Decimal] = deque(maxlen=8)  # by which was planned lately
        self._taken_back: dict[tuple[str, str], Sequence[str]] = {}  # by decision and symbol, its group, which that could not be done with
        self._apart_s: dict[Sequence[str], float] = {}

    def moved_by_hand(self, symbol: str, *, when: bool = True) -> None:
        """A person has traded a symbol, or has said how it is traded."""
        if when:
            self.disturbed.add(symbol)
            self.by_hand.add(symbol)

    # --- orders ------------------------------------------------------------------------------------------------------

    def _in_order(self, daemon: Daemon, order: Order, name: str) -> None:
        super()._in_order(daemon, order, name)
        held, known = self._held(order.symbol), daemon.traders[0].parts.ledger.held(currencies(order.symbol)[0])
        since = [t for t in self.books.trades if t.symbol == order.symbol and t.order_id not in self._sent and t.at > order.at]
        if not order.reduce_only and held * order.side.sign < 0 and known * order.side.sign < 0 and not since:  # it waited for its turn
            self.broken(f"{name} makes a position of {held} smaller, and is not reduce-only")
        if order.reduce_only and order.amount > abs(known):
            self.broken(f"{name} reduces more than the {known} that are known")
        if order.spends_quote and self.nearest is not None and not self.disturbed and not self.books.foreign_hands:
            self._far_enough(order, name)

    def _far_enough(self, order: Order, name: str) -> None:
        """Whether the account is as far from a liquidation as it must be once this order is filled."""
        margin, least = self.books.margin, ZERO
        worths: dict[str, Decimal] = {}
        for symbol, market in self.books.venue.items():
            more = order.side.sign * order.amount if symbol == order.symbol else ZERO
            worths[symbol] = abs(margin.positions[symbol].amount + more) * margin.mark(market)
            least += maintenance(worths[symbol])
        spare = self.books.equity - least
        nearest = min((spare / worth for worth in worths.values() if worth), default=Decimal(9))
        if self.nearest is not None and nearest < self.nearest - MOVED:
            self.broken(f"{name} leaves {nearest:.3f} to a liquidation, of which {self.nearest} must be left")

    # --- legs that belong together ------------------------------------------------------------------------------------

    def filled(self, booked: Booked, trade: Fill) -> None:
        super().filled(booked, trade)
        if not booked.ours:
            self.disturbed.add(trade.symbol)
        for group in self.groups:
            if trade.symbol in group and self.disturbed.isdisjoint(group):
                apart, most = self._apart(group)
                if booked.ours and apart > most:
                    self.broken(f"{group} are {apart:.4f} of the equity apart, of which {most:.4f} is the bound")

    def hear(self, event: e.Event) -> None:
        super().hear(event)
        match event:
            case e.TargetsChosen() | e.PlanMade():
                self._equities.append(self.books.equity)
            case e.GroupJudged(phase="unwinding", symbols=symbols, decision_id=decision):
                self._taken_back |= {(decision, symbol): symbols for symbol in symbols}

    def _before(self, trade: Fill) -> float:
        """Of a group that is taken back, a leg comes to the worth of the other, which could not be left, as near as shares of ways tell."""
        if trade.symbol in self.by_hand:
            return 1.0  # what a person holds there may be kept apart, beside all that was wanted
        group = self._taken_back.get((self._sent[trade.order_id].decision_id, trade.symbol))
        if group is None:
            return 0.0
        others = [self._held(s) * self.books.prices.now(s, self._now()) for s in group if s != trade.symbol]
        if not self.groups:
            return 1.0  # beside another strategy's part of it, a leg is no measure of the other
        return NEARLY + float(max(map(abs, others)) / self.books.equity)

    def _apart(self, group: Sequence[str]) -> tuple[Decimal, Decimal]:
        """How far legs of equal worth are apart, as a share of the equity, and how far they may be."""
        equity = self.books.equity
        if equity <= 0:
            return ZERO, ZERO
        price = self.books.prices.now
        worths = {s: self._held(s) * price(s, self._now()) / equity for s in group}
        smallest = [max(self.books.markets[s].amount_step * price(s, self._now()), Decimal("5.5")) / equity for s in group]
        return abs(sum(worths.values(), ZERO)), Decimal(str(SLICE)) + DRIFT + 3 * max(smallest)

    def look(self, daemon: Daemon | None, seconds: float) -> None:
        """A while has passed: no group stays apart while nothing hinders it."""
        if daemon is None or any(True for _ in self._at_work()):
            return
        manager = daemon.traders[0].parts.manager
        doubt = any(tracked.state is State.UNKNOWN for tracked in manager.table)
        if manager.trading is not Trading.RUNNING or manager.states.holds() or doubt:
            return
        for group in self.groups:
            apart, most = self._apart(group)
            is_apart = apart > most - Decimal(str(SLICE)) and self.by_hand.isdisjoint(group)
            self._apart_s[group] = self._apart_s.get(group, 0.0) + seconds if is_apart else 0.0
            if self._apart_s[group] > APART_MAX_S:
                self.broken(f"{group} have been {apart:.4f} of the equity apart for {self._apart_s[group]:.0f} s in calm weather")

    # --- the end -----------------------------------------------------------------------------------------------------

    def _equity(self, _now: datetime) -> Decimal:
        """The most by which may have been planned: what is owed of several times the equity moves that fast."""
        return max(self.books.equity, *self._equities)

    def _same_money(self, record: Recovered) -> None:
        super()._same_money(record)
        opened_at = next((flow.at for flow in record.flows if flow.kind == "opening"), self._now())
        ours = [(flow.id, flow.amount, flow.symbol) for flow in record.flows if flow.kind in ("funding", "liquidation", "transfer")]
        theirs = [(flow.id, flow.amount, flow.symbol) for flow in self.books.incomes(opened_at, self._now())]
        self.counts["settlements"] += len(ours)
        for one in sorted({*ours, *theirs}):
            if ours.count(one) != theirs.count(one):
                self.broken(f"{one} is {ours.count(one)} times in the journal, and {theirs.count(one)} times at the venue")
