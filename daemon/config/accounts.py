"""Accounts: a configuration with several becomes one of its own for each: what is traded there, by which strategies.

Rule: what comes out has an exchange and no accounts, so that nothing behind this file knows how many there are.
"""

from collections.abc import Mapping

from daemon.config.exchange import AccountConfig, ExchangeConfig
from daemon.config.models import Config
from daemon.config.risk import RiskConfig


def each_account(config: Config) -> tuple[Config, ...]:
    """The configuration of each account, in their order; the only one as it is."""
    return tuple(_of(config, index, account) for index, account in enumerate(config.accounts)) or (config,)


def _of(config: Config, index: int, account: AccountConfig) -> Config:
    symbols, universe = account.trades(config.universe.symbols), config.universe
    swap = account.market == "swap"
    watch = tuple(symbol for symbol in universe.watch if (":" in symbol) == swap)
    here = {
        "symbols": symbols,
        "sectors": _within(universe.sectors, symbols),
        "quotes": {} if swap else universe.quotes,  # swaps settle in universe.quote
        "watch": watch,
    }
    found = config.model_copy(
        update={
            "exchange": ExchangeConfig.model_construct(**{key: getattr(account, key) for key in ExchangeConfig.model_fields}),
            "accounts": (),
            "universe": universe.model_copy(update=here),
            "risk": _risk(config.risk, symbols, watch),
            "strategies": tuple(each for each in config.strategies if account.name in (each.account, *each.route.values())),
        }
    )
    found.belongs_to(account.name, f"accounts[{index}]", config)
    return found


def _within(groups: Mapping[str, tuple[str, ...]], symbols: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The groups with those of their symbols that are traded here; one of which nothing is left is none."""
    found = {name: tuple(symbol for symbol in group if symbol in symbols) for name, group in groups.items()}
    return {name: group for name, group in found.items() if group}


def _risk(risk: RiskConfig, symbols: tuple[str, ...], watch: tuple[str, ...]) -> RiskConfig:
    """Limits and breakers over what has a price here."""
    kept = _within({name: group.symbols for name, group in risk.groups.items()}, symbols)
    groups = {name: risk.groups[name].model_copy(update={"symbols": members}) for name, members in kept.items()}
    peg = risk.breakers.peg
    if peg.symbol is not None and peg.symbol not in (*symbols, *watch):
        breakers = risk.breakers.model_copy(update={"peg": type(peg)()})
        return risk.model_copy(update={"groups": groups, "breakers": breakers})
    return risk.model_copy(update={"groups": groups})
