"""The worlds: one configuration makes the same daemon in paper, sandbox and live, but for what must differ."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.assembly.deciding import runner, settings_of
from daemon.assembly.rosters import _schedule
from daemon.assembly.worlds import build, door
from daemon.config import Config, Secrets, load, resolve_secrets
from daemon.core.ordertable import tag
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.circuit import Circuits, ExchangeInTurn, MarketInTurn
from daemon.io.clock import SystemClock
from daemon.io.journal import Journal
from daemon.io.paper_exchange import PaperExchange
from daemon.parts import Parts, StartRefused
from tests.oneprocess import KEYS, NOWHERE, SYMBOLS, written

ADDRESSES = {"public": f"{NOWHERE}/api/v3", "private": f"{NOWHERE}/api/v3"}
URLS = {"api": ADDRESSES, "test": ADDRESSES}
ELSEWHERE = {name: dict.fromkeys(("public", "private"), "http://127.0.0.1:8/api/v3") for name in ("api", "test")}
MODES = ("paper", "sandbox", "live")


def configured(folder: Path, **sections: Any) -> Config:
    """A configuration as it is loaded."""
    return load(written(folder, URLS, **sections), {})


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "momo.sqlite", instance="momo", mode="paper", clock=SystemClock()) as kept:
        yield kept


async def built(folder: Path, journal: Journal, **sections: Any) -> Parts:
    """The parts of a daemon, without a loop's work in them."""
    config = configured(folder, **sections)
    return build(config, resolve_secrets(config, KEYS), journal, journal.recover(), SystemClock(), lambda _done, _all: None)


@pytest.mark.parametrize("mode", MODES)
async def test_a_mode_decides_who_holds_the_money(mode: str, tmp_path: Path, journal: Journal) -> None:
    """Paper simulates the account on the venue's market data; sandbox and live talk to the venue itself."""
    parts = await built(tmp_path, journal, mode=mode)
    assert isinstance(parts.exchange, PaperExchange if mode == "paper" else ExchangeInTurn)
    behind = parts.exchange._market
    assert isinstance(behind, MarketInTurn if mode == "paper" else CcxtExchange)
    assert (parts.identity["mode"], parts.symbols, parts.timeframe) == (mode, SYMBOLS, timedelta(seconds=1))


@pytest.mark.parametrize(("urls", "mode", "shared"), [(URLS, "sandbox", True), (URLS, "paper", True), (ELSEWHERE, "sandbox", False)])
async def test_accounts_at_one_venue_share_what_they_find_of_it(
    urls: Any, mode: str, shared: bool, tmp_path: Path, journal: Journal
) -> None:
    """Two at the same hosts have one circuit, in whichever mode; where an account is at other hosts, it has its own."""
    circuits = Circuits(SystemClock())
    found = []
    for name, given in (("one", URLS), ("two", urls)):
        folder = tmp_path / name
        folder.mkdir()
        config = load(written(folder, given, mode=mode), {})
        secrets = resolve_secrets(config, KEYS)
        parts = build(config, secrets, journal, journal.recover(), SystemClock(), lambda _done, _all: None, circuits=circuits)
        door: Any = parts.exchange
        found.append((door._market if mode == "paper" else door)._circuit)
    assert (found[0] is found[1]) is shared


async def test_paper_gives_the_venue_no_key(tmp_path: Path) -> None:
    """Even where keys are configured, mode paper asks for none and hands none on."""
    config = configured(tmp_path, mode="paper", exchange={"id": "binance", "credentials": {"api_key": {"env": "KEY"}}})
    secrets = resolve_secrets(config, {})
    assert secrets == Secrets()
    exchange = door(config, secrets, SystemClock())
    assert not exchange._keyed
    assert not exchange._client.apiKey


def test_orders_of_one_name_differ_by_mode(tmp_path: Path) -> None:
    """A paper, a sandbox and a live instance of one name never take each other's orders for their own."""
    assert len({tag(settings_of(configured(tmp_path, mode=mode)).instance) for mode in MODES}) == len(MODES)


async def test_sandbox_and_live_go_to_different_places(tmp_path: Path) -> None:
    """Mode sandbox is led by urls.test, modes live and paper by urls.api; an address for one is none for the other."""
    places = {}
    for mode in MODES:
        urls = {
            side: {name: url.replace(":9", f":{port}") for name, url in ADDRESSES.items()} for side, port in (("api", 10), ("test", 11))
        }
        config = load(written(tmp_path, urls, mode=mode), {})
        exchange = door(config, resolve_secrets(config, KEYS), SystemClock())
        places[mode] = exchange._client.urls["api"]["private"]
    assert {mode: url.split(":")[2].split("/")[0] for mode, url in places.items()} == {"paper": "10", "sandbox": "11", "live": "10"}


