"""What the door makes of ccxt's dicts, and how it builds ccxt's other classes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from daemon.core.model import ZERO, Balance, Side, Status
from daemon.io import ccxt_binance as binance
from daemon.io import ccxt_parse as parse
from daemon.io.ccxt_clock import VenueClock
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.ccxt_library import ccxt
from daemon.io.clock import SystemClock
from daemon.io.exchange import Fatal, NotFound, Unknown, Urgency
from daemon.io.rategate import WEIGHT, RateGate
from daemon.venue import Venue, VenueSettings
from tests.io.ccxt_server import an_order, door

D = Decimal
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def market(**other: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC/USDT",
        "base": "BTC",
        "quote": "USDT",
        "spot": True,
        "active": True,
        "taker": "0.0007",
        "precision": {"amount": "0.00001", "price": "0.01"},
        "limits": {"amount": {"min": "0.0001", "max": "9000"}, "market": {"min": "0", "max": "120.5"}, "cost": {"min": "5"}},
        **other,
    }


def test_an_instrument_has_the_narrower_bounds() -> None:
    """The bounds of market orders count where they are narrower; a bound of 0 is none."""
    instrument = parse.instrument(market(), ccxt.TICK_SIZE)
    assert (instrument.least, instrument.most, instrument.worth_least, instrument.worth_most) == (D("0.0001"), D("120.5"), D(5), None)
    assert (instrument.amount_step, instrument.price_tick) == (Decimal("0.00001"), Decimal("0.01"))
    assert (instrument.amount_min, instrument.amount_max, instrument.notional_min) == (Decimal("0.0001"), Decimal(9000), Decimal(5))
    assert (instrument.taker_fee, instrument.buy_fee_in_base, instrument.active) == (Decimal("0.0007"), True, True)
    bare = parse.instrument(market(limits={}, taker="0", feeSide="quote", active=False), ccxt.TICK_SIZE)
    assert (bare.amount_min, bare.amount_max, bare.notional_min) == (ZERO, None, ZERO)
    assert (bare.taker_fee, bare.buy_fee_in_base, bare.active) == (ZERO, False, False)


FILTERS: list[dict[str, Any]] = [
    {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
    {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "120.50000000", "stepSize": "0.00000000"},
    {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "maxNotional": "9000000", "applyMaxToMarket": False},
]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (FILTERS, (D("0.00001"), 5, None)),
        ([FILTERS[1] | {"stepSize": "0.00100000"}, FILTERS[2] | {"applyMaxToMarket": True}], (D("0.001"), 5, 9_000_000)),
        ([FILTERS[2] | {"applyMinToMarket": False}], (D("0.00001"), 0, None)),
        ([{"filterType": "MIN_NOTIONAL", "minNotional": "5", "applyToMarket": False}], (D("0.00001"), 0, 9_000_000)),
        ([], (D("0.00001"), 5, 9_000_000)),
    ],
)
def test_binance_tells_what_holds_for_market_orders(filters: list[dict[str, Any]], expected: tuple[object, ...]) -> None:
    """The step of market orders, and whether the least and the most notional hold for them, come from the filters."""
    raw = market(limits={"cost": {"min": "5", "max": "9000000"}}, info={"filters": filters})
    found = binance.of_market_orders(parse.instrument(raw, ccxt.TICK_SIZE), raw)
    assert (found.lot, found.worth_least, found.worth_most) == expected


def test_decimal_places_are_a_step() -> None:
    """A venue that counts decimals has steps like any other."""
    instrument = parse.instrument(market(precision={"amount": "8", "price": "0"}), ccxt.DECIMAL_PLACES)
    assert (instrument.amount_step, instrument.price_tick) == (Decimal("1e-8"), Decimal(1))


@pytest.mark.parametrize(
    ("other", "mode", "words"),
    [
        ({}, ccxt.SIGNIFICANT_DIGITS, "significant digits"),
        ({"precision": {"amount": None, "price": "0.01"}}, ccxt.TICK_SIZE, "states no amount step"),
        ({"spot": False}, ccxt.TICK_SIZE, "not a spot market"),
    ],
)
def test_a_market_without_a_grid_is_refused(other: dict[str, Any], mode: int, words: str) -> None:
    """Where no order could be rounded, the sentence says why."""
    with pytest.raises(Fatal, match=words):
        parse.instrument(market(**other), mode)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"total": {}, "info": {}},
        {"total": {"BTC": None}, "BTC": {"free": None, "used": None, "total": None}},
        {"total": {"BTC": "1"}, "BTC": "?"},
    ],
)
def test_an_answer_without_figures_is_unknown(raw: dict[str, Any]) -> None:
    """Absence is not zero."""
    with pytest.raises(Unknown):
        parse.balances(raw)


def test_balances_without_a_free_part_are_the_rest() -> None:
    """Free is total less used where the venue leaves it out, and what is all zero is not held."""
    raw = {
        "total": {"BTC": "3", "ETH": "0"},
        "BTC": {"free": None, "used": "1", "total": "3"},
        "ETH": {"free": "0", "used": "0", "total": "0"},
    }
    assert parse.balances(raw) == {"BTC": Balance(Decimal(2), Decimal(1))}


def test_an_answer_that_says_little_is_an_accepted_order() -> None:
    """Many venues answer a new order with its id alone: it is open, and what was asked for."""
    raw: dict[str, Any] = {"id": "77", "status": None, "side": None, "amount": None, "filled": None, "trades": []}
    report = parse.report(raw, symbol="BTC/USDT", now=NOW, order_id="r1", side=Side.SELL, amount=Decimal(2))
    assert (report.order_id, report.venue_id, report.status, report.amount, report.filled) == ("r1", "77", Status.OPEN, Decimal(2), ZERO)
    assert (report.side, report.at) == (Side.SELL, NOW)


def test_closed_with_a_rest_is_cancelled() -> None:
    """An order that ended before it was filled did not fill."""
    raw = {"id": "77", "status": "closed", "side": "buy", "amount": "2", "filled": "1.5", "cost": "3"}
    assert parse.report(raw, symbol="BTC/USDT", now=NOW).status is Status.CANCELED


@pytest.mark.parametrize("raw", [None, [], "page", {}, {"id": None, "filled": 0.0}, {"id": "1", "side": None}])
def test_an_answer_that_names_no_order_is_unknown(raw: object) -> None:
    """Whatever comes, ccxt makes a dict of it, without an id."""
    with pytest.raises(Unknown):
        parse.report(raw, symbol="BTC/USDT", now=NOW)


def test_the_quickest_look_at_a_clock_counts() -> None:
    """Of several looks at the venue's clock the one with the shortest round trip is believed, until a clock has been set."""
    clock = VenueClock()
    clock.saw(NOW, NOW + timedelta(seconds=2), NOW + timedelta(seconds=2))
    assert (clock.offset, clock.uncertainty) == (timedelta(seconds=1), timedelta(seconds=1))
    clock.saw(NOW, NOW + timedelta(seconds=1.11), NOW + timedelta(seconds=0.02))
    assert clock.offset == timedelta(seconds=1.1)
    clock.saw(NOW, NOW + timedelta(seconds=2), NOW + timedelta(seconds=2))
    assert clock.offset == timedelta(seconds=1.1)
    clock.saw(NOW, NOW - timedelta(hours=1), NOW + timedelta(seconds=0.02))
    assert clock.offset < timedelta(minutes=-59)


