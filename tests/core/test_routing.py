"""Routing: one answer for all accounts, each its part of it, and frozen weights where an account is away."""

from datetime import UTC, datetime, timedelta

import pytest

from daemon.core.events import BarClosed, TimePassed
from daemon.core.indicators import Momentum
from daemon.core.model import Bar, Decision, TargetWeights
from daemon.core.routing import RoutedDesk, Routing, part
from daemon.core.slices import align
from daemon.core.strategy import NoParams, Strategy, Universe, View

A, B, C = "A/USDT", "B/USDT", "C/USDT"
T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
GRACE = timedelta(seconds=3)


class Equal(Strategy):
    """All that is tradable alike, less what is carried."""

    asked = 0

    def indicators(self) -> dict[str, Momentum]:
        return {"momentum": Momentum(1, len(self.universe.symbols))}

    def decide(self, view: View) -> TargetWeights:
        Equal.asked += 1
        there = [symbol for symbol, tradable in zip(view.slice.symbols, view.tradable, strict=True) if tradable]
        left = 0.9 - sum(view.carried.values())
        return TargetWeights({symbol: left / len(there) for symbol in there})


def desk() -> RoutedDesk:
    """Warm up to T0, and hearing."""
    routing = Routing("both", Equal(NoParams(), Universe((A, B, C), HOUR)), {A: "one", B: "one", C: "two"}, HOUR, GRACE)
    made = RoutedDesk(routing)
    made.hear(bar(A, 1))
    made.warm(align({symbol: [of(symbol, hour) for hour in (-1, 0)] for symbol in (A, B, C)}, (A, B, C)))
    made.begin()
    return made


def of(symbol: str, hour: int) -> Bar:
    return Bar(symbol, T0 + hour * HOUR, 1.0, 2.0, 0.5, 1.0 + 0.01 * hour, 1.0)


def bar(symbol: str, hour: int) -> BarClosed:
    return BarClosed(of(symbol, hour), T0 + hour * HOUR)


def time(hour: int, after: timedelta = timedelta(0)) -> TimePassed:
    return TimePassed(T0 + hour * HOUR + after)


def test_whoever_asks_gets_the_same_answer() -> None:
    """It decides once for a close time, when every account has come to it; what it heard during the warm-up counts."""
    both = desk()
    assert not both.hear(bar(B, 1))
    assert both.wanted(T0 + HOUR, {}) is None
    assert both.hear(bar(C, 1))
    before = Equal.asked
    first, second = (both.wanted(T0 + HOUR, {}) for _ in range(2))
    assert first is not None
    assert first is second
    assert first.weights == pytest.approx({A: 0.3, B: 0.3, C: 0.3})
    assert Equal.asked == before + 1


def test_the_weights_of_an_account_that_is_away_are_frozen() -> None:
    """At the deadline its symbols keep what they were wanted at, for as long as it takes, and the others get none of it."""
    both = desk()
    for symbol in (B, C):
        both.hear(bar(symbol, 1))
    assert both.wanted(T0 + HOUR, {}) is not None
    for hour in range(2, 30):
        assert not any(both.hear(bar(symbol, hour)) for symbol in (A, B))
        assert not both.hear(time(hour, GRACE / 2))
        assert both.hear(time(hour, GRACE))
    wanted = both.wanted(T0 + 29 * HOUR, {})
    assert wanted is not None
    assert wanted.weights == pytest.approx({A: 0.3, B: 0.3, C: 0.3})


def test_an_account_trades_its_part() -> None:
    """In weights of what the strategy has there; the whole goes to the journal beside it, and a start goes on from the newest."""
    whole = TargetWeights({A: 0.2, B: 0.3, C: 0.4}, frozenset({C}))
    mine = part(whole, {A, B}, 2.0)
    assert (mine.weights, mine.keep, mine.whole) == ({A: 0.4, B: 0.6}, frozenset(), whole.weights)
    both = desk()
    early, late = (Decision("d", at, {}, frozenset(), {"both": part(whole, {A, B}, k)}, at) for at, k in ((T0, 2.0), (T0 + HOUR, 3.0)))
    both.recall([late, early], "both")
    assert both._desk.targets is not None
    assert both._desk.targets.weights == whole.weights
