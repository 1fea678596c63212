"""Twins: whether another instance of this program trades on the account, as two on two machines would.

Rule: only what this instance cannot have made itself counts: an order that the venue took well after this process had begun, and that has
traded under an id of ours that no intent has, or stands under one that has an intent and another number of the venue, or under an id of
another instance. Every intent is in the journal before it leaves, so neither a lost answer nor an earlier process of ours can look like
that. One that rests under an id of ours and has not traded is no evidence yet: it may have been lost on its way for long, and is cancelled.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from daemon.core.events import Event, HoldLifted, HoldPlaced
from daemon.core.model import OrderReport, Status
from daemon.core.ordertable import OrderTable, is_of_a_daemon
from daemon.core.states import Hold, Level

# Why trading is halted where another instance trades.
OTHER_INSTANCE: Final = "other_instance"

# A journal that was restored knows nothing of what its last process has sent; those requests are valid for five seconds, and clocks differ.
# No order is sent with a clock that is off by more than a second.
MARGIN: Final = timedelta(seconds=10)

# So many resting orders of one life that no intent explains are no late ones any more.
STRAYS_MAX: Final = 5


class Twins:
    """Looks at every order that the venue tells of. `ours` is how the ids of this instance begin.

    Of other instances, which have another name or mode, only orders in `symbols` count: there the two trade against each other.
    """

    def __init__(self, symbols: Iterable[str], table: OrderTable, ours: str) -> None:
        self.margin = MARGIN
        self._symbols = frozenset(symbols)
        self._table = table
        self._ours = ours
        self._since: datetime | None = None
        self._told = False
        self._made: frozenset[str] = frozenset()
        self._strays: set[str] = set()

    def begin(self, at: datetime, made: Iterable[str] = ()) -> None:
        """A process that sends orders begins; before that, nothing is judged. `made`: ids of orders of the processes before it."""
        self._since, self._made = at, frozenset(made)

    def is_theirs(self, report: OrderReport) -> bool:
        """Whether another instance has made this order."""
        if not self._is_new(report):
            return False
        if not report.order_id.startswith(self._ours):
            return report.symbol in self._symbols and is_of_a_daemon(report.order_id)
        known = self._table.get(report.order_id)
        if known is not None:
            # The same decision has the same id on every machine, and venues take an id twice once its first order has ended.
            return report.status is not Status.REJECTED and _differ(known.venue_id, report.venue_id)
        forgot_at = self._table.forgot_at
        if report.order_id in self._made or (forgot_at and report.made_at and report.made_at <= forgot_at + self.margin):
            return False
        return report.filled > 0 or len(self._strays) >= STRAYS_MAX

    def judge(self, reports: Iterable[OrderReport], at: datetime) -> Iterator[Event]:
        """Halt where one of these is of another instance; once, until a person has resumed."""
        theirs = next((report for report in map(self._noted, reports) if self.is_theirs(report)), None)
        if theirs is None or self._told:
            return
        self._told = True
        text = (
            f"another instance trades on this account: order {theirs.order_id}, {theirs.side.value} {theirs.symbol}, was not sent by this "
            "one; stop that one or give it an account of its own, then `rebalanced resume`"
        )
        yield HoldPlaced(Hold(level=Level.HALTED, code=OTHER_INSTANCE, text=text, since=at), at)

    def _noted(self, report: OrderReport) -> OrderReport:
        """Count what rests under an id of ours and is in no journal."""
        mine = report.order_id in self._made or self._table.get(report.order_id) is not None
        if self._is_new(report) and report.order_id.startswith(self._ours) and report.status is Status.OPEN and not mine:
            self._strays.add(report.order_id)
        return report

    def _is_new(self, report: OrderReport) -> bool:
        """Whether the venue took it so late that no process before this one can have sent it. News of its trades need not say when."""
        if report.order_id in self._strays:
            return True
        return self._since is not None and report.made_at is not None and report.made_at >= self._since + self.margin

    def on_lifted(self, event: HoldLifted) -> None:
        """A person has seen to it; what the other instance has done until now is over, and what it does from now on is not."""
        if event.code == OTHER_INSTANCE:
            self._since, self._told = event.at, False
            self._strays.clear()


def _differ(one: str, other: str) -> bool:
    """Whether two numbers of a venue are two; one that is not told, or is none, differs from nothing."""
    if one.isdecimal() and other.isdecimal():
        return 0 < int(one) != int(other) > 0
    return bool(one and other) and "-1" not in (one, other) and one != other
