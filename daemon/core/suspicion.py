"""Suspicion: what the reconciler keeps of an account that differs, and how long it waits before it believes what it sees."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from daemon.core.model import AccountSnapshot


@dataclass(slots=True)
class Suspicion:
    """A difference (account minus ledger, in units of its currency) that was seen on a quiet account, and what was done about it.

    `asked`: the symbols whose trades are being read; `read_at`: when they had been. `found`: whether it has been told as drift.
    """

    currency: str
    amount: Decimal
    since: datetime
    asked: frozenset[str] = frozenset()
    read_at: datetime | None = None
    found: bool = False


@dataclass(slots=True)
class Opening:
    """What a first start has seen: `held` has stood unchanged since `since`, once told. `ever`: all currencies that a poll has shown."""

    held: dict[str, Decimal]
    since: datetime
    ever: frozenset[str] = frozenset()
    confirmed: AccountSnapshot | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """When a poll says something about the account.

    `quiet`: nothing of ours has moved within this time before the poll began. `lag`: balances may be that old after a trade, so that a
    difference is only believed when no trade is younger, or when it has not changed for so long. `stale`: a balance that is exactly what
    the account held less than this ago is taken for an old one, and nothing is booked; nor is an account opened sooner without what it was
    once shown to hold. `flow`: no difference is booked before it has stood for this long. `opens`: two polls so far apart that show the
    same make an opening balance. `again`: a difference is polled again after this long, growing to `again_max`. `overlap`: trades are read
    from this long before the difference was last known not to be. `lookups`: an order in doubt that so many look-ups have not found no
    longer makes the account restless.
    """

    quiet: timedelta = timedelta(seconds=3)
    lag: timedelta = timedelta(seconds=30)
    stale: timedelta = timedelta(minutes=5)
    flow: timedelta = timedelta(seconds=5)
    opens: timedelta = timedelta(seconds=1)
    again: timedelta = timedelta(seconds=3)
    again_max: timedelta = timedelta(seconds=30)
    overlap: timedelta = timedelta(minutes=10)
    lookups: int = 3
