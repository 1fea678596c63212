"""Swaps: the daemon trades long and short on the futures protocol, over real sockets, and its journal is the venue's account."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from daemon.core.ledger import Ledger
from daemon.core.model import Flow, epoch_ms
from daemon.io.journal import read
from tests.process.books import Line, intents
from tests.process.support import Daemon, Venue, written
from tests.research.files import START, stored

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
FIVE = (BTC, ETH, "ADA/USDT:USDT", "SOL/USDT:USDT", "XRP/USDT:USDT")
LEVERAGE = 5
KILLS = int(os.environ.get("REBALANCED_KILLS", "5")) // 5
EVERY = 11  # bars between two settlements of funding


@pytest.fixture
def futures(tmp_path: Path) -> Iterator[Venue]:
    """A venue of swaps that plays bars of a second, and settles funding every eleventh of them."""
    folder = stored(tmp_path / "data" / "swap", 1500, FIVE, timeframe=timedelta(seconds=1), name="1s")
    for symbol in FIVE:
        times = [epoch_ms(START + n * timedelta(seconds=1)) for n in range(0, 1500, EVERY)]
        rates = {"timestamp": times, "funding_rate": [(-1) ** n * 0.0001 * (1 + n % 3) for n in range(len(times))]}
        parquet.write_table(pa.table(rates), folder / f"{symbol.partition('/')[0]}_USDT_USDT-funding.parquet")
    with Venue("--market", "swap", "--data", str(tmp_path / "data"), "--interval", "1s", folder=tmp_path) as venue:
        yield venue


def swaps(
    folder: Path, venue: Venue, symbols: Sequence[str], strategy: dict[str, Any], execution: dict[str, Any] | None = None, **exchange: Any
) -> Path:
    """A configuration of one strategy over these swaps."""
    return written(
        folder,
        venue,
        exchange={
            "id": "binance",
            "market": "swap",
            "leverage": LEVERAGE,
            "ccxt": {"urls": {"test": venue.urls["api"]}},
            "credentials": {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}},
            **exchange,
        },
        universe={"quote": "USDT", "symbols": list(symbols)},
        strategies=[strategy],
        risk={"gross": 2.0},
        execution={"band": 0.01, **(execution or {})},
    )


def pair(folder: Path, venue: Venue, **exchange: Any) -> Path:
    """A configuration that is long one swap and short the other, changes its mind often, and turns right over."""
    strategy = {
        "name": "pair",
        "use": "pairs",
        "schedule": {"every": 2, "at_start": True},
        "params": {"pair": [BTC, ETH], "lookback": 4, "entry": 0.7, "exit": 0.0, "size": 0.8},
    }
    return swaps(folder, venue, (BTC, ETH), strategy, **exchange)


def differences(state: Line, ledger: Ledger) -> list[str]:
    """Where the ledger is not the venue's account: wallets and positions, to the last digit, but for what was paid since it last looked."""
    wallet = Decimal(state["wallets"]["USDT"])
    rows = [row for row in state["incomes"] if row["incomeType"] == "FUNDING_FEE"]
    unseen = [row for row in rows if not ledger.has_flow(funding(row))]
    wallet -= sum((Decimal(row["income"]) for row in unseen), Decimal(0))
    found = [] if wallet == ledger.wallet("USDT") else [f"the wallet holds {wallet}, the ledger {ledger.wallet('USDT')}"]
    held = {row["symbol"]: Decimal(row["positionAmt"]) for row in state["positions"]}
    for symbol in FIVE:
        base = symbol.partition("/")[0]
        there = held.get(f"{base}USDT", Decimal(0))
        if there != ledger.held(base):
            found.append(f"of {symbol} the venue holds {there}, the ledger {ledger.held(base)}")
    return found


def funding(row: Line) -> Flow:
    """A payment as the journal names it."""
    at = datetime.fromtimestamp(row["time"] / 1000, UTC)
    name = f"FUNDING_FEE-{row['symbol']}-{row['tranId']}"
    return Flow(name, row["asset"], Decimal(row["income"]), "funding", at, f"{row['symbol'].removesuffix('USDT')}/USDT:USDT")


def turned(journal: Path) -> bool:
    """Whether both have been long and short, and orders have made positions smaller."""
    orders = [each.order for each in intents(journal)]
    grown = {(order.symbol, order.side) for order in orders if not order.reduce_only}
    return len(grown) == 4 and any(order.reduce_only for order in orders)


