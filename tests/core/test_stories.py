"""The whole core in a toy world: seeded stories of lost answers, late trades, deposits, crashes, halts and stops.

A failing story names its seed; `make stories STORIES=20000` tells more of them.
"""

import os
from random import Random

import pytest

from daemon.core import events as e
from daemon.core.model import Decision
from daemon.core.ordertable import State
from tests.core.builders import halted
from tests.core.toywire import Weather
from tests.core.toyworld import ToyWorld

STORIES = int(os.environ.get("REBALANCED_STORIES", "300"))
CHUNKS = 6

# Orders that end by evidence need the fence, three look-ups and an account that agrees; a story that waits longer than this has hung.
PATIENCE_S = 400


def weather(rng: Random) -> Weather:
    """Bad in a different way each time."""
    return Weather(
        trouble=rng.choice([0, 0.3, 0.7, 1]),
        lost_lookups=rng.choice([0, 0.1, 0.5]),
        stream=rng.choice([0, 0.7, 1]),
        doubled=rng.choice([0, 0.3]),
        late_s=rng.choice([0.01, 0.3, 2]),
        lookup_lag_s=rng.choice([0, 0, 1, 10]),
        trades_lag_s=rng.choice([0, 0, 5]),
        balance_lag_s=rng.choice([0, 0, 4, 10]),
        flows=rng.choice([0, 0, 0.05]),
        crashes=rng.choice([0, 0, 0.03]),
    )


def wait_for_calm(world: ToyWorld) -> None:
    """Nothing goes wrong any more, and all that was begun comes to its end."""
    world.calm()
    waited = 0.0
    while not world.settled() and waited < PATIENCE_S:
        world.run(2)
        waited += 2


def held(world: ToyWorld) -> bool:
    """Whether what is left is for a person: an order nobody finds, and a deposit that looks like its trade."""
    return world.foreign_hands and all(t.state is State.UNKNOWN for t in world.table) and world.manager.wave is None


def story(seed: int) -> ToyWorld:
    """Some decisions in bad weather, then one in good weather that must end on its targets."""
    rng = Random(seed)
    world = ToyWorld(seed, weather(rng))
    world.run(6)
    for _ in range(rng.randint(1, 3)):
        world.decide()
        world.ticking = rng.random() > 0.1
        world.run(rng.uniform(1, 40))
        world.ticking = True
    wait_for_calm(world)
    if held(world):
        return world
    assert world.settled(), f"it hangs: {world.manager.wave}, {world.manager.trading}, {list(world.table)}, {world.ledger.holdings()}"
    world.run(1)  # until every price is fresh again
    wanted = world.decide()
    wait_for_calm(world)
    assert world.settled()
    assert_on_target(world, wanted)
    assert not world.manager.follower.surprises
    return world


def assert_on_target(world: ToyWorld, wanted: Decision) -> None:
    """The newest wave is of the newest decision, and what is off target is so for a reason that calm weather allows."""
    wave = world.waves[-1]
    assert wave.decision.id == wanted.id
    for symbol, distance in wave.off_target.items():
        weight = wanted.weights.get(symbol, 0.0)
        step = float(world.markets[symbol].amount_step * world.venue.prices[symbol] / world.equity())
        if abs(distance) > max(0.02, 0.1 * weight) + step + 0.002:
            assert wave.left.get(symbol) in ("unfunded", "below_minimum", "dust"), (symbol, distance, wave.left, wave.refused)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_story_buys_twice_hangs_or_loses_count(chunk: int) -> None:
    """Whatever is lost, late, doubled or killed: no id twice, nothing beyond the money, ledger equals account, the newest targets."""
    for seed in range(chunk * STORIES // CHUNKS, (chunk + 1) * STORIES // CHUNKS):
        try:
            story(seed)
        except Exception as error:
            error.add_note(f"seed {seed}: tests.core.test_stories.story({seed})")
            raise


@pytest.mark.parametrize("ending", [e.HoldPlaced, e.StopRequested])
def test_nothing_is_sent_after_a_halt_or_a_stop(ending: type) -> None:
    """Whenever it comes, in the middle of a wave or before: from that event on no order reaches the venue, and what is open ends."""
    for seed in range(150):
        rng = Random(seed)
        world = ToyWorld(seed, weather(rng))
        world.weather.crashes = world.weather.flows = 0.0
        world.run(6)
        world.decide()
        world.run(rng.uniform(0, 6))
        arrived = set(world.venue.ids)
        late = {t.order.id for t in world.table if t.state is not State.NEW}
        world.publish(halted("a test", world.now) if ending is e.HoldPlaced else e.StopRequested(world.now))
        world.decide()
        world.calm()
        world.run(200)
        assert world.venue.ids - arrived <= late, f"seed {seed}"
        assert world.manager.idle, f"seed {seed}"
        assert (world.manager.wave is None) or ending is e.StopRequested, f"seed {seed}"


def test_a_stopped_process_goes_on_with_its_wave() -> None:
    """The wave that a stop interrupted is taken up by the next start, and ends on its targets."""
    for seed in range(60):
        world = ToyWorld(seed, Weather(trouble=0.3))
        world.run(6)
        wanted = world.decide()
        world.run(0.5)
        if not any(isinstance(fact, Decision) for fact in world.journal):
            continue  # the account had not been read yet: nothing was begun
        world.publish(e.StopRequested(world.now))
        world.calm()
        world.run(20)
        world.crash()
        wait_for_calm(world)
        assert world.settled(), f"seed {seed}"
        assert world.waves[-1].decision.id == wanted.id, f"seed {seed}"
