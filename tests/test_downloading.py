"""Downloading: what the exchange has comes into the store whole, whenever it is stopped; what is not whole there is named and not used."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from random import Random

import numpy as np
import pytest
from typer.testing import CliRunner

from daemon.app import together
from daemon.cli.main import app
from daemon.config import Config, load
from daemon.core.model import epoch_ms, from_epoch_ms
from daemon.io.clock import SystemClock
from daemon.research import upkeep
from daemon.research.bars import DataError, Series, file_name, read
from daemon.research.store import Shelf
from daemon.tools.downloading import Period, download
from daemon.venue import Venue, VenueSettings
from daemon.venue.faultscript import read as script
from tests.oneprocess import written
from tests.research.files import HOUR, START, configured, opens, store, walk

BTC, ETH = "BTC/USDT", "ETH/USDT"
SECOND = timedelta(seconds=1)


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    """An exchange with some pages of bars."""
    async with Venue(VenueSettings(interval="1s", markets=2, history=2600)) as running:
        yield running


def fault(venue: Venue, **values: object) -> None:
    """Put a fault into force."""
    venue.exchange.faults.add(script(values, "").faults, venue.exchange.now())


def settings(venue: Venue, folder: Path) -> Config:
    """A configuration of two symbols, as a user would have it."""
    return load(written(folder, venue.ccxt_urls(), universe={"quote": "USDT", "symbols": [BTC, ETH]}), {})


async def fetched(config: Config, folder: Path, period: Period) -> tuple[list[str], int]:
    """What is told of every market, and how many bars the progress went through."""
    gone: list[int] = []
    lines = await download(config, folder, period, SystemClock(), together=together, progress=gone.append, rng=Random(1))
    return lines, sum(gone)


def the_last(seconds: int) -> Period:
    """A period that has just ended."""
    now = SystemClock().now().replace(microsecond=0) - 2 * SECOND
    return Period(now - seconds * SECOND, now)


async def test_a_period_comes_whole_and_is_gone_on_with(venue: Venue, tmp_path: Path) -> None:
    """Three pages of two symbols, on the grid and without a gap; a longer period then fetches what lies before and after, and no more."""
    config, whole = settings(venue, tmp_path), the_last(2400)
    middle = Period(whole.since + 500 * SECOND, whole.until - 500 * SECOND)
    lines, gone = await fetched(config, tmp_path / "data", middle)
    assert gone == 2 * 1400
    assert [line.split(":")[0] for line in lines] == ["BTC_USDT-1s.parquet", "ETH_USDT-1s.parquet"]
    assert all("1400 bars" in line and "no gaps" in line for line in lines)
    before = {symbol: read(tmp_path / "data" / file_name(symbol, SECOND), SECOND) for symbol in (BTC, ETH)}
    lines, gone = await fetched(config, tmp_path / "data", whole)
    assert gone == 2 * 2400
    assert all("2400 bars" in line and "no gaps" in line for line in lines)
    for symbol, known in before.items():
        now = read(tmp_path / "data" / file_name(symbol, SECOND), SECOND)
        assert from_epoch_ms(int(now.closes[0])) == whole.since + SECOND
        assert np.array_equal(now.values[500:1900], known.values)
    rules = json.loads((tmp_path / "data" / "markets.json").read_text())
    assert rules.keys() == {BTC, ETH}
    assert float(rules[BTC]["amount_step"]) > 0


async def test_an_exchange_that_is_away_for_a_while_is_waited_for(venue: Venue, tmp_path: Path) -> None:
    """Answers that are lost, broken off or refused for the rate are asked for again; what comes in the end is whole."""
    fault(venue, do="http", on="klines", status=502, body="<html>", count=2)
    fault(venue, do="http", on="klines", status=429, headers={"Retry-After": 1}, body='{"code":-1003,"msg":"Too many requests."}', count=1)
    lines, _ = await fetched(settings(venue, tmp_path), tmp_path / "data", the_last(1500))
    assert all("1500 bars" in line and "no gaps" in line for line in lines)


async def test_what_was_read_before_a_stop_is_kept(venue: Venue, tmp_path: Path) -> None:
    """Cancelled on the way, it has saved whole pages; the next run asks for the rest only."""
    config, period = settings(venue, tmp_path), the_last(2400)
    fault(venue, do="accept_late", on="klines", delay="30s", every=3)
    begun = asyncio.Event()
    task = asyncio.create_task(
        download(config, tmp_path / "data", period, SystemClock(), together=together, progress=lambda _: begun.set(), rng=Random(1))
    )
    await asyncio.wait_for(begun.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kept = sum(len(Shelf(tmp_path / "data", symbol, SECOND).opens) for symbol in (BTC, ETH))
    assert 0 < kept < 4800
    venue.exchange.faults.clear()
    lines, _ = await fetched(config, tmp_path / "data", period)
    assert all("2400 bars" in line and "no gaps" in line for line in lines)


async def test_a_symbol_that_is_not_there_is_named(venue: Venue, tmp_path: Path) -> None:
    """The exchange does not list it: one sentence, and no file."""
    config = load(written(tmp_path, venue.ccxt_urls(), universe={"quote": "USDT", "symbols": [BTC, "NOPE/USDT"]}), {})
    with pytest.raises(Exception, match=r"no market NOPE/USDT"):
        await fetched(config, tmp_path / "data", the_last(10))
    assert not list((tmp_path / "data").glob("*")) or not (tmp_path / "data").exists()


# --- the store -------------------------------------------------------------------------------------------------------


def test_gaps_are_listed_and_nothing_is_made_up(tmp_path: Path) -> None:
    """Hours that are missing stay missing, and each gap is told with its first hour and its length."""
    kept = [row for row in range(50) if row not in (7, 8, 20)]
    store(tmp_path, BTC, [opens(50)[row] for row in kept], walk(50, 1)[kept])
    assert [str(gap) for gap in Shelf(tmp_path, BTC, HOUR).gaps()] == ["2 from 2024-01-01T07:00:00Z", "1 from 2024-01-01T20:00:00Z"]


def test_a_file_that_is_not_whole_is_named_and_left(tmp_path: Path) -> None:
    """A file that ends in its middle, and one with a row out of order, are errors that say so; neither is changed."""
    path = store(tmp_path, BTC, opens(50), walk(50, 1))
    path.write_bytes(path.read_bytes()[:-100])
    whole = path.read_bytes()
    with pytest.raises(DataError, match=r"BTC_USDT-1h\.parquet cannot be read as parquet"):
        Shelf(tmp_path, BTC, HOUR)
    assert path.read_bytes() == whole
    store(tmp_path, ETH, [opens(3)[row] for row in (0, 2, 1)], walk(3, 1))
    with pytest.raises(DataError, match=r"ETH_USDT-1h\.parquet: row 2 .* does not come after the row before it"):
        Shelf(tmp_path, ETH, HOUR)


def test_what_is_there_stays_and_what_is_new_finds_its_place(tmp_path: Path) -> None:
    """Bars before, between and after those in the store are put in order; one that is there already is not replaced."""
    times, values = opens(30), walk(30, 1)
    store(tmp_path, BTC, times[10:20], values[10:20])
    shelf = Shelf(tmp_path, BTC, HOUR)
    others = [*range(25, 30), *range(15), 20]
    shelf.merge(np.array([times[row] for row in others], np.int64), np.where(values[others] > 0, values[others], 0.0) * 1.0)
    shelf.merge(np.array([times[12]], np.int64), values[[12]] * 2.0)
    shelf.save()
    found: Series = read(tmp_path / "BTC_USDT-1h.parquet", HOUR)
    rows = [row for row in range(30) if row not in range(21, 25)]
    assert found.closes.tolist() == [times[row] + 3_600_000 for row in rows]
    assert np.array_equal(found.values, values[rows])
    assert not list(tmp_path.glob("*.part"))


# --- CSV -------------------------------------------------------------------------------------------------------------


def csv(folder: Path, *lines: str, header: str = "timestamp,open,high,low,close,volume") -> Path:
    """A file of bars as people have them, and a configuration for it."""
    (folder / "csv").mkdir(exist_ok=True)
    (folder / "csv" / "BTC_USDT-1h.csv").write_text("\n".join([header, *lines]) + "\n")
    return configured(folder, [BTC])


def test_csv_files_become_part_of_the_store(tmp_path: Path) -> None:
    """Times as milliseconds or as ISO 8601, columns in any order and some that nobody asked for."""
    config = csv(
        tmp_path,
        f"{opens(1)[0]},9,1,3,1,2,x",
        "2024-01-01T01:00:00,8,2,4,2,3,y",
        header="timestamp,volume,open,high,low,close,remark",
    )
    arguments = ["download", str(config), "--csv", str(tmp_path / "csv"), "--data", str(tmp_path / "data")]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.output.strip()) == (
        0,
        "BTC_USDT-1h.parquet: 2 bars, 2024-01-01 00:00 to 2024-01-01 02:00 UTC, no gaps",
    )
    found = read(tmp_path / "data" / "BTC_USDT-1h.parquet", HOUR)
    assert found.values.tolist() == [[1, 3, 1, 2, 9], [2, 4, 2, 3, 8]]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2024-01-01T01:00:00,1,3,1,two,9", "line 3 is no bar: 2024-01-01T01:00:00,1,3,1,two,9"),
        ("2024-01-01T01:00:00,1,3", "line 3 is no bar"),
        ("2024-01-01T01:00:00,1,3,1,-2,9", "line 3 (2024-01-01T01:00:00Z) has a price that is not finite and positive"),
        ("2024-01-01T00:00:00,1,3,1,2,9", "line 3 (2024-01-01T00:00:00Z) does not come after the row before it"),
        ("2024-01-01T01:30:00,1,3,1,2,9", "line 3 (2024-01-01T01:30:00Z) does not lie on the grid of 3600 s"),
        ("yesterday,1,3,1,2,9", "line 3 is no bar: yesterday"),
    ],
)
def test_a_line_that_is_no_bar_is_named(line: str, told: str, tmp_path: Path) -> None:
    """With file and number, and nothing of the file is taken."""
    config = csv(tmp_path, f"{START.isoformat()},1,3,1,2,9", line)
    arguments = ["download", str(config), "--csv", str(tmp_path / "csv"), "--data", str(tmp_path / "data")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert f"BTC_USDT-1h.csv: {told}" in done.output
    assert not (tmp_path / "data").exists()


def test_neither_a_period_nor_files_is_a_question(tmp_path: Path) -> None:
    """Without either, or with both, it says what to give."""
    config = csv(tmp_path)
    for more in ([], ["--since", "2024-01-01", "--csv", str(tmp_path)]):
        done = CliRunner().invoke(app, ["download", str(config), "--data", str(tmp_path / "data"), *more])
        assert done.exit_code == 2
        assert "--since 2022-01-01" in done.output


async def test_swaps_come_with_mark_prices_and_funding(tmp_path: Path) -> None:
    """Beside the bars lie the candles of the mark price and the settled rates, as a backtest reads them; a second run adds what is new."""
    symbol = "BTC/USDT:USDT"
    async with Venue(VenueSettings(market="swap", interval="1m", markets=1, history=1500)) as venue:
        sections = {"exchange": {"id": "binance", "market": "swap", "ccxt": {"urls": venue.ccxt_urls()}}, "timeframe": "1m"}
        content = written(tmp_path, {}, mode="paper", universe={"quote": "USDT", "symbols": [symbol]}, **sections)
        config, minute = load(content, {}), timedelta(minutes=1)
        until = SystemClock().now().replace(second=0, microsecond=0) - minute
        for since in (until - 600 * minute, until - 1400 * minute):
            lines, gone = await fetched(config, tmp_path / "data", Period(since, until))
            bars = (until - since) // minute
            assert gone == bars, "progress counts the bars that are traded"
            kept = upkeep.load(tmp_path / "data", [symbol], minute)
            assert len(kept.marks[symbol].closes) == len(read(tmp_path / "data" / file_name(symbol, minute), minute).closes) == bars
            times = [from_epoch_ms(at) for at in kept.rates[symbol].times.tolist()]
            assert len(times) >= 1
            assert [each.hour % 8 for each in times] == [0] * len(times)
            assert all(since <= each <= until for each in times)
            assert any("-mark.parquet" in line for line in lines)
            assert any("settlements" in line for line in lines)
        settled = venue.exchange.funding.between(0, epoch_ms(since) - 1, epoch_ms(until))  # type: ignore[attr-defined]
        assert kept.rates[symbol].rates.tolist() == [float(each.rate) for each in settled]
