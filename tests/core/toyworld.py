"""ToyWorld: the real core, routed as in daemon/app.py, between a toy venue and toy edges, on a clock that jumps from event to event.

Rule: one seed gives the whole story: what the venue does, what is lost, late, doubled or out of order, when the process dies. After every
event the checks of `check` hold; a broken one raises AssertionError.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from daemon.core import events as e
from daemon.core.account import Account
from daemon.core.bus import Bus
from daemon.core.ledger import Ledger
from daemon.core.model import ZERO, Decision, Fill, Instrument, Order, OrderReport, Side, Status, currencies
from daemon.core.orders import OrderManager, Settings, Trading
from daemon.core.ordertable import OrderTable
from daemon.core.planner import Rules
from daemon.core.reconciler import PositionReconciler
from tests.core.builders import START, decision, market
from tests.core.toyvenue import Booked, ToyVenue

MARGIN = timedelta(minutes=1)
SPACING = timedelta(seconds=2)


@dataclass(slots=True, kw_only=True)
class Weather:
    """How bad the world is: shares of chance in 0..1, times in seconds."""

    trouble: float = 0.3  # submits that do not simply fill
    lost_lookups: float = 0.1
    stream: float = 0.7  # how much the user stream tells
    doubled: float = 0.1
    late_s: float = 0.3  # of answers and stream messages, at most
    lookup_lag_s: float = 0.0
    trades_lag_s: float = 0.0
    balance_lag_s: float = 0.0
    flows: float = 0.0  # a second, deposits and the like
    crashes: float = 0.0  # a second


class ToyWorld:
    """Everything of one seed."""

    def __init__(self, seed: int, weather: Weather, symbols: int = 3) -> None:
        self.rng = Random(seed)
        self.weather = weather
        self.now = START
        self.symbols = tuple(f"{c}/USDT" for c in "ABCDEFGH"[:symbols])
        self.markets = {s: self._market(s) for s in self.symbols}
        self.venue = ToyVenue(self.rng, self.markets, self._opening())
        for symbol in self.symbols:
            self.venue.prices[symbol] = Decimal(self.rng.choice(["0.0123", "1.07", "98.5", "31000"]))
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
        return market(symbol, step=step, base_fee=self.rng.random() < 0.7)

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
        rules = Rules(slippage=Decimal("0.005"))
        self.manager = OrderManager(Settings(instance="toy", quote="USDT", rules=rules), self.account, self.table)
        self.reconciler = PositionReconciler(self.symbols, self.ledger, self.table)
        self.started = False
        conclusions = self._recover()
        self.bus: Bus[e.Event] = Bus(self._routes(), limit=20_000)
        for event in conclusions:
            self.publish(event)
        self._poll_due = True

    def _recover(self) -> list[e.Event]:
        fills = [f.fill for f in self.journal if isinstance(f, e.OrderFilled)]
        for fact in self.journal:
            if isinstance(fact, e.FlowBooked):
                self.ledger.flow(fact.flow)
        for fill in fills:
            self.ledger.book(fill)
        closed = {f.order_id for f in self.journal if isinstance(f, e.OrderClosed)}
        orders = [f for f in self.journal if isinstance(f, Order)]
        conclusions: list[e.Event] = []
        for fill in fills:
            if not self._owner(fill):
                list(self.manager.on_filled(e.OrderFilled(fill, fill.at)))
        for order in orders:
            if order.id not in closed:
                mine: list[e.Event] = [e.OrderFilled(f, f.at) for f in fills if self._owner(f) == order.id]
                mine += [f for f in self.journal if _order_of(f) == order.id]  # type: ignore[misc]
                conclusions += self.manager.replay(order, mine)
        self.manager.doubt(self.now)
        decisions = [f for f in self.journal if isinstance(f, Decision)]
        if decisions:
            newest = decisions[-1]
            attempts: dict[str, int] = {}
            for order in orders:
                if order.decision_id == newest.id:
                    attempts[order.symbol] = max(order.attempt, attempts.get(order.symbol, 0))
            settled = any(isinstance(f, e.WaveSettled) and f.decision.id == newest.id for f in self.journal)
            self.manager.restore(newest, attempts, unfinished=not settled)
        self.reconciler.since(max((f.at for f in fills), default=None))
        return conclusions

    def _owner(self, fill: Fill) -> str:
        if fill.order_id:
            return fill.order_id
        reports = (f.report for f in self.journal if isinstance(f, e.OrderReported))
        return next((r.order_id for r in reports if (r.symbol, r.venue_id) == (fill.symbol, fill.venue_id)), "")

    def crash(self) -> None:
        """The process dies here and starts again a little later; conclusions it had not written yet are gone."""
        if self.rng.random() < 0.5:
            while self.journal and isinstance(self.journal[-1], e.OrderClosed | e.WaveSettled):
                self.journal.pop()
        self.surprises += self.manager.surprises
        self._life += 1
        self.now += timedelta(seconds=self.rng.uniform(0.1, 30))
        self.start()

    def _routes(self) -> list[tuple[type, list[Callable[[e.Event], Iterable[e.Event]]]]]:
        """The table of daemon/app.py, as far as the core goes."""
        manager, account, reconciler, ledger = self.manager, self.account, self.reconciler, self.ledger
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
            (e.PollAccount, [self._poll]),
            (e.OrderSent, [manager.on_sent]),
            (e.OrderFilled, [ledger.on_fill, reconciler.on_fill, manager.on_filled]),
            (e.OrderReported, [manager.on_reported]),
            (e.OrderRefused, [manager.on_refused]),
            (e.OrderNotSent, [manager.on_not_sent]),
            (e.OrderUnknown, [manager.on_unknown]),
            (e.OrderNotFound, [manager.on_not_found]),
            (e.OrderClosed, [self._record]),
            (e.TradesListed, [reconciler.on_listed]),
            (e.AccountPolled, [account.on_polled, reconciler.on_polled]),
            (e.BalanceMoved, [reconciler.on_moved]),
            (e.FlowBooked, [ledger.on_flow]),
            (e.AccountReconciled, [manager.on_reconciled]),
            (e.DriftFound, [account.on_drift_found]),
            (e.DriftCleared, [account.on_drift_cleared]),
            (e.TradingHalted, [manager.on_halt]),
            (e.StopRequested, [manager.on_stop]),
            (e.TradingStarted, []),
        ]
        return [(kind, [self._witness, *handlers]) for kind, handlers in table]

    def _witness(self, event: e.Event) -> Iterable[e.Event]:
        self.told.append(event)
        if isinstance(event, e.TradingStarted):
            self.started = True
        return ()

    # --- time --------------------------------------------------------------------------------------------------------

    def later(self, seconds: float, act: Callable[[], None], *, world: bool = False) -> None:
        """Do something after a while; if the process dies before, only what belongs to the `world` still happens."""
        self._seq += 1
        heapq.heappush(self._queue, (self.now + timedelta(seconds=seconds), self._seq, 0 if world else self._life, act))

    def hear(self, *facts: e.Event) -> None:
        """As the gateway's `learn`: on disk first, then told; a trade that is booked already is not told twice."""
        self.journal.extend(facts)
        for fact in facts:
            if not (isinstance(fact, e.OrderFilled) and self.ledger.has_trade(fact.fill.symbol, fact.fill.trade_id)):
                self.publish(fact)

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
            raw = [self.rng.choice([0.0, self.rng.random()]) for _ in self.symbols]
            total = max(1.0, sum(raw) / self.rng.uniform(0.3, 1.0))
            weights = {s: w / total for s, w in zip(self.symbols, raw, strict=True)}
        self._decisions += 1
        wanted = decision(weights, f"d{self._decisions}", self.now)
        self.publish(e.TargetsChosen(wanted, self.now))
        return wanted

    # --- requests ----------------------------------------------------------------------------------------------------

    def _record(self, event: e.Event) -> Iterable[e.Event]:
        if isinstance(event, e.WaveSettled):
            self.waves.append(event)
            self.journal.append(event.decision)
        self.journal.append(event)
        return ()

    def _submit(self, event: e.SubmitOrders) -> Iterable[e.Event]:
        assert event.orders, "a request without orders"
        self.journal.append(event.decision)
        self.journal.extend(event.orders)
        if not self.account.drift and not self.foreign_hands:
            assert self.account.cash_free() >= 0, f"reserved beyond the cash: {self.account.cash_free()}"
        for order in event.orders:
            self.later(self.rng.uniform(0, self.weather.late_s), lambda o=order: self._send(o))  # type: ignore[misc]
        return ()

    def _send(self, order: Order) -> None:
        if not self.manager.may_send(order.id):
            self.hear(e.OrderNotSent(order.id, "trading has ended", self.now))
            return
        assert self.started, f"{order.id} was sent before account and ledger agreed"
        assert self.manager.trading is Trading.RUNNING, f"{order.id} was sent while {self.manager.trading}"
        self.publish(e.OrderSent(order.id, self.now))
        if self.rng.random() >= self.weather.trouble:
            self._accept(order, 1.0, heard=True)
            return
        self.rng.choice(
            [
                self._partly,
                self._slowly,
                self._stuck,
                self._refuse,
                self._refuse,
                self._not_sent,
                self._unknown_filled,
                self._unknown_late,
                self._unknown_absent,
            ]
        )(order)

    def _accept(self, order: Order, share: float, *, heard: bool, end: Status | None = None) -> Booked | None:
        booked = self.venue.arrive(order, self.now)
        if booked is None:
            assert self.foreign_hands, f"{order.id}: the venue has no money for it"
            if heard:
                self._answer(e.OrderRefused(order.id, "insufficient_funds", "no money", self.now))
            return None
        self._fill(booked, share)
        if end is not None:
            self.venue.end(booked, end)
        if heard:
            report = booked.report(self.now, with_fills=self.rng.random() < 0.7)
            self.later(self.rng.uniform(0, self.weather.late_s), lambda: self._tell(report, "submit", report.fills))
        self._stream(booked)
        return booked

    def _fill(self, booked: Booked, share: float) -> None:
        for part in [share] if self.rng.random() < 0.7 else [share / 2, share]:
            trade = self.venue.fill(booked, part, self.now)
            if trade is not None:
                self._no_second_purchase(booked.order)
                self._message(lambda t=trade: self.hear(e.OrderFilled(t, self.now)))  # type: ignore[misc]

    def _no_second_purchase(self, order: Order) -> None:
        """What a decision buys never ends above what it, or the newest one, wanted."""
        if order.side is Side.SELL or self.foreign_hands:
            return
        base = currencies(order.symbol)[0]
        made = [f for f in self.journal if isinstance(f, Decision) and f.id == order.decision_id]
        wanted = max(d.weights.get(order.symbol, 0.0) for d in [*made, self.manager.decision or made[0]])
        price = self.venue.prices[order.symbol]
        worth = self.venue.balances[base] * price
        most = Decimal(str(wanted)) * self.equity() * Decimal("1.03") + self.markets[order.symbol].amount_step * price
        assert worth <= most, f"{order.id} bought {order.symbol} up to {worth}, wanted {most}"

    def equity(self) -> Decimal:
        """What the venue's books are worth."""
        held = self.venue.balances
        return held["USDT"] + sum((held.get(currencies(s)[0], ZERO) * self.venue.prices[s] for s in self.symbols), ZERO)

    def _partly(self, order: Order) -> None:
        self._accept(order, self.rng.choice([0.0, 0.4]), heard=True, end=self.rng.choice([Status.EXPIRED, Status.CANCELED]))

    def _slowly(self, order: Order) -> None:
        booked = self._accept(order, 0.3, heard=True)
        if booked is not None:
            self.later(self.rng.uniform(0.1, 8), lambda: self._go_on(booked), world=True)

    def _go_on(self, booked: Booked) -> None:
        self._fill(booked, 1.0)
        self._stream(booked)

    def _stuck(self, order: Order) -> None:
        """Open until somebody cancels it, and the answer may be lost."""
        if self.rng.random() < 0.5:
            self._accept(order, self.rng.choice([0.0, 0.5]), heard=True)
        elif self._accept(order, self.rng.choice([0.0, 0.5]), heard=False) is None or self.rng.random() < 0.7:
            self._lost(order)
        else:
            self._answer(e.OrderUnknown(order.id, "unreadable answer", self.now))

    def _refuse(self, order: Order) -> None:
        code = self.rng.choice(["insufficient_funds", "rate_limited", "venue_filter", "market_closed"])
        self._answer(e.OrderRefused(order.id, code, "no", self.now))

    def _not_sent(self, order: Order) -> None:
        self._answer(e.OrderNotSent(order.id, "refused connection", self.now))

    def _unknown_filled(self, order: Order) -> None:
        self._accept(order, self.rng.choice([1.0, 1.0, 0.5]), heard=False)
        self._lost(order)

    def _unknown_late(self, order: Order) -> None:
        self.later(self.rng.uniform(0.5, 5), lambda: self._arrive_late(order), world=True)
        self._lost(order)

    def _arrive_late(self, order: Order) -> None:
        self._accept(order, 1.0, heard=False)

    def _unknown_absent(self, order: Order) -> None:
        self._lost(order)

    def _lost(self, order: Order) -> None:
        self.later(self.rng.uniform(0.1, 10), lambda: self.hear(e.OrderUnknown(order.id, "time-out", self.now)))

    def _answer(self, fact: e.Event) -> None:
        self.later(self.rng.uniform(0, self.weather.late_s), lambda: self.hear(fact))

    def _stream(self, booked: Booked) -> None:
        report = booked.report(self.now, with_fills=False)
        self._message(lambda: self.hear(e.OrderReported(report, "stream", self.now)))

    def _message(self, act: Callable[[], None]) -> None:
        """The user stream: late, doubled, out of order, or silent."""
        if self.rng.random() < self.weather.stream:
            for _ in range(2 if self.rng.random() < self.weather.doubled else 1):
                self.later(self.rng.uniform(0, 3 * self.weather.late_s), act)

    def _tell(self, report: OrderReport, how: str, fills: Iterable[Fill]) -> None:
        self.hear(*(e.OrderFilled(f, self.now) for f in fills), e.OrderReported(report, how, self.now))

    def _cancel(self, event: e.CancelOrder) -> Iterable[e.Event]:
        self.later(self.rng.uniform(0, self.weather.late_s), lambda: self._cancel_now(event))
        return ()

    def _cancel_now(self, event: e.CancelOrder) -> None:
        booked = self.venue.orders.get(event.order_id)
        if booked is not None and self.rng.random() >= self.weather.lost_lookups:
            if self.rng.random() < 0.3:
                self._fill(booked, self.rng.choice([0.5, 1.0]))
            self.venue.end(booked, Status.CANCELED)
            self._stream(booked)
        self._look_up(e.QueryOrder(event.order_id, event.symbol, event.at, self.now))

    def _look_up(self, event: e.QueryOrder) -> Iterable[e.Event]:
        asked_at = self.now
        if self.rng.random() < self.weather.lost_lookups:
            return ()
        booked = self.venue.orders.get(event.order_id)
        visible = booked is not None and booked.at + timedelta(seconds=self.weather.lookup_lag_s) <= asked_at
        trades = self._trades(event.symbol, event.since - MARGIN)
        wait = self.rng.uniform(0, self.weather.late_s)
        if booked is None or not visible:
            self.later(wait, lambda: self.hear(e.OrderNotFound(event.order_id, asked_at, self.now)))
            return ()
        report = booked.report(asked_at, with_fills=False)
        mine = [t for t in trades if t.venue_id == report.venue_id]
        self.later(wait, lambda: self._tell(report, "query", mine))
        return ()

    def _trades(self, symbol: str, since: datetime) -> list[Fill]:
        return self.venue.trades_of(symbol, since, timedelta(seconds=self.weather.trades_lag_s), self.now)

    def _list(self, event: e.QueryTrades) -> Iterable[e.Event]:
        if self.rng.random() < self.weather.lost_lookups:
            return ()
        trades = [t for s in event.symbols for t in self._trades(s, event.since - MARGIN)]

        def tell() -> None:
            self.hear(*(e.OrderFilled(t, self.now) for t in trades if not self.ledger.has_trade(t.symbol, t.trade_id)))
            self.publish(e.TradesListed(event.symbols, event.since, self.now))

        self.later(self.rng.uniform(0, self.weather.late_s), tell)
        return ()

    def _book(self, event: e.BookFlows) -> Iterable[e.Event]:
        self.later(self.rng.uniform(0, self.weather.late_s), lambda: self.hear(*(e.FlowBooked(f, self.now) for f in event.flows)))
        return ()

    def _poll(self, _: e.PollAccount) -> Iterable[e.Event]:
        self._poll_due = True
        return ()

    def _maybe_poll(self) -> None:
        waited = self.now - self._polled_at
        if waited < SPACING or not (self._poll_due or waited >= timedelta(seconds=30)):
            return
        self._poll_due, self._polled_at = False, self.now
        if self.rng.random() < self.weather.lost_lookups:
            self.publish(e.PollFailed("no answer", self.now))
            self._poll_due = True
            return
        lag = self.weather.balance_lag_s
        lags = {c: timedelta(seconds=self.rng.choice([0.0, lag])) for c in self.venue.balances} if lag else {}
        wait = self.rng.uniform(0, self.weather.late_s)
        snapshot = self.venue.snapshot(lags, self.now, self.now + timedelta(seconds=wait))
        self.later(wait, lambda: self.publish(e.AccountPolled(snapshot, self.now)))

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


def _order_of(fact: object) -> str:
    match fact:
        case e.OrderReported():
            return fact.report.order_id
        case e.OrderSent() | e.OrderRefused() | e.OrderNotSent() | e.OrderUnknown() | e.OrderNotFound():
            return fact.order_id
        case _:
            return ""
