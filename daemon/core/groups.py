"""Groups: the legs of a wave that belong together are cut, released, completed and taken back together.

Rule: a group moves by slices, each leg by the same share of its way; the next slice goes once this one is whole on every leg. Whatever a
group waits for, and what it does about it, is told and written.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from daemon.core.account import Account
from daemon.core.bonds import Bond, Courses, Phase, apart, behind, level, lowest, merged, moving, slack, steps
from daemon.core.model import ZERO, Cause
from daemon.core.ordertable import OrderTable
from daemon.core.planner_inputs import ONE, Rules, exact
from daemon.core.planner_legs import Leg, Plan, Reason, arriving, bought, capped, reaches_minimum, smallest, sold
from daemon.core.planner_swaps import stepped
from daemon.core.steering import KeepState
from daemon.core.styles import GroupJudged, GroupTerms
from daemon.core.wave import Wave

KEY: Final = "groups"  # under which the journal keeps those that are not done with

# What must go, whatever belongs to it.
ALONE: Final = frozenset({Cause.FLATTENING, Cause.UNIVERSE})

# Why the planner leaves a symbol that is no hindrance: it is where it should be, as near as makes sense.
NEAR_ENOUGH: Final = frozenset({Reason.IN_BAND, Reason.STEP, Reason.DUST, Reason.BELOW_MINIMUM})


# What has not helped helps no more before time has passed, in a backtest too, whose time stands still between two bars.
LEAST: Final = timedelta(milliseconds=1)


class Groups:
    """The groups of the wave that is worked on, and what is known of those before it.

    `more`: there should be another round for the sake of a group.
    """

    def __init__(self, account: Account, table: OrderTable) -> None:
        self._account = account
        self._table = table
        self._known: dict[tuple[str, ...], Bond] = {}
        self._bonds: list[Bond] = []
        self._barred: set[tuple[str, ...]] = set()
        self._come: dict[tuple[str, ...], Decimal] = {}  # the share that every leg had done when the last slice had ended
        self._unwritten = False
        self._began: datetime | None = None  # when the wave did
        self.more = False

    def restore(self, kept: str | None) -> None:
        """Go on after a stop, with what the journal knows of groups that were not done with."""
        for told in json.loads(kept or "[]"):
            symbols = tuple(told["symbols"])
            starts, goals = ({s: Decimal(amount) for s, amount in told[key].items()} for key in ("starts", "goals"))
            since, until = (told[key] and datetime.fromisoformat(told[key]) for key in ("since", "until"))
            self._known[symbols] = Bond(symbols, starts, goals, Phase(told["phase"]), since, until, told["decision"])

    # --- a wave begins -----------------------------------------------------------------------------------------------

    def begin(self, wave: Wave, at: datetime) -> None:
        """Take up the groups of a decision. What a limit has cut from one leg is cut from all: the ratio is that of the targets."""
        decision, self._began = wave.decision, at
        wanted = () if decision.cause in ALONE else merged(decision.groups)
        self._bonds = [self._bond(wave, symbols, at) for symbols in wanted if set(symbols) <= self._account.markets.keys()]
        self._barred = {bond.symbols for bond in self._bonds if self._waits(bond, at)}
        self._come.clear()

    def _bond(self, wave: Wave, symbols: tuple[str, ...], at: datetime) -> Bond:
        decision, book = wave.decision, wave.book
        asked = {symbol: decision.weights.get(symbol, 0.0) for symbol in symbols}
        part = min((abs(wave.weights.get(s, 0.0) / weight) for s, weight in asked.items() if weight), default=1.0)
        bond = self._known.setdefault(symbols, Bond(symbols))
        starts = self._starts(bond, wave)
        bond.decision = decision.id
        for symbol in symbols:
            if wave.weights.get(symbol, 0.0) != asked[symbol] * part:
                wave.weights[symbol] = asked[symbol] * part
            held, worth = self._account.traded(symbol), self._worth(wave, symbol)
            goal = exact(wave.weights.get(symbol, 0.0)) * book.equity / worth if worth else held
            start = starts.get(symbol, held)
            least = self._smallest(symbol, book.prices.get(symbol))
            # A leg that stands beyond its goal comes back from there.
            beyond = abs(goal - start) < least or (held - goal) * (goal - start) > 0
            bond.starts[symbol] = held if beyond and abs(goal - held) >= least else start
            bond.goals[symbol] = goal
        if bond.phase in (Phase.UNWINDING, Phase.STUCK):  # another wish: what is apart now may be what is wanted
            bond.phase, bond.since = Phase.UNBALANCED, bond.since or at
        bond.gap = apart(self._courses(bond, wave))
        return bond

    def _starts(self, bond: Bond, wave: Wave) -> dict[str, Decimal]:
        """From where its legs go now, as far as that is not where they stand."""
        on_way = bond.phase in (Phase.BALANCED, Phase.UNBALANCED)
        if on_way and bond.decision == wave.decision.id:
            return dict(bond.starts)  # after a crash it goes on
        # What is apart stays apart for another wish. From where it began, a slice the other way would be as large as all it has done.
        courses = self._courses(bond, wave)
        return bond.even(courses) if not on_way or apart(courses) > slack(courses) else {}

    def _waits(self, bond: Bond, at: datetime) -> bool:
        """Whether it would grow before it may."""
        if bond.until is None or at >= bond.until:
            return False
        return any(abs(bond.goals[symbol]) > abs(self._account.traded(symbol)) for symbol in bond.symbols)

    # --- a round is planned ------------------------------------------------------------------------------------------

    def marshalled(self, wave: Wave, made: Plan, terms: GroupTerms) -> Plan:
        """The plan with the legs of each group in step, first in the order of the money."""
        reduces, grows, left = list(made.reduces), list(made.grows), dict(made.left)
        for bond in self._bonds:
            members = frozenset(bond.symbols)
            planned = members & {leg.symbol for leg in made.legs}
            if not planned and bond.phase is Phase.BALANCED:
                continue
            reduces = [leg for leg in reduces if leg.symbol not in members]
            grows = [leg for leg in grows if leg.symbol not in members]
            if bond.symbols in self._barred:
                left |= dict.fromkeys(sorted(planned), Reason.GROUP_PAUSE.value)
                continue
            legs, waits = self._legs(bond, wave, made, terms)
            self._unwritten |= bool(legs) and self._come.setdefault(bond.symbols, min(ZERO, lowest(self._courses(bond, wave)))) <= 0
            reduces += [leg for leg in legs if not leg.spends_quote]
            grows = [*(leg for leg in legs if leg.spends_quote), *grows]
            left |= {symbol: left.get(symbol, Reason.GROUP.value) for symbol in sorted(waits)}
        return replace(made, reduces=tuple(reduces), grows=tuple(grows), left=left)

    def _legs(self, bond: Bond, wave: Wave, made: Plan, terms: GroupTerms) -> tuple[list[Leg], set[str]]:
        """The legs of its next slice, and the symbols that are not at their goals with it."""
        courses = self._courses(bond, wave)
        planned = {leg.symbol for leg in made.legs}
        hindered = {s for s in moving(courses) if not self._may_go(made.left.get(s), planned=s in planned)}
        hindered |= {symbol for symbol in bond.symbols if symbol not in courses}
        if hindered - courses.keys():
            return [], set(bond.symbols)  # of one it is not known what it is worth
        unwinding = bond.phase in (Phase.UNWINDING, Phase.STUCK)
        to = level(courses, terms.size * wave.book.equity, () if unwinding else hindered)
        barred = self._barred_now(wave, bond.symbols) if unwinding else hindered
        wanted = {symbol: amount for symbol, amount in steps(courses, to).items() if symbol not in barred}
        legs = [leg for symbol, amount in wanted.items() for leg in self._orders(wave, symbol, amount, made.inputs.rules)]
        return legs, {symbol for symbol, course in moving(courses).items() if to < ONE or course.done < to}

    def _may_go(self, left: str | None, *, planned: bool) -> bool:
        """Whether the planner has no objection to a leg; that it wants to go in several orders is none."""
        return left is None or left in NEAR_ENOUGH or (planned and left == Reason.AMOUNT_MAX)

    def _barred_now(self, wave: Wave, symbols: Iterable[str]) -> set[str]:
        """Those that cannot be traded at all, whatever is wanted."""
        book, markets = wave.book, self._account.markets
        return {s for s in symbols if s in book.untouchable or s in book.moving or not markets[s].active}

    def _orders(self, wave: Wave, symbol: str, amount: Decimal, rules: Rules) -> tuple[Leg, ...]:
        """So much of a symbol as orders, as far as it can be: one, or of a swap that turns two."""
        market, price = self._account.markets[symbol], wave.book.prices[symbol]
        if market.shortable:
            return stepped(market, self._account.traded(symbol), amount, price, rules)
        whole = amount / arriving(market, rules) if amount > 0 else min(-amount, wave.book.free.get(symbol, ZERO))
        size = capped(market, market.floor(whole), price)
        if not reaches_minimum(market, size, price):
            return ()
        return (bought(market, size, price, rules) if amount > 0 else sold(market, size, price),)

    def noted(self, at: datetime) -> Iterator[KeepState]:
        """Before a group's first orders: where it came from, so that a crash in the middle of a slice leaves no leg alone unnoticed."""
        if self._unwritten:
            self._unwritten = False
            yield self.kept(at)

    # --- a round has ended -------------------------------------------------------------------------------------------

    def review(self, wave: Wave, terms: GroupTerms, retry: timedelta, at: datetime) -> Iterator[GroupJudged | KeepState]:
        """See how each group stands, now that every order of the round has ended, and what is to be done about it."""
        self.more = False
        doubtful = {tracked.order.symbol for tracked in self._table if not tracked.settled}
        changed = False
        for bond in self._bonds:
            if bond.symbols in self._barred or not doubtful.isdisjoint(bond.symbols):
                continue  # while nobody knows what became of an order, nothing is concluded from what is held
            courses, before = self._courses(bond, wave), bond.phase
            hopeless = all(symbol in wave.refused for symbol in behind(courses))
            phases = bond.judge(courses, terms, at, began=self._began or at, hopeless=hopeless and bool(behind(courses)))
            for phase in phases:
                yield GroupJudged(wave.decision.id, bond.symbols, phase.value, apart(courses), behind(courses), at)
            changed |= bool(phases)
            if bond.phase is Phase.BALANCED and not {Phase.UNWINDING, Phase.STUCK}.isdisjoint((before, *phases)):
                self._barred.add(bond.symbols)  # it is back where it began, and its wave is over
            else:
                self._plan_on(bond, wave, retry, at, turned=Phase.UNWINDING in phases)
        if changed:
            yield self.kept(at)

    def _plan_on(self, bond: Bond, wave: Wave, retry: timedelta, at: datetime, *, turned: bool) -> None:
        """Another round at once for the next slice or the first way back, or a little later to try again what has not helped."""
        if bond.phase is Phase.UNWINDING:
            self._aim_back(bond, wave)
        courses = self._courses(bond, wave)
        come = lowest(courses)
        before = self._come.get(bond.symbols, ZERO)
        if bond.phase is Phase.STUCK or not moving(courses) or (bond.phase is Phase.BALANCED and not before < come < ONE):
            return
        self.more = True
        if bond.phase is Phase.BALANCED:
            self._come[bond.symbols] = come
        elif turned:
            wave.retry_at = None
        elif wave.retry_at is None:
            wave.retry_at = at + max(retry, LEAST)

    def _aim_back(self, bond: Bond, wave: Wave) -> None:
        """What is taken back is what the wave wants now."""
        for symbol in bond.symbols:
            if worth := self._worth(wave, symbol):
                wave.weights[symbol] = float(bond.goals[symbol] * worth / wave.book.equity) if wave.book.equity > 0 else 0.0

    # --- what lasts --------------------------------------------------------------------------------------------------

    def kept(self, at: datetime) -> KeepState:
        """What the next start must know: groups that are apart, or may not grow yet."""
        told: list[dict[str, Any]] = [
            {
                "symbols": bond.symbols,
                "starts": {symbol: str(amount) for symbol, amount in bond.starts.items()},
                "goals": {symbol: str(amount) for symbol, amount in bond.goals.items()},
                "decision": bond.decision,
                "phase": bond.phase.value,
                "since": bond.since and bond.since.isoformat(),
                "until": bond.until and bond.until.isoformat(),
            }
            for bond in self._known.values()
            if bond in self._bonds or bond.phase is not Phase.BALANCED or (bond.until is not None and at < bond.until)
        ]
        return KeepState(KEY, json.dumps(told), at)

    # --- values ------------------------------------------------------------------------------------------------------

    def _courses(self, bond: Bond, wave: Wave) -> Courses:
        prices = {s: wave.book.prices[s] for s in bond.symbols if s in wave.book.prices and self._worth(wave, s)}
        worths = {symbol: self._worth(wave, symbol) for symbol in prices}
        held = {symbol: self._account.traded(symbol) for symbol in bond.symbols}
        return bond.courses(held, worths, {symbol: self._smallest(symbol, price) for symbol, price in prices.items()})

    def _worth(self, wave: Wave, symbol: str) -> Decimal:
        """What a base unit is worth in the account's currency; 0 where that is not known."""
        rate = wave.book.rates.get(self._account.markets[symbol].quote, ZERO)
        return wave.book.prices.get(symbol, ZERO) * rate

    def _smallest(self, symbol: str, price: Decimal | None) -> Decimal:
        market = self._account.markets[symbol]
        return market.lot if not price else smallest(market, price)


def in_step(groups: Iterable[Iterable[str]], now: tuple[Leg, ...], later: tuple[Leg, ...]) -> tuple[tuple[Leg, ...], tuple[Leg, ...]]:
    """The buys that may go now, without those of a group of which another must wait."""
    waits = {leg.symbol for leg in later}
    apart_ = {symbol for group in groups if not waits.isdisjoint(group) for symbol in group}
    return tuple(leg for leg in now if leg.symbol not in apart_), (*(leg for leg in now if leg.symbol in apart_), *later)
