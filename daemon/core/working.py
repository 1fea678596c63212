"""Working: one planned order on its way through its children.

Rule: what is left to send is the planned amount less what children have filled and what may still fill; it is reckoned anew each time and
never kept. There is no further child before the one before it has come to a known end with all its trades.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from daemon.core.model import EPOCH, ZERO, Order
from daemon.core.ordertable import State, Tracked
from daemon.core.planner_legs import Leg, Reason
from daemon.core.styles import Parent

# A child that the venue refused once more for what passes is followed by another no sooner than this, doubled each time.
BACKOFF: Final = timedelta(seconds=1)
BACKOFF_MAX: Final = timedelta(seconds=60)

# Why the venue did not take a resting order: it would have traded at once.
WOULD_CROSS: Final = "would_cross"


@dataclass(frozen=True, slots=True)
class Place:
    """Send a child of this amount (base units); `price` is its reference, `limit` the worst it may trade at. None: any."""

    amount: Decimal
    price: Decimal
    limit: Decimal | None
    post_only: bool = False


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Cancel the child that is open."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Work on it no more; `reason` is a stable code, "" when everything was done."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """Nothing is to be done before the touch is known, or known again. `pressing`: everything waits for it."""

    pressing: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done now."""


Step = Place | Withdraw | Finish | Look | Wait
WAIT: Final = Wait()


@dataclass(slots=True, eq=False)
class Working:
    """A leg and its children. `parent` is what the journal has of it, from its first child on.

    `resumed` is the schedule that an earlier process had begun, and `last_at` when the last child was made, by that process included.
    `hurried`: it takes from here on. `crossed` counts the quotes in a row that would have traded at once. `not_before`: nothing is sent
    before that moment. `looked_from`: a touch that is older says nothing. `withdrawn` is the child that is to be cancelled.
    `kept_since`: since when money or limits have kept its first child back.
    `planned`: why the plan itself did not go the whole way to the target, "" if it did.
    """

    leg: Leg
    planned: str = ""
    resumed: Parent | None = None
    last_at: datetime | None = None
    parent: Parent | None = None
    children: list[Tracked] = field(default_factory=list)
    hurried: bool = False
    crossed: int = 0
    failures: int = 0
    not_before: datetime = EPOCH
    looked_from: datetime = EPOCH
    withdrawn: Tracked | None = None
    kept_since: datetime | None = None
    over: bool = False
    reason: str = ""
    _judged: int = 0
    _begun: int = 0  # children before this one were turned away, and its time began anew

    @property
    def filled(self) -> Decimal:
        """Base units that children have filled."""
        return sum((child.filled for child in self.children), ZERO)

    @property
    def unsent(self) -> Decimal:
        """Base units that are left to be sent: the planned amount, less what is filled, less what may still fill."""
        return max(ZERO, self.leg.amount - sum((child.filled + child.remaining for child in self.children), ZERO))

    @property
    def claim(self) -> Decimal:
        """What the unsent part may take: quote for a buy, base for a sell."""
        return ZERO if self.over else self.leg.reserve * self.unsent / self.leg.amount

    @property
    def live(self) -> Tracked | None:
        """The child that has not come to a known end with all its trades; late news may make an old one live again."""
        return next((child for child in self.children if not child.settled), None)

    @property
    def begun_at(self) -> datetime | None:
        """When its time began: with its first child, in an earlier process if there was one, or when that was kept back; None: not yet."""
        begun = self.parent or self.resumed
        return self.kept_since if begun is None else begun.at

    def begin(self, parent: Parent) -> None:
        """Its first child is being made."""
        self.parent, self.resumed = parent, None

    def keep_back(self, at: datetime, until: datetime) -> None:
        """There is no money for a child, or limits let none through; look again then."""
        self.kept_since, self.not_before = self.kept_since or at, until

    def take(self, child: Tracked) -> None:
        """Another child."""
        self.children.append(child)
        self.last_at = child.order.at

    def judge(self, at: datetime) -> None:
        """Draw the conclusions from children that have ended since the last look."""
        while self._judged < len(self.children) and self.children[self._judged].settled:
            child = self.children[self._judged]
            self._judged += 1
            self.looked_from = at
            if child.filled:
                self.crossed = self.failures = 0
            elif would_have_crossed(child):
                self.crossed += 1
            elif child.state in (State.REJECTED, State.DENIED):
                self.not_before = at + min(BACKOFF * (1 << min(self.failures, 10)), BACKOFF_MAX)
                self.failures += 1

    def turned_away(self, passing: frozenset[str]) -> bool:
        """Whether the venue took none of the children by which its time began, for reasons that pass."""
        tried = self.children[self._begun :]
        ours = self.parent is not None and bool(tried) and self.parent.at == tried[0].order.at
        return ours and all(child.settled and child.reason in passing and not child.filled for child in tried)

    def begin_again(self) -> None:
        """Nothing of it was taken: what was due is not lost, and its time begins with the next child."""
        self.parent = self.resumed = self.last_at = self.kept_since = None
        self._begun, self.hurried = len(self.children), False

    def end(self, reason: str) -> None:
        """Send nothing more of it; `reason` is a stable code."""
        if not self.over:
            self.over, self.reason = True, reason

    def unwanted(self, tracked: Tracked) -> bool:
        """Whether a child should not be open: it is withdrawn, or nothing of this is wanted any more."""
        return tracked is self.withdrawn or self.over


def would_have_crossed(child: Tracked) -> bool:
    """Whether the venue refused or ended a resting order, unfilled and uncalled for, as one that would have traded at once."""
    stopped = child.state in (State.CANCELED, State.EXPIRED) and child.canceled_at is None
    return child.order.post_only and not child.filled and (stopped or child.reason == WOULD_CROSS)


def in_doubt(child: Tracked) -> bool:
    """Whether nobody knows whether it exists."""
    return child.state is State.UNKNOWN


def standing(child: Tracked) -> bool:
    """Whether it is in the book, and nobody has asked for its cancel."""
    return child.state in (State.ACKED, State.PARTIAL)


def hangs(order: Order, at: datetime) -> bool:
    """Whether an order that ends at once by its kind is open for so long that it has to be cancelled."""
    return not order.post_only and at - order.at >= HANGS


# An order that takes from the book has ended when its answer comes; one that is still open after this is cancelled.
HANGS: Final = timedelta(seconds=10)

UNFILLED: Final = Finish(Reason.UNFILLED.value)
IN_DOUBT: Final = Finish(Reason.ORDER_UNKNOWN.value)
TOO_SMALL: Final = Finish(Reason.BELOW_MINIMUM.value)
