"""What holds for every test.

The cases that are drawn at random are the same in each run of the suite: a red one is red again. `make draws` draws others. And the sums of
each begin with Python's own rules: ccxt, which some tests use without the door, sets the rounding of the thread it runs in. And every line
that a test has the program say is one that docs/log-events.schema.json describes. What has
been collected is no garbage.
"""

import decimal
import gc
import os
from collections.abc import Generator

import pytest
from hypothesis import settings

from tests import loglines

settings.register_profile("suite", derandomize=True, database=None, deadline=None)
settings.register_profile("draws", deadline=None, print_blob=True)
settings.load_profile("draws" if "REBALANCED_DRAWS" in os.environ else "suite")


def pytest_collection_finish() -> None:
    """What is there before the first test stays to the end, and tests leave little garbage: looking for it took a tenth of their time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True)
def usual_sums() -> None:
    """The decimal context of a fresh thread."""
    decimal.setcontext(decimal.DefaultContext.copy())


def pytest_configure() -> None:
    """Hear what is said from the first test on."""
    loglines.overhear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A test, and the judgement of what it had said; a line between two tests counts with the next."""
    loglines.heed(made_up=item.get_closest_marker("made_up_lines") is not None)
    yield
    found = loglines.offences()
    if found:
        pytest.fail("\n".join(["lines that docs/log-events.schema.json does not describe:", *found[:20]]), pytrace=False)
