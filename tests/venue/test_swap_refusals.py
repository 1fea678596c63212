"""What the venue of swaps refuses, in Binance's codes and words, and what it plays of recorded swaps."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from daemon.venue.admin import dump
from daemon.venue.errors import VenueError
from daemon.venue.params import Params
from daemon.venue.swap.audit import audit
from daemon.venue.swap.endpoints import SWAP, TABLE
from tests.venue.wire import START, SwapDesk

D = Decimal
NOW = int(START * 1000)
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
LIMIT = ORDER | {"type": "LIMIT", "timeInForce": "GTC", "price": "60000"}
BAD_ORDERS: list[tuple[dict[str, str | None], int]] = [
    ({"symbol": "NOPEUSDT"}, -1121),
    ({"symbol": "btc/usdt"}, -1100),
    ({"symbol": None}, -1102),
    ({"side": "HOLD"}, -1117),
    ({"type": "LIMIT_MAKER"}, -1116),
    ({"type": "STOP_MARKET"}, -4120),
    ({"quantity": None}, -1102),
    ({"quantity": "0"}, -4003),
    ({"quantity": "99999"}, -4005),
    ({"quantity": "0.000011"}, -1111),
    ({"quantity": "0.123456789"}, -1111),
    ({"quantity": "0.00005"}, -4164),
    ({"quantity": "35"}, -2019),
    ({"quantity": "35", "side": "SELL"}, -2019),
    ({"reduceOnly": "true"}, -2022),
    ({"reduceOnly": "true", "side": "SELL"}, -2022),
    ({"positionSide": "LONG"}, -4061),
    ({"price": "60000"}, -1106),
    ({"timeInForce": "GTC"}, -1106),
    ({"newClientOrderId": "a b"}, -1100),
    ({"newClientOrderId": "x" * 37}, -1100),
    ({"newOrderRespType": "FULL"}, -1136),
]
BAD_LIMITS: list[tuple[dict[str, str | None], int]] = [
    ({"timeInForce": None}, -1102),
    ({"timeInForce": "GTD"}, -1115),
    ({"timeInForce": "GTX", "price": "64000"}, -5022),
    ({"timeInForce": "FOK"}, -5021),
    ({"price": None}, -1102),
    ({"price": "0"}, -4001),
    ({"price": "1000001"}, -4002),
    ({"price": "60000.001"}, -1111),
    ({"price": "99000"}, -4016),
    ({"price": "30000", "side": "SELL"}, -4024),
    ({"quantity": "40"}, -2019),
]


def refusal(desk: SwapDesk, method: str, path: str, params: dict[str, Any]) -> int:
    """The code of a refused request, of which nothing may be left in the books."""
    with pytest.raises(VenueError) as caught:
        desk.call(method, path, **{name: value for name, value in params.items() if value is not None})
    assert not any(desk.exchange.matching.orders.values())
    assert desk.exchange.margin.incomes == []
    return caught.value.code


@pytest.mark.parametrize(("change", "code"), BAD_ORDERS)
def test_bad_market_order(change: dict[str, str | None], code: int) -> None:
    """A market order with one thing wrong is refused for that and leaves no trace."""
    assert refusal(SwapDesk(), "POST", "v1/order", {**ORDER, **change}) == code


@pytest.mark.parametrize(("change", "code"), BAD_LIMITS)
def test_bad_limit_order(change: dict[str, str | None], code: int) -> None:
    """A limit order with one thing wrong is refused for that and leaves no trace."""
    assert refusal(SwapDesk(), "POST", "v1/order", {**LIMIT, **change}) == code


@pytest.mark.parametrize(
    ("method", "path", "params", "code"),
    [
        ("GET", "v1/order", {"symbol": "BTCUSDT", "origClientOrderId": "never"}, -2013),
        ("GET", "v1/openOrder", {"symbol": "BTCUSDT", "origClientOrderId": "never"}, -2013),
        ("DELETE", "v1/order", {"symbol": "BTCUSDT", "origClientOrderId": "never"}, -2011),
        ("GET", "v1/klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("GET", "v1/markPriceKlines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("GET", "v1/premiumIndex", {"symbol": "NOPE"}, -1121),
        ("GET", "v1/userTrades", {"symbol": "BTCUSDT", "startTime": "1", "endTime": "604800002"}, -1127),
        ("POST", "v1/leverage", {"symbol": "BTCUSDT", "leverage": "126"}, -4028),
        ("POST", "v1/leverage", {"symbol": "BTCUSDT", "leverage": "0"}, -4028),
        ("POST", "v1/marginType", {"symbol": "BTCUSDT", "marginType": "CROSSED"}, -4046),
        ("POST", "v1/marginType", {"symbol": "BTCUSDT", "marginType": "OTHER"}, -4049),
        ("POST", "v1/positionSide/dual", {"dualSidePosition": "false"}, -4059),
        ("PUT", "v1/listenKey", {}, -1125),
    ],
)
def test_bad_question(method: str, path: str, params: dict[str, Any], code: int) -> None:
    """A question about what is not there, or a setting that cannot be, has Binance's code."""
    assert refusal(SwapDesk(), method, path, params) == code


