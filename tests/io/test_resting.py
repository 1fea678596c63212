"""Touches and resting orders, over real ccxt on the embedded exchange and on a simulated account: the same words from both."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from daemon.core.events import PriceTicked
from daemon.core.model import Order, Side, Status
from daemon.core.styles import Touch
from daemon.io import ccxt_parse as parse
from daemon.io.exchange import Reason, Refused, Urgency
from daemon.io.paper_exchange import PaperExchange
from tests.io.ccxt_server import door
from tests.io.test_exchange_contract import BENCHES, SYMBOLS, Bench

BTC = SYMBOLS[0]
AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(params=list(BENCHES))
async def bench(request: pytest.FixtureRequest) -> Any:
    async with BENCHES[request.param]() as made:
        yield made


async def touch(bench: Bench) -> Touch:
    (read,) = await bench.exchange.touches([BTC])
    return read


async def resting(bench: Bench, order_id: str, side: Side, away: str) -> Order:
    """An order that rests so far (a fraction) behind the touch of its side; below 0: beyond the other side."""
    read, tick = await touch(bench), bench.instruments[BTC].price_tick
    price = (read.own(side) * (1 - side.sign * Decimal(away)) // tick) * tick
    return replace(await bench.order(order_id, side), limit=price, post_only=True)


async def test_the_touch_lies_about_the_last_price(bench: Bench) -> None:
    """One call has the best bid and ask of every symbol asked for, in order, uncrossed and on the grid."""
    read = await bench.exchange.touches(SYMBOLS)
    assert [each.symbol for each in read] == list(SYMBOLS)
    for each in read:
        assert each.bid < each.ask
        assert each.bid % bench.instruments[each.symbol].price_tick == 0
        assert abs(each.mid / await bench.price(each.symbol) - 1) < Decimal("0.05")
        assert datetime.now(UTC) >= each.at


async def test_an_order_rests_until_it_is_cancelled(bench: Bench) -> None:
    """Far behind the touch it is open, is listed, takes nothing, and its cancel gives its money back."""
    order = await resting(bench, "r1", Side.BUY, "0.2")
    report = await bench.exchange.submit(order, Urgency.GROW)
    assert (report.status, report.filled) == (Status.OPEN, Decimal(0))
    assert [each.order_id for each in await bench.exchange.open_orders(BTC)] == ["r1"]
    assert (await bench.exchange.balances())["USDT"].locked > 0
    await bench.exchange.cancel("r1", BTC)
    ended = await bench.exchange.order("r1", BTC)
    assert (ended.status, ended.filled) == (Status.CANCELED, Decimal(0))
    assert (await bench.exchange.balances())["USDT"].locked == 0


async def test_what_would_trade_at_once_is_refused_by_name(bench: Bench) -> None:
    """A resting order beyond the other side never takes: it is refused for certain, and leaves no trace."""
    if isinstance(bench.exchange, PaperExchange):
        bench.exchange.on_tick(PriceTicked(BTC, float(await bench.price(BTC)), datetime.now(UTC)))
    order = await resting(bench, "r1", Side.BUY, "-0.1")
    with pytest.raises(Refused) as refused:
        await bench.exchange.submit(order, Urgency.GROW)
    assert refused.value.reason is Reason.WOULD_CROSS
    assert await bench.exchange.open_orders(BTC) == ()


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ({"bid": "1.5", "ask": "1.6"}, ("1.5", "1.6")),
        ({"bids": [["1.5", "3"], ["1.4", "9"]], "asks": [["1.6", "1"]]}, ("1.5", "1.6")),
        ({"bids": [], "asks": [["1.6", "1"]]}, None),
        ({"bid": "1.6", "ask": "1.6"}, None),
        ({"bid": None, "ask": "1.6"}, None),
        ({"bid": "NaN", "ask": "1.6"}, None),
        (None, None),
    ],
)
def test_a_touch_is_read_from_tickers_and_books(raw: object, read: tuple[str, str] | None) -> None:
    """Whichever the venue offers; an empty, locked or unreadable one is none."""
    wanted = None if read is None else Touch(BTC, Decimal(read[0]), Decimal(read[1]), AT)
    assert parse.touch(BTC, raw, AT) == wanted


async def test_elsewhere_each_book_is_read() -> None:
    """A venue that is not known to take names is asked for the book of each symbol, and for nothing else."""
    async with door({}, exchange_id="kraken", sandbox=False) as exchange:
        asked: list[str] = []

        async def book(symbol: str) -> dict[str, object]:
            asked.append(symbol)
            return {"bids": [["1.5", "3"]], "asks": [["1.6", "1"]]}

        exchange._client.fetch_order_book = book  # type: ignore[attr-defined]
        read = await exchange.touches(SYMBOLS)
    assert asked == [each.symbol for each in read] == list(SYMBOLS)
