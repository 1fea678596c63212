"""Markets that are closed: nobody waits for their bars, and the listing tells them from those that nobody hears."""

from daemon.core.events import ReadMarkets, SliceClosed, TargetsChosen
from tests.core.test_runner import ABC, A, B, C, always, close, runner, sleeve, slice_at


def test_a_closed_market_is_not_waited_for() -> None:
    """One that the listing has as closed counts in no coverage, so the rest is decided on; where all are closed nothing is."""
    target = runner(sleeve(always({A: 0.5, C: 0.5})))
    assert close(target, 4, {A: 9, B: 9}) == []
    target.membership.closed = lambda: frozenset({A, B})
    (chosen,) = close(target, 8, {A: 13, B: 13})
    assert chosen.decision.keep == {A, B}
    assert chosen.decision.weights == {C: 0.5}
    assert close(target, 12, {A: 17, B: 17, C: 1}) == []
    target.membership.closed = lambda: frozenset(ABC)
    assert close(target, 16, {A: 21, B: 21, C: 5}) == []


def test_a_market_that_stays_silent_has_the_listing_read() -> None:
    """Where a slice is too thin for a decision, the listing is to say whether somebody who has long been silent is closed."""
    target = runner(sleeve(always({A: 0.5})))
    heard = []
    for hour, missing in ((4, {A: 1, B: 1}), (5, {A: 2, B: 2}), (6, {A: 3, B: 3}), (7, {A: 4})):
        closed = slice_at(hour, missing)
        heard.append([type(event) for event in target.on_slice(SliceClosed(closed, closed.closes_at))])
    assert heard == [[], [], [ReadMarkets], [TargetsChosen]]
    target.membership.closed = lambda: frozenset({A, B})
    closed = slice_at(8, {A: 5, B: 5, C: 1})
    assert list(target.on_slice(SliceClosed(closed, closed.closes_at))) == []
