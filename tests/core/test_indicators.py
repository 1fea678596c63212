"""Indicators: the laws that each of them keeps. The same bits however rows are cut, a memory that fits, enough history, a bounded step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core import indicators
from daemon.core.indicators import RSI, SMA, Covariance, Indicator, Of, Ratio, StdDev, Volatility, ZScore
from daemon.core.model import CLOSE, HIGH, LOW, Floats
from tests.core.pricewalks import KINDS, WIDTH, bars, same_bits, walk

every_kind = pytest.mark.parametrize("kind", KINDS)


def stepped(indicator: Indicator, rows: Floats) -> Floats:
    return np.array([indicator.step(row) for row in rows]).reshape(len(rows), *indicator.shape)


@st.composite
def histories(draw: st.DrawFn) -> Floats:
    """Bars with late first rows, whole rows and single symbols without a value, and stretches of constant prices."""
    times = draw(st.integers(1, 110))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = walk(rng, times)
    for start, symbol in draw(st.lists(st.tuples(st.integers(0, times - 1), st.integers(0, WIDTH - 1)), max_size=3)):
        rows[start : start + 30, symbol] = rows[start, symbol]
    for symbol, first in enumerate(draw(st.lists(st.integers(0, times), min_size=WIDTH, max_size=WIDTH))):
        rows[:first, symbol] = np.nan
    for hole in draw(st.lists(st.tuples(st.integers(0, times - 1), st.integers(0, WIDTH - 1)), max_size=3)):
        rows[hole] = np.nan
    return bars(rng, rows)


@every_kind
@settings(deadline=None, max_examples=30)
@given(panels=histories(), length=st.integers(2, 25), data=st.data())
def test_cutting_changes_no_bit(kind: str, panels: Floats, length: int, data: st.DataObject) -> None:
    """Row by row, in one block, in any blocks, saved and restored between them: the same bits."""
    plain = KINDS[kind](length)
    rows = plain.rows(panels)
    expected = stepped(plain, rows)
    assert same_bits(KINDS[kind](length).block(rows), expected)
    assert same_bits(KINDS[kind](length).last(rows), expected[-1])

    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4), "cuts"))
    parts, indicator = [], KINDS[kind](length)
    for piece in np.split(rows, cuts):
        fresh = KINDS[kind](length)
        fresh.restore(indicator.state())
        parts.append(fresh.block(piece) if data.draw(st.booleans()) else stepped(fresh, piece))
        indicator = fresh
    assert same_bits(np.concatenate(parts), expected)


def test_a_long_block_has_the_same_bits() -> None:
    """A block too long to be worked on at once is like the short ones that it falls into."""
    rows = np.exp(np.cumsum(np.random.default_rng(13).normal(0, 0.01, (20_000, WIDTH)), axis=0))
    whole, parts = ZScore(30, WIDTH), ZScore(30, WIDTH)
    assert same_bits(whole.block(rows), np.concatenate([parts.block(piece) for piece in np.split(rows, [11, 900, 7001, 13_000])]))


@every_kind
def test_what_was_told_stays_as_it_was(kind: str) -> None:
    """A value is not written to by later steps, and rows are never written to at all."""
    rng = np.random.default_rng(2)
    indicator = KINDS[kind](6)
    rows = indicator.rows(bars(rng, walk(rng, 60)))
    given_rows = rows.copy()
    told = [indicator.step(row) for row in rows[:30]]
    copies = [value.copy() for value in told]
    block = indicator.block(rows[30:])
    block_copy = block.copy()
    indicator.block(rows)
    assert all(same_bits(value, copy) for value, copy in zip(told, copies, strict=True))
    assert same_bits(block, block_copy)
    assert same_bits(rows, given_rows)


@every_kind
def test_need_is_enough(kind: str) -> None:
    """`need` rows of history give the value of the endless history to 1e-9, and they are enough to be warm."""
    rng = np.random.default_rng(11)
    indicator = KINDS[kind](14)
    rows = indicator.rows(bars(rng, walk(rng, 3000)))
    endless = KINDS[kind](14).block(rows)[-1]
    value = indicator.block(rows[-indicator.need :])[-1]
    assert (np.isnan(value) == np.isnan(endless)).all()
    np.testing.assert_allclose(value, endless, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind](14).need < 40])
def test_less_than_need_is_not_warm(kind: str) -> None:
    """Where a window is all that counts, `need` is its length: one row less has no value."""
    rng = np.random.default_rng(12)
    indicator = KINDS[kind](14)
    rows = indicator.rows(bars(rng, walk(rng, indicator.need)[:, [0, 1, 2, 3, 5, 5, 6]]))
    values = indicator.block(rows)
    assert np.isnan(values[:-1]).all() or kind == "window"
    assert np.isfinite(values[-1]).any()


@every_kind
def test_the_past_before_a_hole_is_forgotten(kind: str) -> None:
    """After a row without any value, an indicator is as if it had just begun."""
    rng = np.random.default_rng(4)
    panels = bars(rng, walk(rng, 160))
    panels[70] = np.nan
    whole = KINDS[kind](9)
    rows = whole.rows(panels)
    values = whole.block(rows)[71:]
    fresh = KINDS[kind](9).block(rows[71:])
    if kind not in {"window", "momentum"}:  # which look at rows, whatever lies between
        assert (np.isnan(values) == np.isnan(fresh)).all()
    np.testing.assert_allclose(values[20:], fresh[20:], rtol=1e-9, atol=1e-9)


@every_kind
def test_foreign_memory_is_refused(kind: str) -> None:
    """A memory of another length is refused with a sentence, and nothing of it is taken over."""
    rng = np.random.default_rng(5)
    indicator = KINDS[kind](5)
    rows = indicator.rows(bars(rng, walk(rng, 20)))
    indicator.block(rows)
    before = indicator.state()
    foreign = {name: np.append(value, 1.0) for name, value in before.items()}
    if not before:
        return
    with pytest.raises(ValueError, match="does not fit"):
        indicator.restore({})
    with pytest.raises(ValueError, match="does not fit"):
        indicator.restore({**before, list(before)[-1]: foreign[list(before)[-1]]})
    assert all(same_bits(before[name], value) for name, value in indicator.state().items())


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"atr", "highest of the highs"}))
def test_reads_the_closes(kind: str) -> None:
    """Of one panel and of many, an indicator reads the closing prices, unless its name says otherwise."""
    panels = np.random.default_rng(3).uniform(1, 2, (4, 5, WIDTH))
    indicator = KINDS[kind](2)
    assert same_bits(indicator.rows(panels), panels[:, CLOSE])
    assert same_bits(indicator.rows(panels[0]), panels[0, CLOSE])


def test_reads_other_fields() -> None:
    """The true range reads high, low and close; a field reads what it was made for."""
    panels = np.random.default_rng(3).uniform(1, 2, (4, 5, WIDTH))
    for many in (panels, panels[0]):
        assert same_bits(KINDS["atr"](2).rows(many), np.stack((many[..., HIGH, :], many[..., LOW, :], many[..., CLOSE, :]), axis=-2))
        assert same_bits(KINDS["highest of the highs"](2).rows(many), many[..., HIGH, :])


def test_infinity_is_no_value() -> None:
    """A row with an infinity is like one with a hole, for every indicator."""
    rng = np.random.default_rng(8)
    panels = bars(rng, walk(rng, 80))
    holed, infinite = panels.copy(), panels.copy()
    holed[40, :, 1], infinite[40, :, 1] = np.nan, np.inf
    for kind in KINDS.keys() - {"window", "highest of the highs"}:
        indicator = KINDS[kind](7)
        assert same_bits(KINDS[kind](7).block(indicator.rows(infinite)), indicator.block(indicator.rows(holed))), kind


@pytest.mark.parametrize("kind", ["deviation", "sample deviation", "sma", "zscore", "volatility", "covariance", "correlation"])
def test_what_has_left_the_window_leaves_no_trace(kind: str) -> None:
    """A price so large that its square is infinite spoils the windows it is in, and no later one."""
    panels = np.random.default_rng(9).uniform(1, 2, (120, 5, WIDTH))
    spiked = panels.copy()
    spiked[30, CLOSE, 1] = 1e200
    with np.errstate(over="ignore", invalid="ignore"):
        values, after = (KINDS[kind](9).block(panel[:, CLOSE]) for panel in (panels, spiked))
    assert same_bits(values[45:], after[45:])


def test_a_warm_up_of_its_need_is_warm() -> None:
    """Where an exponential covariance is asked to wait for longer than it remembers, it needs as long."""
    indicator = indicators.EwmaCovariance(1, 2, warm=90)
    values = indicator.block(np.random.default_rng(10).normal(0, 1, (indicator.need, 2)))
    assert np.isfinite(values[-1]).all()


@pytest.mark.parametrize("length", [0, -3])
@pytest.mark.parametrize("make", [SMA, StdDev, ZScore, Volatility, Covariance, indicators.RSI, indicators.Momentum, indicators.Window])
def test_senseless_lengths_are_refused(make: type[Indicator], length: int) -> None:
    """A window of no rows is a mistake, said in a sentence."""
    with pytest.raises(ValueError, match="must be at least 1, not"):
        make(length, 2)  # type: ignore[call-arg]


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32), st.integers(2, 14), st.integers(0, 800), st.sampled_from([1e-6, 1e-3, 0.1]), st.booleans())
def test_a_short_history_is_known(seed: int, period: int, flat: int, scale: float, jump: bool) -> None:
    """After a stretch without a change the RSI of `need` rows equals the endless one to 1e-9, or says that it is short; longer ones do."""
    moves = np.random.default_rng(seed).normal(0, scale, 3000)
    moves[len(moves) - flat :] = 0.0
    moves[1000] = 1.0 if jump else 0.0  # the price nearly triples in a bar that only the endless history knows
    rows = np.exp(np.cumsum(moves))[:, None]
    endless = RSI(period, 1).block(rows)[-1]
    count = RSI(period, 1).need
    while True:
        live = RSI(period, 1)
        value = live.block(rows[-count:])[-1]
        if not live.short().any():
            break
        count *= 2
    assert value == pytest.approx(endless, rel=1e-9, abs=1e-9)
    assert count <= 2 * (flat + 40 * period)


def test_whatever_rests_on_an_rsi_is_short_with_it() -> None:
    """A composition passes it on, by column where the columns are the same, else everywhere; who is not warm yet is not short."""
    still = np.full((100, WIDTH), 5.0)
    still[:, 0] = np.random.default_rng(2).normal(5, 0.1, 100)
    still[:98, 1] = np.nan
    moves = [False, False, *[True] * (WIDTH - 2)]
    for indicator, expected in (
        (Of(indicators.EMA(2, WIDTH), RSI(2, WIDTH)), moves),
        (Of(indicators.Basket([{0: 1.0, 2: 1.0}]), RSI(2, WIDTH)), [True]),
        (SMA(2, WIDTH), [False] * WIDTH),
    ):
        indicator.block(still)
        assert indicator.short().tolist() == expected


def test_a_sample_needs_two() -> None:
    """The sample deviation of one row does not exist, and a slope needs two points."""
    for make in (lambda: StdDev(1, 1, ddof=1), lambda: Covariance(1, 1, ddof=1), lambda: indicators.Beta(1, [(0, 1)])):
        with pytest.raises(ValueError, match="length must be at least 2, not 1"):
            make()


def test_an_empty_basket_is_refused() -> None:
    """A basket of nothing has no value to tell."""
    with pytest.raises(ValueError, match="at least one member"):
        indicators.Basket([{0: 1.0}, {}])


def test_composition_needs_both_one_after_the_other() -> None:
    """What an indicator of an indicator needs is what both need, less the row that they share."""
    assert Of(ZScore(30, 1), Ratio([(0, 1)])).need == 30
    assert Volatility(60, 1).need == 61
    assert Of(SMA(5, 1), SMA(5, 1)).need == 9


def test_everything_public_is_tried() -> None:
    """Every indicator that the package offers is held to these laws."""
    names = {name for name in indicators.__all__ if isinstance(getattr(indicators, name), type)}

    def parts(indicator: Indicator) -> set[str]:
        inner = [value for value in vars(indicator).values() if isinstance(value, Indicator)]
        return {type(indicator).__name__}.union(*map(parts, inner))

    assert names == {"Indicator"}.union(*(parts(make(2)) for make in KINDS.values()))
