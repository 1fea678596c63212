"""Indicators: worked values from their sources, the same bits however the rows are cut, no drift, warm-up by symbol."""

from collections.abc import Callable
from itertools import pairwise
from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.indicators import RSI, SMA, Indicator, Momentum
from daemon.core.model import CLOSE, Floats

# StockCharts ChartSchool, "Relative Strength Index (RSI)", the spreadsheet example: QQQQ closes and RSI(14) from the 15th on.
QQQQ = [
    *(44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328, 45.6140, 46.2820),
    *(46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521, 45.7137, 46.4515, 45.7835, 45.3548, 44.0288, 44.1783),
    *(44.2181, 44.5672, 43.4205, 42.6628, 43.1314),
]
QQQQ_RSI = [
    70.53,
    66.32,
    66.55,
    69.41,
    66.36,
    57.97,
    62.93,
    63.26,
    56.06,
    62.38,
    54.71,
    50.42,
    39.99,
    41.46,
    41.87,
    45.46,
    37.30,
    33.08,
    37.77,
]

KINDS: dict[str, Callable[[int, int], Indicator]] = {"momentum": Momentum, "sma": SMA, "rsi": RSI}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())


def column(values: list[float]) -> Floats:
    return np.array(values, np.float64)[:, None]


def walk(rng: np.random.Generator, times: int) -> Floats:
    """Prices of seven symbols: two walks, very small, very large, constant, quantised with many unchanged, a crash and a spike."""
    steps: Floats = np.exp(np.cumsum(rng.normal(0, 0.01, (times, 7)), axis=0)) * np.array([100.0, 1.0, 1e-8, 1e8, 1.0, 2.0, 1.0])
    steps[:, 4] = 0.1
    steps[:, 5] = np.round(steps[:, 5], 1)
    steps[times // 3 :, 6] *= 1e8
    steps[times // 2 :, 6] *= 1e-12
    return steps


def same_bits(a: Floats, b: Floats) -> bool:
    return a.shape == b.shape and bool(((a == b) | (np.isnan(a) & np.isnan(b))).all())


def plain_momentum(closes: list[float], lookback: int) -> list[float]:
    return [closes[i] / closes[i - lookback] - 1 for i in range(lookback, len(closes))]


def plain_sma(closes: list[float], length: int) -> list[float]:
    return [fsum(closes[i - length + 1 : i + 1]) / length for i in range(length - 1, len(closes))]


def plain_rsi(closes: list[float], period: int) -> list[float]:
    """By the book, symbol by symbol: the textbook form with the ratio of averages."""
    changes = [b - a for a, b in pairwise(closes)]
    gain = fsum(max(c, 0.0) for c in changes[:period]) / period
    loss = fsum(max(-c, 0.0) for c in changes[:period]) / period
    values = []
    for change in [None, *changes[period:]]:
        if change is not None:
            gain += (max(change, 0.0) - gain) / period
            loss += (max(-change, 0.0) - loss) / period
        values.append(50.0 if gain == loss == 0 else 100.0 if loss == 0 else 100 - 100 / (1 + gain / loss))
    return values


PLAIN: dict[str, Callable[[list[float], int], list[float]]] = {"momentum": plain_momentum, "sma": plain_sma, "rsi": plain_rsi}


def test_rsi_worked_values() -> None:
    """Wilder's RSI gives the published table to its last digit, first at the 15th close."""
    values = RSI(14, 1).block(column(QQQQ))[:, 0]
    assert np.isnan(values[:14]).all()
    assert [round(v, 2) for v in values[14:].tolist()] == QQQQ_RSI


@pytest.mark.parametrize(
    ("closes", "last"), [([1.0, 2, 3, 4], 100.0), ([4.0, 3, 2, 1], 0.0), ([2.0, 2, 2, 2], 50.0), ([1.0, 2, 1, 2], 200 / 3)]
)
def test_rsi_corners(closes: list[float], last: float) -> None:
    """No losses give 100, no gains 0, no change at all 50."""
    assert RSI(3, 1).block(column(closes))[-1, 0] == pytest.approx(last, abs=1e-12)


def test_sma_worked_values() -> None:
    """StockCharts ChartSchool, "Moving Averages", 5-day SMA of 11 to 17: 13, 14, 15."""
    values = SMA(5, 1).block(column([11, 12, 13, 14, 15, 16, 17]))[:, 0]
    assert same_bits(values, np.array([np.nan] * 4 + [13.0, 14.0, 15.0]))


def test_momentum_worked_values() -> None:
    """100, 110, 99, 132 over two bars: -1 %, then +20 %; first at the third bar."""
    values = Momentum(2, 1).block(column([100, 110, 99, 132]))[:, 0]
    assert np.isnan(values[:2]).all()
    assert values[2:].tolist() == pytest.approx([-0.01, 0.2], abs=1e-15)


@every_kind
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_cutting_changes_no_bit(make: Callable[[int, int], Indicator], data: st.DataObject) -> None:
    """Row by row, in one block, in any blocks, saved and restored between them: the same bits, with late first bars and holes."""
    times = data.draw(st.integers(1, 120), "times")
    length = data.draw(st.integers(2, 25), "length")
    rows = walk(np.random.default_rng(data.draw(st.integers(0, 2**32), "seed")), times)
    for symbol, first in enumerate(data.draw(st.lists(st.integers(0, times), min_size=7, max_size=7), "first bars")):
        rows[:first, symbol] = np.nan
    for hole in data.draw(st.lists(st.tuples(st.integers(0, times - 1), st.integers(0, 6)), max_size=3), "holes"):
        rows[hole] = np.nan
    plain = make(length, 7)
    expected = np.array([plain.step(row) for row in rows])
    assert same_bits(make(length, 7).block(rows), expected)

    cuts = sorted(data.draw(st.lists(st.integers(0, times), max_size=4), "cuts"))
    parts, indicator = [], make(length, 7)
    for piece in np.split(rows, cuts):
        fresh = make(length, 7)
        fresh.restore(indicator.state())
        parts.append(fresh.block(piece) if data.draw(st.booleans()) else np.array([fresh.step(row) for row in piece]).reshape(-1, 7))
        indicator = fresh
    assert same_bits(np.concatenate(parts), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [2, 14, 50])
def test_equals_a_plain_reference(kind: str, length: int) -> None:
    """Every value from warm-up on equals the textbook's to 1e-9, each symbol warm at its own bar."""
    rows = walk(np.random.default_rng(length), 400)[:, :6]
    firsts = [0, 3, 17, 0, 60, 1]
    for symbol, first in enumerate(firsts):
        rows[:first, symbol] = np.nan
    values = KINDS[kind](length, 6).block(rows)
    for symbol, first in enumerate(firsts):
        expected = PLAIN[kind](rows[first:, symbol].tolist(), length)
        got = values[:, symbol]
        assert np.isnan(got[: len(rows) - len(expected)]).all()
        np.testing.assert_allclose(got[len(rows) - len(expected) :], expected, rtol=1e-9, atol=1e-9 * min(1.0, abs(expected[-1])))


def test_the_mean_of_equal_prices_is_the_price() -> None:
    """Flat prices give a mean that is equal to the bit: `close > SMA` is not decided by rounding."""
    prices = np.random.default_rng(5).uniform(1e-8, 1e5, 2000)
    for length in (3, 7, 20, 49):
        assert (SMA(length, 2000).block(np.tile(prices, (3 * length, 1)))[length:] == prices).all()


def test_sma_forgets_a_spike() -> None:
    """A price of 1e8 among 1e-8 leaves no trace once it has left the window."""
    rows = np.full((200, 1), 1e-8)
    rows[50] = 1e8
    values = SMA(20, 1).block(rows)[:, 0]
    assert (values[70:] == 1e-8).all()


def test_no_drift_over_millions_of_rows() -> None:
    """After two million rows a mean is as right as the first."""
    rng = np.random.default_rng(7)
    sma = SMA(20, 1)
    for _ in range(40):
        rows = np.exp(rng.normal(0, 2, (50_000, 1)))
        means = sma.block(rows)
    assert means[-1, 0] == pytest.approx(fsum(rows[-20:, 0]) / 20, rel=1e-15)


@every_kind
def test_need_is_enough(make: Callable[[int, int], Indicator]) -> None:
    """`need` rows of history give the value of the endless history to 1e-9, and they are enough to be warm."""
    rows = walk(np.random.default_rng(11), 3000)[:, :6]
    endless = make(14, 6).block(rows)[-1]
    indicator = make(14, 6)
    np.testing.assert_allclose(indicator.block(rows[-indicator.need :])[-1], endless, rtol=1e-9, atol=1e-9)


@every_kind
def test_foreign_memory_is_refused(make: Callable[[int, int], Indicator]) -> None:
    """A memory of another width is refused with a sentence, and nothing of it is taken over."""
    indicator = make(5, 2)
    indicator.block(np.arange(1.0, 21.0).reshape(10, 2))
    before = indicator.state()
    with pytest.raises(ValueError, match="does not fit"):
        indicator.restore(make(5, 3).state())
    assert all(same_bits(before[name], value) for name, value in indicator.state().items())


@every_kind
def test_reads_the_closes(make: Callable[[int, int], Indicator]) -> None:
    """Of one panel and of many, an indicator reads the closing prices."""
    panels = np.random.default_rng(3).uniform(1, 2, (4, 5, 2))
    indicator = make(2, 2)
    assert same_bits(indicator.rows(panels), panels[:, CLOSE])
    assert same_bits(indicator.rows(panels[0]), panels[0, CLOSE])