def test_long_and_short_through_kills(futures: Venue, tmp_path: Path) -> None:
    """Killed between its orders, it goes on, turns positions over, books every funding once, and ends with the venue's own account."""
    config, journal = pair(tmp_path, futures), tmp_path / "momo.sqlite"
    for _ in range(KILLS):
        with Daemon(config) as daemon:
            plan = daemon.planned(within=90)
            daemon.wait("order.submitted", since=daemon.lines.index(plan))
            daemon.kill()
    with Daemon(config) as daemon:
        whole = daemon.wait("wave.settled", where=lambda line: "order_unknown" not in line["left"].values(), within=90)
        daemon.settled(since=daemon.lines.index(whole) + 1, sent=4)
        daemon.wait("funding.booked", within=120)  # an account that trades every second is seldom quiet enough to be compared
        deadline = monotonic() + 120
        while not turned(journal) and monotonic() < deadline:
            sleep(0.5)
        daemon.stop()
        errors = [line for line in daemon.complaints() if line["level"] == "error"]
    state = futures.state()
    assert state["violations"] == []
    record = read(journal)
    assert errors == []
    ledger = record.ledger()
    paid = [funding(row) for row in state["incomes"] if row["incomeType"] == "FUNDING_FEE"]
    told = [flow for flow in record.flows if flow.kind == "funding"]
    assert told == paid[: len(told)]
    assert len(told) >= 2
    assert {flow.kind for flow in record.flows} == {"opening", "funding"}
    assert differences(state, ledger) == []
    assert turned(journal)


def test_the_best_against_the_worst(futures: Venue, tmp_path: Path) -> None:
    """Two swaps long and two short in equal weights: after a change of ranks the venue holds both sides, and its books are ours."""
    params = {"lookback": 4, "rsi_period": 2, "top": 2, "bottom": 2, "exposure": 1.6, "rsi_sign": "momentum"}
    strategy = {"name": "book", "use": "long_short_momentum", "schedule": {"every": 6, "at_start": True}, "params": params}
    config, journal = swaps(tmp_path, futures, FIVE, strategy), tmp_path / "momo.sqlite"
    with Daemon(config) as daemon:
        first = daemon.settled(sent=4, within=90)
        daemon.wait("wave.settled", since=daemon.lines.index(first) + 1, where=lambda line: not line["left"], within=90)
        daemon.stop()
        errors = [line for line in daemon.complaints() if line["level"] == "error"]
    assert errors == []
    state = futures.state()
    assert state["violations"] == []
    assert differences(state, read(journal).ledger()) == []
    worths = [Decimal(row["positionAmt"]) * Decimal(row["markPrice"]) for row in state["positions"] if Decimal(row["positionAmt"])]
    assert sorted(worth > 0 for worth in worths) == [False, False, True, True]
    assert abs(sum(worths, Decimal(0))) < sum(map(abs, worths), Decimal(0)) / 10  # prices here move by a hundredth a second


def test_what_rests_when_the_process_is_killed_is_cancelled_by_the_exchange(tmp_path: Path) -> None:
    """With a switch of ten seconds nothing is open that long after a SIGKILL; the next start goes on, and its stop ends the countdown."""
    faults = tmp_path / "faults.yaml"
    faults.write_text("faults: [{do: fill}]")
    rest = {"style": "maker_then_taker", "maker_then_taker": {"passive": "5m", "total": "10m", "min_reprice": "5m", "adverse_bps": 1000}}
    strategy = {"name": "held", "use": "fixed_weights", "schedule": {"every": "24h", "at_start": True}, "params": {"weights": {BTC: 0.3}}}
    options = ("--market", "swap", "--markets", "4", "--interval", "1s", "--faults", str(faults))
    with Venue(*options, folder=tmp_path, within=90) as venue:
        config = swaps(tmp_path, venue, (BTC, ETH), strategy, rest, dead_mans_switch="10s")
        with Daemon(config) as daemon:
            daemon.wait("switch.begun", within=90)
            daemon.kill()
            died = monotonic()
        assert [order["status"] for order in venue.state()["orders"]] == ["NEW"]
        while any(order["status"] == "NEW" for order in venue.state()["orders"]):
            assert monotonic() - died < 40, "ten seconds, and what a loaded machine makes of them"
            sleep(0.2)
        assert monotonic() - died > 5, "not before it was over"
        assert [order["status"] for order in venue.state()["orders"]] == ["CANCELED"]
        with Daemon(config) as daemon:
            told = daemon.wait("switch.begun", within=90)
            daemon.stop()
            assert told["symbol"] == BTC
            assert daemon.count("switch.ended") == 1
        assert {order["status"] for order in venue.state()["orders"]} == {"CANCELED"}
        assert venue.state()["violations"] == []
