"""Breaker: one rule over one reading. It trips at its limit, and lets go once the reading has stayed below for the cool-down.

Rule: the hold in force is the state, so that a restart goes on with it. What is no number says nothing: it neither trips nor calms. What a
person has lifted trips again only after it was below the limit once.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from math import isfinite
from typing import Final

from daemon.core.breakers.rules import Code, Rule
from daemon.core.states import ACCOUNT, DAEMON, Hold, Level, Scope, States
from daemon.core.steering import HoldLifted, HoldPlaced

Change = HoldPlaced | HoldLifted

# What ends by itself; what halts, or sells everything before it halts, is left by a person only.
PASSING: Final = frozenset({Level.REDUCING, Level.PAUSED})


class Breaker:
    """A reading is any number, larger being worse; `text` says it in a sentence when it trips."""

    def __init__(self, code: Code, rule: Rule, states: States) -> None:
        self.code = code
        self.rule = rule
        self._states = states
        self._calm_since: dict[Scope, datetime] = {}
        self._excused: set[Scope] = set()

    def read(self, value: float, at: datetime, text: Callable[[], str], scope: Scope = ACCOUNT) -> Iterator[Change]:
        """Take a reading in; what follows from it, if anything does."""
        if not isfinite(value):
            self._calm_since.pop(scope, None)
        elif value >= self.rule.limit:
            self._calm_since.pop(scope, None)
            if scope not in self._excused and self.held(scope) is None:
                yield self._tripped(at, text(), scope)
        else:
            self._excused.discard(scope)
            yield from self._calmed(at, scope)

    def held(self, scope: Scope = ACCOUNT) -> Hold | None:
        """Its hold, if it is in force."""
        return self._states.find(scope, self.code.value)

    def excuse(self, scope: Scope = ACCOUNT) -> None:
        """A person has lifted its hold: the cause is known, and trips again only once it was gone."""
        self._excused.add(scope)

    def _tripped(self, at: datetime, text: str, scope: Scope) -> HoldPlaced:
        return HoldPlaced(Hold(scope=scope, level=self.rule.action.level, code=self.code.value, text=text, since=at), at)

    def _calmed(self, at: datetime, scope: Scope) -> Iterator[Change]:
        hold = self.held(scope)
        if hold is None or hold.level not in PASSING:
            return
        since = self._calm_since.setdefault(scope, at)
        if at - since >= self.rule.cool_down:
            del self._calm_since[scope]
            yield HoldLifted(scope, self.code.value, DAEMON, at)
