"""Swaps in a backtest: long and short, with funding and mark prices where there are files of them."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from math import fsum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from typer.testing import CliRunner

from daemon.app import routes
from daemon.cli.main import app
from daemon.config import load
from daemon.core.model import ZERO, Instrument, Order, Side, epoch_ms
from daemon.core.paper import PaperAccount
from daemon.core.planner import plan
from daemon.core.planner_inputs import Inputs, Rules
from daemon.core.planner_legs import Reason
from daemon.research import runs
from tests.core.builders import START, after
from tests.core.plans import SMALL, book
from tests.research.files import HOUR, configured, opens, read, store, stored, walk

SWAP = Instrument(
    symbol="A/USDT:USDT",
    base="A",
    quote="USDT",
    amount_step=Decimal("0.001"),
    price_tick=Decimal("0.01"),
    notional_min=Decimal(5),
    buy_fee_in_base=False,
    shortable=True,
)
PRICE, EQUITY = Decimal(100), Decimal(10_000)
weights = st.floats(-1, 1)


@given(weights, weights)
def test_a_plan_ends_at_the_target_whichever_side_it_is_on(now: float, wanted: float) -> None:
    """From any holding one order, or one that reduces and one that grows, leads to any other, or a reason says why there is none."""
    held = SWAP.floor(Decimal(repr(now)) * EQUITY / PRICE)
    account = book({SWAP.symbol: held}, {SWAP.symbol: PRICE}, EQUITY * 2, equity=EQUITY, free={SWAP.symbol: abs(held)})
    rules = Rules(band=Decimal("0.01"), band_relative=Decimal(0))
    made = plan(Inputs(weights={SWAP.symbol: wanted}, book=account, markets={SWAP.symbol: SWAP}, rules=rules))
    legs = made.reduces + made.grows
    end = held + sum(leg.side.sign * leg.amount for leg in legs)
    goal = Decimal(repr(wanted)) * EQUITY / PRICE
    assert [leg.reduce_only for leg in legs] in ([], [True], [False], [True, False])
    if legs:
        assert abs(end - goal) <= SWAP.amount_step or made.left[SWAP.symbol]
        assert abs(end) <= max(abs(goal), ZERO) + SMALL
        assert all(leg.amount <= abs(held) and leg.side.sign * held < 0 for leg in made.reduces)
        assert all((held * leg.side.sign >= 0) or made.reduces for leg in made.grows)
    elif abs(held - goal) * PRICE > EQUITY * Decimal("0.01"):
        assert made.left[SWAP.symbol] in {Reason.BELOW_MINIMUM, Reason.DUST}
    elif held and wanted == 0:
        assert made.left[SWAP.symbol] == Reason.DUST


def _order(name: str, side: Side, amount: str) -> Order:
    units = Decimal(amount)
    reserve = units * PRICE * Decimal("1.01") if side is Side.BUY else units
    return Order(id=name, symbol=SWAP.symbol, side=side, amount=units, price=PRICE, reserve=reserve, decision_id="d", attempt=1, at=START)


def test_a_short_earns_what_the_price_falls() -> None:
    """Sold without a holding, sold again, bought back lower: the difference is in quote, less the fees, and no base is left."""
    account = PaperAccount({"USDT": Decimal(1000)}, fee=Decimal("0.001"), slippage_bps=Decimal(0))
    for name, side, amount, price in (("a", Side.SELL, "2", 100), ("b", Side.SELL, "1", 100), ("c", Side.BUY, "3", 90)):
        account.submit(_order(name, side, amount), SWAP, after(0))
        (report,) = account.match(SWAP, Decimal(price), after(1))
        assert report.filled == Decimal(amount)
        assert report.fills[0].fees[0].currency == "USDT"
    held = {currency: balance.total for currency, balance in account.balances.items()}
    assert held == {"A": 0, "USDT": Decimal(1000) + 30 - Decimal("0.2") - Decimal("0.1") - Decimal("0.27")}


def swaps(folder: Path) -> Path:
    """Two swaps that drift about one another."""
    symbols = ("A/USDT:USDT", "B/USDT:USDT")
    stored(folder / "data" / "swap", 300, symbols)
    strategy = {
        "name": "pair",
        "use": "pairs",
        "schedule": {"every": 1},
        "params": {"pair": list(symbols), "lookback": 20, "entry": 1.5, "size": 0.4},
    }
    return configured(
        folder, symbols, exchange={"id": "binance", "market": "swap"}, strategies=[strategy], execution={"band": 0.005}, timeframe="1h"
    )


def test_pairs_go_long_and_short_over_swap_files(tmp_path: Path) -> None:
    """Both signs are held, near the weights that were asked for; equity is cash and positions at the closes; the fees are in quote."""
    summary = runs.backtest(load(swaps(tmp_path), {}), tmp_path / "data", tmp_path / "out", None, None, routes)
    out = tmp_path / "out"
    targets = [row["weight"] for row in read(out, "targets") if row["strategy"] == "*"]
    assert (min(targets), max(targets)) == (-0.4, 0.4)
    equity = read(out, "equity")
    assert max(row["gross"] for row in equity) > 0.75
    assert all(abs(row["net"]) < 0.1 for row in equity)
    assert {row["fee_asset"] for row in read(out, "fills")} == {"USDT"}
    assert {"funding", "margin"} <= {assumed["code"] for assumed in summary["assumptions"]}
    assert not any("refused" in note for note in summary["notes"]), summary["notes"]


def test_a_daemon_refuses_the_swaps_of_exchanges_that_are_not_known(tmp_path: Path) -> None:
    """`run` says in one sentence on whose accounts swaps are traded."""
    config = swaps(tmp_path)
    exchange = {"id": "kraken", "market": "swap", "credentials": {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}}
    changes = {"mode": "sandbox", "exchange": exchange, "journal": {"path": str(tmp_path / "j.sqlite")}, "api": {"port": 0}}
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    refused = CliRunner().invoke(app, ["run", str(config)], env={"KEY": "k", "SECRET": "s"})
    assert refused.exit_code == 78
    said = "exchange.id kraken: an account of swaps is traded on binance and binanceusdm; write one of these, mode: paper, or market: spot"
    assert said in refused.output


@pytest.mark.parametrize(
    ("market", "symbol", "sentence"),
    [
        ("swap", "A/USDT", "universe.symbols[0] is not a linear swap, as exchange.market says; write A/USDT:USDT"),
        ("swap", "A/USDT:A", "universe.symbols[0] is not a linear swap, as exchange.market says; write A/USDT:USDT"),
        ("spot", "A/USDT:USDT", "universe.symbols[0] is a swap, and exchange.market is spot; write A/USDT"),
    ],
)
def test_symbols_are_of_the_market(tmp_path: Path, market: str, symbol: str, sentence: str) -> None:
    """A symbol of another kind of market is named with the way it should be written."""
    config = configured(tmp_path, [symbol], exchange={"id": "binance", "market": market})
    refused = CliRunner().invoke(app, ["check", str(config), "--offline"])
    assert (refused.exit_code, sentence in refused.output) == (78, True), refused.output


def position(fills: Sequence[Mapping[str, Any]], symbol: str, before: int) -> Decimal:
    """Base units that trades before a moment have left."""
    made = [f for f in fills if f["symbol"] == symbol and f["timestamp"] < before]
    return sum((Decimal(repr(f["amount"])) * (1 if f["side"] == "buy" else -1) for f in made), ZERO)


SHARED = Path(os.environ.get("REBALANCED_DATA", "/nonexistent"))


def crashed(folder: Path, to: float) -> dict[str, Any]:
    """The summary of a run that is long three times its equity when the price falls to so much of what it was."""
    symbol = "A/USDT:USDT"
    values = walk(100, 1, move=0.0001)
    values[60:, :4] *= to
    store(folder / "data" / "swap", symbol, opens(100), values)
    strategy = {"name": "fixed", "use": "fixed_weights", "schedule": {"every": 1}, "params": {"weights": {symbol: 3.0}}}
    exchange = {"id": "binance", "market": "swap", "leverage": 10}
    risk = {"gross": 4.0, "weight_max": 4.0}
    config = configured(folder, [symbol], exchange=exchange, strategies=[strategy], risk=risk)
    return runs.backtest(load(config, {}), folder / "data", folder / "out", None, None, routes)


@pytest.mark.parametrize("to", [0.673, 0.5])
def test_a_position_that_is_not_covered_is_liquidated(to: float, tmp_path: Path) -> None:
    """It is closed at the mark, or at the price at which nothing is left, for a fee of what there is; the summary says so plainly."""
    summary = crashed(tmp_path, to)
    (warned,) = [each["text"] for each in summary["warnings"] if each["code"] == "liquidated"]
    assert warned.startswith("1 position was liquidated, the first at 2024-01-03T13:00:00Z: ")
    assert "of A/USDT:USDT at a mark of" in warned
    assert "whose liquidation price was" in warned
    last = read(tmp_path / "out", "equity")[-1]
    assert last["gross"] == 0, "it only reduces from then on"
    assert last["equity"] == pytest.approx(summary["final_equity"])
    assert 0 <= last["equity"] < 1
    assert [row["order_id"][:10] for row in read(tmp_path / "out", "fills")].count("autoclose-") == 1


def test_a_position_that_is_covered_is_not_liquidated(tmp_path: Path) -> None:
    """A fall that leaves more than the margin that must be kept is no liquidation."""
    assert "liquidated" not in {each["code"] for each in crashed(tmp_path, 0.7)["warnings"]}


TWO = ("BTC/USDT:USDT", "ETH/USDT:USDT")
RECORDED = [
    {"name": "pair", "use": "pairs", "params": {"pair": list(TWO), "lookback": 100, "entry": 1.5, "size": 0.4}},
    {"name": "book", "use": "long_short_momentum", "params": {"top": 1, "bottom": 1, "neutral": "beta"}},
]


@pytest.mark.skipif(not (SHARED / "swap").is_dir(), reason="no recorded swaps")
@pytest.mark.parametrize("strategy", RECORDED, ids=lambda strategy: strategy["use"])
def test_funding_over_recorded_swaps_is_position_by_mark_by_rate(tmp_path: Path, strategy: dict[str, Any]) -> None:
    """What a run books, payment by payment and in sum, is what its own fills, the mark prices and the rates of the files come to."""
    symbols = TWO
    config = configured(tmp_path, symbols, exchange={"id": "binance", "market": "swap"}, strategies=[strategy], timeframe="1h")
    until = datetime(2021, 8, 1, tzinfo=UTC)
    out = tmp_path / "out"
    summary = runs.backtest(load(config, {}), SHARED, out, None, until, routes)
    fills, booked = read(out, "fills"), {(row["timestamp"], row["symbol"]): row["amount"] for row in read(out, "funding")}
    expected = {}
    for symbol in symbols:
        stem = SHARED / "swap" / symbol.replace("/", "_").replace(":", "_")
        marks = {row["timestamp"]: row["open"] for row in parquet.read_table(f"{stem}-1h-mark.parquet").to_pylist()}
        for row in parquet.read_table(f"{stem}-funding.parquet").to_pylist():
            at = row["timestamp"]
            held = position(fills, symbol, at)
            if held and at <= epoch_ms(until):
                expected[at, symbol] = -float(held) * marks[at] * row["funding_rate"]
    assert len(expected) > 100
    assert booked.keys() == expected.keys()
    assert all(abs(booked[key] - expected[key]) < 1e-9 for key in expected)
    assert abs(summary["funding"] - fsum(expected.values())) < 1e-9 * len(expected)
    assert summary["without_funding"]["final_equity"] == summary["final_equity"] - summary["funding"]
    assert f"funding {summary['funding']:+.2f}; without it equity" in runs.in_words(summary, out)
    last = read(out, "equity")[-1]
    marked = {s: parquet.read_table(SHARED / f"swap/{s[:3]}_USDT_USDT-1h-mark.parquet").to_pylist() for s in symbols}
    prices = {s: next(r["close"] for r in rows if r["timestamp"] == last["timestamp"] - 3_600_000) for s, rows in marked.items()}
    held_now = {s: float(position(fills, s, last["timestamp"])) for s in symbols}
    assert last["equity"] == pytest.approx(last["cash"] + sum(held_now[s] * prices[s] for s in symbols), abs=1e-6)


def test_funding_between_bars_is_settled_at_its_own_moment(tmp_path: Path) -> None:
    """Rates of every hour are all paid though bars are of four, and at gaps; without a mark file, at the last price before."""
    config = swaps(tmp_path)
    data = tmp_path / "data"
    symbols = ("A/USDT:USDT", "B/USDT:USDT")
    stored(data / "swap", 300, symbols, holes={symbols[0]: range(100, 107)}, timeframe=4 * HOUR, name="4h")
    times = opens(1200)
    for symbol in symbols:
        columns = {"timestamp": pa.array(times, pa.int64()), "funding_rate": pa.array([1e-4] * len(times))}
        parquet.write_table(pa.table(columns), data / "swap" / f"{symbol.replace('/', '_').replace(':', '_')}-funding.parquet")
    content = json.loads(config.read_text()) | {"timeframe": "4h"}
    config.write_text(json.dumps(content))
    summary = runs.backtest(load(config, {}), data, tmp_path / "out", None, None, routes)
    booked = [row["timestamp"] for row in read(tmp_path / "out", "funding") if row["symbol"] == symbols[1]]
    hours = {(later - earlier) // 3_600_000 for earlier, later in pairwise(booked)}
    assert min(hours) == 1
    fills = read(tmp_path / "out", "fills")
    assert booked == [at for at in times if position(fills, symbols[1], at)]
    assert {each["code"] for each in summary["assumptions"]} >= {"funding", "marks", "margin"}


def paying(folder: Path, rates: Sequence[float], every: int = 8) -> None:
    """Funding rates of both swaps, one every so many hours from the first bar on."""
    times = opens(len(rates) * every)[::every]
    for symbol in ("A/USDT:USDT", "B/USDT:USDT"):
        columns = {"timestamp": pa.array(times, pa.int64()), "funding_rate": pa.array(list(rates))}
        parquet.write_table(pa.table(columns), folder / "data" / "swap" / f"{symbol.replace('/', '_').replace(':', '_')}-funding.parquet")


def filtered(folder: Path, rates: Sequence[float], **risk: float) -> list[dict[str, Any]]:
    """The orders of a run that wants 0.4 of each at every bar, one long and one short."""
    folder.mkdir()
    config = swaps(folder)
    paying(folder, rates)
    weights = {"A/USDT:USDT": 0.4, "B/USDT:USDT": -0.4}
    strategy = {"name": "fixed", "use": "fixed_weights", "schedule": {"every": 1}, "params": {"weights": weights}}
    config.write_text(json.dumps(json.loads(config.read_text()) | {"strategies": [strategy], "risk": risk}))
    runs.backtest(load(config, {}), folder / "data", folder / "out", None, None, routes)
    return read(folder / "out", "orders")


def test_the_funding_filter_knows_what_was_settled_and_no_more(tmp_path: Path) -> None:
    """The dear side is opened at the close at which a cheap rate is settled, and not before; what comes after changes nothing before."""
    dear, cheap = 0.001, 0.0001  # 109.5 % and 10.95 % a year
    rates = [dear] * 10 + [cheap] * 20
    orders = filtered(tmp_path / "one", rates, funding_max=0.5)
    first = {symbol: min(row["timestamp"] for row in orders if row["symbol"] == symbol) for symbol in ("A/USDT:USDT", "B/USDT:USDT")}
    assert first["A/USDT:USDT"] == opens(81)[80]
    assert first["B/USDT:USDT"] < opens(3)[2], "the side that is paid is opened at once"
    others = filtered(tmp_path / "other", [*rates[:20], *([dear] * 10)], funding_max=0.5)
    until = opens(161)[160]  # where the two part
    assert [row for row in orders if row["timestamp"] < until] == [row for row in others if row["timestamp"] < until]
    free = filtered(tmp_path / "free", rates)
    assert min(row["timestamp"] for row in free if row["symbol"] == "A/USDT:USDT") < opens(3)[2]
