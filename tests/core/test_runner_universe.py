"""The runner over a universe that changes by itself: nobody is decided on who is not in it, and who has left it is sold."""

from daemon.core.membership import Membership, Selection
from daemon.core.model import Cause
from tests.core.test_runner import ABC, HOUR, T0, A, B, C, always, close, runner, sleeve


class Roll(Membership):
    """A universe in the hands of a test."""

    def __init__(self, *members: str) -> None:
        super().__init__(ABC, HOUR, Selection(top=1, window=HOUR, every=1000 * HOUR), silent_max=2, coverage_min=0.6)
        self.members = frozenset(members)


def test_nobody_is_decided_on_who_is_not_in_the_universe() -> None:
    """A weight for him is dropped, he is not tradable, what was wanted of him is forgotten, and he is not kept for want of a bar."""
    target = runner(sleeve(always({A: 0.5, B: 0.4})), sleeve(always({B: 0.2}), 1000, name="two", share=0.5, at_start=True))
    target.membership = Roll(A, B)
    assert close(target, 1)[0].decision.weights == {B: 0.1}
    target.membership.members = frozenset({A})
    (chosen,) = close(target, 4, {B: 1})
    decision = chosen.decision
    assert (decision.weights, decision.keep, decision.universe) == ({A: 0.5}, frozenset(), frozenset({A}))
    assert decision.by_strategy["two"].weights == {}


def test_coverage_is_that_of_the_universe() -> None:
    """Whoever is not in it may be silent for ever; whoever is, counts."""
    target = runner(sleeve(always({A: 0.5}), 1))
    target.membership = Roll(A)
    assert close(target, 1, {B: 9, C: 9})
    target.membership.members = frozenset({A, B})
    assert not close(target, 2, {B: 9, C: 9})


def test_a_universe_that_is_to_be_gone_over_is_waited_for() -> None:
    """While a look waits for the end of a wave nothing is decided; what was due is made up for behind it."""
    target = runner(sleeve(always({A: 0.5})))
    target.membership = Roll(A)
    target.membership.waits = True
    assert not close(target, 4)
    target.membership.waits = False
    assert close(target, 5)


def test_what_has_left_is_sold_where_nobody_is_due() -> None:
    """A decision for that alone: its weight is 0, every other symbol is kept, and what the strategies want stands beside it."""
    target = runner(sleeve(always({A: 0.5, B: 0.5}), 4))
    target.membership = Roll(A, B)
    close(target, 4)
    target.membership.members = frozenset({A})
    target.membership.leaving = {B: T0 + 4 * HOUR}
    target.membership.held = {B}.__contains__
    (chosen,) = close(target, 5)
    decision = chosen.decision
    assert (decision.cause, decision.weights, decision.keep) == (Cause.UNIVERSE, {A: 0.5}, frozenset({A, C}))
    assert not close(target, 6, {B: 1}), "it has no price"
    assert close(target, 8)[0].decision.cause is Cause.DUE
