"""Numbers and times from outside: whatever stands where one should be, it is believed or the answer is called unreadable."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.model import epoch_ms
from daemon.io import ccxt_binance as binance
from daemon.io import ccxt_parse as parse
from daemon.io import ccxt_usdm as usdm
from daemon.io.ccxt_library import ccxt
from daemon.io.exchange import Unknown, Urgency, VenueError
from tests.io.ccxt_server import an_order, door, filled, said, serving

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
MS: Final = epoch_ms(NOW)
MINUTE: Final = timedelta(minutes=1)
Json = dict[str, Any]

junk = st.one_of(
    st.sampled_from([None, "", True, False, "NaN", "Infinity", "-Infinity", "1e400", "1e-400", "1e999999999", "0x10", "1_000", "²", "-0"]),
    st.sampled_from([MS // 1000, MS * 1000, MS * 1_000_000, -MS, str(MS * 1000), float(MS), 0, -1, 10**30, 10**4300, "9" * 5000]),
    st.sampled_from([[], {}, [[]], {"cost": "NaN"}, [["NaN", "1"]]]),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
)

TRADE: Final[Json] = {"id": "7", "side": "buy", "amount": "1", "price": "2", "cost": "2", "timestamp": MS, "order": "9", "fee": None}
ORDER: Final[Json] = {
    "id": "9",
    "side": "buy",
    "status": "open",
    "amount": "3",
    "filled": "1",
    "cost": "2",
    "timestamp": MS,
    "lastTradeTimestamp": MS,
    "trades": [TRADE],
}
MARKET: Final[Json] = {
    "symbol": "BTC/USDT",
    "base": "BTC",
    "quote": "USDT",
    "spot": True,
    "taker": "0.001",
    "precision": {"amount": "0.001", "price": "0.01"},
    "limits": {"amount": {"min": "0.001", "max": "9"}, "market": {"min": "0.001", "max": "9"}, "cost": {"min": "5", "max": "9"}},
}
_ORDER: Final[Json] = {"s": "BTCUSDT", "c": "r1", "i": 9, "S": "BUY", "X": "FILLED", "x": "TRADE", "q": "1", "z": "1", "T": MS}
_TRADE: Final[Json] = {"l": "1", "L": "2", "n": "0.1", "N": "USDT", "t": 7}
SPOT_NEWS: Final[Json] = _ORDER | _TRADE | {"e": "executionReport", "Z": "2", "O": MS, "Y": "2"}
SWAP_NEWS: Final[Json] = _ORDER | _TRADE | {"ap": "2", "rp": "0.5"}
WALLETS: Final[Json] = {
    "assets": [{"asset": "USDT", "walletBalance": "5", "openOrderInitialMargin": "1"}],
    "positions": [{"symbol": "BTCUSDT", "notional": "2", "unrealizedProfit": "1", "positionAmt": "1"}],
}
MARKED: Final = [{"symbol": "BTCUSDT", "markPrice": "5", "lastFundingRate": "0.0001", "nextFundingTime": 1_700_000_000_000}]
INCOME: Final[Json] = {"incomeType": "FUNDING_FEE", "asset": "USDT", "symbol": "BTCUSDT", "income": "1", "tranId": 5, "time": MS}

READERS: Final[Mapping[str, tuple[Any, Callable[[Any], Any]]]] = {
    "order": (ORDER, lambda raw: parse.report(raw, symbol="BTC/USDT", now=NOW, order_id="r1")),
    "trade": (TRADE, lambda raw: parse.fill(raw, symbol="BTC/USDT:USDT", order_id="r1")),
    "balances": (
        {"total": {"BTC": "3"}, "BTC": {"free": "1", "used": "2", "total": "3"}},
        parse.balances,
    ),
    "candle": ([MS, 1, 3, 1, 2, 5], lambda raw: parse.candle("BTC/USDT", raw, MINUTE, closed=True)),
    "ticker": ({"bid": "1", "ask": "2"}, lambda raw: parse.touch("BTC/USDT", raw, NOW)),
    "book": ({"bids": [["1", "1"]], "asks": [["2", "1"]]}, lambda raw: parse.touch("BTC/USDT", raw, NOW)),
    "market by ticks": (MARKET, lambda raw: parse.instrument(raw, ccxt.TICK_SIZE)),
    "market by places": (
        {**MARKET, "precision": {"amount": 3, "price": 2}},
        lambda raw: parse.instrument(raw, ccxt.DECIMAL_PLACES),
    ),
    "spot stream": (SPOT_NEWS, lambda raw: binance.execution(raw, "BTC/USDT")),
    "swap stream": (SWAP_NEWS, lambda raw: usdm.execution(raw, "BTC/USDT:USDT")),
    "wallets": (WALLETS, lambda raw: usdm.balances(raw, {})),
    "income": (INCOME, lambda raw: usdm._flow(raw, {}, {"USDT"})),
    "marks": (MARKED, lambda raw: usdm.mark_prices(raw, {"BTCUSDT": "BTC/USDT:USDT"}, {})),
    "settlement": ({"timestamp": MS, "fundingRate": "0.0001"}, parse.settlement),
    "intervals": ([{"symbol": "BTCUSDT", "fundingIntervalHours": 4}], lambda raw: usdm.settling(raw, {"BTCUSDT": "BTC/USDT:USDT"})),
}


def places(raw: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each place in an answer at which something stands."""
    pairs = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    for key, value in pairs:
        yield (*way, key)
        yield from places(value, (*way, key))


