"""Resolver: what to ask the venue about orders whose end is not known, and when silence is proof of absence.

Rule: a time-out is not a failure. An order is absent only once its request can no longer arrive, several successful look-ups spaced apart
have not found it, the account holds and has locked what it would without it, has not held anything else for a while, and no trade may be
its. Failed look-ups count for nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from daemon.core.events import AccountReconciled, Event, OrderNotFound, PollAccount, QueryOrder, QueryTrades
from daemon.core.model import ZERO, Order, Side, currencies, is_swap
from daemon.core.ordertable import OrderTable, State, Tracked

# Venue and daemon may disagree on the time of day: a trade may look so much older than its order.
CLOCK_MARGIN: Final = timedelta(minutes=1)


# What a person can do about an order of which no evidence comes; with its id.
BY_HAND: Final = "if it stands nowhere at the exchange, `rebalanced resolve {0}` ends it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what.

    `fence`: after this much time since the doubt began, a request that has not surfaced cannot be executed any more. It is above the
    request's own validity (recvWindow, 5 s), the clock's skew and the venue's settling. `lookups` successful look-ups after it, at
    least `spacing` apart. `open_every`: an order that is open is asked for this often, in case the stream has lost its end; one that
    rests every `ask_max`. `first_ask`: the wait before the first question. `ask_max`: the longest wait between two. `cancels`: so often
    a cancel is asked for of an order that the venue does not show any more; then only reading is left. `vanish`: an order that existed
    is given up no sooner than this after it was last seen, one that leaves no trace after the doubt began, and one that the account has
    hinted at after it last did; venues may lag that long.
    """

    fence: timedelta = timedelta(seconds=15)
    lookups: int = 3
    spacing: timedelta = timedelta(seconds=2)
    open_every: timedelta = timedelta(seconds=5)
    first_ask: timedelta = timedelta(milliseconds=500)
    ask_max: timedelta = timedelta(seconds=30)
    cancels: int = 5
    vanish: timedelta = timedelta(seconds=60)


