"""Deciding: a configuration becomes the parts that decide, the same in every world; no edge is loaded for them.

Rule: Config objects end here, as they do in worlds.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from daemon.assembly import riskrules
from daemon.assembly.rosters import by_volatility, membership, shares, sleeves
from daemon.assembly.styling import group_terms, price_cap, terms
from daemon.config import Config, ConfigError
from daemon.config.times import length
from daemon.core.account import Account
from daemon.core.analyzer import Analyzer
from daemon.core.breakers import Breakers
from daemon.core.capital import Capital
from daemon.core.curves import Curves
from daemon.core.desk import GROSS_MAX
from daemon.core.ledger import Ledger
from daemon.core.marginwatch import MarginWatch
from daemon.core.orders import OrderManager
from daemon.core.ordertable import OrderTable, beginning
from daemon.core.planner_inputs import Rules
from daemon.core.portfolio import Portfolio
from daemon.core.reconciler import Foreign, PositionReconciler
from daemon.core.risk_orders import OrderLimits
from daemon.core.runner import StrategyRunner
from daemon.core.shares import ruled
from daemon.core.sleeves import Sleeves
from daemon.core.staff import Sleeve
from daemon.core.states import States
from daemon.core.trading import Settings
from daemon.parts import Core

# A decision rests on prices; older than this, a slice that was filled in late decides nothing (a stale stream is noticed within 15 s).
FRESH = timedelta(seconds=15)


# An order that is still open after this is cancelled.
WORKING = timedelta(seconds=60)


COMPOUNDING = {"full": Decimal(1), "half": Decimal("0.5"), "none": Decimal(0)}


def deciding(config: Config, *, simulated: bool = False) -> Core:
    """The parts that decide, fresh; the same in every world. `simulated`: fills come from bars whatever the mode, as in a backtest.

    Raises:
        StartRefused: parameters of a strategy that do not go together.
    """
    symbols, settings = tuple(sorted(config.universe.symbols)), settings_of(config, simulated=simulated)
    ledger, table = Ledger(), OrderTable()
    quotes, bar = config.universe.quotes, config.bar_length
    account = Account(config.universe.quote, ledger, table, FRESH, capital_of(config), quotes, FRESH + bar)
    portfolio, states = Portfolio((each.name for each in config.strategies), ledger, table), States()
    foreign = Foreign(config.reconcile.foreign)
    keep_removed, fenced = config.removed_strategies == "keep", foreign is Foreign.RINGFENCE
    sleeves = Sleeves(portfolio, account, table, states, keep_removed=keep_removed, fenced=fenced)
    curves = Curves(account, ledger, portfolio)
    breakers = Breakers(riskrules.breakers(config), states, account, curves, table, symbols, bar, live=not simulated)
    account.believes = breakers.believes
    account.margin_max = config.risk.margin_max
    analyzer = Analyzer(
        symbols,
        config.bar_length,
        account,
        table,
        curves,
        jump=config.risk.correlation_jump,
        slippage=float(config.paper.slippage_bps) / 10_000 if simulated or config.mode == "paper" else None,
    )
    at_work = lenient(config) if simulated else runner(config, contained=True)
    at_work.shares = ruled(shares(config), curves, inverse_volatility=by_volatility(config))
    at_work.holdings = lambda name: sleeves.held(name, at_work.shares().get(name, 0.0))
    account.contributed = lambda: curves.contributed
    manager = OrderManager(settings, account, table, states, sleeves, analyzer)
    return Core(
        symbols=symbols,
        timeframe=config.bar_length,
        ledger=ledger,
        table=table,
        account=account,
        curves=curves,
        portfolio=portfolio,
        manager=manager,
        reconciler=PositionReconciler(symbols, ledger, table, ours=beginning(settings.instance), foreign=foreign),
        runner=at_work,
        membership=membership(config, at_work, manager, account),
        analyzer=analyzer,
        breakers=breakers,
        margin=MarginWatch(account, *riskrules.distances(config)),
        watched=watched(config),
    )


def foreseeing(config: Config) -> Core:
    """The parts that decide, to look at one decision: every strategy in this process, everything planned, nothing sent, nobody asked."""
    core = deciding(config, simulated=True)
    core.manager.renew(replace(settings_of(config), shadow=True, approve=0))
    return core


def watched(config: Config) -> tuple[str, ...]:
    """The markets that are followed and not traded."""
    return tuple(sorted({*config.universe.quotes.values(), *config.universe.watch}))


def capital_of(config: Config) -> Capital:
    """What of the account is traded."""
    wanted = config.capital
    return Capital(
        fixed=wanted.fixed,
        share=wanted.share,
        buffer=wanted.cash_buffer,
        floor=wanted.cash_floor,
        compounding=COMPOUNDING[wanted.compounding],
    )


def settings_of(config: Config, *, simulated: bool = False) -> Settings:
    """The rules of execution as plain values; `simulated` as of `deciding`."""
    execution = config.execution
    # A simulated order may wait for the next bar, where a venue tells nothing between two; a real market order ends at once or hangs.
    working = max(WORKING, 2 * config.bar_length) if simulated or config.mode == "paper" else WORKING
    settings = Settings(
        # Orders of a paper, a sandbox and a live instance of one name must never be taken for one another's.
        instance=config.namespace,
        quote=config.universe.quote,
        limits=riskrules.limits(config),
        order_limits=OrderLimits(
            order_notional_max=config.risk.order_notional_max,
            day_notional_max=config.risk.day_notional_max,
            turnover_day_max=config.risk.turnover_day_max,
            orders_per_minute=config.risk.orders_per_minute,
            volume_share_max=config.risk.volume_share_max,
            price_deviation_max=config.risk.price_deviation_max,
            liquidation_min=riskrules.distances(config)[0],
        ),
        rules=Rules(
            band=Decimal(repr(execution.band)),
            band_relative=Decimal(repr(execution.band_relative)),
            to_edge=execution.destination == "edge",
            band_average=Decimal(repr(execution.band_average)),
            risk_aversion=execution.risk_aversion,
            turnover_max=Decimal(repr(execution.turnover_max)),
            raise_max=execution.raise_max,
            fee_asset=execution.fee_asset or "",
            fee_reserve=execution.fee_reserve,
        ),
        price_cap=price_cap(config, simulated=simulated),
        terms=None if simulated else terms(config),
        groups=group_terms(config),
        shadow=config.mode == "shadow" and not simulated,
        # A backtest has nobody to ask.
        approve=0 if simulated else execution.approve,
        approve_within=execution.approve_within,
        keep_open=execution.on_stop == "keep",
        off_target=_off_target(config),
        cooldown=length(execution.cooldown, config.bar_length),
        fresh=FRESH,
        working=working,
        held_up=working + WORKING / 2,  # after the cancel of what has worked too long, so that its wave sees how it ended
    )
    # In a backtest time stands still between two bars: what waits for a little while would wait for the next one, and so would a slice.
    whole = replace(settings.groups, size=Decimal(GROSS_MAX))
    return replace(settings, retry=timedelta(0), groups=whole) if simulated else settings


def acts_between(config: Config) -> bool:
    """Whether something may have to be done at a slice at which nobody is due."""
    limits = config.risk
    held_back = (limits.order_notional_max, limits.day_notional_max, limits.turnover_day_max, limits.volume_share_max)
    waits = any(limit is not None for limit in (*held_back, limits.price_deviation_max)) or limits.correlation_scale < 1
    return waits or _off_target(config) is not None or bool(config.execution.cooldown)


def _off_target(config: Config) -> float | None:
    """How far from its target the account may go between due times: as far as the strictest strategy says."""
    return min((each.schedule.off_target for each in config.strategies if each.schedule.off_target is not None), default=None)


def runner(config: Config, *, contained: bool = False) -> StrategyRunner:
    """The strategies with their shares and schedules, fresh. `contained`: those of the user's own run in processes (`away`).

    Raises:
        ConfigError: a strategy of the user's own cannot be loaded here, or parameters do not fit.
    """
    made = runner_of(config, sleeves(config, contained=contained))
    if made.disabled:
        raise ConfigError(_unusable(config, made))
    return made


def _unusable(config: Config, made: StrategyRunner) -> list[str]:
    return [
        f"{config.source}: strategies[{index}].use cannot be loaded: {made.disabled[wanted.name]}; correct the file"
        for index, wanted in enumerate(config.strategies)
        if wanted.name in made.disabled
    ]


def lenient(config: Config) -> StrategyRunner:
    """The same in this process, where a strategy of the user's own that cannot be loaded is disabled and the rest goes on.

    Raises:
        ConfigError: nothing is left, or the configuration itself is wrong.
    """
    routed = [index for index, each in enumerate(config.strategies) if each.route]
    if routed:
        told = "trades on several accounts, and is not planned or backtested on one; give it an account in a file of its own"
        raise ConfigError(f"{config.source}: {config.strategies[index].name} {told}" for index in routed)
    made = runner_of(config, sleeves(config))
    if len(made.disabled) == len(config.strategies):
        raise ConfigError(_unusable(config, made))
    return made


def runner_of(config: Config, at_work: Sequence[Sleeve]) -> StrategyRunner:
    """The runner of these sleeves under the rules of the configuration."""
    return StrategyRunner(
        tuple(sorted(config.universe.symbols)),
        config.bar_length,
        at_work,
        min_coverage=config.bars.min_coverage,
        synthetic_max=config.bars.synthetic_max,
        decide_within=FRESH,
        # Only rules that act between due times need to hear of slices at which nobody is due.
        restate=acts_between(config),
    )
