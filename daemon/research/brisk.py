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

from daemon.core.apportion import total
from daemon.core.events import BookSleeves, SleevesBooked, TargetsChosen
from daemon.core.model import CLOSE, EXACT, ZERO, Cause, Decision, Slice
from daemon.core.ordergate import UNLIMITED
from daemon.core.paper_orders import Deal, net
from daemon.core.planner import plan
from daemon.core.planner_funds import fund, scale
from daemon.core.planner_inputs import ONE, Book, Inputs
from daemon.core.planner_legs import BUY, Leg, Plan
from daemon.core.trading import Settings
from daemon.core.wave import IN_THE_WAY, Wave
from daemon.parts import Core
from daemon.research.record import Record
from daemon.research.venue import StoredVenue
from daemon.research.worked import Worked


@dataclass(slots=True)
class _Course:
    """How a wave goes: the buys that wait for money, the `cash` there is and what of it is reserved by symbol, the `sells` still to come.

    `legs` are the orders so far, `deals` their trades, each in its order.
    """

    waiting: Sequence[Leg]
    cash: Decimal
    sells: int
    reserved: dict[str, Decimal] = field(default_factory=dict)
    legs: list[Leg] = field(default_factory=list)
    deals: list[Deal] = field(default_factory=list)


class Brisk:
    """Works off decisions. Where it may not, the account of the venue is as it was."""

    def __init__(self, core: Core, venue: StoredVenue, record: Record, settings: Settings) -> None:
        self._core = core
        self._venue = venue
        self._record = record
        self._settings = settings
        self._column = {symbol: column for column, symbol in enumerate(core.symbols)}
        self._able = self._is_able()
        self.calm = False  # nothing but waves in one go has happened since it was seen that nothing is under way

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
        self.calm = self._able and (self.calm or self._is_calm())
        if not self.calm or decision.cause is not Cause.DUE or decision.groups or decision.exits_until is not None:
            return False
        weights, cuts = manager.guard.begin(decision, at)
        book = self._book(weights, closed)
        if book is None:
            return False
        made = self._planned(decision, weights, book)
        if made.changed or not IN_THE_WAY.isdisjoint(made.left.values()):
            return False
        course = self._worked(made, at)
        if course is None:
            return False
        self._settle(decision, weights, book, course, at)
        for cut in cuts:
            self._record.tell(cut)
        return True

    def _is_calm(self) -> bool:
        """Whether nothing is under way, restricted, in doubt, kept aside, or held by nobody."""
        core = self._core
        account, names = core.account, core.portfolio.names
        calm = core.manager.rests and core.breakers.at_ease and not self._venue.waiting and not account.foreign_locked
        if not calm or account.unvalued or account.drift or account.kept():
            return False
        if core.portfolio.owners <= {*names}:
            return True
        return all(owner in names for owner, currency in core.portfolio.holdings() if currency != account.quote)

    def _book(self, weights: Mapping[str, float], closed: Slice) -> Book | None:
        """As of Account.book, of what is held or wanted. None: not all of it has a price of now."""
        account, held = self._core.account, self._core.ledger.units
        prices: dict[str, Decimal] = {}
        units: dict[str, Decimal] = {}
        for symbol in sorted(account.held_symbols | weights.keys()):
            column = self._column.get(symbol)
            if column is None or closed.age[column]:
                return None
            prices[symbol] = Decimal(repr(closed.panel.item(CLOSE, column)))
            units[symbol] = held.get(self._venue.markets[symbol].base, ZERO)
        return Book(
            projected=units,
            free=units,
            prices=prices,
            cash={account.quote: account.money(account.quote)},
            rates={account.quote: ONE},
            equity=account.capital(),
        )

    def _planned(self, decision: Decision, weights: Mapping[str, float], book: Book) -> Plan:
        """What is to be traded, as of Dispatch.planned; whoever is neither held nor wanted has no part in it."""
        rules, markets = self._settings, self._core.account.markets
        caps = dict.fromkeys(weights, rules.limits.weight_max)
        here = {symbol: markets[symbol] for symbol in book.prices}
        return plan(Inputs(weights=weights, book=book, markets=here, rules=rules.rules, keep=decision.keep, caps=caps))

    # --- how it goes -------------------------------------------------------------------------------------------------

    def _worked(self, made: Plan, at: datetime) -> _Course | None:
        """Orders and trades as they follow from one another; None: it does not go plainly, and the venue's account is as it was."""
        venue, account = self._venue, self._core.account
        draft, course = venue.draft(), _Course(made.grows, account.money(account.quote), len(made.reduces), legs=[*made.reduces])
        sent: deque[Sequence[Leg]] = deque([(*made.reduces, *self._released(course))])
        while sent:
            deals = venue.trade(sent.popleft(), at, draft)
            if deals is None:
                return None
            for deal in deals:  # each brings money, or leaves what it does not need any more
                course.deals.append(deal)
                if deal.leg.side is BUY:
                    course.cash = EXACT.subtract(course.cash, deal.quote)
                    del course.reserved[deal.leg.symbol]
                else:
                    course.cash = EXACT.add(course.cash, deal.quote)
                    course.sells -= 1
                if course.waiting and (more := self._released(course)):
                    sent.append(more)
        venue.keep(draft)
        return course

    def _released(self, course: _Course) -> Sequence[Leg]:
        """The buys that the money pays for, as of Dispatch.release."""
        if not course.waiting:
            return ()
        free = {self._core.account.quote: course.cash - sum(course.reserved.values(), ZERO)}
        if course.sells:
            now, course.waiting = fund(course.waiting, free)
        else:
            (now, _), course.waiting = scale(course.waiting, free, self._core.account.markets), ()
        for leg in now:
            course.reserved[leg.symbol] = leg.reserve * leg.amount / leg.amount  # rounded as that of any part
        course.legs += now
        return now

    # --- what has come of it -----------------------------------------------------------------------------------------

    def _settle(self, decision: Decision, weights: dict[str, float], book: Book, course: _Course, at: datetime) -> None:
        """Have every part know what it would have learnt."""
        core, (name,) = self._core, self._core.portfolio.names
        for request in (
            () if self._is_funded(decision, book) else core.manager.sleeves.fund(Wave(decision, weights, book, priced_at=at), at)
        ):
            self._hear(request)
        if course.deals:
            core.portfolio.take(net(course.deals), total([deal.cost for deal in course.deals]), name, at)
        core.manager.decision, core.manager.targets, core.manager.last_wave = decision, weights, None
        self._record.work(Worked(self._settings.instance, name, decision.id, at, course.legs, course.deals))

    def _is_funded(self, decision: Decision, book: Book) -> bool:
        """Whether the one strategy has all there is, and is to have it."""
        core, (name,) = self._core, self._core.portfolio.names
        return decision.shares.get(name) == 1.0 and book.equity == core.account.equity() and core.portfolio.owners == {name}

    def _hear(self, request: BookSleeves) -> None:
        booked = SleevesBooked(request.booking, request.at)
        for hear in (self._core.analyzer.on_booked, self._core.portfolio.on_booked, self._core.curves.on_booked):
            hear(booked)
