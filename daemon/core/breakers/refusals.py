"""Refusals: orders that the venue has definitely refused, in a row, over all symbols and in each.

Rule: a refusal that says nothing of the order (a busy venue, maintenance, a clock) is not counted; an order that was taken ends the row.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from daemon.core.breakers.breaker import Breaker, Change
from daemon.core.breakers.rules import Code, RejectRule
from daemon.core.states import ACCOUNT, Hold, Level, Scope, States
from daemon.core.steering import HoldPlaced
from daemon.core.wave import PASSING
from daemon.core.working import WOULD_CROSS

# 2^20 pauses of a second are twelve days: whatever the bounds, the doubling ends before a timedelta does.
DOUBLINGS_MAX: Final = 20


class Refusals:
    """A symbol whose orders are refused pauses for ever longer times; an account whose orders are refused trips the breaker."""

    def __init__(self, rule: RejectRule, states: States) -> None:
        self._rule = rule
        self._states = states
        self._breaker = Breaker(Code.REJECTS, rule, states)
        self._row = 0
        self._rows: dict[str, int] = {}  # by symbol

    @property
    def counted(self) -> bool:
        """Whether there are refusals that the next order which is taken would end."""
        return bool(self._row or self._rows)

    def refused(self, symbol: str, code: str, at: datetime) -> Iterator[Change]:
        """An order of a symbol was refused, for the reason `code`."""
        if code in PASSING or code == WOULD_CROSS:  # the book has moved: nothing is wrong with the orders
            return
        self._row += 1
        row = self._rows[symbol] = self._rows.get(symbol, 0) + 1
        if row >= self._rule.symbol:
            yield HoldPlaced(self._pause(symbol, row, code, at), at)
        # While the breaker's hold is in force each further refusal begins the cool-down anew.
        value = self._row if self._breaker.held() is None else max(self._row, self._rule.limit)
        yield from self._breaker.read(value, at, lambda: f"{self._row} orders in a row were refused, the last one of {symbol} ({code})")

    def taken(self, symbol: str) -> None:
        """The venue has an order of this symbol: whatever was wrong before is over."""
        self._row = 0
        self._rows.pop(symbol, None)

    def on_time(self, at: datetime) -> Iterator[Change]:
        """No refusal came meanwhile."""
        if self._breaker.held() is not None:
            self._row = 0
            yield from self._breaker.read(0.0, at, str)

    def excuse(self, scope: Scope) -> None:
        """A person has lifted a hold: the count begins anew."""
        if scope == ACCOUNT:
            self._row = 0
        self._rows.pop(scope.symbol, None)

    def _pause(self, symbol: str, row: int, code: str, at: datetime) -> Hold:
        """The hold of a symbol: after its pause one order may try again, and if that is refused the next pause is twice as long."""
        pause = min(self._rule.pause * 2 ** min(row - self._rule.symbol, DOUBLINGS_MAX), self._rule.pause_max)
        text = f"{row} orders of {symbol} in a row were refused ({code}); it is tried again in {_told(pause)}"
        return Hold(scope=Scope(symbol=symbol), level=Level.PAUSED, code=Code.REJECTS.value, text=text, since=at, until=at + pause)


def _told(length: timedelta) -> str:
    seconds = round(length.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
