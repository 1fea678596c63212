"""The keys of the planner: what is taken, what is refused, and in which words."""

from decimal import Decimal
from pathlib import Path

import pytest

from daemon.core.planner_inputs import Rules
from daemon.worlds import deciding, watched
from tests.test_config import changed, read, refusals


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
    assert core.manager._settings.rules == Rules(
        band=Decimal("0.02"),
        band_relative=Decimal("0.2"),
        band_average=Decimal("0.3"),
        risk_aversion=Decimal(3),
        turnover_max=Decimal("2.0"),
        raise_max=Decimal(2),
        fee_asset="BNB",
        fee_reserve=Decimal("0.5"),
    )
    assert core.account.quotes == ("USDT", "USDC")
    assert watched(config) == core.watched == ("EUR/USDT", "USDC/USDT")