def test_settings_stay_while_something_is_open() -> None:
    """Margin type and position mode are not changed while anything is open, nor isolated leverage lowered."""
    desk = SwapDesk()

    def code(method: str, path: str, **params: Any) -> int:
        with pytest.raises(VenueError) as caught:
            desk.call(method, path, **params)
        return caught.value.code

    desk.call("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    desk.call("POST", "v1/order", **LIMIT, newClientOrderId="rest")
    assert code("POST", "v1/order", **LIMIT, newClientOrderId="rest") == -4116
    assert code("POST", "v1/marginType", symbol="BTCUSDT", marginType="CROSSED") == -4047
    assert code("POST", "v1/positionSide/dual", dualSidePosition="true") == -4067
    desk.call("DELETE", "v1/order", symbol="BTCUSDT", origClientOrderId="rest")
    desk.order("BUY", "0.1")
    assert code("POST", "v1/marginType", symbol="BTCUSDT", marginType="CROSSED") == -4048
    assert code("POST", "v1/positionSide/dual", dualSidePosition="true") == -4068
    assert code("POST", "v1/leverage", symbol="BTCUSDT", leverage=10) == -4161
    desk.order("BUY", "500", symbol="ETHUSDT")
    assert code("POST", "v1/leverage", symbol="ETHUSDT", leverage=6) == -2028
    desk.fault("market", symbol="SOL/USDT", halted=True)
    assert code("POST", "v1/order", symbol="SOLUSDT", side="BUY", type="MARKET", quantity="1") == -4141
    entries = {each["symbol"]: each["status"] for each in desk.call("GET", "v1/exchangeInfo")["symbols"]}
    assert (entries["SOLUSDT"], entries["BTCUSDT"]) == ("CLOSE", "TRADING")


def test_every_end_point_has_a_name_and_knows_its_parameters() -> None:
    """No path is listed twice, each has a name for faults, and a parameter that nobody would read is refused."""
    assert len(SWAP.rest) == len(TABLE) == len(SWAP.name_of)
    for endpoint in SWAP.rest.values():
        with pytest.raises(VenueError):
            endpoint.check_names(Params({"nonsense": "1"}))


def test_an_acknowledgement_says_what_was_taken() -> None:
    """Without a wish for the result a new order is told as NEW, whatever has become of it."""
    desk = SwapDesk()
    answer = desk.order("BUY", "0.1", newOrderRespType="ACK")
    assert (answer["status"], D(answer["executedQty"])) == ("NEW", D(0))
    assert desk.call("GET", "v1/order", symbol="BTCUSDT", orderId=answer["orderId"])["status"] == "FILLED"


# --- what is recorded ------------------------------------------------------------------------------------------------

HOUR = 3_600_000


def record(folder: Path) -> None:
    """Twelve hours of a market that rises by 10 an hour; the mark price lies 1 above, and funding is settled at 0, 4 and 8 h."""
    times = np.arange(12, dtype=np.int64) * HOUR
    opens = 1000.0 + 10 * np.arange(12)
    prices = {"open": opens, "high": opens + 10, "low": opens, "close": opens + 10}
    parquet.write_table(pa.table({"timestamp": times, **prices, "volume": np.full(12, 5.0)}), folder / "AAA_USDT_USDT-1h.parquet")
    parquet.write_table(pa.table({"timestamp": times} | {n: v + 1 for n, v in prices.items()}), folder / "AAA_USDT_USDT-1h-mark.parquet")
    rates = {"timestamp": times[[0, 4, 8]], "funding_rate": [0.0001, 0.0002, -0.0003]}
    parquet.write_table(pa.table(rates), folder / "AAA_USDT_USDT-funding.parquet")


def test_recorded_marks_and_funding_are_played_with_their_trades(tmp_path: Path) -> None:
    """A rate is settled when the row of its time opens, at the recorded mark price, forwards and on the way back."""
    record(tmp_path)
    desk = SwapDesk(data=tmp_path, history=2, markets=2)
    market = desk.exchange.market("AAAUSDT")
    assert desk.exchange.marks.price(market, NOW) == 1021
    desk.order("BUY", "1", symbol="AAAUSDT")
    for _ in range(21):
        desk.pass_time(1)
    paid = [(each.at - NOW, each.amount) for each in desk.exchange.margin.incomes if each.kind == "FUNDING_FEE"]
    # Row 2 is live at the start; row 12 is row 11 played backwards, so that row 8 comes again as 15, 4 as 19 and 0 as 23.
    assert paid == [
        (2_000, D("-0.2082")),  # 1041 x 0.0002
        (6_000, D("0.3243")),  # 1081 x -0.0003
        (13_000, D("0.3273")),  # opened at its close, 1091
        (17_000, D("-0.2102")),
        (21_000, D("-0.1011")),
    ]
    said = desk.call("GET", "v1/fundingRate", symbol="AAAUSDT", startTime=NOW)
    assert [each["fundingTime"] - NOW for each in said] == [at for at, _ in paid]
    bars = desk.call("GET", "v1/markPriceKlines", symbol="AAAUSDT", interval="1s", endTime=NOW - 1)
    assert [float(bar[1]) for bar in bars] == [1001, 1011]
    assert audit(desk.exchange) == []


def test_a_dump_of_swaps_replays(tmp_path: Path) -> None:
    """A venue that plays a dump has the same trades, mark prices and rates as the venue that wrote it."""
    desk = SwapDesk(history=20, markets=2, funding="1m")
    desk.clock.move(200)
    names = [path.name for path in dump(desk.exchange, tmp_path, desk.exchange.markets[:1])]
    assert names == [f"BTC_USDT_USDT-{kind}.parquet" for kind in ("1s", "1s-mark", "funding")]
    again = SwapDesk(data=tmp_path, timeframe="1s", history=20, markets=1)
    again.clock.move(199)
    for played, first in ((again.exchange.tape, desk.exchange.tape), (again.exchange.marks.tape, desk.exchange.marks.tape)):
        assert played.table(0, 0, 219).tolist() == first.table(0, 0, 219).tolist()
    settled = desk.exchange.funding.between(0, NOW - 20_001, NOW + 199_000)
    assert len(settled) >= 3
    assert again.exchange.funding.between(0, NOW - 20_001, NOW + 199_000) == settled


@pytest.mark.skipif("REBALANCED_DATA" not in os.environ, reason="REBALANCED_DATA is not set: no recorded market data to replay")
def test_recorded_swaps_trade_through_a_crash() -> None:
    """BTC and ETH held against each other over two months of recorded hours pay the recorded rates at the recorded mark prices."""
    folder = Path(os.environ["REBALANCED_DATA"])
    desk = SwapDesk(data=folder, history=8, markets=2)
    desk.order("BUY", "0.5")
    desk.order("SELL", "8", symbol="ETHUSDT")
    for _ in range(1440):
        desk.pass_time(1)
    for symbol, amount in (("BTCUSDT", D("0.5")), ("ETHUSDT", D(-8))):
        name = f"{symbol.removesuffix('USDT')}_USDT_USDT"
        rates = parquet.read_table(folder / "swap" / f"{name}-funding.parquet").to_pylist()
        marks = parquet.read_table(folder / "swap" / f"{name}-1h-mark.parquet").to_pylist()
        opened = {row["timestamp"]: row["open"] for row in marks}
        due = [each for each in rates if marks[8]["timestamp"] < each["timestamp"] <= marks[1448]["timestamp"]]
        paid = [each.amount for each in desk.exchange.margin.incomes if (each.kind, each.symbol) == ("FUNDING_FEE", symbol)]
        plain = [-float(amount) * opened[each["timestamp"]] * each["funding_rate"] for each in due]
        assert len(paid) == len(plain) == 180
        assert [float(each) for each in paid] == pytest.approx(plain, abs=1e-8)
    assert audit(desk.exchange) == []
