"""ToyWorld: the real core, routed as in daemon/app.py, between a toy venue and toy edges, on a clock that jumps from event to event.

Rule: one seed gives the whole story: what the venue does, what is lost, late, doubled or out of order, when the process dies. After every
event the checks of `check` hold; a broken one raises AssertionError.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from daemon.core import events as e
from daemon.core.account import Account
from daemon.core.bus import Bus
from daemon.core.curves import Curves
from daemon.core.ledger import Ledger
from daemon.core.model import ZERO, Booking, Decision, Fill, Instrument, Order, Side, TargetWeights, currencies
from daemon.core.orders import OrderManager
from daemon.core.ordertable import OrderTable
from daemon.core.planner_inputs import Rules
from daemon.core.portfolio import Portfolio
from daemon.core.reconciler import PositionReconciler
from daemon.core.sleeves import Sleeves
from daemon.core.states import States
from daemon.core.styles import MakerTerms, Parent, Terms
from daemon.core.trading import Settings, Trading
from tests.core.builders import START, decision, market
from tests.core.parentage import Parentage
from tests.core.toyvenue import ToyVenue
from tests.core.toywire import SPACING, ToyWire, Weather

OrderFact = e.OrderSent | e.OrderReported | e.OrderRefused | e.OrderNotSent | e.OrderUnknown | e.OrderNotFound


class ToyWorld(ToyWire):
    """Everything of one seed."""

    def __init__(self, seed: int, weather: Weather, symbols: int = 3, strategies: tuple[str, ...] = (), terms: Terms | None = None) -> None:
        self.rng = Random(seed)
        self.weather = weather
        self.now = START
        self.strategies = strategies
        self.terms = terms
        self.symbols = tuple(f"{c}/USDT" for c in "ABCDEFGH"[:symbols])
        self.markets = {s: self._market(s) for s in self.symbols}
        self.venue = ToyVenue(self.rng, self.markets, self._opening())
        for symbol in self.symbols:
            self.venue.prices[symbol] = Decimal(self.rng.choice(["0.0123", "1.07", "98.5", "31000"]))
        self.parentage = Parentage(self.venue)
        self.journal: list[object] = []
        self.waves: list[e.WaveSettled] = []
        self.told: list[e.Event] = []
        self.surprises: list[str] = []
        self.ticking = True
        self.foreign_hands = False  # somebody else has moved money: the venue may then refuse for lack of it
        self._queue: list[tuple[datetime, int, int, Callable[[], None]]] = []
        self._seq = 0
        self._life = 0  # which process; messages to a dead one are lost
        self._polled_at = START - SPACING
        self._poll_due = False
        self._decisions = 0
        self.start()

    def _market(self, symbol: str) -> Instrument:
        step = self.rng.choice(["0.00001", "0.001", "0.1"])
        return replace(market(symbol, step=step, base_fee=self.rng.random() < 0.7), price_tick=Decimal("1e-8"))

    def _opening(self) -> dict[str, Decimal]:
        balances = {"USDT": Decimal(self.rng.choice([300, 10_000, 1_000_000]))}
        for symbol in self.symbols:
            if self.rng.random() < 0.3:
                balances[currencies(symbol)[0]] = Decimal(self.rng.randint(1, 10**6)) / 10**4
        return balances

    # --- the process -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Build the core and fold the journal into it, as daemon/app.py does."""
        self._life += 1
        self.ledger, self.table = Ledger(), OrderTable()
        self.account = Account("USDT", self.ledger, self.table, timedelta(seconds=15))
        self.account.markets = self.markets
        rules = Rules(slippage=Decimal("0.005"), raise_max=Decimal(1))  # what is wanted bounds what is bought
        self.portfolio, states = Portfolio(self.strategies, self.ledger, self.table), States()
        sleeves = Sleeves(self.portfolio, self.account, self.table, states)
        self.curves = Curves(self.account, self.ledger, self.portfolio)
        cap = Decimal("0.005") if isinstance(self.terms, MakerTerms) else None
        settings = Settings(instance="toy", quote="USDT", rules=rules, terms=self.terms, price_cap=cap)
        self.manager = OrderManager(settings, self.account, self.table, states, sleeves)
        self.reconciler = PositionReconciler(self.symbols, self.ledger, self.table)
        self.started = False
        conclusions = self._recover()
        self.bus: Bus[e.Event] = Bus(self._routes(), limit=20_000)
        for event in conclusions:
            self.publish(event)
        self._poll_due = True

    def _recover(self) -> list[e.Event]:
        """What the journal tells the core, in the order of daemon/app.py."""
        self.fold(self.portfolio)
        flows = {f.flow.id: f.flow for f in self.journal if isinstance(f, e.FlowBooked)}
        kept = [f.text for f in self.journal if isinstance(f, e.KeepState)]
        self.curves.restore(kept[-1] if kept else None, list(flows.values()), self._bookings())
        fills = [f.fill for f in self.journal if isinstance(f, e.OrderFilled)]
        conclusions = self._recover_orders(fills)
        self.manager.follower.doubt(self.now)
        self._recover_decision()
        self.reconciler.since(max((f.at for f in fills), default=None))
        return conclusions

    def _bookings(self) -> list[Booking]:
        return [f.booking for f in self.journal if isinstance(f, e.SleevesBooked)]

    def fold(self, portfolio: Portfolio) -> None:
        """The journal into a portfolio, as a start does it."""
        orders = {f.id: f.split for f in self.journal if isinstance(f, Order)}
        fills = [f.fill for f in self.journal if isinstance(f, e.OrderFilled)]
        named = [(f.symbol, f.venue_id, f.order_id) for f in fills]
        named += [(f.report.symbol, f.report.venue_id, f.report.order_id) for f in self.journal if isinstance(f, e.OrderReported)]
        order_ids = {(symbol, venue_id): order_id for symbol, venue_id, order_id in named if venue_id and order_id}
        flows = [f.flow for f in self.journal if isinstance(f, e.FlowBooked)]
        portfolio.restore(flows, fills, self._bookings(), orders, order_ids)

    def _recover_orders(self, fills: list[Fill]) -> list[e.Event]:
        of: dict[str, list[e.Event]] = {}
        for fill in fills:
            of.setdefault(self._owner(fill), []).append(e.OrderFilled(fill, fill.at))
        for stray in of.pop("", []):
            assert isinstance(stray, e.OrderFilled)
            self.manager.follower.learn(stray)
        closed = {f.order_id for f in self.journal if isinstance(f, e.OrderClosed)}
        conclusions: list[e.Event] = []
        for order in (f for f in self.journal if isinstance(f, Order) and f.id not in closed):
            facts = [f for f in self.journal if isinstance(f, OrderFact) and _order_of(f) == order.id]
            conclusions += self.manager.follower.replay(order, [*of.get(order.id, []), *facts])
        return conclusions

    def _recover_decision(self) -> None:
        decisions = [f for f in self.journal if isinstance(f, Decision)]
        if not decisions:
            return
        newest = decisions[-1]
        attempts: dict[str, int] = {}
        for order in (f for f in self.journal if isinstance(f, Order) and f.decision_id == newest.id):
            attempts[order.symbol] = max(order.attempt, attempts.get(order.symbol, 0))
        settled = any(isinstance(f, e.WaveSettled) and f.decision.id == newest.id for f in self.journal)
        self.manager.restore(newest, attempts, unfinished=not settled)
        parents, orders = [f for f in self.journal if isinstance(f, Parent)], [f for f in self.journal if isinstance(f, Order)]
        self.manager.bench.restore(newest, parents, orders)

    def _owner(self, fill: Fill) -> str:
        if fill.order_id:
            return fill.order_id
        reports = (f.report for f in self.journal if isinstance(f, e.OrderReported))
        return next((r.order_id for r in reports if (r.symbol, r.venue_id) == (fill.symbol, fill.venue_id)), "")

    def crash(self) -> None:
        """The process dies here and starts again a little later; conclusions it had not written yet are gone."""
        if self.rng.random() < 0.5:
            while self.journal and isinstance(self.journal[-1], e.OrderClosed | e.WaveSettled | e.SleevesBooked):
                self.journal.pop()
        self.surprises += self.manager.follower.surprises
        self._life += 1
        self.now += timedelta(seconds=self.rng.uniform(0.1, 30))
        self.start()

    def _routes(self) -> list[tuple[type, list[Callable[[e.Event], Iterable[e.Event]]]]]:
        """The table of daemon/app.py, as far as the core goes."""
        manager, account, reconciler, portfolio, curves = self.manager, self.account, self.reconciler, self.portfolio, self.curves
        table: list[tuple[type, list[Callable[..., Iterable[e.Event]]]]] = [
            (e.PriceTicked, [account.on_tick]),
            (e.TimePassed, [manager.on_time, reconciler.on_time]),
            (e.TargetsChosen, [manager.on_targets]),
            (e.PlanWave, [manager.on_plan]),
            (e.PlanMade, []),
            (e.WaveSettled, [self._record]),
            (e.SubmitOrders, [self._submit]),
            (e.CancelOrder, [self._cancel]),
            (e.QueryOrder, [self._look_up]),
            (e.QueryTrades, [self._list]),
            (e.BookFlows, [self._book]),
            (e.BookSleeves, [self._book_sleeves]),
            (e.PollAccount, [self._poll]),
            (e.RecallOrder, [self._recall]),
            (e.OrderRecalled, [reconciler.on_recalled]),
            (e.OrderSent, [manager.on_order]),
            (e.OrderFilled, [portfolio.on_fill, reconciler.on_fill, manager.on_order]),
            (e.OrderReported, [portfolio.on_reported, manager.on_order]),
            (e.OrderRefused, [manager.on_order]),
            (e.OrderNotSent, [manager.on_order]),
            (e.OrderUnknown, [manager.on_order]),
            (e.OrderNotFound, [manager.on_order]),
            (e.OrderClosed, [self._record]),
            (e.TradesListed, [reconciler.on_listed]),
            (e.AccountPolled, [account.on_polled, reconciler.on_polled]),
            (e.BalanceMoved, [reconciler.on_moved]),
            (e.FlowBooked, [portfolio.on_flow, curves.on_flow, reconciler.on_flow]),
            (e.SleevesBooked, [portfolio.on_booked, curves.on_booked]),
            (e.AccountReconciled, [manager.on_reconciled]),
            (e.DriftFound, [account.on_drift_found]),
            (e.DriftCleared, [account.on_drift_cleared]),
            (e.HoldPlaced, [manager.on_hold]),
            (e.StopRequested, [manager.on_stop]),
            (e.TradingStarted, []),
            (e.ReadTouch, [self._read_touch]),
            (e.TouchRead, [manager.on_touch]),
            (e.ParentBegun, [self._begun]),
            (e.ParentEnded, []),
        ]
        return [(kind, [self._witness, *handlers]) for kind, handlers in table]

    def _begun(self, event: e.ParentBegun) -> Iterable[e.Event]:
        self.parentage.begun(event.parent)
        return ()

    def _witness(self, event: e.Event) -> Iterable[e.Event]:
        self.told.append(event)
        if isinstance(event, e.TradingStarted):
            self.started = True
        return ()

    # --- time --------------------------------------------------------------------------------------------------------

    def publish(self, event: e.Event) -> None:
        """Onto the bus, and look whether all is well."""
        self.bus.publish(event)
        self.check()

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + timedelta(seconds=seconds)
        step = timedelta(seconds=0.5)
        while self.now < end:
            self._run_until(self.now + step)
            self._chance()
            if self.ticking:
                self._tick()
            self.publish(e.TimePassed(self.now))
            self._maybe_poll()

    def _run_until(self, moment: datetime) -> None:
        while self._queue and self._queue[0][0] <= moment:
            at, _, life, act = heapq.heappop(self._queue)
            self.now = max(at, self.now)
            if life in (0, self._life):
                act()
        self.now = max(moment, self.now)

    def _chance(self) -> None:
        if self.rng.random() < self.weather.crashes / 2:
            self.crash()
        if self.rng.random() < self.weather.flows / 2:
            self._somebody_else()

    def _tick(self) -> None:
        for symbol in self.symbols:
            if self.rng.random() < 0.3:
                self.venue.prices[symbol] = (self.venue.prices[symbol] * (10_000 + self.rng.randint(-3, 3)) / 10_000).quantize(
                    Decimal("1e-8")
                )
            self.bus.publish(e.PriceTicked(symbol, float(self.venue.prices[symbol]), self.now))

    def decide(self, weights: dict[str, float] | None = None) -> Decision:
        """The strategies want something else."""
        if weights is None:
            if self.strategies:
                return self._decide_by_strategy()
            raw = [self.rng.choice([0.0, self.rng.random()]) for _ in self.symbols]
            total = max(1.0, sum(raw) / self.rng.uniform(0.3, 1.0))
            weights = {s: w / total for s, w in zip(self.symbols, raw, strict=True)}
        self._decisions += 1
        wanted = decision(weights, f"d{self._decisions}", self.now)
        self.publish(e.TargetsChosen(wanted, self.now))
        return wanted

    def _decide_by_strategy(self) -> Decision:
        """Each strategy wants something of its own; now and then one has nothing to say."""
        share = {name: self.rng.choice([0.1, 0.2, 0.3]) for name in self.strategies if self.rng.random() < 0.9}
        wanted = {name: TargetWeights(self._wish()) for name in share}
        net = {s: sum(share[n] * targets.weights.get(s, 0.0) for n, targets in wanted.items()) for s in self.symbols}
        self._decisions += 1
        keep = frozenset(s for s in self.symbols if self.rng.random() < 0.05)
        decided = Decision(f"d{self._decisions}", self.now, net, keep, wanted, self.now, shares=share)
        self.publish(e.TargetsChosen(decided, self.now))
        return decided

    def _wish(self) -> dict[str, float]:
        raw = [self.rng.choice([0.0, self.rng.random()]) for _ in self.symbols]
        whole = max(1.0, sum(raw))
        return {s: weight / whole for s, weight in zip(self.symbols, raw, strict=True)}

    # --- somebody else -----------------------------------------------------------------------------------------------

    def _somebody_else(self) -> None:
        self.foreign_hands = True
        kind = self.rng.choice(["deposit", "withdrawal", "base", "trade"])
        if kind == "trade":
            self.venue.trade_by_hand(self.rng.choice(self.symbols), self.rng.choice(list(Side)), self.now)
            return
        currency = currencies(self.rng.choice(self.symbols))[0] if kind == "base" else "USDT"
        share = Decimal(str(round(self.rng.uniform(0.01, 0.2), 3))) * (-1 if kind == "withdrawal" else 1)
        amount = self.venue.transfer(currency, (self.venue.balances.get(currency, ZERO) * share).quantize(Decimal("1e-8")), self.now)
        if amount and self.rng.random() < 0.5:
            self._seq += 1
            moved = f"m{self._seq}"
            self._message(lambda: self.publish(e.BalanceMoved(currency, amount, moved, self.now)))

    # --- what must hold ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What holds at every moment; the venue itself refuses ids that it has seen, and orders that break its rules."""
        for tracked in self.table:
            assert tracked.filled >= 0
            assert tracked.reserved >= 0
            assert tracked.filled <= tracked.order.amount

    def calm(self) -> None:
        """From here on nothing goes wrong any more."""
        self.weather = Weather(trouble=0.0, lost_lookups=0.0, stream=1.0, doubled=0.0)

    def agreed(self) -> bool:
        """Whether the ledger holds what the venue's books say, to the last digit."""
        managed = {c for s in self.symbols for c in currencies(s)}
        return all(self.ledger.held(c) == self.venue.balances.get(c, ZERO) for c in managed)

    def settled(self) -> bool:
        """Whether nothing is under way and nothing waits."""
        idle = self.manager.wave is None and self.manager._pending is None and not len(self.table)
        return idle and self.manager.trading is Trading.RUNNING and not self.account.drift and self.agreed()


def _order_of(fact: OrderFact) -> str:
    return fact.report.order_id if isinstance(fact, e.OrderReported) else fact.order_id
