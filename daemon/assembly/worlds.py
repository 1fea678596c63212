"""Worlds: a configuration becomes the parts of a daemon. Paper, sandbox and live differ here and nowhere else.

Rule: Config objects end in this file; what is built gets plain values.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from daemon.assembly import riskrules
from daemon.assembly.channels import beat, recipients
from daemon.assembly.deciding import acts_between, capital_of, deciding, settings_of, watched
from daemon.assembly.doors import door_of, refuse_what_it_takes_not
from daemon.assembly.rosters import away, by_volatility, newcomers, plain, remarks, routings, sleeve
from daemon.config import Config, Secret, Secrets
from daemon.config.papers import tiers
from daemon.io.ccxt_epochs import Epoch
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.circuit import Circuit, Circuits, ExchangeInTurn, MarketInTurn
from daemon.io.clock import Clock
from daemon.io.exchange import Exchange, Fatal
from daemon.io.journal import Journal, Put, Recovered
from daemon.io.notify import Notifier, watchdog_interval
from daemon.io.paper_exchange import PaperExchange
from daemon.io.rategate import RateGate
from daemon.parts import Parts, Process, Renewal, StartRefused
from daemon.reloading import Reloader


def build(
    config: Config,
    secrets: Secrets,
    journal: Journal,
    recovered: Recovered,
    clock: Clock,
    progress: Callable[[int, int], None],
    *,
    notifier: Notifier | None = None,
    exchange: Exchange | None = None,
    circuits: Circuits | None = None,
) -> Parts:
    """Everything that belongs to the account of this configuration. `exchange`: a venue in memory, in place of the one that it names.

    `circuits`: what the accounts of this process have found of their venues.
    """
    core, shared = deciding(config), circuits or Circuits(clock)
    world = recovered.values, clock, shared
    return Parts(
        exchange=ExchangeInTurn(exchange, Circuit(clock))
        if exchange
        else _exchange(config, secrets, _paper_store(journal), *world, may_set=config.mode != "shadow"),
        journal=journal,
        recovered=recovered,
        clock=clock,
        symbols=core.symbols,
        timeframe=core.timeframe,
        grace=config.grace,
        source=config.bars.source,
        poll_every=config.reconcile.every,
        source_file=str(config.source),
        identity={"name": config.name, "mode": config.mode, "exchange": config.exchange.id},
        account_name=config.account,
        place=config.place,
        countdown=config.exchange.dead_mans_switch if config.mode in ("sandbox", "live") else None,
        detail=config.journal.detail,
        vets_key=config.mode == "live" and not config.live.key_may_withdraw,
        ledger=core.ledger,
        table=core.table,
        account=core.account,
        portfolio=core.portfolio,
        curves=core.curves,
        manager=core.manager,
        reconciler=core.reconciler,
        runner=core.runner,
        membership=core.membership,
        analyzer=core.analyzer,
        breakers=core.breakers,
        margin=core.margin,
        notifier=notifier or Notifier(None),
        progress=progress,
        watched=core.watched,
        away=away(config),
        remarks=remarks(config),
    )


def process(accounts: Sequence[tuple[Config, Secrets]], clock: Clock, environ: Mapping[str, str]) -> Process:
    """What the accounts of one instance share, whose configurations are as they stand in the file."""
    (first, secrets), configs = accounts[0], [config for config, _ in accounts]
    return Process(
        clock=clock,
        identity={"name": first.name, "mode": first.mode, "exchange": ", ".join(each.exchange.id for each in configs)},
        notifier=Notifier(environ.get("NOTIFY_SOCKET")),
        watchdog_s=watchdog_interval(environ),
        listen=(first.api.host, first.api.port, _reveal(secrets.token)),
        reread=Reloader(configs, environ, renewal),
        recipients=recipients(first, secrets),
        beat=beat(first, secrets),
        routings=routings(first.whole),
        age_max=first.reconcile.age_max,
    )


def door(config: Config, secrets: Secrets, clock: Clock, epoch: Epoch | None = None, *, may_set: bool = False) -> CcxtExchange:
    """The venue as ccxt reaches it; without keys in mode paper. `epoch`: since when it has counted anew, where it has.

    `may_set`: leverage and modes of the account may be set as configured; whoever only looks changes nothing.

    Raises:
        StartRefused: there is no such exchange, or the addresses given for it contradict the mode.
    """
    try:
        venue = door_of(config, epoch, may_set=may_set)(
            config.exchange.id,
            tuple(sorted(config.universe.symbols)) + watched(config),
            sandbox=config.mode == "sandbox",
            api_key=_reveal(secrets.api_key) or "",
            secret=_reveal(secrets.secret) or "",
            password=_reveal(secrets.password) or "",
            overrides=config.exchange.ccxt,
            gate=RateGate(clock),
            clock=clock,
            may_lack=frozenset() if config.universe.select is None else frozenset(config.universe.symbols),
        )
    except Fatal as error:
        raise StartRefused(f"{config.source}: {error.text}", 78) from None
    refuse_what_it_takes_not(config, venue)
    return venue


def renewal(running: Config, wanted: Config, changed: tuple[str, ...]) -> Renewal:
    """What of a changed configuration may be taken up while the daemon runs.

    Raises:
        ConfigError: what it says of a strategy does not fit.
    """
    new = newcomers(running, wanted)
    return Renewal(
        settings=settings_of(wanted),
        capital=capital_of(wanted),
        correlation_jump=wanted.risk.correlation_jump,
        restate=acts_between(wanted),
        breakers=riskrules.breakers(wanted),
        sleeves=tuple(
            sleeve(wanted, index, contained=True) if each.name in new else plain(wanted, index)
            for index, each in enumerate(wanted.strategies)
        ),
        newcomers=new,
        away=tuple(job for job in away(wanted) if job.name in new),
        inverse_volatility=by_volatility(wanted),
        keep_removed=wanted.removed_strategies == "keep",
        changed=changed,
        remarks=tuple(text for text in remarks(wanted) if text not in remarks(running)),
    )


def account_of(config: Config, secrets: Secrets, record: Recovered | None, clock: Clock) -> Exchange:
    """The account of a configuration, to be read: the venue's, or the simulated one as its journal knows it; what happens is not kept."""

    async def forget(_state: str) -> None: ...

    return _exchange(config, secrets, forget, record.values if record else {}, clock, Circuits(clock))


def _exchange(
    config: Config,
    secrets: Secrets,
    save: Callable[[str], Coroutine[Any, Any, None]],
    values: Mapping[str, str],
    clock: Clock,
    circuits: Circuits,
    *,
    may_set: bool = False,
) -> Exchange:
    venue = door(config, secrets, clock, Epoch.of(values), may_set=may_set)
    circuit = circuits.at(venue.place)
    if config.mode != "paper":
        return ExchangeInTurn(venue, circuit)
    paper = config.paper
    return PaperExchange(
        MarketInTurn(venue, circuit),
        balances=paper.balances,
        fee=(paper.fee.maker, paper.fee.taker),
        tiers=tiers(paper.fee),
        slippage_bps=paper.slippage_bps,
        clock=clock,
        save=save,
        state=values.get("paper"),
    )


def _reveal(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _paper_store(journal: Journal) -> Callable[[str], Coroutine[Any, Any, None]]:
    """Where the simulated account is kept: in the journal, under one key."""

    async def save(state: str) -> None:
        await journal.commit(Put("paper", state))

    return save
