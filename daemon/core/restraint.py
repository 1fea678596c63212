"""Restraint: what holds on trading mean for a decision and its plan.

Rule: a hold only takes away. What it forbids keeps its holding, what it orders out is wanted at 0, and nobody's targets are forgotten.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from daemon.core.account import Account
from daemon.core.events import Event, HoldLifted, HoldPlaced, OrderRefused, PollAccount, ReadMarkets, ReadSettings, WaveSettled
from daemon.core.model import Cause, Decision, decision_id
from daemon.core.ordertable import Tracked
from daemon.core.planner_inputs import Book
from daemon.core.planner_legs import Reason
from daemon.core.risk import Reason as Risk
from daemon.core.states import DAEMON, Hold, Level, Scope, States
from daemon.core.trading import Settings
from daemon.core.wave import RULES_DOUBTED, Wave

# What stands in the way of selling for a while; everything else will not change by itself, and flattening ends with it left over.
PASSING: Final = frozenset({
    Reason.STALE_PRICE,
    Reason.LOCKED,
    Reason.AMOUNT_MAX,
    Reason.ORDER_UNKNOWN,
    Reason.ORDER_OPEN,
    Reason.UNFILLED,
    Reason.PRICE_CAP,
    Reason.NOT_SENT,
    Reason.SUPERSEDED,
    Reason.MOVED,
    Reason.TURNOVER_MAX,
    Risk.PRICE_DEVIATION_MAX,
    Risk.SELF_TRADE,
    Risk.ORDER_NOTIONAL_MAX,
    Risk.VOLUME_SHARE_MAX,
})  # fmt: skip

# What could not be sold although a hold says so is tried again so long after: a stale price or a foreign order passes.
AGAIN: Final = timedelta(seconds=15)

# Why a market, or the account, only reduces that is not set up as the configuration says: its leverage, margin mode or position mode.
UNLIKE: Final = "unlike_configured"

# How an exchange says that an order has not the margin that we took it to need.
UNFUNDED: Final = "insufficient_funds"

# By strategy, the symbols of which it holds something.
SymbolsOf = Callable[[str], frozenset[str]]


def refused_key(at: datetime) -> Hold:
    """The exchange does not take the credentials any more: nothing will change that but a person."""
    text = "the exchange refuses the credentials; correct them, restart, and resume"
    return Hold(level=Level.HALTED, code="credentials", text=text, since=at)


def refusal(event: OrderRefused) -> Iterator[Event]:
    """What a refusal says beyond its order: of the key, of the market's rules, and that the account may not be what it is taken for."""
    if event.code == "credentials":
        yield HoldPlaced(refused_key(event.at), event.at)
    if event.code in RULES_DOUBTED:
        yield ReadMarkets(event.at)
    if event.code == UNFUNDED:
        yield ReadSettings(event.at)  # another leverage needs another margin
    yield PollAccount(event.at)


def quarantine(states: States, unlike: Mapping[str, str], at: datetime) -> Iterator[HoldPlaced | HoldLifted]:
    """Holds on what is not set up as the configuration says, and the end of those whose reason is gone.

    `unlike`: a sentence by symbol; "" is the account.
    """
    for hold in states.holds():
        if hold.code == UNLIKE and hold.scope.symbol not in unlike:
            yield HoldLifted(hold.scope, UNLIKE, DAEMON, at)
    for symbol, text in sorted(unlike.items()):
        known = states.find(Scope(symbol=symbol), UNLIKE)
        if known is None or known.text != text:
            yield HoldPlaced(Hold(scope=Scope(symbol=symbol), level=Level.REDUCING, code=UNLIKE, text=text, since=at), at)


def restore(states: States, facts: Iterable[HoldPlaced | HoldLifted]) -> None:
    """Go on after a stop, with what the journal knows to have been placed and lifted."""
    for fact in facts:
        match fact:
            case HoldPlaced(hold):
                states.place(hold)
            case HoldLifted(scope, code):
                states.lift(scope, code)


def ordered_out(weights: Mapping[str, float], states: States) -> dict[str, float]:
    """The weights with everything at 0 that a hold wants sold."""
    if states.free:
        return dict(weights)
    if states.level() is Level.FLATTENING:
        return dict.fromkeys(weights, 0.0)
    return {s: 0.0 if states.level(Scope(symbol=s)) is Level.FLATTENING else weight for s, weight in weights.items()}


