"""Risk rules: the section risk becomes the plain limits and breakers that core judges by.

Rule: Config objects end here, as they do in worlds.py.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from daemon.config import Config
from daemon.config.breakers import (
    ActionName,
    DailyLossConfig,
    DrawdownConfig,
    DriftConfig,
    PegConfig,
    PriceSpikeConfig,
    RejectsConfig,
    StaleDataConfig,
)
from daemon.core import risk
from daemon.core.breakers import Action, DriftRule, PegRule, RejectRule, Rule, Rules, SpikeRule, StaleRule

AT_ONCE: Final = timedelta(0)


def limits(config: Config) -> risk.Limits:
    """The limits on weights."""
    wanted = config.risk
    return risk.Limits(
        short=config.exchange.market == "swap",
        gross=wanted.gross,
        net_max=wanted.net_max,
        cash_min=wanted.cash_min,
        weight_max=wanted.weight_max,
        sector_max=wanted.sector_max,
        sectors=config.universe.sectors,
        groups={name: risk.Group(group.symbols, group.max) for name, group in sorted(wanted.groups.items())},
        correlated_group_max=wanted.correlated_group_max,
        correlation_limit=wanted.correlation_limit,
        correlation_scale=wanted.correlation_scale,
        positions_max=wanted.positions_max,
        concentration_max=wanted.concentration_max,
        volatility_max=wanted.volatility_max,
        funding_max=wanted.funding_max,
        liquidation_min=None if (least := distances(config)[0]) is None else float(least),
    )


def distances(config: Config) -> tuple[Decimal | None, Decimal | None]:
    """How far positions of swaps are to stay from their liquidation, and how near they may come before they shrink; spot has none."""
    if config.exchange.market != "swap":
        return None, None
    return config.risk.liquidation_min, config.risk.liquidation_reduce


def breakers(config: Config) -> Rules:
    """The breakers of a configuration; those that are off are None."""
    short, given = config.risk.drawdown_halt, config.risk.breakers
    return Rules(
        drawdown=_loss(given.drawdown) if short is None else Rule(limit=short, action=Action.HALT),
        daily_loss=_loss(given.daily_loss),
        rejects=_rejects(given.rejects),
        unknown_order=_rule(given.unknown_order.action, given.unknown_order.limit.total_seconds(), given.unknown_order.cool_down),
        drift=_drift(given.drift),
        stale_data=_stale(given.stale_data, config.bar_length),
        price_spike=_spike(given.price_spike),
        peg=_peg(given.peg),
        clock_skew=_rule(given.clock_skew.action, given.clock_skew.limit.total_seconds(), AT_ONCE),
        loop_lag=_rule(given.loop_lag.action, given.loop_lag.limit.total_seconds(), given.loop_lag.cool_down),
    )


def _rule(action: ActionName, limit: float | None, cool_down: timedelta) -> Rule | None:
    return None if action == "none" or limit is None else Rule(limit=limit, action=Action(action), cool_down=cool_down)


def _loss(given: DrawdownConfig | DailyLossConfig) -> Rule | None:
    return _rule(given.action, given.limit, given.cool_down)


def _rejects(given: RejectsConfig) -> RejectRule | None:
    if given.action == "none":
        return None
    return RejectRule(
        limit=given.limit,
        action=Action(given.action),
        cool_down=given.cool_down,
        symbol=given.symbol,
        pause=given.pause,
        pause_max=given.pause_max,
    )


def _drift(given: DriftConfig) -> DriftRule | None:
    if given.action == "none":
        return None
    return DriftRule(
        limit=given.limit.total_seconds(),
        action=Action(given.action),
        cool_down=given.cool_down,
        currencies=given.symbols,
        share=given.share,
    )


def _stale(given: StaleDataConfig, bar_length: timedelta) -> StaleRule | None:
    if given.action == "none":
        return None
    return StaleRule(limit=given.limit, action=Action(given.action), cool_down=given.cool_down, age=max(given.age, 2 * bar_length))


def _spike(given: PriceSpikeConfig) -> SpikeRule | None:
    if given.action == "none":
        return None
    return SpikeRule(factor=given.limit, floor=given.floor, confirmations=given.confirmations)


def _peg(given: PegConfig) -> PegRule | None:
    if given.action == "none" or given.symbol is None:
        return None
    return PegRule(limit=given.limit, action=Action(given.action), cool_down=given.cool_down, symbol=given.symbol)
