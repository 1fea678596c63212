"""The strategies that ship with the daemon, by the name a configuration uses."""

from typing import Final

from daemon.core.strategy import Strategy
from strategies.equal_weight import EqualWeight
from strategies.fixed_weights import FixedWeights
from strategies.hierarchical_risk_parity import HierarchicalRiskParity
from strategies.long_short_momentum import LongShortMomentum
from strategies.minimum_variance import MinimumVariance
from strategies.pairs import Pairs
from strategies.portfolio_momentum import PortfolioMomentum
from strategies.risk_adjusted import RiskAdjusted
from strategies.risk_parity import RiskParity
from strategies.sector_rotation import SectorRotation

REGISTRY: Final[dict[str, type[Strategy]]] = {
    "portfolio_momentum": PortfolioMomentum,
    "long_short_momentum": LongShortMomentum,
    "pairs": Pairs,
    "sector_rotation": SectorRotation,
    "risk_adjusted": RiskAdjusted,
    "fixed_weights": FixedWeights,
    "equal_weight": EqualWeight,
    "minimum_variance": MinimumVariance,
    "risk_parity": RiskParity,
    "hierarchical_risk_parity": HierarchicalRiskParity,
}
