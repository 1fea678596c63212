"""What `check` says: what would trade, in lines a person can compare with the file, and what would be refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.config import Config, load, resolve_secrets
from daemon.parts import StartRefused
from daemon.tools.checks import check_venue, summary
from daemon.venue import Venue
from tests.oneprocess import KEYS, NOWHERE, exchange, written


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with exchange() as running:
        yield running


def configured(folder: Path, venue: Venue | None = None, **sections: Any) -> Config:
    """A configuration that leads to a venue, or nowhere."""
    nowhere = {"public": f"{NOWHERE}/api/v3", "private": f"{NOWHERE}/api/v3"}
    return load(written(folder, venue.ccxt_urls() if venue else {"api": nowhere, "test": nowhere}, **sections), {})


def test_the_summary_has_all_that_would_trade(tmp_path: Path) -> None:
    """Mode, venue, symbols, bars, warm-up, strategy with its parameters and pace, limits and journal: each is in it once."""
    config = configured(tmp_path, risk={"gross": 0.9, "weight_max": 0.35})
    lines = summary(config).splitlines()
    assert lines[0] == f"{tmp_path}/momo.yaml: momo, mode sandbox, binance spot"
    assert lines[1] == "trades 3 symbols in USDT: BTC/USDT, ETH/USDT, SOL/USDT"
    assert lines[2] == "bars of 1s (auto); 80 of them are read before the first decision"
    assert lines[3].startswith("momo: portfolio_momentum, share 1, decides every 1 bars; ")
    assert all(word in lines[3] for word in ("lookback: 5", "rsi_period: 2", "top: 2", "weights: {price: 0.5, ", "floor: none"))
    breakers = "breakers: clock_skew, drift, loop_lag, price_spike, rejects, stale_data, unknown_order"
    assert lines[4:] == ["limits: gross 0.9, weight_max 0.35", "alerts: none", breakers, "journal: momo.sqlite"]


def test_the_summary_counts_durations_in_bars_and_names_the_default_journal(tmp_path: Path) -> None:
    """A schedule given as a length of time is told in bars, and a journal that is not configured by where it will be."""
    strategy = {"name": "slow", "use": "portfolio_momentum", "schedule": {"every": "24h"}}
    lines = summary(configured(tmp_path, timeframe="1h", strategies=[strategy], journal={})).splitlines()
    assert "decides every 24 bars" in lines[3]
    assert lines[-1] == "journal: var/momo.sqlite"
    strategy["schedule"] = {"cron": "0 8 * * *", "tz": "Europe/Berlin", "off_target": 0.05}
    lines = summary(configured(tmp_path, timeframe="1h", strategies=[strategy], journal={})).splitlines()
    assert "decides at 0 8 * * * (Europe/Berlin), and acts when 0.05 off target" in lines[3]


def test_the_summary_names_channels_and_no_address(tmp_path: Path) -> None:
    """What is sent, and how far one may say where: an address is known to whom it belongs, a reference may be one by mistake."""
    channels = [
        {"webhook": "https://hooks.example/services/T0/s3cret-path", "events": ["order.filled", "wave."]},
        {"webhook": {"env": "REBALANCED_WEBHOOK"}, "level": "warning"},
    ]
    text = summary(configured(tmp_path, alerts=channels))
    assert "alerts[0]: errors, and order.filled, wave., to hooks.example\n" in text
    assert "alerts[1]: warnings and errors, to the address in an environment variable\n" in text
    assert "s3cret" not in text


@pytest.mark.parametrize("mode", ["paper", "live"])
async def test_the_venue_is_asked_for_rules_and_account(mode: str, venue: Venue, tmp_path: Path) -> None:
    """Every symbol's rules are shown, and what the account holds where there is one; no order is sent."""
    config = configured(tmp_path, venue, mode=mode)
    text = await check_venue(config, resolve_secrets(config, KEYS))
    for symbol in config.universe.symbols:
        assert f"  {symbol}: steps of " in text
    assert ("the account holds 100000 USDT" in text) is (mode != "paper")
    assert venue.state()["orders"] == []


async def test_what_is_left_alone_is_told_apart(tmp_path: Path) -> None:
    """Who checks learns which coins of the account the daemon will take as its own, and which it will not touch."""
    async with exchange(ETH=2, XRP=7) as venue:
        config = configured(tmp_path, venue)
        lines = (await check_venue(config, resolve_secrets(config, KEYS))).splitlines()
    assert lines[-2:] == ["the account holds 2 ETH, 100000 USDT", "left alone, since no symbol trades it: 7 XRP"]


REFUSED: dict[str, tuple[dict[str, str], dict[str, Any], int]] = {
    "a wrong key": ({**KEYS, "KEY": "another"}, {}, 77),
    "an unknown symbol": (KEYS, {"universe": {"quote": "USDT", "symbols": ["BTC/USDT", "ETX/USDT"]}}, 78),
    "a bar length that the venue does not have": (KEYS, {"timeframe": "7s"}, 78),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_run_would_refuse_check_refuses(what: str, venue: Venue, tmp_path: Path) -> None:
    """Everything that would end a start ends the check, with the same exit code."""
    keys, sections, code = REFUSED[what]
    config = configured(tmp_path, venue, **sections)
    with pytest.raises(StartRefused) as caught:
        await check_venue(config, resolve_secrets(config, keys))
    assert caught.value.exit_code == code


async def test_a_venue_that_is_away_is_said(tmp_path: Path) -> None:
    """A check does not wait for a venue as the daemon does: it fails, and not as if the file were wrong."""
    config = configured(tmp_path)
    with pytest.raises(StartRefused) as caught:
        await check_venue(config, resolve_secrets(config, KEYS))
    assert caught.value.exit_code == 1
