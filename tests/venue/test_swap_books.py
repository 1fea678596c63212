"""The futures account: funding, look-ups that lag, and books that hold whatever happens."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.venue.errors import VenueError
from daemon.venue.swap.audit import audit
from daemon.venue.swap.funding import Funding, Series
from daemon.venue.tape import Tape
from tests.venue.wire import START, SwapDesk

NOW = int(START * 1000)
CASES = int(os.environ.get("SWAP_BOOKS", "60"))
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
D = Decimal


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
            desk.held(each.symbol).amount * desk.exchange.marks.price(market, each.at) * rates[each.symbol, each.at], 8
        )
    assert desk.wallet == 100_000 + sum(each.amount for each in paid)
    desk.order("SELL", "1", symbol="ETHUSDT")
    desk.order("BUY", "0.1")
    desk.pass_time(120)
    assert len(desk.incomes("FUNDING_FEE")) == 6
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
    margin = desk.held().margin
    desk.pass_time(60)
    (paid,) = desk.incomes("FUNDING_FEE")
    assert desk.held().margin == margin + paid
    assert desk.told("ACCOUNT_UPDATE")[-1]["a"]["P"][0]["iw"] == f"{margin + paid:.8f}"


def test_a_settlement_never_falls_into_the_middle_of_a_request() -> None:
    """While time goes on between any two looks at the clock, a settlement finds what was held at its moment."""
    desk = SwapDesk(funding="1s", volatility=0.0)

    def ticking() -> float:
        desk.clock.move(0.001)
        return desk.clock.at

    desk.exchange._clock = ticking
    for turn in range(900):
        desk.order("SELL" if turn % 2 else "BUY", "0.01")
    assert len(desk.incomes("FUNDING_FEE")) > 1
    assert audit(desk.exchange) == []


def test_a_countdown_cancels_everything_in_its_market_at_its_time() -> None:
    """Whoever sent it, and nothing elsewhere; one that is begun anew counts from then, and one that is ended by 0 does nothing."""
    desk = SwapDesk(volatility=0.0, fee=D(0))

    def status(*symbols: str) -> list[str]:
        return [order.status for symbol in symbols for order in desk.exchange.matching.orders[symbol]]

    def countdown(symbol: str, length: int) -> Any:
        return desk.call("POST", "v1/countdownCancelAll", symbol=symbol, countdownTime=length)

    for symbol, price in (("BTCUSDT", "60000"), ("ETHUSDT", "2500")):
        for _ in range(2):
            desk.order("BUY", "0.1", "LIMIT", symbol, price=price, timeInForce="GTC")
    assert countdown("BTCUSDT", 10_000) == {"symbol": "BTCUSDT", "countdownTime": "10000"}
    countdown("ETHUSDT", 10_000)
    desk.pass_time(6)
    countdown("BTCUSDT", 10_000)
    countdown("ETHUSDT", 0)
    desk.pass_time(9)
    assert status("BTCUSDT", "ETHUSDT") == ["NEW"] * 4
    desk.pass_time(30)
    assert status("BTCUSDT", "ETHUSDT") == ["CANCELED"] * 2 + ["NEW"] * 2
    assert {order.updated - NOW for order in desk.exchange.matching.orders["BTCUSDT"]} == {16_000}, "at its moment, not when it was seen"
    assert [event["o"]["X"] for event in desk.told("ORDER_TRADE_UPDATE")][-2:] == ["CANCELED"] * 2
    assert audit(desk.exchange) == []
    with pytest.raises(VenueError, match="countdownTime"):
        desk.call("POST", "v1/countdownCancelAll", symbol="BTCUSDT")


def test_the_next_rate_is_the_one_that_is_settled() -> None:
    """What premiumIndex announces is what fundingRate lists once its time has come."""
    desk = SwapDesk(funding="1m")
    said = desk.call("GET", "v1/premiumIndex", symbol="BTCUSDT")
    desk.pass_time(60)
    last = desk.call("GET", "v1/fundingRate", symbol="BTCUSDT")[-1]
    assert (last["fundingTime"], last["fundingRate"]) == (said["nextFundingTime"], said["lastFundingRate"])


@pytest.mark.parametrize(("apart", "hours"), [("1m", 1), ("1h", 1), ("4h", 4), ("8h", 8)])
def test_the_venue_tells_how_far_its_settlements_are_apart(apart: str, hours: int) -> None:
    """FundingInfo has the hours of every market, the next settlement is on that grid, and less than an hour is told as one."""
    desk = SwapDesk(funding=apart)
    told = desk.call("GET", "v1/fundingInfo")
    assert {row["fundingIntervalHours"] for row in told} == {hours}
    said = desk.call("GET", "v1/premiumIndex")
    assert {row["symbol"] for row in told} == {row["symbol"] for row in said}
    step = {"1m": 60_000, "1h": 3_600_000, "4h": 14_400_000, "8h": 28_800_000}[apart]
    assert {row["nextFundingTime"] for row in said} == {(desk.exchange.now() // step + 1) * step}


@pytest.mark.parametrize(("row_s", "rows", "hours"), [(3600, 8, 8), (3600, 4, 4), (3600, 1, 1), (900, 16, 4), (1, 11, 1)])
def test_recorded_settlements_are_as_far_apart_as_their_rows(row_s: int, rows: int, hours: int) -> None:
    """What is told of a recording is the usual distance of its settlements in the venue's own time, one that is missing or not."""
    places = [row for row in range(0, 40 * rows, rows) if row != 3 * rows]
    series = Series(places, [D("0.0001")] * len(places))
    tape = SimpleNamespace(step=row_s * 1000)
    assert Funding(cast("Tape", tape), {0: series}, 40 * rows, 1, 1).hours(0) == hours


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
            price = round(desk.mark(symbol) * (1000 + away) / 1000, market.price_decimals)
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
        assert desk.wallet >= 0 or desk.exchange.margin.held()
    account = desk.call("GET", "v3/account")
    told = [event["a"]["B"][0] for event in desk.told("ACCOUNT_UPDATE") if event["a"]["B"]]
    if told:
        assert D(told[-1]["wb"]) == D(account["totalWalletBalance"]) == desk.wallet
    seen = {p["s"]: p["pa"] for event in desk.told("ACCOUNT_UPDATE") for p in event["a"]["P"]}
    assert {symbol: D(amount) for symbol, amount in seen.items()} == {symbol: desk.held(symbol).amount for symbol in seen}


