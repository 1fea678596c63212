"""Orders, fills and money, without sockets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.venue.audit import audit
from daemon.venue.errors import VenueError
from daemon.venue.money import ZERO
from tests.venue.wire import Desk

D = Decimal


def last(desk: Desk, symbol: str = "BTCUSDT") -> Decimal:
    return desk.exchange.last(desk.exchange.market(symbol))


def free(desk: Desk, asset: str) -> Decimal:
    return desk.exchange.account.of(asset).free


def test_market_order_pays_the_spread() -> None:
    """A market buy fills at the ask and a sell at the bid, one basis point from the last price each."""
    desk = Desk()
    price = last(desk)
    bought = D(desk.order("BUY", "0.1")["fills"][0]["price"])
    sold = D(desk.order("SELL", "0.05")["fills"][0]["price"])
    assert sold < price < bought
    assert bought / sold - 1 == pytest.approx(D("0.0002"), rel=D("0.01"))


def test_large_market_order_walks_the_book() -> None:
    """An order larger than a level fills in several trades at ever worse prices."""
    desk = Desk(depth_notional=D(1000))
    fills = desk.order("BUY", "0.1")["fills"]
    prices = [D(fill["price"]) for fill in fills]
    assert len(prices) == 7
    assert prices == sorted(set(prices))
    assert sum(D(fill["qty"]) for fill in fills) == D("0.1")
    assert audit(desk.exchange) == []


def test_market_order_beyond_the_book_expires_with_what_it_got() -> None:
    """What the whole book cannot fill is given back, and the order ends EXPIRED: by amount as by quote."""
    desk = Desk(depth_notional=D(1000), depth_levels=3)
    by_amount = desk.order("BUY", "0.1")
    by_quote = desk.call("POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="5000")
    assert [order["status"] for order in (by_amount, by_quote)] == ["EXPIRED", "EXPIRED"]
    assert D(by_amount["executedQty"]) < D("0.1")
    assert 2900 < D(by_quote["cummulativeQuoteQty"]) < 3000
    assert audit(desk.exchange) == []


def test_market_order_by_quote_spends_no_more() -> None:
    """An order by quote amount is filled to the last lot that its money buys."""
    desk = Desk()
    order = desk.call("POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="1000")
    assert order["status"] == "FILLED"
    assert 999 < D(order["cummulativeQuoteQty"]) <= 1000
    assert free(desk, "USDT") == 100_000 - D(order["cummulativeQuoteQty"])


def test_fee_is_taken_from_what_is_received() -> None:
    """A buy pays its fee in base, a sell in quote, at the rate, cut to eight decimals."""
    desk = Desk(fee=D("0.00075"))
    bought = desk.order("BUY", "0.12345")["fills"][0]
    assert (D(bought["commission"]), bought["commissionAsset"]) == (D("0.00009258"), "BTC")
    assert free(desk, "BTC") == D("0.12345") - D("0.00009258")
    sold = desk.order("SELL", "0.1")["fills"][0]
    assert sold["commissionAsset"] == "USDT"
    assert D(sold["commission"]) == (D(sold["price"]) * D("0.1") * D("0.00075")).quantize(D("0.00000001"), "ROUND_DOWN")


def test_resting_order_fills_at_its_price_when_the_market_comes() -> None:
    """A limit rests with its money locked and fills as maker at its own price once the tape has crossed it."""
    desk = Desk(maker_fee=D("0.0005"))
    price = (last(desk) * D("0.998")).quantize(D("0.01"))
    order = desk.limit("BUY", "0.01", price, newClientOrderId="rest")
    assert order["status"] == "NEW"
    assert desk.exchange.account.of("USDT").locked == price * D("0.01")
    for _ in range(600):
        desk.clock.move(0.5)
        found = desk.call("GET", "order", symbol="BTCUSDT", origClientOrderId="rest")
        if found["status"] != "NEW":
            break
    trade = desk.call("GET", "myTrades", symbol="BTCUSDT")[0]
    assert found["status"] == "FILLED"
    assert (D(trade["price"]), trade["isMaker"], D(trade["commission"])) == (price, True, D("0.000005"))
    assert desk.exchange.account.of("USDT").locked == 0
    assert audit(desk.exchange) == []


def test_marketable_limit_takes_the_book_up_to_its_price() -> None:
    """A limit through the market fills at the book's prices, never beyond its own, and rests with the remainder."""
    desk = Desk(depth_notional=D(1000))
    limit = (last(desk) * D("1.0003")).quantize(D("0.01"))
    order = desk.limit("BUY", "0.5", limit)
    assert order["status"] == "PARTIALLY_FILLED"
    assert all(D(fill["price"]) <= limit for fill in order["fills"])
    assert desk.exchange.account.of("USDT").locked == limit * (D("0.5") - D(order["executedQty"]))


