"""The demo: an exchange that goes on where the journal ended, and a journal that is forgotten only when nobody holds it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from daemon.cli.shared import ready_config
from daemon.config import Config, Secrets, load, resolve_secrets
from daemon.core.model import Fill, Flow, Money, Side
from daemon.io.journal import JournalLocked, Recovered
from daemon.parts import StartRefused
from daemon.tools.demo import HISTORY, HISTORY_MAX, KEY, SECRET, START, forget, loopback, refuse_others, venue_settings, with_keys
from tests.io.journal_facts import a_decision, open_journal
from tests.oneprocess import written

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
NOTHING = Recovered(
    fills=(),
    flows=(),
    open_orders=(),
    order_ids={},
    last_decision=None,
    open_decision=None,
    attempts={},
    values={},
    holds=(),
    bookings=(),
    splits={},
    last_fill_at=None,
)
D = Decimal


def demo(timeframe: str = "1s") -> tuple[Config, Secrets]:
    """The configuration that ships, with keys for this run."""
    environ = with_keys({"REBALANCED__TIMEFRAME": timeframe})
    config = load(ready_config("demo.yaml"), environ)
    return config, resolve_secrets(config, environ)


def traded(opened: datetime) -> Recovered:
    """A journal in which a bitcoin was bought for 50,000 and its fee was paid in it."""
    flow = Flow("opening-USDT", "USDT", D(100_000), "opening", opened)
    fill = Fill(
        order_id="r1",
        venue_id="1",
        trade_id="1",
        symbol="BTC/USDT",
        side=Side.BUY,
        amount=D(1),
        price=D(50_000),
        cost=D(50_000),
        fees=(Money(D("0.001"), "BTC"),),
        at=opened + timedelta(seconds=5),
    )
    return replace(NOTHING, flows=(flow,), fills=(fill,))


def test_keys_are_new_every_time() -> None:
    """No two runs share keys, and what else is in the environment stays."""
    first, second = with_keys({"HOME": "/home/me"}), with_keys({"HOME": "/home/me"})
    assert first["HOME"] == "/home/me"
    assert not {first[KEY], first[SECRET]} & {second[KEY], second[SECRET]}


def test_the_first_demo_starts_with_money() -> None:
    """Without a journal the account holds the starting balance, and the exchange takes this run's keys and bars of the file's length."""
    config, secrets = demo()
    settings = venue_settings(config, secrets, NOTHING, NOW)
    assert (settings.balance, settings.history, settings.interval) == (START, HISTORY, "1s")
    assert secrets.api_key is not None
    assert secrets.secret is not None
    assert (settings.key, settings.secret) == (secrets.api_key.reveal(), secrets.secret.reveal())
    assert settings.markets >= len(config.universe.symbols)


@pytest.mark.parametrize(("timeframe", "seconds_a_bar"), [("1s", 1), ("1m", 60)])
def test_the_next_demo_goes_on_where_the_journal_ended(timeframe: str, seconds_a_bar: int) -> None:
    """The account holds what the ledger says, the prices have moved on by the bars that have passed, and numbers are new."""
    config, secrets = demo(timeframe)
    before = venue_settings(config, secrets, NOTHING, NOW - timedelta(hours=1))
    settings = venue_settings(config, secrets, traded(NOW - timedelta(hours=1)), NOW)
    assert settings.balance == {"BTC": D("0.999"), "USDT": D(50_000)}
    assert settings.history == HISTORY + 3600 // seconds_a_bar
    assert settings.seed == before.seed
    assert settings.first_id >= before.first_id + 3600, "more than one trade a second in every market would be needed to meet them"


def test_an_old_journal_does_not_make_the_demo_wait() -> None:
    """Prices are not made anew for years; the account goes on all the same."""
    config, secrets = demo()
    settings = venue_settings(config, secrets, traded(NOW - timedelta(days=400)), NOW)
    assert settings.history == HISTORY <= HISTORY_MAX
    assert settings.balance["BTC"] == D("0.999")


async def test_the_exchange_lives_as_long_as_the_block() -> None:
    """The configuration inside leads to it by normal and sandbox addresses alike; behind the block nobody answers."""
    config, secrets = demo()
    async with loopback(config, secrets, NOTHING) as inside, httpx.AsyncClient(trust_env=False) as client:
        urls = inside.exchange.ccxt["urls"]
        ping = urls["test"]["public"] + "/ping"
        assert urls["api"]["public"] == urls["test"]["public"]
        assert (await client.get(ping)).status_code == 200
        assert config.exchange.ccxt == {}
        assert inside.universe == config.universe
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(ping)


async def test_a_bar_length_that_the_exchange_cannot_play_is_a_mistake_of_the_file() -> None:
    """Bars of seven seconds are refused in one sentence, with the code of a wrong configuration."""
    config, secrets = demo("7s")
    with pytest.raises(StartRefused, match="7s") as caught:
        async with loopback(config, secrets, NOTHING):
            raise AssertionError("it has started")
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("mode", ["paper", "sandbox", "live"])
def test_a_demo_keeps_off_real_journals(mode: str, tmp_path: Path) -> None:
    """A configuration with other keys, or of another mode, is refused: its journal is not a demo's to go on with or to forget."""
    with pytest.raises(StartRefused, match="not for a demo") as caught:
        refuse_others(load(written(tmp_path, {}, mode=mode), {}))
    assert caught.value.exit_code == 78
    refuse_others(demo()[0])


def test_forgetting_removes_the_journal_and_its_companions(tmp_path: Path) -> None:
    """Afterwards a fresh journal begins in its place; of the old one only the lock file is left, and no harm comes from it."""
    path = tmp_path / "demo.sqlite"
    with open_journal(path) as journal:
        asyncio.run(journal.commit(a_decision()))
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).write_bytes(b"left by a crash")
    forget(path)
    assert {each.name for each in tmp_path.iterdir()} <= {"demo.sqlite.lock"}
    with open_journal(path) as fresh:
        assert (fresh.run_id, fresh.recover().last_decision) == (1, None)


async def test_a_journal_that_is_held_is_not_forgotten(tmp_path: Path) -> None:
    """A running demo does not lose its journal to another one's --fresh."""
    path = tmp_path / "demo.sqlite"
    with open_journal(path) as journal:
        with pytest.raises(JournalLocked):
            forget(path)
        await journal.commit(a_decision())
        assert journal.recover().last_decision == a_decision()


def test_nothing_to_forget_is_fine(tmp_path: Path) -> None:
    """The first --fresh finds no journal."""
    forget(tmp_path / "var" / "demo.sqlite")
