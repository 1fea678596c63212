"""Losses: the fall of the account from its highest value, and since the UTC day began.

Rule: judged on units of the account's curve, so that no deposit and no withdrawal is a loss, at prices that are marked, so that cash alone
says nothing. The high-water mark rises at bars; a fall counts at every look between them. What a person has resumed from is the new mark.
"""

from collections.abc import Iterator
from datetime import datetime

from daemon.core.account import Account
from daemon.core.breakers.breaker import Breaker, Change
from daemon.core.breakers.rules import Code, Rule, Rules
from daemon.core.curves import Curves, day_of
from daemon.core.states import States
from daemon.core.steering import KeepState

NAN = float("nan")


class Losses:
    """`moved`: a price has come since the last look."""

    def __init__(self, rules: Rules, states: States, account: Account, curves: Curves) -> None:
        self.moved = False
        self._account = account
        self._curves = curves
        self._drawdown = _breaker(Code.DRAWDOWN, rules.drawdown, states)
        self._daily = _breaker(Code.DAILY_LOSS, rules.daily_loss, states)

    def on_slice(self, at: datetime) -> Iterator[Change]:
        """The curve has been marked."""
        self.moved = False
        return self._judge(self._curves.account.value, at)

    def on_time(self, at: datetime) -> Iterator[Change]:
        """Between two bars, at the prices there are now."""
        if self.moved and (self._drawdown or self._daily):
            self.moved = False
            yield from self._judge(self._value(), at)

    def excuse(self, code: str, at: datetime) -> Iterator[KeepState]:
        """A person has accepted the loss: it is judged from here on."""
        yield self._curves.begin_anew(at, high=code == Code.DRAWDOWN, day=code == Code.DAILY_LOSS)

    def _value(self) -> float:
        """Worth of a unit now; NaN while that is not known, or there is no money."""
        curve = self._curves.account
        return float(self._account.equity()) / curve.units if curve.units > 0 and self._curves.known else NAN

    def _judge(self, value: float, at: datetime) -> Iterator[Change]:
        curve = self._curves.account
        if self._curves.account.units <= 0:
            return
        if self._drawdown:
            fall = _below(value, curve.high)
            yield from self._drawdown.read(fall, at, lambda: f"the account is {fall:.2%} below its highest value{_limit(self._drawdown)}")
        if self._daily:
            # Until the first bar of a day, the day began where the last bar of the day before stood.
            opened = curve.opened if curve.marked_at is not None and day_of(curve.marked_at) == day_of(at) else curve.value
            loss = _below(value, opened)
            yield from self._daily.read(loss, at, lambda: f"the account has lost {loss:.2%} since the day began, UTC{_limit(self._daily)}")


def _below(value: float, top: float) -> float:
    """How far a value is below another, as a share of that. To twelve digits: 1 - 0.9 is a tenth here, and not a bit less."""
    return round(1.0 - value / top, 12) if top > 0 else NAN


def _breaker(code: Code, rule: Rule | None, states: States) -> Breaker | None:
    return Breaker(code, rule, states) if rule else None


def _limit(breaker: Breaker | None) -> str:
    return f"; the limit is {breaker.rule.limit:.2%}" if breaker else ""
