"""The whole core in a toy world, working on its orders over time: seeded stories, and a crash between every two steps.

A failing story names its seed; `make stories STORIES=20000` tells more of them.
"""

import os
from collections.abc import Iterable
from datetime import timedelta
from random import Random

import pytest

from daemon.core import events as e
from daemon.core.model import Decision
from daemon.core.styles import Terms
from tests.core.test_stories import held, wait_for_calm, weather
from tests.core.toywire import Weather
from tests.core.toyworld import ToyWorld
from tests.core.workdesk import maker, twap

STORIES = int(os.environ.get("REBALANCED_STORIES", "240"))
CHUNKS = 6
TERMS: dict[str, Terms] = {
    "maker": maker(passive=timedelta(seconds=10), total=timedelta(seconds=25), min_reprice=timedelta(seconds=2)),
    "complete": maker(passive=timedelta(seconds=5), total=timedelta(seconds=12), improve_ticks=3, must_complete=True),
    "twap": twap(24, 4),
}
# What may be left to the next decision, also in calm weather.
LEFT = ("unfunded", "below_minimum", "dust", "unfilled", "moved")


class Killed(Exception):
    """The process dies here."""


class Mortal(ToyWorld):
    """A world whose process dies at its n-th event, once."""

    def __init__(self, seed: int, terms: Terms, dies_at: int | None) -> None:
        self.heard = 0
        self.dies_at = dies_at
        super().__init__(seed, Weather(trouble=0.0, lost_lookups=0.0, stream=1.0, doubled=0.0), symbols=1, terms=terms)

    def _witness(self, event: e.Event) -> Iterable[e.Event]:
        self.heard += not isinstance(event, e.PriceTicked | e.TimePassed | e.AccountPolled | e.AccountReconciled)
        if self.heard == self.dies_at:
            self.dies_at = None
            raise Killed
        return super()._witness(event)

    def lives(self, seconds: float) -> None:
        """Let time pass, whoever dies meanwhile."""
        try:
            self.run(seconds)
        except Killed:
            self.crash()
            self.run(seconds)


def story(seed: int, terms: Terms) -> None:
    """Some decisions in bad weather, then one in good weather; at every order, its parent and its siblings are looked at."""
    rng = Random(seed)
    world = ToyWorld(seed, weather(rng), terms=terms)
    world.run(6)
    for _ in range(rng.randint(1, 3)):
        world.decide()
        world.ticking = rng.random() > 0.1
        world.run(rng.uniform(1, 60))
        world.ticking = True
    wait_for_calm(world)
    if held(world):
        return
    assert world.settled(), f"it hangs: {world.manager.wave}, {world.manager.trading}, {list(world.table)}, {world.ledger.holdings()}"
    world.run(1)
    wanted = world.decide()
    wait_for_calm(world)
    assert world.settled()
    wave = world.waves[-1]
    assert wave.decision.id == wanted.id
    for symbol, distance in wave.off_target.items():
        weight = wanted.weights.get(symbol, 0.0)
        step = float(world.markets[symbol].amount_step * world.venue.prices[symbol] / world.equity())
        if abs(distance) > max(0.02, 0.1 * weight) + step + 0.002:
            assert wave.left.get(symbol) in LEFT, (symbol, distance, wave.left, wave.refused)
    assert not world.manager.follower.surprises


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_story_sends_two_children_or_more_than_was_planned(chunk: int, terms: str) -> None:
    """Whatever is lost, late, doubled or killed: one child at a time, at most the parent together, one a part, and the newest targets."""
    stories = STORIES // len(TERMS)
    for seed in range(chunk * stories // CHUNKS, (chunk + 1) * stories // CHUNKS):
        try:
            story(seed, TERMS[terms])
        except Exception as error:
            error.add_note(f"seed {seed}: tests.core.test_worked_stories.story({seed}, TERMS[{terms!r}])")
            raise


@pytest.mark.parametrize("terms", TERMS)
def test_a_crash_between_any_two_steps_is_survived(terms: str) -> None:
    """Wherever the process dies, the next one ends near the target, and no child was sent beside another or beyond its parent."""
    whole = Mortal(1, TERMS[terms], None)
    whole.lives(6)
    before = whole.heard
    whole.decide({"A/USDT": 0.6})
    whole.lives(60)
    assert whole.heard - before > 10
    for dies_at in range(before + 2, whole.heard + 1):
        world = Mortal(1, TERMS[terms], dies_at)
        world.lives(6)
        try:
            world.decide({"A/USDT": 0.6})
        except Killed:
            world.crash()
        world.lives(120)
        assert world.settled(), dies_at
        if not world.waves:  # it died before anything was on disk, and so before anything was begun
            assert not any(isinstance(fact, Decision) for fact in world.journal), dies_at
            continue
        wave = world.waves[-1]
        assert abs(wave.off_target["A/USDT"]) < 0.07 or wave.left.get("A/USDT") in LEFT, (dies_at, wave)