def test_an_exchange_that_does_not_exist_is_a_mistake_of_the_file(tmp_path: Path) -> None:
    """The name of the exchange is judged where the file is: exit code 78, the file's name, and no connection."""
    config = configured(tmp_path, mode="paper", exchange={"id": "binanze"})
    with pytest.raises(StartRefused, match=r"momo\.yaml") as caught:
        door(config, Secrets(), SystemClock())
    assert caught.value.exit_code == 78


def test_numbers_arrive_as_they_were_written(tmp_path: Path) -> None:
    """Bands cross into Decimal by their digits, not by their binary fraction, and limits stay what they are."""
    execution = {"band": 0.1, "band_relative": 0.3, "destination": "edge"}
    settings = settings_of(configured(tmp_path, execution=execution, risk={"gross": 0.9, "weight_max": 0.35}))
    assert (settings.rules.band, settings.rules.band_relative, settings.rules.to_edge) == (Decimal("0.1"), Decimal("0.3"), True)
    assert (settings.limits.gross, settings.limits.weight_max) == (0.9, 0.35)
    assert settings.quote == "USDT"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("timeframe", ["1s", "1m", "1h", "1d"])
def test_a_wave_outlasts_the_cancel_of_its_orders(mode: str, timeframe: str, tmp_path: Path) -> None:
    """Whatever the bars, an order that works too long is cancelled before its wave stops waiting; only paper waits for bars."""
    settings = settings_of(configured(tmp_path, mode=mode, timeframe=timeframe, bars={"grace": "100ms"}))
    assert settings.working < settings.held_up
    bars = load(written(tmp_path, URLS, mode=mode, timeframe=timeframe), {}).bar_length
    assert settings.working == (max(timedelta(minutes=1), 2 * bars) if mode == "paper" else timedelta(minutes=1))


async def test_a_paper_account_goes_on_where_the_journal_says(tmp_path: Path, journal: Journal) -> None:
    """What the simulated account was last saved as is what it is; the configured balances open a fresh one only."""
    paper = {"balances": {"USDT": 500}}
    parts = await built(tmp_path, journal, mode="paper", paper=paper)
    assert {c: b.total for c, b in (await parts.exchange.balances()).items()} == {"USDT": 500}
    again = await built(tmp_path, journal, mode="paper", paper={"balances": {"USDT": 9000}})
    assert {c: b.total for c, b in (await again.exchange.balances()).items()} == {"USDT": 500}


def test_rules_between_due_times_arrive(tmp_path: Path) -> None:
    """Zone and cron, the smallest distance of all strategies, the cooldown in bars and the turnover reach those who keep them."""
    strategies = [
        {
            "name": "a",
            "use": "portfolio_momentum",
            "share": 0.5,
            "schedule": {"cron": "30 2 * * *", "tz": "Europe/Berlin", "off_target": 0.1},
        },
        {"name": "b", "use": "portfolio_momentum", "share": 0.5, "schedule": {"every": 10, "off_target": 0.05}},
    ]
    config = configured(tmp_path, timeframe="1h", strategies=strategies, execution={"cooldown": 6, "turnover_max": 0.5})
    wanted = settings_of(config)
    assert (wanted.off_target, wanted.cooldown, wanted.rules.turnover_max) == (0.05, timedelta(hours=6), Decimal("0.5"))
    berlin, period = (_schedule(each.schedule, config.bar_length) for each in config.strategies)
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    assert berlin.after(summer) == summer + timedelta(minutes=30)
    assert period.times == timedelta(hours=10)


def test_nobody_hears_of_slices_that_no_rule_asks_for(tmp_path: Path) -> None:
    """Without a distance or a cooldown, a slice at which nobody is due costs its indicators and nothing else."""
    plain = {"name": "a", "use": "portfolio_momentum"}
    watched = {**plain, "schedule": {"off_target": 0.1}}
    assert not runner(configured(tmp_path, strategies=[plain])).restate
    assert runner(configured(tmp_path, strategies=[watched])).restate
    assert runner(configured(tmp_path, strategies=[plain], execution={"cooldown": "6h"})).restate
    assert runner(configured(tmp_path, strategies=[plain], risk={"volume_share_max": 0.01})).restate
    assert runner(configured(tmp_path, strategies=[plain], risk={"correlation_scale": 0.5})).restate
