"""OrderManager: from target weights to settled orders, one wave at a time.

Rule: a wave plans from what is projected (held plus what orders may still do), sends sells at once and each buy when its money is there,
and ends when every order has come to a known end or is known to be unknown. A newer decision supersedes what has not been sent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from daemon.core import planner, risk
from daemon.core.account import Account
from daemon.core.events import (
    AccountReconciled,
    CancelOrder,
    Event,
    OrderClosed,
    OrderFilled,
    OrderNotFound,
    OrderNotSent,
    OrderRefused,
    OrderReported,
    OrderSent,
    OrderUnknown,
    PlanMade,
    PlanWave,
    PollAccount,
    RiskLimited,
    SliceClosed,
    StopRequested,
    SubmitOrders,
    TargetsChosen,
    TimePassed,
    TradingHalted,
    TradingStarted,
    WaveSettled,
)
from daemon.core.model import ZERO, Decision, Order, Side
from daemon.core.ordertable import OrderTable, Saw, State, Tracked, client_id
from daemon.core.planner import Leg, Reason
from daemon.core.resolver import Patience, Resolver


class Trading(StrEnum):
    """Whether orders may be sent."""

    STARTING = "starting"
    RUNNING = "running"
    HALTED = "halted"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Plain values of the configuration that orders depend on.

    `fresh`: a price older than this moves no money. `rounds`: how often a wave plans again after an order ended short. `retry`: the wait
    before it does so when the venue could not be reached or was busy. `held_up`: an order that has not settled for this long no longer
    holds its wave (it stays tracked and reserved). `working`: an open order older than this is cancelled.
    """

    instance: str
    quote: str
    limits: risk.Limits = field(default_factory=risk.Limits)
    rules: planner.Rules = field(default_factory=planner.Rules)
    patience: Patience = field(default_factory=Patience)
    fresh: timedelta = timedelta(seconds=15)
    rounds: int = 3
    retry: timedelta = timedelta(seconds=5)
    held_up: timedelta = timedelta(seconds=60)
    working: timedelta = timedelta(seconds=60)


# Refusals that may end differently when asked again a little later, with fresh balances; all others stand for the wave.
RETRYABLE = frozenset({"insufficient_funds", "rate_limited", "clock_skew", "maintenance", Reason.NOT_SENT.value})


@dataclass(slots=True)
class Wave:
    """A decision being worked off."""

    decision: Decision
    weights: dict[str, float]
    book: planner.Book
    round: int = 0
    waiting: tuple[Leg, ...] = ()
    orders: list[Tracked] = field(default_factory=list)
    current: list[Tracked] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    retry_at: datetime | None = None


