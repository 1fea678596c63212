"""The futures account: positions, margin, funding and liquidation, and books that hold whatever happens."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from decimal import Decimal
from typing import Any

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


def wallet(desk: SwapDesk) -> Decimal:
    """What the account has without its positions."""
    return desk.exchange.account.of("USDT").free


def held(desk: SwapDesk, symbol: str = "BTCUSDT") -> Position:
    """What is held of a market."""
    return desk.exchange.margin.positions[symbol]


def mark(desk: SwapDesk, symbol: str = "BTCUSDT") -> Decimal:
    """A market's mark price."""
    return desk.exchange.mark(desk.exchange.market(symbol))


def incomes(desk: SwapDesk, kind: str) -> list[Decimal]:
    """What moved the wallets for a reason."""
    return [D(each["income"]) for each in desk.call("GET", "v1/income", incomeType=kind)]


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
    price, cost = mark(desk), held(desk).cost
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
    assert held(desk).amount == 0
    assert audit(desk.exchange) == []


def test_an_order_needs_margin_and_fee_and_what_it_loses_at_once() -> None:
    """With a cent less than initial margin, fee and the distance to the mark price an order is refused, with all of it it is taken."""
    desk = SwapDesk(volatility=0.0)
    price, worst = mark(desk), D(desk.call("GET", "v1/ticker/bookTicker", symbol="BTCUSDT")["askPrice"])
    needs = worst * D("0.2") * (D(1) / 20 + D("0.0005")) + (worst - price) * D("0.2")
    for change, taken in ((D("-0.01"), False), (D("0.01"), True)):
        desk = SwapDesk(volatility=0.0, balance={"USDT": round(needs + change, 8)})
        with contextlib.nullcontext() if taken else pytest.raises(VenueError, match="Margin is insufficient"):
            desk.order("BUY", "0.2")
        assert bool(held(desk).amount) is taken


def test_profit_that_is_not_realised_cannot_be_taken_out() -> None:
    """A risen position frees margin for orders, but not for a withdrawal."""
    desk = SwapDesk(balance={"USDT": D(5000)}, volatility=0.0, fee=D(0))
    desk.order("BUY", "1")
    desk.fault("mark", by="0.05")
    desk.pass_time(1)
    account = desk.call("GET", "v3/account")
    free = 5000 - mark(desk) / 20
    assert D(account["availableBalance"]) == round(free + held(desk).unrealized(mark(desk)), 8)
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
    assert (order["status"], D(order["executedQty"]), held(desk).amount) == ("EXPIRED", D("0.5"), D(0))
    desk.order("SELL", "0.5")
    resting = desk.order("BUY", "0.5", "LIMIT", price=58_000, timeInForce="GTC", reduceOnly="true")
    assert resting["status"] == "NEW"
    desk.order("BUY", "0.7")
    assert desk.call("GET", "v1/order", symbol="BTCUSDT", orderId=resting["orderId"])["status"] == "EXPIRED"
    assert held(desk).amount == D("0.2")
    with pytest.raises(VenueError) as caught:
        desk.order("BUY", "0.1", reduceOnly="true")
    assert caught.value.code == -2022


def test_a_resting_reduce_only_order_fills_what_is_left_to_reduce() -> None:
    """It needs no margin; of one for more than is held when its price comes, only that much is filled, and the rest expires."""
    desk = SwapDesk()
    desk.order("BUY", "0.5")
    before = desk.call("GET", "v3/account")["totalOpenOrderInitialMargin"]
    price = round(mark(desk) * D("1.004"), 2)
    resting = desk.order("SELL", "1.5", "LIMIT", price=price, timeInForce="GTC", reduceOnly="true")
    assert desk.call("GET", "v3/account")["totalOpenOrderInitialMargin"] == before == "0.00000000"
    desk.order("SELL", "0.3")
    for _ in range(600):
        desk.pass_time(1)
    found = desk.call("GET", "v1/order", symbol="BTCUSDT", orderId=resting["orderId"])
    assert (found["status"], D(found["executedQty"]), held(desk).amount) == ("EXPIRED", D("0.2"), D(0))
    assert audit(desk.exchange) == []


