"""Top: a running daemon in a terminal, live: how it is, what it holds against its targets, its open orders and its last decisions.

Rule: it only reads, and outlives the daemon: what was seen last stays, with how old it is.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from daemon.io.clock import SystemClock
from daemon.screens import cells
from daemon.screens.show import NoAnswer, fetch, listing, status_screen

Row = Mapping[str, object]

PARTS: Final = ("status", "positions", "targets", "orders?limit=200", "decisions?limit=5")
# Orders that may still trade, by their state.
OPEN: Final = frozenset({"new", "sent", "acked", "partial", "cancel_sent", "unknown"})
ORDERS_MAX: Final = 15


class Top:
    """What the screen shows. `read` brings the API's answer at a path, or raises NoAnswer."""

    def __init__(self, read: Callable[[str], object], now: Callable[[], datetime]) -> None:
        self._read = read
        self._now = now
        self._seen: RenderableType | None = None
        self._at: datetime | None = None

    def frame(self) -> RenderableType:
        """The screen as of now; while nobody answers, the last one below a line that says so. NoAnswer: nobody has answered yet."""
        try:
            status, positions, targets, orders, decisions = (self._read(f"/api/v1/{part}") for part in PARTS)
        except NoAnswer as error:
            if self._seen is None:
                raise
            said = f"{error}; below is what was seen {cells.age(self._at and self._at.isoformat(), self._now())}"
            return Group(Text(cells.tame(said), style="bold red"), self._seen)
        self._at = self._now()
        self._seen = Group(
            status_screen(status if isinstance(status, Mapping) else {}, _rows(positions), _rows(targets), self._at),
            *_open_orders(_rows(orders)),
            *_decisions(_rows(decisions)),
        )
        return self._seen


def _rows(answer: object) -> list[Row]:
    return [row for row in answer if isinstance(row, Mapping)] if isinstance(answer, list) else []


def _open_orders(orders: Sequence[Row]) -> list[RenderableType]:
    rows = [row for row in orders if row.get("state") in OPEN]
    if not rows:
        return []
    more = [Text(f"and {len(rows) - ORDERS_MAX} more", style="dim")] if len(rows) > ORDERS_MAX else []
    return [Text(""), Text("open orders", style="bold"), listing("orders", rows[:ORDERS_MAX]), *more]


def _decisions(decisions: Sequence[Row]) -> list[RenderableType]:
    table = cells.Listing(("as_of", "account", "cause", "targets", "sent", "filled", "costs"), spare=("account", "costs", "cause"))
    for row in decisions:
        table.add(*_decision(row))
    return [Text(""), Text("decisions", style="bold"), table] if decisions else []


def _decision(row: Row) -> Sequence[str]:
    targets, wave = row.get("targets"), row.get("wave")
    weights = targets if isinstance(targets, Mapping) else {}
    wanted = "  ".join(f"{symbol} {cells.weight(share)}" for symbol, share in weights.items() if share)
    told = wave if isinstance(wave, Mapping) else {}
    cost = cells.number(told.get("cost_bps"))
    said = [cells.moment(row.get("as_of")), str(row.get("account") or ""), str(row.get("cause") or ""), wanted or "nothing"]
    cost_said = f"{cost:.1f} bps" if cost is not None and cells.number(told.get("sent")) else ""
    return [*said, cells.cell(told.get("sent")), cells.cell(told.get("filled")), cost_said]


def run(url: str, token: str | None, every_s: float, pause: Callable[[float], None], console: Console | None = None) -> None:
    """Show the daemon at `url` until Ctrl-C, anew every `every_s` seconds; into a pipe or a file, once.

    Raises:
        NoAnswer: nobody answers from the first.
    """
    top = Top(lambda path: fetch(url, path, token=token), SystemClock().now)
    console = console or cells.terminal()
    if not sys.stdout.isatty():
        console.print(top.frame())
        return
    first = top.frame()
    with Live(first, console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            pause(every_s)
            live.update(top.frame(), refresh=True)
