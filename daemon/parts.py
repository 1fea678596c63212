"""Parts: what a daemon is made of, and the one way in which it may refuse to start.

Rule: core parts hold no clock and no I/O; io parts meet in app.py and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from daemon.core.account import Account
from daemon.core.analyzer import Analyzer
from daemon.core.breakers import Breakers, Rules
from daemon.core.capital import Capital
from daemon.core.curves import Curves
from daemon.core.events import Event
from daemon.core.ledger import Ledger
from daemon.core.marginwatch import MarginWatch
from daemon.core.membership import Membership
from daemon.core.orders import OrderManager
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import Portfolio
from daemon.core.reconciler import PositionReconciler
from daemon.core.routing import Routing
from daemon.core.runner import StrategyRunner
from daemon.core.slices import Aligner
from daemon.core.staff import Sleeve
from daemon.core.trading import Settings

if TYPE_CHECKING:  # who only decides, as a backtest does, loads none of the edges
    from daemon.io.alerts import Recipient
    from daemon.io.alerts_heartbeat import Beat
    from daemon.io.clock import Clock
    from daemon.io.exchange import Exchange, VenueError
    from daemon.io.journal import Journal, Recovered
    from daemon.io.notify import Notifier
    from daemon.io.streams_rest import Source
    from daemon.io.worker import Job


class StartRefused(Exception):
    """The daemon cannot start as configured: one sentence and the exit code of contracts."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class ReloadRefused(Exception):
    """A changed configuration cannot be taken up: sentences. What ran before stays in force."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a reload brings, as plain values; `changed` are the dotted keys that differ.

    `sleeves` are all strategies. Those in `newcomers` are made anew, `away` are those of them that run in processes of their own; of the
    others only share and due times count. `inverse_volatility`: shares follow from what each has made. `restate`: as of the
    StrategyRunner, `keep_removed`: as of the Sleeves. `remarks` are sentences for the user. `in_force` is to be called once all of it
    counts: the next file is compared with this one.
    """

    settings: Settings
    capital: Capital
    correlation_jump: float
    restate: bool
    breakers: Rules
    sleeves: tuple[Sleeve, ...]
    newcomers: frozenset[str]
    away: tuple[Job, ...]
    inverse_volatility: bool
    keep_removed: bool
    changed: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    in_force: Callable[[], None] = lambda: None


def refused_key(source_file: str, place: str, error: VenueError) -> str:
    """The sentence for a key that the exchange does not take; `place` is the dotted key of the exchange."""
    return (
        f"{source_file}: {place}.credentials: the exchange refuses the key ({error.text}); "
        "check that key and secret belong together, to this mode, and may trade from this address"
    )


def dangerous_key(source_file: str, place: str) -> str:
    """The sentence for a key that may do more than it needs to."""
    return (
        f"{source_file}: {place}.credentials: this key may withdraw, so whoever gets hold of it takes everything; make one that may only "
        "read and trade, best bound to this machine's address, or set live.key_may_withdraw: true"
    )


@dataclass(frozen=True, slots=True)
class Core:
    """The parts that decide: the same in every world, the backtest included. `watched`: markets that are followed and not traded."""

    symbols: tuple[str, ...]
    timeframe: timedelta
    ledger: Ledger
    table: OrderTable
    account: Account
    portfolio: Portfolio
    curves: Curves
    manager: OrderManager
    reconciler: PositionReconciler
    runner: StrategyRunner
    membership: Membership
    analyzer: Analyzer
    breakers: Breakers
    margin: MarginWatch
    watched: tuple[str, ...] = ()

    @property
    def need(self) -> int:
        """Bars of history that a start fetches."""
        return max(self.runner.need, self.manager.guard.need, self.breakers.need, self.membership.need)


class Deciding(Protocol):
    """What the route table needs of the parts: a Core, or the Parts of a daemon."""

    @property
    def account(self) -> Account:
        """What it is worth, and what may be spent."""
        ...

    @property
    def portfolio(self) -> Portfolio:
        """Who holds what of it."""
        ...

    @property
    def curves(self) -> Curves:
        """What account and sleeves have made of the money that came in."""
        ...

    @property
    def manager(self) -> OrderManager:
        """From targets to settled orders."""
        ...

    @property
    def reconciler(self) -> PositionReconciler:
        """Ledger against account."""
        ...

    @property
    def runner(self) -> StrategyRunner:
        """The strategies."""
        ...

    @property
    def membership(self) -> Membership:
        """Who is in the universe."""
        ...

    @property
    def analyzer(self) -> Analyzer:
        """What the portfolio and its markets did."""
        ...

    @property
    def breakers(self) -> Breakers:
        """What stops trading by itself."""
        ...

    @property
    def margin(self) -> MarginWatch:
        """How near the positions of swaps are to their liquidation."""
        ...


