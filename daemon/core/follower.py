"""Follower: knows each order of ours from its intent to its known end, and asks the venue where it does not.

Rule: what is learnt of an order goes through LIFE; a step that LIFE does not know is recorded and changes nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final

from daemon.core.events import (
    CancelOrder,
    Event,
    OrderClosed,
    OrderFilled,
    OrderGivenUp,
    OrderNotFound,
    OrderNotSent,
    OrderRefused,
    OrderReported,
    OrderSent,
    OrderUnknown,
)
from daemon.core.model import Order
from daemon.core.ordertable import OrderTable, Saw, State, Tracked
from daemon.core.planner_legs import Reason
from daemon.core.resolver import Patience, Resolver

# Why an order of an earlier process is in doubt; only evidence from the venue ends that.
RESTARTED = "the daemon ended before it knew what became of the order"

# Why an order has ended of which nobody but a person could say so.
GIVEN_UP: Final = "given_up"

_SEEN: Final = {
    OrderSent: Saw.SENDING,
    OrderRefused: Saw.REFUSAL,
    OrderNotSent: Saw.NOT_SENT,
    OrderUnknown: Saw.AMBIGUITY,
}

OrderFact = OrderSent | OrderReported | OrderFilled | OrderRefused | OrderNotSent | OrderUnknown | OrderNotFound | OrderGivenUp


class Follower:
    """The order table, what is asked about it, and what is learnt. `surprises` are steps that LIFE does not know, as sentences."""

    def __init__(self, table: OrderTable, patience: Patience) -> None:
        self.table = table
        self.resolver = Resolver(table, patience)
        self.surprises: list[str] = []

    # --- start -------------------------------------------------------------------------------------------------------

    def replay(self, order: Order, facts: Iterable[Event]) -> list[Event]:
        """Take up an order that the journal does not know to have ended, with its trades and what was learnt of it, in order.

        Returns what follows: its end, if that was known but not written.
        """
        self.table.add(order).learn(Saw.SENDING)  # not journalled by itself: what is written counts as sent
        ended: list[Event] = []
        for fact in facts:
            # Look-ups that found nothing are counted anew, since the account must agree after them.
            if isinstance(fact, OrderReported | OrderFilled | OrderRefused | OrderNotSent | OrderUnknown | OrderGivenUp):
                tracked = self.learn(fact)
                ended += self.conclude(tracked, fact.at) if tracked is not None else ()
        return ended

    def doubt(self, at: datetime) -> list[Event]:
        """A process that has died leaves its orders unknown: what was written may have been sent, what was open may have ended.

        Returns what is to be told of it.
        """
        for tracked in self.table:
            tracked.doubt(at)
        return [OrderUnknown(t.order.id, RESTARTED, at) for t in self.table if t.state is State.UNKNOWN]

    @property
    def unheard(self) -> bool:
        """Whether an order that a stopped process left behind has not been successfully looked up yet."""
        return any(not t.heard for t in self.table)

    # --- what is learnt ----------------------------------------------------------------------------------------------

    def learn(self, fact: OrderFact) -> Tracked | None:
        """Take a fact in. The order it is about, if it is ours and this is news; None otherwise."""
        match fact:
            case OrderReported():
                return self._reported(fact)
            case OrderFilled():
                return self._filled(fact)
            case OrderNotFound():
                return self._not_found(fact)
            case OrderGivenUp():
                return self._given_up(fact)
            case OrderSent() | OrderRefused() | OrderNotSent() | OrderUnknown():
                return self._answered(fact)

    def _reported(self, event: OrderReported) -> Tracked | None:
        """The venue describes an order of ours; a listing also shows others', which are not touched."""
        tracked = self.table.get(event.report.order_id, event.report.symbol, event.report.venue_id)
        if tracked is None:
            return None
        self.table.touch(event.at)
        over, filled, state = tracked.closed, tracked.filled, tracked.state
        if not tracked.report(event.report, event.at):
            self.surprises.append(f"{tracked.order.id}: {event.report.status} while {tracked.state}")
        self.table.link(tracked, event.at)
        told_before = over and tracked.settled and tracked.filled == filled and tracked.state is state
        return None if told_before else tracked

    def _filled(self, event: OrderFilled) -> Tracked | None:
        """A trade; if it is of an order of ours, the order moves on. The ledger books it in any case."""
        tracked = self.table.get(event.fill.order_id, event.fill.symbol, event.fill.venue_id)
        if tracked is None:
            self.table.stray(event.fill)
            return None
        if not tracked.fill(event.fill, event.at):
            return None
        self.table.touch(event.at)
        return tracked

    def _answered(self, fact: OrderSent | OrderRefused | OrderNotSent | OrderUnknown) -> Tracked | None:
        """What became of the request itself."""
        tracked = self._take(fact.order_id, _SEEN[type(fact)], fact.at)
        if tracked is None:
            return None
        match fact:
            case OrderSent():
                tracked.sent_at = fact.at
            case OrderRefused(code=code):
                tracked.reason = code
            case OrderNotSent():
                # It provably never left: the intent is withdrawn, and the wave plans afresh once the venue may be there again.
                tracked.learn(Saw.DENIAL)
                tracked.reason = Reason.NOT_SENT.value
            case OrderUnknown() if tracked.state is State.UNKNOWN:
                # Its whole size stays reserved and its symbol still, and the venue is asked.
                tracked.reason = Reason.ORDER_UNKNOWN.value
                tracked.doubted_at = tracked.doubted_at or fact.at
            case OrderUnknown():
                pass  # the stream has told of it before: what is known stands
        return tracked

    def _not_found(self, event: OrderNotFound) -> Tracked | None:
        """A look-up found nothing: one more step towards, but by itself no, proof of absence."""
        tracked = self.table.get(event.order_id)
        if tracked is None:
            return None
        tracked.heard = True
        if self.resolver.absent(tracked, event):
            self.table.touch(event.at)
            tracked.learn(Saw.ABSENCE)
            tracked.reason = "confirmed_absent"
        return tracked

    def _given_up(self, event: OrderGivenUp) -> Tracked | None:
        """A person's word stands for the evidence that nobody could give; what the venue may say of the order later still counts."""
        tracked = self.table.get(event.order_id)
        if tracked is None:
            return None
        self.table.touch(event.at)
        # Whatever it was on the way to: in doubt if it was sent, and cancelled in vain if it was open.
        for saw in (Saw.AMBIGUITY, Saw.CANCELING, Saw.ABSENCE) if not tracked.ended else ():
            tracked.learn(saw)
        tracked.forgo()
        tracked.reason = GIVEN_UP
        return tracked

    def _take(self, order_id: str, saw: Saw, at: datetime) -> Tracked | None:
        """The order if it can go where this leads."""
        tracked = self.table.get(order_id)
        if tracked is not None and not tracked.learn(saw):
            self.surprises.append(f"{order_id}: {saw} while {tracked.state}")
            return None
        self.table.touch(at)
        return tracked

    # --- what follows ------------------------------------------------------------------------------------------------

    def conclude(self, tracked: Tracked, at: datetime) -> Iterator[Event]:
        """After news of an order: close it if it is settled, and again if it has traded more since; open it again if it is not settled."""
        self.table.link(tracked, at)
        if tracked.settled and (not tracked.closed or tracked.booked != tracked.told):
            self.table.close(tracked)
            tracked.told = tracked.booked
            order, ended = tracked.order, tracked.state.value
            yield OrderClosed(order.id, order.symbol, ended, tracked.booked, tracked.booked_cost, at, tracked.reason)
        elif tracked.closed and not tracked.settled:
            self.table.reopen(tracked)

    def cancel(self, orders: Iterable[Tracked], unwanted: Callable[[Tracked], bool], at: datetime) -> Iterator[Event]:
        """Cancel what of these is open and unwanted; again where the cancel before had no effect."""
        for tracked in orders:
            canceling = tracked.state is State.CANCEL_SENT
            if tracked.open and (canceling or unwanted(tracked)) and self.resolver.may_cancel(tracked, at):
                tracked.learn(Saw.CANCELING)
                tracked.canceled_at = at
                tracked.cancels += 1
                yield CancelOrder(tracked.order.id, tracked.order.symbol, tracked.order.at, at)
