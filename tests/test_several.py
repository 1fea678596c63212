"""Several accounts in one daemon, over real sockets: one portfolio to look at, commands for one or for all, a reload for all."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from daemon.app import Daemon
from daemon.assembly.worlds import build, process
from daemon.cli.main import app
from daemon.config import load_all, resolve_secrets
from daemon.io import logs
from daemon.io.clock import SystemClock
from daemon.io.journal import Journal
from daemon.trader import Trader
from daemon.venue import Venue
from daemon.venue.faultscript import read
from tests.oneprocess import KEYS, NO_TLS, NOWHERE, PATIENCE_S, SYMBOLS, exchange, written
from tests.openapi import promised

TOKEN = "open-sesame"


def away(account: str) -> dict[str, Any]:
    """Where nobody listens."""
    return {"test": dict.fromkeys(("public", "private"), f"{NOWHERE}/{account}/api/v3")}


class Run:
    """A daemon with its accounts."""

    def __init__(self, path: Path, opened: ExitStack) -> None:
        keys, clock = {**KEYS, "TOKEN": TOKEN}, SystemClock()
        accounts = [(settings, resolve_secrets(settings, keys)) for settings in load_all(path, {})]
        self.parts = []
        for settings, secrets in accounts:
            journal = opened.enter_context(
                Journal.open(settings.journal_path({}, path.parent), instance=settings.instance, mode=settings.mode, clock=clock)
            )
            self.parts.append(build(settings, secrets, journal, journal.recover(), clock, lambda _done, _all: None))
        self.daemon = Daemon(process(accounts, clock, {}), self.parts)
        self.task = asyncio.create_task(self.daemon.run())

    def trader(self, account: str) -> Trader:
        return next(trader for trader in self.daemon.traders if trader.parts.account_name == account)

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not what():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)

    async def trades(self, account: str) -> None:
        """Until it has had a wave that sent something."""
        manager = self.trader(account).parts.manager
        await self.until(lambda: self.trader(account).views.ready()[0] and manager.last_wave is not None)

    async def ask(self, method: str, path: str, **body: str) -> tuple[int, Any]:
        async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client:
            url = f"http://127.0.0.1:{self.daemon.api.port}{path}"
            answer = await client.request(method, url, json=body or None, headers={"Authorization": f"Bearer {TOKEN}"})
        return answer.status_code, promised(answer).json()


@asynccontextmanager
async def several(path: Path) -> AsyncIterator[Run]:
    with ExitStack() as opened:
        run = Run(path, opened)
        try:
            yield run
        finally:
            run.daemon.stop()
            done, _ = await asyncio.wait((run.task,), timeout=5.0)
        assert done, "a stop takes less than five seconds"


def configured(folder: Path, one: Venue | None, two: Venue | None, **sections: Any) -> Path:
    path = written(folder, {})
    content = json.loads(path.read_text())
    keys = content.pop("exchange")["credentials"]
    content["accounts"] = [
        {
            "name": name,
            "id": "binance",
            "credentials": keys,
            "ccxt": {"urls": venue.ccxt_urls() if venue else away(name)},
            "symbols": symbols,
        }
        for name, venue, symbols in (("one", one, list(SYMBOLS)), ("two", two, list(SYMBOLS[:2])))
    ]
    (momo,) = content["strategies"]
    content["strategies"] = [
        {**momo, "account": "one"},
        {"name": "half", "use": "equal_weight", "account": "two", "schedule": {"every": 1, "at_start": True}, "params": {"exposure": 0.5}},
    ]
    content["api"]["token"] = {"env": "TOKEN"}
    path.write_text(json.dumps(content | sections))
    return path


async def test_two_accounts_are_one_portfolio(tmp_path: Path) -> None:
    """Sums are of both, rows say whose they are, a command for one leaves the other alone, and one for all reaches both."""
    async with exchange() as one, exchange(USDT=50_000) as two, several(configured(tmp_path, one, two)) as run:
        await run.trades("one")
        await run.trades("two")
        _, status = await run.ask("GET", "/api/v1/status")
        parts = {row["account"]: row for row in status["accounts"]}
        assert Decimal(status["equity"]) == sum(Decimal(row["equity"]) for row in parts.values())
        assert (status["state"], status["unknown"], {row["exchange"] for row in parts.values()}) == ("running", [], {"binance"})
        assert {row["account"] for row in status["strategies"]} == {"one", "two"}
        _, positions = await run.ask("GET", "/api/v1/positions")
        assert [(row["account"], row["symbol"]) for row in positions] == [
            *(("one", symbol) for symbol in (*SYMBOLS, "USDT")),
            *(("two", symbol) for symbol in (*SYMBOLS[:2], "USDT")),
        ]
        for view in ("targets", "orders", "fills", "decisions"):
            _, rows = await run.ask("GET", f"/api/v1/{view}")
            assert {row["account"] for row in rows} == {"one", "two"}, view
        assert list((await run.ask("GET", "/api/v1/analysis"))[1]["accounts"]) == ["one", "two"]

        assert (await run.ask("GET", "/api/v1/why/SOL"))[1]["account"] == "one"
        code, refused = await run.ask("GET", "/api/v1/why/BTC")
        assert (code, refused["error"]) == (404, "BTC is traded on one, two; name one of these accounts")
        assert (await run.ask("GET", "/api/v1/why/BTC?account=two"))[1]["account"] == "two"

        code, done = await run.ask("POST", "/api/v1/pause", account="two")
        assert (code, done["state"]) == (200, "paused")
        assert [trader.parts.manager.state for trader in run.daemon.traders] == ["running", "paused"]
        assert (await run.ask("POST", "/api/v1/pause", account="three"))[0] == 404
        code, done = await run.ask("POST", "/api/v1/exclude", argument="SOL")
        assert (code, done["done"].partition(":")[0]) == (200, "one")
        await run.ask("POST", "/api/v1/pause")
        assert [trader.parts.manager.state for trader in run.daemon.traders] == ["paused", "paused"]


async def test_the_command_line_knows_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its verbs take the token from the configuration, command one account, and show each below its name."""
    monkeypatch.setenv("TOKEN", TOKEN)
    async with exchange() as one, exchange() as two:
        path = configured(tmp_path, one, two)
        with capture_logs():  # which would stand between the verbs' own lines
            async with several(path) as run:
                await run.trades("one")
                await run.trades("two")
                await all_verbs(run, path)


