"""Prices: generated and recorded rows, and the tape made of them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from daemon.venue.candles import earliest, latest
from daemon.venue.generator import BLOCK, GeneratedRows
from daemon.venue.intervals import INTERVALS, divides, following, opened
from daemon.venue.markets import Market, listed
from daemon.venue.recorded import RecordedRows, Recording, markets, read
from daemon.venue.rows import COLUMNS, Rows, Table
from daemon.venue.tape import Tape, extended, price_at, span

ORIGIN = 1_699_999_980_000  # on a minute
MARKETS = listed([], 40, 1)


def generated(seed: int = 1, gaps: float = 0.0) -> GeneratedRows:
    return GeneratedRows(MARKETS, seed, 0.002, gaps)


def tape(rows: Rows, interval: str = "1s") -> Tape:
    return Tape(rows, MARKETS, interval, INTERVALS[interval], ORIGIN)


def test_a_row_does_not_depend_on_who_asked_before() -> None:
    """Any order of asking gives the same prices."""
    forwards, backwards = generated(), generated()
    wanted = [(market, index) for market in (0, 7, 39) for index in (0, 255, 256, 700, 1500)]
    first = {place: forwards.row(*place) for place in wanted}
    assert {place: backwards.row(*place) for place in reversed(wanted)} == first
    assert generated(seed=2).row(0, 700) != first[0, 700]


def test_known_prices_of_seed_one() -> None:
    """Seed 1 makes these prices in every process on every machine."""
    assert generated().row(0, 1000) == (63119.69, 63126.38, 63082.12, 63108.8, 3.2326)


def test_generated_bars_are_bars_on_the_grid() -> None:
    """Low <= open, close <= high; every price is a whole number of ticks; a bar opens where the last one closed."""
    rows = generated()
    for market in MARKETS:
        table = rows.table(market.index, 0, 3 * BLOCK)
        assert (table[:, 2] <= table[:, [0, 3]].min(axis=1)).all()
        assert (table[:, 1] >= table[:, [0, 3]].max(axis=1)).all()
        ticks = table[:, :4] * 10**market.price_decimals
        assert np.allclose(ticks, np.round(ticks), atol=1e-5)
        assert (table[1:, 0] == table[:-1, 3]).all()
        assert (table[:, 4] >= 0).all()


def test_generated_markets_move_together() -> None:
    """Returns of different markets are correlated, as real ones are, but not the same."""
    rows = generated()
    closes = np.log(np.column_stack([rows.table(market, 0, 2000)[:, 3] for market in range(12)]))
    correlation = np.corrcoef(np.diff(closes, axis=0).T)
    others = correlation[~np.eye(12, dtype=bool)]
    assert 0.3 < others.mean() < 0.9
    assert others.max() < 0.95


def recording(base: str, first: int, values: list[float]) -> Recording:
    prices = np.array(values)
    table: Table = np.column_stack([prices, prices + 2, prices - 1, prices + 1, np.full(len(values), 5.0)])
    return Recording(base, "USDT", np.arange(first, first + len(values), dtype=np.int64) * 3_600_000, table, Path(base))


def test_recordings_are_aligned_by_time() -> None:
    """Rows with the same timestamp play together; a market that has none then has a gap."""
    rows = RecordedRows([recording("AAA", 0, [10, 20, 30]), recording("BBB", 1, [70, 80])])
    assert [rows.row(1, i) is None for i in range(3)] == [True, False, False]
    both = rows.row(0, 1), rows.row(1, 1)
    assert both[0] is not None
    assert both[1] is not None
    assert (both[0].open, both[1].open) == (20, 70)


def test_a_recording_goes_on_backwards_without_a_jump() -> None:
    """After the last row the rows play in reverse, each from its close to its open, and so on for ever."""
    rows = RecordedRows([recording("AAA", 0, [10, 20, 30])])
    table = rows.table(0, 0, 9)
    assert table[:, 0].tolist() == [10, 20, 30, 31, 21, 11, 10, 20, 30]
    assert table[:, 3].tolist() == [11, 21, 31, 30, 20, 10, 11, 21, 31]
    assert table.tolist() == [list(rows.row(0, i) or ()) for i in range(9)]


def test_files_of_the_wanted_timeframe_become_markets(tmp_path: Path) -> None:
    """Hourly files are preferred, swaps are left out, and the price grid holds every recorded price."""
    for file in ("AAA_USDT-1h", "BBB_USDT-1h", "AAA_USDT-1m", "AAA_USDT_USDT-1h"):
        columns = {"timestamp": [0, 3_600_000]} | {name: [1.2345, 1.5] for name in COLUMNS}
        parquet.write_table(pa.table(columns), tmp_path / f"{file}.parquet")
    recordings = read(tmp_path, None)
    assert [(r.base, r.quote) for r in recordings] == [("AAA", "USDT"), ("BBB", "USDT")]
    assert [m.price_decimals for m in markets(recordings)] == [4, 4]
    assert len(read(tmp_path, "1m")) == 1
    with pytest.raises(ValueError, match="no 5m files"):
        read(tmp_path, "5m")


@settings(max_examples=60, deadline=None)
@given(market=st.integers(0, 39), index=st.integers(0, 600), phases=st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_what_is_seen_of_a_bar_never_contradicts_it(market: int, index: int, phases: list[float]) -> None:
    """Prices on the way lie within the bar, a forming bar only ever grows, and at its end it is the closed bar."""
    row = generated().row(market, index)
    assert row is not None
    assert (price_at(row, 0.0), price_at(row, 1.0)) == (row.open, row.close)
    assert span(row, 0.0, 1.0) == (row.low, row.high)
    low, high = row.open, row.open
    for phase in sorted(phases):
        seen = span(row, 0.0, phase)
        assert row.low <= seen[0] <= low
        assert high <= seen[1] <= row.high
        assert seen[0] - 1e-9 <= price_at(row, phase) <= seen[1] + 1e-9
        low, high = seen


def test_longer_candles_are_made_of_the_shorter_ones() -> None:
    """A minute's candle has the first open, the highest high, the lowest low, the last close and all the volume of its seconds."""
    source = tape(generated(gaps=0.2))
    now = ORIGIN + 309_500
    minutes = source.bars(0, "1m", 0, now, now)
    assert [bar.start for bar in minutes] == [ORIGIN + i * 60_000 for i in range(6)]
    for minute in minutes:
        seconds = [b for b in source.bars(0, "1s", minute.start, minute.end - 1, now) if b.start < minute.end]
        whole = seconds[0]._replace(start=minute.start, end=minute.end)
        for second in seconds[1:]:
            whole = extended(whole, second)
        assert minute[:6] == whole[:6]
        assert minute.volume == pytest.approx(whole.volume)


