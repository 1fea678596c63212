"""The weather of `make hours`: what the exchange is given is a script that it understands, from the first hour to the last."""

import pytest

from daemon.venue.faultscript import read
from tests.soak.weather import CALM_S, USUAL, weather


@pytest.mark.parametrize(("seed", "hours"), [(1, 0.05), (1, 1.0), (2, 20.0)])
def test_the_exchange_takes_every_script(seed: int, hours: float) -> None:
    """It is the same for a seed, nothing in it is refused, and the longer it is the more comes and goes."""
    script = weather(seed, hours)
    assert script == weather(seed, hours) != weather(seed + 1, hours)
    assert len(read(script, "weather").faults) == len(script["faults"])
    assert len(script["faults"]) - len(USUAL) >= 20 * (hours - 0.1)


def test_both_ends_are_calm() -> None:
    """Nothing comes before a start is over, and nothing after which the books could not be equal in the end."""
    begins = [float(fault["from"].removesuffix("s")) for fault in weather(3, 2.0)["faults"] if "from" in fault]
    assert min(begins) >= CALM_S
    assert max(begins) <= 2 * 3600 - CALM_S
