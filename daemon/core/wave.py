"""Wave: one decision being worked off.

Rule: whatever a wave leaves away from its target has a reason.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from daemon.core.model import ZERO, Decision, Instrument, Order, currencies
from daemon.core.ordertable import State, Tracked, client_id
from daemon.core.planner_inputs import ONE, Book, Rules, exact
from daemon.core.planner_legs import Leg, Reason
from daemon.core.planner_zones import Zones
from daemon.core.risk import Reason as Risk
from daemon.core.working import WOULD_CROSS, Working

# Refusals that may end differently when asked again a little later, with fresh balances; all others stand for the wave.
RETRYABLE: Final = frozenset({
    "insufficient_funds",
    "reduce_only",  # the position is smaller than was thought: it is read again
    "rate_limited",
    "clock_skew",
    "maintenance",
    WOULD_CROSS,
    Reason.NOT_SENT.value,
})  # fmt: skip

# Of these, the ones that say nothing of the order, only that the venue was away or busy.
PASSING: Final = RETRYABLE - {"insufficient_funds", "reduce_only", WOULD_CROSS}

# Refusals that the rules of the market, as they are known, should have prevented.
RULES_DOUBTED: Final = frozenset({"venue_filter", "notional_min", "market_closed"})

# What an order itself may have stopped: once it has ended, another round can go on.
IN_THE_WAY: Final = frozenset({
    Reason.AMOUNT_MAX.value,
    Reason.ORDER_OPEN.value,
    Reason.ORDER_UNKNOWN.value,
    Risk.ORDER_NOTIONAL_MAX.value,
})  # fmt: skip

# Of these, the ones that cut an order into slices: each round does one, and that is no failure.
SLICED: Final = frozenset({Reason.AMOUNT_MAX.value, Risk.ORDER_NOTIONAL_MAX.value})


@dataclass(slots=True)
class Wave:
    """A decision being worked off, in rounds: each plans, sends, and waits for its orders to end.

    `weights` are the decision's after the limits. `book` is what the round was planned from, with prices of `priced_at`. `waiting` are buys
    whose money has not come yet. `orders` are those of all rounds, `current` those that this round waits for. `left` and `refused` name
    reasons by symbol; a symbol in `refused` is not tried again, one in `readmitted` is; the rules of those in `amended` have changed since
    this round was planned. `changed` are targets that the newest plan has fitted to the account. `retry_at`: another round comes, but not
    before. `refusals` counts the rounds in a row that the venue would not take at all: they are no rounds, and the decision is still owed.
    `slices` counts the rounds that did one slice of several.

    `decided` are the closes that were decided on, as far as they are known: from there to the reference price is the delay.

    `works` are the legs that are worked on over time, `children` says by order id to which of them an order belongs.

    `goals` are the base units that each sleeve is to hold of a symbol, `wanted` what it still wants (signed) after opposing wishes met.

    After a restart a wave goes on: `inherited` are its orders of the process before that had not ended, `before` is what others had traded,
    by quote currency.
    """

    decision: Decision
    weights: dict[str, float]
    book: Book
    priced_at: datetime
    round: int = 0
    waiting: tuple[Leg, ...] = ()
    orders: list[Tracked] = field(default_factory=list)
    current: list[Tracked] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    changed: Mapping[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    readmitted: set[str] = field(default_factory=set)
    amended: set[str] = field(default_factory=set)
    retry_at: datetime | None = None
    refusals: int = 0
    slices: int = 0
    inherited: tuple[Tracked, ...] = ()
    before: Mapping[str, Decimal] = field(default_factory=dict)
    goals: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    wanted: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    decided: Mapping[str, float] = field(default_factory=dict)
    works: list[Working] = field(default_factory=list)
    children: dict[str, Working] = field(default_factory=dict)
    _waited: int = 0  # where in `current` the one was that was waited for last

    @property
    def traded(self) -> Decimal:
        """Worth of what this wave has traded, and of what its orders may still trade, in the account's currency."""
        # What a currency was worth when it was traded is not known again; where its rate is missing now, it counts as it is.
        return sum((amount * self.book.rates.get(quote, ONE) for quote, amount in self.spent.items()), ZERO)

    @property
    def spent(self) -> dict[str, Decimal]:
        """The same by quote currency."""
        found = dict(self.before)
        for t in (*self.inherited, *self.orders):
            quote = currencies(t.order.symbol)[1]
            found[quote] = found.get(quote, ZERO) + t.booked_cost + abs(t.pending) * t.order.price
        return found

    def readmit(self, symbols: Iterable[str]) -> None:
        """The rules of these markets are others now: what they have refused is ordered again in another round."""
        for symbol in symbols:
            self.amended.add(symbol)
            if self.refused.get(symbol) in RULES_DOUBTED:
                del self.refused[symbol]
                self.readmitted.add(symbol)

    def refuse(self, symbol: str, code: str) -> None:
        """The venue does not take this round's order of a symbol. What it has against it may be what the newest rules have mended."""
        if code in RULES_DOUBTED and symbol in self.amended:
            self.readmitted.add(symbol)
        elif code not in RETRYABLE:
            self.refused[symbol] = code

    @property
    def tries(self) -> int:
        """How many rounds there have been that did not simply do one slice of several, this one included."""
        return self.round - self.slices - int(self._sliced())

    def _sliced(self) -> bool:
        """Whether all of this round's orders traded in full, and at least one of them was a slice of more."""
        made = [t for t in self.current if t in self.orders]
        return all(t.booked >= t.order.amount for t in made) and any(self.left.get(t.order.symbol) in SLICED for t in made)

    def begin_round(self, unsettled: Iterable[Tracked]) -> None:
        """Another round. Orders that have not ended, of an earlier round, decision or process, are waited for as well."""
        self.slices += int(self._sliced())
        self.round += 1
        self.retry_at = None
        self.readmitted.clear()
        self.amended.clear()
        self.current = list(unsettled)

    def take(self, tracked: Tracked) -> None:
        """An order of this round."""
        self.current.append(tracked)
        self.orders.append(tracked)

    def waits(self, awaited: Callable[[Tracked], bool]) -> bool:
        """Whether an order of this round is awaited. The one that was waited for last is asked first: the others before it have ended."""
        count = len(self.current)
        for place in range(self._waited, self._waited + count):
            if awaited(self.current[place % count]):
                self._waited = place % count
                return True
        return False

    @property
    def at_work(self) -> bool:
        """Whether something is worked on that has not ended."""
        return bool(self.works) and any(not work.over for work in self.works)

    def work_of(self, tracked: Tracked) -> Working | None:
        """The leg that an order is a child of; None: it is an order of its own."""
        return self.children.get(tracked.order.id)

    def drop_waiting(self, reason: str, symbol: str = "") -> None:
        """The buys (those of a symbol, "": all) that still wait for money will not be made; `reason` is a stable code."""
        self.left.update({leg.symbol: reason for leg in self.waiting if symbol in ("", leg.symbol)})
        self.waiting = tuple(leg for leg in self.waiting if symbol not in ("", leg.symbol))

    def short(self) -> list[Tracked]:
        """Orders of this round that have ended and leave something that another round could do."""
        return [t for t in self.current if t.settled and t.order.symbol not in self.refused and self._leaves(t)]

    def another(self, at: datetime, retry: timedelta, retry_max: timedelta, rounds: int) -> bool:
        """Whether there should be another round, and if so, when: an order left something to do, and tries are left."""
        short = self.short()
        if self.retry_at is None and any(t.reason in RETRYABLE or t.capped for t in short):
            self.put_off(at, retry, retry_max)
        # What an order of ours stood in the way of goes on without it, once it is not waited for any more.
        return (bool(short) or Risk.SELF_TRADE in self.left.values()) and self.tries < rounds

    def put_off(self, at: datetime, retry: timedelta, retry_max: timedelta) -> None:
        """Another round later, at growing intervals. One that was turned away whole does not count: what was due is not lost."""
        self.refusals = self.refusals + 1 if self.turned_away() else 0
        if self.refusals:
            self.round -= 1
        self.retry_at = at + min(retry * (1 << min(self.refusals or self.round, 10)), retry_max)

    def turned_away(self) -> bool:
        """Whether nothing of this round was taken, for reasons that pass: a venue that is away, busy or in maintenance."""
        tried = [t for t in self.current if t in self.orders]
        return bool(tried) and all(t.reason in PASSING and t.booked == 0 for t in tried)

    def _leaves(self, tracked: Tracked) -> bool:
        """Ended short; stood in its symbol's way until now; or was a sell in doubt that brought money after all, when buys went without."""
        late_money = not tracked.order.spends_quote and tracked.doubted_at is not None and Reason.UNFUNDED.value in self.left.values()
        # A child that ends short is its parent's matter, whose time is what bounds it, unless rules ended both that are others now.
        own = self.work_of(tracked) is None or tracked.order.symbol in self.readmitted
        short = tracked.booked < tracked.order.amount and own
        return late_money or short or self.left.get(tracked.order.symbol) in IN_THE_WAY

    def explain(
        self, off_target: Mapping[str, float], capital: Decimal, rules: Rules, markets: Mapping[str, Instrument], *, superseded: bool
    ) -> None:
        """See that everything which is off target (holding minus target, in weights of the capital) has its reason, and the right one."""
        newest = {t.order.symbol: t for t in (*self.orders, *self.current)}
        for symbol, tracked in newest.items():
            if not tracked.settled:
                self.left[symbol] = (Reason.ORDER_UNKNOWN if tracked.state is State.UNKNOWN else Reason.ORDER_OPEN).value
            elif tracked.reason and tracked.booked == 0 and tracked in self.current:
                self.refused.setdefault(symbol, tracked.reason)
        zones = Zones.of(rules, ONE, [exact(weight) for weight in self.weights.values()])
        grown = float(capital / self.book.equity) if self.book.equity > 0 else 1.0
        for symbol, distance in off_target.items():
            if not distance and self.left.get(symbol) != Reason.UNFUNDED:
                continue
            wished = self.weights.get(symbol, 0.0)
            weight, held = self.changed.get(symbol, wished), distance + wished
            width = float(zones.width(exact(weight), markets[symbol]))
            near = weight != 0 and abs(held - weight) <= width
            if self.left.get(symbol) == Reason.UNFUNDED:
                if near:
                    self.left[symbol] = (Reason.RAISED if symbol in self.changed else Reason.IN_BAND).value
                elif held > weight or abs(held * grown - weight) <= width:  # of the money that there was, it has had its part
                    self.left[symbol] = Reason.MOVED.value
            elif distance and not near and symbol not in self.left and symbol not in self.refused:
                self.left[symbol] = self._why(newest.get(symbol), superseded=superseded).value

    def _why(self, tracked: Tracked | None, *, superseded: bool) -> Reason:
        """Why a symbol is off target although nothing forbade it to be traded."""
        if tracked is None or tracked.booked >= tracked.order.amount:
            return Reason.MOVED  # its price, or everything else's, since the plan was made
        if superseded:
            return Reason.SUPERSEDED
        return Reason.PRICE_CAP if tracked.capped else Reason.UNFILLED


def intent(instance: str, decision_id: str, leg: Leg, attempt: int, at: datetime, split: Mapping[str, Decimal]) -> Order:
    """A leg as an order, fixed, under the id that is its own."""
    return Order(
        id=client_id(instance, decision_id, leg.symbol, leg.side, attempt),
        symbol=leg.symbol,
        side=leg.side,
        amount=leg.amount,
        price=leg.price,
        reserve=leg.reserve,
        decision_id=decision_id,
        attempt=attempt,
        at=at,
        split=split,
        limit=leg.limit,
        post_only=leg.post_only,
        reduce_only=leg.reduce_only,
    )