def test_klines_find_as_many_candles_as_are_wanted_across_gaps() -> None:
    """A limit is met from further back where bars are missing, and the first ones from a start time on."""
    source = tape(generated(gaps=0.5))
    now = ORIGIN + 700_200
    found = latest(source, 3, "1s", 200, now, now)
    assert len(found) == 200
    assert found[-1].start <= now
    assert earliest(source, 3, "1s", 50, ORIGIN, now, now) == source.bars(3, "1s", 0, now, now)[:50]
    assert earliest(source, 3, "1s", 50, now + 5000, now + 9000, now) == []
    assert len(latest(source, 3, "1s", 10_000, now, now)) == len(source.bars(3, "1s", 0, now, now))


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 2_000_000_000_000), interval=st.sampled_from(list(INTERVALS)))
def test_every_moment_lies_in_one_candle(at: int, interval: str) -> None:
    """A time lies at or after its candle's open and before the next one's."""
    start = opened(interval, at)
    assert start <= at < following(interval, start)
    assert opened(interval, start) == start
    assert opened(interval, following(interval, start)) == following(interval, start)


def test_candles_finer_than_the_rows_are_refused() -> None:
    """Only whole rows make candles."""
    assert [i for i in INTERVALS if divides("1h", i)] == ["1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"]
    assert divides("1s", "1s")
    assert not divides("1s", "7m")


def test_listed_markets_have_exact_money_and_distinct_names() -> None:
    """Price and amount decimals sum to at most eight in each of 3,500 markets, and no name is used twice."""
    markets: list[Market] = listed([], 3500, 1)
    assert len({market.symbol for market in markets}) == 3500
    assert all(market.price_decimals + market.amount_decimals <= 8 for market in markets)
    assert [market.base for market in itertools.islice(markets, 4)] == ["BTC", "ETH", "SOL", "XRP"]
    assert all(market.amount_max > market.step for market in markets)