@pytest.mark.parametrize(("exchange_id", "by_cost"), [("okx", False), ("gate", True), ("kraken", False), ("bybit", False), ("htx", True)])
def test_other_exchanges_are_built(exchange_id: str, by_cost: bool) -> None:
    """Any class of ccxt stands behind the door, with its own limits told to the gate and one market type loaded."""
    clock = SystemClock()
    gate = RateGate(clock)
    exchange = CcxtExchange(exchange_id, ["BTC/USDT"], sandbox=False, gate=gate, clock=clock, api_key="k", secret="s")
    assert exchange._buys_by_cost() is by_cost
    assert exchange.batch_max >= 1
    assert gate._lanes[WEIGHT].window.limit > 0
    types = exchange._client.options.get("fetchMarkets", {}).get("types", ["spot"])
    assert types == ["spot"] or {kind for kind, wanted in types.items() if wanted is True} == {"spot"}


async def test_an_order_is_found_in_the_listings() -> None:
    """Where a venue cannot be asked by our id, its listings are searched: open and ended orders alike."""
    async with Venue(VenueSettings(markets=3)) as venue, door(venue.ccxt_urls()["api"], key="venue-key", secret="venue-secret") as exchange:
        await exchange.connect()
        await exchange.submit(an_order("r1"), Urgency.GROW)
        assert (await exchange._search("r1", "BTC/USDT"))["status"] == "closed"
        with pytest.raises(NotFound):
            await exchange._search("r2", "BTC/USDT")
