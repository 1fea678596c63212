"""Rosters: the sections strategies and universe become plain sleeves, processes, shares and who is in the universe.

Rule: Config objects end here, as they do in worlds.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import strategies
from daemon.config import Config, ConfigError
from daemon.config.models import ScheduleConfig, StrategyConfig
from daemon.config.ownuse import is_contained, is_own
from daemon.config.params import misfit
from daemon.config.sentences import dotted, sentence
from daemon.config.times import zone
from daemon.core import sectors
from daemon.core.account import Account
from daemon.core.cron import Cron
from daemon.core.membership import Membership
from daemon.core.orders import OrderManager
from daemon.core.routing import Routing
from daemon.core.runner import StrategyRunner
from daemon.core.schedule import Schedule
from daemon.core.staff import Sleeve
from daemon.core.strategy import Failed, Strategy, Universe
from daemon.io.worker import Job
from daemon.own.bounds import Bounds
from daemon.own.strategies import Own
from daemon.own.worker import errand


def universe(config: Config) -> Universe:
    """What the strategies are told of what is traded."""
    symbols = tuple(sorted(config.universe.symbols))
    return Universe(symbols, config.bar_length, sectors.within(config.universe.sectors, symbols)[0], config.exchange.market)


def sleeves(config: Config, *, contained: bool = False) -> list[Sleeve]:
    """The strategies with their shares and schedules, fresh, as for `runner`."""
    return [sleeve(config, index, contained=contained) for index in range(len(config.strategies))]


def sleeve(config: Config, index: int, *, contained: bool = False) -> Sleeve:
    """One of them. `contained`: if it is the user's own, it runs in a process, not here.

    Raises:
        ConfigError: what the configuration says of it does not fit.
    """
    wanted, traded, bare = config.strategies[index], universe(config), plain(config, index)
    if wanted.route:
        return bare  # it decides for all of its accounts at one desk
    if not is_own(wanted.use):
        return replace(bare, strategy=_shipped(config, index, traded))
    if contained and bare.own:
        return bare
    bounds = Bounds(_own(config, index))
    try:
        made = bounds.hire(traded)
        return replace(bare, strategy=made, guard=bounds if bare.own else bare.guard)
    except ConfigError as error:
        raise ConfigError(f"{config.source}: strategies[{index}].{line}" for line in error.problems) from None
    except Failed as error:
        return replace(bare, problem=str(error))


def routings(whole: Config) -> tuple[Routing, ...]:
    """The strategies of a file that trade on several accounts.

    Raises:
        ConfigError: parameters that do not fit what such a strategy trades.
    """
    return tuple(
        Routing(wanted.name, _shipped(whole, index, _of_route(whole, wanted.route)), wanted.route, whole.bar_length, whole.grace)
        for index, wanted in enumerate(whole.strategies)
        if wanted.route
    )


def _of_route(whole: Config, route: Mapping[str, str]) -> Universe:
    """What such a strategy is told of what it trades. Where one of its accounts trades swaps, there are shorts."""
    symbols = tuple(sorted(route))
    swap = any(account.market == "swap" for account in whole.accounts if account.name in route.values())
    return Universe(symbols, whole.bar_length, sectors.within(whole.universe.sectors, symbols)[0], "swap" if swap else "spot")


def plain(config: Config, index: int) -> Sleeve:
    """One of them without the strategy itself: its name, share and due times."""
    wanted = config.strategies[index]
    share = 1 / len(config.strategies) if isinstance(wanted.share, str) else float(wanted.share)
    return Sleeve(wanted.name, None, share, _schedule(wanted.schedule, config.bar_length), own=is_contained(wanted.use))


def _shipped(config: Config, index: int, traded: Universe) -> Strategy:
    wanted = config.strategies[index]
    try:
        return strategies.REGISTRY[wanted.use](wanted.params, traded)
    except ValueError as error:  # parameters that are right by themselves, and do not fit this universe
        wrong = misfit(index, wanted.params, str(error))
        raise ConfigError([sentence(str(config.source), dotted(wrong.loc), wrong.what, wrong.remedy)]) from None


def _own(config: Config, index: int) -> Own:
    wanted = config.strategies[index]
    return Own(wanted.name, wanted.use, config.source.parent.absolute(), wanted.params, wanted.budget.total_seconds())


def _schedule(wanted: ScheduleConfig, bar_length: timedelta) -> Schedule:
    times = wanted.bars(bar_length) * bar_length if wanted.cron is None else Cron(wanted.cron, zone(wanted.tz))
    return Schedule(times, at_start=wanted.at_start)


def away(config: Config) -> tuple[Job, ...]:
    """The strategies of the user's own, to be run in processes of their own."""
    return tuple(
        Job(
            name=wanted.name,
            place=f"{config.source}: strategies[{index}]",
            errand=errand(_own(config, index), universe(config), config.bars.synthetic_max),
            budget_s=wanted.budget.total_seconds(),
        )
        for index, wanted in enumerate(config.strategies)
        if is_contained(wanted.use)
    )


def shares(config: Config) -> dict[str, float]:
    """By strategy, the share of the capital that is configured, equal ones under every rule."""
    return {each.name: each.share for each in (plain(config, index) for index in range(len(config.strategies)))}


def membership(config: Config, at_work: StrategyRunner, manager: OrderManager, account: Account) -> Membership:
    """Who is in the universe, joined to the parts that it asks."""
    select, bar, bars = config.universe.select, config.bar_length, config.bars
    made = Membership(
        tuple(sorted(config.universe.symbols)),
        bar,
        None if select is None else select.rule(bar),
        silent_max=bars.synthetic_max,
        coverage_min=bars.min_coverage,
    )
    made.warm = lambda: at_work.warm_columns
    made.closed = lambda: frozenset(symbol for symbol, market in account.listed.items() if not market.active)
    made.busy = lambda: manager.wave is not None or at_work.asking
    made.pending = lambda: manager.owes
    made.held = lambda symbol: account.traded(symbol) != 0
    at_work.membership = made
    return made


def by_volatility(config: Config) -> bool:
    """Whether shares follow from what each strategy has made."""
    return config.strategies[0].share == "inverse_volatility"


def newcomers(running: Config, wanted: Config) -> frozenset[str]:
    """The strategies that are made anew: new ones, and those that are not what they were. Share and schedule are not a part of them."""
    before = {each.name: _itself(each) for each in running.strategies}
    return frozenset(each.name for each in wanted.strategies if before.get(each.name) != _itself(each))


def _itself(each: StrategyConfig) -> tuple[object, ...]:
    """What a strategy is made of."""
    return each.use, each.params, each.budget, each.route


def remarks(config: Config) -> tuple[str, ...]:
    """What the user should know before anything is traded: what was configured and cannot be used, in sentences.

    Raises:
        ConfigError: parameters of a strategy that do not fit what is traded.
    """
    traded = universe(config)
    found = [f"universe.{text}" for text in sectors.within(config.universe.sectors, traded.symbols)[1]]
    for index, wanted in enumerate(config.strategies):
        if not is_own(wanted.use) and not wanted.route:
            found += [f"{wanted.name}: {text}" for text in _shipped(config, index, traded).remarks]
    return tuple(found)
