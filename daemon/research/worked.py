"""Worked: a wave that was worked off in one go, as it is kept until somebody asks what its orders were.

Rule: the orders and trades are those that the parts would have made, ids included; they follow from the legs and deals alone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from daemon.core.model import Fill, Order
from daemon.core.paper_orders import Deal
from daemon.core.planner_legs import Leg
from daemon.core.wave import intent

# Each symbol has one order in such a wave.
FIRST: Final = 1


class Worked(NamedTuple):
    """A wave of an instance, for one sleeve: what was ordered and what was traded, each in its order."""

    instance: str
    sleeve: str
    decision_id: str
    at: datetime
    legs: Sequence[Leg]
    deals: Sequence[Deal]

    def told(self) -> tuple[list[Order], list[Fill]]:
        """Its orders and trades."""
        orders = [intent(self.instance, self.decision_id, leg, FIRST, self.at, {self.sleeve: leg.amount}) for leg in self.legs]
        ids = {order.symbol: order.id for order in orders}
        return orders, [deal.fill(ids[deal.leg.symbol], self.at) for deal in self.deals]
