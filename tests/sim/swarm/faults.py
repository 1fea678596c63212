"""Faults: what may go wrong, and the weather of one seed.

Rule: the seed gives the schedule and nothing else does; chance within a fault hangs on the seed and the thing it happens to, so that
leaving a fault out changes nothing about the others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final


class Kind(StrEnum):
    """What goes wrong."""

    # orders on their way
    ANSWER_LOST = "answer_lost"
    ANSWER_5XX = "answer_5xx"
    LATE_ACK = "late_ack"
    REQUEST_LOST = "request_lost"
    REQUEST_LATE = "request_late"
    REFUSED_FUNDS = "refused_funds"
    REFUSED_BUSY = "refused_busy"
    REFUSED_FILTER = "refused_filter"
    NOT_SENT = "not_sent"
    DUPLICATE = "duplicate"
    # orders in the book
    STUCK = "stuck"
    PARTIAL = "partial"
    TRICKLE = "trickle"
    CANCEL_LOST = "cancel_lost"
    CANCEL_UNANSWERED = "cancel_unanswered"
    # reading
    LAG_ORDERS = "lag_orders"
    LAG_BALANCES = "lag_balances"
    LAG_TRADES = "lag_trades"
    LOOKUP_404 = "lookup_404"
    LOOKUP_FAILS = "lookup_fails"
    BALANCES_PARTIAL = "balances_partial"
    BALANCES_ZERO = "balances_zero"
    # the stream of the account
    USER_SILENT = "user_silent"
    USER_DOWN = "user_down"
    USER_DOUBLED = "user_doubled"
    USER_LATE = "user_late"
    # the stream of bars
    BARS_MUTE = "bars_mute"
    BARS_DOUBLED = "bars_doubled"
    BARS_SHUFFLED = "bars_shuffled"
    BARS_STUCK = "bars_stuck"
    BARS_CLOSED = "bars_closed"
    # the venue
    AWAY = "away"
    UNREACHED = "unreached"
    LIMITED = "limited"
    BANNED = "banned"
    CLOSED_MARKET = "closed_market"
    NEW_STEP = "new_step"
    CREDENTIALS = "credentials"
    SKEW = "skew"
    # other hands
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    COINS = "coins"
    FOREIGN_ORDER = "foreign_order"
    HAND_TRADE = "hand_trade"
    ORPHAN = "orphan"
    TWIN = "twin"
    # the process
    CRASH = "crash"
    CRASH_BEFORE_COMMIT = "crash_before_commit"
    CRASH_AFTER_COMMIT = "crash_after_commit"
    CRASH_ON_SUBMIT = "crash_on_submit"
    CRASH_ON_EVENT = "crash_on_event"
    DISK_FULL = "disk_full"
    STOP = "stop"
    PAUSE = "pause"
    FLATTEN = "flatten"
    RELOAD = "reload"
    # of swaps alone
    LIQUIDATION = "liquidation"
    ADL = "adl"
    LEVERAGE = "leverage"
    LEVERAGE_REFUSED = "leverage_refused"
    REFUSED_REDUCE = "refused_reduce"
    LEG_REFUSED = "leg_refused"
    FUNDING = "funding"
    FUNDING_TWICE = "funding_twice"
    POSITIONS_LATE = "positions_late"
    POSITIONS_LOST = "positions_lost"


LOST_ORDERS: Final = (
    Kind.ANSWER_LOST,
    Kind.ANSWER_5XX,
    Kind.LATE_ACK,
    Kind.REQUEST_LOST,
    Kind.REQUEST_LATE,
    Kind.REFUSED_FUNDS,
    Kind.REFUSED_BUSY,
    Kind.REFUSED_FILTER,
    Kind.NOT_SENT,
    Kind.DUPLICATE,
)
AMBIGUOUS: Final = (Kind.ANSWER_LOST, Kind.ANSWER_5XX, Kind.REQUEST_LOST, Kind.REQUEST_LATE)
MANNERS: Final = (Kind.STUCK, Kind.PARTIAL, Kind.TRICKLE)
CRASHES: Final = (Kind.CRASH, Kind.CRASH_BEFORE_COMMIT, Kind.CRASH_AFTER_COMMIT, Kind.CRASH_ON_SUBMIT, Kind.CRASH_ON_EVENT)
OTHER_HANDS: Final = (Kind.DEPOSIT, Kind.WITHDRAWAL, Kind.COINS, Kind.FOREIGN_ORDER, Kind.HAND_TRADE, Kind.ORPHAN)
GROUPS: Final[Sequence[tuple[int, Sequence[Kind]]]] = (
    (6, LOST_ORDERS),
    (3, (*MANNERS, Kind.CANCEL_LOST, Kind.CANCEL_UNANSWERED)),
    (4, (Kind.LAG_ORDERS, Kind.LAG_BALANCES, Kind.LAG_TRADES, Kind.LOOKUP_404, Kind.LOOKUP_FAILS)),
    (1, (Kind.BALANCES_PARTIAL, Kind.BALANCES_ZERO)),
    (2, (Kind.USER_SILENT, Kind.USER_DOWN, Kind.USER_DOUBLED, Kind.USER_LATE)),
    (2, (Kind.BARS_MUTE, Kind.BARS_DOUBLED, Kind.BARS_SHUFFLED, Kind.BARS_STUCK, Kind.BARS_CLOSED)),
    (3, (Kind.AWAY, Kind.UNREACHED, Kind.LIMITED, Kind.BANNED, Kind.CLOSED_MARKET, Kind.NEW_STEP, Kind.CREDENTIALS, Kind.SKEW)),
    (2, OTHER_HANDS),
    (5, CRASHES),
    (2, (Kind.DISK_FULL, Kind.STOP, Kind.PAUSE, Kind.FLATTEN, Kind.RELOAD)),
)
OF_SWAPS: Final = (
    Kind.LIQUIDATION,
    Kind.ADL,
    Kind.LEVERAGE,
    Kind.LEVERAGE_REFUSED,
    Kind.REFUSED_REDUCE,
    Kind.LEG_REFUSED,
    Kind.FUNDING,
    Kind.FUNDING_TWICE,
    Kind.POSITIONS_LATE,
    Kind.POSITIONS_LOST,
)
# An account of swaps holds no coins that could come by themselves.
SWAP_GROUPS: Final[Sequence[tuple[int, Sequence[Kind]]]] = (
    *((weight, tuple(kind for kind in kinds if kind is not Kind.COINS)) for weight, kinds in GROUPS),
    (12, OF_SWAPS),
)

# What no seed has by chance: a person must look after it.
UNSCHEDULED: Final = frozenset({Kind.TWIN})

FAULTS_MIN: Final = 5
STORMS: Final = 2  # every so many seeds, most answers to orders are lost from the beginning to well beyond the last fault:
# so that they are a fifth of all
SLOW: Final = 5  # every so many seeds, orders stay in the book from the beginning to the last fault
BEGIN_S: Final = 80.0  # the last fault begins so long after the start
STORM_S: Final = 150.0
LONG: Final = frozenset({Kind.LAG_ORDERS, Kind.LAG_BALANCES, Kind.LAG_TRADES, Kind.LOOKUP_404})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, `at` seconds after the start for `length` seconds. `size` in 0..1 says how badly."""

    kind: Kind
    at: float
    length: float
    size: float
    symbol: str

    @property
    def until(self) -> float:
        """When it is over."""
        return self.at + self.length


