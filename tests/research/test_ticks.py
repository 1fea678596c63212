"""What holdings are worth at closes, against the same in fractions: exact to the last digit, and each float rounded once."""

from decimal import Decimal
from fractions import Fraction
from random import Random

import numpy as np
import pytest

from daemon.research.marks import Marks, Skimmed
from daemon.research.ticks import Ticks, worths


def closes(chance: Random, rows: int, columns: int) -> list[list[float]]:
    """Prices of very different size and number of decimals, some of as many as a float has."""
    kinds = [(chance.choice([1e-7, 0.3, 40.0, 90_000.0]), chance.choice([0, 2, 8, 17])) for _ in range(columns)]
    return [[round(size * (1 + chance.random()), places) + size * 10.0**-places for size, places in kinds] for _ in range(rows)]


@pytest.mark.parametrize("seed", range(40))
def test_worths_are_exact_whatever_the_digits(seed: int) -> None:
    """Every worth is the sum of money and units times price, and its float the nearest one, whether a word holds it or not."""
    chance = Random(seed)
    prices = np.array(closes(chance, 30, 4))
    if chance.random() < 0.3:
        prices[:, 0] = np.nan  # not held then
    money = Decimal(chance.randrange(10**9)).scaleb(-chance.choice([0, 2, 8, 18]))
    columns = sorted(chance.sample(range(1, 4), chance.choice([0, 1, 2, 3])))
    held = [(column, Decimal(chance.randrange(1, 10 ** chance.choice([3, 9, 16]))).scaleb(-chance.choice([0, 3, 8]))) for column in columns]
    first, count = chance.randrange(10), chance.randrange(1, 20)
    told = worths(money, held, Ticks(prices), first, count)
    for row in range(count):
        exact = Fraction(money) + sum(Fraction(amount) * Fraction(repr(prices[first + row, column].item())) for column, amount in held)
        assert Fraction(told.exact(row)) == exact
        assert told.floats()[row] == float(exact)


@pytest.mark.parametrize("seed", range(10))
def test_marks_are_the_same_taken_one_by_one(seed: int) -> None:
    """Times, exposures and drawdowns of stretches taken together are those of closes told one after the other, to the bit."""
    chance = Random(seed)
    together, alone, at = Marks(12), Marks(12), 0
    for _ in range(chance.randrange(1, 40)):
        rows = chance.randrange(1, 6)
        held = [(column, Decimal(chance.randrange(1, 999)) / 7) for column in sorted(chance.sample(range(12), chance.randrange(12)))]
        prices = np.array([[chance.uniform(1, 9) for _ in range(12)] for _ in range(rows)])
        worth = np.array([chance.choice([0.0, chance.uniform(10, 99)]) for _ in range(rows)])
        times = np.arange(at, at + rows)
        together.skim(Skimmed(times, prices, worth, 5.0, held))
        for row in range(rows):
            total = worth[row].item()
            weights = [float(amount) * prices[row, column].item() / total if total > 0 else 0.0 for column, amount in held]
            alone.add(int(times[row]), (total, 5.0, weights), prices[row].tolist())
        at += rows
    told = together.told()
    assert told.times == alone.times
    assert told.equity.table().tobytes() == alone.equity.table().tobytes()
    assert told.closes.table().tobytes() == alone.closes.table().tobytes()