class OrderManager:
    """Plans, sends and follows orders. Holds no clock: every handler takes its time from the event."""

    def __init__(self, settings: Settings, account: Account, table: OrderTable) -> None:
        self._settings = settings
        self._account = account
        self.table = table
        self.resolver = Resolver(table, settings.patience)
        self.trading = Trading.STARTING
        self.reason = "the account has not been read yet"
        self.wave: Wave | None = None
        self.last_wave: WaveSettled | None = None
        self.decision: Decision | None = None
        self.surprises: list[str] = []
        self._pending: Decision | None = None
        self._attempts: dict[tuple[str, str, Side], int] = {}

    # --- start -------------------------------------------------------------------------------------------------------

    def restore(self, decision: Decision, attempts: Mapping[str, int], *, unfinished: bool) -> None:
        """Go on after a stop: `decision` is the newest in the journal, worked on again if its wave had not settled.

        `attempts` holds the highest attempt that it has used by symbol, so that no id is used twice.
        """
        self.decision = decision
        self._pending = decision if unfinished else None
        self._attempts = {(decision.id, symbol, side): n for symbol, n in attempts.items() for side in Side}

    def replay(self, order: Order, facts: Iterable[Event]) -> list[Event]:
        """Take up an order that the journal does not know to have ended, with its trades and what was learnt of it, in order.

        Returns what follows: its end, if that was known but not written.
        """
        self.table.add(order).learn(Saw.SENDING)  # not journalled by itself: what is written counts as sent
        return [event for fact in facts for event in self._relearn(fact)]

    def _relearn(self, fact: Event) -> Iterable[Event]:
        match fact:
            case OrderReported():
                return self.on_reported(fact)
            case OrderFilled():
                return self.on_filled(fact)
            case OrderRefused():
                return [e for e in self.on_refused(fact) if isinstance(e, OrderClosed)]
            case OrderNotSent():
                return self.on_not_sent(fact)
            case OrderUnknown():
                return self.on_unknown(fact)
            case _:
                return ()  # look-ups that found nothing are counted anew, since the account must agree after them

    def doubt(self, at: datetime) -> None:
        """A process that has died leaves its orders unknown: what was written may have been sent."""
        for tracked in self.table:
            if tracked.state in (State.NEW, State.SENT):
                tracked.learn(Saw.AMBIGUITY)
            if tracked.state is State.UNKNOWN:
                tracked.doubted_at, tracked.absences = at, []

    # --- trading state -----------------------------------------------------------------------------------------------

    def on_reconciled(self, event: AccountReconciled) -> Iterable[Event]:
        """The first agreement of account and ledger opens trading."""
        self.resolver.on_reconciled(event)
        if self.trading is Trading.STARTING and not event.differences and not self._unasked():
            self.trading, self.reason = Trading.RUNNING, ""
            yield TradingStarted(event.at)

    def on_halt(self, event: TradingHalted) -> Iterable[Event]:
        """Send nothing more until a person says so."""
        self.trading, self.reason = Trading.HALTED, event.reason
        self._drop_waiting(Reason.HALTED)
        return self._advance(event.at)

    def on_stop(self, event: StopRequested) -> Iterable[Event]:
        """No new plans; what is open is cancelled, and the wave stays in the journal for the next start."""
        self.trading, self.reason = Trading.STOPPING, "stopping"
        if self.wave is not None:
            self.wave.waiting = ()
        for tracked in self.table:
            if tracked.state in (State.ACKED, State.PARTIAL):
                yield from self._cancel(tracked, event.at)

    @property
    def idle(self) -> bool:
        """Whether no order is on its way or open; orders that are unknown are not waited for, the journal carries them."""
        return not any(self._busy(t) for t in self.table)

    # --- decisions ---------------------------------------------------------------------------------------------------

    def on_targets(self, event: TargetsChosen) -> Iterable[Event]:
        """A newer decision replaces an older one that is not being worked on, and ends the waiting of one that is."""
        self.decision = self._pending = event.decision
        yield PlanWave(event.at)

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """A decision that waited for prices may have them now; those of a slice that was filled in late move no money."""
        if self._pending is not None and event.at - event.slice.closes_at <= self._settings.fresh:
            yield PlanWave(event.at)

    def on_plan(self, event: PlanWave) -> Iterable[Event]:
        """Begin the newest decision's wave, unless one is under way or prices are stale."""
        if self.wave is not None and self._pending is not None and self.wave.waiting:
            self._drop_waiting(Reason.SUPERSEDED)
            yield from self._advance(event.at)
        if self.trading is not Trading.RUNNING or self.wave is not None or self._pending is None:
            return
        if not self._account.fresh_prices(event.at):
            return
        decision, self._pending = self._pending, None
        weights, cuts = risk.apply(decision.weights, self._settings.limits, frozenset(self._account.markets))
        for cut in cuts:
            yield RiskLimited(decision.id, cut.symbol, cut.wanted, cut.allowed, cut.reason.value, event.at)
        self.wave = Wave(decision, weights, self._account.book(weights, {}, event.at))
        yield from self._plan_round(self.wave, event.at)

    def _plan_round(self, wave: Wave, at: datetime) -> Iterable[Event]:
        wave.round += 1
        wave.retry_at = None
        wave.current = []
        made = planner.plan(wave.weights, wave.decision.keep, wave.book, self._account.markets, self._settings.rules)
        wave.left = dict(made.left)
        wave.waiting = made.grows
        sells = [self._make(wave, leg, at) for leg in made.reduces]
        buys = self._release(wave, at)
        if sells or buys or wave.waiting:
            orders = tuple(sells + buys)
            yield PlanMade(wave.decision.id, wave.round, orders, dict(wave.left), at)
            yield SubmitOrders(wave.decision, orders, at)
        else:
            yield PlanMade(wave.decision.id, wave.round, (), dict(wave.left), at)
            yield from self._advance(at)

    # --- orders of the wave ------------------------------------------------------------------------------------------

    def _make(self, wave: Wave, leg: Leg, at: datetime) -> Order:
        """Turn a leg into an intent with an id of its own, and reserve what it may take."""
        key = (wave.decision.id, leg.symbol, leg.side)
        attempt = self._attempts[key] = self._attempts.get(key, 0) + 1
        order = Order(
            id=client_id(self._settings.instance, wave.decision.id, leg.symbol, leg.side, attempt),
            symbol=leg.symbol,
            side=leg.side,
            amount=leg.amount,
            price=leg.price,
            reserve=leg.reserve,
            decision_id=wave.decision.id,
            attempt=attempt,
            at=at,
        )
        tracked = self.table.add(order)
        wave.orders.append(tracked)
        wave.current.append(tracked)
        return order

    def _release(self, wave: Wave, at: datetime) -> list[Order]:
        """Intents for the buys that the free cash pays for; once no sell can bring more, all that are left share what there is."""
        if not wave.waiting or self.trading is not Trading.RUNNING:
            return []
        cash = self._account.cash_free()
        if any(self._busy(t) for t in wave.current if t.order.side is Side.SELL):
            now, wave.waiting = planner.fund(wave.waiting, cash)
        elif sum((leg.reserve for leg in wave.waiting), ZERO) <= cash:
            now, wave.waiting = wave.waiting, ()
        else:
            now, dropped = planner.scale(wave.waiting, cash, self._account.markets, self._settings.rules)
            wave.left.update(dropped)
            wave.waiting = ()
        return [self._make(wave, leg, at) for leg in now]

    def _drop_waiting(self, reason: Reason) -> None:
        if self.wave is not None:
            self.wave.left.update({leg.symbol: reason.value for leg in self.wave.waiting})
            self.wave.waiting = ()

    # --- what is learnt of orders ------------------------------------------------------------------------------------

    def on_sent(self, event: OrderSent) -> Iterable[Event]:
        """The request is on its way."""
        tracked = self._take(event.order_id, Saw.SENDING)
        if tracked is not None:
            tracked.sent_at = event.at
        return ()

    def on_reported(self, event: OrderReported) -> Iterable[Event]:
        """The venue describes an order of ours; a listing also shows others', which are not touched."""
        tracked = self.table.get(event.report.order_id, event.report.symbol, event.report.venue_id)
        if tracked is None:
            return ()
        if not tracked.report(event.report):
            self.surprises.append(f"{tracked.order.id}: {event.report.status} while {tracked.state}")
        self.table.link(tracked)
        return self._progress(tracked, event.at)

    def on_filled(self, event: OrderFilled) -> Iterable[Event]:
        """A trade; if it is of an order of ours, the order moves on. The ledger books it in any case."""
        tracked = self.table.get(event.fill.order_id, event.fill.symbol, event.fill.venue_id)
        if tracked is None or not tracked.fill(event.fill):
            return ()
        self.table.link(tracked)
        return self._progress(tracked, event.at)

    def on_refused(self, event: OrderRefused) -> Iterable[Event]:
        """The order does not exist and will not: its money is free again."""
        tracked = self._take(event.order_id, Saw.REFUSAL)
        if tracked is None:
            return
        tracked.reason = event.code
        if self.wave is not None and event.code not in RETRYABLE:
            self.wave.refused[tracked.order.symbol] = event.code
        if event.code == "credentials":
            yield TradingHalted("the exchange refuses the credentials; correct them and restart", event.at)
        yield PollAccount(event.at)
        yield from self._progress(tracked, event.at)

    def on_not_sent(self, event: OrderNotSent) -> Iterable[Event]:
        """It provably never left: the intent is withdrawn, and the wave plans afresh once the venue may be there again."""
        tracked = self._take(event.order_id, Saw.NOT_SENT)
        if tracked is None:
            return ()
        tracked.learn(Saw.DENIAL)
        tracked.reason = Reason.NOT_SENT.value
        return self._progress(tracked, event.at)

    def on_unknown(self, event: OrderUnknown) -> Iterable[Event]:
        """Nobody knows: its whole size stays reserved and its symbol still, and the venue is asked."""
        tracked = self._take(event.order_id, Saw.AMBIGUITY)
        if tracked is None:
            return ()
        tracked.reason = event.text
        tracked.doubted_at = tracked.doubted_at or event.at
        return self._advance(event.at)

    def on_not_found(self, event: OrderNotFound) -> Iterable[Event]:
        """A look-up found nothing: one more step towards, but by itself no, proof of absence."""
        tracked = self.table.get(event.order_id)
        if tracked is None or not self.resolver.absent(tracked, event):
            return ()
        tracked.learn(Saw.ABSENCE)
        tracked.reason = "confirmed_absent"
        return self._progress(tracked, event.at)

    def on_time(self, event: TimePassed) -> Iterable[Event]:
        """Ask about orders in doubt, cancel what has worked too long, and take up what waited for time or prices."""
        yield from self.resolver.questions(event.at)
        for tracked in self.table:
            if tracked.state in (State.ACKED, State.PARTIAL) and event.at - tracked.order.at > self._settings.working:
                yield from self._cancel(tracked, event.at)
        if self.wave is not None:
            yield from self._advance(event.at)
        elif self._pending is not None and self.trading is Trading.RUNNING and self._priced(event.at):
            yield PlanWave(event.at)

    def _take(self, order_id: str, saw: Saw) -> Tracked | None:
        """The order if it can go where this leads; a step that LIFE does not know is recorded and changes nothing."""
        tracked = self.table.get(order_id)
        if tracked is None or tracked.learn(saw):
            return tracked
        self.surprises.append(f"{order_id}: {saw} while {tracked.state}")
        return None

    def _cancel(self, tracked: Tracked, at: datetime) -> Iterable[Event]:
        if tracked.learn(Saw.CANCELING):
            yield CancelOrder(tracked.order.id, tracked.order.symbol, at)

    def _progress(self, tracked: Tracked, at: datetime) -> Iterable[Event]:
        """After news of an order: close it if it is settled, and see what the wave can do now."""
        if tracked.settled and not tracked.closed:
            self.table.close(tracked)
            yield OrderClosed(tracked.order.id, tracked.order.symbol, tracked.state.value, tracked.booked, tracked.booked_cost, at)
        yield from self._advance(at)

    def _busy(self, tracked: Tracked) -> bool:
        """Whether a wave waits for this order."""
        return not tracked.settled and tracked.state is not State.UNKNOWN

    # --- the wave's end ----------------------------------------------------------------------------------------------

    def _advance(self, at: datetime) -> Iterable[Event]:
        """Release buys that have their money now; once everything has ended, plan another round or settle."""
        wave = self.wave
        if wave is None:
            return
        released = tuple(self._release(wave, at))
        if released:
            yield SubmitOrders(wave.decision, released, at)
        if wave.waiting and self.trading is Trading.RUNNING:
            return
        if any(self._busy(t) and at - t.order.at < self._settings.held_up for t in wave.current):
            return
        if self.trading is Trading.STOPPING:
            return  # the wave stays open in the journal, and the next start goes on with it
        if self._again(wave, at):
            if wave.retry_at is None or at >= wave.retry_at:
                wave.book = self._next_book(wave, at)
                yield from self._plan_round(wave, at)
            return
        yield from self._settle(wave, at)

    def _again(self, wave: Wave, at: datetime) -> bool:
        """Whether this wave should plan once more: an order ended short, nothing newer waits, and rounds are left."""
        short = [t for t in wave.current if t.settled and t.booked < t.order.amount and t.order.symbol not in wave.refused]
        capped = [t for t in wave.current if t.settled and t.order.amount == self._account.markets[t.order.symbol].amount_max]
        if self._pending is not None or self.trading is not Trading.RUNNING or not (short or capped) or wave.round >= self._settings.rounds:
            return False
        if wave.retry_at is None and any(t.reason in RETRYABLE for t in short):
            wave.retry_at = at + self._settings.retry * wave.round
        return True

    def _next_book(self, wave: Wave, at: datetime) -> planner.Book:
        """The book for another round. At once, only holdings are new: prices and equity stay, so that targets are not chased."""
        book = self._account.book(wave.weights, wave.refused, at)
        return book if wave.retry_at is not None else replace(book, prices=wave.book.prices, equity=wave.book.equity)

    def _settle(self, wave: Wave, at: datetime) -> Iterable[Event]:
        self.wave = None
        for tracked in wave.orders:
            if tracked.state is State.UNKNOWN:
                wave.left[tracked.order.symbol] = Reason.ORDER_UNKNOWN.value
            elif tracked.reason and tracked.booked == 0 and tracked in wave.current:
                wave.refused.setdefault(tracked.order.symbol, tracked.reason)
        self.last_wave = WaveSettled(
            decision=wave.decision,
            equity=self._account.equity(),
            sent=len(wave.orders),
            filled=sum(1 for t in wave.orders if t.booked > 0),
            refused=dict(wave.refused),
            left=dict(wave.left),
            off_target=self._account.off_target(wave.weights, wave.decision.keep),
            cost_bps=cost_bps(wave.orders),
            took_ms=(at - wave.decision.at) // timedelta(milliseconds=1),
            at=at,
        )
        self._attempts = {k: n for k, n in self._attempts.items() if k[0] == wave.decision.id}
        yield self.last_wave
        yield PollAccount(at)
        if self._pending is not None:
            yield PlanWave(at)

    def _priced(self, at: datetime) -> bool:
        """Whether every symbol has a price that may move money."""
        return self._account.fresh_prices(at).keys() >= self._account.markets.keys()

    def _unasked(self) -> bool:
        """Whether an order that a stopped process left behind has not been looked up yet."""
        return any(t.state is State.UNKNOWN and t.asks == 0 for t in self.table)


def cost_bps(orders: Iterable[Tracked]) -> float:
    """What trading cost against the reference prices, fees included, in basis points of what was traded; 0 if nothing was."""
    cost = traded = ZERO
    for tracked in orders:
        reference = tracked.booked * tracked.order.price
        cost += tracked.order.side.sign * (tracked.booked_cost - reference) + tracked.booked_fees
        traded += reference
    return float(cost / traded * 10_000) if traded else 0.0
