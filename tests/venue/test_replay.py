"""Recorded market data, played one row a bar. The directory comes from REBALANCED_DATA."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyarrow import parquet

from daemon.venue.audit import audit
from daemon.venue.money import floor_to
from tests.venue.wire import START, Desk, Floor

NOW = int(START * 1000)
FOLDER = Path(os.environ.get("REBALANCED_DATA", ""))
recorded = pytest.mark.skipif("REBALANCED_DATA" not in os.environ, reason="REBALANCED_DATA is not set: no recorded market data to replay")


def stored(name: str, first: int, count: int) -> list[list[float]]:
    table = parquet.read_table(FOLDER / f"{name}-1h.parquet", columns=["open", "high", "low", "close", "volume"])
    return [list(row.values()) for row in table.slice(first, count).to_pylist()]


@recorded
async def test_stored_rows_are_served_as_they_are() -> None:
    """Row n of a file is the n-th bar, value for value: a thousand before now, the others as time passes, streamed and by REST."""
    async with Floor(data=FOLDER) as floor, floor.wire.stream("btcusdt@kline_1s", "compusdt@kline_1s") as listener:
        for _ in range(5):
            floor.pass_time(1)
        said = [(await listener.next())["data"]["k"] for _ in range(10)]
        for symbol, name in (("BTCUSDT", "BTC_USDT"), ("COMPUSDT", "COMP_USDT")):
            live = [[float(k[field]) for field in "ohlcv"] for k in said if k["s"] == symbol]
            assert live == stored(name, 1000, 5)
            _, bars, _ = await floor.wire.get("/api/v3/klines", symbol=symbol, interval="1s", endTime=NOW - 1, limit=1000)
            assert [[float(value) for value in bar[1:6]] for bar in bars] == stored(name, 0, 1000)


@recorded
def test_every_recorded_price_is_tradable() -> None:
    """The markets are the files', and their price grids hold every stored price."""
    desk = Desk(data=FOLDER, markets=20)
    assert len(desk.exchange.markets) == 20
    names = {market.symbol for market in desk.exchange.markets}
    assert {f"{path.stem.partition('_')[0]}USDT" for path in FOLDER.glob("*_USDT-1h.parquet")} <= names
    for path in FOLDER.glob("*_USDT-1h.parquet"):
        market = desk.exchange.market(f"{path.stem.partition('_')[0]}USDT")
        closes = parquet.read_table(path, columns=["close"]).column("close").to_pylist()[::97]
        assert all(float(market.exact(close)) == close for close in closes)
        assert market.price_decimals + market.amount_decimals <= 8


@recorded
def test_twelve_markets_trade_through_a_crash() -> None:
    """Orders in each market over thousands of bars, the crash of May 2021 among them, leave books that agree."""
    desk = Desk(data=FOLDER, partial=0.3)
    for number in range(480):
        market = desk.exchange.markets[number % 12]
        last = desk.exchange.last(market)
        held = desk.exchange.account.of(market.base).free
        if number // 12 % 3 < 2:
            desk.order("BUY", (900 / last).quantize(market.step), symbol=market.symbol)
        else:
            desk.limit("SELL", floor_to(held / 2, market.step), (last * 101 / 100).quantize(market.tick), market.symbol)
        desk.clock.move(1.3)
        desk.exchange.matching.advance_all(desk.exchange.now())
    trades = [trade for trades in desk.exchange.matching.trades.values() for trade in trades]
    assert len([trade for trade in trades if trade.maker]) > 60
    assert audit(desk.exchange) == []
