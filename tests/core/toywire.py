"""ToyWire: what lies between the core and the toy venue: requests carried out, answers late, lost, doubled or out of order.

Rule: it behaves as daemon/io/gateway.py promises: the intent is in the journal before the request leaves, a fact before it is told.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from daemon.core import events as e
from daemon.core.account import Account
from daemon.core.ledger import Ledger
from daemon.core.model import ZERO, Decision, Fill, Instrument, Order, OrderReport, Side, Status, currencies
from daemon.core.orders import OrderManager
from daemon.core.trading import Trading
from tests.core.parentage import Parentage
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


class ToyWire:
    """The edges of a toy world, which is a `ToyWorld` and has the rest."""

    rng: Random
    weather: Weather
    now: datetime
    symbols: tuple[str, ...]
    markets: dict[str, Instrument]
    venue: ToyVenue
    journal: list[object]
    waves: list[e.WaveSettled]
    ledger: Ledger
    account: Account
    manager: OrderManager
    started: bool
    foreign_hands: bool
    parentage: Parentage
    _queue: list[tuple[datetime, int, int, Callable[[], None]]]
    _seq: int
    _life: int
    _poll_due: bool
    _polled_at: datetime

    def publish(self, event: e.Event) -> None:
        """Onto the bus."""
        raise AssertionError(event)

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
        self.journal.extend(event.parents)
        self.journal.extend(event.orders)
        if not self.account.drift and not self.foreign_hands:
            assert all(free >= 0 for free in self.account.cash_free().values()), f"reserved beyond the cash: {self.account.cash_free()}"
        for order in event.orders:
            self.later(self.rng.uniform(0, self.weather.late_s), lambda o=order: self._send(o))  # type: ignore[misc]
        return ()

    def _send(self, order: Order) -> None:
        if not self.manager.may_send(order.id):
            self.hear(e.OrderNotSent(order.id, "trading has ended", self.now))
            return
        assert self.started, f"{order.id} was sent before account and ledger agreed"
        assert self.manager.trading is Trading.RUNNING, f"{order.id} was sent while {self.manager.trading}"
        wrong = self.parentage.leaves(order)
        assert not wrong, f"{order.id} {wrong}"
        self.publish(e.OrderSent(order.id, self.now))
        if self.venue.would_cross(order):
            self._answer(e.OrderRefused(order.id, "would_cross", "it would trade at once", self.now))
            return
        if self.rng.random() >= self.weather.trouble:
            booked = self._accept(order, 0.0 if order.post_only else 1.0, heard=True)
            if order.post_only and booked is not None:
                self.later(self.rng.uniform(0.5, 30), lambda: self._go_on(booked, self.rng.choice([0.4, 1.0])), world=True)
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

    def _go_on(self, booked: Booked, share: float = 1.0) -> None:
        self._fill(booked, share)
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

    def _book_sleeves(self, event: e.BookSleeves) -> Iterable[e.Event]:
        """On disk and told before the orders that rely on it are sent, since commits keep their order."""
        booked = e.SleevesBooked(event.booking, event.at)
        self.journal.append(booked)
        self.later(0, lambda: self.publish(booked))
        return ()

    def _read_touch(self, event: e.ReadTouch) -> Iterable[e.Event]:
        if self.rng.random() >= self.weather.lost_lookups:
            read = tuple(self.venue.touch(symbol, self.now) for symbol in event.symbols)
            self.later(self.rng.uniform(0, self.weather.late_s), lambda: self.publish(e.TouchRead(read, self.now)))
        return ()

    def _recall(self, event: e.RecallOrder) -> Iterable[e.Event]:
        yield e.OrderRecalled(event.fill.order_id, True, event.at, event.at)

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
