"""OrderManager: from target weights to settled orders, one wave at a time.

Rule: a wave plans from what is projected (held plus what orders may still do), sends sells at once and each buy when its money is there,
and ends when every order has come to a known end or is known to be unknown. A newer decision supersedes what has not been sent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from daemon.core.account import Account
from daemon.core.approval import Approval
from daemon.core.arrears import Arrears, amended, doubted, missing
from daemon.core.dispatch import Dispatch
from daemon.core.events import (
    AccountReconciled,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalLapsed,
    Awoken,
    Event,
    HoldLifted,
    HoldPlaced,
    MarginLow,
    MarketsListed,
    OrderClosed,
    OrderRefused,
    OrderSent,
    PlanWave,
    PollAccount,
    SliceClosed,
    StopRequested,
    SubmitOrders,
    TargetsChosen,
    TargetsUnchanged,
    TimePassed,
    TouchRead,
    TradingStarted,
    WaveSettled,
)
from daemon.core.follower import Follower, OrderFact
from daemon.core.guard import Guard, Market, Unwatched
from daemon.core.model import Cause, Decision, Fill, decision_id
from daemon.core.occasion import Occasion
from daemon.core.ordertable import OrderTable, State, Tracked
from daemon.core.planner_legs import Reason
from daemon.core.readiness import Readiness
from daemon.core.rebalancing import AT_ONCE, Cooldown, begin
from daemon.core.restraint import Flattening, finished, looked_again, refusal, restrained, unwanted
from daemon.core.settlement import settled
from daemon.core.sleeves import Sleeves
from daemon.core.states import DAEMON, Level, States
from daemon.core.trading import Settings, Trading
from daemon.core.wave import Wave
from daemon.core.workbench import Workbench

UNWATCHED: Final = Unwatched()


class OrderManager:
    """Plans, sends and follows orders. Holds no clock: every handler takes its time from the event."""

    def __init__(
        self, settings: Settings, account: Account, table: OrderTable, states: States, sleeves: Sleeves, market: Market = UNWATCHED
    ) -> None:
        self.settings = settings
        self._account = account
        account.cap(settings.price_cap)
        self.table = table
        self.states = states
        self.sleeves = sleeves
        self.follower = Follower(table, settings.patience)
        self.guard = Guard(settings.limits, settings.order_limits, account, states, market, sleeves.net)
        self._readiness = Readiness(states)
        self.wave: Wave | None = None
        self.last_wave: WaveSettled | None = None
        self.decision: Decision | None = None
        self.targets: Mapping[str, float] = {}
        self._pending: Decision | None = None
        self._closes: Mapping[str, float] = {}  # at which it was decided
        self._arrears = Arrears()
        self._cooldown = Cooldown(settings.cooldown)
        self._dispatch = Dispatch(settings, account, table, self.guard, self._cooldown, sleeves.split)
        self.groups = self._dispatch.groups
        self.bench = Workbench(account, self.guard, states, self._dispatch)
        self.approval = Approval(settings.approve, settings.approve_within)
        self._flattening = Flattening(states, sleeves.symbols_of)

    # --- start -------------------------------------------------------------------------------------------------------

    def restore(
        self,
        decision: Decision,
        attempts: Mapping[str, int],
        *,
        unfinished: bool,
        overtaken: bool = False,
        fills: Iterable[Fill] = (),
        last_wave: WaveSettled | None = None,
    ) -> None:
        """Go on after a stop: `decision` is the newest in the journal, worked on again if its wave had not settled. After every `replay`.

        `attempts` holds the highest attempt that it has used by symbol, so that no id is used twice; `fills` are those of the journal,
        `last_wave` the newest that has settled. `overtaken`: another decision is due, so that nothing of this one is taken up again.
        What was worked on over time, the bench restores.
        """
        self.decision = decision
        self.last_wave = last_wave
        self.targets = self.guard.resume(decision)
        self._pending = decision if unfinished else None
        ended = self._dispatch.restore(decision, attempts) - {tracked.order.id for tracked in self.table}
        self._arrears.restore(decision, fills, ended, overtaken=overtaken)
        self._cooldown.restore(decision, ordered=bool(attempts))

    def renew(self, settings: Settings) -> None:
        """Take up changed limits and rules, between two waves: what the last decision meant by the old ones is not worked on again."""
        self._arrears.overtaken = True
        self.settings = self._dispatch.settings = settings
        self._account.cap(settings.price_cap)
        self.guard.renew(settings.limits, settings.order_limits)
        self._cooldown.length = settings.cooldown
        self.approval.renew(settings.approve, settings.approve_within)
        if self.decision is not None:
            self.targets = self.guard.weights(self.decision)

    # --- trading state -----------------------------------------------------------------------------------------------

    @property
    def trading(self) -> Trading:
        """How far the daemon has come."""
        return self._readiness.trading

    @property
    def reason(self) -> str:
        """Why trading is not what it could be, as a sentence; "" while nothing restricts the account."""
        return self._readiness.reason or self.approval.reason

    @property
    def state(self) -> str:
        """The one word for how trading stands: starting, running, reducing, paused, flattening, halted, stopping."""
        return self._readiness.word

    @property
    def planning(self) -> bool:
        """Whether new orders may be made at all; what each may be, the states say."""
        return self._readiness.planning

    def on_reconciled(self, event: AccountReconciled) -> Iterable[Event]:
        """The first agreement of account and ledger opens trading."""
        self.follower.resolver.on_reconciled(event, self._account.foreign_locked)
        if not self.follower.unheard and self._readiness.read(event):
            yield TradingStarted(event.at)

    def on_awoken(self, event: Awoken) -> Iterable[Event]:
        """Nothing is sent before the account has been read again; as at a start."""
        self._readiness.awake(event.at)
        yield PollAccount(event.at)

    def on_hold(self, event: HoldPlaced) -> Iterable[Event]:
        """What has not been sent waits for better times, or is sold where the hold says so."""
        hold = event.hold
        self.states.place(hold)
        if self.wave is not None and hold.scope.strategy:
            yield from self.bench.give_up(self.wave, self.sleeves.buys_for(self.wave, hold.scope.strategy), hold.code, event.at)
            given_up = self.sleeves.give_up(self.wave, hold.scope.strategy, hold.code)
            without = self.guard.weights(self.wave.decision)
            self.wave.weights.update({symbol: without.get(symbol, 0.0) for symbol in given_up})  # for another round
        elif self.wave is not None:
            self.wave.drop_waiting(hold.code, hold.scope.symbol)
        if hold.level is Level.FLATTENING:
            yield from self._flatten(event.at)
        yield from self._cancel_unwanted(event.at)
        yield from self._advance(event.at)

    def on_lifted(self, event: HoldLifted) -> Iterable[Event]:
        """Less is restricted; the next decision makes use of it."""
        self.states.lift(event.scope, event.code)
        return ()

    def on_stop(self, event: StopRequested) -> Iterable[Event]:
        """No new plans; what is open is cancelled or kept, and the wave stays in the journal for the next start."""
        self._readiness.trading = Trading.STOPPING
        if self.wave is not None:
            self.wave.waiting = ()
        return self._cancel_unwanted(event.at)

    def may_send(self, order_id: str) -> bool:
        """The one gate before the wire: whether this intent may still leave. A hold or a stop holds back what has not gone yet.

        It is asked again while the request waits for its turn (state SENT).
        """
        tracked = self.table.get(order_id)
        if tracked is None or tracked.state not in (State.NEW, State.SENT):
            return False
        if self.trading is not Trading.RUNNING or self.settings.shadow:
            return False
        return self.states.permits(tracked.order.symbol, tracked.order.side, self._account.sign(tracked.order.symbol))

    @property
    def rests(self) -> bool:
        """Whether time and prices alone bring nothing about here: no order, no wave, no decision, and nothing that is restricted."""
        busy = self.wave is not None or self._pending is not None or len(self.table) > 0 or self.follower.surprises
        return self.trading is Trading.RUNNING and not busy and self.states.free

    @property
    def idle(self) -> bool:
        """Whether no order is on its way, or open and not to be kept; the unknown are not waited for, the journal carries them."""
        return all(t.settled or t.state is State.UNKNOWN or (t.open and self.settings.keep_open) for t in self.table)

    @property
    def owes(self) -> bool:
        """Whether a decision waits for its wave."""
        return self._pending is not None

    @property
    def keeps_open(self) -> bool:
        """Whether a stop leaves open orders as they are."""
        return self.settings.keep_open

    def _flatten(self, at: datetime) -> Iterable[Event]:
        """Sell what holds say is to be sold, by a decision of their own; nobody's targets are changed by it."""
        decision = self._flattening.decide(self.decision, frozenset(self._account.markets), at) if self.trading is Trading.RUNNING else None
        if decision is not None:
            yield TargetsChosen(decision, at)

    # --- decisions ---------------------------------------------------------------------------------------------------

    def on_targets(self, event: TargetsChosen) -> Iterable[Event]:
        """A newer decision replaces an older one that is not being worked on, and ends the waiting of one that is."""
        decision = event.decision
        # What must be sold, is too much while everything moves together, or was owed already, does not wait for a cooldown.
        at_once = decision.cause in AT_ONCE or self.guard.alarmed
        self._arrears.overtaken = False
        self.decision = self._pending = decision if at_once else self._cooldown.bound(decision)
        self.targets, self._closes = self.guard.weights(decision), self.guard.gate.closes()
        yield PlanWave(event.at)

    def on_unchanged(self, event: TargetsUnchanged) -> Iterable[Event]:
        """Nobody was due. Work on what is wanted all the same, if there is a reason to."""
        idle = self.wave is None and self._pending is None
        if not self.planning or not idle or self.decision is None:
            return ()
        occasion = Occasion(self._account, self.guard, self.settings, self._cooldown, self.last_wave)
        cause = occasion.cause(event.decision, self.decision, event.at)
        return () if cause is None else (TargetsChosen(replace(event.decision, cause=cause), event.at),)

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """A decision that waited for prices may have them now; those of a slice that was filled in late move no money."""
        self.guard.gate.take(event.slice)
        if self._pending is not None and event.at - event.slice.closes_at <= self.settings.fresh:
            yield PlanWave(event.at)

    def on_plan(self, event: PlanWave) -> Iterable[Event]:
        """Begin the newest decision's wave, unless one is under way or prices are stale."""
        if self.wave is not None and self._pending is not None:
            self.wave.drop_waiting(Reason.SUPERSEDED.value)
            yield from self._cancel_unwanted(event.at)
            yield from self._advance(event.at)
        if not self.planning or self.wave is not None or self._pending is None or not self._account.valued(event.at):
            return
        if self.approval.waits(self._pending):
            yield from self._ask(self._pending, event.at)
            return
        decision, self._pending = self._pending, None
        self.approval.spend(decision)
        weights, cuts = self.guard.begin(decision, event.at)
        yield from cuts
        self.wave = self._begun(decision, weights, event.at)
        yield from self._cancel_unwanted(event.at)
        yield from self.sleeves.fund(self.wave, event.at)
        yield from self._plan_round(self.wave, event.at)

    def _ask(self, decision: Decision, at: datetime) -> Iterable[Event]:
        """Ask a person, once, and show what would be sent now."""
        until = self.approval.ask(decision, at)
        if until is not None:
            wave = self._begun(decision, self.guard.weights(decision), at)
            orders, left, _ = self._dispatch.foresee(wave, self._dispatch.planned(wave), 1, at)
            yield ApprovalAsked(decision.id, orders, left, until, at)

    def on_approved(self, event: ApprovalGiven) -> Iterable[Event]:
        """A person's word: the wave is planned with the prices of now."""
        if self.approval.give(event.decision_id):
            yield PlanWave(event.at)

    def _begun(self, decision: Decision, weights: dict[str, float], at: datetime) -> Wave:
        wave = begin(decision, weights, self._account, self.table, self._arrears.before(decision), at)
        wave.book, wave.decided = restrained(wave.book, self.states), self._closes
        self.groups.begin(wave, at)
        return wave

    def _plan_round(self, wave: Wave, at: datetime) -> Iterable[Event]:
        wave.begin_round(self.table)
        yield from self.sleeves.cross(wave, at)
        made = self._dispatch.planned(wave)
        if self.settings.shadow:
            yield from self._dispatch.imagine(wave, made, at)
            yield from self._settle(wave, at)
            return
        yield from self.groups.noted(at)
        wave.left, wave.changed = dict(made.left), made.changed
        wave.waiting = made.grows
        reduces, told = self._dispatch.take(wave, made.reduces, at)
        grows, more = self._dispatch.release(wave, at)
        yield from (*told, *more)
        orders = (*reduces, *grows)
        yield self._dispatch.told(wave, made, orders, dict(wave.left), at)
        if orders:
            yield SubmitOrders(wave.decision, orders, at)
        else:
            yield from self._advance(at)

    # --- what is learnt of orders ------------------------------------------------------------------------------------

    def on_order(self, event: OrderFact) -> Iterable[Event]:
        """News of an order of ours; of others' there is none."""
        tracked = self.follower.learn(event)
        if tracked is None or (isinstance(event, OrderSent) and not (self.wave and self.wave.at_work)):
            return ()  # that a whole order is on its way frees no money and ends nothing
        return self._progress(tracked, event)

    def on_margin(self, event: MarginLow) -> Iterable[Event]:
        """A position is too near its liquidation: what is wanted, within every limit at the prices of now, is less than is held."""
        if event.reduces and self.planning and self.wave is None and self._pending is None and self.decision is not None:
            again = replace(self.decision, id=decision_id(event.at, Cause.MARGIN), at=event.at, cause=Cause.MARGIN)
            yield TargetsChosen(again, event.at)

    def on_closed(self, event: OrderClosed) -> Iterable[Event]:
        """From here on, an order counts in the limits with what it traded; what it leaves of a wave that has settled is made up for."""
        self.guard.gate.traffic.ended(event.order_id, event.filled, event.cost)
        if missing(self.last_wave, self.table.get(event.order_id)):
            yield from self._take_up(Cause.RESOLVED, event.at)

    def on_markets(self, event: MarketsListed) -> Iterable[Event]:
        """What a market has refused by rules that are others now is ordered again. Before the account learns them."""
        changed = amended(self._account.listed, event.markets)
        if self.wave is not None:
            self.wave.readmit(changed)
        elif doubted(self.last_wave, changed):
            yield from self._take_up(Cause.RULES, event.at)

    def _take_up(self, cause: Cause, at: datetime) -> Iterable[Event]:
        """Work on the newest decision again, for what its wave had to leave, unless something newer is worked on."""
        idle = self.trading is Trading.RUNNING and self.wave is None and self._pending is None
        again = self._arrears.again(self.decision, self.last_wave, cause, at) if idle else None
        if again is not None:
            yield TargetsChosen(again, at)

    def _refused(self, tracked: Tracked, event: OrderRefused) -> Iterable[Event]:
        """The order does not exist and will not: its money is free again."""
        if self.wave is not None and tracked in self.wave.current:
            self.wave.refuse(tracked.order.symbol, event.code)
        yield from refusal(event)

    def on_time(self, event: TimePassed) -> Iterable[Event]:
        """Ask about orders in doubt, cancel what has worked too long, and take up what waited for time or prices."""
        yield from self.follower.resolver.questions(event.at)
        if self._pending is not None and self.approval.lapsed(event.at):
            yield ApprovalLapsed(self._pending.id, event.at)
            self._pending = None
        for hold in self.states.expired(event.at):
            yield HoldLifted(hold.scope, hold.code, DAEMON, event.at)
        yield from self._cancel_unwanted(event.at)
        if self.wave is not None:
            yield from self._advance(event.at)
        elif self._pending is not None and self.planning and self._account.priced(event.at):
            yield PlanWave(event.at)
        elif self._pending is None and self._flattening.due(event.at):
            yield from self._flatten(event.at)

    def _cancel_unwanted(self, at: datetime, among: Iterable[Tracked] | None = None) -> Iterable[Event]:
        """Cancel what should not be open; `among`: which orders are looked at, None: all."""
        orders = self.table if among is None else among
        if self.trading is Trading.STOPPING:
            return () if self.settings.keep_open else self.follower.cancel(orders, lambda _: True, at)
        superseded = self._pending is not None
        return self.follower.cancel(orders, lambda tracked: superseded or unwanted(tracked, self.wave, self.settings, at), at)

    def _progress(self, tracked: Tracked, event: OrderFact) -> Iterable[Event]:
        """After news of an order: conclude what follows from it, and see what the wave can do now."""
        at = event.at
        if isinstance(event, OrderRefused):
            yield from self._refused(tracked, event)
        yield from self.follower.conclude(tracked, at)
        if self.trading is Trading.STARTING and not self.follower.unheard:
            yield PollAccount(at)  # the last answer that the start has waited for
        if tracked.open:  # whether others are unwanted is no news of this one
            yield from self._cancel_unwanted(at, (tracked,))
        yield from self._advance(at, frozenset({tracked.order.symbol}))

    # --- the wave's end ----------------------------------------------------------------------------------------------

    def _advance(self, at: datetime, symbols: frozenset[str] | None = None) -> Iterable[Event]:
        """Release buys that have their money now; once everything has ended, plan another round or settle. `symbols`: whose news it is."""
        if (wave := self.wave) is None:
            return
        planning = self.planning
        if wave.waiting and planning:
            released, told = self._dispatch.release(wave, at)
            yield from told
            if released:
                yield SubmitOrders(wave.decision, tuple(released), at)
        if wave.works:
            yield from self._work(wave, at, symbols)
        patient = self._pending is None and planning  # where there is something newer to be done, doubts are not waited for
        if wave.at_work or wave.waits(lambda t: self._dispatch.awaited(t, at, patient=patient)) or (wave.waiting and planning):
            return
        if self.trading is not Trading.RUNNING:
            return  # the wave stays open: it goes on once the account has been read again, or with the next start
        rules = self.settings
        yield from self.groups.review(wave, rules.groups, rules.retry, at)
        if patient and (self.groups.more or wave.another(at, rules.retry, rules.retry_max, rules.rounds)):
            if wave.retry_at is None or at >= wave.retry_at:
                looked_again(wave, self._account, self.states, rules.fresh, at)
                yield from self._plan_round(wave, at)
            return
        yield from self._settle(wave, at)

    def _work(self, wave: Wave, at: datetime, symbols: frozenset[str] | None) -> Iterable[Event]:
        """Go on with what is worked on over time, or stop it where nothing more of this wave is to be sent."""
        if not wave.at_work or (self.trading is Trading.STARTING and self._pending is None):
            return  # after a long sleep the account is read first
        worst = self.states.worst()
        if self._pending is None and self.planning:
            yield from self.bench.work(wave, at, symbols)
        else:
            held = self.trading.value if worst is None else worst.code
            yield from self.bench.stop(wave, held if self._pending is None else Reason.SUPERSEDED.value, at)
        if self.bench.recalls():
            yield from self._cancel_unwanted(at)

    def on_touch(self, event: TouchRead) -> Iterable[Event]:
        """The best prices of a symbol are known: what has waited for them goes on."""
        self.bench.on_touch(event)
        yield from self._advance(event.at, frozenset(touch.symbol for touch in event.touches))

    def _settle(self, wave: Wave, at: datetime) -> Iterable[Event]:
        self.wave = None
        self._arrears.settled(wave)
        self.last_wave = settled(wave, self._account, self.settings.rules, at, superseded=self._pending is not None)
        self._dispatch.forget(wave.decision)
        self.bench.forget()
        yield self.last_wave
        yield from (HoldPlaced(hold, at) for hold in finished(self.states, self.last_wave, self.sleeves.symbols_of, at))
        yield PollAccount(at)
        if self._pending is not None:
            yield PlanWave(at)