def test_a_look_up_that_lags_shows_the_account_of_then() -> None:
    """Wallet, position and margin of orders are told as they were, and only by the look-ups that lag."""
    desk = SwapDesk(funding="1m")
    desk.order("BUY", "0.4")
    desk.order("BUY", "0.1", "LIMIT", price=58_000, timeInForce="GTC", newClientOrderId="rest")
    then = desk.wallet
    desk.pass_time(70)
    desk.call("DELETE", "v1/order", symbol="BTCUSDT", origClientOrderId="rest")
    desk.order("SELL", "1")
    desk.exchange.transfer("USDT", D(500))
    desk.fault("lag", of="balances", delay="65s", on="account.status")
    told = desk.call("GET", "v3/account")
    assert D(told["totalWalletBalance"]) == then
    assert [(each["symbol"], D(each["positionAmt"])) for each in told["positions"]] == [("BTCUSDT", D("0.4"))]
    assert D(told["totalOpenOrderInitialMargin"]) == 290
    assert D(desk.call("GET", "v3/balance")[0]["balance"]) == desk.wallet != then
    assert D(desk.call("GET", "v3/positionRisk")[0]["positionAmt"]) == D("-0.6")


def test_incomes_lag_with_the_trades() -> None:
    """A list of incomes that lags leaves out what was booked since."""
    desk = SwapDesk()
    desk.order("BUY", "0.1")
    desk.clock.move(10)
    desk.order("BUY", "0.2")
    desk.fault("lag", of="trades", delay="5s", count=2)
    assert [len(desk.incomes("COMMISSION")), len(desk.call("GET", "v1/userTrades", symbol="BTCUSDT"))] == [1, 1]
    assert len(desk.incomes("COMMISSION")) == 2


def test_a_fill_that_is_held_back_comes_with_the_cancel() -> None:
    """The fault `fill` leaves half of an order waiting, for which margin is kept; the cancel finds it just filled and is refused."""
    desk = SwapDesk(volatility=0.0)
    desk.fault("fill", share="0.5", at_cancel=True, count=1)
    order = desk.order("BUY", "0.2")
    assert (order["status"], desk.held().amount) == ("PARTIALLY_FILLED", D("0.1"))
    assert D(desk.call("GET", "v3/account")["totalOpenOrderInitialMargin"]) > 300
    with pytest.raises(VenueError) as caught:
        desk.call("DELETE", "v1/order", symbol="BTCUSDT", orderId=order["orderId"])
    assert caught.value.code == -2011
    assert desk.held().amount == D("0.2")
    assert audit(desk.exchange) == []


def test_a_reset_leaves_what_the_account_began_with() -> None:
    """After the reset of a testnet there is no position, no income, no setting, and the first balance."""
    desk = SwapDesk(funding="1m")
    desk.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=3)
    desk.order("BUY", "0.4")
    desk.pass_time(60)
    desk.exchange.forget()
    assert (desk.wallet, desk.call("GET", "v3/account")["positions"], desk.incomes("FUNDING_FEE")) == (D(100_000), [], [])
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
    desk.held().amount += 1
    desk.held("ETHUSDT").cost += 2
    desk.held().margin += 3
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
