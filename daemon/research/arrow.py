"""Arrow: the one door to pyarrow. It is heavy, so whoever needs it imports this where it is used.

Its own allocator keeps what was read long after; that of the system gives it back, which leaves a backtest a fifth smaller. Which one
there is it asks the environment once, when it is loaded.
"""

import os

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

import pyarrow as pa
from pyarrow import parquet

__all__ = ["pa", "parquet"]
