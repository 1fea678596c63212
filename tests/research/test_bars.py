"""Stored bars: what is impossible is an error that says where; what is missing stays missing."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from daemon.core.model import Bar, from_epoch_ms
from daemon.core.slices import align
from daemon.research.bars import DataError, load, markets
from tests.research.files import HOUR, START, opens, store, stored, walk

SYMBOLS = ("A/USDT", "B/USDT", "C/USDT")


def test_slices_are_those_of_an_aligner(tmp_path: Path) -> None:
    """A directory of files with gaps becomes the very slices that the same bars become live."""
    bars = load(stored(tmp_path, 40, SYMBOLS, {"A/USDT": [0, 1, 7], "B/USDT": [7, 8, 9], "C/USDT": [7, 39]}), SYMBOLS, HOUR)
    history = {
        symbol: [Bar(symbol, from_epoch_ms(close), *row) for close, row in zip(series.closes.tolist(), series.values.tolist(), strict=True)]
        for symbol, series in bars.series.items()
    }
    made, expected = list(bars.slices()), align(history, SYMBOLS)
    assert len(made) == 39, "the hour without any bar is no slice"
    for mine, theirs in zip(made, expected, strict=True):
        assert mine.closes_at == theirs.closes_at
        assert np.array_equal(mine.panel, theirs.panel, equal_nan=True)
        assert np.array_equal(mine.synthetic, theirs.synthetic)
        assert np.array_equal(mine.age, theirs.age)


def test_period_is_by_close_and_inclusive(tmp_path: Path) -> None:
    """A bar counts in the period in which it closes, both ends included."""
    bars = load(stored(tmp_path, 10, SYMBOLS), SYMBOLS, HOUR, START + 3 * HOUR, START + 5 * HOUR)
    assert [s.closes_at for s in bars.slices()] == [START + n * HOUR for n in (3, 4, 5)]
    assert bars.symbol_bars == 9


@pytest.mark.parametrize(
    ("name", "timeframe"), [("60m", HOUR), ("1m", timedelta(minutes=1)), ("1s", timedelta(seconds=1)), ("1d", 24 * HOUR)]
)
def test_every_spelling_of_a_length_is_found(tmp_path: Path, name: str, timeframe: timedelta) -> None:
    """A file is found however its bar length is spelt."""
    assert load(stored(tmp_path, 5, ["A/USDT"], name=name, timeframe=timeframe), ["A/USDT"], timeframe).symbol_bars == 5


def test_swaps_lie_beside_or_below(tmp_path: Path) -> None:
    """A swap's file is found in the directory itself or in its swap/."""
    stored(tmp_path / "swap", 5, ["A/USDT:USDT"])
    stored(tmp_path, 4, ["B/USDT:USDT"])
    assert load(tmp_path, ["A/USDT:USDT", "B/USDT:USDT"], HOUR).symbol_bars == 9


def _impossible(what: str) -> tuple[list[int], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    times, values = opens(10), walk(10, 1)
    match what:
        case "doubled":
            times[4] = times[3]
        case "backwards":
            times[4], times[5] = times[5], times[4]
        case "off the grid":
            times = [time + 1 for time in times]
        case "NaN":
            values[4, 3] = np.nan
        case "negative":
            values[4, 2] = -1.0
        case "infinite volume":
            values[4, 4] = np.inf
        case "low high":
            values[4, 1] = values[4, 0] * 0.9
        case "high low":
            values[4, 2] = values[4, 1]
    return times, values


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("doubled", "row 4 (2024-01-01T03:00:00Z) does not come after the row before it"),
        ("backwards", "row 5 (2024-01-01T04:00:00Z) does not come after the row before it"),
        ("off the grid", "row 0 (2024-01-01T00:00:00Z) does not lie on the grid of 3600 s"),
        ("NaN", "row 4 (2024-01-01T04:00:00Z) has a price that is not finite and positive"),
        ("negative", "row 4 (2024-01-01T04:00:00Z) has a price that is not finite and positive"),
        ("infinite volume", "row 4 (2024-01-01T04:00:00Z) has a volume that is not finite and at least 0"),
        ("low high", "row 4 (2024-01-01T04:00:00Z) has a high below another of its prices"),
        ("high low", "row 4 (2024-01-01T04:00:00Z) has a low above another of its prices"),
    ],
)
def test_impossible_rows_are_named(tmp_path: Path, what: str, sentence: str) -> None:
    """One impossible row is one sentence with its file and its place."""
    path = store(tmp_path, "A/USDT", *_impossible(what))
    with pytest.raises(DataError) as error:
        load(tmp_path, ["A/USDT"], HOUR)
    assert str(error.value) == f"{path}: {sentence}"


def test_what_is_no_file_of_bars_is_said(tmp_path: Path) -> None:
    """A missing file, one that is no parquet, one without its columns and one with empty cells each end in a sentence."""
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "A_USDT-1h.parquet"
    with pytest.raises(DataError, match=r"there is no A_USDT-1h\.parquet, and A/USDT needs it"):
        load(tmp_path, ["A/USDT"], HOUR)
    path.write_text("timestamp,open")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        load(tmp_path, ["A/USDT"], HOUR)
    parquet.write_table(pa.table({"timestamp": [1], "open": [1.0]}), path)
    with pytest.raises(DataError, match="has no column high, low, close, volume"):
        load(tmp_path, ["A/USDT"], HOUR)
    parquet.write_table(
        pa.table({name: pa.array([None], pa.int64()) for name in ("timestamp", "open", "high", "low", "close", "volume")}), path
    )
    with pytest.raises(DataError, match="has empty cells"):
        load(tmp_path, ["A/USDT"], HOUR)


def test_an_empty_period_is_said(tmp_path: Path) -> None:
    """Bars that all lie elsewhere in time are no run of nothing."""
    stored(tmp_path, 5, ["A/USDT"])
    with pytest.raises(DataError, match="no bar of A/USDT lies between"):
        load(tmp_path, ["A/USDT"], HOUR, end=START)


def test_rules_are_exact_and_their_absence_is_told(tmp_path: Path) -> None:
    """Steps are the decimals that the file has, and a symbol that it does not have is named."""
    rules = {"A/USDT": {"amount_step": 0.00001, "price_tick": "0.10", "amount_min": 0.001, "notional_min": 5}}
    (tmp_path / "markets.json").write_text(json.dumps(rules))
    found, without = markets(tmp_path, ["B/USDT", "A/USDT"])
    assert (found["A/USDT"].amount_step, found["A/USDT"].price_tick) == (Decimal("0.00001"), Decimal("0.10"))
    assert (found["A/USDT"].amount_min, found["A/USDT"].notional_min) == (Decimal("0.001"), Decimal(5))
    assert without == ("B/USDT",)
    assert markets(tmp_path / "nowhere", ["B/USDT"])[1] == ("B/USDT",)


@pytest.mark.parametrize("text", ["[]", "{", '{"A/USDT": 1}', '{"A/USDT": {"amount_step": "x"}}', '{"A/USDT": {"price_tick": 0}}'])
def test_rules_that_make_no_sense_are_refused(tmp_path: Path, text: str) -> None:
    """A file of rules that cannot be understood is never taken for none."""
    (tmp_path / "markets.json").write_text(text)
    with pytest.raises(DataError, match=r"markets\.json"):
        markets(tmp_path, ["A/USDT"])