async def all_verbs(run: Run, path: Path) -> None:
    """What they say, one after the other."""

    async def said(*words: str) -> str:
        where = ("--url", f"http://127.0.0.1:{run.daemon.api.port}", "--config", str(path))
        answer = await asyncio.to_thread(CliRunner().invoke, app, [*words, *where])
        assert answer.exit_code == 0, answer.output
        return answer.output

    assert "two: paused the account" in await said("pause", "--account", "two")
    assert [trader.parts.manager.state for trader in run.daemon.traders] == ["running", "paused"]
    status = await said("status")
    assert status.index("one  binance  running") < status.index("two  binance  paused")
    assert "account" in (await said("positions")).splitlines()[0]
    assert (await said("analysis")).splitlines()[0] == "one"
    assert "BTC/USDT" in await said("why", "BTC", "--account", "two")


async def test_one_that_was_never_there_keeps_nobody_waiting(tmp_path: Path) -> None:
    """At a start without one exchange the other trades, and the sums say whose worth is missing."""
    async with exchange() as one, several(configured(tmp_path, one, None)) as run:
        await run.trades("one")
        _, status = await run.ask("GET", "/api/v1/status")
        assert (status["unknown"], status["state"], status["equity_at"]) == (["two"], "starting", None)
        assert Decimal(status["equity"]) > 0
        code, told = await run.ask("GET", "/readyz")
        assert code == 503
        assert all(text.startswith("two: ") for text in told["failing"])


async def test_a_refused_key_ends_only_its_account(tmp_path: Path) -> None:
    """Where one of two exchanges refuses the key at the start, that is said, and the other trades."""
    async with exchange() as one, exchange() as two:
        path = configured(tmp_path, one, two)
        content = json.loads(path.read_text())
        content["accounts"][1]["credentials"] = {"api_key": {"env": "SECRET"}, "secret": {"env": "KEY"}}
        path.write_text(json.dumps(content))
        async with several(path) as run:
            await run.trades("one")
            await run.until(lambda: "accounts[1].credentials" in run.trader("two").views.trouble)


async def test_a_reload_is_for_all_or_for_none(tmp_path: Path) -> None:
    """A file that is wrong for one account is refused for both; a right one is taken up by each of them, without a restart."""
    async with exchange() as one, exchange() as two:
        path = configured(tmp_path, one, two)
        async with several(path) as run:
            await run.trades("one")
            await run.trades("two")
            content = json.loads(path.read_text())
            content["risk"] = {"weight_max": 0.11}
            content["accounts"][1]["symbols"] = ["BTC/USDT"]
            path.write_text(json.dumps(content))
            code, refused = await run.ask("POST", "/api/v1/reload")
            assert (code, "needs a restart" in refused["error"]) == (409, True)
            assert {each.manager.settings.limits.weight_max for each in run.parts} == {1.0}
            content["accounts"][1]["symbols"] = list(SYMBOLS[:2])
            path.write_text(json.dumps(content))
            assert (await run.ask("POST", "/api/v1/reload"))[0] == 200
            await run.until(lambda: {each.manager.settings.limits.weight_max for each in run.parts} == {0.11})


async def test_the_others_reduce_beside_one_that_nobody_can_read(tmp_path: Path) -> None:
    """After so long without a reading, the other account only reduces; the first reading ends that; a person may end it before."""
    async with exchange() as one, exchange() as two:
        path = configured(tmp_path, one, two, reconcile={"every": "1s", "age_max": "5s"})
        async with several(path) as run:
            states, manager = run.trader("one").parts.manager.states, run.trader("one").parts.manager
            await run.trades("one")
            await run.trades("two")
            worth = Decimal((await run.ask("GET", "/api/v1/status"))[1]["equity"])
            fault = {"do": "http", "on": "account.status", "status": 503, "body": ""}
            two.exchange.faults.add(read(fault, "here").faults, two.exchange.now())
            await run.until(lambda: [hold.code for hold in states.holds()] == ["account_stale"])
            assert manager.state == "reducing"
            _, status = await run.ask("GET", "/api/v1/status")
            assert Decimal(status["equity"]) == pytest.approx(worth, rel=Decimal("0.01"))
            assert status["equity_at"] == {row["account"]: row["last_reconcile"] for row in status["accounts"]}["two"]
            two.exchange.faults.clear()
            await run.until(lambda: states.holds() == ())
            two.exchange.faults.add(read(fault, "here").faults, two.exchange.now())
            await run.until(lambda: manager.state == "reducing")
            await run.ask("POST", "/api/v1/resume", account="one")
            run.daemon.ages.look()
            assert manager.state == "running"


@pytest.mark.made_up_lines
def test_every_line_says_whose_it_is(capsys: Any) -> None:
    """What is logged about an account carries its name, in tasks that were begun there too; a single one has none."""
    import structlog

    logs.configure("info", "json", "momo")
    try:
        with logs.about("main"):
            structlog.get_logger().info("daemon.ready")
        with logs.about(""):
            structlog.get_logger().info("daemon.ready")
    finally:
        logs.shutdown()
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["account"], "account" in second) == ("main", False)
