"""A daemon and its exchange in the test's own process and loop, on real sockets and a real journal."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any, Final

import httpx

from daemon.app import Daemon
from daemon.assembly.worlds import build, process
from daemon.config import load, resolve_secrets
from daemon.core.events import FlowBooked, WaveSettled
from daemon.core.ledger import OPENING
from daemon.core.model import Flow
from daemon.io.clock import SystemClock
from daemon.io.journal import Journal
from daemon.parts import Parts
from daemon.venue import Venue, VenueSettings
from tests.openapi import promised

SYMBOLS: Final = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
KEYS: Final = {"KEY": "venue-key", "SECRET": "venue-secret"}
NOWHERE: Final = "http://127.0.0.1:9"  # the discard port, where nobody listens
NO_TLS: Final = SSLContext(PROTOCOL_TLS_CLIENT)  # to read whom to trust takes longer than to ask
PATIENCE_S: Final = 15.0  # for what takes a second on an idle machine


@asynccontextmanager
async def exchange(**held: int) -> AsyncIterator[Venue]:
    """An exchange with bars of a second, whose books must agree in the end; the account holds `held`, 100,000 USDT unless it says."""
    balance = {asset: Decimal(amount) for asset, amount in ({"USDT": 100_000} | held).items()}
    async with Venue(VenueSettings(interval="1s", markets=4, history=200, balance=balance)) as running:
        yield running
    assert running.audit() == []


def written(folder: Path, urls: Mapping[str, Any], *, mode: str = "sandbox", **sections: object) -> Path:
    """A configuration that decides on every bar of a second; `sections` replace whole sections."""
    strategy = {
        "name": "momo",
        "use": "portfolio_momentum",
        "schedule": {"every": 1, "at_start": True},
        "params": {"lookback": 5, "rsi_period": 2, "top": 2},
    }
    keys = {"credentials": {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}}
    content: dict[str, object] = {
        "name": "momo",
        "mode": mode,
        "live": {"i_understand": mode == "live"},
        "exchange": {"id": "binance", "ccxt": {"urls": urls}, **({} if mode == "paper" else keys)},
        "universe": {"quote": "USDT", "symbols": list(SYMBOLS)},
        "timeframe": "1s",
        "strategies": [strategy],
        "reconcile": {"every": "2s"},
        "journal": {"path": "momo.sqlite"},
        "api": {"port": 0},
    }
    path = folder / "momo.yaml"
    path.write_text(json.dumps(content | sections))  # JSON is YAML
    return path


async def opened(config: Path, *facts: Any) -> Path:
    """A journal that knows what the exchange's account opens with, so that the next start agrees with it at its first look; and `facts`."""
    settings, at = load(config, {}), SystemClock().now()
    with Journal.open(config.with_name("momo.sqlite"), instance=settings.name, mode=settings.mode, clock=SystemClock()) as journal:
        await journal.commit(FlowBooked(Flow("opening-USDT", "USDT", Decimal(100_000), OPENING, at), at), *facts)
    return config


class Run:
    """One life of a daemon. `change` has its parts before they are joined."""

    def __init__(self, config: Path, keys: Mapping[str, str], change: Callable[[Parts], None]) -> None:
        settings = load(config, {})
        secrets = resolve_secrets(settings, keys)
        self.path = config.with_name("momo.sqlite")
        self.journal = Journal.open(self.path, instance=settings.name, mode=settings.mode, clock=SystemClock())
        try:
            recovered = self.journal.recover()
            self.parts = build(settings, secrets, self.journal, recovered, SystemClock(), lambda _done, _all: None)
            change(self.parts)
            self.daemon = Daemon(process([(settings, secrets)], SystemClock(), {}), [self.parts])
        except BaseException:
            self.journal.close()
            raise
        self.task = asyncio.create_task(self.daemon.run())

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until something is so; a daemon that ends meanwhile raises what ended it."""
        async with asyncio.timeout(PATIENCE_S):
            while not what():
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the daemon has ended")
                await asyncio.sleep(0.01)

    async def settled(self, *, sent: int = 1, after: str = "") -> WaveSettled:
        """The first wave in the journal that has sent so many orders and is of a later decision than `after`."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.task.done():
                waves = await self.journal.waves(1000)
                if found := [wave for wave in waves if wave.sent >= sent and wave.decision.id > after]:
                    return found[-1]
                await asyncio.sleep(0.02)
        self.task.result()
        raise AssertionError("the daemon has ended")

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON that its API answers."""
        async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client:
            answer = await client.get(f"http://127.0.0.1:{self.daemon.api.port}{path}")
        return answer.status_code, promised(answer).json()

    async def post(self, verb: str, argument: str = "", token: str = "open-sesame") -> tuple[int, Any]:
        """Status and JSON that its API answers to a command."""
        async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client:
            url = f"http://127.0.0.1:{self.daemon.api.port}/api/v1/{verb}"
            answer = await client.post(url, json={"argument": argument}, headers={"Authorization": f"Bearer {token}"})
        return answer.status_code, promised(answer).json()

    async def end(self) -> BaseException | None:
        """What it ends with, by itself: the first failure, or nothing."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait((self.task,))
        error = self.task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return error


@asynccontextmanager
async def at_work(config: Path, keys: Mapping[str, str] = KEYS, change: Callable[[Parts], None] = lambda _: None) -> AsyncIterator[Run]:
    """A daemon for the length of the block, stopped in order and in time behind it unless it has ended; no task of it is left."""
    before = asyncio.all_tasks()
    run = Run(config, keys, change)
    with run.journal:
        try:
            yield run
        finally:
            run.daemon.stop()
            done, _ = await asyncio.wait((run.task,), timeout=3.0)
    assert done, "a stop takes less than three seconds"
    await asyncio.sleep(0)
    ours = {"start", "stop", "reload", "renew", "heartbeat"} | {name for name, _ in run.daemon.traders[0].edges()}
    assert {task.get_name() for task in asyncio.all_tasks() - before} & ours == set()
