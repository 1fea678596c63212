"""Spikes: an ordinary walk is left alone, a price ten times another never is, and only bars or a person end a doubt."""

import os
from math import exp, inf, log, nan
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from daemon.core.model import Bools, Floats
from daemon.core.spikes import LIMIT_MAX, SpikeGuard, Spikes

# `REBALANCED_CASES=20000 pytest tests/core/test_spikes.py` tries more of each kind; a slice of them runs with the suite.
CASES = int(os.environ.get("REBALANCED_CASES", "200"))
SEED = int(os.environ.get("REBALANCED_SEED", "1"))
ALL = np.array([True])


def gaussian(rows: int, columns: int, deviation: float, seed: int = SEED) -> Floats:
    """Prices around 100 whose logarithm walks by normal steps."""
    walk: Floats = 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, deviation, (rows, columns)), axis=0))
    return walk


def through(guard: SpikeGuard, closes: Floats, real: Bools | None = None) -> list[Spikes]:
    """What a guard says of each of many rows."""
    real = np.ones(closes.shape, np.bool_) if real is None else real
    return [guard.step(row, there) for row, there in zip(closes, real, strict=True)]


def of(guard: SpikeGuard, *closes: float) -> list[Spikes]:
    """The same of one symbol."""
    return through(guard, np.array(closes)[:, None])


def warm(deviation: float = 0.005, **options: Any) -> SpikeGuard:
    """A guard of one symbol with a history that ends at 100 exactly."""
    guard = SpikeGuard(1, **options)
    history = gaussian(200, 1, deviation)
    of(guard, *(history[:-1, 0] * 100.0 / history[-1, 0]), 100.0)
    return guard


SUSPECTED, CONFIRMED, DROPPED, NOTHING = Spikes(suspected=(0,)), Spikes(confirmed=(0,)), Spikes(dropped=(0,)), Spikes()


# --- how often -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deviation", [1e-6, 0.001, 0.01, 0.05, 0.08])
def test_a_gaussian_walk_is_never_suspected(deviation: float) -> None:
    """Whatever its size, a walk of normal steps stays within 16 of its deviations."""
    assert not any(spikes.suspected for spikes in through(SpikeGuard(200), gaussian(1000, 200, deviation)))


def test_fat_tails_are_rarely_suspected() -> None:
    """Of a walk by Student's t of three degrees of freedom, wilder than coins are, at most one bar in two thousand waits."""
    steps = np.random.default_rng(SEED).standard_t(3, (2000, 200))
    walk = np.exp(np.cumsum(0.02 * steps - 0.02 * steps.mean(axis=0), axis=0))
    suspected = sum(len(spikes.suspected) for spikes in through(SpikeGuard(200), walk))
    assert 0 < suspected <= walk.size / 2000


def test_two_years_of_coins() -> None:
    """Of 215,568 recorded hours five wait, among them the hour of 2021-09-13 in which false news moved Litecoin by a fifth."""
    folder = os.environ.get("REBALANCED_DATA")
    if folder is None:
        pytest.skip("REBALANCED_DATA does not name a folder with BASE_QUOTE-1h.parquet files: no recorded bars to judge")
    files = sorted(Path(folder).glob("*-1h.parquet"))
    closes = np.stack([pq.read_table(file)["close"].to_numpy() for file in files], axis=1)
    said = through(SpikeGuard(len(files)), closes)
    found = [(files[column].name, row) for row, spikes in enumerate(said) for column in spikes.suspected]
    litecoin = next(row for name, row in found if name == "LTC_USDT-1h.parquet")
    assert len(found) == 5
    assert said[litecoin + 1].dropped == (files.index(Path(folder) / "LTC_USDT-1h.parquet"),)


# --- ten times -------------------------------------------------------------------------------------------------------


