"""The futures account: positions, margin, reduce-only orders and liquidation."""

from __future__ import annotations

import contextlib
import itertools
import os
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.venue.errors import VenueError
from daemon.venue.swap.audit import audit
from daemon.venue.swap.positions import BRACKETS, Position, bracket, maintenance, notional_cap
from tests.venue.wire import START, SwapDesk

NOW = int(START * 1000)
CASES = int(os.environ.get("SWAP_BOOKS", "60"))
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
D = Decimal


# --- positions -------------------------------------------------------------------------------------------------------


def test_a_position_is_opened_reduced_and_turned() -> None:
    """A sale of three times what is held closes it, realises its profit and opens a short at the price of the sale."""
    position = Position()
    assert position.fill("BUY", D(100), D(2)) == 0
    assert position.fill("BUY", D(110), D(2)) == 0
    assert (position.amount, position.entry) == (D(4), D(105))
    assert position.fill("SELL", D(115), D(1)) == 10
    assert (position.amount, position.entry, position.unrealized(D(120))) == (D(3), D(105), D(45))
    assert position.fill("SELL", D(95), D(9)) == -30
    assert (position.amount, position.entry, position.unrealized(D(90))) == (-D(6), D(95), D(30))
    assert position.fill("BUY", D(90), D(6)) == 30
    assert (position.amount, position.cost, position.entry, position.realized) == (D(0), D(0), D(0), D(10))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10_000_000), st.integers(1, 10_000)), min_size=1, max_size=30))
@settings(max_examples=CASES, deadline=None)
def test_profits_sum_to_what_was_paid_and_received(fills: list[tuple[bool, int, int]]) -> None:
    """However a position is built and taken down, once it is closed its profits are exactly the difference of all sales and buys."""
    position, paid, realized = Position(), D(0), D(0)
    trades = [("BUY" if buy else "SELL", D(price).scaleb(-4), D(size).scaleb(-3)) for buy, price, size in fills]
    for side, price, size in trades:
        realized += position.fill("BUY" if side == "BUY" else "SELL", price, size)
        paid += price * size * (1 if side == "BUY" else -1)
        assert position.cost - realized == paid
        assert (position.amount > 0) == (position.cost > 0)
    if position.amount:
        last = D("77.7")
        left = abs(position.amount)
        paid += last * -position.amount
        realized += position.fill("SELL" if position.amount > 0 else "BUY", last, left)
    assert (position.amount, position.cost) == (D(0), D(0))
    assert realized == -paid


def test_brackets_join() -> None:
    """The maintenance margin does not jump from one bracket to the next, and a higher leverage holds less."""
    for lower, upper in itertools.pairwise(BRACKETS):
        assert lower.cap == upper.floor
        assert lower.cap * lower.rate - lower.less == upper.floor * upper.rate - upper.less
        assert lower.leverage > upper.leverage
        assert bracket(-lower.cap) is lower
    assert maintenance(D(-60_000)) == 300
    assert [notional_cap(leverage) for leverage in (125, 50, 20, 5, 1)] == [50_000, 500_000, 5_000_000, 100_000_000, 100_000_000]


# --- margin ----------------------------------------------------------------------------------------------------------


def test_available_is_what_orders_and_positions_leave() -> None:
    """Position and resting order take their initial margin at the market's leverage, a loss takes the rest, a cancel gives back."""
    desk = SwapDesk(volatility=0.0, fee=D(0))
    desk.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=10)
    desk.order("BUY", "1")
    price, cost = desk.mark(), desk.held().cost
    account = desk.call("GET", "v3/account")
    assert D(account["totalPositionInitialMargin"]) == price / 10
    assert D(account["availableBalance"]) == 100_000 + price - cost - price / 10
    desk.order("BUY", "1", "LIMIT", price=60_000, timeInForce="GTC", newClientOrderId="rest")
    account = desk.call("GET", "v3/account")
    assert D(account["totalOpenOrderInitialMargin"]) == 6000
    assert [each["symbol"] for each in account["positions"]] == ["BTCUSDT"]
    desk.order("SELL", "2", "LIMIT", price=63_000, timeInForce="GTC")
    assert D(desk.call("GET", "v3/account")["totalOpenOrderInitialMargin"]) == 6000
    desk.call("DELETE", "v1/allOpenOrders", symbol="BTCUSDT")
    assert D(desk.call("GET", "v3/account")["totalOpenOrderInitialMargin"]) == 0


def test_what_reduces_needs_no_margin() -> None:
    """An account without a cent left may still close, but not grow, and not take money out."""
    desk = SwapDesk(balance={"USDT": D(3200)})
    desk.order("BUY", "1")
    for grows in (lambda: desk.order("BUY", "0.1"), lambda: desk.exchange.transfer("USDT", D(-500))):
        with pytest.raises(VenueError) as caught:
            grows()
        assert caught.value.code == -2019
    desk.order("SELL", "0.4")
    desk.order("SELL", "0.6")
    assert desk.held().amount == 0
    assert audit(desk.exchange) == []