def with_one_else(raw: Any, way: tuple[Any, ...], value: Any) -> Any:
    """The same answer, but for what stands in one place."""
    if not way:
        return value
    key, *rest = way
    made = dict(raw) if isinstance(raw, dict) else list(raw)
    made[key] = with_one_else(raw[key], tuple(rest), value)
    return made


def believed(value: Any) -> bool:
    """Whether every number and time in what was read is one that the core can reckon with."""
    match value:
        case Decimal():
            return value.is_finite() and abs(value.adjusted()) <= 2 * parse.DIGITS_MAX
        case float():
            return isfinite(value)
        case datetime():
            return datetime(2000, 1, 1, tzinfo=UTC) <= value < datetime(2100, 2, 1, tzinfo=UTC)
        case dict():
            return all(believed(each) for each in value.values())
        case tuple() | list():
            return all(believed(each) for each in value)
        case _ if is_dataclass(value):
            return all(believed(getattr(value, field.name)) for field in fields(value))
        case _:
            return True


@pytest.mark.parametrize("what", READERS)
@given(st.data())
def test_what_cannot_be_believed_is_unreadable(what: str, data: st.DataObject) -> None:
    """Not a number, without end, of another unit or kind: nothing leaves the door but errors of its own, and sound values."""
    raw, read = READERS[what]
    way = data.draw(st.sampled_from(list(places(raw))))
    found: Any = None
    told = "it was read"
    try:
        found = read(with_one_else(raw, way, data.draw(junk)))
    except VenueError as error:
        told = error.text
    assert 0 < len(told) < 300
    assert believed(found), found


@pytest.mark.parametrize("what", READERS)
def test_a_sound_answer_is_read(what: str) -> None:
    """What the property above puts its junk into can be read as it is."""
    raw, read = READERS[what]
    assert read(raw) is not None


@pytest.mark.parametrize(("c", "original", "ours"), [("r1", "", "r1"), ("r1", "null", "r1"), ("r1", None, "r1"), ("x7", "r1", "r1")])
def test_an_order_on_the_stream_is_called_by_its_own_id(c: str, original: str | None, ours: str) -> None:
    """The id of a cancel request is not the order's; where there was none, the field is empty, null, or null in letters."""
    report = binance.execution({**SPOT_NEWS, "c": c, "C": original}, "BTC/USDT")
    assert (report.order_id, report.fills[0].order_id) == (ours, ours)


@pytest.mark.parametrize("stamp", [MS // 1000, MS * 1000, MS * 1_000_000, -MS, True, float("nan"), "soon", 10**40])
def test_a_time_of_another_unit_is_named(stamp: object) -> None:
    """In seconds, micro- or nanoseconds, a time is not believed, and the sentence shows it."""
    with pytest.raises(Unknown, match="names the time") as caught:
        parse.moment(stamp)
    assert str(stamp)[:20] in caught.value.text


async def test_microseconds_are_unreadable_wherever_they_come() -> None:
    """Of the server's time, candles, an order and trades: Unknown with a sentence, never another error."""
    async with serving() as server, door(server.urls()) as exchange:
        await exchange.connect()
        late = MS * 1000
        order = filled("r1", "1", "2")
        server.answers["POST order"] = said(order | {"transactTime": late})
        server.answers["GET klines"] = said([[late, "1", "3", "1", "2", "5", late + 1, "1", 1, "1", "1", "0"]])
        server.answers["GET myTrades"] = said(
            [{"symbol": "BTCUSDT", "id": 1, "orderId": 2, "price": "1", "qty": "1", "quoteQty": "1", "time": late, "isBuyer": True}]
        )
        with pytest.raises(Unknown, match="names the time"):
            await exchange.submit(an_order(), Urgency.GROW)
        with pytest.raises(Unknown, match="names the time"):
            await exchange.bars("BTC/USDT", MINUTE)
        with pytest.raises(Unknown, match="names the time"):
            await exchange.trades("BTC/USDT", NOW)
        server.answers["GET time"] = said({"serverTime": late})
        with pytest.raises(Unknown, match="names the time"):
            await exchange.server_time()


@pytest.mark.parametrize("header", ["9" * 400, "²", "NaN", "-1", "1e400"])
async def test_headers_are_believed_no_further(header: str) -> None:
    """A count of weights or a pause that is none neither stops the gate for ever nor ends a request."""
    async with serving() as server, door(server.urls()) as exchange:
        await exchange.connect()
        account: Json = {"balances": [{"asset": "BTC", "free": "1", "locked": "0"}]}
        server.answers["GET account"] = said(account, headers={"x-mbx-used-weight-1m": header, "Retry-After": header})
        assert (await exchange.balances())["BTC"].free == 1
        assert exchange.usage().silent_s == 0
        assert all(isfinite(used) and used < 1 for used in exchange.usage().shares.values())