# --- funding ---------------------------------------------------------------------------------------------------------


def test_funding_is_paid_at_its_time_by_what_is_held_then() -> None:
    """A long pays position times mark price times rate at each settlement, a short gets it, and who holds nothing neither."""
    desk = SwapDesk(funding="1m", fee=D(0))
    desk.order("BUY", "1", symbol="ETHUSDT")
    desk.order("SELL", "0.1")
    rates: dict[tuple[str, int], Decimal] = {}
    for _ in range(3):
        before = desk.exchange.now()
        desk.pass_time(60)
        rates |= {(s, each.at): each.rate for s in SYMBOLS for each in _settled(desk, s, before)}
    paid = [each for each in desk.exchange.margin.incomes if each.kind == "FUNDING_FEE"]
    assert [(each.symbol, each.at) for each in paid] == sorted(
        (key for key in rates if key[0] != "SOLUSDT"), key=lambda key: (key[1], key[0])
    )
    assert len(paid) == 6
    for each in paid:
        market = desk.exchange.market(each.symbol)
        assert each.amount == -round(
            held(desk, each.symbol).amount * desk.exchange.marks.price(market, each.at) * rates[each.symbol, each.at], 8
        )
    assert wallet(desk) == 100_000 + sum(each.amount for each in paid)
    desk.order("SELL", "1", symbol="ETHUSDT")
    desk.order("BUY", "0.1")
    desk.pass_time(120)
    assert len(incomes(desk, "FUNDING_FEE")) == 6
    told = [event["a"] for event in desk.told("ACCOUNT_UPDATE") if event["a"]["m"] == "FUNDING_FEE"]
    assert [D(each["B"][0]["bc"]) for each in told] == [each.amount for each in paid]
    assert audit(desk.exchange) == []


def _settled(desk: SwapDesk, symbol: str, since: int) -> list[Any]:
    return desk.exchange.funding.between(desk.exchange.market(symbol).index, since, desk.exchange.now())


