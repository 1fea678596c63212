"""Brisk: the wave of the plain case, worked off in one go: market orders of one strategy that the next bars fill whole.

Rule: the same orders, trades and holdings, to the last digit, as the parts make of it event by event; or nothing at all. Whatever is not
plain (a limit on orders, a hold, a target that does not fit, an order that is refused or cut short) is left to them, before anything has
changed.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from daemon.core.events import BookSleeves, SleevesBooked, TargetsChosen
from daemon.core.model import CLOSE, ZERO, Cause, Decision, Fill, Order, Slice
from daemon.core.ordergate import UNLIMITED
from daemon.core.paper import Denied
from daemon.core.planner import plan
from daemon.core.planner_funds import fund, scale
from daemon.core.planner_inputs import ONE, Book, Inputs, exact
from daemon.core.planner_legs import Leg, Plan
from daemon.core.trading import Settings
from daemon.core.wave import IN_THE_WAY, Wave, intent
from daemon.parts import Core
from daemon.research.record import Record
from daemon.research.venue import StoredVenue

# Each symbol has one order in a plain wave.
FIRST: Final = 1


@dataclass(slots=True)
class _Course:
    """How a wave goes: the buys that wait for money, the `cash` there is, what of it is reserved, and how many `sells` may bring more."""

    waiting: Sequence[Leg]
    cash: Decimal
    sells: int
    reserved: dict[str, Decimal] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)


class Brisk:
    """Works off decisions. Where it may not, the account of the venue is as it was."""

    def __init__(self, core: Core, venue: StoredVenue, record: Record, settings: Settings) -> None:
        self._core = core
        self._venue = venue
        self._record = record
        self._settings = settings
        self._column = {symbol: column for column, symbol in enumerate(core.symbols)}
        self._able = self._is_able()

    def _is_able(self) -> bool:
        """Whether nothing that is configured has a say in a plain wave."""
        core, rules = self._core, self._settings
        styled = rules.price_cap is not None or rules.terms is not None or rules.shadow or rules.approve
        between = rules.off_target is not None or rules.cooldown or core.runner.restate or core.membership.rule is not None
        limited = rules.order_limits != UNLIMITED or core.manager.guard.watches
        several = len(core.portfolio.names) > 1 or len(core.account.quotes) > 1 or core.account.may_be_short
        quick = core.timeframe <= rules.fresh  # the price of an earlier bar would do
        return not (styled or between or limited or several or quick) and self._venue.takes_all

    def take(self, chosen: TargetsChosen, closed: Slice) -> bool:
        """Work a decision off that rests on a slice. False: it is not plain, and nothing has been done."""
        decision, at, manager = chosen.decision, chosen.at, self._core.manager
        if not (self._able and self._is_plain(decision)):
            return False
        weights, cuts = manager.guard.begin(decision, at)
        book = self._book(weights, closed)
        if book is None:
            return False
        wave = Wave(decision, weights, book, priced_at=at)
        made = self._planned(wave)
        if made.changed or not IN_THE_WAY.isdisjoint(made.left.values()):
            return False
        course = self._worked(wave, made, at)
        if course is None:
            return False
        self._settle(wave, course, at)
        for cut in cuts:
            self._record.tell(cut)
        return True

    def _is_plain(self, decision: Decision) -> bool:
        """Whether nothing is under way, restricted, in doubt, kept aside, or held by nobody."""
        core = self._core
        account, names = core.account, core.portfolio.names
        calm = core.manager.rests and core.breakers.at_ease and not self._venue.waiting and not account.foreign_locked
        plain = decision.cause is Cause.DUE and not decision.groups and decision.exits_until is None
        if not (calm and plain) or account.unvalued or account.drift or account.kept():
            return False
        return all(owner in names for owner, currency in core.portfolio.holdings() if currency != account.quote)

    def _book(self, weights: Mapping[str, float], closed: Slice) -> Book | None:
        """As of Account.book, of what is held or wanted. None: not all of it has a price of now."""
        account, held = self._core.account, self._core.ledger.units
        prices: dict[str, Decimal] = {}
        for symbol in sorted(account.held_symbols | weights.keys()):
            column = self._column.get(symbol)
            if column is None or closed.age[column]:
                return None
            prices[symbol] = exact(closed.panel[CLOSE, column])
        units = {symbol: held.get(self._venue.markets[symbol].base, ZERO) for symbol in prices}
        return Book(
            projected=units,
            free=units,
            prices=prices,
            cash={account.quote: account.money(account.quote)},
            rates={account.quote: ONE},
            equity=account.capital(),
        )

    def _planned(self, wave: Wave) -> Plan:
        """What is to be traded, as of Dispatch.planned; whoever is neither held nor wanted has no part in it."""
        rules, weights, markets = self._settings, wave.weights, self._core.account.markets
        caps = dict.fromkeys(weights, rules.limits.weight_max)
        here = {symbol: markets[symbol] for symbol in wave.book.prices}
        return plan(Inputs(weights=weights, book=wave.book, markets=here, rules=rules.rules, keep=wave.decision.keep, caps=caps))

    # --- how it goes -------------------------------------------------------------------------------------------------

    def _worked(self, wave: Wave, made: Plan, at: datetime) -> _Course | None:
        """Orders and trades as they follow from one another; None: it does not go plainly, and the venue's account is as it was."""
        before = self._venue.checkpoint()
        course = _Course(made.grows, self._core.account.money(self._core.account.quote), len(made.reduces))
        sells = self._ordered(wave, made.reduces, course, at)
        sent: deque[Sequence[Order]] = deque([(*sells, *self._released(wave, course, at))])
        while sent:
            trades = [self._trade(order, at) for order in sent.popleft()]
            for order, fill in trades:
                if fill is None:
                    self._venue.roll_back(before)
                    return None
                self._count(course, order, fill)
                if course.waiting and (more := self._released(wave, course, at)):
                    sent.append(more)
        return course

    def _trade(self, order: Order, at: datetime) -> tuple[Order, Fill | None]:
        try:
            return order, self._venue.trade(order, at)
        except Denied:
            return order, None

    def _count(self, course: _Course, order: Order, fill: Fill) -> None:
        """News of a trade: money that has come, or is not reserved any more."""
        course.fills.append(fill)
        course.cash = self._core.ledger.after(fill, self._core.account.quote, course.cash)
        if course.reserved.pop(order.id, None) is None:
            course.sells -= 1

    def _released(self, wave: Wave, course: _Course, at: datetime) -> list[Order]:
        """Orders for the buys that the money pays for, as of Dispatch.release."""
        if not course.waiting:
            return []
        free = {self._core.account.quote: course.cash - sum(course.reserved.values(), ZERO)}
        if course.sells:
            now, course.waiting = fund(course.waiting, free)
        else:
            (now, _), course.waiting = scale(course.waiting, free, self._core.account.markets), ()
        orders = self._ordered(wave, now, course, at)
        course.reserved |= {order.id: order.reserve * order.amount / order.amount for order in orders}  # rounded as that of any part
        return orders

    def _ordered(self, wave: Wave, legs: Sequence[Leg], course: _Course, at: datetime) -> list[Order]:
        instance, (name,) = self._settings.instance, self._core.portfolio.names
        orders = [intent(instance, wave.decision.id, leg, FIRST, at, {name: leg.amount}) for leg in legs]
        course.orders += orders
        return orders

    # --- what has come of it -----------------------------------------------------------------------------------------

    def _settle(self, wave: Wave, course: _Course, at: datetime) -> None:
        """Have every part know what it would have learnt."""
        core, (name,) = self._core, self._core.portfolio.names
        for request in () if self._is_funded(wave) else core.manager.sleeves.fund(wave, at):
            self._hear(request)
        for fill in course.fills:
            core.portfolio.take(fill, name)
        core.manager.decision, core.manager.targets, core.manager.last_wave = wave.decision, wave.weights, None
        self._record.work(course.orders, course.fills)

    def _is_funded(self, wave: Wave) -> bool:
        """Whether the one strategy has all there is, and is to have it."""
        core, (name,) = self._core, self._core.portfolio.names
        alone = wave.decision.shares.get(name) == 1.0 and wave.book.equity == core.account.equity()
        return alone and all(owner == name for owner, _ in core.portfolio.holdings())

    def _hear(self, request: BookSleeves) -> None:
        booked = SleevesBooked(request.booking, request.at)
        for hear in (self._core.analyzer.on_booked, self._core.portfolio.on_booked, self._core.curves.on_booked):
            hear(booked)
