"""The venue's own end points: dump, bars, deposits, halts, and the audit that judges."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from daemon.venue import VenueSettings
from daemon.venue.admin import dump
from daemon.venue.audit import audit
from daemon.venue.exchange import Exchange
from tests.venue.wire import START, Desk, Floor, HandClock

NOW = int(START * 1000)
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1", "newClientOrderId": "one"}


async def test_state_is_the_whole_truth() -> None:
    """The dump has balances, orders, trades, transfers and counts, and agrees with itself."""
    async with Floor() as floor:
        await floor.wire.signed("POST", "/api/v3/order", **ORDER)
        await floor.wire.post("/venue/deposit", asset="ETH", amount="2")
        state = (await floor.wire.get("/venue/state"))[1]
        assert state["initial"] == {"USDT": "100000.00000000"}
        assert state["balances"]["ETH"] == {"free": "2.00000000", "locked": "0.00000000"}
        assert [order["clientOrderId"] for order in state["orders"]] == ["one"]
        assert sum(Decimal(trade["qty"]) for trade in state["trades"]) == Decimal("0.1")
        assert state["transfers"] == [{"asset": "ETH", "amount": "2.00000000", "at": NOW}]
        assert state["requests"] == {"POST /api/v3/order": 1}
        assert state["violations"] == []


async def test_a_withdrawal_cannot_take_what_is_not_there() -> None:
    """More than is free is refused and nothing moves."""
    async with Floor() as floor:
        answer = await floor.wire.post("/venue/deposit", asset="USDT", amount="-100000.01")
        assert answer["code"] == -2010
        assert floor.venue.state()["transfers"] == []


async def test_served_bars_can_be_read_and_dumped(tmp_path: Path) -> None:
    """Bars and dump hold history and closed live bars, the forming one left out; the dump has the market data format."""
    async with Floor(history=50) as floor:
        floor.pass_time(10.4)
        bars = (await floor.wire.get("/venue/bars", symbol="BTCUSDT", interval="1s"))[1]
        assert bars["live_from"] == NOW
        assert [bar[0] for bar in bars["bars"]] == list(range(NOW - 50_000, NOW + 10_000, 1000))
        await floor.wire.get("/api/v3/klines", symbol="ETHUSDT", interval="1s")
        answer = await floor.wire.post("/venue/dump", dir=str(tmp_path / "new"))
        assert [Path(name).name for name in answer["files"]] == ["ETH_USDT-1s.parquet"]
        await floor.wire.post("/venue/dump", dir=str(tmp_path), symbols=["BTCUSDT"])
        table = parquet.read_table(tmp_path / "BTC_USDT-1s.parquet")
        assert table.schema.names == ["timestamp", "open", "high", "low", "close", "volume"]
        assert np.column_stack([column.to_numpy() for column in table.columns]).tolist() == bars["bars"]


def test_a_dump_replays(tmp_path: Path) -> None:
    """A venue that plays a dump serves the bars that were dumped."""
    desk = Desk(history=20, markets=3)
    desk.clock.move(30)
    dump(desk.exchange, tmp_path, desk.exchange.markets)
    again = Desk(history=50, data=tmp_path, markets=3)
    for market in again.exchange.markets:
        first = desk.exchange.tape.table(desk.exchange.market(market.symbol).index, 0, 50)
        assert again.exchange.tape.table(market.index, 0, 50).tolist() == first.tolist()


async def test_bad_questions_are_answered() -> None:
    """A bad question to the venue's own end points is answered, not crashed on."""
    async with Floor() as floor:
        assert (await floor.wire.get("/venue/bars", symbol="NOPE"))[1]["code"] == -1121
        assert (await floor.wire.get("/venue/bars"))[0] == 400
        assert (await floor.wire.post("/venue/deposit", asset="USDT", amount="much"))["code"] == -1
        assert (await floor.wire.post("/venue/targets", NOPE="1"))["code"] == -1121


def test_the_audit_sees_every_kind_of_error() -> None:
    """Money from nowhere, a wrong lock, a fill without a trade and a client id used twice are each named."""
    desk = Desk()
    desk.order("BUY", "0.1", newClientOrderId="twice")
    desk.order("SELL", "0.05", newClientOrderId="twice")
    desk.exchange.account.of("BTC").free += 1
    desk.exchange.account.of("USDT").locked += 3
    desk.exchange.account.of("ETH").free -= 2
    desk.exchange.matching.orders["BTCUSDT"][0].executed += 1
    found = " ".join(audit(desk.exchange))
    for words in ("BTC is", "USDT has 3 locked", "ETH is negative", "order BTCUSDT 1 says", "client id twice was used 2 times"):
        assert words in found


def test_a_clock_that_steps_back_is_held() -> None:
    """The venue's time never runs backwards, whatever its clock does."""
    clock = HandClock()
    exchange = Exchange(VenueSettings(), clock)
    clock.move(-5)
    assert exchange.now() == NOW
    clock.move(6)
    assert exchange.now() == NOW + 1000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"interval": "7s"}, "interval '7s' is not one of"),
        ({"markets": 0}, "markets must be at least 1"),
        ({"partial": 2.0}, "partial is a probability"),
        ({"history": -1}, "must not be negative"),
        ({"balance": {"USDT": Decimal(-1)}}, "balance must not be negative"),
        ({"data": Path("/nowhere")}, "no BASE_QUOTE-TIMEFRAME.parquet in /nowhere"),
    ],
)
def test_settings_that_could_not_run_are_refused(change: dict[str, Any], words: str) -> None:
    """Each impossible setting is one sentence."""
    with pytest.raises(ValueError, match=words):
        Exchange(VenueSettings(**change), HandClock())
