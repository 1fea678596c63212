"""Deflated Sharpe ratio and probability of overfitting: the papers' figures, and a second computation that shares nothing with it."""

from itertools import combinations
from math import log, sqrt

import numpy as np
import pytest

from daemon.core.model import Floats
from daemon.research.sweep import overfitting

# Bailey and López de Prado (2014), "A numerical example": 250 returns a year, five years, an annual ratio of 2.5, skewness -3, kurtosis 10.
A_YEAR = sqrt(250)


@pytest.mark.parametrize(("trials", "deflated"), [(100, 0.9004), (46, 0.9505)])
def test_the_papers_example_of_a_deflated_ratio(trials: int, deflated: float) -> None:
    """The best of a hundred trials is believed to 90 %, and would have been to 95 % of 46, as the paper has it."""
    expected = overfitting.expected_best(0.5 / 250, trials)
    if trials == 100:
        assert expected == pytest.approx(0.1132, abs=5e-5)
    assert overfitting.probability_above(2.5 / A_YEAR, expected, 1250, -3.0, 10.0) == pytest.approx(deflated, abs=1e-4)


def test_the_papers_example_of_normal_returns() -> None:
    """Had its returns been normal, 88 trials would have left 95 %."""
    expected = overfitting.expected_best(0.5 / 250, 88)
    assert overfitting.probability_above(2.5 / A_YEAR, expected, 1250, 0.0, 3.0) == pytest.approx(0.9505, abs=1e-3)


@pytest.mark.parametrize("trials", [5, 50, 500])
def test_chance_finds_what_it_is_expected_to_find(trials: int) -> None:
    """The mean of the best ratio of so many series without skill lies within a few hundredths of the expected one."""
    chance = np.random.default_rng(trials)
    best, spread = [], []
    for _ in range(400):
        ratios = chance.normal(0.0, 1.0, trials)
        best.append(ratios.max())
        spread.append(ratios.var(ddof=1))
    assert overfitting.expected_best(float(np.mean(spread)), trials) == pytest.approx(np.mean(best), rel=0.06)


def test_one_trial_is_not_deflated() -> None:
    """Whoever has tried one thing has not chosen among several."""
    assert overfitting.expected_best(0.5, 1) == 0.0


def test_moments_are_those_of_their_definitions() -> None:
    """Skewness and kurtosis are the third and fourth central moments over the deviation, and nothing is said of what never moves."""
    values = np.array([0.1, -0.2, 0.4, 0.05, 0.0])
    centred = values - values.mean()
    deviation = sqrt((centred**2).mean())
    assert overfitting.moments(values) == pytest.approx(((centred**3).mean() / deviation**3, (centred**4).mean() / deviation**4))
    assert np.isnan(overfitting.moments(np.zeros(5))).all()


def test_independent_trials_lie_between_one_and_all() -> None:
    """Copies of one series are one trial, unrelated ones as many as there are, and the mean correlation says what lies between."""
    chance = np.random.default_rng(3)
    single = chance.normal(size=(4000, 1))
    assert overfitting.independent(np.repeat(single, 7, axis=1)) == pytest.approx(1.0)
    assert overfitting.independent(chance.normal(size=(4000, 7))) == pytest.approx(7.0, abs=0.3)
    mixed = single + chance.normal(size=(4000, 7))
    pairs = [np.corrcoef(mixed[:, a], mixed[:, b])[0, 1] for a, b in combinations(range(7), 2)]
    assert overfitting.independent(mixed) == pytest.approx(np.mean(pairs) + (1 - np.mean(pairs)) * 7)


def plainly(returns: Floats, blocks: int) -> list[float]:
    """The logits by the paper's words: rows put together, ratios of them, and a count of who was worse."""
    parts = np.array_split(np.arange(len(returns)), blocks)
    found = []
    for half in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[block] for block in half])
        outside = np.concatenate([parts[block] for block in range(blocks) if block not in half])
        ratios = [[returns[rows, n].mean() / returns[rows, n].std() for n in range(returns.shape[1])] for rows in (inside, outside)]
        best = ratios[0].index(max(ratios[0]))
        rank = 1 + sum(ratio < ratios[1][best] for ratio in ratios[1])
        share = rank / (returns.shape[1] + 1)
        found.append(log(share / (1 - share)))
    return found


@pytest.mark.parametrize(("rows", "trials", "blocks"), [(96, 5, 8), (48, 12, 6), (80, 3, 4)])
def test_cross_validation_is_that_of_the_paper(rows: int, trials: int, blocks: int) -> None:
    """Every half's logit equals one worked out row by row."""
    returns = np.random.default_rng(rows).normal(0.001, 0.02, (rows, trials))
    assert overfitting.logits(returns, blocks) == pytest.approx(plainly(returns, blocks), abs=1e-9)


def test_noise_is_overfitted_and_skill_is_not() -> None:
    """Among series without skill the best of one half is as often below the middle as above, and one that has skill is found again."""
    chance = np.random.default_rng(11)
    found = [overfitting.probability_of_overfitting(overfitting.logits(chance.normal(size=(256, 20)), 8)) for _ in range(30)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.12)
    skilled = chance.normal(size=(256, 20))
    skilled[:, 4] += 0.6
    assert overfitting.probability_of_overfitting(overfitting.logits(skilled)) < 0.01


def test_what_is_alike_shares_its_rank() -> None:
    """Where all trials are the same, the choice is in the middle, whichever it is."""
    same = np.repeat(np.random.default_rng(1).normal(size=(32, 1)), 4, axis=1)
    assert overfitting.logits(same, 4) == pytest.approx(np.zeros(6))
    assert overfitting.different(same).tolist() == [0]


def test_too_little_says_nothing() -> None:
    """A single trial, or a period shorter than the blocks, has no probability of overfitting."""
    assert np.isnan(overfitting.probability_of_overfitting(overfitting.logits(np.ones((100, 1)))))
    assert np.isnan(overfitting.probability_of_overfitting(overfitting.logits(np.ones((10, 3)))))