def test_immediate_or_cancel_and_fill_or_kill() -> None:
    """IOC keeps what it got and ends; FOK gets all or nothing."""
    desk = Desk(depth_notional=D(1000))
    limit = (last(desk) * D("1.0003")).quantize(D("0.01"))
    partly = desk.limit("BUY", "0.5", limit, life="IOC")
    nothing = desk.limit("BUY", "0.5", limit, life="FOK")
    whole = desk.limit("BUY", "0.02", limit, life="FOK")
    assert [order["status"] for order in (partly, nothing, whole)] == ["EXPIRED", "EXPIRED", "FILLED"]
    assert 0 < D(partly["executedQty"]) < D("0.5")
    assert D(nothing["executedQty"]) == 0
    assert desk.exchange.account.of("USDT").locked == 0


def test_post_only_order_never_takes() -> None:
    """LIMIT_MAKER is refused where it would trade at once, and rests elsewhere."""
    desk = Desk()
    price = last(desk)
    with pytest.raises(VenueError, match="immediately match"):
        desk.order("BUY", "0.01", "LIMIT_MAKER", price=(price * D("1.01")).quantize(D("0.01")))
    resting = desk.order("BUY", "0.01", "LIMIT_MAKER", price=(price * D("0.9")).quantize(D("0.01")), newOrderRespType="RESULT")
    assert resting["status"] == "NEW"


def test_client_id_is_free_again_once_its_order_has_ended() -> None:
    """As at Binance: an open order's id is refused, a filled one's is accepted, and the books remember that it was used twice."""
    desk = Desk()
    price = (last(desk) * D("0.5")).quantize(D("0.01"))
    desk.limit("BUY", "0.01", price, newClientOrderId="twin")
    with pytest.raises(VenueError, match="Duplicate order sent"):
        desk.order("BUY", "0.01", newClientOrderId="twin")
    desk.call("DELETE", "order", symbol="BTCUSDT", origClientOrderId="twin")
    newer = desk.order("BUY", "0.01", newClientOrderId="twin")
    assert desk.call("GET", "order", symbol="BTCUSDT", origClientOrderId="twin")["orderId"] == newer["orderId"]
    assert audit(desk.exchange) == ["client id twin was used 2 times"]


def test_fills_in_two_parts_when_the_dice_say_so() -> None:
    """With partial fills on, a taking order makes two trades and a resting one fills at two times, each reported."""
    desk = Desk(partial=1.0)
    assert len(desk.order("BUY", "0.1")["fills"]) == 2
    price = (last(desk) * D("0.9995")).quantize(D("0.01"))
    desk.limit("BUY", "0.03", price, newClientOrderId="parts")
    for _ in range(2000):
        desk.clock.move(0.25)
        desk.exchange.matching.advance_all(desk.exchange.now())
        if not desk.exchange.matching.open:
            break
    reports = [event for event in desk.events if event["e"] == "executionReport" and event["c"] == "parts"]
    assert [event["X"] for event in reports] == ["NEW", "PARTIALLY_FILLED", "FILLED"]
    assert [D(event["l"]) for event in reports] == [0, D("0.015"), D("0.015")]
    assert reports[1]["E"] < reports[2]["E"]
    assert audit(desk.exchange) == []


def test_ids_count_within_a_market() -> None:
    """Order and trade ids are only unique within a market, as at Binance, and begin where they are told to."""
    desk = Desk(first_id=500)
    orders = [desk.order("BUY", amount, symbol=symbol) for symbol, amount in (("BTCUSDT", "0.1"), ("ETHUSDT", "1"), ("BTCUSDT", "0.1"))]
    assert [(order["orderId"], order["fills"][0]["tradeId"]) for order in orders] == [(500, 500), (500, 500), (501, 501)]


