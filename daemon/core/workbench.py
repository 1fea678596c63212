"""Workbench: works on the planned orders of a wave that trade over time, by children that go through the same gates as any order.

Rule: a child is made by the dispatch and nowhere else, so every limit, reserve and id holds for it; its parent is on disk with it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final

from daemon.core import quoting, slicing
from daemon.core.account import Account
from daemon.core.dispatch import Dispatch, Standing
from daemon.core.events import Event, ParentBegun, ParentEnded, ReadTouch, SubmitOrders, TouchRead
from daemon.core.guard import NEXT_DAY, Guard
from daemon.core.model import EPOCH, ZERO, Decision, Order, Side, currencies
from daemon.core.ordertable import State, Tracked
from daemon.core.planner_inputs import ONE
from daemon.core.planner_legs import Leg, Reason, opened, smallest_part
from daemon.core.risk import Reason as Risk
from daemon.core.states import States
from daemon.core.styles import MakerTerms, Parent, Style, Terms, Touch
from daemon.core.wave import PASSING, Wave
from daemon.core.working import Finish, Look, Place, Step, Withdraw, Working

# The touch is asked for no more often, however much waits for it; and again after this where no answer came.
LOOK_EVERY: Final = timedelta(seconds=0.5)

# What a limit or the money does not let through is judged again after this.
JUDGED_AGAIN: Final = timedelta(seconds=1)


@dataclass
class _Round:
    """What one look at the works of a wave has led to."""

    wave: Wave
    dispatch: Dispatch
    at: datetime
    orders: list[Order] = field(default_factory=list)
    parents: list[Parent] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    looks: set[str] = field(default_factory=set)
    pressing: bool = False

    # Both cost a walk over all symbols and orders: most looks place nothing and need neither.

    @cached_property
    def cash(self) -> dict[str, Decimal]:
        """Money by currency that nothing has a claim to."""
        return self.dispatch.cash(self.wave)

    @cached_property
    def standing(self) -> Standing:
        """As of the dispatch, before the first child of this look."""
        return self.dispatch.standing(self.at)


class Workbench:
    """The works of one wave after the other. Its terms are those of the dispatch's settings."""

    def __init__(self, account: Account, guard: Guard, states: States, dispatch: Dispatch) -> None:
        self._account = account
        self._guard = guard
        self._states = states
        self._dispatch = dispatch
        self._touches: dict[str, Touch] = {}
        self._looked_at = EPOCH
        self._recalled = False  # a child is to be cancelled that was not before
        self._schedules: dict[tuple[str, str, Side], tuple[Parent, datetime]] = {}

    # --- what it knows -----------------------------------------------------------------------------------------------

    def restore(self, decision: Decision, parents: Iterable[Parent], orders: Iterable[Order]) -> None:
        """Go on after a stop: the schedules that its parents had begun, each with the moment of its last child."""
        made = [order for order in orders if order.decision_id == decision.id]
        for parent in sorted((each for each in parents if each.decision_id == decision.id), key=lambda each: each.first):
            children = [o for o in made if (o.symbol, o.side) == (parent.symbol, parent.side) and o.attempt >= parent.first]
            key = (decision.id, parent.symbol, parent.side)
            self._schedules[key] = parent, max((o.at for o in children), default=parent.at)

    def on_touch(self, event: TouchRead) -> None:
        """The touch of symbols; of each, what was asked for later counts."""
        for touch in event.touches:
            known = self._touches.get(touch.symbol)
            if known is None or known.at <= touch.at:
                self._touches[touch.symbol] = touch

    def forget(self) -> None:
        """A wave has settled: what its decision had begun is done."""
        self._schedules.clear()

    # --- what it does ------------------------------------------------------------------------------------------------

    def work(self, wave: Wave, at: datetime, symbols: frozenset[str] | None = None) -> Iterable[Event]:
        """Take the works of the wave, or those of some symbols, one step further, as far as that is possible now."""
        terms = self._dispatch.settings.terms
        works = [each for each in wave.works if not each.over and (symbols is None or each.leg.symbol in symbols)]
        if terms is None or not works:
            return ()
        made = _Round(wave, self._dispatch, at)
        for work in works:
            self._one(wave, work, terms, made, at)
        submitted = [SubmitOrders(wave.decision, tuple(made.orders), at, tuple(made.parents))] if made.orders else []
        return (*made.told, *submitted, *self._look(made, terms, at))

    def stop(self, wave: Wave, reason: str, at: datetime, symbols: frozenset[str] | None = None) -> Iterable[Event]:
        """Send nothing more of these works (None: of all); `reason` is a stable code. Open children are unwanted from here on."""
        for work in wave.works:
            if not work.over and (symbols is None or work.leg.symbol in symbols):
                yield from self._end(wave, work, reason, at)

    def recalls(self) -> bool:
        """Whether a child is to be cancelled that was not when this was asked last."""
        recalled, self._recalled = self._recalled, False
        return recalled

    def give_up(self, wave: Wave, theirs: Callable[[Leg], bool], reason: str, at: datetime) -> Iterable[Event]:
        """What is bought for somebody who is not to have more is bought no further; the part of others follows with the next decision."""
        symbols = {work.leg.symbol for work in wave.works if work.leg.spends_quote and theirs(work.leg)}
        return self.stop(wave, reason, at, frozenset(symbols))

    def _one(self, wave: Wave, work: Working, terms: Terms, made: _Round, at: datetime) -> None:
        stopped = self._stopped(wave, work)
        if stopped:
            made.told += self._end(wave, work, stopped, at)
            return
        if any(_hinders(work.leg, tracked) for tracked in wave.inherited):
            return
        work.judge(at)
        if work.turned_away(PASSING):
            work.begin_again()
        self._resume(wave, work, terms, at)
        match self._step(work, terms, at):
            case Place() as place:
                self._place(wave, work, place, terms, made, at)
            case Withdraw():
                work.withdrawn = work.live
                self._recalled = True
            case Look(pressing=pressing):
                made.looks.add(work.leg.symbol)
                made.pressing |= pressing
            case Finish(reason=reason):
                made.told += self._end(wave, work, reason, at)
            case _:
                pass

    def _step(self, work: Working, terms: Terms, at: datetime) -> Step:
        symbol = work.leg.symbol
        market = self._account.markets.get(symbol)
        if market is None or not market.active:
            return Finish(Reason.NOT_TRADABLE.value)
        if isinstance(terms, MakerTerms):
            return quoting.next_step(work, terms, market, self._touches.get(symbol), at)
        return slicing.next_step(work, terms, market, self._account.fresh_price(symbol, at), self._guard.volume(symbol), at)

    def _stopped(self, wave: Wave, work: Working) -> str:
        """Why nothing more of it may be sent, as a stable code; "" if it may: a hold, drift of what it buys, or a refusal that stands."""
        leg = work.leg
        if leg.spends_quote and currencies(leg.symbol)[0] in self._account.drift:
            return Reason.DRIFT.value
        hold = self._states.of_symbol(leg.symbol)
        if hold is not None and not self._states.permits(leg.symbol, leg.side, self._account.sign(leg.symbol)):
            return hold.code
        return wave.refused.get(leg.symbol, "")

    def _resume(self, wave: Wave, work: Working, terms: Terms, at: datetime) -> None:
        """Go on by the schedule that an earlier process or round has begun, if its time is not over."""
        if work.parent is not None or work.resumed is not None:
            return
        known = self._schedules.get((wave.decision.id, work.leg.symbol, work.leg.side))
        if known is not None and known[0].style is _style(terms) and at < known[0].until:
            work.resumed, work.last_at = known

    # --- children ----------------------------------------------------------------------------------------------------

    def _place(self, wave: Wave, work: Working, place: Place, terms: Terms, made: _Round, at: datetime) -> None:
        """A child, as far as money and limits let it; its parent is begun with the first."""
        cash, claim = made.cash, work.claim
        leg = self._affordable(self._leg(work, place), cash[work.leg.quote] + claim)
        if leg is None:
            wave.left[work.leg.symbol] = Reason.UNFUNDED.value
            work.keep_back(at, at + JUDGED_AGAIN)
            return
        orders, told = self._dispatch.admit(wave, (leg,), at, made.standing)
        made.told += told
        if not orders:
            made.told += self._held_back(wave, work, at)
            return
        (order,) = orders
        if work.parent is None:
            parent = self._parent(work, terms, order)
            work.begin(parent)
            self._schedules.pop((order.decision_id, order.symbol, order.side), None)
            made.parents.append(parent)
            made.told.append(ParentBegun(parent, at))
        work.take(wave.orders[-1])
        wave.children[order.id] = work
        if order.spends_quote:
            cash[leg.quote] += claim - work.claim - order.reserve
        made.orders.append(order)

    def _held_back(self, wave: Wave, work: Working, at: datetime) -> Iterable[Event]:
        """Limits let no child through. What most of them look at passes.

        Room beside a liquidation comes from what this wave reduces only, and room in a day from orders under way that end short.
        """
        reason = wave.left.get(work.leg.symbol, "")
        cramped = reason == Risk.LIQUIDATION_ROOM and not self._dispatch.makes_room(wave, at)
        if cramped or (reason in NEXT_DAY and not self._dispatch.under_way(at)):
            return self._end(wave, work, reason, at)
        work.keep_back(at, at + JUDGED_AGAIN)
        return ()

    def _leg(self, work: Working, place: Place) -> Leg:
        """A child as a leg, with what it may take at worst."""
        leg, rules, market = work.leg, self._dispatch.settings.rules, self._account.markets[work.leg.symbol]
        if market.shortable:
            child = opened(market, leg.side, place.amount, place.price, rules) if leg.spends_quote else leg.resized(place.amount)
            return child._replace(price=place.price, limit=place.limit, post_only=place.post_only)
        worst = place.price * (ONE + rules.slippage) if place.limit is None else place.limit
        reserve = place.amount * worst * (ONE + market.taker_fee) if leg.side is Side.BUY else place.amount
        return Leg(leg.symbol, leg.side, place.amount, place.price, reserve, place.limit, place.post_only)

    def _affordable(self, leg: Leg, cash: Decimal) -> Leg | None:
        """As much of a child as there is money, or coins, for; None: not enough for an order."""
        market = self._account.markets[leg.symbol]
        free = max(ZERO, cash) if leg.spends_quote else self._account.sellable(leg.symbol)
        if leg.reserve <= free:
            return leg
        amount = market.floor(leg.amount * free / leg.reserve)
        return leg.resized(amount) if amount >= smallest_part(leg, market, leg.price) else None

    def _parent(self, work: Working, terms: Terms, order: Order) -> Parent:
        """What is worked on from here on; the time that an earlier process had given it goes on."""
        begun = work.resumed
        slices, interval = 0, timedelta(0)
        if not isinstance(terms, MakerTerms):
            interval = terms.interval
            slices = slicing.parts(work.leg.amount, terms, self._account.markets[order.symbol], order.price)
        return Parent(
            decision_id=order.decision_id,
            symbol=order.symbol,
            side=order.side,
            first=order.attempt,
            amount=work.leg.amount,
            price=work.leg.price,
            style=_style(terms),
            at=begun.at if begun else order.at,
            until=begun.until if begun else order.at + (slices * interval or terms.lasts),
            slices=begun.slices if begun else slices,
            interval=begun.interval if begun else interval,
        )

    # --- the touch ---------------------------------------------------------------------------------------------------

    def _look(self, made: _Round, terms: Terms, at: datetime) -> Iterable[Event]:
        """Ask for the touch: soon where something waits for it, else as often as a quote may be renewed."""
        pause = terms.min_reprice if isinstance(terms, MakerTerms) and not made.pressing else LOOK_EVERY
        if not made.looks or at - self._looked_at < max(pause, LOOK_EVERY):
            return ()
        self._looked_at = at
        return (ReadTouch(tuple(sorted(made.looks)), at),)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _end(self, wave: Wave, work: Working, reason: str, at: datetime) -> Iterable[Event]:
        """It is worked on no more. What a limit took from a child is the reason of what is left, unless other children made up for it."""
        work.end(reason)
        self._recalled |= work.live is not None
        symbol = work.leg.symbol
        limited = wave.left.get(symbol, "") not in ("", work.planned)
        if not reason or symbol in wave.refused:
            wave.left.pop(symbol, None)
            wave.left.update({symbol: work.planned} if work.planned else {})
        elif not (limited and reason == Reason.UNFILLED):
            wave.left[symbol] = reason
        if work.parent is not None:
            made = sum((child.filled for child in work.children if child.order.post_only), ZERO)
            yield ParentEnded(work.parent, work.filled, made, reason, at)


def _hinders(leg: Leg, tracked: Tracked) -> bool:
    """Whether an order of the process before is still to end, cancelled as it is: there is one child at a time, across a restart too."""
    order = tracked.order
    return (order.symbol, order.side) == (leg.symbol, leg.side) and not (tracked.settled or tracked.state is State.UNKNOWN)


def _style(terms: Terms) -> Style:
    return Style.MAKER_THEN_TAKER if isinstance(terms, MakerTerms) else Style.TWAP
