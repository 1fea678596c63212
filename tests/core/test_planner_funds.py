"""Funds: what the money pays for, in every currency by itself."""

from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.model import ZERO, Instrument
from daemon.core.planner_funds import fund, scale
from daemon.core.planner_inputs import Rules
from daemon.core.planner_legs import Leg, buy, reaches_minimum
from tests.core.builders import dec, market
from tests.core.plans import magnitude, on_venue_rules, some_market

money = st.decimals(min_value=-10, max_value=10**7, allow_nan=False, allow_infinity=False, places=6)


@given(st.lists(st.integers(min_value=0, max_value=2**32), max_size=12), money, money)
@settings(max_examples=200, deadline=None)
def test_shrinking_never_exceeds_the_cash_and_wastes_little(seeds: list[int], usdt: Decimal, usdc: Decimal) -> None:
    """Whatever the cash: reserves stay within it, nobody gets more than was wanted, each smaller one is named, less than a lot is left."""
    markets: dict[str, Instrument] = {}
    legs: list[Leg] = []
    for n, seed in enumerate(seeds):
        rng = Random(seed)
        symbol = f"C{n}/{rng.choice(['USDT', 'USDC'])}"
        markets[symbol] = some_market(rng, symbol)
        leg = buy(markets[symbol], magnitude(rng, -2, 6), magnitude(rng, -7, 6), Rules())
        if reaches_minimum(markets[symbol], leg.amount, leg.price, Decimal("1.05")):
            legs.append(leg)
    wanted = {leg.symbol: leg for leg in legs}
    shrunk, named = scale(legs, {"USDT": usdt, "USDC": usdc}, markets)
    for quote, cash in (("USDT", usdt), ("USDC", usdc)):
        mine = [leg for leg in shrunk if leg.quote == quote]
        left = cash - sum((leg.reserve for leg in mine), ZERO)
        assert left >= min(cash, ZERO)
        short = [leg for leg in mine if leg.amount + markets[leg.symbol].lot <= wanted[leg.symbol].amount]
        assert not short or max(leg.reserve * markets[leg.symbol].lot / leg.amount for leg in short) > left * dec("0.999999")
    for leg in shrunk:
        on_venue_rules(markets[leg.symbol], leg)
        assert leg.amount <= wanted[leg.symbol].amount
    assert {leg.symbol for leg in shrunk if leg == wanted[leg.symbol]} | named.keys() == wanted.keys()


def test_the_smallest_buys_are_dropped_for_the_others() -> None:
    """With money for two of three equal minimums, two are bought, not three refused."""
    markets = {s: market(s, step="0.01", notional_min="10") for s in ("A/USDT", "B/USDT", "C/USDT")}
    legs = [buy(m, dec(amount), dec(1), Rules()) for m, amount in zip(markets.values(), ("12", "14", "13"), strict=True)]
    shrunk, named = scale(legs, {"USDT": dec(26)}, markets)
    assert [leg.symbol for leg in shrunk] == ["B/USDT", "C/USDT"]
    assert set(named) == set(markets)


def test_funding_goes_to_the_largest_first_and_skips_what_does_not_fit() -> None:
    """A buy too large for the cash waits, a smaller one behind it goes."""
    legs = [buy(market(s, step="0.01"), dec(amount), dec(1), Rules()) for s, amount in (("A/USDT", "50"), ("B/USDT", "20"))]
    now, later = fund(legs, {"USDT": dec(30)})
    assert [leg.symbol for leg in now] == ["B/USDT"]
    assert [leg.symbol for leg in later] == ["A/USDT"]


def test_money_of_one_currency_pays_for_nothing_in_another() -> None:
    """A buy waits for its own currency, however much there is of another, and does not shrink for want of a third."""
    markets = {s: market(s, step="0.01") for s in ("A/USDT", "B/USDC", "C/EUR")}
    legs = [buy(m, dec(20), dec(1), Rules()) for m in markets.values()]
    cash = {"USDT": dec(1000), "USDC": dec(10)}
    now, later = fund(legs, cash)
    assert [leg.symbol for leg in now] == ["A/USDT"]
    assert [leg.symbol for leg in later] == ["B/USDC", "C/EUR"]
    shrunk, named = scale(legs, cash, markets)
    assert {leg.symbol: leg.amount for leg in shrunk} == {"A/USDT": 20, "B/USDC": dec("9.94")}
    assert named == {"B/USDC": "unfunded", "C/EUR": "unfunded"}
