"""What the journal takes.

Rule: a fact is a value of core, written once; writing it again changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from daemon.core.events import (
    CorrelationCalmed,
    CorrelationHigh,
    EquityMarked,
    FlowBooked,
    GroupJudged,
    HoldLifted,
    HoldPlaced,
    KeepState,
    OrderClosed,
    OrderFilled,
    OrderGivenUp,
    OrderLimited,
    OrderNotFound,
    OrderNotSent,
    OrderRefused,
    OrderReported,
    OrderSent,
    OrderUnknown,
    PlanMade,
    RiskLimited,
    RiskRefused,
    SleevesBooked,
    SliceClosed,
    WaveSettled,
)
from daemon.core.model import Decision, Order, Slice
from daemon.core.planner_inputs import fingerprint
from daemon.core.styles import Parent

CORRELATION: Final = "correlation"  # the key under which it is kept what the correlation watch has said last


@dataclass(frozen=True, slots=True)
class Put:
    """A named text that replaces the one before it: a switch, the paper account. An empty value is kept like any other."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Command:
    """What a person has asked of the daemon: the verb, its argument ("": none), and who asked, from where."""

    verb: str
    argument: str
    by: str
    at: datetime


@dataclass(slots=True)
class Thinning:
    """Detail from before a moment is to go (retention.py). `rows`: how many went, once it is committed."""

    before: datetime
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Warmed:
    """The history that a run was fed before it began."""

    slices: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan as it was made: the round, the ids of its orders, and why other symbols are left alone.

    `changed`, `needs` and `funding` as in PlanMade. `inputs` is the text of all that it follows from: `planner.replay` makes it again.
    """

    attempt: int
    orders: tuple[str, ...]
    left: Mapping[str, str]
    at: datetime
    changed: Mapping[str, float] = field(default_factory=dict)
    needs: Mapping[str, Decimal] = field(default_factory=dict)
    inputs: str = ""
    funding: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The hash of the inputs; "" where a journal is older than they."""
        return fingerprint(self.inputs) if self.inputs else ""


OrderFact = OrderSent | OrderReported | OrderRefused | OrderNotSent | OrderUnknown | OrderNotFound | OrderGivenUp | OrderClosed
"""What is known of one order, in the order in which it became known."""

OrderCut = OrderLimited | RiskRefused
"""What limits took away from one order before there was one."""

WatchFact = CorrelationHigh | CorrelationCalmed
"""What the correlation watch has said; the newest counts."""

DecisionFact = RiskLimited | OrderCut | PlanMade | GroupJudged
"""What became of one decision on its way to orders, in the order in which it happened; written for whoever asks why."""

HoldFact = HoldPlaced | HoldLifted
"""What restricts trading, in the order in which it came and went."""

Fact = (
    Decision
    | Parent
    | Order
    | OrderFact
    | DecisionFact
    | HoldFact
    | WatchFact
    | OrderFilled
    | FlowBooked
    | SleevesBooked
    | WaveSettled
    | Command
    | KeepState
    | EquityMarked
    | SliceClosed
    | Warmed
    | Put
    | Thinning
)
"""Everything `Journal.commit` takes. An `Order` is its intent; a `KeepState` is written as a `Put`; a `Thinning` removes."""
