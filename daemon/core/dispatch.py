"""Dispatch: from the legs of a plan to intents, each as far as limits and money let it.

Rule: whatever a leg loses on the way has its reason in the wave. An intent has an id of its own, and what it may take is reserved with it.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from daemon.core.account import Account
from daemon.core.bonds import merged
from daemon.core.events import Event, PlanMade
from daemon.core.funding import expected
from daemon.core.groups import Groups, in_step
from daemon.core.guard import Guard
from daemon.core.model import ZERO, Cause, Decision, Order, Side
from daemon.core.ordertable import OrderTable, State, Tracked, client_id
from daemon.core.planner_funds import fund, scale
from daemon.core.planner_legs import Leg, Plan, Reason
from daemon.core.rebalancing import Cooldown, foreseen, planned
from daemon.core.risk import Reason as Risk
from daemon.core.trading import Settings
from daemon.core.wave import Wave, intent
from daemon.core.working import Working

Split = Callable[[Wave, Leg], Mapping[str, Decimal]]
Standing = tuple[Decimal, frozenset[tuple[str, Side]]]
Made = tuple[list[Order], list[Event]]  # the intents, and what the limits have to say


class Dispatch:
    """Makes the orders of a wave. `settings` may be renewed between two waves. `split`: for whom a leg trades."""

    def __init__(self, settings: Settings, account: Account, table: OrderTable, guard: Guard, cooldown: Cooldown, split: Split) -> None:
        self.settings = settings
        self._account = account
        self._table = table
        self._guard = guard
        self._cooldown = cooldown
        self._split = split
        self.groups = Groups(account, table)
        self._attempts: dict[tuple[str, str, Side], int] = {}

    def restore(self, decision: Decision, attempts: Mapping[str, int]) -> set[str]:
        """Go on after a stop: `attempts` has the highest that the decision has used by symbol. Returns the ids that may be taken."""
        self._attempts = {(decision.id, symbol, side): n for symbol, n in attempts.items() for side in Side}
        return {client_id(self.settings.instance, *key, n) for key, last in self._attempts.items() for n in range(1, last + 1)}

    def forget(self, settled: Decision) -> None:
        """A wave has settled: what other decisions have used is of no interest any more."""
        self._attempts = {k: n for k, n in self._attempts.items() if k[0] == settled.id}

    def planned(self, wave: Wave) -> Plan:
        """What the next round of a wave is to trade, legs that belong together in step."""
        return self.groups.marshalled(wave, planned(wave, self._account, self.settings, self._guard.allows), self.settings.groups)

    def take(self, wave: Wave, legs: Iterable[Leg], at: datetime) -> Made:
        """What becomes of legs that may go: an order each, or, by the terms of the style, something to be worked on.

        What must be sold because a hold says so does not wait for a better price.
        """
        if self.settings.terms is None or wave.decision.cause is Cause.FLATTENING:
            return self.admit(wave, legs, at)
        wave.works += [Working(leg, planned=wave.left.get(leg.symbol, "")) for leg in legs]
        return [], []

    def admit(self, wave: Wave, legs: Iterable[Leg], at: datetime, standing: Standing | None = None) -> Made:
        """Intents for what the limits let through of these legs, one after the other. `standing`: of this moment, where it is known."""
        orders: list[Order] = []
        told: list[Event] = []
        for leg in legs:
            standing = standing or self.standing(at)
            allowed, said = self._judged(wave, leg, standing, at)
            told += said
            if allowed is not None:
                orders.append(self._make(wave, allowed, at))
        return orders, told

    def release(self, wave: Wave, at: datetime) -> Made:
        """Intents for the buys that the free cash pays for; once no sell can bring more, all that are left share what there is."""
        legs = self._repriced(wave, at) if at > wave.priced_at else wave.waiting
        cash = self.cash(wave)
        legs, turning = self._turned(wave, legs, at)
        if self.makes_room(wave, at):
            now, later = fund(legs, cash)
            now, later = in_step(merged(wave.decision.groups), now, (*later, *turning))
        else:
            now, left = scale(legs, cash, self._account.markets)
            wave.left.update(left)
            later = turning
        made = self.take(wave, now, at)
        # Those that wait on stay as they were planned: a price that has risen is counted anew each time, never on top of the last.
        waits = {leg.symbol for leg in later} | {leg.symbol for leg in now if wave.left.get(leg.symbol) == Risk.ORDERS_PER_MINUTE}
        wave.waiting = tuple(leg for leg in wave.waiting if leg.symbol in waits)
        return made

    def makes_room(self, wave: Wave, at: datetime) -> bool:
        """Whether something of this wave may still bring money, or margin: a sell that has not ended, or what makes a swap smaller."""
        selling = any(self.moving(t, at) for t in wave.current if not t.order.spends_quote)
        return selling or any(not work.leg.spends_quote and not work.over for work in wave.works)

    def under_way(self, at: datetime) -> bool:
        """Whether any order may be expected to end soon, and then counts in the limits with what it has traded only."""
        return any(self.moving(tracked, at) for tracked in self._table)

    def cash(self, wave: Wave) -> dict[str, Decimal]:
        """Money by currency that neither orders nor what is worked on has a claim to."""
        cash = self._account.cash_free()
        for work in wave.works:
            if work.leg.spends_quote:
                cash[work.leg.quote] -= work.claim
        return cash

    def foresee(self, wave: Wave, made: Plan, attempt: int, at: datetime) -> tuple[tuple[Order, ...], dict[str, str], list[Event]]:
        """What would be ordered now, each order judged by itself; why the rest would be left, and what the limits would say."""
        legs, left = foreseen(made, self._account)
        wave.left = left
        standing = self.standing(at)
        judged = [self._judged(wave, leg, standing, at) for leg in legs]
        orders = [
            intent(self.settings.instance, wave.decision.id, leg, attempt, at, self._split(wave, leg))
            for leg, _ in judged
            if leg is not None
        ]
        return tuple(orders), wave.left, [event for _, said in judged for event in said]

    def imagine(self, wave: Wave, made: Plan, at: datetime) -> list[Event]:
        """What is to be told of a plan of which nothing is sent."""
        orders, left, told = self.foresee(wave, made, wave.round, at)
        wave.left = left | {order.symbol: Reason.SHADOW.value for order in orders}
        return [*told, self.told(wave, made, orders, left, at)]

    def told(self, wave: Wave, made: Plan, orders: tuple[Order, ...], left: Mapping[str, str], at: datetime) -> PlanMade:
        """What is to be told of a round that has been planned."""
        worked = {work.leg.symbol: work.leg.side.sign * work.leg.amount for work in wave.works if not work.over}
        funding = expected(wave.weights, wave.book.equity, self._account.funding) if self._account.may_be_short else {}
        plan = made.changed, made.needs, made.inputs
        return PlanMade(wave.decision.id, wave.round, orders, left, at, *plan, worked, funding)

    def moving(self, tracked: Tracked, at: datetime) -> bool:
        """Whether an order may be expected to end by itself, soon."""
        if tracked.settled or tracked.state is State.UNKNOWN:
            return False
        return at - tracked.order.at < self.settings.held_up_by(tracked.order)

    def awaited(self, tracked: Tracked, at: datetime, *, patient: bool) -> bool:
        """Whether a wave waits for an order: `patient`, for one in doubt too, for a while."""
        if tracked.state is not State.UNKNOWN or not patient:
            return self.moving(tracked, at)
        return at - (tracked.doubted_at or tracked.order.at) < self.settings.held_up

    def standing(self, at: datetime) -> Standing:
        """The equity, and the symbols with the sides on which an order may be open; looked up once for many legs.

        An order in doubt, or one that hangs, keeps nobody in a position: it may not even exist.
        """
        return self._account.equity(), frozenset((t.order.symbol, t.order.side) for t in self._table if self.moving(t, at))

    def _judged(self, wave: Wave, leg: Leg, standing: Standing, at: datetime) -> tuple[Leg | None, tuple[Event, ...]]:
        """What the limits leave of a leg, with the reason in the wave."""
        equity, moving = standing
        opposing = (leg.symbol, Side.SELL if leg.side is Side.BUY else Side.BUY) in moving
        position = wave.book.projected.get(leg.symbol, ZERO)
        admitted = self._guard.admit(wave.decision.id, leg, position, equity, at, opposing=opposing)
        if admitted.reason:
            wave.left[leg.symbol] = admitted.reason
        elif wave.left.get(leg.symbol) == Risk.ORDERS_PER_MINUTE:
            del wave.left[leg.symbol]  # it has waited, and need not any more
        return admitted.leg, admitted.told

    def _make(self, wave: Wave, leg: Leg, at: datetime) -> Order:
        """Turn a leg into an intent."""
        key = (wave.decision.id, leg.symbol, leg.side)
        attempt = self._attempts[key] = self._attempts.get(key, 0) + 1
        order = intent(self.settings.instance, wave.decision.id, leg, attempt, at, self._split(wave, leg))
        wave.take(self._table.add(order))
        self._guard.made(order)
        self._cooldown.begin(wave.decision)
        return order

    def _turned(self, wave: Wave, legs: tuple[Leg, ...], at: datetime) -> tuple[tuple[Leg, ...], tuple[Leg, ...]]:
        """The legs that may go, and those that would turn a position before what closes it has ended.

        Where that has ended short, what was to follow is not sent: another round plans from what is held then.
        """
        markets = self._account.markets
        wait = [leg for leg in legs if markets[leg.symbol].shortable and self._account.sign(leg.symbol) * leg.side.sign < 0]
        if not wait:
            return legs, ()
        closing = {t.order.symbol for t in wave.current if self.moving(t, at)} | {w.leg.symbol for w in wave.works if not w.over}
        wave.left.update({leg.symbol: Reason.UNFILLED.value for leg in wait if leg.symbol not in closing})
        return tuple(leg for leg in legs if leg not in wait), tuple(leg for leg in wait if leg.symbol in closing)

    def _repriced(self, wave: Wave, at: datetime) -> tuple[Leg, ...]:
        """Amounts stay as they were planned, but what a buy may take follows the price, and without a fresh one it does not go."""
        prices = {leg.symbol: self._account.fresh_price(leg.symbol, at) for leg in wave.waiting}
        wave.left.update({s: Reason.STALE_PRICE.value for s, price in prices.items() if price is None})
        known = [(leg, prices[leg.symbol]) for leg in wave.waiting]
        return tuple(leg.repriced(price) for leg, price in known if price is not None)
