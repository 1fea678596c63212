"""Thinning: fewer points of a long curve for a picture of it, which must not hide a peak or a fall.

Rule: only pictures are drawn from these; every number of a report is worked out of all rows.
"""

from typing import Final

import numpy as np

from daemon.core.model import Floats
from daemon.research.report.run import Ints

# Twice the pixels of a wide screen's plot would be all that an eye can tell; half of that looks the same.
POINTS: Final = 1200


def extremes(values: Floats, points: int = POINTS) -> Ints:
    """The rows to draw, in order: the lowest and the highest of each of so many equal stretches, the first and the last."""
    rows = np.arange(len(values))
    if len(values) <= points:
        return rows
    width = -(-2 * len(values) // points)
    filled = np.pad(np.nan_to_num(values), (0, -len(values) % width), mode="edge").reshape(-1, width)
    starts = np.arange(len(filled)) * width
    chosen = np.concatenate([[0, len(values) - 1], starts + filled.argmin(axis=1), starts + filled.argmax(axis=1)])
    return np.unique(np.minimum(chosen, len(values) - 1))


def evenly(count: int, points: int) -> Ints:
    """So many rows in equal distances, the first and the last among them: for curves that must share their rows."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, points)).round().astype(np.int64))