@settings(max_examples=CASES, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    deviation=st.floats(0, 1.0),
    scale=st.sampled_from([1e-8, 1e-3, 1.0, 1e6]),
    row=st.integers(1, 119),
    factor=st.sampled_from([10.0, 0.1, 1000.0, 5.001]),
    passed=st.integers(1, 10_000),
)
@example(seed=0, deviation=1.0, scale=1e6, row=1, factor=10.0, passed=1)
def test_ten_times_is_always_suspected(seed: int, deviation: float, scale: float, row: int, factor: float, passed: int) -> None:
    """Warm or cold, of any volatility, at any size of price and after any absence, a close ten times the trusted one waits."""
    closes = scale * gaussian(row, 1, deviation, seed)
    guard = SpikeGuard(1)
    through(guard, closes)
    assume(not guard.waiting.any())  # else it might confirm what the walk itself has raised
    before = guard.trusted
    guard.step(before * factor, ALL, passed)
    assert guard.waiting.all()
    assert guard.trusted.tolist() == before.tolist()


@settings(max_examples=CASES // 8, deadline=None)
@given(seed=st.integers(0, 1 << 30), power=st.integers(-27, 20))
def test_the_size_of_a_price_does_not_matter(seed: int, power: int) -> None:
    """The same walk at 1e-8 and at 1e6, spikes included, is judged the same."""
    rng = np.random.default_rng(seed)
    closes = gaussian(100, 3, 0.02, seed) * np.where(rng.random((100, 3)) < 0.03, rng.choice([0.1, 0.5, 2.0, 10.0], (100, 3)), 1.0)
    assert through(SpikeGuard(3), closes) == through(SpikeGuard(3), closes * 2.0**power)


# --- how a doubt ends ------------------------------------------------------------------------------------------------


def test_a_single_spike_never_marks() -> None:
    """One bar of ten times the price waits, is dropped by the next, and has left no trace in what is trusted or allowed."""
    guard = warm()
    assert of(guard, 1000.0) == [SUSPECTED]
    assert (guard.waiting[0], guard.trusted[0], guard.suspect[0]) == (True, 100.0, 1000.0)
    assert of(guard, 100.5, 101.0) == [DROPPED, NOTHING]
    assert (guard.waiting[0], guard.trusted[0]) == (False, 101.0)
    assert of(guard, 1000.0) == [SUSPECTED]


def test_a_price_that_stands_is_confirmed_by_the_next_bar() -> None:
    """A bar near the suspected one makes it the truth, from which the old price is the spike."""
    guard = warm()
    assert of(guard, 1000.0, 1005.0) == [SUSPECTED, CONFIRMED]
    assert (guard.waiting[0], guard.trusted[0]) == (False, 1005.0)
    assert of(guard, 1007.0, 100.0) == [NOTHING, SUSPECTED]


def test_more_confirmations_can_be_asked_for() -> None:
    """With three, the third bar in the neighbourhood ends the doubt, and one elsewhere begins it anew."""
    guard = warm(confirmations=3)
    assert of(guard, 1000.0, 1001.0, 1002.0) == [SUSPECTED, NOTHING, NOTHING]
    assert of(guard, 1500.0, 1501.0, 1502.0, 1503.0) == [NOTHING, NOTHING, NOTHING, CONFIRMED]


@pytest.mark.parametrize("factor", [25.0, 1000.0, 1 / 25, 1 / 1000])
def test_a_price_of_another_coin_is_confirmed_by_a_person_only(factor: float) -> None:
    """However many bars stand there, they are not believed, and known as such from the second one on; what comes back ends it."""
    guard = warm()
    assert of(guard, 100.0 * factor) == [SUSPECTED]
    assert not guard.split[0]
    assert of(guard, *[100.1 * factor] * 5) == [NOTHING] * 5
    assert (guard.split[0], guard.waiting[0], guard.trusted[0]) == (True, True, 100.0)
    assert guard.confirm(0)
    assert (guard.split[0], guard.waiting[0], guard.trusted[0]) == (False, False, 100.1 * factor)
    assert of(guard, 100.2 * factor, 100.0, 100.0, 100.0) == [NOTHING, SUSPECTED, NOTHING, NOTHING]
    assert guard.split[0]
    of(guard, 100.1 * factor)
    assert (guard.split[0], guard.waiting[0]) == (False, False)


def test_a_price_that_flies_about_is_not_confirmed() -> None:
    """As long as every bar is far from the one before and from what is trusted, nothing is believed."""
    guard = warm()
    assert of(guard, 1000.0, 10.0, 5000.0, 1000.0) == [SUSPECTED, NOTHING, NOTHING, NOTHING]
    assert (guard.waiting[0], guard.trusted[0]) == (True, 100.0)


def test_a_slow_climb_is_followed() -> None:
    """A price that doubles by steps of a twentieth is ordinary all the way."""
    assert of(warm(), *(100.0 * 1.05**n for n in range(1, 16))) == [NOTHING] * 15


def test_a_person_confirms() -> None:
    """What a person confirms is trusted at once, and there is nothing to confirm where no bar waits."""
    guard = warm()
    assert not guard.confirm(0)
    of(guard, 1000.0)
    assert guard.confirm(0)
    assert (guard.waiting[0], guard.trusted[0]) == (False, 1000.0)
    assert not guard.confirm(0)
    assert of(guard, 1002.0) == [NOTHING]


def test_symbols_are_judged_apart() -> None:
    """A spike of one symbol leaves the others trusted and marked."""
    guard = SpikeGuard(3)
    closes = gaussian(100, 3, 0.005)
    through(guard, closes)
    row = closes[-1] * [1.001, 10.0, 0.999]
    assert guard.step(row, np.ones(3, np.bool_)) == Spikes(suspected=(1,))
    assert guard.trusted.tolist() == [row[0], closes[-1, 1], row[2]]
    assert guard.waiting.tolist() == [False, True, False]


# --- the limit -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("deviation", "limit"), [(0.0, 0.1), (0.001, 0.1), (0.01, 0.16), (0.04, 0.62), (1.0, LIMIT_MAX)])
def test_the_limit_by_hand(deviation: float, limit: float) -> None:
    """The limit is 20 x 0.8 deviations, at least a tenth and at most ln 5: just below it is ordinary, just above it waits."""
    for factor, said in ((0.7, NOTHING), (1.3, SUSPECTED)):
        guard = warm(deviation)
        moves = 100.0 * np.exp(factor * limit)
        assert of(guard, moves) == [said], (factor, limit)


def test_a_jump_hardly_widens_the_limit() -> None:
    """After a jump that was confirmed, half of it is suspected as before: a move counts for no more than the floor."""
    guard = warm()
    assert of(guard, 1000.0, 1000.0, 500.0) == [SUSPECTED, CONFIRMED, SUSPECTED]


def test_an_absence_allows_what_a_walk_may_do() -> None:
    """After a hundred close times without a bar, ten times the usual limit of one is ordinary."""
    for passed, said in ((1, SUSPECTED), (100, NOTHING)):
        assert warm(0.01).step(np.array([200.0]), ALL, passed) == said


def test_missing_bars_count_as_time() -> None:
    """While a symbol has no bar its limit grows, and a move over four close times says what one of a single close time is like."""
    guard = warm(0.01)
    through(guard, np.full((30, 1), 100.0), np.zeros((30, 1), np.bool_))
    assert of(guard, 200.0) == [NOTHING]
    rare = SpikeGuard(1)
    walk = gaussian(201, 1, 0.01)
    through(rare, walk, (np.arange(201) % 4 == 0)[:, None])
    assert of(rare, float(walk[-1, 0]) * exp(0.25)) == [SUSPECTED]


def test_the_neighbourhood_is_that_of_one_bar() -> None:
    """A bar that is farther from the suspected one than a single bar may go is another suspect, and confirms nothing."""
    guard = warm(0.01)
    assert of(guard, 1000.0, 1000.0 * exp(0.2), 1000.0 * exp(0.3)) == [SUSPECTED, NOTHING, CONFIRMED]


def test_a_cold_symbol_is_bounded_too() -> None:
    """Before ten moves are known, a close may double but not be five times the last one; its very first is taken as it is."""
    assert of(SpikeGuard(1), 1e-8, 2e-8, 4e-8, 21e-8) == [NOTHING, NOTHING, NOTHING, SUSPECTED]


# --- what is no price ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("close", [nan, inf, -inf, 0.0, -1.0])
def test_what_is_no_price_says_nothing(close: float) -> None:
    """It neither raises a doubt, nor ends one, nor counts as a move."""
    guard = warm()
    assert of(guard, close) == [NOTHING]
    assert guard.trusted == 100.0
    assert not guard.tick(0, close)
    assert not guard.waiting.any()
    assert of(guard, 1000.0, close, 1000.0) == [SUSPECTED, NOTHING, CONFIRMED]


def test_a_synthetic_bar_says_nothing() -> None:
    """A flat bar at the last close, wherever that is, does not confirm a spike, nor calm the scale."""
    guard, other = warm(0.01), warm(0.01)
    of(guard, 1000.0)
    through(guard, np.full((5, 1), 1000.0), np.zeros((5, 1), np.bool_))
    assert guard.waiting.all()
    through(other, np.full((30, 1), 100.0), np.zeros((30, 1), np.bool_))
    assert of(other, 100.0, 114.0) == [NOTHING, NOTHING]


def test_a_symbol_that_comes_later() -> None:
    """NaN before its first bar, it is trusted from there on, and its neighbours were judged all the while."""
    closes = gaussian(60, 2, 0.005)
    closes[:30, 1] = nan
    guard = SpikeGuard(2)
    assert through(guard, closes, np.isfinite(closes)) == [NOTHING] * 60
    assert guard.trusted.tolist() == closes[-1].tolist()


# --- ticks -----------------------------------------------------------------------------------------------------------


def test_a_single_bad_tick_is_not_believed() -> None:
    """A tick of ten times the price marks nothing and holds its symbol until another one is near the trusted close."""
    guard = warm()
    assert guard.tick(0, 101.0)
    assert not guard.tick(0, 1000.0)
    assert guard.waiting.all()
    assert guard.tick(0, 100.2)
    assert not guard.waiting.any()


def test_ticks_confirm_nothing() -> None:
    """However long they stand, and even with the bar they belong to: the bar after it does."""
    guard = warm()
    assert not any(guard.tick(0, 1000.0 + n) for n in range(240))
    assert of(guard, 1010.0) == [NOTHING]
    assert guard.waiting.all()
    assert of(guard, 1011.0) == [CONFIRMED]


def test_a_bar_ends_the_doubt_of_a_tick() -> None:
    """An ordinary close after a bad tick frees the symbol; a good tick does not end the doubt of a bar."""
    guard = warm()
    guard.tick(0, 10.0)
    assert of(guard, 100.1) == [DROPPED]
    of(guard, 1000.0)
    assert guard.tick(0, 100.0)
    assert guard.waiting.all()


def test_the_first_tick_of_all_is_believed() -> None:
    """Without a trusted close there is nothing to hold a tick against."""
    assert SpikeGuard(1).tick(0, 1e-8)


# --- memory ----------------------------------------------------------------------------------------------------------


@settings(max_examples=CASES // 8, deadline=None)
@given(seed=st.integers(0, 1 << 30), rows=st.integers(60, 200))
def test_history_makes_it_anew(seed: int, rows: int) -> None:
    """A guard fed the last `need` rows says of all that follow what one says that has seen everything."""
    closes = gaussian(rows + 60, 4, 0.02, seed)
    rng = np.random.default_rng(seed)
    closes[rows:] *= np.where(rng.random((60, 4)) < 0.1, np.exp(rng.normal(0, 0.3, (60, 4))), 1.0)
    old, new = SpikeGuard(4), SpikeGuard(4)
    through(old, closes[:rows])
    through(new, closes[rows - new.need : rows])
    assert through(old, closes[rows:]) == through(new, closes[rows:])
    assert old.trusted.tolist() == new.trusted.tolist()
    assert old.waiting.tolist() == new.waiting.tolist()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"factor": 0.0}, "factor must be finite and positive"),
        ({"factor": nan}, "factor must be finite and positive"),
        ({"floor": 0.0}, "floor must be above 0"),
        ({"floor": log(6)}, "floor must be above 0 and at most 1.609"),
        ({"length": 9}, "length must be at least 10"),
        ({"confirmations": 0}, "confirmations at least 1"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], says: str) -> None:
    """A guard that could never, or would always, suspect is not made."""
    with pytest.raises(ValueError, match=says):
        SpikeGuard(1, **options)


def test_limit_max_is_five_times() -> None:
    """The last bound is what its docstring says."""
    assert exp(LIMIT_MAX) == pytest.approx(5)
