"""Spreading: accounts ask a strategy that they share, and none waits longer for it than until the deadline of the bars."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from daemon.core.events import AskStrategy, BarClosed, Event, StrategyAnswered, TimePassed
from daemon.core.model import Bar, Slice, TargetWeights
from daemon.core.routing import Routing
from daemon.core.slices import align
from daemon.core.strategy import NoParams, Strategy, Universe, View
from daemon.io.clock import SystemClock
from daemon.spreading import Spread

A, B = "A/USDT", "B/USDT"
T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, GRACE = timedelta(hours=1), timedelta(seconds=3)


class Halves(Strategy):
    """Half of each."""

    def indicators(self) -> dict[str, Any]:
        return {}

    def decide(self, view: View) -> TargetWeights:
        return TargetWeights({A: 0.4, B: 0.4})


class Account:
    """As much of a trader as a spread needs: worth so much; None: nobody knows."""

    def __init__(self, name: str, worth: int | None) -> None:
        self.told: list[Event] = []
        known = None if worth is None else T0
        self.parts = SimpleNamespace(
            account_name=name,
            recovered=SimpleNamespace(last_decision=None),
            runner=SimpleNamespace(shares=lambda: {"both": 0.5}, holdings=lambda _: {}),
            reconciler=SimpleNamespace(last_reconciled=known),
            account=SimpleNamespace(unvalued=(), capital=lambda: Decimal(worth or 0)),
            curves=SimpleNamespace(account=SimpleNamespace(marked_at=None)),
        )

    def join(self, _name: str, _spread: Spread) -> None:
        return None

    def say(self, event: Event) -> None:
        self.told.append(event)

    @property
    def answers(self) -> list[dict[str, float] | None]:
        """What it was told, in weights."""
        targets = [event.targets for event in self.told if isinstance(event, StrategyAnswered)]
        return [None if each is None else dict(each.weights) for each in targets]


async def _never(*_jobs: Any) -> None:
    await asyncio.sleep(0)


def spread(one: Account, two: Account) -> Spread:
    """Warm up to T0."""
    routing = Routing("both", Halves(NoParams(), Universe((A, B), HOUR)), {A: "one", B: "two"}, HOUR, GRACE)
    made = Spread(routing, cast("Any", {"one": one, "two": two}), SystemClock(), _never)
    made._desk.warm(align({symbol: [bar(symbol, 0).bar] for symbol in (A, B)}, (A, B)))
    made._desk.begin()
    return made


def bar(symbol: str, hour: int) -> BarClosed:
    return BarClosed(Bar(symbol, T0 + hour * HOUR, 1.0, 1.0, 1.0, 1.0, 1.0), T0 + hour * HOUR)


def asked(hour: int) -> AskStrategy:
    """By an account that has come to this hour, by a bar of whatever it trades beside."""
    at = T0 + hour * HOUR
    closed = Slice(at, ("X/USDT",), np.ones((5, 1)), np.zeros(1, np.bool_), np.zeros(1, np.int64))
    return AskStrategy("both", closed, None, at)


def test_each_is_answered_with_its_part_once_both_have_come() -> None:
    """Who has three quarters of the money needs less of a weight for the same amount; whoever asks early is answered later."""
    one, two = Account("one", 3000), Account("two", 1000)
    both = spread(one, two)
    both.hear("one", bar(A, 1))
    assert list(both.ask("one", asked(1))) == []
    both.hear("two", bar(A, 1))  # the other exchange's bar of that name is none of this route
    assert one.answers == []
    both.hear("two", bar(B, 1))
    assert [{symbol: round(weight, 9) for symbol, weight in (each or {}).items()} for each in one.answers] == [{A: round(0.4 * 4 / 3, 9)}]
    (answer,) = both.ask("two", asked(1))
    assert isinstance(answer, StrategyAnswered)
    assert answer.targets is not None
    assert answer.targets.weights == {B: 1.6}


def test_nobody_waits_for_a_slice_that_never_comes() -> None:
    """Without a bar of the route there is no slice; at the deadline an account goes on without this strategy, which it asks again."""
    one, two = Account("one", 3000), Account("two", 1000)
    both = spread(one, two)
    assert list(both.ask("one", asked(1))) == []
    both.hear("one", TimePassed(T0 + HOUR + GRACE))
    assert one.answers == []
    both.hear("one", TimePassed(T0 + HOUR + GRACE + timedelta(milliseconds=100)))
    assert one.answers == [None]


def test_without_knowing_what_it_has_it_wants_nothing() -> None:
    """An account whose worth nobody ever knew keeps the strategy from deciding, and nobody waits for that."""
    one, two = Account("one", 3000), Account("two", None)
    (answer,) = spread(one, two).ask("one", asked(0))
    assert isinstance(answer, StrategyAnswered)
    assert answer.targets is None
