"""Funding of a paper account: by the plain formula, once, and across a stop."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.funding import FundingRate
from daemon.core.model import ZERO, Side
from daemon.core.paper import PaperAccount
from tests.core.test_paper import T0, order
from tests.core.test_swaps import BTC, swap

D = Decimal
HOURS = timedelta(hours=8)
TERMS: Final[Mapping[str, Any]] = {"fee": ZERO, "slippage_bps": ZERO}
MARKET = swap(BTC)


def held(side: Side, amount: str) -> PaperAccount:
    """An account with a position that was opened at 100."""
    account = PaperAccount({"USDT": D(10_000)}, **TERMS)
    account.submit(order(1, side, amount, market=MARKET), MARKET, T0)
    account.match(MARKET, D(100), T0)
    return account


def again(account: PaperAccount) -> PaperAccount:
    """The same after a stop."""
    return PaperAccount.load(account.dump(), **TERMS)


def rate(value: float, next_at: datetime) -> FundingRate:
    """Expected every eight hours."""
    return FundingRate(value, next_at, HOURS)


@given(
    st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 99), st.floats(-0.01, 0.01), st.lists(st.integers(0, 40), max_size=9), st.data()
)
def test_every_settlement_is_paid_once(side: Side, units: int, value: float, hours: list[int], data: st.DataObject) -> None:
    """However often it is looked, and whatever the venue says again: position x mark x rate for each settlement passed, no more."""
    account, mark = held(side, str(units)), D("101.5")
    before = account.held("USDT")
    account.settlements.told(BTC, rate(value, T0 + HOURS))
    for hour in sorted(hours):
        if data.draw(st.booleans()):
            account = again(account)
        account.fund(MARKET, mark, T0 + timedelta(hours=hour))
        account.settlements.told(BTC, rate(0.009, T0 + HOURS))  # as a venue does that lags, once it has been passed
        if hour < 8:
            account.settlements.told(BTC, rate(value, T0 + HOURS))
    passed = max(hours, default=0) // 8
    flows = account.settlements.flows(T0)
    assert [flow.at for flow in flows] == [T0 + HOURS * (at + 1) for at in range(passed)]
    assert len({flow.id for flow in flows}) == passed
    assert account.held("USDT") - before == sum((flow.amount for flow in flows), ZERO)
    for flow in flows:
        assert abs(flow.amount + side.sign * units * mark * D(repr(value))) <= D("1e-8")
        assert (flow.currency, flow.kind, flow.symbol) == ("USDT", "funding", BTC)


def test_who_holds_nothing_pays_nothing() -> None:
    """A settlement without a position passes, and is not made up for by a later one."""
    account = PaperAccount({"USDT": D(10_000)}, **TERMS)
    account.settlements.told(BTC, rate(0.01, T0 + HOURS))
    assert not account.fund(MARKET, D(100), T0 + HOURS)
    account.submit(order(1, Side.BUY, "1", market=MARKET), MARKET, T0 + HOURS)
    account.match(MARKET, D(100), T0 + HOURS)
    assert not account.fund(MARKET, D(100), T0 + HOURS * 1.5)
    assert account.fund(MARKET, D(100), T0 + HOURS * 2)
    assert [flow.amount for flow in account.settlements.flows(T0)] == [D(-1)]


def test_a_venue_may_settle_sooner_than_it_said() -> None:
    """After a settlement, what is told of the next one counts, not what followed from the interval before."""
    account = held(Side.BUY, "1")
    account.settlements.told(BTC, rate(0.001, T0 + HOURS))
    account.fund(MARKET, D(100), T0 + HOURS)
    account.settlements.told(BTC, FundingRate(0.002, T0 + HOURS * 1.5, HOURS / 2))
    account.fund(MARKET, D(100), T0 + HOURS * 1.5)
    assert [flow.amount for flow in account.settlements.flows(T0)] == [D("-0.1"), D("-0.2")]


def test_payments_are_kept_for_a_month() -> None:
    """Older ones are forgotten, so that what is saved at every change does not grow for ever."""
    account = held(Side.BUY, "1")
    account.settlements.told(BTC, rate(0.001, T0 + HOURS))
    account.fund(MARKET, D(100), T0 + timedelta(days=100))
    flows = account.settlements.flows(T0)
    assert flows[0].at == T0 + timedelta(days=70)
    assert len(flows) == 91


def test_an_account_of_before_has_no_settlements() -> None:
    """What was saved without them is read."""
    text = held(Side.BUY, "1").dump()
    start = text.index('"funding"')
    older = text[:start] + text[text.index('"balances"') :]
    assert PaperAccount.load(older, **TERMS).settlements.flows(T0) == ()
