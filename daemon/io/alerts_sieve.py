"""Sieve: which log lines one channel is sent, when, and how often the same thing is told.

Rule: it never loses a count. What is held back is told with the next alert of its kind, at the latest when its time is over.
Moments are seconds on the monotonic clock.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from daemon.core.plain import Plain

Line = Mapping[str, Plain]

# Sent whatever the level of the channel: who may trade, money that moved without a trade, other hands, start and end of the process.
ALWAYS: Final = (
    "trading.",
    "drift.found",
    "drift.cleared",
    "flow.booked",
    "account.foreign_orders",
    "strategy.disabled",
    "daemon.ready",
    "daemon.stopping",
    "daemon.failed",
)
# Never held back: each is a change of state that a person asked for or must know of, and none comes in a burst.
AT_ONCE: Final = ("trading.halted", "trading.paused", "trading.resumed", "trading.flattening", "daemon.")
# What an alert says of itself is not news, nor is what the library that carries it says; telling either would make another.
NEVER: Final = ("alert.", "log.")
# What a line is about: two lines of one event that agree in these say the same thing.
ABOUT: Final = ("account", "scope", "code", "symbol", "currency", "strategy", "job", "logger")

SEVERITY: Final = {"debug": 0, "info": 1, "warning": 2, "error": 3}
KEYS_MAX: Final = 1000  # things remembered of each kind: 500 symbols, twice


@dataclass(frozen=True, slots=True)
class Standing:
    """A trouble that ends by itself as a rule, and is worth an alert when it has not after `after_s`."""

    after_s: float
    ended_by: tuple[str, ...]
    field: str | None = None  # which one of several it is


STANDING: Final = {
    # Looking for an order takes some twenty seconds when all is well: three questions, the last of them fifteen seconds after the doubt.
    "order.unknown": Standing(60.0, ("order.resolved", "order.closed"), "order_id"),
    # Maintenance of an exchange that is announced by nobody takes a minute or two.
    "exchange.unreachable": Standing(300.0, ("daemon.ready",)),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """A line to be sent. `suppressed`: lines like it that were held back before; `standing_s`: for how long it has been so."""

    line: Line
    suppressed: int = 0
    standing_s: float | None = None


@dataclass(slots=True)
class _Window:
    """The time in which one thing is not told again, and what came in it."""

    until: float
    count: int = 0
    newest: Alert | None = None

    def told(self) -> list[Alert]:
        """What was held back, as one alert: the newest, and how many came before it."""
        return [replace(self.newest, suppressed=self.count - 1)] if self.newest else []


class Sieve:
    """What one channel wants: lines of at least `level`, those of `ALWAYS`, and those of `events` (names, or prefixes that end in a dot).

    The same event about the same thing is told once in `min_interval_s`.
    """

    def __init__(self, level: str, events: tuple[str, ...], min_interval_s: float) -> None:
        self._least = SEVERITY[level]
        self._events = (*ALWAYS, *events)
        self._min_interval_s = min_interval_s
        self._windows: dict[Hashable, _Window] = {}  # in order of their ends, since all are equally long
        self._standing: dict[tuple[str, Plain], tuple[float, Line]] = {}
        self._lasted: dict[tuple[str, Plain], None] = {}  # what was told to stand, whose end is news as well

    def wants(self, level: str, event: str) -> bool:
        """Whether `take` has a use for such a line. It reads nothing that changes, so any thread may ask."""
        if _matches(event, NEVER):
            return False
        followed = event in STANDING or any(event in each.ended_by for each in STANDING.values())
        return followed or self._chosen(level, event)

    def take(self, line: Line, mono: float) -> list[Alert]:
        """Hear a line; what is to be sent because of it."""
        event = str(line["event"])
        ended = self._follow(event, line, mono)
        if not ended and not self._chosen(str(line["level"]), event):
            return []
        if _matches(event, AT_ONCE):
            return [Alert(line)]
        return self._admit((event, *(str(line.get(name)) for name in ABOUT)), Alert(line), mono)

    def due(self, mono: float) -> list[Alert]:
        """What is to be sent because time has passed: what was held back, what has stood for too long."""
        alerts: list[Alert] = []
        while self._windows and next(iter(self._windows.values())).until <= mono:
            key = next(iter(self._windows))
            if held_back := self._windows.pop(key).told():
                self._windows[key] = _Window(mono + self._min_interval_s)
                alerts += held_back
        for key, (at, line) in list(self._standing.items()):
            if at <= mono:
                del self._standing[key]
                self._lasted[key] = None
                if len(self._lasted) > KEYS_MAX:
                    del self._lasted[next(iter(self._lasted))]
                alerts += self._admit((*key, "standing"), Alert(line, standing_s=STANDING[key[0]].after_s), mono)
        return alerts

    @property
    def next_at(self) -> float | None:
        """When `due` has something to say, unless a line comes first; None: never."""
        first = next(iter(self._windows.values()), None)
        return min([*([first.until] if first else []), *(at for at, _ in self._standing.values())], default=None)

    def _chosen(self, level: str, event: str) -> bool:
        return SEVERITY[level] >= self._least or _matches(event, self._events)

    def _admit(self, key: Hashable, alert: Alert, mono: float) -> list[Alert]:
        window = self._windows.get(key)
        if window is not None and mono < window.until:
            window.count, window.newest = window.count + 1, alert
            return []
        self._windows.pop(key, None)
        self._windows[key] = _Window(mono + self._min_interval_s)
        forgotten = self._windows.pop(next(iter(self._windows))).told() if len(self._windows) > KEYS_MAX else []
        return [*forgotten, replace(alert, suppressed=window.count if window else 0)]

    def _follow(self, event: str, line: Line, mono: float) -> bool:
        """Note troubles that have begun or ended; whether one has ended of which a person was told."""
        ended = False
        for name, rule in STANDING.items():
            which = line.get(rule.field) if rule.field else None
            key = (name, which if isinstance(which, str) else None)
            if event == name and len(self._standing) < KEYS_MAX:
                self._standing.setdefault(key, (mono + rule.after_s, line))
            elif event in rule.ended_by:
                self._standing.pop(key, None)
                ended |= key in self._lasted
                self._lasted.pop(key, None)
        return ended


def _matches(event: str, names: tuple[str, ...]) -> bool:
    """Whether an event is one of these names, or lies below one that ends in a dot."""
    return any(event == name or (name.endswith(".") and event.startswith(name)) for name in names)