class Resolver:
    """Asks about orders in doubt and judges the answers."""

    def __init__(self, table: OrderTable, patience: Patience) -> None:
        self._table = table
        self._patience = patience
        self._read_at: datetime | None = None
        self._differences: Mapping[str, Decimal] = {}
        self._locked: Mapping[str, Decimal] = {}

    def on_reconciled(self, event: AccountReconciled, foreign: Mapping[str, Decimal]) -> None:
        """Remember when the account was last compared, what differed, and what stands locked beside the orders of others (`foreign`)."""
        self._read_at, self._differences = event.asked_at, event.differences
        self._locked = {currency: amount - foreign.get(currency, ZERO) for currency, amount in event.locked.items()}
        if event.differences:
            self._note_hints(event)

    def _note_hints(self, event: AccountReconciled) -> None:
        """Remember of orders in doubt that base has come or gone as by them, where no other order of ours may be behind it.

        The poll that absence is judged by may lag, and hide what an earlier one has shown.
        """
        busy = {(t.order.symbol, t.order.side) for t in self._table if t.state is not State.UNKNOWN}
        for tracked in self._table:
            order = tracked.order
            moved = order.side.sign * event.differences.get(currencies(order.symbol)[0], ZERO)
            began = tracked.sent_at or order.at
            if tracked.state is State.UNKNOWN and moved > 0 and event.asked_at > began and (order.symbol, order.side) not in busy:
                tracked.hinted_at = event.asked_at

    # --- asking ------------------------------------------------------------------------------------------------------

    def questions(self, at: datetime) -> Iterator[Event]:
        """What is to be asked now. Each order is asked about at growing intervals, never more often than every `spacing` once in doubt."""
        for tracked in self._table:
            wait = self._wait(tracked)
            order = tracked.order
            since = tracked.asked_at or tracked.doubted_at or tracked.sent_at or order.at
            if wait is None or at - since < wait:
                continue
            tracked.asked_at = at
            tracked.asks += 1
            if tracked.ended:
                yield QueryTrades((order.symbol,), order.at, at)
                continue
            yield QueryOrder(order.id, order.symbol, order.at, at)
            if tracked.state is State.UNKNOWN and at >= self._fence(tracked):
                yield PollAccount(at)

    def _wait(self, tracked: Tracked) -> timedelta | None:
        """How long after the last question the next one is due; None while there is nothing to ask."""
        p = self._patience
        if tracked.state is State.UNKNOWN or (tracked.ended and not tracked.settled):
            return min(p.spacing * 1.5 ** min(max(0, tracked.asks - 8), 20), p.ask_max) if tracked.asks else p.first_ask
        if tracked.open:
            # A market order that its answer leaves open, or that a restart found, has most likely ended by now: look soon, then less often.
            # One that rests is meant to be open, and there may be hundreds: the stream tells of it, and asking is for what that loses.
            rests = tracked.order.post_only and tracked.state is not State.CANCEL_SENT
            return min(p.first_ask * (1 << min(tracked.asks, 10)), p.ask_max if rests else p.open_every)
        return None

    def may_cancel(self, tracked: Tracked, at: datetime) -> bool:
        """Whether a cancel may be asked for now: the first one, or again because the one before was lost.

        At growing intervals, and not for ever, unless the venue still shows the order.
        """
        p = self._patience
        if tracked.canceled_at is None or tracked.state is not State.CANCEL_SENT:
            return tracked.open
        shown = self._shown_since_cancel(tracked)
        wait = min(p.open_every * 1.5 ** min(tracked.cancels - 1, 20), p.ask_max)
        return (shown or tracked.cancels < p.cancels) and at - tracked.canceled_at >= wait

    # --- judging -----------------------------------------------------------------------------------------------------

    def absent(self, tracked: Tracked, event: OrderNotFound) -> bool:
        """Count a look-up that did not find the order; True once its absence is confirmed by the full rule.

        Of an order that was seen, absence is only believed once cancels were sent and a long time has passed (`vanish`).
        """
        p = self._patience
        given_up = tracked.state is State.CANCEL_SENT and tracked.cancels >= p.cancels
        if not given_up and tracked.state is not State.UNKNOWN:
            return False
        fence = self._fence(tracked)
        if event.asked_at < fence:
            return False
        seen = tracked.absences
        if not seen or event.asked_at - seen[-1] >= p.spacing:
            seen.append(event.asked_at)
        hinted = tracked.hinted_at is not None and event.asked_at - tracked.hinted_at < p.vanish
        return len(seen) >= p.lookups and not hinted and self._consistent(tracked, fence) and not self._may_have_traded(tracked)

    def obstacle(self, tracked: Tracked, at: datetime) -> str:
        """Why a person's word cannot end an order yet, as what follows its name in a sentence; "" if it can."""
        if tracked.ended:
            return "" if tracked.unbooked else f"has ended: {tracked.state.value}"
        if tracked.state in (State.NEW, State.SENT):
            return "is on its way; its answer is awaited"
        if tracked.state is State.UNKNOWN:
            left = self._fence(tracked) - at
            return f"may still arrive at the exchange; say so again in {left.seconds + 1} s" if left > timedelta(0) else ""
        lost = tracked.state is State.CANCEL_SENT and not self._shown_since_cancel(tracked)
        return "" if lost else "is open at the exchange, as far as is known; cancel it there, and the daemon will see that"

    def _shown_since_cancel(self, tracked: Tracked) -> bool:
        return tracked.seen_at is not None and tracked.canceled_at is not None and tracked.seen_at > tracked.canceled_at

    def _consistent(self, tracked: Tracked, fence: datetime) -> bool:
        """Whether the account, read after the fence, is as without the order: had it filled, or were it open, that would show.

        Base that differs the other way round is no evidence: a liquidation or a withdrawal may have taken what was bought, and more.
        """
        if self._read_at is None or self._read_at < fence or self._differences.get(currencies(tracked.order.symbol)[0]):
            return False
        return not may_explain(tracked, self._differences) and not may_lock(tracked, self._locked)

    def _may_have_traded(self, tracked: Tracked) -> bool:
        """Whether there are trades that may be its: listings name the venue's id of an order, and nobody has told which that is."""
        order = tracked.order
        strays = self._table.strayed(order.symbol, order.side, order.at - CLOCK_MARGIN)
        return any(amount <= order.amount for amount in strays.values())

    def _fence(self, tracked: Tracked) -> datetime:
        """From when on a look-up that finds nothing counts."""
        order = tracked.order
        if tracked.state is State.CANCEL_SENT:
            return (tracked.seen_at or order.at) + self._patience.vanish
        doubted_at = tracked.doubted_at or order.at
        return doubted_at + (self._patience.vanish if leaves_no_trace(order) else self._patience.fence)


def leaves_no_trace(order: Order) -> bool:
    """Whether an order that stands open shows in nothing but look-ups: one that rests and only reduces a swap locks no margin.

    They may all lag together, so its absence is believed no sooner than that of an order which was seen.
    """
    return order.post_only and order.reduce_only


def may_lock(tracked: Tracked, locked: Mapping[str, Decimal]) -> bool:
    """Whether this order, open, may be behind what stands locked: half of what it would lock is enough, since prices move.

    Of a swap it is a tenth: the market may stand at a higher leverage than it was set to.
    """
    order, (base, quote) = tracked.order, currencies(tracked.order.symbol)
    if is_swap(order.symbol):  # what only reduces needs no margin, and leaves no trace
        return order.spends_quote and locked.get(quote, ZERO) >= order.reserve * tracked.remaining / order.amount / 10
    if tracked.order.side is Side.SELL:
        return locked.get(base, ZERO) >= tracked.remaining / 2
    return locked.get(quote, ZERO) >= tracked.remaining * tracked.order.price / 2


def may_explain(tracked: Tracked, differences: Mapping[str, Decimal]) -> bool:
    """Whether trades of this order that nobody has told of may be behind what the account holds more or less than the ledger.

    A buy adds base and takes quote, a sell the reverse; venues may show the one before the other. A difference the other way round is
    something else, say a deposit.
    """
    base, quote = currencies(tracked.order.symbol)
    sign = tracked.order.side.sign
    if sign * differences.get(base, ZERO) > 0:
        return True
    return not is_swap(tracked.order.symbol) and sign * differences.get(quote, ZERO) < 0  # a position costs no money
