"""The mean of a window.

Rule: the mean of equal prices is that price, to the bit, or `close > mean` would be decided by rounding.
"""

from daemon.core.indicators.sums import exactly, join, mean
from daemon.core.indicators.windows import Windowed
from daemon.core.model import Floats


class SMA(Windowed):
    """Simple mean of the last `length` rows, the current one included: sum(x) / length, in units of x. Warm at row `length`.

    Sums carry their rounding error along and so does the division.
    """

    def _lift(self, rows: Floats, origin: Floats) -> Floats:
        return exactly(rows)

    def _tell(self, tail: Floats, head: Floats, origins: tuple[Floats, Floats], newest: Floats, rows: Floats) -> Floats:
        return mean(join(tail, head), self._length)
