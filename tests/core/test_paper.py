"""The paper account: money is exchanged and charged, never made or lost."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core import paper
from daemon.core.fees import Tier
from daemon.core.model import Balance, Instrument, Order, Side, Status
from daemon.core.paper import Denied, PaperAccount
from daemon.io.exchange import Reason

T0 = datetime(2024, 5, 6, 7, 0, tzinfo=UTC)
D = Decimal
BTC = Instrument(
    symbol="BTC/USDT", base="BTC", quote="USDT", amount_step=D("0.001"), price_tick=D("0.01"), amount_min=D("0.001"), notional_min=D(5)
)
ETH = Instrument(symbol="ETH/USDT", base="ETH", quote="USDT", amount_step=D("1e-8"), price_tick=D("1e-8"), amount_max=D(1000))


def account(fee: str = "0.001", slippage_bps: str = "5", **balances: str) -> PaperAccount:
    held = {currency: D(amount) for currency, amount in (balances or {"USDT": "10000"}).items()}
    return PaperAccount(held, fee=D(fee), slippage_bps=D(slippage_bps))


def order(
    number: int,
    side: Side,
    amount: str,
    *,
    market: Instrument = BTC,
    reserve: str | None = None,
    at: datetime = T0,
    limit: str | None = None,
) -> Order:
    return Order(
        id=f"r{number}",
        symbol=market.symbol,
        side=side,
        amount=D(amount),
        price=D(100),
        reserve=D(reserve or amount),
        decision_id="d",
        attempt=1,
        at=at,
        limit=None if limit is None else D(limit),
    )


def total(held: PaperAccount, currency: str) -> Decimal:
    return held.balances.get(currency, Balance(D(0), D(0))).total


def test_a_buy_pays_quote_and_its_fee_in_base() -> None:
    """A buy costs price plus slippage on the grid, and the fee comes out of what it bought."""
    held = account()
    accepted = held.submit(order(1, Side.BUY, "2", reserve="201"), BTC, T0)
    assert (accepted.status, accepted.filled, accepted.fills) == (Status.OPEN, D(0), ())
    assert held.balances["USDT"] == Balance(D(9799), D(201))
    (done,) = held.match(BTC, D("100.001"), T0)
    assert (done.status, done.filled, done.cost) == (Status.FILLED, D(2), D("200.12"))
    assert done.fills[0].price == D("100.06")  # 100.001 x 1.0005 = 100.0510005, rounded up to the tick
    assert held.balances == {"USDT": Balance(D("9799.88"), D(0)), "BTC": Balance(D("1.998"), D(0))}


def test_a_sell_pays_base_and_its_fee_in_quote() -> None:
    """A sell brings price minus slippage on the grid, minus the fee."""
    held = account(BTC="2")
    held.submit(order(1, Side.SELL, "2"), BTC, T0)
    assert held.balances["BTC"] == Balance(D(0), D(2))
    (done,) = held.match(BTC, D("100.001"), T0)
    assert done.fills[0].price == D("99.95")  # 99.9509995, rounded down to the tick
    assert held.balances == {"BTC": Balance(D(0), D(0)), "USDT": Balance(D("199.7001"), D(0))}


def test_a_buy_whose_price_ran_away_takes_what_its_money_allows() -> None:
    """What an order may spend was said when it was sent: it fills in part, on the grid, and expires."""
    held = account(slippage_bps="0")
    held.submit(order(1, Side.BUY, "1", reserve="100"), BTC, T0)
    (done,) = held.match(BTC, D(130), T0)
    assert (done.status, done.filled, done.cost) == (Status.EXPIRED, D("0.769"), D("99.97"))
    assert held.balances["USDT"] == Balance(D("9900.03"), D(0))
    held.submit(order(2, Side.BUY, "0.1", reserve="10"), BTC, T0)
    (done,) = held.match(BTC, D(10**6), T0)
    assert (done.status, done.filled, done.fills) == (Status.EXPIRED, D(0), ())
    assert held.balances["USDT"] == Balance(D("9900.03"), D(0))


def test_an_order_fills_once_and_at_the_first_price() -> None:
    """Later prices change nothing."""
    held = account()
    held.submit(order(1, Side.BUY, "1", reserve="200"), BTC, T0)
    assert len(held.match(BTC, D(100), T0)) == 1
    assert held.match(BTC, D(90), T0) == []
    assert len(held.trades("BTC/USDT", T0)) == 1


def test_a_price_from_before_the_order_fills_nothing() -> None:
    """Only orders accepted before the moment given are matched."""
    held = account()
    held.submit(order(1, Side.BUY, "1", reserve="200"), BTC, T0)
    assert held.match(BTC, D(100), T0, accepted_before=T0) == []
    assert len(held.match(BTC, D(100), T0, accepted_before=T0 + timedelta(seconds=1))) == 1


@pytest.mark.parametrize(
    ("wanted", "market", "code"),
    [
        (order(1, Side.BUY, "0.0015", reserve="1"), BTC, Reason.FILTER),
        (order(1, Side.BUY, "0.0001", reserve="1"), replace(BTC, amount_step=D("0.0001")), Reason.FILTER),
        (order(1, Side.SELL, "1001", market=ETH), ETH, Reason.FILTER),
        (order(1, Side.BUY, "0.049", reserve="5"), BTC, Reason.NOTIONAL_MIN),
        (order(1, Side.BUY, "1", reserve="10000.01"), BTC, Reason.INSUFFICIENT_FUNDS),
        (order(1, Side.SELL, "1"), BTC, Reason.INSUFFICIENT_FUNDS),
        (order(1, Side.BUY, "1", reserve="100"), replace(BTC, active=False), Reason.MARKET_CLOSED),
    ],
)
def test_a_denied_order_changes_nothing(wanted: Order, market: Instrument, code: Reason) -> None:
    """What the rules or the funds forbid is refused with its stable reason, and leaves no trace."""
    held = account()
    before = held.dump()
    with pytest.raises(Denied) as caught:
        held.submit(wanted, market, T0)
    assert Reason(caught.value.code) is code
    assert held.dump() == before


def test_an_id_is_used_once_for_ever() -> None:
    """An id is refused while its order is open, when it has ended, after a restart, and when the order has long been dropped."""
    held = account()
    first = order(1, Side.BUY, "0.1", reserve="20")

    def refused() -> bool:
        with pytest.raises(Denied) as caught:
            held.submit(first, BTC, T0)
        return caught.value.code == Reason.DUPLICATE_ID

    held.submit(first, BTC, T0)
    assert refused()
    held.match(BTC, D(100), T0)
    assert refused()
    held = PaperAccount.load(held.dump(), fee=D(0), slippage_bps=D(0))
    assert refused()
    for n in range(2, paper.ENDED_KEPT + 10):
        later = T0 + n * timedelta(minutes=1)
        held.submit(order(n, Side.BUY, "0.1", reserve="20", at=later), BTC, later)
        held.match(BTC, D(100), later)
    assert held.order("r1") is None
    assert refused()


def test_memory_is_bounded_but_nothing_recent_is_dropped() -> None:
    """Ended orders go once they are many and old; what a restart may still ask for stays."""
    held = account()
    for n in range(1000):
        at = T0 + n * timedelta(seconds=2)
        held.submit(order(n, Side.BUY, "0.1", reserve="20", at=at), BTC, at)
        held.match(BTC, D(50), at)
    kept = [n for n in range(1000) if held.order(f"r{n}")]
    assert kept == list(range(1000 - len(kept), 1000))
    assert 450 <= len(kept) <= 452  # 15 minutes of them


def test_a_cancel_frees_the_money() -> None:
    """A cancelled order ends unfilled and gives back what it had set aside; one that has ended cannot be cancelled."""
    held = account()
    held.submit(order(1, Side.BUY, "1", reserve="100"), BTC, T0)
    ended = held.cancel("r1", BTC, T0)
    assert ended is not None
    assert ended.status is Status.CANCELED
    assert held.balances["USDT"] == Balance(D(10000), D(0))
    assert held.cancel("r1", BTC, T0) is None
    assert held.match(BTC, D(100), T0) == []


def test_a_text_that_is_no_account_is_refused() -> None:
    """A damaged or newer state is an error with a sentence, never an empty account."""
    for text in ("", "{}", '{"version": 99}', account().dump().replace("10000", "x")):
        with pytest.raises(ValueError, match="stored paper account cannot be read"):
            PaperAccount.load(text, fee=D(0), slippage_bps=D(0))


OPENING = {"USDT": D("10000.00000001"), "BTC": D("3.14159265"), "ETH": D("0.5")}


def lived(chance: Random, fee: Decimal, slippage_bps: Decimal) -> PaperAccount:
    """An account after thirty orders of all kinds, with prices, cancels and restarts between them."""
    held = PaperAccount(OPENING, fee=fee, slippage_bps=slippage_bps)
    for n in range(30):
        at = T0 + timedelta(seconds=n)
        market = chance.choice([BTC, ETH])
        amount = market.amount_step * chance.randrange(1, 3 * 10 ** chance.randrange(1, 9))
        price = D(repr(chance.uniform(1e-7, 300)))
        blank = order(n, chance.choice([Side.BUY, Side.SELL]), "1", market=market, at=at)
        try:
            held.submit(replace(blank, amount=amount, reserve=amount * chance.randrange(1, 300)), market, at, price)
        except Denied:
            continue
        happens = chance.random()
        if happens < 0.1:
            held.cancel(blank.id, market, at)
        elif happens < 0.9:
            held.match(market, price, at)
        if chance.random() < 0.2:
            held = PaperAccount.load(held.dump(), fee=fee, slippage_bps=slippage_bps)
        assert all(balance.free >= 0 and balance.locked >= 0 for balance in held.balances.values())
    return held


FEES = st.sampled_from([D(0), D("0.001"), D("0.00075"), D("0.3")])
SLIPPAGES = st.sampled_from([D(0), D(5), D("133.7")])


@settings(max_examples=100, deadline=None)
@given(chance=st.randoms(use_true_random=False), fee=FEES, slippage_bps=SLIPPAGES)
def test_money_is_conserved_exactly(chance: Random, fee: Decimal, slippage_bps: Decimal) -> None:
    """Whatever happens, each balance is its opening, fills and fees to the last digit, and none is ever negative."""
    held = lived(chance, fee, slippage_bps)
    expected = dict(OPENING)
    for fill in (*held.trades("BTC/USDT", T0), *held.trades("ETH/USDT", T0)):
        assert fill.cost == fill.amount * fill.price
        expected[fill.symbol[:3]] += fill.side.sign * fill.amount
        expected["USDT"] -= fill.side.sign * fill.cost
        for charged in fill.fees:
            expected[charged.currency] -= charged.amount
    assert {currency: total(held, currency) for currency in expected} == expected
    assert any(balance.locked for balance in held.balances.values()) == bool(held.open_orders())


@settings(max_examples=100, deadline=None)
@given(chance=st.randoms(use_true_random=False), fee=FEES, slippage_bps=SLIPPAGES)
def test_fills_are_what_the_orders_say(chance: Random, fee: Decimal, slippage_bps: Decimal) -> None:
    """The fills of every order sum up to its filled amount and cost, and never exceed what was ordered."""
    held = lived(chance, fee, slippage_bps)
    reports = [report for n in range(30) if (report := held.order(f"r{n}"))]
    for report in reports:
        assert report.filled == sum(fill.amount for fill in report.fills)
        assert report.cost == sum(fill.cost for fill in report.fills)
        assert report.filled <= report.amount
    ids = [fill.trade_id for report in reports for fill in report.fills]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("side", "within", "beyond"), [(Side.BUY, "100.93", "100.94"), (Side.SELL, "99.06", "99.05")])
def test_a_limit_fills_within_and_expires_beyond(side: Side, within: str, beyond: str) -> None:
    """The price after slippage decides: at the limit it fills whole, a tick further the order expires and has its money back."""
    limit = "100.99" if side is Side.BUY else "99.01"
    for price, status in ((within, Status.FILLED), (beyond, Status.EXPIRED)):
        held = account(USDT="1000", BTC="2")
        held.submit(order(1, side, "2", reserve="203", limit=limit), BTC, T0)
        again = PaperAccount.load(held.dump(), fee=D("0.001"), slippage_bps=D(5))  # a stop in between forgets no limit
        (done,) = again.match(BTC, D(price), T0)
        assert done.status is status
        assert all(side.sign * fill.price <= side.sign * D(limit) for fill in done.fills)
        assert again.balances["USDT"].locked == again.balances["BTC"].locked == 0
        if status is Status.EXPIRED:
            assert (total(again, "USDT"), total(again, "BTC"), done.filled) == (D(1000), D(2), D(0))


def test_a_limit_keeps_the_rules_of_limits() -> None:
    """Step and bounds of market orders alone do not hold for it; its price must be on the tick, and its notional is that at the limit."""
    market = replace(BTC, market_step=D(1), market_min=D(1), notional_min=D(10), notional_min_market=False)
    held = account(BTC="2")
    with pytest.raises(Denied, match="multiple of 1"):
        held.submit(order(1, Side.SELL, "0.101"), market, T0)
    held.submit(order(2, Side.SELL, "0.101", limit="99.50"), market, T0)
    with pytest.raises(Denied, match="less than 10"):
        held.submit(order(3, Side.SELL, "0.1", limit="99.99"), market, T0, D(101))
    with pytest.raises(Denied, match=r"99\.505 is not a multiple of 0\.01"):
        held.submit(order(4, Side.SELL, "0.2", limit="99.505"), market, T0)


def test_an_account_of_before_limits_is_read() -> None:
    """What an earlier version saved has no limits, and loads."""
    held = account()
    held.submit(order(1, Side.BUY, "1", reserve="101"), BTC, T0)
    text = held.dump().replace(', "limit": null', "")
    assert "limit" not in text
    (done,) = PaperAccount.load(text, fee=D("0.001"), slippage_bps=D(5)).match(BTC, D(100), T0)
    assert done.status is Status.FILLED


def resting(number: int, side: Side, amount: str, limit: str, reserve: str | None = None) -> Order:
    return replace(order(number, side, amount, limit=limit, reserve=reserve), post_only=True)


def test_a_resting_order_fills_where_the_market_has_gone_through_it() -> None:
    """At its own price and the maker's fee; a price that only touches it leaves it in the queue, and one of before it says nothing."""
    held = PaperAccount({"USDT": D(10000)}, fee=D("0.001"), slippage_bps=D(5), maker_fee=D("0.0002"))
    held.submit(resting(1, Side.BUY, "1", "99", "100"), BTC, T0, D(100))
    later = T0 + timedelta(minutes=1)
    assert held.match(BTC, D("99"), later) == []
    assert held.match(BTC, D("98"), later, accepted_before=later) == [], "a bar's open may lie before it"
    (report,) = held.match(BTC, D("98.99"), later)
    (fill,) = report.fills
    assert (report.status, fill.price, fill.fees[0].amount) == (Status.FILLED, D(99), D("0.0002"))
    assert total(held, "USDT") == D(10000) - 99


