"""The public side of swaps through ccxt's unified calls: on real sockets with the class that the venue speaks to, offline with others."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from daemon.assembly.worlds import door
from daemon.config import Secrets, load
from daemon.io.ccxt_library import ccxt
from daemon.io.ccxt_parse import instrument, settlement
from daemon.io.ccxt_swapmarket import SwapMarket, in_base, told_marks
from daemon.io.ccxt_swaps import SwapExchange
from daemon.io.clock import SystemClock
from daemon.io.exchange import Marking, NotSent, Unknown
from daemon.io.rategate import RateGate
from daemon.tools.doctor import _able
from daemon.tools.findings import Verdict
from daemon.venue import Venue, VenueSettings
from daemon.venue.swap.exchange import SwapExchange as Swaps
from tests.research.files import configured

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
NEXT_MS = 1_700_000_000_000
NEXT = datetime.fromtimestamp(NEXT_MS / 1000, UTC)


class Unified(SwapMarket):
    """Binance's swaps, by nothing but what ccxt unifies."""

    _special = SwapExchange._special


async def test_marks_and_funding_by_unified_calls() -> None:
    """Rules, mark prices, expected rates, settlements and mark candles are the venue's own, with no end point called by its name."""
    async with Venue(VenueSettings(market="swap", interval="1s", markets=3, history=100)) as venue:
        clock = SystemClock()
        overrides = {"urls": venue.ccxt_urls()}
        market = Unified("binanceusdm", (BTC, ETH), leverage=3, sandbox=True, gate=RateGate(clock), clock=clock, overrides=overrides)
        try:
            rules = await market.connect()
            assert {symbol: rule.leverage for symbol, rule in rules.items()} == {BTC: 3, ETH: 3}
            assert isinstance(market, Marking)
            found = await market.marks((BTC, ETH))
            own = cast("Swaps", venue.exchange)
            assert found.keys() == {BTC, ETH}
            for symbol, mark in found.items():
                theirs = float(own.margin.mark(own.market(symbol[:3] + "USDT")))
                assert mark.price == pytest.approx(theirs, rel=0.02)
                assert mark.funding is not None
                assert mark.funding.next_at > clock.now()
            bars = await market.page(BTC, timedelta(seconds=1), clock.now() - timedelta(seconds=30), "mark")
            assert len(bars) > 10
            with pytest.raises(NotSent):
                await market.watch_marks((BTC,), lambda _symbol, _mark: None)
        finally:
            await market.close()


def test_what_other_venues_tell_is_read_as_ccxt_unifies_it() -> None:
    """Bybit tells mark prices with its rates, OKX rates and mark prices apart; a market of which only a rate is told has no mark."""
    told = {"symbol": "BTCUSDT", "markPrice": "30000.5", "fundingRate": "-0.0002", "nextFundingTime": str(NEXT_MS)}
    bybit = {BTC: ccxt.async_support.bybit().parse_funding_rate(told, {"symbol": BTC})}
    mark = told_marks([BTC, ETH], bybit, {})[BTC]
    assert mark.price == 30000.5
    assert mark.funding is not None
    assert (mark.funding.rate, mark.funding.next_at, mark.funding.interval) == (-0.0002, NEXT, timedelta(hours=8))
    told = {"instId": "BTC-USDT-SWAP", "fundingRate": "0.0001", "fundingTime": str(NEXT_MS), "nextFundingTime": str(NEXT_MS + 14_400_000)}
    okx = {BTC: ccxt.async_support.okx().parse_funding_rate(told, {"symbol": BTC})}
    assert told_marks([BTC], okx, {}) == {}
    mark = told_marks([BTC], okx, {BTC: {"markPrice": "30001"}})[BTC]
    assert mark.price == 30001.0
    assert mark.funding is not None
    assert (mark.funding.rate, mark.funding.next_at, mark.funding.interval) == (0.0001, NEXT, timedelta(hours=4))


def test_contracts_are_counted_in_base_units() -> None:
    """OKX counts contracts of a hundredth of a bitcoin: steps and bounds come out in bitcoin, and prices as they are."""
    raw = {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "settleCcy": "USDT", "ctVal": "0.01", "ctMult": "1",
        "ctType": "linear", "ctValCcy": "BTC", "tickSz": "0.1", "lotSz": "0.1", "minSz": "0.1", "state": "live", "lever": "100",
        "maxMktSz": "12000", "maxLmtSz": "100000000",
    }  # fmt: skip
    client = ccxt.async_support.okx({"number": str})
    rules = instrument(in_base(client.parse_market(raw)), client.precisionMode)
    assert (rules.symbol, rules.amount_step, rules.amount_min, rules.price_tick) == (
        BTC,
        Decimal("0.001"),
        Decimal("0.001"),
        Decimal("0.1"),
    )


async def test_a_venue_without_mark_candles_gives_none(tmp_path: Path) -> None:
    """In mode paper any venue's swaps have a door; what it does not tell is refused, not taken from trades, and the doctor names it."""
    path = configured(tmp_path, ["BTC/USDC:USDC"], exchange={"id": "hyperliquid", "market": "swap"})
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "universe": {**content["universe"], "quote": "USDC"}, "paper": {"balances": {"USDC": 1000}}}))
    settings = load(path, {})
    market = door(settings, Secrets(), SystemClock())
    try:
        assert isinstance(market, SwapMarket)
        assert not market.mark_bars
        with pytest.raises(NotSent, match="has no candles of the mark price"):
            await market.page("BTC/USDC:USDC", timedelta(hours=1), datetime.now(UTC), "mark")
    finally:
        await market.close()
    (warned,) = [each for each in _able(settings) if each.verdict is Verdict.WARNING and "mark" in each.text]
    assert warned.text == "hyperliquid has no mark candles, as far as ccxt knows"


@pytest.mark.parametrize("rate", ["1", "-1", "9" * 400, "NaN", None])
def test_a_rate_that_no_settlement_can_have_had_is_refused(rate: str | None) -> None:
    """At a rate of 1 a position would pay all it is worth: that, and what is no number, is no history to be stored."""
    assert settlement({"timestamp": NEXT_MS, "fundingRate": "-0.0075"}) == (NEXT, -0.0075)
    with pytest.raises(Unknown):
        settlement({"timestamp": NEXT_MS, "fundingRate": rate})