def test_an_order_needs_margin_and_fee_and_what_it_loses_at_once() -> None:
    """With a cent less than initial margin, fee and the distance to the mark price an order is refused, with all of it it is taken."""
    desk = SwapDesk(volatility=0.0)
    price, worst = desk.mark(), D(desk.call("GET", "v1/ticker/bookTicker", symbol="BTCUSDT")["askPrice"])
    needs = worst * D("0.2") * (D(1) / 20 + D("0.0005")) + (worst - price) * D("0.2")
    for change, taken in ((D("-0.01"), False), (D("0.01"), True)):
        desk = SwapDesk(volatility=0.0, balance={"USDT": round(needs + change, 8)})
        with contextlib.nullcontext() if taken else pytest.raises(VenueError, match="Margin is insufficient"):
            desk.order("BUY", "0.2")
        assert bool(desk.held().amount) is taken


def test_profit_that_is_not_realised_cannot_be_taken_out() -> None:
    """A risen position frees margin for orders, but not for a withdrawal."""
    desk = SwapDesk(balance={"USDT": D(5000)}, volatility=0.0, fee=D(0))
    desk.order("BUY", "1")
    desk.fault("mark", by="0.05")
    desk.pass_time(1)
    account = desk.call("GET", "v3/account")
    free = 5000 - desk.mark() / 20
    assert D(account["availableBalance"]) == round(free + desk.held().unrealized(desk.mark()), 8)
    assert D(account["maxWithdrawAmount"]) == round(free, 8)


def test_leverage_bounds_the_position() -> None:
    """At the highest leverage no more than the first bracket may be held, and leverage may not be raised above what is held."""
    desk = SwapDesk()
    desk.call("POST", "v1/leverage", symbol="ETHUSDT", leverage=125)
    desk.order("BUY", "18", symbol="ETHUSDT")
    desk.fault("mark", symbol="ETH/USDT", by="0.1")
    desk.pass_time(1)
    desk.order("SELL", "0.1", symbol="ETHUSDT")
    desk.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=125)
    with pytest.raises(VenueError) as caught:
        desk.order("BUY", "0.9")
    assert caught.value.code == -2027
    desk.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=50)
    desk.order("BUY", "0.9")
    with pytest.raises(VenueError) as caught:
        desk.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=125)
    assert caught.value.code == -2027


# --- reduce-only -----------------------------------------------------------------------------------------------------


def test_a_reduce_only_order_never_turns_a_position() -> None:
    """Of a reduce-only order only what reduces is filled; the rest expires, at once or when the position has gone."""
    desk = SwapDesk()
    desk.order("BUY", "0.5")
    order = desk.order("SELL", "0.8", reduceOnly="true")
    assert (order["status"], D(order["executedQty"]), desk.held().amount) == ("EXPIRED", D("0.5"), D(0))
    desk.order("SELL", "0.5")
    resting = desk.order("BUY", "0.5", "LIMIT", price=58_000, timeInForce="GTC", reduceOnly="true")
    assert resting["status"] == "NEW"
    desk.order("BUY", "0.7")
    assert desk.call("GET", "v1/order", symbol="BTCUSDT", orderId=resting["orderId"])["status"] == "EXPIRED"
    assert desk.held().amount == D("0.2")
    with pytest.raises(VenueError) as caught:
        desk.order("BUY", "0.1", reduceOnly="true")
    assert caught.value.code == -2022


def test_a_resting_reduce_only_order_fills_what_is_left_to_reduce() -> None:
    """It needs no margin; of one for more than is held when its price comes, only that much is filled, and the rest expires."""
    desk = SwapDesk()
    desk.order("BUY", "0.5")
    before = desk.call("GET", "v3/account")["totalOpenOrderInitialMargin"]
    price = round(desk.mark() * D("1.004"), 2)
    resting = desk.order("SELL", "1.5", "LIMIT", price=price, timeInForce="GTC", reduceOnly="true")
    assert desk.call("GET", "v3/account")["totalOpenOrderInitialMargin"] == before == "0.00000000"
    desk.order("SELL", "0.3")
    for _ in range(600):
        desk.pass_time(1)
    found = desk.call("GET", "v1/order", symbol="BTCUSDT", orderId=resting["orderId"])
    assert (found["status"], D(found["executedQty"]), desk.held().amount) == ("EXPIRED", D("0.2"), D(0))
    assert audit(desk.exchange) == []


# --- liquidation -----------------------------------------------------------------------------------------------------


