"""The cases that are drawn at random are the same in each run of the suite: a red one is red again. `make draws` draws others."""

import os

from hypothesis import settings

settings.register_profile("suite", derandomize=True, database=None, deadline=None)
settings.register_profile("draws", deadline=None, print_blob=True)
settings.load_profile("draws" if "REBALANCED_DRAWS" in os.environ else "suite")
