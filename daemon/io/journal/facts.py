"""What the journal takes.

Rule: a fact is a value of core, written once; writing it again changes nothing.
"""

from dataclasses import dataclass

from daemon.core.events import (
    FlowBooked,
    OrderClosed,
    OrderFilled,
    OrderNotFound,
    OrderNotSent,
    OrderRefused,
    OrderReported,
    OrderSent,
    OrderUnknown,
    PlanMade,
    RiskLimited,
    TradingHalted,
    WaveSettled,
)
from daemon.core.model import Decision, Order


@dataclass(frozen=True, slots=True)
class Put:
    """A named text that replaces the one before it: a switch, the paper account. An empty value is kept like any other."""

    key: str
    value: str


OrderFact = OrderSent | OrderReported | OrderRefused | OrderNotSent | OrderUnknown | OrderNotFound | OrderClosed
"""What is known of one order, in the order in which it became known."""

DecisionFact = RiskLimited | PlanMade
"""What became of one decision on its way to orders, in the order in which it happened; written for whoever asks why."""

Fact = Decision | Order | OrderFact | DecisionFact | OrderFilled | FlowBooked | WaveSettled | TradingHalted | Put
"""Everything `Journal.commit` takes. An `Order` is its intent."""
