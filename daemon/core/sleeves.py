"""Sleeves: between what the strategies wish and what the account trades.

Rule: at a decision each strategy's sleeve is given its share of the capital, opposing wishes meet inside without an order, and what is left
is traded by the account as one. What sleeves give each other never changes the account. On spot no sleeve gives what it does not hold.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext
from functools import partial
from math import fsum
from typing import Final

from daemon.core.account import Account
from daemon.core.apportion import GRAIN, share_out, total
from daemon.core.events import BookSleeves
from daemon.core.model import EXACT, ZERO, Booking, Cause, Decision, Entry, Instrument, Side
from daemon.core.ordertable import OrderTable
from daemon.core.planner_inputs import exact
from daemon.core.planner_legs import Leg, smallest
from daemon.core.portfolio import CAPITAL, CROSS, HANDOVER, UNASSIGNED, Apart, Portfolio
from daemon.core.states import Level, Scope, States
from daemon.core.wave import Wave

Amounts = Mapping[str, Decimal]  # base units by sleeve

# Capital is moved in these units of quote; nobody would trade for less.
CENT: Final = Decimal("1E-8")


class Sleeves:
    """What the order manager asks about the strategies behind a decision.

    `keep_removed`: what strategies that are configured no more have left is kept and counted, and neither traded nor put to work; so is,
    with `fenced`, what has been ring-fenced.
    """

    def __init__(
        self, portfolio: Portfolio, account: Account, table: OrderTable, states: States, *, keep_removed: bool = False, fenced: bool = True
    ) -> None:
        self.portfolio = portfolio
        self._account, self._table, self._states = account, table, states
        self._fenced = fenced
        self.renew(portfolio.names, keep_removed=keep_removed)

    def renew(self, names: Iterable[str], *, keep_removed: bool) -> None:
        """Take up which strategies are configured, and what becomes of what others have left; `hand_over` follows."""
        self.portfolio.names = tuple(names)
        self._keep_removed = keep_removed
        self._account.aside = partial(self.portfolio.aside, removed=keep_removed, fenced=self._fenced)
        self._account.kept = self.portfolio.kept

    def apart(self, currency: str) -> tuple[Apart, ...]:
        """What of a coin is counted and not traded, and whose it was."""
        return self.portfolio.apart(currency, removed=self._keep_removed, fenced=self._fenced)

    # --- what the account wants --------------------------------------------------------------------------------------

    def net(self, decision: Decision) -> Mapping[str, float]:
        """The account's target weights before any limit: all wishes together, as far as holds on strategies let them through."""
        names = decision.by_strategy.keys()
        if self._states.free and self.portfolio.knows(names):
            return decision.weights
        if self.portfolio.knows(names) and not any(self._level(name) is not Level.ACTIVE for name in names) and not self._waits(decision):
            return decision.weights
        wishes = self._wishes(decision)[0].values()
        return {s: fsum(weights.get(s, 0.0) for weights in wishes) for s in sorted({s for weights in wishes for s in weights})}

    def _level(self, sleeve: str) -> Level:
        return self._states.level(Scope(strategy=sleeve))

    def _waits(self, decision: Decision) -> bool:
        """Whether the decision is about strategies whose holdings are to be sold, and the others wait for the next one."""
        if decision.cause is not Cause.FLATTENING or self._states.level() is Level.FLATTENING:
            return False
        return any(hold.scope.strategy and hold.level is Level.FLATTENING for hold in self._states.holds())

    def _wishes(self, decision: Decision) -> tuple[dict[str, Mapping[str, float]], frozenset[str]]:
        """By sleeve, what it wants, in weights of the capital; and the sleeves that stay as they are."""
        if not decision.shares:
            return {UNASSIGNED: decision.weights}, frozenset()  # nobody says for whom it is
        wishes: dict[str, Mapping[str, float]] = {
            name: {symbol: decision.shares.get(name, 0.0) * weight for symbol, weight in targets.weights.items()}
            for name, targets in decision.by_strategy.items()
            if name in self.portfolio.names
        }
        if self._states.free:
            return wishes, frozenset()
        others_stay = self._waits(decision)
        still: set[str] = set()
        for sleeve in self.portfolio.sleeves:
            match self._level(sleeve):
                case Level.FLATTENING:
                    wishes.pop(sleeve, None)
                case Level.REDUCING if not others_stay:
                    wishes[sleeve] = _shrinking(wishes.get(sleeve, {}), self._weights(sleeve))
                case Level.ACTIVE if not others_stay:
                    pass
                case _:
                    still.add(sleeve)
                    wishes[sleeve] = self._weights(sleeve)
        return wishes, frozenset(still)

    def _traded(self) -> dict[tuple[str, str], Decimal]:
        """What is held by sleeve and currency, without what is kept aside: that is nobody's."""
        held = self.portfolio.planned()
        for currency in self._account.bases & set(self._account.kept()):
            if aside := self._account.aside(currency):
                held[UNASSIGNED, currency] = EXACT.subtract(held.get((UNASSIGNED, currency), ZERO), aside)
        return held

    def held(self, sleeve: str, share: float) -> dict[str, float]:
        """What it holds, in weights of its own capital, which is `share` of the account's."""
        return {symbol: weight / share for symbol, weight in self._weights(sleeve).items()} if share > 0 else {}

    def _weights(self, sleeve: str) -> dict[str, float]:
        """What it holds, in weights of the capital."""
        capital, held = self._account.capital(), self._traded()
        if capital <= 0:
            return {}
        amounts = [(s, held.get((sleeve, m.base))) for s, m in self._account.markets.items()]
        return {s: float(amount * self._account.worth(s) / capital) for s, amount in amounts if amount}

    # --- what the sleeves give each other ----------------------------------------------------------------------------

    def fund(self, wave: Wave, at: datetime) -> Iterator[BookSleeves]:
        """Move quote between `unassigned` and the strategies, so that each has its share of the capital, at the prices of now."""
        decision = wave.decision
        if not decision.shares or decision.cause is Cause.FLATTENING:
            return
        worths = self._account.worths(self._traded())
        moves: dict[str, Decimal] = {}
        for sleeve in self.portfolio.sleeves[:-1]:
            share = decision.shares.get(sleeve, 0.0) if sleeve in self.portfolio.names else 0.0
            goal = exact(share) * wave.book.equity
            moves[sleeve] = EXACT.subtract(goal, worths.get(sleeve, ZERO)).quantize(CENT, ROUND_DOWN, EXACT)
        entries = [Entry(sleeve, self._account.quote, amount) for sleeve, amount in moves.items() if amount]
        if entries:
            rest = Entry(UNASSIGNED, self._account.quote, -total(moves.values()))
            yield self._ask(decision, CAPITAL, (*entries, rest), at)

    def cross(self, wave: Wave, at: datetime) -> list[BookSleeves]:
        """Let opposing wishes meet at the wave's prices. What is left of them goes to `wave.wanted`."""
        wishes, still = self._wishes(wave.decision)
        held, sold, sleeves = self._traded(), self._being_sold(), self.portfolio.sleeves
        crossed: list[BookSleeves] = []
        barred = {*wave.decision.keep, *wave.book.untouchable}
        goals: dict[str, Amounts] = {}
        left: dict[str, Amounts] = {}
        wished = {symbol for weights in (wave.weights, *wishes.values()) for symbol, weight in weights.items() if weight}
        there = {currency for (_, currency), amount in held.items() if amount}
        with localcontext(EXACT):
            for symbol, market in self._account.markets.items():
                if symbol not in wished and market.base not in there:
                    continue
                price, rate = wave.book.prices.get(symbol), wave.book.rates.get(market.quote)
                if price is None or rate is None or not market.active or symbol in barred:
                    continue
                now = {s: amount - sold.get((s, symbol), ZERO) for s in sleeves if (amount := held.get((s, market.base), ZERO))}
                wants = {s: weight for s, weights in wishes.items() if s not in still and (weight := weights.get(symbol, 0.0))}
                per_weight = wave.book.equity / (price * rate)
                whole = exact(wave.weights.get(symbol, 0.0)) * per_weight
                goals[symbol] = goal = _goal(whole, wants, {s: now[s] for s in still if s in now}, per_weight, market)
                short = {s: amount for s in sleeves if (amount := goal.get(s, ZERO) - now.get(s, ZERO))}
                # How much of an order under way will be filled, and for whom, nobody knows.
                give, take = _met(short, market) if symbol not in wave.book.moving else ({}, {})
                if give:
                    crossed.append(self._ask(wave.decision, CROSS, _crossed(give, take, price, market), at))
                left[symbol] = {s: amount + give.get(s, ZERO) - take.get(s, ZERO) for s, amount in short.items()}
        wave.goals, wave.wanted = goals, left
        return crossed

    def _being_sold(self) -> dict[tuple[str, str], Decimal]:
        """By sleeve and symbol, base units that orders may still take: the rest is certain, what may still be bought is not."""
        found: dict[tuple[str, str], Decimal] = {}
        for tracked in (tracked for tracked in self._table if tracked.order.side is Side.SELL):
            for sleeve, amount in self.portfolio.outstanding(tracked).items():
                key = (sleeve, tracked.order.symbol)
                found[key] = EXACT.add(found.get(key, ZERO), amount)
        return found

    def hand_over(self, at: datetime) -> Iterator[BookSleeves]:
        """What strategies that are configured no more have left goes to `unassigned`, where it is kept, if it is to be."""
        if not self._keep_removed:
            return
        held = self.portfolio.planned()
        for gone in self.portfolio.sleeves[len(self.portfolio.names) : -1]:
            amounts = {currency: amount for (sleeve, currency), amount in sorted(held.items()) if sleeve == gone and amount}
            given = (Entry(gone, currency, -amount) for currency, amount in amounts.items())
            taken = (Entry(UNASSIGNED, currency, amount) for currency, amount in amounts.items())
            yield self.portfolio.ask(Booking(f"{HANDOVER}-{gone}-{self.portfolio.number()}", HANDOVER, (*given, *taken), at))

    def _ask(self, decision: Decision, kind: str, entries: tuple[Entry, ...], at: datetime) -> BookSleeves:
        return self.portfolio.ask(Booking(f"{decision.id}-{kind}-{self.portfolio.number()}", kind, entries, at))

    # --- for whom an order trades ------------------------------------------------------------------------------------

    def split(self, wave: Wave, leg: Leg) -> dict[str, Decimal]:
        """The order's amount by sleeve, in whole steps: to those who want it, in proportion.

        A plan may do more than was wanted, where a small account has room for some targets only: then all who hold the symbol sell, and all
        who want to hold it buy.
        """
        market = self._account.markets[leg.symbol]
        sign, left = leg.side.sign, wave.wanted.get(leg.symbol, {})
        wants = {sleeve: abs(amount) for sleeve, amount in left.items() if amount * sign > 0}
        if leg.side is Side.SELL and not market.shortable:
            if leg.amount >= total(wants.values()) + market.lot:
                wants = self._holders(market)
            parts = _sold(leg.amount, wants, market)
        else:
            wants = wants or {sleeve: abs(goal) for sleeve, goal in wave.goals.get(leg.symbol, {}).items() if goal * sign > 0}
            parts = share_out(leg.amount, wants, market.lot)
        return _on_the_grid(parts or {UNASSIGNED: leg.amount}, market)

    def buys_for(self, wave: Wave, sleeve: str) -> Callable[[Leg], bool]:
        """Whether a leg trades for a sleeve, among others."""
        return lambda leg: bool(self.split(wave, leg).get(sleeve))

    def give_up(self, wave: Wave, sleeve: str, reason: str) -> list[str]:
        """What is to be bought for a sleeve and still waits for money is not bought; `reason` is a stable code. Returns the symbols."""
        given_up, waiting = [], []
        for leg in wave.waiting:
            part = self.split(wave, leg).get(sleeve, ZERO)
            if part:
                given_up.append(leg.symbol)
            others = leg.amount - part
            if others >= smallest(self._account.markets[leg.symbol], leg.price):
                waiting.append(leg.resized(others))
        wave.waiting = tuple(waiting)
        wave.left.update(dict.fromkeys(given_up, reason))
        wave.wanted = {symbol: {s: amount for s, amount in left.items() if s != sleeve} for symbol, left in wave.wanted.items()}
        wave.goals = {symbol: {s: amount for s, amount in goal.items() if s != sleeve} for symbol, goal in wave.goals.items()}
        return given_up

    def _holders(self, market: Instrument) -> dict[str, Decimal]:
        held, sold = self._traded(), self._being_sold()
        amounts = {s: held.get((s, market.base), ZERO) - sold.get((s, market.symbol), ZERO) for s in self.portfolio.sleeves}
        return {sleeve: amount for sleeve, amount in amounts.items() if amount > 0}

    def symbols_of(self, sleeve: str) -> frozenset[str]:
        """The symbols of which it holds something."""
        held = self.portfolio.planned()
        return frozenset(s for s, m in self._account.markets.items() if held.get((sleeve, m.base), ZERO))