def restrained(book: Book, states: States) -> Book:
    """The book with the reasons for which symbols may not grow, or not be traded at all."""
    if states.free:
        return book
    frozen, untouchable = dict(book.frozen), dict(book.untouchable)
    for symbol in book.projected:
        hold = states.of_symbol(symbol)
        if hold is not None and hold.level is Level.REDUCING:
            frozen.setdefault(symbol, hold.code)
        elif hold is not None and hold.level in (Level.PAUSED, Level.HALTED):
            untouchable[symbol] = hold.code
    return replace(book, frozen=frozen, untouchable=untouchable)


def unwanted(tracked: Tracked, wave: Wave | None, settings: Settings, at: datetime) -> bool:
    """Whether an open order should not be: too old, of a decision that is no longer worked on, or of a leg that wants it away."""
    work = None if wave is None else wave.work_of(tracked)
    if work is not None and work.unwanted(tracked):
        return True
    superseded = wave is not None and tracked.order.decision_id != wave.decision.id
    return superseded or at - tracked.order.at > settings.working_for(tracked.order)


def looked_again(wave: Wave, account: Account, states: States, fresh: timedelta, at: datetime) -> None:
    """The book for another round. At once, only holdings are new: prices and equity stay, so that targets are not chased."""
    book = restrained(account.book(wave.weights, wave.refused, at), states)
    if wave.retry_at is None and at - wave.priced_at <= fresh:
        wave.book = replace(book, prices=wave.book.prices, equity=wave.book.equity)
    else:
        wave.book, wave.priced_at = book, at


def flattening(states: States) -> tuple[Hold, ...]:
    """The holds that want something sold."""
    return tuple(hold for hold in states.holds() if hold.level is Level.FLATTENING and states.worst(hold.scope) is hold)


def flattened(states: States, last: Decision | None, symbols: frozenset[str], of: SymbolsOf, at: datetime) -> Decision | None:
    """The decision by which what is to be sold is sold; None where nothing is. What it does not concern stays as it is.

    `last` is the newest decision: what the strategies want is theirs to say, and stands in it as before.
    """
    wanted = flattening(states)
    if not wanted:
        return None
    out = frozenset().union(*(_concerned(hold, symbols, of) for hold in wanted))
    return Decision(
        decision_id(at, Cause.FLATTENING),
        last.as_of if last else at,
        ordered_out(last.weights if last else {}, states),
        symbols - out,
        last.by_strategy if last else {},
        at,
        Cause.FLATTENING,
        shares=last.shares if last else {},
    )


def _concerned(hold: Hold, symbols: frozenset[str], of: SymbolsOf) -> frozenset[str]:
    """The symbols that a hold is about."""
    scope = hold.scope
    return frozenset({scope.symbol}) if scope.symbol else of(scope.strategy) if scope.strategy else symbols


class Flattening:
    """Sells what holds want sold, and again after a while where something that passes has stopped it."""

    def __init__(self, states: States, of: SymbolsOf) -> None:
        self._states = states
        self._of = of
        self._tried_at: datetime | None = None  # in this process

    def decide(self, last: Decision | None, symbols: frozenset[str], at: datetime) -> Decision | None:
        """The decision by which it is sold now; None where nothing is to be."""
        decision = flattened(self._states, last, symbols, self._of, at)
        if decision is not None:
            self._tried_at = at
        return decision

    def due(self, at: datetime) -> bool:
        """Whether something is to be sold still that was not tried lately."""
        return bool(flattening(self._states)) and (self._tried_at is None or at - self._tried_at >= AGAIN)


def finished(states: States, wave: WaveSettled, of: SymbolsOf, at: datetime) -> Iterator[Hold]:
    """What has been sold as far as it can be is halted from here on, under the hold's own code."""
    for hold in flattening(states):
        if wave.decision.at < hold.since:
            continue
        stopped = {**wave.left, **wave.refused}
        concerned = {s: stopped[s] for s in _concerned(hold, frozenset(stopped), of) if s in stopped}
        if not PASSING.isdisjoint(concerned.values()):
            continue
        rest = f"; left over: {', '.join(f'{s} ({why})' for s, why in sorted(concerned.items()))}" if concerned else ""
        yield replace(hold, level=Level.HALTED, text=f"{hold.text}; everything that could be sold has been{rest}", since=at)
