"""Rebalancing: the rules between a decision and its wave: cooldown, distance from the target, turnover.

Rule: what is judged follows from holdings, prices and the journal, never from how long this process has run: a restart changes nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from daemon.core.account import Account
from daemon.core.model import EPOCH, ZERO, Cause, Decision
from daemon.core.ordertable import Tracked
from daemon.core.planner import plan
from daemon.core.planner_funds import moved, scale
from daemon.core.planner_inputs import ONE, Inputs
from daemon.core.planner_legs import Leg, Plan, frees
from daemon.core.trading import Settings
from daemon.core.wave import Wave

# Decisions that a cooldown does not hold up, whatever they are about.
AT_ONCE: Final = frozenset({Cause.FLATTENING, Cause.UNIVERSE, Cause.RESOLVED, Cause.RULES, Cause.MARGIN})

# Whether every limit allows these weights, where the second symbols stay as they are.
Allowed = Callable[[Mapping[str, float], frozenset[str]], bool]


class Cooldown:
    """The time after a rebalance in which no other one begins, counted between close times from the decision whose orders were sent.

    Exits do not wait for its end, and do not put it off.
    """

    def __init__(self, length: timedelta) -> None:
        self.length = length
        self._until = EPOCH

    def restore(self, newest: Decision, *, ordered: bool) -> None:
        """Go on after a stop; `ordered`: orders were made for the newest decision. Before that one, no cooldown can be running."""
        if newest.exits_until is not None:
            self._until = newest.exits_until
        elif ordered:
            self.begin(newest)

    def begin(self, decision: Decision) -> None:
        """An order was made for this decision."""
        if decision.exits_until is None:
            self._until = decision.as_of + self.length

    def over(self, moment: datetime) -> bool:
        """Whether a rebalance may begin at a slice that closes at `moment`."""
        return moment >= self._until

    def bound(self, decision: Decision) -> Decision:
        """The decision as it may be worked on: as it is, or its exits only."""
        return decision if self.over(decision.as_of) else replace(decision, exits_until=self._until)


def strayed(
    weights: Mapping[str, float],
    keep: frozenset[str],
    account: Account,
    settings: Settings,
    allowed: Allowed,
    *,
    limit: float,
    refused: Mapping[str, str],
    at: datetime,
) -> bool:
    """Whether a holding is further than `limit` (weight of equity) from its target and can be brought nearer now.

    What cannot be traded (refused symbols, dust, no money, a band that is wider) begins no wave, or it would begin one every bar.
    """
    far = {symbol for symbol, distance in account.off_target(weights, keep).items() if abs(distance) > limit}
    if not far:
        return False
    book = account.book(weights, refused, at)
    inputs = Inputs(weights=weights, keep=keep, book=book, markets=account.markets, rules=settings.rules)
    made = within_limits(inputs, settings.limits.weight_max, allowed)
    return not far.isdisjoint(moved(made, book.cash, account.markets))


def begin(
    decision: Decision,
    weights: dict[str, float],
    account: Account,
    orders: Iterable[Tracked],
    before: Mapping[str, Decimal],
    at: datetime,
) -> Wave:
    """The wave of a decision. `orders` are all that have not ended; `before` is what this decision's others had traded, by quote."""
    inherited = tuple(t for t in orders if t.order.decision_id == decision.id)
    return Wave(decision, weights, account.book(weights, {}, at), priced_at=at, inherited=inherited, before=before)


def foreseen(made: Plan, account: Account) -> tuple[tuple[Leg, ...], dict[str, str]]:
    """The legs of a plan as they would go if every sell brought what it is worth, and why the rest is left."""
    cash = account.cash_free()
    for leg in made.reduces:
        cash[leg.quote] = cash.get(leg.quote, ZERO) + frees(account.markets[leg.symbol], leg)
    grows, unfunded = scale(made.grows, cash, account.markets)
    return (*made.reduces, *grows), {**made.left, **unfunded}


def planned(wave: Wave, account: Account, settings: Settings, allowed: Allowed) -> Plan:
    """What the next round of a wave is to trade: its exits only while an earlier rebalance cools down, and never beyond its turnover."""
    decision, rules = wave.decision, settings.rules
    if decision.cause is Cause.FLATTENING:
        # What a rebalance may cost, or is worth, is no reason to stay in what must be sold.
        rules = replace(rules, turnover_max=None, band=ZERO, band_relative=ZERO, band_average=ZERO, risk_aversion=ZERO)
    inputs = Inputs(
        weights=wave.weights,
        keep=decision.keep,
        book=replace(wave.book, traded=wave.traded),
        markets=account.markets,
        rules=rules,
        exits_only=decision.exits_until is not None,
    )
    return within_limits(inputs, settings.limits.weight_max, allowed)


def within_limits(inputs: Inputs, weight_max: float, allowed: Allowed) -> Plan:
    """The plan whose targets the limits allow: what takes the part of others, in a small account, is not to go beyond them by that."""
    inputs = replace(inputs, caps=dict.fromkeys(inputs.weights, weight_max))
    made = plan(inputs)
    if not made.changed or allowed({**inputs.weights, **made.changed}, inputs.keep):
        return made
    return plan(replace(inputs, rules=replace(inputs.rules, raise_max=ONE)))
