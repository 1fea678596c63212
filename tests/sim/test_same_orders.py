"""The backtest and the daemon are one program: over the same bars they send the same orders."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from daemon import pulse
from daemon.app import Daemon, routes
from daemon.assembly.deciding import runner
from daemon.assembly.worlds import build, process
from daemon.config import Secrets, load
from daemon.core.model import Bar, Order, from_epoch_ms, is_swap
from daemon.core.paper import PaperAccount
from daemon.io.journal import Journal
from daemon.io.journal.reader import Reader
from daemon.research import bars as stored_bars
from daemon.research import runs
from tests.research import files
from tests.sim.tape import TapeExchange
from tests.sim.virtual import AtOnceWriter, SimClock, run

SYMBOLS: Final = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
LENGTH: Final = timedelta(seconds=10)
LIVE: Final = 240  # bars, 40 minutes
TICK_S: Final = 0.5  # the clock of the daemon, slower than in earnest
RULES: Final = {"amount_step": "0.001", "price_tick": "0.0001", "amount_min": "0.001", "notional_min": "5"}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An hour of log lines is read by nobody, and a clock of tenths of a second makes up most of it."""
    monkeypatch.setattr(pulse, "TICK_S", TICK_S)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


Sent = tuple[str, str, str, Decimal, Decimal, str]


def as_sent(order: Order) -> Sent:
    """What must be the same."""
    return order.id, order.symbol, order.side.value, order.amount, order.price, order.decision_id


def momentum(**params: object) -> dict[str, Any]:
    """A strategy that changes its mind often."""
    return {
        "name": "momo",
        "use": "portfolio_momentum",
        "schedule": {"every": 4},
        "params": {"lookback": 5, "rsi_period": 3, "top": 2} | params,
    }


def configured(folder: Path, *strategies: Mapping[str, Any], symbols: Sequence[str] = SYMBOLS, **execution: object) -> Path:
    """These strategies over bars of ten seconds."""
    sections: dict[str, Any] = {
        "timeframe": "10s",
        "strategies": list(strategies),
        "execution": {"band": 0.005} | execution,
        "api": {"port": 0},
        "logging": {"level": "error"},
    }
    return files.configured(folder, symbols, **sections)


def data(folder: Path, need: int, holes: Mapping[str, Sequence[int]], symbols: Sequence[str] = SYMBOLS) -> Path:
    """Bars for the warm-up and the run behind it; holes are counted from the run's first bar."""
    missing = {symbol: [need + row for row in rows] for symbol, rows in holes.items()}
    path = files.stored(folder, need + LIVE, symbols, missing, name="10s", timeframe=LENGTH)
    (path / "markets.json").write_text(str(dict.fromkeys(symbols, RULES)).replace("'", '"'))
    return path


Script = Callable[[Daemon], Coroutine[Any, Any, None]]


async def traded(config: Path, exchange: TapeExchange, clock: SimClock, script: Script | None = None) -> None:
    """A daemon from its start to the end of a script, or until the last bar is worked off."""
    settings = load(config, {})
    with Journal.open(config.with_name("sim.sqlite"), instance=settings.name, mode=settings.mode, clock=clock) as journal:
        journal._writer.stop()
        journal._writer = AtOnceWriter(journal._store)
        parts = build(settings, Secrets(), journal, journal.recover(), clock, lambda _done, _all: None)
        parts.exchange = exchange
        daemon = Daemon(process([(settings, Secrets())], clock, {}), [parts])
        async with asyncio.TaskGroup() as nest:
            nest.create_task(daemon.run())
            await (worked_off(exchange, clock) if script is None else script(daemon))
            daemon.stop()


async def worked_off(exchange: TapeExchange, clock: SimClock) -> None:
    """Until shortly after the last bar."""
    await clock.sleep((exchange.ends_at - clock.now()).total_seconds() + 5.0)


def taped(folder: Path, need: int, symbols: Sequence[str] = SYMBOLS) -> tuple[TapeExchange, SimClock]:
    """A venue that plays stored bars, at a moment when the warm-up has closed."""
    bars = stored_bars.load(folder, symbols, LENGTH)
    rules, _ = stored_bars.markets(folder, symbols)
    rules = {symbol: replace(rule, shortable=is_swap(symbol), buy_fee_in_base=not is_swap(symbol)) for symbol, rule in rules.items()}
    history = {
        symbol: [Bar(symbol, from_epoch_ms(close), *row) for close, row in zip(each.closes.tolist(), each.values.tolist(), strict=True)]
        for symbol, each in bars.series.items()
    }
    clock = SimClock(files.START + need * LENGTH + LENGTH / 2)
    return TapeExchange(history, LENGTH, rules, clock), clock


def by_daemon(config: Path, folder: Path, need: int, symbols: Sequence[str] = SYMBOLS) -> tuple[list[Sent], PaperAccount]:
    """The orders that the daemon wrote to its journal, oldest first."""
    exchange, clock = taped(folder, need, symbols)
    run(traded(config, exchange, clock))
    return [as_sent(order) for order in intents(config.with_name("sim.sqlite"))], exchange.account


def intents(journal: Path) -> list[Order]:
    """Every intent in a journal, oldest first."""
    with Reader(journal) as reader:
        return [record.order for record in reversed(reader.orders(1000))]


