"""A slice of `make day`: hours of virtual time, of which the judge of the swarm says the same as of minutes."""

from tests.sim.day import live, weather
from tests.sim.swarm.__main__ import quietly
from tests.sim.swarm.faults import Kind


def test_a_long_life_breaks_no_rule_either() -> None:
    """Between two faults a person looks after it: no order twice, no trade lost, and in the end the books agree and targets are met."""
    with quietly() as folder:
        oracle, _ = live(1, 0.25, folder)
    assert oracle.problems == []
    assert oracle.counts["submits"] > 20


def test_a_seed_draws_a_day() -> None:
    """The same faults each time, most of the kinds among them, about one in ten minutes, and no market coarser than ten times."""
    day = weather(1, 24)
    assert day == weather(1, 24) != weather(2, 24)
    assert 100 < len(day) < 200
    assert len({fault.kind for fault in day}) > 40
    coarse = [fault.symbol for fault in day if fault.kind is Kind.NEW_STEP]
    assert len(coarse) == len(set(coarse))