class Accepts(Protocol):
    """An edge that takes requests from the bus. The daemon's return nothing and publish later; a backtest's answer at once."""

    def accept(self, request: Any) -> Iterable[Event]:
        """Take a request."""
        ...


class Watches(Protocol):
    """A view of the daemon's state."""

    def on_slice(self, event: Any) -> Iterable[Event]:
        """Look, once the account is marked and before anything is decided."""
        ...

    def on_polled(self, event: Any) -> Iterable[Event]:
        """The account was read."""
        ...

    def on_poll_failed(self, event: Any) -> Iterable[Event]:
        """The account could not be read."""
        ...


class Joined(Protocol):
    """What the route table joins: the daemon with its edges that wait, or the backtest with edges that answer at once."""

    @property
    def parts(self) -> Deciding:
        """The parts that decide."""
        ...

    @property
    def aligner(self) -> Aligner:
        """Bars to slices."""
        ...

    @property
    def gateway(self) -> Accepts:
        """Orders, look-ups and flows."""
        ...

    @property
    def poller(self) -> Accepts:
        """The account."""
        ...

    @property
    def timekeeper(self) -> Accepts:
        """The clocks."""
        ...

    @property
    def rulebook(self) -> Accepts:
        """The rules of the markets."""
        ...

    @property
    def settings(self) -> Accepts:
        """How the account is set up at the venue."""
        ...

    @property
    def recorder(self) -> Accepts:
        """Conclusions, to be written."""
        ...

    @property
    def views(self) -> Watches:
        """The state, to be shown."""
        ...

    def paper_on(self, kind: type) -> list[Any]:
        """Handlers of a simulated venue that is shown every price first."""
        ...

    def away_on(self, kind: type) -> list[Any]:
        """Handlers of the strategies in processes of their own; a backtest has none."""
        ...

    def tell(self, event: Event) -> Iterable[Event]:
        """Hear of everything, before anybody acts on it."""
        ...


@dataclass(frozen=True, slots=True)
class Process:
    """What the accounts of one instance share, built by `worlds.process`. `listen` is host, port and token of the API.

    `recipients` are the channels to a person, `beat` what is asked for whoever misses it, `routings` the strategies that trade on several
    accounts. `reread` reads the configuration again, in a thread: a renewal for each account, in order. `age_max`: how long one of several
    may go unread.
    """

    clock: Clock
    identity: Mapping[str, str]
    notifier: Notifier
    watchdog_s: float | None
    listen: tuple[str, int, str | None]
    reread: Callable[[], Sequence[Renewal]]
    recipients: tuple[Recipient, ...] = ()
    beat: Beat | None = None
    routings: tuple[Routing, ...] = ()
    age_max: timedelta = timedelta(hours=1)
    seed: int = 0


@dataclass(slots=True)
class Parts:
    """Everything that belongs to one account, built by `worlds.build`. `account_name` is "" where there is only one.

    `watched` are markets that are followed and not traded. `away` are the strategies that run in processes of their own; `remarks` are
    sentences for the user at the start. `unlisted` are symbols that the venue does not have, as the start has found. `place` is the
    dotted key of the exchange in the file. `vets_key`: a key that may withdraw is refused. `countdown`: after so long
    without a word the exchange cancels our orders, where that is wanted. `detail`: for how long what only explains is kept; None: for ever.
    """

    exchange: Exchange
    journal: Journal
    recovered: Recovered
    clock: Clock
    symbols: tuple[str, ...]
    timeframe: timedelta
    grace: timedelta
    source: Source
    poll_every: timedelta
    identity: Mapping[str, str]
    source_file: str
    ledger: Ledger
    table: OrderTable
    account: Account
    portfolio: Portfolio
    curves: Curves
    manager: OrderManager
    reconciler: PositionReconciler
    runner: StrategyRunner
    membership: Membership
    analyzer: Analyzer
    breakers: Breakers
    margin: MarginWatch
    notifier: Notifier
    progress: Callable[[int, int], None]
    account_name: str = ""
    place: str = "exchange"
    watched: tuple[str, ...] = ()
    away: tuple[Job, ...] = ()
    remarks: tuple[str, ...] = ()
    unlisted: frozenset[str] = frozenset()
    vets_key: bool = False
    countdown: timedelta | None = None
    detail: timedelta | None = None
    seed: int = 0

    @property
    def need(self) -> int:
        """Bars of history that the start fetches."""
        return max(self.runner.need, self.manager.guard.need, self.breakers.need, self.membership.need)