def _goal(whole: Decimal, wants: Mapping[str, float], still: Amounts, per_weight: Decimal, market: Instrument) -> Amounts:
    """By sleeve, base units it is to hold: together the `whole` of the account, to the nearest step. Those that stay come first.

    `wants` are weights of the capital, of which one is `per_weight` base units.
    """
    room = whole - sum(still.values(), ZERO)
    if market.shortable:
        return {**still, **_both_ways(wants, room / per_weight if per_weight else ZERO, per_weight, market)}
    if room <= -market.lot:  # a limit leaves less than they hold
        return share_out(_nearest(whole, market), {s: amount for s, amount in still.items() if amount > 0}, market.lot)
    longs = {sleeve: exact(weight) for sleeve, weight in wants.items() if weight > 0}
    return {**still, **share_out(_nearest(room, market), longs, market.lot)}


def _nearest(amount: Decimal, market: Instrument) -> Decimal:
    """The nearest whole steps, at least 0. The planner rounds a trade up from half a step: then somebody must want that step."""
    return (max(amount, ZERO) / market.lot).to_integral_value(ROUND_HALF_UP) * market.lot


def _shrinking(wanted: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """What may only become smaller: between nothing and what is held."""
    return {s: min(max(wanted.get(s, 0.0), min(held, 0.0)), max(held, 0.0)) for s, held in now.items()}


def _both_ways(wants: Mapping[str, float], room: Decimal, per_weight: Decimal, market: Instrument) -> dict[str, Decimal]:
    """Holdings of sleeves that may be short: each wish as far as the account's limits leave it, cut alike, and never beyond it."""
    total = fsum(wants.values())
    left = min(max(float(room) / total, 0.0), 1.0) if total else 1.0
    scale = exact(left) if left < 1.0 - 1e-9 else Decimal(1)
    goal = {sleeve: exact(weight) * scale * per_weight for sleeve, weight in wants.items()}
    return {sleeve: market.floor(abs(amount)).copy_sign(amount) for sleeve, amount in goal.items()}


def _met(short: Amounts, market: Instrument) -> tuple[Amounts, Amounts]:
    """Who gives and who takes how much, where some want more (above 0) and some less. Whoever leaves does so to the last digit."""
    if len(short) < 2:
        return {}, {}
    takers = {sleeve: amount for sleeve, amount in short.items() if amount > 0}
    givers = {sleeve: -amount for sleeve, amount in short.items() if amount < 0}
    demand, supply = sum(takers.values(), ZERO), sum(givers.values(), ZERO)
    if supply <= demand:
        return givers, share_out(supply, takers, market.lot)
    whole = {sleeve: steps for sleeve, amount in givers.items() if (steps := market.floor(amount))}
    amount = min(market.floor(demand), sum(whole.values(), ZERO))
    return share_out(amount, whole, market.lot), share_out(amount, takers, market.lot)


def _crossed(give: Amounts, take: Amounts, price: Decimal, market: Instrument) -> tuple[Entry, ...]:
    """The entries of a cross: coins against quote at the price, and nothing to anybody else."""
    worth = (sum(take.values(), ZERO) * price).quantize(GRAIN)
    coins = [Entry(s, market.base, part) for s, part in take.items()] + [Entry(s, market.base, -part) for s, part in give.items()]
    paid = [Entry(s, market.quote, -part) for s, part in share_out(worth, take, GRAIN).items()]
    got = [Entry(s, market.quote, part) for s, part in share_out(worth, give, GRAIN).items()]
    return (*coins, *paid, *got)


def _sold(amount: Decimal, wants: Amounts, market: Instrument) -> dict[str, Decimal]:
    """A sale by sleeve: the whole steps that each wants to sell first; what is left takes of each at most a step that he has not whole."""
    whole = {sleeve: steps for sleeve, want in wants.items() if (steps := market.floor(want))}
    sure = min(amount, total(whole.values()))
    parts = share_out(sure, whole, market.lot)
    broken = sorted(wants, key=lambda sleeve: (whole.get(sleeve, ZERO) - wants[sleeve], sleeve))
    for sleeve in broken[: int((amount - sure) / market.lot)]:
        parts[sleeve] = parts.get(sleeve, ZERO) + market.lot
    return parts


def _on_the_grid(parts: Mapping[str, Decimal], market: Instrument) -> dict[str, Decimal]:
    """The same amounts, written with as many digits as a lot has: what is dealt later is dealt in these."""
    return {sleeve: on_grid if (on_grid := part.quantize(market.lot)) == part else part for sleeve, part in parts.items()}
