"""Sums that carry their rounding error: arrays (2, ...) of the sum and of what is to be added to it (Neumaier 1974).

Rule: the error of each addition is kept, so what a sum is off by does not grow with the number of its terms.
"""

from typing import Final

import numpy as np

from daemon.core.model import Floats

# Clears the lower half of a float64's mantissa: what is left times an integer below 2**26 is exact.
_UPPER_HALF: Final = np.int64(-1 << 27)


def exactly(values: Floats) -> Floats:
    """Values as sums of one term, without error."""
    sums = np.zeros((2, *values.shape))
    sums[0] = values
    return sums


def join(a: Floats, b: Floats) -> Floats:
    """Two sums as one (Knuth 1969, theorem B: the rounding error of an addition, exactly)."""
    sums = np.empty_like(a)
    total = np.add(a[0], b[0], out=sums[0])
    part = total - a[0]
    error = (a[0] - (total - part)) + (b[0] - part)
    np.add(a[1] + b[1], error, out=sums[1])
    return sums


def mean(total: Floats, count: int) -> Floats:
    """A sum over `count`, with the remainder of the division added back: the mean of equal numbers is that number, to the bit."""
    plain = total[0] / count
    upper = (plain.view(np.int64) & _UPPER_HALF).view(np.float64)
    remainder = (total[0] - upper * count) - (plain - upper) * count
    corrected: Floats = plain + (remainder + total[1]) / count
    return corrected