def test_a_cross_position_is_liquidated_by_the_mark_price() -> None:
    """When the wallet no longer covers the maintenance margin, a call for margin has come, orders expire and the position goes."""
    desk = SwapDesk(balance={"USDT": D(4000)}, volatility=0.0)
    desk.order("BUY", "1")
    price = D(desk.call("GET", "v2/positionRisk", symbol="BTCUSDT")[0]["liquidationPrice"])
    desk.order("BUY", "0.005", "LIMIT", price=58_000, timeInForce="GTC", newClientOrderId="rest")
    now = desk.mark()
    desk.fault("mark", symbol="BTC/USDT", by=str(price / now - 1 + D("0.001")))
    desk.pass_time(1)
    assert desk.held().amount == 1
    assert [event["p"][0]["s"] for event in desk.told("MARGIN_CALL")] == ["BTCUSDT"]
    desk.fault("mark", symbol="BTC/USDT", by="-0.002")
    desk.pass_time(1)
    assert desk.held().amount == 0
    taken = desk.call("GET", "v1/forceOrders")[0]
    assert taken["clientOrderId"].startswith("autoclose-")
    assert (taken["status"], taken["side"], D(taken["executedQty"])) == ("FILLED", "SELL", D(1))
    assert desk.call("GET", "v1/order", symbol="BTCUSDT", origClientOrderId="rest")["status"] == "EXPIRED"
    fees = desk.incomes("INSURANCE_CLEAR")
    assert fees[0] == -round(desk.mark() * D("0.0125"), 8)
    assert desk.wallet >= 0
    executions = [event["o"] for event in desk.told("ORDER_TRADE_UPDATE") if event["o"]["o"] == "LIQUIDATION"]
    assert [each["x"] for each in executions] == ["NEW", "CALCULATED"]
    assert len(desk.told("MARGIN_CALL")) == 1
    assert audit(desk.exchange) == []


def test_a_loss_beyond_the_wallet_is_not_owed() -> None:
    """After a fall through the liquidation price the wallet is empty, not below zero."""
    desk = SwapDesk(balance={"USDT": D(4000)}, volatility=0.0)
    desk.order("BUY", "1")
    desk.fault("mark", by="-0.3")
    desk.pass_time(1)
    assert desk.wallet == 0
    assert desk.incomes("INSURANCE_CLEAR")[-1] > 0
    assert audit(desk.exchange) == []


def test_the_worst_position_goes_first() -> None:
    """Of two cross positions the one that loses goes, and the other stays where what is left covers it."""
    desk = SwapDesk(balance={"USDT": D(200_000)}, volatility=0.0)
    desk.order("BUY", "40")
    desk.order("SELL", "4", symbol="ETHUSDT")
    price = D(desk.call("GET", "v3/positionRisk", symbol="BTCUSDT")[0]["liquidationPrice"])
    desk.fault("mark", symbol="BTC/USDT", by=str(price / desk.mark() - 1 - D("0.0001")))
    desk.pass_time(1)
    assert desk.held().amount == 0
    assert desk.held("ETHUSDT").amount == -4
    assert audit(desk.exchange) == []


def test_an_isolated_position_takes_nothing_else_down() -> None:
    """An isolated position is liquidated for want of its own margin, whatever the wallet has, and costs no more than that margin."""
    desk = SwapDesk(volatility=0.0, fee=D(0))
    desk.call("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    desk.order("BUY", "1")
    desk.order("BUY", "1", symbol="ETHUSDT")
    margin = desk.held().margin
    assert margin == round(desk.held().cost / 20, 8)
    risk = desk.call("GET", "v2/positionRisk", symbol="BTCUSDT")[0]
    assert (risk["marginType"], D(risk["isolatedWallet"])) == ("isolated", margin)
    desk.fault("mark", symbol="BTC/USDT", by="-0.2")
    desk.pass_time(1)
    assert (desk.held().amount, desk.held().margin, desk.held("ETHUSDT").amount) == (D(0), D(0), D(1))
    assert desk.wallet == 100_000 - margin
    assert audit(desk.exchange) == []


def test_a_deleveraging_closes_a_share_for_nothing() -> None:
    """The fault takes a share of a position at the mark price without a fee, and says so when there is none."""
    desk = SwapDesk(volatility=0.0)
    desk.order("SELL", "1")
    commissions = desk.incomes("COMMISSION")
    desk.exchange.deleverage("BTCUSDT", D("0.4"))
    assert desk.held().amount == D("-0.6")
    assert desk.call("GET", "v1/forceOrders", autoCloseType="ADL")[0]["clientOrderId"] == "adl_autoclose"
    assert desk.incomes("COMMISSION") == commissions
    desk.exchange.deleverage("BTCUSDT", D("0.5"))
    assert audit(desk.exchange) == []
    with pytest.raises(VenueError, match="no position"):
        desk.exchange.deleverage("ETHUSDT", D(1))