def schedule(seed: int, symbols: Sequence[str], *, swaps: bool = False) -> tuple[Fault, ...]:
    """The faults of a seed, at least FAULTS_MIN, in order of time."""
    chance = Random(f"{seed}/schedule")
    count = chance.choice([FAULTS_MIN, 7, 9, 12, 16])
    groups = SWAP_GROUPS if swaps else GROUPS
    weights = [weight for weight, _ in groups]
    kinds = [chance.choice(chance.choices(groups, weights)[0][1]) for _ in range(count)]
    found = [drawn(kind, chance, symbols) for kind in kinds]
    if seed % STORMS == 0:
        kind = chance.choice(AMBIGUOUS)
        found.append(Fault(kind, at=0.0, length=STORM_S, size=round(chance.uniform(0.5, 1.0), 4), symbol=symbols[0]))
    if seed % SLOW == 0:
        kind = chance.choice(MANNERS)
        found.append(Fault(kind, at=0.0, length=BEGIN_S, size=round(chance.uniform(0.0, 1.0), 4), symbol=symbols[0]))
    return tuple(sorted(found, key=lambda fault: fault.at))


def drawn(kind: Kind, chance: Random, symbols: Sequence[str], latest: float = BEGIN_S) -> Fault:
    """A fault of this kind: when, up to `latest` seconds after the start, for how long, how badly and where."""
    longest = 120.0 if kind in LONG else 40.0
    return Fault(
        kind,
        at=round(chance.uniform(0.0, latest), 3),
        length=round(chance.uniform(3.0, chance.choice([15.0, longest])), 3),
        size=round(chance.random(), 4),
        symbol=chance.choice(symbols),
    )


class Weather:
    """What goes wrong now. Several faults of a kind may overlap: the first of them counts."""

    def __init__(self, seed: int, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        self._seed = seed
        self._by_kind: dict[Kind, list[Fault]] = {}
        for fault in self.faults:
            self._by_kind.setdefault(fault.kind, []).append(fault)

    def __call__(self, now_s: float, *kinds: Kind) -> Fault | None:
        """The first fault of these kinds that is at work `now_s` seconds after the start."""
        for kind in kinds:
            for fault in self._by_kind.get(kind, ()):
                if fault.at <= now_s < fault.until:
                    return fault
        return None

    def at_work(self, now_s: float) -> list[Fault]:
        """All of them."""
        return [fault for fault in self.faults if fault.at <= now_s < fault.until]

    def luck(self, *what: object) -> Random:
        """Chance that hangs on the seed and on what it is about."""
        return Random(f"{self._seed}/{what}")

    def struck(self, now_s: float, kinds: Iterable[Kind], thing: str) -> Fault | None:
        """The first fault of these kinds that hits this thing."""
        for kind in kinds:
            fault = self(now_s, kind)
            if fault is not None and self.luck(kind, thing).random() < 0.3 + 0.7 * fault.size:
                return fault
        return None
