"""A venue in virtual time that makes trouble as a test says, and the life of a daemon on it."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import structlog
from structlog.testing import capture_logs

from daemon import pulse
from daemon.app import Daemon
from daemon.assembly.worlds import build, process
from daemon.config import Secrets, load
from daemon.core.model import Balance, Bar, Instrument, Order, OrderReport
from daemon.core.plain import plain
from daemon.io.circuit import Circuit, ExchangeInTurn
from daemon.io.exchange import BarUpdate, Urgency
from daemon.io.journal import Journal
from tests.core.builders import market
from tests.openapi import conforms
from tests.sim.tape import TapeExchange
from tests.sim.virtual import AtOnceWriter, SimClock, run

START: Final = datetime(2026, 1, 5, 6, tzinfo=UTC)
LENGTH: Final = timedelta(seconds=10)
TICK_S: Final = 0.5  # the clock of the daemon: slower than in earnest, so that an hour passes in seconds
WARM: Final = 60  # bars before the daemon starts: the guard of prices wants 51

Closes = Mapping[str, Sequence[float]]


class TroubledExchange(TapeExchange):
    """As the tape, but for what the hooks say; `sent` has every request to trade, with its moment."""

    def __init__(self, closes: Closes, clock: SimClock) -> None:
        self._now = clock.now
        self.sent: list[tuple[datetime, Order]] = []
        self.before_submit: Callable[[Order], Awaitable[None]] | None = None
        self.silent: Callable[[str, datetime], bool] = lambda _symbol, _now: False
        self.halted: Callable[[str, datetime], bool] = lambda _symbol, _now: False
        self.lost: Callable[[], None] | None = None
        self.missing: Callable[[datetime], Decimal] = lambda _now: Decimal(0)
        self.ahead: Callable[[datetime], timedelta] = lambda _now: timedelta(0)
        history = {symbol: _bars(symbol, row) for symbol, row in closes.items()}
        markets: dict[str, Instrument] = {symbol: market(symbol) for symbol in closes}
        super().__init__(history, LENGTH, markets, clock)

    async def server_time(self) -> datetime:
        return self._now() + self.ahead(self._now())

    async def markets(self) -> Mapping[str, Instrument]:
        listed = await super().markets()
        return {symbol: replace(market, active=not self.halted(symbol, self._now())) for symbol, market in listed.items()}

    async def submit(self, order: Order, urgency: Urgency) -> OrderReport:
        self.sent.append((self._now(), order))
        if self.before_submit is not None:
            await self.before_submit(order)
        return await super().submit(order, urgency)

    async def order(self, order_id: str, symbol: str) -> OrderReport:
        if self.lost is not None:
            self.lost()
        return await super().order(order_id, symbol)

    async def balances(self) -> Mapping[str, Balance]:
        held = dict(await super().balances())
        held["USDT"] = Balance(held["USDT"].free - self.missing(self._now()), held["USDT"].locked)
        return held

    async def bars(self, symbol: str, timeframe: timedelta, *, since: datetime | None = None, limit: int = 1000) -> list[BarUpdate]:
        found = await super().bars(symbol, timeframe, since=since, limit=limit)
        return [update for update in found if not self.silent(symbol, update.bar.closes_at)]

    async def watch_bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        def heard(update: BarUpdate) -> None:
            if not self.silent(update.bar.symbol, update.bar.closes_at):
                sink(update)

        await super().watch_bars(symbols, timeframe, heard)


def _bars(symbol: str, closes: Sequence[float]) -> list[Bar]:
    opens = [closes[0], *closes[:-1]]
    return [
        Bar(symbol, START + (row + 1) * LENGTH, opened, max(opened, close), min(opened, close), close, 1.0)
        for row, (opened, close) in enumerate(zip(opens, closes, strict=True))
    ]


def at_bar(row: int) -> datetime:
    """When the `row`-th bar of the run closes, counted from 1."""
    return START + (WARM + row) * LENGTH


@dataclass(slots=True)
class Life:
    """What came of a life: its log lines, what the API said at the end, and what the venue was asked to trade."""

    lines: list[Any] = field(default_factory=list)
    status: Mapping[str, Any] = field(default_factory=dict)
    ready: tuple[bool, Sequence[str]] = (False, ())
    why: Mapping[str, Any] = field(default_factory=dict)
    positions: Sequence[Mapping[str, Any]] = ()
    sent: list[tuple[datetime, Order]] = field(default_factory=list)

    def said(self, event: str, code: str) -> list[Any]:
        """The log lines of this name and code."""
        return [line for line in self.lines if line["event"] == event and line.get("code") == code]

    def codes(self) -> list[tuple[str, str, str]]:
        """Scope, level and code of every hold in force at the end."""
        return [(hold["scope"], hold["level"], hold["code"]) for hold in self.status["holds"]]


def configured(
    folder: Path, closes: Closes, weights: Mapping[str, float], breakers: Mapping[str, Any], every: int = 1, **sections: Any
) -> Path:
    """A paper daemon that holds fixed weights, decided `every` so many bars; `sections` replace whole ones."""
    schedule = {"every": every, "at_start": True}
    strategy = {"name": "fixed", "use": "fixed_weights", "schedule": schedule, "params": {"weights": dict(weights)}}
    content: dict[str, Any] = {
        "name": "sim",
        "mode": "paper",
        "exchange": {"id": "binance"},
        "universe": {"quote": "USDT", "symbols": sorted(closes)},
        "timeframe": "10s",
        "strategies": [strategy],
        "risk": {"breakers": dict(breakers)},
        "execution": {"band": 0.002, "band_relative": 0.0},
        "api": {"port": 0},
    }
    path = folder / "sim.yaml"
    path.write_text(json.dumps(content | sections))  # JSON is YAML
    return path


Script = Callable[[Daemon, TroubledExchange, SimClock], Coroutine[Any, Any, None]]


def live(
    config: Path, closes: Closes, prepare: Callable[[TroubledExchange], None], script: Script, symbol: str, *, begins: int = 0
) -> Life:
    """Run a daemon over the bars behind the warm-up, with a script beside it, and look at it a moment after the last bar.

    `begins`: it is started so many bars later, as another life is.
    """
    clock = SimClock(START + (WARM + begins) * LENGTH + LENGTH / 2)
    life = Life()

    async def main() -> None:
        exchange = TroubledExchange(closes, clock)
        prepare(exchange)
        settings = load(config, {})
        with Journal.open(config.with_name("sim.sqlite"), instance=settings.name, mode=settings.mode, clock=clock) as journal:
            journal._writer.stop()
            journal._writer = AtOnceWriter(journal._store)
            parts = build(settings, Secrets(), journal, journal.recover(), clock, lambda _done, _all: None)
            parts.exchange = ExchangeInTurn(exchange, Circuit(clock))
            daemon = Daemon(process([(settings, Secrets())], clock, {}), [parts])
            async with asyncio.TaskGroup() as nest:
                nest.create_task(daemon.run())
                acting = nest.create_task(script(daemon, exchange, clock))
                await clock.sleep((exchange.ends_at - clock.now()).total_seconds() + 1.0)
                life.status, life.ready = daemon.views.status(), daemon.views.ready()
                life.why, life.positions = await daemon.views.why(symbol, None), daemon.views.positions()
                for path, told in (("status", life.status), ("why", life.why), ("positions", life.positions)):
                    conforms(path, plain(told))
                life.sent = exchange.sent
                acting.cancel()
                daemon.stop()

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    tick_s, pulse.TICK_S = pulse.TICK_S, TICK_S  # type: ignore[misc]
    try:
        with capture_logs() as lines:
            run(main())
        life.lines = list(lines)
    finally:
        pulse.TICK_S = tick_s  # type: ignore[misc]
        structlog.reset_defaults()
    return life


async def nothing(_daemon: Daemon, _exchange: TroubledExchange, _clock: SimClock) -> None:
    """A script that leaves everything as it is."""


def wave(base: float, rows: int, move: float = 0.01) -> list[float]:
    """Closes that go up and down a little around `base`, so that fixed weights have something to trade."""
    return [round(base * (1 + move * ((row % 4) - 1.5)), 6) for row in range(WARM + rows)]