def by_backtest(config: Path, folder: Path, out: Path, need: int) -> list[Sent]:
    """The orders of the backtest, in the order in which they were made."""
    runs.backtest(load(config, {}), folder, out, files.START + (need + 1) * LENGTH, None, routes)
    return [
        (r["order_id"], r["symbol"], r["side"], Decimal(repr(r["amount"])), Decimal(repr(r["price"])), r["decision_id"])
        for r in files.read(out, "orders")
    ]


HOLES: Final[dict[str, dict[str, list[int]]]] = {
    "whole": {},
    "gaps": {
        "A/USDT": [8, 40, 41, 100, 101, 102, 103],
        "B/USDT": [3, 7, 8, 103, 160],
        "C/USDT": [44, 103, 161],
        "D/USDT": [12, 20, 60, 103],  # row 103 is missing everywhere: no slice
    },
}


@pytest.mark.parametrize("holes", list(HOLES))
@pytest.mark.parametrize("exposure", [0.8, 1.0])
def test_daemon_and_backtest_send_the_same_orders(tmp_path: Path, holes: str, exposure: float) -> None:
    """The daemon in virtual time and the backtest over the same bars: same ids, symbols, sides, amounts, reference prices and decisions."""
    config = configured(tmp_path, momentum(exposure=exposure))
    need = runner(load(config, {})).need
    folder = data(tmp_path / "data", need, HOLES[holes])
    live, account = by_daemon(config, folder, need)
    stored = by_backtest(config, folder, tmp_path / "out", need)
    assert len(stored) > 50, "a strategy that trades"
    assert sorted(live) == sorted(stored)
    filled = {row["order_id"]: row for row in files.read(tmp_path / "out", "fills")}
    assert len(filled) > 50
    for order_id, row in filled.items():
        report = account.order(order_id)
        if report is not None:  # the account forgets what ended long ago
            assert [(float(fill.amount), float(fill.price), float(fill.fees[0].amount)) for fill in report.fills] == [
                (row["amount"], row["price"], row["fee"])
            ]


MANY: Final[tuple[dict[str, Any], ...]] = (
    {**momentum(floor=-0.2), "share": 0.25},
    {
        "name": "pair",
        "use": "pairs",
        "share": 0.25,
        "params": {
            "pairs": [["A/USDT", "B/USDT"], ["D/USDT", "A/USDT"]],
            "mode": "long_only",
            "lookback": 8,
            "entry": 1.2,
            "stop": 2.0,
            "max_bars": 9,
            "size": 0.4,
        },
    },
    {
        "name": "sector",
        "use": "sector_rotation",
        "share": 0.25,
        "schedule": {"every": "70s"},
        "params": {
            "sectors": {"x": ["A/USDT", "D/USDT"], "y": ["B/USDT", "C/USDT"]},
            "lookback": 6,
            "margin": 0.002,
            "inside": "inverse_volatility",
        },
    },
    {
        "name": "risk",
        "use": "risk_adjusted",
        "share": 0.25,
        "schedule": {"cron": "*/2 * * * *", "tz": "Europe/Berlin", "off_target": 0.03},
        "params": {"lookback": 10, "half_life": 5, "target_volatility": 5.0},
    },
)


RULED: Final = {"cooldown": 2, "turnover_max": 0.1, "destination": "edge", "style": "limit", "price_cap": 0.02}


@pytest.mark.parametrize("rules", [{}, RULED], ids=["plain", "rules"])
def test_all_strategies_and_rules_send_the_same_orders(tmp_path: Path, rules: dict[str, Any]) -> None:
    """The same of several strategies with due times of every kind, whose memory is in their signals, with and without rules between."""
    config = configured(tmp_path, *MANY, **rules)
    need = runner(load(config, {})).need
    folder = data(tmp_path / "data", need, HOLES["gaps"])
    live, _ = by_daemon(config, folder, need)
    stored = by_backtest(config, folder, tmp_path / "out", need)
    assert len(stored) > 50
    assert sorted(live) == sorted(stored)
    states = {(row["symbol"], row["value"]) for row in files.read(tmp_path / "out", "signals") if row["name"] == "state"}
    assert len(states) == 6, "each pair has held the one, the other and nothing"


SWAPS: Final = tuple(f"{symbol}:USDT" for symbol in SYMBOLS)


def test_long_and_short_send_the_same_orders(tmp_path: Path) -> None:
    """The same of swaps that are bought and sold short, and turned right over, with bars missing."""
    params = {"lookback": 5, "rsi_period": 3, "top": 1, "bottom": 2, "neutral": "beta", "beta_window": 20}
    book = {"name": "book", "use": "long_short_momentum", "schedule": {"every": 4}, "params": params}
    path = files.configured(
        tmp_path,
        SWAPS,
        exchange={"id": "binance", "market": "swap"},
        timeframe="10s",
        strategies=[book],
        execution={"band": 0.005},
        api={"port": 0},
        logging={"level": "error"},
    )
    need = runner(load(path, {})).need
    folder = data(tmp_path / "data", need, {f"{symbol}:USDT": rows for symbol, rows in HOLES["gaps"].items()}, SWAPS)
    live, _ = by_daemon(path, folder, need, SWAPS)
    stored = by_backtest(path, folder, tmp_path / "out", need)
    assert len(stored) > 50
    assert sorted(live) == sorted(stored)
    weights = [row["weight"] for row in files.read(tmp_path / "out", "targets") if row["strategy"] == "*"]
    assert min(weights) < 0 < max(weights)
