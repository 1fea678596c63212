"""Second moments of a window: deviation, z-score, volatility, regression slope.

Rule: squares are summed of distances to a row of the window, never of the prices themselves. Such a row is at most sqrt(length) deviations
from the mean, so the subtraction sum(d^2) - sum(d)^2 / n loses at most the factor length + 1, whatever the magnitude of the prices; equal
prices give exactly 0. Tail and head of the window are joined as T. Chan, G. Golub and R. LeVeque do (Algorithms for Computing the Sample
Variance, The American Statistician 37, 1983), which only adds.
"""

from collections.abc import Sequence

import numpy as np

from daemon.core.indicators.base import at_least, quotient
from daemon.core.indicators.compose import Of
from daemon.core.indicators.returns import Returns
from daemon.core.indicators.sums import exactly
from daemon.core.indicators.windows import Windowed
from daemon.core.model import Floats

Pair = tuple[Floats, Floats]


class _Moments(Windowed):
    """Base of what rests on means and on sums of products of distances to them."""

    def _lift(self, rows: Floats, origin: Floats) -> Floats:
        distance = rows - origin
        return exactly(np.concatenate((distance, distance * distance), axis=-1))

    def _means(self, tail: Floats, head: Floats, origins: Pair, rows: Floats) -> tuple[Floats, Floats, Floats]:
        """Mean distance from its own origin in the tail and in the head, and how far the mean of the tail is above that of the head."""
        far = tail / np.maximum(self._length - rows, 1.0)  # an empty tail has sums of 0
        near = head / rows
        return far, near, (origins[0] - origins[1]) + (far - near)

    def _spread(self, within: Floats, between: Floats, rows: Floats) -> Floats:
        """Sum of products in the window, of those in its parts and the product of the distances between their means."""
        return within + between * ((self._length - rows) * rows / self._length)

    def _squares(self, tail: Floats, head: Floats, origins: Pair, rows: Floats) -> tuple[Floats, Floats]:
        """Mean less the head's origin, and sum of the squared distances to the mean."""
        width = self.shape[0]
        tail, head = tail[0] + tail[1], head[0] + head[1]
        far_sum, near_sum = tail[..., :width], head[..., :width]
        far, near, between = self._means(far_sum, near_sum, origins, rows)
        within = (tail[..., width:] - far_sum * far) + (head[..., width:] - near_sum * near)
        mean: Floats = (near_sum + (far_sum + (origins[0] - origins[1]) * (self._length - rows))) / self._length
        # Rounding could leave less than 0 only where squares underflow, at distances below 1e-150.
        return mean, np.maximum(self._spread(within, between * between, rows), 0.0)


class StdDev(_Moments):
    """Standard deviation of the last `length` rows: sqrt(sum((x - mean)^2) / (length - ddof)), in units of x. Warm at row `length`.

    ddof 0 is the population's, ddof 1 the sample's.
    """

    def __init__(self, length: int, columns: int, *, ddof: int = 0) -> None:
        at_least("length", length, 1 + ddof)
        super().__init__(length, columns)
        self._ddof = ddof

    def _tell(self, tail: Floats, head: Floats, origins: Pair, newest: Floats, rows: Floats) -> Floats:
        _, squares = self._squares(tail, head, origins, rows)
        deviation: Floats = np.sqrt(squares / (self._length - self._ddof))
        return deviation


class ZScore(_Moments):
    """How many population deviations the newest row is from the mean of the last `length`, itself among them: (x - mean) / deviation.

    Without a unit, at most sqrt(length - 1) either way. Warm at row `length`; NaN where the deviation is 0.
    """

    def _tell(self, tail: Floats, head: Floats, origins: Pair, newest: Floats, rows: Floats) -> Floats:
        mean, squares = self._squares(tail, head, origins, rows)
        return quotient((newest - origins[1]) - mean, np.sqrt(squares / self._length))


class Volatility(Of):
    """Population standard deviation of the simple returns of the last `length` rows: per row, not annualised. Warm at row length + 1."""

    def __init__(self, length: int, columns: int) -> None:
        super().__init__(StdDev(length, columns), Returns(columns))


class Beta(_Moments):
    """Slope of the least-squares line of log x[a] on log x[b] over the last `length` rows, for each pair of columns (a, b).

    Value (pairs,): cov(log x[a], log x[b]) / var(log x[b]), how many per cent a moves when b moves by one. Warm at row `length`; NaN where
    log x[b] does not vary, or a price is not above 0.
    """

    def __init__(self, length: int, pairs: Sequence[tuple[int, int]]) -> None:
        at_least("length", length, 2)
        super().__init__(length, 2 * len(pairs))
        self.shape = (len(pairs),)
        self._columns = [a for a, _ in pairs] + [b for _, b in pairs]

    def _read(self, rows: Floats) -> Floats:
        """Logarithms of all a beside those of all b: (..., 2 x pairs); both unknown where one is."""
        prices = np.ascontiguousarray(rows[..., self._columns])
        logs = np.log(prices, out=np.full(prices.shape, np.nan), where=prices > 0)
        a, b = _halves(logs)
        return np.where(np.tile(np.isfinite(a) & np.isfinite(b), 2), logs, np.nan)

    def _lift(self, rows: Floats, origin: Floats) -> Floats:
        """Distances of a and of b, their products, and the squares of b's: (2, ..., 4 x pairs)."""
        distance = rows - origin
        a, b = _halves(distance)
        return exactly(np.concatenate((distance, a * b, b * b), axis=-1))

    def _tell(self, tail: Floats, head: Floats, origins: Pair, newest: Floats, rows: Floats) -> Floats:
        (far_sum, far_products), (near_sum, near_products) = _halves(tail[0] + tail[1]), _halves(head[0] + head[1])
        far, near, between = self._means(far_sum, near_sum, origins, rows)
        within = (far_products - _beside(far_sum, far)) + (near_products - _beside(near_sum, near))
        return quotient(*_halves(self._spread(within, _beside(between, between), rows)))


def _halves(values: Floats) -> Pair:
    half = values.shape[-1] // 2
    return values[..., :half], values[..., half:]


def _beside(x: Floats, y: Floats) -> Floats:
    """Of (a beside b) and (a beside b): a x b beside b x b."""
    (_, b), (c, d) = _halves(x), _halves(y)
    return np.concatenate((b * c, b * d), axis=-1)
