"""Arrears: what a wave had to leave, and whether it is made up for once it is known what came of it.

Rule: only the newest decision is taken up again, within the turnover that it has left, and never once another one is due.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from daemon.core.events import WaveSettled
from daemon.core.model import Cause, Decision, Fill, Instrument, decision_id
from daemon.core.ordertable import Tracked
from daemon.core.planner_legs import Reason
from daemon.core.settlement import costs
from daemon.core.wave import RULES_DOUBTED, Wave

# What a wave says of an order that it did not wait for.
NOT_AWAITED: Final = frozenset({Reason.ORDER_UNKNOWN.value, Reason.ORDER_OPEN.value})


class Arrears:
    """What the newest decision has traded, and what it still owes.

    `overtaken`: another decision is due, or the rules by which it was worked on are gone, so that nothing of it is taken up again.
    """

    def __init__(self) -> None:
        self.overtaken = False
        self._worked: Wave | None = None  # the newest that has settled
        self._traded: dict[str, Mapping[str, Decimal]] = {}  # by decision, what its orders before those of its wave had traded, by quote

    def restore(self, decision: Decision, fills: Iterable[Fill], ended: Container[str], *, overtaken: bool) -> None:
        """Go on after a stop; `ended` are the decision's orders that had ended in the process before."""
        self.overtaken = overtaken
        self._traded = {decision.id: costs(fill for fill in fills if fill.order_id in ended)}

    def before(self, decision: Decision) -> Mapping[str, Decimal]:
        """What orders of the decision had traded before its wave began, by quote currency."""
        return self._traded.get(decision.id, {})

    def settled(self, wave: Wave) -> None:
        """What it has left is owed from here on, if it is ever known."""
        self._worked = wave

    def again(self, last: Decision | None, wave: WaveSettled | None, cause: Cause, at: datetime) -> Decision | None:
        """The newest decision once more, for what its wave had to leave; None where something newer sees to that."""
        if last is None or wave is None or wave.decision.id != last.id or last.cause is Cause.FLATTENING or self.overtaken:
            return None
        again = replace(last, id=decision_id(at, cause), at=at, cause=cause)
        self._traded = {again.id: dict(self.before(last) if self._worked is None else self._worked.spent)}
        return again


def missing(last: WaveSettled | None, ended: Tracked | None) -> bool:
    """Whether the end of an order that a wave had not waited for leaves something to do: it fell short, or has brought money after all."""
    if last is None or ended is None:
        return False
    if last.left.get(ended.order.symbol) in NOT_AWAITED and ended.booked < ended.order.amount:
        return True
    late_money = not ended.order.spends_quote and ended.doubted_at is not None and ended.booked > 0
    return late_money and Reason.UNFUNDED.value in last.left.values()


def doubted(last: WaveSettled | None, changed: Iterable[str]) -> bool:
    """Whether a wave was refused something by the rules of markets that have changed since."""
    return last is not None and any(last.refused.get(symbol) in RULES_DOUBTED for symbol in changed)


def amended(known: Mapping[str, Instrument], now: Mapping[str, Instrument]) -> frozenset[str]:
    """The symbols whose rules are others than they were."""
    return frozenset(symbol for symbol, market in now.items() if market != known.get(symbol))
