"""OrderManager: from target weights to settled orders, one wave at a time.

Rule: a wave plans from what is projected (held plus what orders may still do), sends sells at once and each buy when its money is there,
and ends when every order has come to a known end or is known to be unknown. A newer decision supersedes what has not been sent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

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
    TargetsUnchanged,
    TimePassed,
    TradingHalted,
    TradingStarted,
    WaveSettled,
)
from daemon.core.model import ZERO, Cause, Decision, Fill, Order, Side
from daemon.core.ordertable import OrderTable, Saw, State, Tracked, client_id
from daemon.core.planner import Leg, Reason
from daemon.core.rebalancing import Cooldown, begin, planned, strayed
from daemon.core.resolver import Resolver
from daemon.core.trading import Settings, Trading
from daemon.core.wave import RETRYABLE, Wave, cost_bps, intent

# Why an order of an earlier process is in doubt; only evidence from the venue ends that.
RESTARTED = "the daemon ended before it knew what became of the order"


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
        self.targets: Mapping[str, float] = {}
        self.surprises: list[str] = []
        self._pending: Decision | None = None
        self._attempts: dict[tuple[str, str, Side], int] = {}
        self._traded: dict[str, Decimal] = {}  # by decision, what orders of an earlier process that had ended had traded, in quote
        self._cooldown = Cooldown(settings.cooldown)

    # --- start -------------------------------------------------------------------------------------------------------

    def restore(self, decision: Decision, attempts: Mapping[str, int], *, unfinished: bool, fills: Iterable[Fill] = ()) -> None:
        """Go on after a stop: `decision` is the newest in the journal, worked on again if its wave had not settled. After every `replay`.

        `attempts` holds the highest attempt that it has used by symbol, so that no id is used twice; `fills` are those of the journal.
        """
        self.decision = decision
        self.targets = self._limited(decision)[0]
        self._pending = decision if unfinished else None
        self._attempts = {(decision.id, symbol, side): n for symbol, n in attempts.items() for side in Side}
        used = {client_id(self._settings.instance, *key, n) for key, last in self._attempts.items() for n in range(1, last + 1)}
        ended = used - {tracked.order.id for tracked in self.table}
        self._traded = {decision.id: sum((fill.cost for fill in fills if fill.order_id in ended), ZERO)}
        self._cooldown.restore(decision, ordered=bool(attempts))

    def replay(self, order: Order, facts: Iterable[Event]) -> list[Event]:
        """Take up an order that the journal does not know to have ended, with its trades and what was learnt of it, in order.

        Returns what follows: its end, if that was known but not written.
        """
        self.table.add(order).learn(Saw.SENDING)  # not journalled by itself: what is written counts as sent
        return [event for fact in facts for event in self._relearn(fact) if isinstance(event, OrderClosed)]

    def _relearn(self, fact: Event) -> Iterable[Event]:
        match fact:
            case OrderReported():
                return self.on_reported(fact)
            case OrderFilled():
                return self.on_filled(fact)
            case OrderRefused():
                return self.on_refused(fact)
            case OrderNotSent():
                return self.on_not_sent(fact)
            case OrderUnknown():
                return self.on_unknown(fact)
            case _:
                return ()  # look-ups that found nothing are counted anew, since the account must agree after them

    def doubt(self, at: datetime) -> list[Event]:
        """A process that has died leaves its orders unknown: what was written may have been sent, what was open may have ended.

        Returns what is to be told of it.
        """
        for tracked in self.table:
            tracked.doubt(at)
        return [OrderUnknown(t.order.id, RESTARTED, at) for t in self.table if t.state is State.UNKNOWN]

    # --- trading state -----------------------------------------------------------------------------------------------

    def on_reconciled(self, event: AccountReconciled) -> Iterable[Event]:
        """The first agreement of account and ledger opens trading."""
        self.resolver.on_reconciled(event)
        if self.trading is Trading.STARTING and not event.differences and not self._unheard():
            self.trading, self.reason = Trading.RUNNING, ""
            yield TradingStarted(event.at)

    def on_halt(self, event: TradingHalted) -> Iterable[Event]:
        """Send nothing more until a person says so."""
        self.reason = event.reason
        if self.trading is not Trading.STOPPING:
            self.trading = Trading.HALTED
        if self.wave is not None:
            self.wave.drop_waiting(Reason.HALTED)
        return self._advance(event.at)

    def on_stop(self, event: StopRequested) -> Iterable[Event]:
        """No new plans; what is open is cancelled, and the wave stays in the journal for the next start."""
        self.trading, self.reason = Trading.STOPPING, "stopping"
        if self.wave is not None:
            self.wave.waiting = ()
        return self._cancel_overdue(event.at)

    def may_send(self, order_id: str) -> bool:
        """The one gate before the wire: whether this intent may still leave. A halt or a stop holds back what has not gone yet."""
        tracked = self.table.get(order_id)
        return tracked is not None and tracked.state is State.NEW and self.trading is Trading.RUNNING

    @property
    def idle(self) -> bool:
        """Whether no order is on its way or open; orders that are unknown are not waited for, the journal carries them."""
        return all(t.settled or t.state is State.UNKNOWN for t in self.table)

    # --- decisions ---------------------------------------------------------------------------------------------------

    def on_targets(self, event: TargetsChosen) -> Iterable[Event]:
        """A newer decision replaces an older one that is not being worked on, and ends the waiting of one that is."""
        self.decision = self._pending = self._cooldown.bound(event.decision)
        self.targets = self._limited(event.decision)[0]
        yield PlanWave(event.at)

    def on_unchanged(self, event: TargetsUnchanged) -> Iterable[Event]:
        """Nobody was due. Work on what is wanted all the same, if a cooldown has held it up until now or the account has moved too far."""
        wanted, idle = event.decision, self.wave is None and self._pending is None
        if self.trading is not Trading.RUNNING or not idle or self.decision is None or not self._cooldown.over(wanted.as_of):
            return ()
        held_up = self.decision.exits_until is not None
        if not held_up and not self._strayed(wanted, event.at):
            return ()
        return (TargetsChosen(replace(wanted, cause=Cause.COOLDOWN_OVER if held_up else Cause.OFF_TARGET), event.at),)

    def _strayed(self, wanted: Decision, at: datetime) -> bool:
        limit = self._settings.off_target
        if limit is None or not self._account.valued(at):
            return False
        refused = {} if self.last_wave is None else {s: why for s, why in self.last_wave.refused.items() if why not in RETRYABLE}
        weights = self._limited(wanted)[0]
        return strayed(weights, wanted.keep, self._account, self._settings.rules, limit=limit, refused=refused, at=at)

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """A decision that waited for prices may have them now; those of a slice that was filled in late move no money."""
        if self._pending is not None and event.at - event.slice.closes_at <= self._settings.fresh:
            yield PlanWave(event.at)

    def on_plan(self, event: PlanWave) -> Iterable[Event]:
        """Begin the newest decision's wave, unless one is under way or prices are stale."""
        if self.wave is not None and self._pending is not None:
            self.wave.drop_waiting(Reason.SUPERSEDED)
            yield from self._cancel_overdue(event.at)
            yield from self._advance(event.at)
        if self.trading is not Trading.RUNNING or self.wave is not None or self._pending is None:
            return
        if not self._account.valued(event.at):
            return
        decision, self._pending = self._pending, None
        weights, cuts = self._limited(decision)
        for cut in cuts:
            yield RiskLimited(decision.id, cut.symbol, cut.wanted, cut.allowed, cut.reason.value, event.at)
        self.wave = begin(decision, weights, self._account, self.table, self._traded.get(decision.id, ZERO), event.at)
        yield from self._cancel_overdue(event.at)
        yield from self._plan_round(self.wave, event.at)

    def _limited(self, decision: Decision) -> tuple[dict[str, float], tuple[risk.Cut, ...]]:
        """The account's target weights: the decision's, after every limit."""
        return risk.apply(decision.weights, self._settings.limits, frozenset(self._account.markets))

    def _plan_round(self, wave: Wave, at: datetime) -> Iterable[Event]:
        wave.begin_round(self.table)
        made = planned(wave, self._account, self._settings.rules)
        wave.left = dict(made.left)
        wave.waiting = made.grows
        orders = tuple([self._make(wave, leg, at) for leg in made.reduces] + self._release(wave, at))
        yield PlanMade(wave.decision.id, wave.round, orders, dict(wave.left), at)
        if orders:
            yield SubmitOrders(wave.decision, orders, at)
        else:
            yield from self._advance(at)

    # --- orders of the wave ------------------------------------------------------------------------------------------

    def _make(self, wave: Wave, leg: Leg, at: datetime) -> Order:
        """Turn a leg into an intent with an id of its own, and reserve what it may take."""
        key = (wave.decision.id, leg.symbol, leg.side)
        attempt = self._attempts[key] = self._attempts.get(key, 0) + 1
        order = intent(self._settings.instance, wave.decision.id, leg, attempt, at)
        wave.take(self.table.add(order))
        self._cooldown.begin(wave.decision)
        return order

    def _release(self, wave: Wave, at: datetime) -> list[Order]:
        """Intents for the buys that the free cash pays for; once no sell can bring more, all that are left share what there is."""
        if not wave.waiting or self.trading is not Trading.RUNNING:
            return []
        legs = self._repriced(wave, at) if at > wave.priced_at else wave.waiting
        cash = self._account.cash_free()
        if any(self._moving(t, at) for t in wave.current if t.order.side is Side.SELL):
            now, later = planner.fund(legs, cash)
        else:
            now, left = planner.scale(legs, cash, self._account.markets)
            wave.left.update(left)
            later = ()
        # Those that wait on stay as they were planned: a price that has risen is counted anew each time, never on top of the last.
        waits = {leg.symbol for leg in later}
        wave.waiting = tuple(leg for leg in wave.waiting if leg.symbol in waits)
        return [self._make(wave, leg, at) for leg in now]

    def _repriced(self, wave: Wave, at: datetime) -> tuple[Leg, ...]:
        """Amounts stay as they were planned, but what a buy may take follows the price, and without a fresh one it does not go."""
        prices = {leg.symbol: self._account.fresh_price(leg.symbol, at) for leg in wave.waiting}
        wave.left.update({s: Reason.STALE_PRICE.value for s, price in prices.items() if price is None})
        known = [(leg, prices[leg.symbol]) for leg in wave.waiting]
        return tuple(planner.risen(leg, price) for leg, price in known if price is not None)

    # --- what is learnt of orders ------------------------------------------------------------------------------------

    def on_sent(self, event: OrderSent) -> Iterable[Event]:
        """The request is on its way."""
        tracked = self._take(event.order_id, Saw.SENDING, event.at)
        if tracked is not None:
            tracked.sent_at = event.at
        return ()

    def on_reported(self, event: OrderReported) -> Iterable[Event]:
        """The venue describes an order of ours; a listing also shows others', which are not touched."""
        tracked = self.table.get(event.report.order_id, event.report.symbol, event.report.venue_id)
        if tracked is None:
            return ()
        self.table.touch(event.at)
        if not tracked.report(event.report, event.at):
            self.surprises.append(f"{tracked.order.id}: {event.report.status} while {tracked.state}")
        return self._progress(tracked, event.at)

    def on_filled(self, event: OrderFilled) -> Iterable[Event]:
        """A trade; if it is of an order of ours, the order moves on. The ledger books it in any case."""
        tracked = self.table.get(event.fill.order_id, event.fill.symbol, event.fill.venue_id)
        if tracked is None:
            self.table.stray(event.fill)
            return ()
        if not tracked.fill(event.fill, event.at):
            return ()
        self.table.touch(event.at)
        return self._progress(tracked, event.at)

    def on_refused(self, event: OrderRefused) -> Iterable[Event]:
        """The order does not exist and will not: its money is free again."""
        tracked = self._take(event.order_id, Saw.REFUSAL, event.at)
        if tracked is None:
            return
        tracked.reason = event.code
        if self.wave is not None and tracked in self.wave.current and event.code not in RETRYABLE:
            self.wave.refused[tracked.order.symbol] = event.code
        if event.code == "credentials":
            yield TradingHalted("the exchange refuses the credentials; correct them and restart", event.at)
        yield PollAccount(event.at)
        yield from self._progress(tracked, event.at)

    def on_not_sent(self, event: OrderNotSent) -> Iterable[Event]:
        """It provably never left: the intent is withdrawn, and the wave plans afresh once the venue may be there again."""
        tracked = self._take(event.order_id, Saw.NOT_SENT, event.at)
        if tracked is None:
            return ()
        tracked.learn(Saw.DENIAL)
        tracked.reason = Reason.NOT_SENT.value
        return self._progress(tracked, event.at)

    def on_unknown(self, event: OrderUnknown) -> Iterable[Event]:
        """Nobody knows: its whole size stays reserved and its symbol still, and the venue is asked."""
        tracked = self._take(event.order_id, Saw.AMBIGUITY, event.at)
        if tracked is None:
            return ()
        if tracked.state is State.UNKNOWN:
            tracked.reason = Reason.ORDER_UNKNOWN.value
            tracked.doubted_at = tracked.doubted_at or event.at
        return self._progress(tracked, event.at)

    def on_not_found(self, event: OrderNotFound) -> Iterable[Event]:
        """A look-up found nothing: one more step towards, but by itself no, proof of absence."""
        tracked = self.table.get(event.order_id)
        if tracked is None:
            return ()
        tracked.heard = True
        if self.resolver.absent(tracked, event):
            self.table.touch(event.at)
            tracked.learn(Saw.ABSENCE)
            tracked.reason = "confirmed_absent"
        return self._progress(tracked, event.at)

    def on_time(self, event: TimePassed) -> Iterable[Event]:
        """Ask about orders in doubt, cancel what has worked too long, and take up what waited for time or prices."""
        yield from self.resolver.questions(event.at)
        yield from self._cancel_overdue(event.at)
        if self.wave is not None:
            yield from self._advance(event.at)
        elif self._pending is not None and self.trading is Trading.RUNNING and self._account.priced(event.at):
            yield PlanWave(event.at)

    def _take(self, order_id: str, saw: Saw, at: datetime) -> Tracked | None:
        """The order if it can go where this leads; a step that LIFE does not know is recorded and changes nothing."""
        tracked = self.table.get(order_id)
        if tracked is not None and not tracked.learn(saw):
            self.surprises.append(f"{order_id}: {saw} while {tracked.state}")
            return None
        self.table.touch(at)
        return tracked

    def _cancel_overdue(self, at: datetime) -> Iterable[Event]:
        """Cancel what is open for too long or stands in the way; again where the cancel before had no effect."""
        for tracked in self.table:
            if tracked.open and self._unwanted(tracked, at) and self.resolver.may_cancel(tracked, at):
                tracked.learn(Saw.CANCELING)
                tracked.canceled_at = at
                tracked.cancels += 1
                yield CancelOrder(tracked.order.id, tracked.order.symbol, tracked.order.at, at)

    def _unwanted(self, tracked: Tracked, at: datetime) -> bool:
        """Whether an open order should not be: too old, of a decision that is no longer worked on, or while the process ends."""
        if tracked.state is State.CANCEL_SENT or self.trading is Trading.STOPPING or self._pending is not None:
            return True
        superseded = self.wave is not None and tracked.order.decision_id != self.wave.decision.id
        return superseded or at - tracked.order.at > self._settings.working

    def _progress(self, tracked: Tracked, at: datetime) -> Iterable[Event]:
        """After news of an order: close it if it is settled (or open it again if it is not after all), and see what the wave can do now."""
        self.table.link(tracked, at)
        if tracked.settled and not tracked.closed:
            self.table.close(tracked)
            order, ended = tracked.order, tracked.state.value
            yield OrderClosed(order.id, order.symbol, ended, tracked.booked, tracked.booked_cost, at, tracked.reason)
        elif tracked.closed and not tracked.settled:
            self.table.reopen(tracked)
        if self.trading is Trading.STARTING and not self._unheard():
            yield PollAccount(at)  # the last answer that the start has waited for
        yield from self._cancel_overdue(at)
        yield from self._advance(at)

    def _moving(self, tracked: Tracked, at: datetime) -> bool:
        """Whether an order may be expected to end by itself, soon."""
        return not tracked.settled and tracked.state is not State.UNKNOWN and at - tracked.order.at < self._settings.held_up

    def _holds(self, tracked: Tracked, at: datetime) -> bool:
        """Whether the wave waits for this order: those in doubt too, for a while, unless something newer is to be done."""
        if tracked.state is not State.UNKNOWN or self._pending is not None or self.trading is not Trading.RUNNING:
            return self._moving(tracked, at)
        return at - (tracked.doubted_at or tracked.order.at) < self._settings.held_up

    # --- the wave's end ----------------------------------------------------------------------------------------------

    def _advance(self, at: datetime) -> Iterable[Event]:
        """Release buys that have their money now; once everything has ended, plan another round or settle."""
        wave = self.wave
        if wave is None:
            return
        released = tuple(self._release(wave, at))
        if released:
            yield SubmitOrders(wave.decision, released, at)
        if any(self._holds(t, at) for t in wave.current):
            return
        if self.trading is Trading.STOPPING:
            return  # the wave stays open in the journal, and the next start goes on with it
        if self._again(wave, at):
            if wave.retry_at is None or at >= wave.retry_at:
                self._look_again(wave, at)
                yield from self._plan_round(wave, at)
            return
        yield from self._settle(wave, at)

    def _again(self, wave: Wave, at: datetime) -> bool:
        """Whether this wave should plan once more: an order left something to do, nothing newer waits, and rounds are left."""
        if self._pending is not None or self.trading is not Trading.RUNNING:
            return False
        short = wave.short()
        if wave.retry_at is None and any(t.reason in RETRYABLE for t in short):
            wave.put_off(at, self._settings.retry, self._settings.retry_max)
        return bool(short) and wave.round < self._settings.rounds

    def _look_again(self, wave: Wave, at: datetime) -> None:
        """The book for another round. At once, only holdings are new: prices and equity stay, so that targets are not chased."""
        book = self._account.book(wave.weights, wave.refused, at)
        if wave.retry_at is None and at - wave.priced_at <= self._settings.fresh:
            wave.book = replace(book, prices=wave.book.prices, equity=wave.book.equity)
        else:
            wave.book, wave.priced_at = book, at

    def _settle(self, wave: Wave, at: datetime) -> Iterable[Event]:
        self.wave = None
        off_target = self._account.off_target(wave.weights, wave.decision.keep)
        wave.explain(off_target, self._settings.rules, superseded=self._pending is not None)
        self.last_wave = WaveSettled(
            decision=wave.decision,
            targets=wave.weights,
            equity=self._account.equity(),
            sent=len(wave.orders),
            filled=sum(1 for t in wave.orders if t.booked > 0),
            refused=dict(wave.refused),
            left=dict(wave.left),
            off_target=off_target,
            cost_bps=cost_bps(wave.orders),
            took_ms=(at - wave.decision.at) // timedelta(milliseconds=1),
            at=at,
        )
        self._attempts = {k: n for k, n in self._attempts.items() if k[0] == wave.decision.id}
        yield self.last_wave
        yield PollAccount(at)
        if self._pending is not None:
            yield PlanWave(at)

    def _unheard(self) -> bool:
        """Whether an order that a stopped process left behind has not been successfully looked up yet."""
        return any(not t.heard for t in self.table)
