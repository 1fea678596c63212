"""Worlds: a configuration becomes the parts of a daemon. Paper, sandbox and live differ here and nowhere else.

Rule: Config objects end in this file; what is built gets plain values.
"""

from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import strategies
from daemon.config import Config, Secret, Secrets
from daemon.core import planner, risk
from daemon.core.account import Account
from daemon.core.ledger import Ledger
from daemon.core.orders import OrderManager
from daemon.core.ordertable import OrderTable
from daemon.core.reconciler import PositionReconciler
from daemon.core.runner import Sleeve, StrategyRunner
from daemon.core.schedule import Schedule
from daemon.core.strategy import Universe
from daemon.core.trading import Settings
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.clock import Clock
from daemon.io.exchange import Exchange, Fatal
from daemon.io.journal import Journal, Put, Recovered
from daemon.io.notify import Notifier, watchdog_interval
from daemon.io.paper_exchange import PaperExchange
from daemon.io.rategate import RateGate
from daemon.parts import Parts, StartRefused

# A decision rests on prices; older than this, a slice that was filled in late decides nothing (a stale stream is noticed within 15 s).
FRESH = timedelta(seconds=15)

# An order that is still open after this is cancelled.
WORKING = timedelta(seconds=60)


def build(
    config: Config,
    secrets: Secrets,
    journal: Journal,
    recovered: Recovered,
    clock: Clock,
    environ: Mapping[str, str],
    progress: Callable[[int, int], None],
) -> Parts:
    """Everything that a daemon of this configuration is made of."""
    symbols = tuple(sorted(config.universe.symbols))
    ledger, table = Ledger(), OrderTable()
    account = Account(config.universe.quote, ledger, table, FRESH)
    return Parts(
        exchange=_exchange(config, secrets, journal, recovered, clock),
        journal=journal,
        recovered=recovered,
        clock=clock,
        symbols=symbols,
        timeframe=config.bar_length,
        grace=config.grace,
        source=config.bars.source,
        poll_every=config.reconcile.every,
        source_file=str(config.source),
        identity={"name": config.name, "mode": config.mode, "exchange": config.exchange.id},
        ledger=ledger,
        table=table,
        account=account,
        manager=OrderManager(_settings(config), account, table),
        reconciler=PositionReconciler(symbols, ledger, table),
        runner=runner(config),
        notifier=Notifier(environ.get("NOTIFY_SOCKET")),
        watchdog_s=watchdog_interval(environ),
        listen=(config.api.host, config.api.port, _reveal(secrets.token)),
        progress=progress,
    )


def door(config: Config, secrets: Secrets, clock: Clock) -> CcxtExchange:
    """The venue as ccxt reaches it; without keys in mode paper.

    Raises:
        StartRefused: there is no such exchange, or the addresses given for it contradict the mode.
    """
    try:
        return CcxtExchange(
            config.exchange.id,
            tuple(sorted(config.universe.symbols)),
            sandbox=config.mode == "sandbox",
            api_key=_reveal(secrets.api_key) or "",
            secret=_reveal(secrets.secret) or "",
            password=_reveal(secrets.password) or "",
            overrides=config.exchange.ccxt,
            gate=RateGate(clock),
            clock=clock,
        )
    except Fatal as error:
        raise StartRefused(f"{config.source}: {error.text}", 78) from None


def _exchange(config: Config, secrets: Secrets, journal: Journal, recovered: Recovered, clock: Clock) -> Exchange:
    market = door(config, secrets, clock)
    if config.mode != "paper":
        return market
    paper = config.paper
    return PaperExchange(
        market,
        balances=paper.balances,
        fee=(paper.fee.maker, paper.fee.taker),
        slippage_bps=paper.slippage_bps,
        clock=clock,
        save=_paper_store(journal),
        state=recovered.values.get("paper"),
    )


def _settings(config: Config) -> Settings:
    execution = config.execution
    # A simulated order may wait for the next bar, where a venue tells nothing between two; a real market order ends at once or hangs.
    working = max(WORKING, 2 * config.bar_length) if config.mode == "paper" else WORKING
    return Settings(
        # Orders of a paper, a sandbox and a live instance of one name must never be taken for one another's.
        instance=f"{config.name}|{config.mode}",
        quote=config.universe.quote,
        limits=risk.Limits(gross=config.risk.gross, weight_max=config.risk.weight_max),
        rules=planner.Rules(
            band=Decimal(repr(execution.band)),
            band_relative=Decimal(repr(execution.band_relative)),
            to_edge=execution.destination == "edge",
        ),
        fresh=FRESH,
        working=working,
        held_up=working + WORKING / 2,  # after the cancel of what has worked too long, so that its wave sees how it ended
    )


def runner(config: Config) -> StrategyRunner:
    """The strategies with their shares and schedules, fresh.

    Raises:
        ValueError: parameters that do not go together.
    """
    symbols = tuple(sorted(config.universe.symbols))
    universe = Universe(symbols, config.bar_length)
    sleeves = [
        Sleeve(
            wanted.name,
            strategies.REGISTRY[wanted.use](wanted.params, universe),
            float(wanted.share),
            Schedule(wanted.schedule.bars(config.bar_length) * config.bar_length, at_start=wanted.schedule.at_start),
        )
        for wanted in config.strategies
    ]
    return StrategyRunner(
        symbols,
        config.bar_length,
        sleeves,
        min_coverage=config.bars.min_coverage,
        synthetic_max=config.bars.synthetic_max,
        decide_within=FRESH,
    )


def _reveal(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _paper_store(journal: Journal) -> Callable[[str], Coroutine[Any, Any, None]]:
    """Where the simulated account is kept: in the journal, under one key."""

    async def save(state: str) -> None:
        await journal.commit(Put("paper", state))

    return save
