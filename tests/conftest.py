"""What holds for every test.

The cases that are drawn at random are the same in each run of the suite: a red one is red again. `make draws` draws others. And the sums of
each begin with Python's own rules: ccxt, which some tests use without the door, sets the rounding of the thread it runs in.
"""

import decimal
import os

import pytest
from hypothesis import settings

settings.register_profile("suite", derandomize=True, database=None, deadline=None)
settings.register_profile("draws", deadline=None, print_blob=True)
settings.load_profile("draws" if "REBALANCED_DRAWS" in os.environ else "suite")


@pytest.fixture(autouse=True)
def usual_sums() -> None:
    """The decimal context of a fresh thread."""
    decimal.setcontext(decimal.DefaultContext.copy())