def test_a_resting_sell_is_the_mirror_of_a_buy() -> None:
    """It fills above its price, at its price."""
    held = PaperAccount({"BTC": D(1)}, fee=D("0.001"), slippage_bps=D(5), maker_fee=D(0))
    held.submit(resting(1, Side.SELL, "1", "101"), BTC, T0, D(100))
    assert held.match(BTC, D(101), T0) == []
    (report,) = held.match(BTC, D(102), T0)
    assert (report.cost, total(held, "USDT")) == (D(101), D(101))


@pytest.mark.parametrize(("side", "limit"), [(Side.BUY, "100"), (Side.BUY, "101"), (Side.SELL, "100"), (Side.SELL, "99")])
def test_what_would_trade_at_once_does_not_rest(side: Side, limit: str) -> None:
    """It is refused, and its money stays free."""
    held = account(USDT="10000", BTC="1")
    with pytest.raises(Denied) as denied:
        held.submit(resting(1, side, "1", limit, "200" if side is Side.BUY else "1"), BTC, T0, D(100))
    assert Reason(denied.value.code) is Reason.WOULD_CROSS
    assert all(balance.locked == 0 for balance in held.balances.values())


def test_a_resting_order_survives_its_account_being_kept() -> None:
    """Loaded again, it still rests, and fills for the fee of then."""
    held = PaperAccount({"USDT": D(10000)}, fee=D("0.001"), slippage_bps=D(5))
    held.submit(resting(1, Side.BUY, "1", "99", "100"), BTC, T0, D(100))
    again = PaperAccount.load(held.dump(), fee=D("0.001"), slippage_bps=D(5), maker_fee=D(0))
    assert again.match(BTC, D(99), T0) == []
    (report,) = again.match(BTC, D(98), T0)
    assert report.fills[0].fees == ()


def test_a_fee_goes_by_what_was_traded_in_the_thirty_days_before() -> None:
    """A tier holds from the day after its volume was reached, until the trades that reached it are thirty days old; a dump keeps them."""
    tiers = [Tier(D(150), D("0.0002"), D("0.0005"))]
    held = PaperAccount({"USDT": D(10000)}, fee=D("0.001"), slippage_bps=D(0), tiers=tiers)
    paid = []
    for number, days in enumerate((0, 0, 1, 30, 31, 62)):
        at = T0 + timedelta(days=days)
        held.submit(order(number, Side.BUY, "1", reserve="101"), BTC, at)
        (report,) = held.match(BTC, D(100), at)
        paid.append(report.fills[0].fees[0].amount)
        held = PaperAccount.load(held.dump(), fee=D("0.001"), slippage_bps=D(0), tiers=tiers)
    assert paid == [D("0.001"), D("0.001"), D("0.0005"), D("0.0005"), D("0.0005"), D("0.001")]
