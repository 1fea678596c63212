"""The keys of the limits: what is refused, and in which words."""

from pathlib import Path

import pytest

from tests.test_config import changed, refusals


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("limits")


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            "sector_max: 0.5",
            "risk.sector_max bounds universe.sectors, and there are none; add universe.sectors, or leave it out",
        ),
        (
            "groups: {x: {symbols: [BTC/USDT, ETH/USDC], max: 0.2}}",
            "risk.groups.x.symbols[1] is not in universe.symbols; did you mean ETH/USDT?",
        ),
        (
            "groups: {x: {symbols: [], max: 0.2}}",
            "risk.groups.x.symbols is empty; name at least one symbol, or leave the group out",
        ),
        ("groups: {x: {symbols: [BTC/USDT]}}", "risk.groups.x.max is missing; add it, for example `max: 0.2`"),
        (
            "groups: {x: {symbols: [BTC/USDT], max: 1, symbol: 1}}",
            "risk.groups.x.symbol is not a known key; did you mean symbols?",
        ),
        (
            "correlation_scale: 0.5, correlation_jump: 2",
            "risk.correlation_scale waits for a jump of 2, which no correlation makes; lower risk.correlation_jump",
        ),
        (
            "order_notional_max: 100, day_notional_max: 50",
            "risk.order_notional_max is above risk.day_notional_max, which no order passes; lower it, or leave it out",
        ),
        ("funding_max: 0.5", "risk.funding_max is for swaps, and exchange.market is spot; leave it out"),
        ("positions_max: 2.5", "risk.positions_max is 2.5, not a whole number; give a whole number from 1 to 1000"),
        ("turnover_day_max: .inf", "risk.turnover_day_max is not a finite number; give a number above 0 and at most 100"),
    ],
)
def test_one_mistake_is_one_sentence(folder: Path, keys: str, sentence: str) -> None:
    """A mistake is one sentence: where, what, and what to do."""
    assert refusals(folder, changed(("gross: 1.0", keys))) == (sentence,)