def test_funding_of_an_isolated_position_moves_its_margin() -> None:
    """An isolated position pays from its own margin, and the user stream tells of the position too."""
    desk = SwapDesk(funding="1m", volatility=0.0, fee=D(0))
    desk.call("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    desk.order("BUY", "1")
    margin = held(desk).margin
    desk.pass_time(60)
    (paid,) = incomes(desk, "FUNDING_FEE")
    assert held(desk).margin == margin + paid
    assert desk.told("ACCOUNT_UPDATE")[-1]["a"]["P"][0]["iw"] == f"{margin + paid:.8f}"


def test_a_settlement_never_falls_into_the_middle_of_a_request() -> None:
    """While time goes on between any two looks at the clock, a settlement finds what was held at its moment."""
    desk = SwapDesk(funding="1s", volatility=0.0)

    def ticking() -> float:
        desk.clock.move(0.001)
        return desk.clock.at

    desk.exchange._clock = ticking
    for turn in range(1500):
        desk.order("SELL" if turn % 2 else "BUY", "0.01")
    assert len(incomes(desk, "FUNDING_FEE")) > 1
    assert audit(desk.exchange) == []


def test_the_next_rate_is_the_one_that_is_settled() -> None:
    """What premiumIndex announces is what fundingRate lists once its time has come."""
    desk = SwapDesk(funding="1m")
    said = desk.call("GET", "v1/premiumIndex", symbol="BTCUSDT")
    desk.pass_time(60)
    last = desk.call("GET", "v1/fundingRate", symbol="BTCUSDT")[-1]
    assert (last["fundingTime"], last["fundingRate"]) == (said["nextFundingTime"], said["lastFundingRate"])


# --- liquidation -----------------------------------------------------------------------------------------------------


def test_a_cross_position_is_liquidated_by_the_mark_price() -> None:
    """When the wallet no longer covers the maintenance margin, a call for margin has come, orders expire and the position goes."""
    desk = SwapDesk(balance={"USDT": D(4000)}, volatility=0.0)
    desk.order("BUY", "1")
    price = D(desk.call("GET", "v2/positionRisk", symbol="BTCUSDT")[0]["liquidationPrice"])
    desk.order("BUY", "0.005", "LIMIT", price=58_000, timeInForce="GTC", newClientOrderId="rest")
    now = mark(desk)
    desk.fault("mark", symbol="BTC/USDT", by=str(price / now - 1 + D("0.001")))
    desk.pass_time(1)
    assert held(desk).amount == 1
    assert [event["p"][0]["s"] for event in desk.told("MARGIN_CALL")] == ["BTCUSDT"]
    desk.fault("mark", symbol="BTC/USDT", by="-0.002")
    desk.pass_time(1)
    assert held(desk).amount == 0
    taken = desk.call("GET", "v1/forceOrders")[0]
    assert taken["clientOrderId"].startswith("autoclose-")
    assert (taken["status"], taken["side"], D(taken["executedQty"])) == ("FILLED", "SELL", D(1))
    assert desk.call("GET", "v1/order", symbol="BTCUSDT", origClientOrderId="rest")["status"] == "EXPIRED"
    fees = incomes(desk, "INSURANCE_CLEAR")
    assert fees[0] == -round(mark(desk) * D("0.0125"), 8)
    assert wallet(desk) >= 0
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
    assert wallet(desk) == 0
    assert incomes(desk, "INSURANCE_CLEAR")[-1] > 0
    assert audit(desk.exchange) == []


def test_the_worst_position_goes_first() -> None:
    """Of two cross positions the one that loses goes, and the other stays where what is left covers it."""
    desk = SwapDesk(balance={"USDT": D(200_000)}, volatility=0.0)
    desk.order("BUY", "40")
    desk.order("SELL", "4", symbol="ETHUSDT")
    price = D(desk.call("GET", "v3/positionRisk", symbol="BTCUSDT")[0]["liquidationPrice"])
    desk.fault("mark", symbol="BTC/USDT", by=str(price / mark(desk) - 1 - D("0.0001")))
    desk.pass_time(1)
    assert held(desk).amount == 0
    assert held(desk, "ETHUSDT").amount == -4
    assert audit(desk.exchange) == []


def test_an_isolated_position_takes_nothing_else_down() -> None:
    """An isolated position is liquidated for want of its own margin, whatever the wallet has, and costs no more than that margin."""
    desk = SwapDesk(volatility=0.0, fee=D(0))
    desk.call("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    desk.order("BUY", "1")
    desk.order("BUY", "1", symbol="ETHUSDT")
    margin = held(desk).margin
    assert margin == round(held(desk).cost / 20, 8)
    risk = desk.call("GET", "v2/positionRisk", symbol="BTCUSDT")[0]
    assert (risk["marginType"], D(risk["isolatedWallet"])) == ("isolated", margin)
    desk.fault("mark", symbol="BTC/USDT", by="-0.2")
    desk.pass_time(1)
    assert (held(desk).amount, held(desk).margin, held(desk, "ETHUSDT").amount) == (D(0), D(0), D(1))
    assert wallet(desk) == 100_000 - margin
    assert audit(desk.exchange) == []


def test_a_deleveraging_closes_a_share_for_nothing() -> None:
    """The fault takes a share of a position at the mark price without a fee, and says so when there is none."""
    desk = SwapDesk(volatility=0.0)
    desk.order("SELL", "1")
    commissions = incomes(desk, "COMMISSION")
    desk.exchange.deleverage("BTCUSDT", D("0.4"))
    assert held(desk).amount == D("-0.6")
    assert desk.call("GET", "v1/forceOrders", autoCloseType="ADL")[0]["clientOrderId"] == "adl_autoclose"
    assert incomes(desk, "COMMISSION") == commissions
    desk.exchange.deleverage("BTCUSDT", D("0.5"))
    assert audit(desk.exchange) == []
    with pytest.raises(VenueError, match="no position"):
        desk.exchange.deleverage("ETHUSDT", D(1))


# --- the books -------------------------------------------------------------------------------------------------------

ACTIONS = st.one_of(
    st.tuples(
        st.just("order"),
        st.sampled_from(SYMBOLS),
        st.sampled_from(("BUY", "SELL")),
        st.integers(1, 400),
        st.sampled_from(("MARKET", "GTC", "IOC", "FOK", "GTX")),
        st.integers(-30, 30),
        st.booleans(),
    ),
    st.tuples(st.just("wait"), st.sampled_from((0.4, 3, 61))),
    st.tuples(st.just("mark"), st.sampled_from(SYMBOLS), st.sampled_from(("-0.3", "-0.05", "0.05", "0.3"))),
    st.tuples(st.just("calm")),
    st.tuples(st.just("cancel"), st.sampled_from(SYMBOLS)),
    st.tuples(st.just("transfer"), st.integers(-3000, 3000)),
    st.tuples(st.just("setup"), st.sampled_from(SYMBOLS), st.sampled_from(("ISOLATED", "CROSSED")), st.sampled_from((2, 20, 50, 125))),
    st.tuples(st.just("adl"), st.sampled_from(SYMBOLS), st.sampled_from(("0.3", "1"))),
)


def act(desk: SwapDesk, action: Any) -> None:
    """Do one thing; what is refused is refused."""
    match action:
        case ("order", symbol, side, size, life, away, reduce_only):
            market = desk.exchange.market(symbol)
            amount = round(D(size) * 150 / D(market.price), market.amount_decimals)
            price = round(mark(desk, symbol) * (1000 + away) / 1000, market.price_decimals)
            limit = {} if life == "MARKET" else {"price": price, "timeInForce": life}
            desk.order(side, amount, "MARKET" if life == "MARKET" else "LIMIT", symbol, reduceOnly=str(reduce_only).lower(), **limit)
        case ("wait", seconds):
            desk.pass_time(seconds)
        case ("mark", symbol, by):
            desk.fault("mark", symbol=symbol, by=by)
            desk.pass_time(0.5)
        case ("calm",):
            desk.exchange.faults.clear()
        case ("cancel", symbol):
            desk.call("DELETE", "v1/allOpenOrders", symbol=symbol)
        case ("transfer", amount):
            desk.exchange.transfer("USDT", D(amount))
        case ("setup", symbol, kind, leverage):
            desk.call("POST", "v1/leverage", symbol=symbol, leverage=leverage)
            desk.call("POST", "v1/marginType", symbol=symbol, marginType=kind)
        case ("adl", symbol, share):
            desk.exchange.deleverage(symbol, D(share))


@given(st.integers(0, 1000), st.lists(ACTIONS, max_size=40))
@settings(max_examples=CASES, deadline=None)
def test_the_books_hold_whatever_happens(seed: int, actions: list[Any]) -> None:
    """After any orders, prices, funding, transfers, liquidations and refusals the books agree to the last digit."""
    desk = SwapDesk(seed=seed, balance={"USDT": D(6000)}, funding="1m", partial=0.3)
    for action in actions:
        with contextlib.suppress(VenueError):
            act(desk, action)
        assert audit(desk.exchange) == []
        assert wallet(desk) >= 0 or desk.exchange.margin.held()
    account = desk.call("GET", "v3/account")
    told = [event["a"]["B"][0] for event in desk.told("ACCOUNT_UPDATE") if event["a"]["B"]]
    if told:
        assert D(told[-1]["wb"]) == D(account["totalWalletBalance"]) == wallet(desk)
    seen = {p["s"]: p["pa"] for event in desk.told("ACCOUNT_UPDATE") for p in event["a"]["P"]}
    assert {symbol: D(amount) for symbol, amount in seen.items()} == {symbol: held(desk, symbol).amount for symbol in seen}


def test_a_look_up_that_lags_shows_the_account_of_then() -> None:
    """Wallet, position and margin of orders are told as they were, and only by the look-ups that lag."""
    desk = SwapDesk(funding="1m")
    desk.order("BUY", "0.4")
    desk.order("BUY", "0.1", "LIMIT", price=58_000, timeInForce="GTC", newClientOrderId="rest")
    then = wallet(desk)
    desk.pass_time(70)
    desk.call("DELETE", "v1/order", symbol="BTCUSDT", origClientOrderId="rest")
    desk.order("SELL", "1")
    desk.exchange.transfer("USDT", D(500))
    desk.fault("lag", of="balances", delay="65s", on="account.status")
    told = desk.call("GET", "v3/account")
    assert D(told["totalWalletBalance"]) == then
    assert [(each["symbol"], D(each["positionAmt"])) for each in told["positions"]] == [("BTCUSDT", D("0.4"))]
    assert D(told["totalOpenOrderInitialMargin"]) == 290
    assert D(desk.call("GET", "v3/balance")[0]["balance"]) == wallet(desk) != then
    assert D(desk.call("GET", "v3/positionRisk")[0]["positionAmt"]) == D("-0.6")


def test_incomes_lag_with_the_trades() -> None:
    """A list of incomes that lags leaves out what was booked since."""
    desk = SwapDesk()
    desk.order("BUY", "0.1")
    desk.clock.move(10)
    desk.order("BUY", "0.2")
    desk.fault("lag", of="trades", delay="5s", count=2)
    assert [len(incomes(desk, "COMMISSION")), len(desk.call("GET", "v1/userTrades", symbol="BTCUSDT"))] == [1, 1]
    assert len(incomes(desk, "COMMISSION")) == 2


def test_a_fill_that_is_held_back_comes_with_the_cancel() -> None:
    """The fault `fill` leaves half of an order waiting, for which margin is kept; the cancel finds it just filled and is refused."""
    desk = SwapDesk(volatility=0.0)
    desk.fault("fill", share="0.5", at_cancel=True, count=1)
    order = desk.order("BUY", "0.2")
    assert (order["status"], held(desk).amount) == ("PARTIALLY_FILLED", D("0.1"))
    assert D(desk.call("GET", "v3/account")["totalOpenOrderInitialMargin"]) > 300
    with pytest.raises(VenueError) as caught:
        desk.call("DELETE", "v1/order", symbol="BTCUSDT", orderId=order["orderId"])
    assert caught.value.code == -2011
    assert held(desk).amount == D("0.2")
    assert audit(desk.exchange) == []


def test_a_reset_leaves_what_the_account_began_with() -> None:
    """After the reset of a testnet there is no position, no income, no setting, and the first balance."""
    desk = SwapDesk(funding="1m")
    desk.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=3)
    desk.order("BUY", "0.4")
    desk.pass_time(60)
    desk.exchange.forget()
    assert (wallet(desk), desk.call("GET", "v3/account")["positions"], incomes(desk, "FUNDING_FEE")) == (D(100_000), [], [])
    assert desk.call("GET", "v1/symbolConfig", symbol="BTCUSDT")[0]["leverage"] == 20
    desk.order("SELL", "0.1")
    desk.pass_time(60)
    assert audit(desk.exchange) == []


def test_the_audit_sees_every_kind_of_error() -> None:
    """Money from nowhere, an amount or a cost without a trade, margin where none belongs and funding paid twice are each named."""
    desk = SwapDesk(funding="1m")
    desk.order("BUY", "0.1")
    desk.pass_time(60)
    desk.exchange.account.credit("USDT", D(1))
    held(desk).amount += 1
    held(desk, "ETHUSDT").cost += 2
    held(desk).margin += 3
    desk.exchange.margin.incomes.append(next(each for each in desk.exchange.margin.incomes if each.kind == "FUNDING_FEE"))
    first = next(each for each in desk.exchange.margin.incomes if each.kind == "FUNDING_FEE")
    desk.exchange.margin.incomes.append(dataclasses.replace(first, at=first.at + 1))
    desk.order("BUY", "1", symbol="SOLUSDT")
    desk.pass_time(60)
    desk.exchange.margin.incomes = [each for each in desk.exchange.margin.incomes if each.symbol != "SOLUSDT"]
    found = " ".join(audit(desk.exchange))
    for words in (
        "the USDT wallet is",
        "its incomes make",
        "the position in BTCUSDT is",
        "ETHUSDT has cost",
        "BTCUSDT has margin",
        "was paid 2 times",
        "was paid at no settlement",
        "was not paid",
    ):
        assert words in found
