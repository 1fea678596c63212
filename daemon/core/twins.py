"""Twins: whether another instance of this program trades on the account, as two on two machines would.

Rule: only what this instance cannot have made itself counts: an order that the venue took well after this process had begun, under an id
of ours that no intent has, under one that has an intent and another number of the venue, or under an id of another instance. Every intent
is in the journal before it leaves, so neither a lost answer nor an earlier process of ours can look like that.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from daemon.core.events import Event, HoldLifted, HoldPlaced
from daemon.core.model import OrderReport
from daemon.core.ordertable import OrderTable, is_of_a_daemon
from daemon.core.states import Hold, Level

# Why trading is halted where another instance trades.
OTHER_INSTANCE: Final = "other_instance"

# A journal that was restored knows nothing of what its last process has sent; those requests are valid for five seconds, and clocks differ.
# No order is sent with a clock that is off by more than a second.
MARGIN: Final = timedelta(seconds=10)


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

    def begin(self, at: datetime) -> None:
        """A process that sends orders begins; before that, nothing is judged."""
        self._since = at

    def is_theirs(self, report: OrderReport) -> bool:
        """Whether another instance has made this order."""
        since = self._since
        if since is None or report.made_at is None or report.made_at < since + self.margin:
            return False
        if not report.order_id.startswith(self._ours):
            return report.symbol in self._symbols and is_of_a_daemon(report.order_id)
        known = self._table.get(report.order_id)
        if known is None:
            return self._table.forgot_at is None or report.made_at > self._table.forgot_at + self.margin
        # The same decision has the same id on every machine, and venues take an id twice once its first order has ended.
        return bool(known.venue_id and report.venue_id) and known.venue_id != report.venue_id

    def judge(self, reports: Iterable[OrderReport], at: datetime) -> Iterator[Event]:
        """Halt where one of these is of another instance; once, until a person has resumed."""
        theirs = next((report for report in reports if self.is_theirs(report)), None)
        if theirs is None or self._told:
            return
        self._told = True
        text = (
            f"another instance trades on this account: order {theirs.order_id}, {theirs.side.value} {theirs.symbol}, was not sent by this "
            "one; stop that one or give it an account of its own, then `rebalanced resume`"
        )
        yield HoldPlaced(Hold(level=Level.HALTED, code=OTHER_INSTANCE, text=text, since=at), at)

    def on_lifted(self, event: HoldLifted) -> None:
        """A person has seen to it; what the other instance has done until now is over, and what it does from now on is not."""
        if event.code == OTHER_INSTANCE:
            self._since, self._told = event.at, False
