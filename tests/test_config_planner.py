"""The keys of the planner: what is taken, what is refused, and in which words."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from daemon.assembly.deciding import deciding, watched
from daemon.assembly.worlds import door
from daemon.config import Secrets
from daemon.core.planner_inputs import Rules
from daemon.core.styles import MakerTerms, TwapTerms
from daemon.io.clock import SystemClock
from daemon.parts import StartRefused
from tests.test_config import changed, read, refusals

LIVE = ("live: {i_understand: false}", "live: {i_understand: true}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planner")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("universe: {", "universe: {quotes: {USDT: USDT/USDC}, ", "universe.quotes.USDT is universe.quote already; leave it out"),
        (
            "universe: {",
            "universe: {quotes: {USDC: USDT/USDC}, ",
            "universe.quotes.USDC does not say what USDC is worth in universe.quote; write USDC/USDT",
        ),
        (
            "universe: {",
            "universe: {quotes: {ETH: ETH/USDT}, ",
            "universe.symbols[1] trades an asset that pays for others; leave it out, or take that asset out of universe.quotes",
        ),
        ("universe: {", "universe: {watch: [ETH/USDT], ", "universe.watch[0] is traded, and so watched anyway; leave it out"),
        (
            "universe: {",
            "universe: {watch: [USDC/USDT, USDC/USDT], ",
            "universe.watch[1] is the same as universe.watch[0]; leave one of them out",
        ),
        (
            "band_relative: 0.10",
            "fee_reserve: 2",
            "execution.fee_reserve is an amount of execution.fee_asset, which is missing; name the asset",
        ),
        ("band_relative: 0.10", "fee_asset: USDT", "execution.fee_asset is a quote, and fees in a quote are reserved anyway; leave it out"),
        (
            "style: market",
            "style: vwap",
            "execution.style is not market, limit, maker_then_taker or twap; did you mean twap?",
        ),
        (
            "style: market",
            "style: maker_then_taker, maker_then_taker: {passive: 3m}",
            "execution.maker_then_taker.passive is not below execution.maker_then_taker.total; shorten it, or lengthen the other",
        ),
        (
            "style: market",
            "style: twap, twap: {interval: 1h}",
            "execution.twap.interval is not at most execution.twap.horizon; shorten it, or lengthen the other",
        ),
        (
            "style: market",
            "style: twap, twap: {participation: 0}",
            "execution.twap.participation is 0; give a number above 0 and at most 1",
        ),
        ("style: market", "style: limit, price_cap: 0", "execution.price_cap is 0; give a number from 0.0001 to 0.1"),
        ("style: market", "style: limit, price_cap: 0.5", "execution.price_cap is 0.5; give a number from 0.0001 to 0.1"),
        ("band_relative: 0.10", "raise_max: 0.5", "execution.raise_max is 0.5; give a number from 1 to 100"),
    ],
)
def test_one_mistake_is_one_sentence(folder: Path, old: str, new: str, sentence: str) -> None:
    """A mistake is one sentence: where, what, and what to do."""
    assert refusals(folder, changed((old, new))) == (sentence,)


def test_the_rules_reach_the_planner(folder: Path) -> None:
    """Each key of execution that says when and how far to trade arrives where plans are made, and so do further quotes."""
    keys = "band_relative: 0.2, band_average: 0.3, risk_aversion: 3, raise_max: 2, fee_asset: BNB, fee_reserve: 0.5"
    universe = "universe: {quotes: {USDC: USDC/USDT}, watch: [EUR/USDT], "
    config = read(folder, changed(("band_relative: 0.10", keys), ("universe: {", universe)))
    core = deciding(config, simulated=True)
    assert core.manager.settings.rules == Rules(
        band=Decimal("0.02"),
        band_relative=Decimal("0.2"),
        band_average=Decimal("0.3"),
        risk_aversion=Decimal(3),
        turnover_max=Decimal("2.0"),
        raise_max=Decimal(2),
        fee_asset="BNB",
        fee_reserve=Decimal("0.5"),
    )
    assert core.manager.settings.price_cap is None
    assert core.account.quotes == ("USDT", "USDC")
    assert watched(config) == core.watched == ("EUR/USDT", "USDC/USDT")


def test_a_simulated_order_can_fill(folder: Path) -> None:
    """In mode paper, slippage as large as the cap would let no order fill; a little more cap, or another mode, and all is well."""
    paper, capped = ("mode: sandbox", "mode: paper"), ("style: market", "style: limit, price_cap: 0.0005")
    (said,) = refusals(folder, changed(paper, capped))
    assert said == "paper.slippage_bps is not below execution.price_cap (a fraction), so no order would fill; lower it, or raise the cap"
    read(folder, changed(capped))
    read(folder, changed(paper, ("style: market", "style: limit, price_cap: 0.0006")))


def test_style_limit_caps_the_price(folder: Path) -> None:
    """The cap reaches the orders with style limit alone, by default half a percent."""
    for written, cap in (("style: limit", "0.005"), ("style: limit, price_cap: 0.02", "0.02"), ("style: market, price_cap: 0.02", None)):
        settings = deciding(read(folder, changed(("style: market", written)))).manager.settings
        assert settings.price_cap == (None if cap is None else Decimal(cap))


def test_a_venue_without_such_orders_is_refused_at_the_start(folder: Path) -> None:
    """Where a limit would stay in the book, style limit ends the start with a sentence; style market does not."""
    elsewhere = ("id: binance", "id: coinone")
    with pytest.raises(StartRefused, match=r"style limit cannot be traded, since coinone takes no limit orders .*; write market"):
        door(
            read(folder, changed(elsewhere, ("style: market", "style: limit"), ("mode: sandbox", "mode: live"), LIVE)),
            Secrets(),
            SystemClock(),
        )
    door(read(folder, changed(elsewhere, ("mode: sandbox", "mode: live"), LIVE)), Secrets(), SystemClock())


def test_what_a_paper_account_would_never_fill_is_refused(folder: Path) -> None:
    """Simulated fills are worse by the slippage: where that reaches as far as an order may go, nothing would be taken."""
    paper = ("mode: sandbox", "mode: paper")
    (said,) = refusals(folder, changed(paper, ("style: market", "style: maker_then_taker, maker_then_taker: {max_slip_bps: 5}")))
    assert said.startswith("paper.slippage_bps is not below execution.maker_then_taker.max_slip_bps, so no order would take anything; ")
    limits = "style: twap, twap: {child: limit}, price_cap: 0.0005"
    (said,) = refusals(folder, changed(paper, ("style: market", limits)))
    assert "execution.price_cap" in said
    read(folder, changed(paper, ("style: market", limits.replace("limit}", "market}"))))


def test_the_terms_of_a_style_reach_the_orders(folder: Path) -> None:
    """Each style has its terms and its cap, with the defaults of the ready files; a backtest has neither, since it shows no book."""
    maker = "style: maker_then_taker, maker_then_taker: {passive: 10s, adverse_bps: 30}"
    core = deciding(read(folder, changed(("style: market", maker))))
    settings = core.manager.settings
    assert settings.terms == MakerTerms(
        passive=timedelta(seconds=10),
        total=timedelta(seconds=120),
        min_reprice=timedelta(seconds=5),
        reprice_ticks=2,
        improve_ticks=0,
        requotes=3,
        adverse=Decimal("0.003"),
        must_complete=False,
    )
    assert settings.price_cap == Decimal("0.002")
    core = deciding(read(folder, changed(("style: market", "style: twap, twap: {horizon: 1h}"))))
    minute, tenth = timedelta(minutes=1), Decimal("0.1")
    assert core.manager.settings.terms == TwapTerms(horizon=60 * minute, interval=minute, participation=tenth, bar=core.timeframe)
    assert core.manager.settings.price_cap is None
    simulated = deciding(read(folder, changed(("style: market", maker))), simulated=True).manager.settings
    assert (simulated.terms, simulated.price_cap) == (None, None)


def test_an_exchange_without_resting_orders_is_refused(folder: Path) -> None:
    """Where an order might take although it was to rest, style maker_then_taker ends the start with a sentence."""
    elsewhere = ("id: binance", "id: coinone")
    with pytest.raises(StartRefused, match=r"style maker_then_taker cannot be traded, since coinone takes no limit orders that only rest"):
        door(
            read(folder, changed(elsewhere, ("style: market", "style: maker_then_taker"), ("mode: sandbox", "mode: live"), LIVE)),
            Secrets(),
            SystemClock(),
        )
