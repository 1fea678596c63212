"""Parts: what a daemon is made of, and the one way in which it may refuse to start.

Rule: core parts hold no clock and no I/O; io parts meet in app.py and nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from daemon.core.account import Account
from daemon.core.ledger import Ledger
from daemon.core.orders import OrderManager
from daemon.core.ordertable import OrderTable
from daemon.core.reconciler import PositionReconciler
from daemon.core.runner import StrategyRunner
from daemon.io.clock import Clock
from daemon.io.exchange import Exchange, VenueError
from daemon.io.journal import Journal, Recovered
from daemon.io.notify import Notifier
from daemon.io.streams_rest import Source


class StartRefused(Exception):
    """The daemon cannot start as configured: one sentence and the exit code of contracts."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def refused_key(source_file: str, error: VenueError) -> str:
    """The sentence for a key that the exchange does not take."""
    return (
        f"{source_file}: exchange.credentials: the exchange refuses the key ({error.text}); "
        "check that key and secret belong together, to this mode, and may trade from this address"
    )


@dataclass(slots=True)
class Parts:
    """Everything a daemon is made of, built by `worlds.build`. `listen` is host, port and token of the API."""

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
    manager: OrderManager
    reconciler: PositionReconciler
    runner: StrategyRunner
    notifier: Notifier
    watchdog_s: float | None
    listen: tuple[str, int, str | None]
    progress: Callable[[int, int], None]
    seed: int = 0