def test_every_change_of_money_is_told() -> None:
    """The last outboundAccountPosition of each asset is the balance that REST states."""
    desk = Desk()
    desk.order("BUY", "0.2")
    desk.limit("SELL", "0.1", (last(desk) * 2).quantize(D("0.01")), newClientOrderId="far")
    desk.exchange.transfer("USDT", D("-250.5"))
    desk.call("DELETE", "order", symbol="BTCUSDT", origClientOrderId="far")
    told = {b["a"]: (b["f"], b["l"]) for event in desk.events if event["e"] == "outboundAccountPosition" for b in event["B"]}
    stated = {b["asset"]: (b["free"], b["locked"]) for b in desk.call("GET", "account", omitZeroBalances="true")["balances"]}
    assert told == stated
    assert [event["d"] for event in desk.events if event["e"] == "balanceUpdate"] == ["-250.50000000"]


ACTIONS = st.one_of(
    st.tuples(st.just("market"), st.sampled_from(["BUY", "SELL"]), st.integers(1, 30_000), st.integers(0, 2)),
    st.tuples(st.just("quote"), st.sampled_from(["BUY", "SELL"]), st.integers(5, 60_000), st.integers(0, 2)),
    st.tuples(st.sampled_from(["GTC", "IOC", "FOK"]), st.sampled_from(["BUY", "SELL"]), st.integers(1, 30_000), st.integers(-40, 40)),
    st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0), st.just(0)),
    st.tuples(st.just("move"), st.integers(1, 40), st.just(0), st.just(0)),
    st.tuples(st.just("transfer"), st.integers(-3000, 3000), st.just(0), st.just(0)),
)


def act(desk: Desk, number: int, action: tuple[Any, ...]) -> None:
    """Do one thing; a refusal is fine and must change nothing."""
    what, side, size, extra = action
    symbol = desk.exchange.markets[abs(int(extra)) % 3].symbol
    market = desk.exchange.market(symbol)
    amount = str(size * market.step * 10)
    match what:
        case "market":
            desk.order(side, amount, symbol=symbol, newClientOrderId=f"m{number}")
        case "quote":
            desk.call("POST", "order", symbol=symbol, side=side, type="MARKET", quoteOrderQty=size, newClientOrderId=f"q{number}")
        case "GTC" | "IOC" | "FOK":
            price = (last(desk, symbol) * (1 + D(extra) / 2000)).quantize(market.tick)
            desk.limit(side, amount, price, symbol, life=what, newClientOrderId=f"l{number}")
        case "cancel":
            waiting = [order for orders in desk.exchange.matching.open.values() for order in orders]
            if waiting:
                order = waiting[int(side) % len(waiting)]
                desk.call("DELETE", "order", symbol=order.market.symbol, orderId=order.id)
        case "move":
            desk.clock.move(int(side) / 4)
        case "transfer":
            desk.exchange.transfer("USDT", D(side))


@settings(max_examples=60, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=40), partial=st.sampled_from([0.0, 0.5]), depth=st.sampled_from([2_000, 25_000]))
def test_money_is_conserved_whatever_is_done(actions: list[tuple[Any, ...]], partial: float, depth: int) -> None:
    """After any orders, cancels, transfers and passing of time the books agree to the last digit and nothing is negative."""
    desk = Desk(partial=partial, depth_notional=D(depth), balance={"USDT": D(30_000), "BTC": D(1), "ETH": D(5)})
    for number, action in enumerate(actions):
        before = {asset: (b.free, b.locked) for asset, b in desk.exchange.account.balances.items()}
        sent = len(desk.events)
        try:
            act(desk, number, action)
        except VenueError:
            told = [event for event in desk.events[sent:] if event["e"] == "executionReport" and event["x"] == "NEW"]
            after = {asset: (b.free, b.locked) for asset, b in desk.exchange.account.balances.items()}
            assert not told
            assert len(desk.events) > sent or {a: b for a, b in after.items() if b != (ZERO, ZERO)} == {
                a: b for a, b in before.items() if b != (ZERO, ZERO)
            }
        assert audit(desk.exchange) == []
