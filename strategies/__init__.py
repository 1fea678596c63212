"""The strategies that ship with the daemon, by the name a configuration uses."""

from typing import Final

from daemon.core.strategy import Strategy
from strategies.portfolio_momentum import PortfolioMomentum

REGISTRY: Final[dict[str, type[Strategy]]] = {"portfolio_momentum": PortfolioMomentum}
